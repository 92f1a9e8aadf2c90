//! Calls that are to be hung up.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::hangups::{self, FORCE_CANCELLED, HangupCount, HangupRow, STRAY};

on_both! {
    a_call_is_asked_for_once,
    what_is_due_is_taken_once,
    whoever_waits_takes_those_of_a_run,
    what_came_of_it_is_counted,
    settled_ones_are_forgotten,
    two_who_take_at_once_get_different_calls,
}

fn hangup(n: u32, due_ms: Option<i64>) -> HangupRow {
    HangupRow {
        tenant: "acme".into(),
        account: "AC1".into(),
        provider_id: format!("CA{n}"),
        provider: "twilio".into(),
        run_id: Some("run_1".into()),
        job_id: Some(format!("job_{n}")),
        reason: FORCE_CANCELLED.into(),
        requested_ms: 1,
        due_ms,
        ..HangupRow::default()
    }
}

fn settled(n: u32, result: &str, settled_ms: i64) -> HangupRow {
    HangupRow { attempts: 1, settled_ms: Some(settled_ms), result: Some(result.into()), ..hangup(n, None) }
}

fn ids(rows: Vec<HangupRow>) -> Vec<String> {
    let mut ids: Vec<String> = rows.into_iter().map(|row| row.provider_id).collect();
    ids.sort();
    ids
}

async fn a_call_is_asked_for_once(at: TestDatabase) {
    let stray = HangupRow { reason: STRAY.into(), run_id: None, job_id: None, ..hangup(1, Some(9)) };
    assert_eq!(
        commit!(at, |tx| hangups::insert(tx, &[hangup(1, Some(5)), stray.clone(), hangup(2, Some(5))])).len(),
        2
    );
    assert_eq!(commit!(at, |tx| hangups::insert(tx, &[stray])), [""; 0]);
    assert_eq!(commit!(at, |tx| hangups::insert(tx, &[])), [""; 0]);
    let elsewhere = HangupRow { account: "AC2".into(), ..hangup(1, Some(5)) };
    assert_eq!(commit!(at, |tx| hangups::insert(tx, &[elsewhere])), ["CA1"]);
    let taken = commit!(at, |tx| hangups::claim(tx, 5, 10, 9));
    let first = taken.into_iter().find(|row| row.provider_id == "CA1" && row.account == "AC1").unwrap();
    assert_eq!(first, hangup(1, Some(15)));
}

async fn what_is_due_is_taken_once(at: TestDatabase) {
    let rows = [hangup(1, Some(100)), hangup(2, Some(99)), hangup(3, Some(101)), settled(4, "hung-up", 1)];
    commit!(at, |tx| hangups::insert(tx, &rows));
    assert_eq!(ids(commit!(at, |tx| hangups::claim(tx, 100, 10, 1))), ["CA2"], "what waits longest");
    assert_eq!(ids(commit!(at, |tx| hangups::claim(tx, 100, 10, 9))), ["CA1"]);
    assert_eq!(ids(commit!(at, |tx| hangups::claim(tx, 100, 10, 9))), [""; 0]);
    assert_eq!(ids(commit!(at, |tx| hangups::claim(tx, 110, 10, 9))), ["CA1", "CA2", "CA3"], "they must be dead");
}

async fn whoever_waits_takes_those_of_a_run(at: TestDatabase) {
    let other = HangupRow { run_id: Some("run_2".into()), ..hangup(3, Some(1)) };
    commit!(at, |tx| hangups::insert(
        tx,
        &[hangup(1, Some(1_000)), hangup(2, Some(1)), other, settled(4, "hung-up", 1)]
    ));
    let taken = commit!(at, |tx| hangups::claim_of_run(tx, "acme", "run_1", 100, 10, 9));
    assert!(taken.iter().all(|row| row.due_ms == Some(110)));
    assert_eq!(ids(taken), ["CA1", "CA2"]);
    assert_eq!(ids(commit!(at, |tx| hangups::claim_of_run(tx, "acme", "run_1", 100, 10, 1))).len(), 1);
    assert_eq!(ids(commit!(at, |tx| hangups::claim_of_run(tx, "other", "run_1", 100, 10, 9))), [""; 0]);
}

async fn what_came_of_it_is_counted(at: TestDatabase) {
    let count = async || hangups::count_of_run(&at.db, "acme", "run_1").await.unwrap();
    assert_eq!(count().await, HangupCount::default());
    let rows: Vec<HangupRow> = (1..=5).map(|n| hangup(n, Some(1))).collect();
    commit!(at, |tx| hangups::insert(tx, &rows));
    let given_up = HangupRow { detail: Some("it's away".into()), ..settled(3, "given-up", 8) };
    let results = [settled(1, "hung-up", 8), settled(2, "ended-before", 8), given_up.clone()];
    commit!(at, |tx| hangups::update(tx, &results));
    commit!(at, |tx| hangups::update(tx, &[]));
    assert_eq!(count().await, HangupCount { hung_up: 1, pending: 2, other: 2 });
    let later = HangupRow { attempts: 3, detail: Some("busy".into()), ..hangup(4, Some(50)) };
    commit!(at, |tx| hangups::update(tx, std::slice::from_ref(&later)));
    let taken = commit!(at, |tx| hangups::claim(tx, 50, 10, 9));
    assert_eq!(taken.iter().find(|row| row.provider_id == "CA4"), Some(&HangupRow { due_ms: Some(60), ..later }));
    assert_eq!(hangups::count_of_run(&at.db, "other", "run_1").await.unwrap(), HangupCount::default());
}

async fn settled_ones_are_forgotten(at: TestDatabase) {
    let rows = [settled(1, "hung-up", 10), settled(2, "hung-up", 20), settled(3, "given-up", 30), hangup(4, Some(1))];
    commit!(at, |tx| hangups::insert(tx, &rows));
    assert_eq!(commit!(at, |tx| hangups::delete_settled(tx, 30, 1)), 1);
    assert_eq!(commit!(at, |tx| hangups::delete_settled(tx, 30, 9)), 1);
    assert_eq!(commit!(at, |tx| hangups::delete_settled(tx, 30, 9)), 0);
    let left = hangups::count_of_run(&at.db, "acme", "run_1").await.unwrap();
    assert_eq!(left, HangupCount { hung_up: 0, pending: 1, other: 1 });
}

/// On PostgreSQL at the same time: nobody waits, nobody gets the other's. On SQLite one after the other.
async fn two_who_take_at_once_get_different_calls(at: TestDatabase) {
    let other = at.another_node().await;
    let rows: Vec<HangupRow> = (1..=6).map(|n| hangup(n, Some(i64::from(n)))).collect();
    commit!(at, |tx| hangups::insert(tx, &rows));
    let mut a = at.db.begin().await.unwrap();
    let first = ids(hangups::claim(&mut a, 10, 10, 3).await.unwrap());
    if at.db.kind() == "postgres" {
        let mut b = other.begin().await.unwrap();
        assert_eq!(ids(hangups::claim(&mut b, 10, 10, 9).await.unwrap()), ["CA4", "CA5", "CA6"]);
        b.commit().await.unwrap();
        a.commit().await.unwrap();
    } else {
        a.commit().await.unwrap();
        let mut b = other.begin().await.unwrap();
        assert_eq!(ids(hangups::claim(&mut b, 10, 10, 9).await.unwrap()), ["CA4", "CA5", "CA6"]);
    }
    assert_eq!(first, ["CA1", "CA2", "CA3"]);
}
