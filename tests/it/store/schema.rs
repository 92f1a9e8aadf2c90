//! The two migration folders make the same tables.

use crate::support::database::TestDatabase;
use sqlx::{Connection, SqliteConnection, query_as};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// In order: name, SQLite's type, whether it may be NULL.
    columns: Vec<(String, String, bool)>,
    primary_key: Vec<String>,
    /// Name, columns, whether it is unique, and the condition of a partial one.
    indexes: BTreeSet<(String, Vec<String>, bool, Option<String>)>,
    /// Column, table, what a deletion there does.
    references: BTreeSet<(String, String, String)>,
}

type Schema = BTreeMap<String, Table>;

#[tokio::test]
async fn both_databases_have_the_same_schema() {
    let (sqlite, postgres) = (of_sqlite().await, of_postgres().await);
    assert_eq!(sqlite.keys().collect::<Vec<_>>(), postgres.keys().collect::<Vec<_>>());
    for (name, table) in &sqlite {
        assert_eq!(table, &postgres[name], "table {name}: SQLite on the left, PostgreSQL on the right");
    }

    // That the comparison is not of two blanks:
    let call = &sqlite["call"];
    assert_eq!(call.primary_key, ["tenant", "provider_id", "account"]);
    assert!(call.columns.contains(&("lead_id".into(), "TEXT".into(), true)));
    let due = ("call_due".into(), vec!["due_at_ms".into()], false, Some("due_at_ms IS NOT NULL".into()));
    assert!(call.indexes.contains(&due), "{:?}", call.indexes);
    assert!(call.indexes.iter().any(|(name, _, unique, _)| name == "call_by_id" && *unique));
    let owner = ("account".into(), "account".into(), "CASCADE".into());
    assert!(sqlite["account_secret"].references.contains(&owner));
}

/// SQLite compares bytes; a collation of the server's locale would give PostgreSQL another order and other ranges.
#[tokio::test]
async fn postgres_compares_text_by_its_bytes() {
    let at = TestDatabase::postgres().await;
    let mut connection = at.place.postgres_connection().await;
    let others: Vec<(String, String)> = query_as(
        "SELECT table_name::text, column_name::text FROM information_schema.columns
          WHERE table_schema = 'onhook' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'
            AND table_name <> '_sqlx_migrations'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(others, []);
}

async fn of_sqlite() -> Schema {
    let at = TestDatabase::sqlite().await;
    let mut db = SqliteConnection::connect(&at.place.url).await.unwrap();
    let mut schema = Schema::new();
    let columns: Vec<(String, String, String, bool, i64)> = query_as(
        "SELECT t.name, c.name, c.type, c.\"notnull\" = 0 AND c.pk = 0, c.pk
           FROM sqlite_master t, pragma_table_info(t.name) c
          WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations' ORDER BY t.name, c.cid",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    let mut keys: BTreeMap<(String, i64), String> = BTreeMap::new();
    for (table, column, kind, nullable, key) in columns {
        if key > 0 {
            keys.insert((table.clone(), key), column.clone());
        }
        schema.entry(table).or_default().columns.push((column, kind, nullable));
    }
    for ((table, _), column) in keys {
        schema.get_mut(&table).unwrap().primary_key.push(column);
    }
    let indexes: Vec<(String, String, bool, String, String)> = query_as(
        "SELECT t.name, i.name, i.\"unique\", m.sql, group_concat(c.name ORDER BY c.seqno)
           FROM sqlite_master t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
           JOIN sqlite_master m ON m.type = 'index' AND m.name = i.name
          WHERE t.type = 'table' AND i.origin = 'c' GROUP BY t.name, i.name",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    for (table, name, unique, sql, columns) in indexes {
        let condition = sql.split_once(" WHERE ").map(|(_, condition)| plain(condition));
        schema.get_mut(&table).unwrap().indexes.insert((name, list(&columns), unique, condition));
    }
    let references: Vec<(String, String, String, String)> = query_as(
        "SELECT t.name, f.\"from\", f.\"table\", f.on_delete FROM sqlite_master t, pragma_foreign_key_list(t.name) f
          WHERE t.type = 'table'",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    for (table, column, to, on_delete) in references {
        schema.get_mut(&table).unwrap().references.insert((column, to, on_delete));
    }
    schema
}

async fn of_postgres() -> Schema {
    let at = TestDatabase::postgres().await;
    let mut db = at.place.postgres_connection().await;
    let mut schema = Schema::new();
    let columns: Vec<(String, String, String, bool)> = query_as(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES'
           FROM information_schema.columns
          WHERE table_schema = 'onhook' AND table_name <> '_sqlx_migrations' ORDER BY table_name, ordinal_position",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    for (table, column, kind, nullable) in columns {
        let kind = match kind.as_str() {
            "text" => "TEXT",
            "bigint" | "boolean" => "INTEGER",
            "bytea" => "BLOB",
            other => panic!("{table}.{column} is {other}, which has no counterpart in SQLite"),
        };
        schema.entry(table).or_default().columns.push((column, kind.into(), nullable));
    }
    let indexes: Vec<(String, String, bool, bool, Option<String>, String)> = query_as(
        "SELECT t.relname::text, i.relname::text, x.indisprimary, x.indisunique, pg_get_expr(x.indpred, x.indrelid),
                (SELECT string_agg(pg_get_indexdef(x.indexrelid, n, true), ',' ORDER BY n)
                   FROM generate_series(1, x.indnatts) n)
           FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
          WHERE t.relnamespace = 'onhook'::regnamespace AND t.relname <> '_sqlx_migrations'",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    for (table, name, primary, unique, condition, columns) in indexes {
        let table = schema.get_mut(&table).unwrap();
        if primary {
            table.primary_key = list(&columns);
        } else {
            table.indexes.insert((name, list(&columns), unique, condition.as_deref().map(plain)));
        }
    }
    let references: Vec<(String, String, String, String)> = query_as(
        "SELECT c.conrelid::regclass::text, a.attname::text, c.confrelid::regclass::text,
                CASE c.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'a' THEN 'NO ACTION' ELSE c.confdeltype::text END
           FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
          WHERE c.contype = 'f' AND c.connamespace = 'onhook'::regnamespace",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    for (table, column, to, on_delete) in references {
        let bare = |name: &str| name.trim_start_matches("onhook.").to_owned();
        schema.get_mut(&bare(&table)).unwrap().references.insert((column, bare(&to), on_delete));
    }
    schema
}

fn list(columns: &str) -> Vec<String> {
    columns.split(',').map(|column| column.trim_matches('"').to_owned()).collect()
}

/// A condition without what only one of the two writes.
fn plain(condition: &str) -> String {
    condition.replace("::text", "").replace(['(', ')', '"', ';'], "").trim().to_owned()
}
