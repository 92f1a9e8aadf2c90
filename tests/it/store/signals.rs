//! Signals: the rows a call is folded from.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    domain::{
        id::Leg,
        signal::{Claim, Signal, Witness},
        state::Live,
    },
    store::signals::{self, Inserted, SignalRow},
};
use std::collections::BTreeMap;

on_both! {
    a_signal_comes_back_as_it_was,
    only_what_changes_something_is_answered,
    of_signs_of_life_the_latest_stays,
    a_row_that_cannot_be_read_is_named,
}

fn signal(sequence: i64, received_ms: i64) -> Signal {
    Signal {
        leg: Leg { provider_id: "CA1".into(), account: "AC1".into() },
        witness: Witness::Callback,
        claim: Claim::Live(Live::Ringing),
        at: Some(5),
        sequence: Some(sequence),
        details: BTreeMap::new(),
        link: None,
        received_ms,
    }
}

fn row(sequence: i64, received_ms: i64) -> SignalRow {
    SignalRow::of("acme", &signal(sequence, received_ms), Some("dlv_1"))
}

async fn of_call(at: &TestDatabase) -> Vec<SignalRow> {
    signals::list_of_call(&at.db, "acme", "AC1", "CA1").await.unwrap()
}

fn answered(mut inserted: Vec<Inserted>) -> Vec<(String, i64)> {
    inserted.sort_by(|a, b| a.identity.cmp(&b.identity));
    inserted.into_iter().map(|signal| (signal.identity, signal.earlier)).collect()
}

async fn a_signal_comes_back_as_it_was(at: TestDatabase) {
    commit!(at, |tx| signals::insert(tx, &[row(0, 10), row(1, 20)]));
    let mut read: Vec<Signal> = of_call(&at).await.iter().map(|row| row.signal().unwrap()).collect();
    read.sort_by_key(|signal| signal.sequence);
    assert_eq!(read, [signal(0, 10), signal(1, 20)]);
    assert_eq!(of_call(&at).await[0].delivery_id.as_deref(), Some("dlv_1"));
    for (tenant, account, call) in [("other", "AC1", "CA1"), ("acme", "AC2", "CA1"), ("acme", "AC1", "CA2")] {
        assert_eq!(signals::list_of_call(&at.db, tenant, account, call).await.unwrap(), []);
    }
}

async fn only_what_changes_something_is_answered(at: TestDatabase) {
    let identity = row(0, 0).identity;
    assert_eq!(answered(commit!(at, |tx| signals::insert(tx, &[row(0, 10)]))), [(identity.clone(), 0)]);
    assert_eq!(commit!(at, |tx| signals::insert(tx, &[row(0, 10)])), [], "known");
    assert_eq!(commit!(at, |tx| signals::insert(tx, &[row(0, 11)])), [], "known, and received later");
    assert_eq!(answered(commit!(at, |tx| signals::insert(tx, &[row(0, 7)]))), [(identity.clone(), 1)]);
    assert_eq!(answered(commit!(at, |tx| signals::insert(tx, &[row(0, 6)]))), [(identity, 2)]);
    let mixed = answered(commit!(at, |tx| signals::insert(tx, &[row(0, 9), row(1, 9)])));
    assert_eq!(mixed, [(row(1, 0).identity, 0)]);
    let times: Vec<i64> = of_call(&at).await.iter().map(|row| row.received_ms).collect();
    assert!(times.contains(&6) && times.contains(&9), "the earliest is kept: {times:?}");
    assert_eq!(commit!(at, |tx| signals::insert(tx, &[])), []);
}

async fn of_signs_of_life_the_latest_stays(at: TestDatabase) {
    let sign = |at_ms| Signal {
        witness: Witness::Reconciled,
        claim: Claim::Alive,
        at: Some(at_ms),
        sequence: None,
        ..signal(0, at_ms + 1)
    };
    commit!(at, |tx| signals::insert(tx, &[row(0, 10)]));
    commit!(at, |tx| signals::renew(tx, &[]));
    for at_ms in [20, 40, 30] {
        commit!(at, |tx| signals::renew(tx, &[SignalRow::of("acme", &sign(at_ms), None)]));
    }
    let kept = of_call(&at).await;
    let kept: Vec<_> = kept.iter().filter(|row| row.identity == signals::SIGN_OF_LIFE).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].signal().unwrap(), sign(40));
    assert_eq!(of_call(&at).await.len(), 2, "what else was said stays");
}

async fn a_row_that_cannot_be_read_is_named(at: TestDatabase) {
    let broken = SignalRow { said: "{".into(), ..row(0, 1) };
    commit!(at, |tx| signals::insert(tx, std::slice::from_ref(&broken)));
    let error = of_call(&at).await[0].signal().unwrap_err().to_string();
    assert!(error.contains(&broken.identity) && error.contains("CA1") && error.contains("corrupt"), "{error}");
}
