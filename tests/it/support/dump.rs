//! Everything a database holds, as text: what a search for a number must not find.

use super::database::Place;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, query_as};

/// Each row of each table: text as it is, bytes as hex.
pub async fn dump(place: &Place) -> Vec<String> {
    if place.url.starts_with("sqlite") { sqlite(place).await } else { postgres(place).await }
}

async fn sqlite(place: &Place) -> Vec<String> {
    let mut db = SqliteConnection::connect(&place.url).await.unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%'";
    let tables: Vec<(String,)> = query_as(tables).fetch_all(&mut db).await.unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    let mut rows = Vec::new();
    for (table,) in tables {
        let columns: Vec<(String,)> =
            query_as("SELECT name FROM pragma_table_info(?)").bind(&table).fetch_all(&mut db).await.unwrap();
        let text = |column: &String| {
            format!(
                "CASE typeof(\"{column}\") WHEN 'blob' THEN hex(\"{column}\") ELSE coalesce(CAST(\"{column}\" AS TEXT), '') END"
            )
        };
        let texts: Vec<String> = columns.iter().map(|(column,)| text(column)).collect();
        let sql = format!("SELECT '{table}: ' || {} FROM \"{table}\"", texts.join(" || ' | ' || "));
        let found: Vec<(String,)> = query_as(AssertSqlSafe(sql)).fetch_all(&mut db).await.unwrap();
        rows.extend(found.into_iter().map(|(row,)| row));
    }
    db.close().await.unwrap();
    rows
}

async fn postgres(place: &Place) -> Vec<String> {
    let mut db = place.postgres_connection().await;
    let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'onhook'";
    let tables: Vec<(String,)> = query_as(tables).fetch_all(&mut db).await.unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    let mut rows = Vec::new();
    for (table,) in tables {
        // Bytes are written as hex by `row_to_json`.
        let sql = format!("SELECT '{table}: ' || row_to_json(t)::text FROM onhook.\"{table}\" t");
        let found: Vec<(String,)> = query_as(AssertSqlSafe(sql)).fetch_all(&mut db).await.unwrap();
        rows.extend(found.into_iter().map(|(row,)| row));
    }
    rows
}

/// The rows in which a text stands, as itself or as bytes.
pub fn with<'a>(rows: &'a [String], text: &str) -> Vec<&'a str> {
    let hex = hex::encode(text);
    let is_in = |row: &&String| row.contains(text) || row.to_lowercase().contains(&hex);
    rows.iter().filter(is_in).map(String::as_str).collect()
}
