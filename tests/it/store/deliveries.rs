//! Deliveries as received.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::deliveries::{self, APPLIED, DeliveryKey, DeliveryRow, UNAPPLIED};
use std::collections::BTreeSet;

on_both! {
    a_delivery_is_kept_byte_for_byte,
    a_repeated_delivery_meets_its_own_key,
    failures_are_counted_until_it_is_applied,
    what_is_due_is_claimed_once,
    the_deliveries_of_a_call_come_in_pages,
}

fn delivery(id: &str, received_ms: i64) -> DeliveryRow {
    DeliveryRow {
        tenant: "acme".into(),
        provider_id: "CA1".into(),
        account: "AC1".into(),
        id: id.into(),
        source: "twilio/status".into(),
        method: "POST".into(),
        query: Vec::new(),
        body: b"CallSid=CA1".to_vec(),
        received_ms,
        verified: true,
        state: APPLIED.into(),
        reason: None,
        attempts: 0,
        retry_at_ms: None,
    }
}

fn unapplied(id: &str, reason: &str, retry_at_ms: i64) -> DeliveryRow {
    DeliveryRow {
        state: UNAPPLIED.into(),
        reason: Some(reason.into()),
        attempts: 1,
        retry_at_ms: Some(retry_at_ms),
        ..delivery(id, 1)
    }
}

fn ids(rows: &[DeliveryRow]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

fn new(keys: &[DeliveryKey]) -> Vec<&str> {
    let mut ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

async fn of_call(at: &TestDatabase) -> Vec<DeliveryRow> {
    deliveries::list_of_call(&at.db, "acme", "AC1", "CA1", (i64::MIN, ""), 99).await.unwrap()
}

async fn a_delivery_is_kept_byte_for_byte(at: TestDatabase) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let row = DeliveryRow { query: every_byte.clone(), body: every_byte.repeat(40), ..delivery("dlv_1", 1) };
    commit!(at, |tx| deliveries::insert(tx, std::slice::from_ref(&row)));
    assert_eq!(of_call(&at).await, [row]);
}

async fn a_repeated_delivery_meets_its_own_key(at: TestDatabase) {
    let answer = commit!(at, |tx| deliveries::insert(tx, &[delivery("dlv_1", 1), delivery("dlv_2", 1)]));
    assert_eq!(new(&answer), ["dlv_1", "dlv_2"]);
    let answer = commit!(at, |tx| deliveries::insert(tx, &[delivery("dlv_2", 9), delivery("dlv_3", 9)]));
    assert_eq!(new(&answer), ["dlv_3"]);
    let other = DeliveryRow { tenant: "other".into(), ..delivery("dlv_1", 9) };
    assert_eq!(commit!(at, |tx| deliveries::insert(tx, &[other])).len(), 1);
    assert_eq!(of_call(&at).await, [delivery("dlv_1", 1), delivery("dlv_2", 1), delivery("dlv_3", 9)]);
    assert_eq!(commit!(at, |tx| deliveries::insert(tx, &[])), []);
}

async fn failures_are_counted_until_it_is_applied(at: TestDatabase) {
    commit!(at, |tx| deliveries::insert_unapplied(tx, &unapplied("dlv_1", "a trigger", 10)));
    commit!(at, |tx| deliveries::insert_unapplied(tx, &unapplied("dlv_1", "the trigger again", 20)));
    let expected = DeliveryRow { attempts: 2, ..unapplied("dlv_1", "the trigger again", 20) };
    assert_eq!(of_call(&at).await, [expected]);

    // Applied at last: it counts as new once more, and never again.
    assert_eq!(new(&commit!(at, |tx| deliveries::insert(tx, &[delivery("dlv_1", 30)]))), ["dlv_1"]);
    let applied = DeliveryRow { attempts: 2, ..delivery("dlv_1", 1) };
    assert_eq!(of_call(&at).await, std::slice::from_ref(&applied));
    assert_eq!(commit!(at, |tx| deliveries::insert(tx, &[delivery("dlv_1", 40)])), []);

    // A failure that comes late does not take that back.
    commit!(at, |tx| deliveries::insert_unapplied(tx, &unapplied("dlv_1", "late", 50)));
    assert_eq!(of_call(&at).await, [applied]);
}

async fn what_is_due_is_claimed_once(at: TestDatabase) {
    for (id, retry_at_ms) in [("dlv_1", 30), ("dlv_2", 10), ("dlv_3", 20)] {
        let row = DeliveryRow { received_ms: 100 - retry_at_ms, ..unapplied(id, "why", retry_at_ms) };
        commit!(at, |tx| deliveries::insert_unapplied(tx, &row));
    }
    commit!(at, |tx| deliveries::insert(tx, &[delivery("dlv_4", 1)]));
    let claimed = |rows: Vec<DeliveryRow>| rows.into_iter().map(|row| row.id).collect::<BTreeSet<_>>();
    let two = commit!(at, |tx| deliveries::claim_unapplied(tx, 20, 100, 9));
    assert_eq!(claimed(two), BTreeSet::from(["dlv_2".to_owned(), "dlv_3".to_owned()]));
    assert_eq!(commit!(at, |tx| deliveries::claim_unapplied(tx, 20, 100, 9)), [], "nobody else gets them");
    assert_eq!(ids(&commit!(at, |tx| deliveries::claim_unapplied(tx, 30, 100, 9))), ["dlv_1"]);
    assert_eq!(commit!(at, |tx| deliveries::claim_unapplied(tx, 100, 200, 1)).len(), 1, "a lease ends");
    assert_eq!(ids(&deliveries::list_unapplied(&at.db, 9).await.unwrap()), ["dlv_1", "dlv_3", "dlv_2"]);
    assert_eq!(ids(&deliveries::list_unapplied(&at.db, 1).await.unwrap()), ["dlv_1"]);
}

async fn the_deliveries_of_a_call_come_in_pages(at: TestDatabase) {
    let rows = [delivery("dlv_b", 1), delivery("dlv_a", 2), delivery("dlv_c", 2)];
    commit!(at, |tx| deliveries::insert(tx, &rows));
    let page = deliveries::list_of_call(&at.db, "acme", "AC1", "CA1", (i64::MIN, ""), 2).await.unwrap();
    assert_eq!(ids(&page), ["dlv_b", "dlv_a"]);
    let page = deliveries::list_of_call(&at.db, "acme", "AC1", "CA1", (2, "dlv_a"), 2).await.unwrap();
    assert_eq!(ids(&page), ["dlv_c"]);
    for (tenant, account, call) in [("other", "AC1", "CA1"), ("acme", "AC2", "CA1"), ("acme", "AC1", "CA2")] {
        let page = deliveries::list_of_call(&at.db, tenant, account, call, (i64::MIN, ""), 2).await.unwrap();
        assert_eq!(page, []);
    }
}
