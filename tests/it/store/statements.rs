//! Every statement is understood by the database it is for.

use crate::support::database::TestDatabase;
use onhook::store::STATEMENTS;
use sqlx::{Connection, Either, Executor, SqlSafeStr, SqliteConnection, Statement};
use std::collections::BTreeSet;

#[tokio::test]
async fn sqlite_prepares_every_statement() {
    let at = TestDatabase::sqlite().await;
    let mut connection = SqliteConnection::connect(&at.place.url).await.unwrap();
    assert!(
        connection.prepare("SELECT missing FROM call".into_sql_str()).await.is_err(),
        "an unknown column is noticed"
    );
    for (file, statements) in STATEMENTS {
        for sql in *statements {
            if let Err(error) = connection.prepare(sql.sqlite.into_sql_str()).await {
                panic!("{file}::{}: {error}\n{}", sql.name, sql.sqlite);
            }
        }
    }
}

#[tokio::test]
async fn postgres_prepares_every_statement() {
    let at = TestDatabase::postgres().await;
    let mut connection = at.place.postgres_connection().await;
    connection.execute("SET search_path = onhook").await.unwrap();
    assert!(
        connection.prepare("SELECT missing FROM call".into_sql_str()).await.is_err(),
        "an unknown column is noticed"
    );
    for (file, statements) in STATEMENTS {
        for sql in *statements {
            let prepared = match connection.prepare(sql.postgres.into_sql_str()).await {
                Ok(prepared) => prepared,
                Err(error) => panic!("{file}::{}: {error}\n{}", sql.name, sql.postgres),
            };
            // A placeholder that PostgreSQL takes for something else than what we bind would only fail when it runs.
            let Some(Either::Left(types)) = prepared.parameters() else { continue };
            for (n, kind) in types.iter().enumerate() {
                let kind = kind.to_string();
                let is_ours = ["TEXT", "INT8", "BOOL", "BYTEA"].contains(&kind.trim_end_matches("[]"));
                assert!(is_ours, "{file}::{}: ${} is {kind}", sql.name, n + 1);
            }
        }
    }
}

#[test]
fn every_statement_has_a_name_of_its_own() {
    for (file, statements) in STATEMENTS {
        let names: BTreeSet<_> = statements.iter().map(|sql| sql.name).collect();
        assert_eq!(names.len(), statements.len(), "{file}");
    }
}

/// Without statistics SQLite takes every tenant for ten rows and scans it; the migration ships statistics.
#[tokio::test]
async fn sqlite_finds_rows_by_more_than_the_tenant() {
    let at = TestDatabase::sqlite().await;
    let mut connection = SqliteConnection::connect(&at.place.url).await.unwrap();
    // What walks through a tenant on purpose: pages of lists, ordered by the index they walk; and the runs of
    // a tenant, once for a lost answer.
    let walks = [
        "calls::LIST",
        "leads::LIST",
        "keys::LIST",
        "accounts::LIST",
        "calls::EXISTS_ELSEWHERE",
        "voice::LIST",
        "rivals::LIST_SETTINGS",
    ];
    let mut scans = Vec::new();
    for (file, statements) in STATEMENTS {
        for sql in *statements {
            let name = format!("{file}::{}", sql.name);
            let plan = format!("EXPLAIN QUERY PLAN {}", sql.sqlite);
            let rows = sqlx::query(sqlx::AssertSqlSafe(plan)).fetch_all(&mut connection).await.unwrap();
            for row in rows {
                let detail: String = sqlx::Row::get(&row, "detail");
                // The first is a foreign key's look-up; the second holds the calls that are under way, and nothing else.
                let small = ["api_key_by_tenant", "slot_held"];
                let by_tenant_only = detail.contains("(tenant=?)")
                    && !small.iter().any(|index| detail.contains(index))
                    && !walks.contains(&name.as_str());
                let of_ours = [
                    "call", "lead", "contact", "activity", "delivery", "signal", "journal", "expected", "outbox",
                    "run", "job", "slot", "hangup",
                ]
                .iter()
                .any(|t| detail.starts_with(&format!("SCAN {t}")) && !detail.contains("USING"));
                if by_tenant_only || of_ours {
                    scans.push(format!("{name}: {detail}"));
                }
            }
        }
    }
    assert!(scans.is_empty(), "these read what is stored, not what is asked for:\n  {}", scans.join("\n  "));
}
