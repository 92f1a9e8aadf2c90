//! Runs: one row each, and how many of their jobs are so.

use super::{commit, jobs::job};
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    StoreError,
    jobs::{self, JobRow},
    runs::{self, JobCount, RunFilter, RunKey, RunRow},
};
use std::time::Duration;

on_both! {
    a_run_comes_back_as_it_was_written,
    a_key_has_one_run,
    runs_come_newest_first,
    open_runs_come_in_pages,
    jobs_are_counted,
    runs_are_counted_by_state,
    one_changes_the_runs_of_a_tenant_at_a_time,
}

pub(crate) fn run(n: u32, state: &str) -> RunRow {
    RunRow {
        tenant: "acme".into(),
        id: format!("run_{n}"),
        state: state.into(),
        worker: "internal".into(),
        account: "AC1".into(),
        provider: "twilio".into(),
        settings: "{}".into(),
        place_every_us: 1_000_000,
        calls_max: 5,
        created_ms: i64::from(n),
        ..RunRow::default()
    }
}

fn full() -> RunRow {
    RunRow {
        key: Some("spring".into()),
        name: Some("it's \"spring\"".into()),
        place_next_us: 3,
        holder: Some("node-a".into()),
        token: 4,
        lease_until_ms: 5,
        leased_ms: Some(12),
        beat_ms: Some(6),
        progress_ms: Some(7),
        started_ms: Some(8),
        cancel_ms: Some(9),
        ended_ms: Some(10),
        last_error: Some("büsy".into()),
        last_error_ms: Some(11),
        ..run(1, "failed")
    }
}

async fn a_run_comes_back_as_it_was_written(at: TestDatabase) {
    commit!(at, |tx| runs::insert(tx, &full()));
    assert_eq!(runs::find(&at.db, "acme", "run_1").await.unwrap(), Some(full()));
    assert_eq!(runs::find(&at.db, "other", "run_1").await.unwrap(), None);
    let key = |run_id: &str| RunKey { tenant: "acme".into(), run_id: run_id.into() };
    assert_eq!(runs::list_by_keys(&at.db, &[key("run_2"), key("run_1")]).await.unwrap(), [full()]);
    assert_eq!(runs::list_by_keys(&at.db, &[]).await.unwrap(), []);
    assert_eq!(runs::owner(&at.db, "run_1").await.unwrap(), Some("acme".into()));
    assert_eq!(runs::owner(&at.db, "run_2").await.unwrap(), None);
    let other = RunRow { tenant: "other".into(), ..run(2, "pending") };
    commit!(at, |tx| runs::insert(tx, &other));
    let emptied = RunRow {
        key: full().key,
        state: "paused".into(),
        calls_max: 6,
        settings: "{\"from\":null}".into(),
        ..run(1, "")
    };
    commit!(at, |tx| runs::update(tx, &emptied));
    assert_eq!(runs::find(&at.db, "acme", "run_1").await.unwrap(), Some(emptied));
    commit!(at, |tx| runs::update(tx, &RunRow { tenant: "other".into(), ..full() }));
    assert_eq!(runs::find(&at.db, "other", "run_1").await.unwrap(), None, "an update makes none");
    assert_eq!(runs::find(&at.db, "other", "run_2").await.unwrap(), Some(other));
}

async fn a_key_has_one_run(at: TestDatabase) {
    let keyed = |n, tenant: &str| RunRow { key: Some("spring".into()), tenant: tenant.into(), ..run(n, "pending") };
    commit!(at, |tx| runs::insert(tx, &keyed(1, "acme")));
    commit!(at, |tx| runs::insert(tx, &keyed(2, "other")));
    commit!(at, |tx| runs::insert(tx, &run(3, "pending")));
    commit!(at, |tx| runs::insert(tx, &run(4, "pending")));
    let mut tx = at.db.begin().await.unwrap();
    let again = runs::insert(&mut tx, &keyed(5, "acme")).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
    drop(tx);
    assert_eq!(runs::find_by_key(&at.db, "acme", "spring").await.unwrap(), Some(keyed(1, "acme")));
    assert_eq!(runs::find_by_key(&at.db, "acme", "autumn").await.unwrap(), None);
}

async fn runs_come_newest_first(at: TestDatabase) {
    let rows = [run(1, "running"), run(2, "pending"), RunRow { worker: "external".into(), ..run(3, "running") }];
    for row in &rows {
        commit!(at, |tx| runs::insert(tx, row));
    }
    commit!(at, |tx| runs::insert(tx, &RunRow { tenant: "other".into(), ..run(4, "running") }));
    let same_time = RunRow { created_ms: 3, ..run(5, "completed") };
    commit!(at, |tx| runs::insert(tx, &same_time));
    let all = RunFilter::default();
    let list = async |filter: &RunFilter, before, limit| {
        let page = runs::list(&at.db, "acme", filter, before, limit).await.unwrap();
        page.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let from_top = (i64::MAX, "~");
    assert_eq!(list(&all, from_top, 2).await, ["run_5", "run_3"]);
    assert_eq!(list(&all, (3, "run_5"), 9).await, ["run_3", "run_2", "run_1"]);
    let running = RunFilter { state: Some("running".into()), ..all.clone() };
    assert_eq!(list(&running, from_top, 9).await, ["run_3", "run_1"]);
    let external = RunFilter { worker: Some("external".into()), ..all };
    assert_eq!(list(&external, from_top, 9).await, ["run_3"]);
}

async fn open_runs_come_in_pages(at: TestDatabase) {
    for (n, state) in
        ["pending", "running", "paused", "cancelling", "completed", "cancelled", "failed"].iter().enumerate()
    {
        commit!(at, |tx| runs::insert(tx, &run(u32::try_from(n).unwrap(), state)));
    }
    commit!(at, |tx| runs::insert(tx, &RunRow { tenant: "other".into(), ..run(9, "running") }));
    let list = async |after, limit| {
        let page = runs::list_open(&at.db, after, limit).await.unwrap();
        page.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(list(("", ""), 2).await, ["run_1", "run_2"]);
    assert_eq!(list(("acme", "run_2"), 9).await, ["run_3", "run_9"]);
}

async fn runs_are_counted_by_state(at: TestDatabase) {
    assert_eq!(runs::count_states(&at.db, 10).await.unwrap(), []);
    for (n, tenant, state) in [(1, "acme", "running"), (2, "other", "running"), (3, "acme", "paused")] {
        commit!(at, |tx| runs::insert(tx, &RunRow { tenant: tenant.into(), ..run(n, state) }));
    }
    assert_eq!(runs::count_states(&at.db, 10).await.unwrap(), [("paused".into(), 1), ("running".into(), 2)]);
    let some: i64 = runs::count_states(&at.db, 2).await.unwrap().iter().map(|(_, runs)| runs).sum();
    assert_eq!(some, 2, "of at most so many");
}

async fn jobs_are_counted(at: TestDatabase) {
    let done = |n, outcome: &str| JobRow { outcome: Some(outcome.into()), ..job(n, "done") };
    let other = JobRow { run_id: "run_2".into(), ..job(5, "queued") };
    let unasked = JobRow { run_id: "run_3".into(), ..job(6, "queued") };
    let theirs = JobRow { tenant: "other".into(), ..job(7, "queued") };
    let rows = [done(1, "completed"), done(2, "completed"), done(3, "busy"), job(4, "queued"), other, unasked, theirs];
    commit!(at, |tx| jobs::insert(tx, &rows));
    let ids = ["run_1".to_owned(), "run_2".to_owned(), "run_9".to_owned()];
    let mut counts = runs::count_jobs(&at.db, "acme", &ids).await.unwrap();
    counts.sort_by(|a, b| (&a.run_id, &a.state, &a.outcome).cmp(&(&b.run_id, &b.state, &b.outcome)));
    let count = |run_id: &str, state: &str, outcome: Option<&str>, jobs| JobCount {
        run_id: run_id.into(),
        state: state.into(),
        outcome: outcome.map(Into::into),
        jobs,
    };
    let expected = [
        count("run_1", "done", Some("busy"), 1),
        count("run_1", "done", Some("completed"), 2),
        count("run_1", "queued", None, 1),
        count("run_2", "queued", None, 1),
    ];
    assert_eq!(counts, expected);
    assert_eq!(runs::count_jobs(&at.db, "acme", &[]).await.unwrap(), []);
}

/// On PostgreSQL the second one waits for the first; on SQLite nobody else writes anyway.
async fn one_changes_the_runs_of_a_tenant_at_a_time(at: TestDatabase) {
    let mut first = at.db.begin().await.unwrap();
    runs::lock(&mut first, "acme").await.unwrap();
    runs::lock(&mut first, "acme").await.expect("it has it already");
    if at.db.kind() == "postgres" {
        let other = at.another_node().await;
        let second = async |tenant| {
            let mut tx = other.begin().await.unwrap();
            runs::lock(&mut tx, tenant).await.unwrap();
            tx.commit().await.unwrap();
        };
        let mut waits = std::pin::pin!(second("acme"));
        let early = tokio::time::timeout(Duration::from_millis(100), waits.as_mut()).await;
        assert!(early.is_err(), "both have the lock");
        second("other").await;
        first.commit().await.unwrap();
        waits.await;
    } else {
        first.commit().await.unwrap();
    }
}
