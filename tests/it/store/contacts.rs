//! Contacts and activity.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    domain::lead::Contacts,
    store::contacts::{self, ActivityRow, ContactRow, Conversation},
};

on_both! { contacts_are_switched_on_and_off, activity_comes_in_pages_newest_first, activity_can_be_taken_back }

fn contact(conversation: &str, lead_id: &str, contacted_ms: i64, active: bool) -> ContactRow {
    ContactRow {
        tenant: "acme".into(),
        conversation: conversation.into(),
        account: "AC1".into(),
        lead_id: lead_id.into(),
        call_id: "call_1".into(),
        contacted_ms,
        active,
        flips: 1,
    }
}

fn activity(conversation: &str, at_ms: i64) -> ActivityRow {
    ActivityRow {
        tenant: "acme".into(),
        conversation: conversation.into(),
        account: "AC1".into(),
        lead_id: "lead".into(),
        call_id: "call_1".into(),
        outcome: "completed".into(),
        at_ms,
        talk_seconds: 17,
        contact: true,
    }
}

fn conversation(id: &str) -> Conversation {
    Conversation { tenant: "acme".into(), conversation: id.into(), account: "AC1".into() }
}

async fn contacts_are_switched_on_and_off(at: TestDatabase) {
    let rows = [contact("CA1", "a", 10, true), contact("CA2", "a", 30, false), contact("CA3", "a", 20, true)];
    let others =
        [contact("CA1", "b", 5, false), ContactRow { tenant: "other".into(), ..contact("CA1", "a", 99, true) }];
    commit!(at, |tx| contacts::upsert(tx, &rows));
    commit!(at, |tx| contacts::upsert(tx, &others));
    commit!(at, |tx| contacts::upsert(tx, &[]));
    let of = |lead: &'static str| contacts::of_lead(&at.db, "acme", lead);
    assert_eq!(of("a").await.unwrap(), Contacts { count: 2, last_ms: Some(20) });
    assert_eq!(of("b").await.unwrap(), Contacts { count: 0, last_ms: None });

    let off = ContactRow { flips: 2, ..contact("CA3", "a", 21, false) };
    commit!(at, |tx| contacts::upsert(tx, std::slice::from_ref(&off)));
    assert_eq!(of("a").await.unwrap(), Contacts { count: 1, last_ms: Some(10) });
    let listed = contacts::list_of_lead(&at.db, "acme", "a").await.unwrap();
    assert_eq!(listed, [rows[0].clone(), off.clone(), rows[1].clone()]);

    let mut listed = commit!(at, |tx| contacts::list_of(tx, &[conversation("CA1"), conversation("CA3")]));
    listed.sort_by(|a, b| (&a.conversation, &a.lead_id).cmp(&(&b.conversation, &b.lead_id)));
    assert_eq!(listed, [rows[0].clone(), others[0].clone(), off]);
}

async fn activity_comes_in_pages_newest_first(at: TestDatabase) {
    let rows = [activity("CA1", 10), activity("CA2", 20), activity("CA3", 20)];
    commit!(at, |tx| contacts::upsert_activity(tx, &rows));
    commit!(at, |tx| contacts::upsert_activity(tx, &[ActivityRow { lead_id: "x".into(), ..activity("CA4", 30) }]));
    commit!(at, |tx| contacts::upsert_activity(tx, &[]));
    let page = contacts::list_activity(&at.db, "acme", "lead", (i64::MAX, ""), 2).await.unwrap();
    assert_eq!(page, [rows[2].clone(), rows[1].clone()]);
    let page = contacts::list_activity(&at.db, "acme", "lead", (20, "CA2"), 2).await.unwrap();
    assert_eq!(page, [rows[0].clone()]);

    let changed = ActivityRow { outcome: "busy".into(), contact: false, ..activity("CA1", 40) };
    commit!(at, |tx| contacts::upsert_activity(tx, std::slice::from_ref(&changed)));
    let page = contacts::list_activity(&at.db, "acme", "lead", (i64::MAX, ""), 1).await.unwrap();
    assert_eq!(page, [changed]);
}

async fn activity_can_be_taken_back(at: TestDatabase) {
    let theirs = ActivityRow { account: "AC2".into(), ..activity("CA1", 1) };
    commit!(at, |tx| contacts::upsert_activity(tx, &[activity("CA1", 1), activity("CA2", 2), theirs.clone()]));
    commit!(at, |tx| contacts::delete_activity(tx, &[conversation("CA1"), conversation("CA9")]));
    commit!(at, |tx| contacts::delete_activity(tx, &[]));
    let left = contacts::list_activity(&at.db, "acme", "lead", (i64::MAX, ""), 9).await.unwrap();
    assert_eq!(left, [activity("CA2", 2), theirs]);
}
