//! The documented trigger: the user's own leads table is updated in the same transaction.

use crate::{
    ingest::{CALL, completed, node, signal, submission},
    support::{database::TestDatabase, gateway::START_MS},
};
use onhook::{
    domain::{signal::Claim, state::Live},
    ingest::Submitted,
};
use sqlx::Executor;

/// A connection of the user's, after the recipe of docs/leads-in-your-own-table.md was run on it word for word.
async fn with_recipe(at: &TestDatabase) -> sqlx::PgConnection {
    let page = include_str!("../../docs/leads-in-your-own-table.md");
    let recipe = page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let mut own = at.place.postgres_connection().await;
    own.execute(sqlx::AssertSqlSafe(recipe)).await.unwrap();
    own
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_trigger_updates_the_users_own_table() {
    let at = TestDatabase::postgres().await;
    let mut own = with_recipe(&at).await;
    own.execute("INSERT INTO public.leads (id) VALUES ('lead-1'), ('lead-2')").await.unwrap();
    let (ingest, _) = node(&at.db, 1);
    let child = "CA00000000000000000000000000000043";
    let theirs = "SELECT status, contact_count, extract(epoch FROM last_contacted_at)::bigint * 1000 FROM public.leads ORDER BY id";

    ingest.submit(submission(signal(CALL, completed(9), Some(START_MS + 9_000), None), "1")).await.unwrap();
    let rows: Vec<(String, i32, Option<i64>)> = sqlx::query_as(theirs).fetch_all(&mut own).await.unwrap();
    assert_eq!(rows[0], ("contacted".into(), 1, Some(START_MS + 9_000)));
    assert_eq!(rows[1], ("new".into(), 0, None), "nobody spoke with the other one");

    let ringing = signal(child, Claim::Live(Live::Ringing), Some(START_MS), Some(CALL));
    ingest.submit(submission(ringing, "2")).await.unwrap();
    let rows: Vec<(String, i32, Option<i64>)> = sqlx::query_as(theirs).fetch_all(&mut own).await.unwrap();
    assert_eq!(rows[0], ("new".into(), 0, None), "the customer's leg has not answered: no contact after all");
}

/// Two conversations of one lead end at the same moment on two nodes: the recipe counts both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_trigger_counts_what_two_nodes_write() {
    let at = TestDatabase::postgres().await;
    let mut own = with_recipe(&at).await;
    own.execute("INSERT INTO public.leads (id) VALUES ('lead-1')").await.unwrap();
    let other = at.another_node().await;
    let nodes = [node(&at.db, 1).0, node(&other, 2).0];
    let mut tasks = Vec::new();
    for n in 0..60_usize {
        let ingest = nodes[n % 2].clone();
        tasks.push(tokio::spawn(async move {
            let call = format!("CA{n:032x}");
            ingest.submit(submission(signal(&call, completed(9), Some(START_MS + 9_000), None), &call)).await.unwrap()
        }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), Submitted::Stored);
    }
    let row: (String, i32) =
        sqlx::query_as("SELECT status, contact_count FROM public.leads").fetch_one(&mut own).await.unwrap();
    assert_eq!(row, ("contacted".into(), 60));
}
