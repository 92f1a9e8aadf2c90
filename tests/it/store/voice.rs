//! How calls are answered: what is set for tenants and numbers.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::voice::{self, NumberKey, VoiceRow};

on_both! { settings_are_written_found_and_forgotten, a_call_asks_once, several_are_asked_for_at_once, numbers_come_in_pages }

fn row(tenant: &str, number: &str) -> VoiceRow {
    let some = |text: &str| Some(text.to_owned());
    VoiceRow {
        tenant: tenant.into(),
        number: number.into(),
        caller_id: some("+14155550100"),
        connect: some("client:ann +14155550101"),
        timeout_seconds: Some(20),
        time_limit_seconds: Some(3_600),
        record: some("record-from-answer"),
        machine_detection: some("Enable"),
        greeting: some("it's \"é\""),
        whisper: some(""),
        voice: some("alice"),
        language: some("en-US"),
        unanswered: some("no"),
        allow_prefixes: some("+1900"),
        only_prefixes: some("+1 +44"),
        sip_hosts: some("pbx.example.com"),
        updated_ms: 7,
    }
}

async fn settings_are_written_found_and_forgotten(at: TestDatabase) {
    assert_eq!(voice::find(&at.db, "acme", "").await.unwrap(), None);
    let full = row("acme", "+14155550100");
    commit!(at, |tx| voice::put(tx, &full));
    assert_eq!(voice::find(&at.db, "acme", "+14155550100").await.unwrap(), Some(full));
    assert_eq!(voice::find(&at.db, "other", "+14155550100").await.unwrap(), None);
    // Replaced as a whole: what is left out is not set any more.
    let empty = VoiceRow { tenant: "acme".into(), number: "+14155550100".into(), updated_ms: 8, ..VoiceRow::default() };
    commit!(at, |tx| voice::put(tx, &empty));
    assert_eq!(voice::find(&at.db, "acme", "+14155550100").await.unwrap(), Some(empty));
    assert_eq!(commit!(at, |tx| voice::delete(tx, "other", "+14155550100")), 0);
    assert_eq!(commit!(at, |tx| voice::delete(tx, "acme", "+14155550100")), 1);
    assert_eq!(commit!(at, |tx| voice::delete(tx, "acme", "+14155550100")), 0);
}

async fn a_call_asks_once(at: TestDatabase) {
    for (tenant, number) in [("acme", ""), ("acme", "+14155550100"), ("acme", "+14155550101"), ("other", "")] {
        commit!(at, |tx| voice::put(tx, &row(tenant, number)));
    }
    let own = voice::list_for(&at.db, "acme", "+14155550100").await.unwrap();
    assert_eq!(own, [row("acme", ""), row("acme", "+14155550100")], "the tenant's comes first");
    assert_eq!(voice::list_for(&at.db, "acme", "+14155550199").await.unwrap(), [row("acme", "")]);
    assert_eq!(voice::list_for(&at.db, "acme", "").await.unwrap(), [row("acme", "")]);
    assert_eq!(voice::list_for(&at.db, "nobody", "").await.unwrap(), []);
}

async fn several_are_asked_for_at_once(at: TestDatabase) {
    for (tenant, number) in [("acme", ""), ("acme", "+1"), ("acme", "+2"), ("other", "+3")] {
        commit!(at, |tx| voice::put(tx, &row(tenant, number)));
    }
    let asked = ["", "+2", "+3", "+4"].map(|number| NumberKey::new("acme", number));
    let mut found = voice::list_of(&at.db, &asked).await.unwrap();
    found.sort_by(|a, b| a.number.cmp(&b.number));
    assert_eq!(found, [row("acme", ""), row("acme", "+2")]);
    assert_eq!(voice::list_of(&at.db, &[]).await.unwrap(), []);
}

async fn numbers_come_in_pages(at: TestDatabase) {
    for (tenant, number) in [("acme", "+3"), ("acme", ""), ("acme", "+1"), ("other", "+2"), ("acme", "+4")] {
        commit!(at, |tx| voice::put(tx, &row(tenant, number)));
    }
    let numbers = |page: Vec<VoiceRow>| page.into_iter().map(|row| row.number).collect::<Vec<_>>();
    assert_eq!(numbers(voice::list(&at.db, "acme", "", 2).await.unwrap()), ["+1", "+3"]);
    assert_eq!(numbers(voice::list(&at.db, "acme", "+3", 2).await.unwrap()), ["+4"]);
}
