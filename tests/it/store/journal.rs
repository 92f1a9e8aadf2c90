//! The journal: a reader that follows it misses nothing, however slowly its writers commit.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    Db, Tx,
    journal::{self, CALL, Entry, LEAD, NewEntry},
};
use sqlx::{Connection, Executor, PgConnection, query_scalar};
use std::{collections::BTreeSet, time::Duration};
use tokio::{task::JoinSet, time::timeout};

on_both! { entries_come_back_in_order, a_follower_misses_nothing }

fn entry(subject: &str) -> NewEntry {
    NewEntry { tenant: "acme".into(), kind: CALL, subject: subject.into(), at_ms: 1, what: "{}".into() }
}

fn subjects(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.subject.as_str()).collect()
}

async fn entries_come_back_in_order(at: TestDatabase) {
    let lead = NewEntry { kind: LEAD, what: r#"{"a":"'"}"#.into(), at_ms: 9, ..entry("a") };
    commit!(at, |tx| journal::append(tx, &[entry("a"), entry("b"), lead, entry("a")]));
    commit!(at, |tx| journal::append(tx, &[NewEntry { tenant: "other".into(), ..entry("a") }]));
    commit!(at, |tx| journal::append(tx, &[]));
    let all = journal::list_after(&at.db, 0, 99).await.unwrap();
    assert_eq!(subjects(&all), ["a", "b", "a", "a", "a"]);
    assert!(all.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    assert_eq!((all[2].kind.as_str(), all[2].at_ms, all[2].what.as_str()), (LEAD, 9, r#"{"a":"'"}"#));
    assert_eq!(journal::list_after(&at.db, all[0].seq, 2).await.unwrap(), all[1..3]);
    assert_eq!(journal::list_after(&at.db, all[4].seq, 2).await.unwrap(), []);

    let of_a = |after, limit| journal::list_of_subject(&at.db, "acme", CALL, "a", after, limit);
    assert_eq!(of_a(0, 9).await.unwrap(), [all[0].clone(), all[3].clone()]);
    assert_eq!(of_a(0, 1).await.unwrap(), [all[0].clone()]);
    assert_eq!(of_a(all[0].seq, 9).await.unwrap(), [all[3].clone()]);
    let of_lead = journal::list_of_subject(&at.db, "acme", LEAD, "a", 0, 9).await.unwrap();
    assert_eq!(of_lead, [all[2].clone()]);
}

/// Writers that take their time before, between and after what they append, and a reader that never looks back.
async fn a_follower_misses_nothing(at: TestDatabase) {
    const WRITERS: usize = 6;
    const ROUNDS: usize = 25;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        // Other nodes, so that nothing but the database keeps them in order. A file has one.
        let db = match at.db.kind() {
            "sqlite" => at.db.clone(),
            _ => at.another_node().await,
        };
        writers.spawn(async move {
            for round in 0..ROUNDS {
                let name = format!("{writer}.{round}");
                let mut tx = db.begin().await.unwrap();
                dawdle(&mut tx, writer * 7 + round * 3).await;
                journal::append(&mut tx, &[entry(&name), entry(&name)]).await.unwrap();
                dawdle(&mut tx, writer * 5 + round).await;
                if round % 5 == 4 {
                    drop(tx);
                } else {
                    tx.commit().await.unwrap();
                }
            }
        });
    }
    let reader = tokio::spawn(follow(at.db.clone(), WRITERS * ROUNDS * 2 * 4 / 5));
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let seen = timeout(PATIENCE, reader).await.expect("the follower has missed entries").unwrap();
    let all: Vec<i64> = journal::list_after(&at.db, 0, 9_999).await.unwrap().iter().map(|entry| entry.seq).collect();
    assert_eq!(seen, all);
}

/// Reads on from where it is until it has seen `count` entries.
async fn follow(db: Db, count: usize) -> Vec<i64> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let after = seen.last().copied().unwrap_or_default();
        let page = journal::list_after(&db, after, 3).await.unwrap();
        seen.extend(page.iter().map(|entry| entry.seq));
        tokio::task::yield_now().await;
    }
    seen
}

/// Stays in the transaction for up to 4 ms. SQLite has one writer at a time: there is nobody to be overtaken by.
async fn dawdle(tx: &mut Tx, n: usize) {
    match tx {
        Tx::Sqlite(_) => tokio::task::yield_now().await,
        Tx::Postgres(raw) => {
            let pause = ["SELECT pg_sleep(0)", "SELECT pg_sleep(0.001)", "SELECT 1", "SELECT pg_sleep(0.004)"][n % 4];
            raw.execute(pause).await.unwrap();
        }
    }
}

/// One is slow to commit, the other would overtake it: it has to wait, and the reader sees both in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_overtakes_a_slow_commit() {
    let at = TestDatabase::postgres().await;
    let mut slow = at.db.begin().await.unwrap();
    journal::append(&mut slow, &[entry("slow")]).await.unwrap();
    let node = at.another_node().await;
    let fast = tokio::spawn(async move {
        let mut tx = node.begin().await.unwrap();
        journal::append(&mut tx, &[entry("fast")]).await.unwrap();
        tx.commit().await.unwrap();
    });
    at.place.until_waiting(1).await;
    assert_eq!(journal::list_after(&at.db, 0, 9).await.unwrap(), []);
    slow.commit().await.unwrap();
    fast.await.unwrap();
    let all = journal::list_after(&at.db, 0, 9).await.unwrap();
    assert_eq!(subjects(&all), ["slow", "fast"]);
}

/// The control: the same without the lock. Whoever reads between the two commits never sees the slow one.
#[tokio::test]
async fn without_the_lock_a_follower_misses_entries() {
    let at = TestDatabase::postgres().await;
    let (mut slow, mut fast) = (at.place.postgres_connection().await, at.place.postgres_connection().await);
    slow.execute("BEGIN").await.unwrap();
    let first = insert_without_lock(&mut slow, "slow").await;
    let second = insert_without_lock(&mut fast, "fast").await;
    assert!(first < second);
    let mut seen: BTreeSet<i64> = BTreeSet::new();
    seen.extend(journal::list_after(&at.db, 0, 9).await.unwrap().iter().map(|entry| entry.seq));
    assert_eq!(seen, BTreeSet::from([second]));
    slow.execute("COMMIT").await.unwrap();
    assert_eq!(journal::list_after(&at.db, second, 9).await.unwrap(), [], "the slow one is behind the reader now");
    slow.close().await.unwrap();
}

async fn insert_without_lock(connection: &mut PgConnection, subject: &str) -> i64 {
    let insert = "INSERT INTO onhook.journal (tenant, kind, subject, at_ms, what)
                  VALUES ('acme', 'call', $1, 1, '{}') RETURNING seq";
    query_scalar(insert).bind(subject).fetch_one(connection).await.unwrap()
}

const PATIENCE: Duration = Duration::from_secs(60);
