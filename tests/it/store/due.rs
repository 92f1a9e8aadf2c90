//! Live calls that are to be asked about.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    calls::{self, CallRow, LegKey},
    due::{self, Asked, AskedRow, Due, DueAccount, Settled},
};
use std::collections::BTreeSet;

on_both! {
    accounts_with_calls_that_are_due,
    what_is_due_comes_in_pages,
    what_lives_comes_in_pages,
    a_lease_is_taken_once,
    what_became_of_asking_is_noted,
    a_deadline_that_a_webhook_set_stands,
    silent_calls_come_in_pages,
    the_latest_on_an_extension_comes_first,
    two_sweepers_split_the_calls,
}

const DUE: Due = Due { now_ms: 1_000, beyond_ms: 5_000 };
const ACCOUNT: (&str, &str) = ("acme", "AC1");

fn call(n: u32, due_at_ms: Option<i64>) -> CallRow {
    CallRow {
        tenant: "acme".into(),
        provider_id: format!("CA{n}"),
        account: "AC1".into(),
        id: format!("call_{n}"),
        provider: "twilio".into(),
        registers: "{}".into(),
        status: "ringing".into(),
        created_at_ms: i64::from(n),
        due_at_ms,
        ..CallRow::default()
    }
}

fn key(n: u32) -> LegKey {
    LegKey { tenant: "acme".into(), provider_id: format!("CA{n}"), account: "AC1".into() }
}

fn ids(rows: &[CallRow]) -> BTreeSet<&str> {
    rows.iter().map(|row| row.provider_id.as_str()).collect()
}

async fn due_at(at: &TestDatabase, n: u32) -> Option<i64> {
    due::list_by_keys(&at.db, &[key(n)]).await.unwrap()[0].due_at_ms
}

/// Due: at the moment, before it, and beyond the latest one. Not: ended, later, at the latest one.
fn mixed() -> [CallRow; 6] {
    let elsewhere = CallRow { account: "AC2".into(), id: "call_9".into(), ..call(1, Some(1)) };
    let times = [Some(1_000), Some(-7), Some(5_001), None, Some(1_001)];
    let [a, b, c, d, e] = [1, 2, 3, 4, 5].map(|n| call(n, times[n as usize - 1]));
    [a, b, c, d, CallRow { due_at_ms: Some(5_000), ..e }, elsewhere]
}

async fn accounts_with_calls_that_are_due(at: TestDatabase) {
    let theirs = CallRow { tenant: "other".into(), ..call(1, Some(9_999)) };
    let later = CallRow { account: "AC3".into(), id: "call_8".into(), ..call(1, Some(1_001)) };
    commit!(at, |tx| calls::upsert(tx, &mixed()));
    commit!(at, |tx| calls::upsert(tx, &[theirs, later]));
    let account = |tenant: &str, account: &str| DueAccount {
        tenant: tenant.into(),
        provider: "twilio".into(),
        account: account.into(),
    };
    let all = due::list_accounts(&at.db, DUE, None, 9).await.unwrap();
    assert_eq!(all, [account("acme", "AC1"), account("acme", "AC2"), account("other", "AC1")]);
    assert_eq!(due::list_accounts(&at.db, DUE, None, 2).await.unwrap(), all[..2]);
    assert_eq!(due::list_accounts(&at.db, DUE, Some("other"), 9).await.unwrap(), all[2..]);
    assert_eq!(due::oldest(&at.db).await.unwrap(), Some(-7));
}

async fn what_is_due_comes_in_pages(at: TestDatabase) {
    assert_eq!(due::oldest(&at.db).await.unwrap(), None);
    commit!(at, |tx| calls::upsert(tx, &mixed()));
    let page = due::list(&at.db, ACCOUNT, DUE, "", 2).await.unwrap();
    assert_eq!(page, [call(1, Some(1_000)), call(2, Some(-7))]);
    assert_eq!(due::list(&at.db, ACCOUNT, DUE, "CA2", 2).await.unwrap(), [call(3, Some(5_001))]);
    assert_eq!(due::list(&at.db, ("acme", "AC7"), DUE, "", 2).await.unwrap(), []);
    assert_eq!(due::list(&at.db, ("other", "AC1"), DUE, "", 2).await.unwrap(), []);
    let some = due::list_by_keys(&at.db, &[key(4), key(1), key(7)]).await.unwrap();
    assert_eq!(ids(&some), ["CA1", "CA4"].into());
}

async fn a_lease_is_taken_once(at: TestDatabase) {
    commit!(at, |tx| calls::upsert(tx, &mixed()));
    let first = commit!(at, |tx| due::lease(tx, ACCOUNT, DUE, 3_000, 2));
    assert_eq!(ids(&first), ["CA1", "CA2"].into(), "what waits longest comes first");
    assert!(first.iter().all(|row| row.due_at_ms == Some(3_000)));
    let second = commit!(at, |tx| due::lease(tx, ACCOUNT, DUE, 3_000, 9));
    assert_eq!(ids(&second), ["CA3"].into(), "one from a wrong clock comes, too");
    assert_eq!(commit!(at, |tx| due::lease(tx, ACCOUNT, DUE, 3_000, 9)), []);
    let after = Due { now_ms: 3_000, beyond_ms: 7_000 };
    let again = commit!(at, |tx| due::lease(tx, ACCOUNT, after, 4_000, 9));
    assert_eq!(ids(&again), ["CA1", "CA2", "CA3"].into(), "whoever had them must be dead");
    assert_eq!(due_at(&at, 4).await, None);
    assert_eq!(due_at(&at, 5).await, Some(5_000));
}

fn settled(n: u32, due_at_ms: i64) -> Settled {
    let LegKey { tenant, provider_id, account } = key(n);
    Settled { tenant, provider_id, account, asked_ms: 999, asks: 2, answer: "not-found".into(), due_at_ms }
}

async fn what_became_of_asking_is_noted(at: TestDatabase) {
    commit!(at, |tx| calls::upsert(tx, &mixed()));
    assert_eq!(due::find_asked(&at.db, &key(1)).await.unwrap(), Some(Asked::default()));
    assert_eq!(due::find_asked(&at.db, &key(7)).await.unwrap(), None);
    commit!(at, |tx| due::settle(tx, &[], DUE, 3_000));
    let changed = commit!(at, |tx| due::settle(tx, &[settled(1, 1_700), settled(7, 1_700)], DUE, 3_000));
    assert_eq!(changed, 1);
    let asked = Asked { asked_ms: Some(999), asks: 2, answer: Some("not-found".into()) };
    assert_eq!(due::find_asked(&at.db, &key(1)).await.unwrap().as_ref(), Some(&asked));
    let mut all = due::list_asked(&at.db, &[key(1), key(2)]).await.unwrap();
    all.sort_by(|a, b| a.provider_id.cmp(&b.provider_id));
    let LegKey { tenant, provider_id, account } = key(1);
    let Asked { asked_ms, asks, answer } = asked;
    assert_eq!(all[0], AskedRow { tenant, provider_id, account, asked_ms, asks, answer });
    assert_eq!((all[1].asked_ms, all[1].asks, all.len()), (None, 0, 2));
    // What a webhook writes leaves it alone.
    commit!(at, |tx| calls::upsert(tx, &[call(1, Some(9))]));
    assert_eq!(due::find_asked(&at.db, &key(1)).await.unwrap().unwrap().asks, 2);
}

async fn a_deadline_that_a_webhook_set_stands(at: TestDatabase) {
    let rows = [Some(1_000), Some(1_001), Some(3_000), Some(5_001), None];
    let rows: Vec<CallRow> = (1..).zip(rows).map(|(n, due)| call(n, due)).collect();
    commit!(at, |tx| calls::upsert(tx, &rows));
    let all: Vec<Settled> = (1..=5).map(|n| settled(n, 1_700)).collect();
    assert_eq!(commit!(at, |tx| due::settle(tx, &all, DUE, 3_000)), 5);
    let mut found = Vec::new();
    for n in 1..=5 {
        found.push(due_at(&at, n).await);
    }
    assert_eq!(found, [Some(1_700), Some(1_001), Some(1_700), Some(1_700), None]);
}

async fn silent_calls_come_in_pages(at: TestDatabase) {
    let alive = |n, alive_ms| CallRow { alive_ms, ..call(n, Some(1)) };
    let rows = [alive(1, Some(50)), alive(2, Some(51)), alive(3, None), CallRow { alive_ms: None, ..call(4, None) }];
    commit!(at, |tx| calls::upsert(tx, &rows));
    let page = due::list_silent(&at.db, "acme", (50, 50), "", 1).await.unwrap();
    assert_eq!(ids(&page), ["CA1"].into());
    let page = due::list_silent(&at.db, "acme", (50, 50), &page[0].id, 9).await.unwrap();
    assert_eq!(ids(&page), ["CA3"].into(), "without any sign it counts from when it was made");
    assert_eq!(due::list_silent(&at.db, "other", (50, 50), "", 9).await.unwrap(), []);
}

async fn the_latest_on_an_extension_comes_first(at: TestDatabase) {
    let on = |n, answered_at_ms: i64| CallRow {
        extension: Some("100".into()),
        status: "in-progress".into(),
        answered_at_ms: Some(answered_at_ms),
        ..call(n, Some(1))
    };
    let ended = CallRow { due_at_ms: None, ..on(3, 90) };
    let rings = CallRow { status: "ringing".into(), ..on(4, 95) };
    let other = CallRow { extension: Some("200".into()), ..on(5, 99) };
    commit!(at, |tx| calls::upsert(tx, &[on(1, 10), on(2, 20), ended, rings, other]));
    let found = due::list_in_progress_on(&at.db, "acme", "100", 9).await.unwrap();
    assert_eq!(found, [on(2, 20), on(1, 10)]);
    assert_eq!(due::list_in_progress_on(&at.db, "acme", "100", 1).await.unwrap(), found[..1]);
    assert_eq!(due::list_in_progress_on(&at.db, "other", "100", 9).await.unwrap(), []);
}

/// On PostgreSQL at the same time: nobody waits, nobody gets the other's. On SQLite one after the other.
async fn two_sweepers_split_the_calls(at: TestDatabase) {
    let rows: Vec<CallRow> = (0..40).map(|n| call(n, Some(1))).collect();
    commit!(at, |tx| calls::upsert(tx, &rows));
    let node = at.another_node().await;
    let mut tx = at.db.begin().await.unwrap();
    let ours = due::lease(&mut tx, ACCOUNT, DUE, 3_000, 25).await.unwrap();
    let theirs = if at.place.url.starts_with("postgres") {
        // Ours is not committed yet.
        let mut other = node.begin().await.unwrap();
        let theirs = due::lease(&mut other, ACCOUNT, DUE, 3_000, 25).await.unwrap();
        other.commit().await.unwrap();
        tx.commit().await.unwrap();
        theirs
    } else {
        tx.commit().await.unwrap();
        commit!(at, |tx| due::lease(tx, ACCOUNT, DUE, 3_000, 25))
    };
    assert_eq!((ours.len(), theirs.len()), (25, 15));
    assert!(ids(&ours).is_disjoint(&ids(&theirs)));
}

async fn what_lives_comes_in_pages(at: TestDatabase) {
    commit!(at, |tx| calls::upsert(tx, &mixed()));
    let list = async |after: &str, limit| due::list_live(&at.db, ACCOUNT, after, limit).await.unwrap();
    assert_eq!(ids(&list("", 9).await), ["CA1", "CA2", "CA3", "CA5"].into());
    assert_eq!(ids(&list("CA1", 2).await), ["CA2", "CA3"].into());
    assert_eq!(ids(&list("CA5", 2).await), [].into());
}
