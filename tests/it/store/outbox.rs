//! Effects that are owed.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::outbox::{self, OutboxRow};

on_both! { an_effect_is_owed_once }

fn effect(key: &str, payload: &str) -> OutboxRow {
    OutboxRow {
        tenant: "acme".into(),
        key: format!("call_1/{key}"),
        kind: "call.ended".into(),
        subject: "call_1".into(),
        created_ms: 1,
        payload: payload.into(),
    }
}

async fn an_effect_is_owed_once(at: TestDatabase) {
    commit!(at, |tx| outbox::insert(tx, &[effect("k2", "{}"), effect("k1", r#"{"a":"'"}"#)]));
    commit!(at, |tx| outbox::insert(tx, &[effect("k2", "[]"), effect("k3", "{}")]));
    commit!(at, |tx| outbox::insert(tx, &[]));
    let theirs = OutboxRow { tenant: "other".into(), ..effect("k1", "{}") };
    commit!(at, |tx| outbox::insert(tx, &[theirs, OutboxRow { key: "call_10/k4".into(), ..effect("k4", "{}") }]));
    let owed = outbox::list_of_subject(&at.db, "acme", "call_1").await.unwrap();
    assert_eq!(owed, [effect("k1", r#"{"a":"'"}"#), effect("k2", "{}"), effect("k3", "{}")]);
}
