//! Calls: written as sets, found by either id, listed by every filter.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    calls::{self, CallFilter, CallRow, LegKey},
    tenants::{self, TenantRow},
};

on_both! {
    every_column_comes_back,
    calls_are_found_by_either_id,
    calls_come_in_pages_newest_first,
    every_filter_filters,
    silent_calls_depend_on_their_state,
    a_conversation_comes_with_its_legs,
    legs_come_in_pages,
    all_calls_can_be_walked_through,
    locked_conversations_are_changed_one_after_the_other,
}

fn call(n: u32) -> CallRow {
    CallRow {
        tenant: "acme".into(),
        provider_id: format!("CA{n}"),
        account: "AC1".into(),
        id: format!("call_{n}"),
        provider: "twilio".into(),
        registers: "{}".into(),
        status: "ringing".into(),
        created_at_ms: i64::from(n),
        last_signal_ms: i64::from(n),
        ..CallRow::default()
    }
}

fn full() -> CallRow {
    let text = |text: &str| Some(text.to_owned());
    CallRow {
        registers: r#"{"a":"\u0001 'quoted' \" \\ ünï"}"#.into(),
        parent_id: text("CA0"),
        merged_into: text("CA9"),
        direction: text("inbound"),
        from: text("+14155550101"),
        to: text("client:ann"),
        extension: text("100"),
        user_id: text("u\n1"),
        lead_id: text("l'1"),
        job_id: text("j"),
        run_id: text("r"),
        status: "completed".into(),
        resolution: text("callback"),
        estimated: true,
        ended_at_max_ms: Some(1),
        hangup_cause: text("normal"),
        created_at_ms: i64::MIN,
        initiated_at_ms: Some(-1),
        ringing_at_ms: Some(0),
        answered_at_ms: Some(3),
        ended_at_ms: Some(i64::MAX),
        talk_seconds: Some(5),
        answered_by: text("human"),
        recording_url: text("https://example.com/r"),
        recording_seconds: Some(6),
        alive_ms: Some(7),
        due_at_ms: Some(8),
        last_signal_ms: 1 << 60,
        deliveries: 9,
        repeats: 10,
        effects: 11,
        verified: true,
        ..call(1)
    }
}

fn key(row: &CallRow) -> LegKey {
    LegKey { tenant: row.tenant.clone(), provider_id: row.provider_id.clone(), account: row.account.clone() }
}

fn ids(rows: &[CallRow]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

async fn every_column_comes_back(at: TestDatabase) {
    commit!(at, |tx| calls::upsert(tx, &[call(1), full_of(2)]));
    let found = calls::find(&at.db, "acme", "call_1", None).await.unwrap();
    assert_eq!(found, [call(1)]);
    // The same key again: every column is replaced, in both directions.
    commit!(at, |tx| calls::upsert(tx, &[full(), call(2)]));
    assert_eq!(calls::find(&at.db, "acme", "call_1", None).await.unwrap(), [full()]);
    assert_eq!(calls::find(&at.db, "acme", "call_2", None).await.unwrap(), [call(2)]);
    commit!(at, |tx| calls::upsert(tx, &[]));
}

fn full_of(n: u32) -> CallRow {
    CallRow { id: format!("call_{n}"), provider_id: format!("CA{n}"), ..full() }
}

async fn calls_are_found_by_either_id(at: TestDatabase) {
    for tenant in ["acme", "other"] {
        commit!(at, |tx| tenants::insert(tx, &TenantRow { id: tenant.into(), name: "n".into(), created_ms: 1 }));
    }
    let elsewhere = CallRow { account: "AC2".into(), id: "call_9".into(), ..call(1) };
    commit!(at, |tx| calls::upsert(tx, &[call(1), elsewhere.clone(), call(2)]));
    assert_eq!(calls::find(&at.db, "acme", "CA2", None).await.unwrap(), [call(2)]);
    assert_eq!(calls::find(&at.db, "acme", "CA1", None).await.unwrap(), [call(1), elsewhere.clone()]);
    assert_eq!(calls::find(&at.db, "acme", "CA1", Some("AC2")).await.unwrap(), [elsewhere]);
    assert_eq!(calls::find(&at.db, "acme", "call_2", Some("AC2")).await.unwrap(), []);
    assert_eq!(calls::find(&at.db, "other", "CA1", None).await.unwrap(), []);

    assert!(calls::exists_elsewhere(&at.db, "other", "CA1").await.unwrap());
    assert!(calls::exists_elsewhere(&at.db, "other", "call_1").await.unwrap());
    assert!(!calls::exists_elsewhere(&at.db, "acme", "CA1").await.unwrap());
    assert!(!calls::exists_elsewhere(&at.db, "other", "CA7").await.unwrap());
}

async fn calls_come_in_pages_newest_first(at: TestDatabase) {
    let rows: Vec<CallRow> = (1..=5).map(call).collect();
    commit!(at, |tx| calls::upsert(tx, &rows));
    let all = CallFilter::default();
    let page = calls::list(&at.db, "acme", &all, None, 2).await.unwrap();
    assert_eq!(ids(&page), ["call_5", "call_4"]);
    let page = calls::list(&at.db, "acme", &all, Some("call_4"), 9).await.unwrap();
    assert_eq!(ids(&page), ["call_3", "call_2", "call_1"]);
    assert_eq!(calls::list(&at.db, "other", &all, None, 9).await.unwrap(), []);
}

async fn every_filter_filters(at: TestDatabase) {
    let wanted = CallRow { account: "AC7".into(), provider: "ami".into(), merged_into: None, ..full_of(2) };
    let wanted = CallRow { resolution: None, created_at_ms: 100, ..wanted };
    commit!(at, |tx| calls::upsert(tx, &[full(), wanted.clone(), call(3)]));
    let some = |text: &str| Some(text.to_owned());
    let filters = [
        CallFilter { status: some("ringing"), ..CallFilter::default() },
        CallFilter { live: Some(true), lead_id: some("l'1"), ..CallFilter::default() },
        CallFilter { live: Some(false), ..CallFilter::default() },
        CallFilter { lead_id: some("l'1"), ..CallFilter::default() },
        CallFilter { user_id: some("u\n1"), ..CallFilter::default() },
        CallFilter { extension: some("100"), ..CallFilter::default() },
        CallFilter { run_id: some("r"), ..CallFilter::default() },
        CallFilter { provider: some("ami"), ..CallFilter::default() },
        CallFilter { account: some("AC7"), ..CallFilter::default() },
        CallFilter { from: some("+14155550101"), ..CallFilter::default() },
        CallFilter { to: some("client:ann"), ..CallFilter::default() },
        CallFilter { since_ms: Some(3), ..CallFilter::default() },
        CallFilter { since_ms: Some(3), until_ms: Some(100), ..CallFilter::default() },
        CallFilter { status: some("completed"), provider: some("twilio"), ..CallFilter::default() },
        CallFilter { status: some("nothing"), ..CallFilter::default() },
    ];
    let mut listed = Vec::new();
    for filter in &filters {
        let page = calls::list(&at.db, "acme", filter, None, 9).await.unwrap();
        listed.push(ids(&page).join(" ").replace("call_", ""));
    }
    let both = "2 1";
    let expected = ["3", "2", "1", both, both, both, both, "2", "2", both, both, "3 2", "3", "1", ""];
    assert_eq!(listed, expected);
}

async fn silent_calls_depend_on_their_state(at: TestDatabase) {
    let row = |n, status: &str, alive_ms| CallRow { status: status.into(), alive_ms, created_at_ms: 1, ..call(n) };
    let rows = [
        row(1, "ringing", Some(50)),
        row(2, "ringing", Some(51)),
        row(3, "in-progress", Some(20)),
        row(4, "in-progress", Some(21)),
        row(5, "queued", None),
        CallRow { resolution: Some("callback".into()), ..row(6, "in-progress", None) },
    ];
    commit!(at, |tx| calls::upsert(tx, &rows));
    let filter = CallFilter { silent_since_ms: Some((20, 50)), ..CallFilter::default() };
    let page = calls::list(&at.db, "acme", &filter, None, 9).await.unwrap();
    assert_eq!(ids(&page), ["call_5", "call_3", "call_1"]);
    let filter = CallFilter { sign_after_ms: Some((20, 50)), ..CallFilter::default() };
    let page = calls::list(&at.db, "acme", &filter, None, 9).await.unwrap();
    assert_eq!(ids(&page), ["call_6", "call_4", "call_2"], "all others");
}

async fn a_conversation_comes_with_its_legs(at: TestDatabase) {
    let leg = |n, parent: &str| CallRow { parent_id: Some(parent.into()), ..call(n) };
    let foreign = CallRow { account: "AC2".into(), ..leg(5, "CA1") };
    commit!(at, |tx| calls::upsert(tx, &[call(1), leg(2, "CA1"), leg(3, "CA1"), call(4), foreign, leg(6, "CA4")]));
    let listed = commit!(at, |tx| calls::list_conversations(tx, &[key(&call(1)), key(&call(2))]));
    let mut listed: Vec<&str> = ids(&listed);
    listed.sort_unstable();
    listed.dedup();
    assert_eq!(listed, ["call_1", "call_2", "call_3"]);
    assert_eq!(commit!(at, |tx| calls::list_conversations(tx, &[])), []);
}

async fn legs_come_in_pages(at: TestDatabase) {
    let leg = |n, parent: &str| CallRow { parent_id: Some(parent.into()), ..call(n) };
    commit!(at, |tx| calls::upsert(tx, &[call(1), leg(2, "CA1"), leg(3, "CA1"), leg(4, "CA1"), leg(5, "CA2")]));
    let page = calls::list_legs(&at.db, "acme", "AC1", "CA1", "", 2).await.unwrap();
    assert_eq!(ids(&page), ["call_2", "call_3"]);
    let page = calls::list_legs(&at.db, "acme", "AC1", "CA1", "CA3", 2).await.unwrap();
    assert_eq!(ids(&page), ["call_4"]);
    assert_eq!(calls::list_legs(&at.db, "acme", "AC2", "CA1", "", 2).await.unwrap(), []);
}

async fn all_calls_can_be_walked_through(at: TestDatabase) {
    let other = |tenant: &str, account: &str, n| CallRow { tenant: tenant.into(), account: account.into(), ..call(n) };
    let rows = [
        other("a", "AC2", 1),
        call(2),
        CallRow { id: "call_8".into(), ..other("acme", "AC2", 2) },
        other("b", "AC1", 1),
    ];
    commit!(at, |tx| calls::upsert(tx, &rows));
    let mut after = LegKey { tenant: String::new(), provider_id: String::new(), account: String::new() };
    let mut seen = Vec::new();
    while let Some(row) = calls::list_all(&at.db, &after, 1).await.unwrap().pop() {
        after = key(&row);
        seen.push(row);
    }
    assert_eq!(seen, rows);
    assert_eq!(calls::list_all(&at.db, &key(&rows[0]), 2).await.unwrap(), rows[1..3]);
}

/// Each adds one to what it reads. Without the lock, two that read the same would count once.
async fn locked_conversations_are_changed_one_after_the_other(at: TestDatabase) {
    const ROUNDS: i64 = 20;
    commit!(at, |tx| calls::upsert(tx, &[call(1), call(2)]));
    let count = |mut keys: Vec<LegKey>| {
        let db = at.db.clone();
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                // Either order: the keys are locked in one order whatever the batch names first.
                keys.reverse();
                let mut tx = db.begin().await.unwrap();
                calls::lock(&mut tx, &keys).await.unwrap();
                let mut rows = calls::list_conversations(&mut tx, &keys).await.unwrap();
                rows.iter_mut().for_each(|row| row.deliveries += 1);
                tokio::task::yield_now().await;
                calls::upsert(&mut tx, &rows).await.unwrap();
                tx.commit().await.unwrap();
            }
        })
    };
    let both = vec![key(&call(1)), key(&call(2))];
    let turned = both.iter().rev().cloned().collect();
    let tasks = [count(both.clone()), count(turned), count(vec![key(&call(1))]), count(both)];
    for task in tasks {
        task.await.unwrap();
    }
    let deliveries = |found: Vec<CallRow>| found[0].deliveries;
    assert_eq!(deliveries(calls::find(&at.db, "acme", "CA1", None).await.unwrap()), 4 * ROUNDS);
    assert_eq!(deliveries(calls::find(&at.db, "acme", "CA2", None).await.unwrap()), 3 * ROUNDS);
}

/// The lock itself: the same key waits, another key does not, and the commit lets the next one in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_held_until_the_commit() {
    let at = TestDatabase::postgres().await;
    let mut holder = at.db.begin().await.unwrap();
    calls::lock(&mut holder, &[key(&call(1)), key(&call(2))]).await.unwrap();

    let mut passer = at.db.begin().await.unwrap();
    calls::lock(&mut passer, &[key(&call(3))]).await.unwrap();
    drop(passer);

    let node = at.another_node().await;
    let waiter = tokio::spawn(async move {
        let mut tx = node.begin().await.unwrap();
        calls::lock(&mut tx, &[key(&call(3)), key(&call(2))]).await.unwrap();
    });
    at.place.until_waiting(1).await;
    assert!(!waiter.is_finished());
    holder.commit().await.unwrap();
    waiter.await.unwrap();
}
