//! What a database can answer is sorted by what to do about it.

use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    StoreError, Tx,
    accounts::{self, AccountRow},
    tenants::{self, TenantRow},
};
use sqlx::{Connection, Executor, SqliteConnection, query_scalar};

fn tenant(id: &str) -> TenantRow {
    TenantRow { id: id.into(), name: id.into(), created_ms: 1 }
}

on_both! { a_key_that_exists_is_told_apart, a_row_that_breaks_a_rule_is_refused, a_closed_database_is_gone }

async fn a_key_that_exists_is_told_apart(at: TestDatabase) {
    let mut tx = at.db.begin().await.unwrap();
    tenants::insert(&mut tx, &tenant("acme")).await.unwrap();
    let error = tenants::insert(&mut tx, &tenant("acme")).await.unwrap_err();
    assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
    assert!(!matches!(error, StoreError::Gone(_)));
}

async fn a_row_that_breaks_a_rule_is_refused(at: TestDatabase) {
    let row = AccountRow {
        id: "AC1".into(),
        tenant: "nobody".into(),
        provider: "twilio".into(),
        verify: None,
        verify_until_ms: None,
        created_ms: 1,
        parent: None,
        api_base: None,
        api_key: None,
    };
    let mut tx = at.db.begin().await.unwrap();
    let error = accounts::insert(&mut tx, &row).await.unwrap_err();
    assert!(matches!(&error, StoreError::Refused { statement, .. } if statement == "INSERT"), "{error:?}");
    assert!(error.to_string().to_lowercase().contains("foreign key"), "{error}");
}

async fn a_closed_database_is_gone(at: TestDatabase) {
    at.db.close().await;
    let error = tenants::find(&at.db, "acme").await.unwrap_err();
    assert!(matches!(error, StoreError::Gone(_)), "{error:?}");
    assert!(matches!(at.db.begin().await.unwrap_err(), StoreError::Gone(_)));
}

/// A user's trigger on PostgreSQL that raises: repeating the transaction is useless, and the reason is told.
#[tokio::test]
async fn a_trigger_that_raises_is_a_refusal() {
    let at = TestDatabase::postgres().await;
    let trigger =
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not on Sundays'; END $$;
         CREATE TRIGGER no BEFORE INSERT ON onhook.tenant FOR EACH ROW EXECUTE FUNCTION no()";
    at.place.postgres_connection().await.execute(trigger).await.unwrap();
    let mut tx = at.db.begin().await.unwrap();
    let error = tenants::insert(&mut tx, &tenant("acme")).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("not on Sundays"), "{error}");
}

#[tokio::test]
async fn a_deadlock_is_to_be_repeated() {
    let at = TestDatabase::postgres().await;
    // Each has written one key and wants the other's. Whoever has waited for the timeout is the one that is sent away.
    let mut impatient = begin_with(&at, "SET LOCAL deadlock_timeout = '10ms'").await;
    let mut patient = begin_with(&at, "SET LOCAL deadlock_timeout = '60s'").await;
    tenants::insert(&mut impatient, &tenant("a")).await.unwrap();
    tenants::insert(&mut patient, &tenant("b")).await.unwrap();
    let waiting = tokio::spawn(async move { tenants::insert(&mut patient, &tenant("a")).await });
    at.place.until_waiting(1).await;
    let error = tenants::insert(&mut impatient, &tenant("b")).await.unwrap_err();
    assert!(matches!(error, StoreError::Again(_)), "{error:?}");
    drop(impatient);
    waiting.await.unwrap().unwrap();
}

async fn begin_with(at: &TestDatabase, statement: &'static str) -> Tx {
    let mut tx = at.db.begin().await.unwrap();
    match &mut tx {
        Tx::Postgres(raw) => raw.execute(statement).await.unwrap(),
        Tx::Sqlite(_) => panic!("not a server"),
    };
    tx
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_another_process_writes_is_to_be_tried_again() {
    let at = TestDatabase::sqlite().await;
    let mut other = SqliteConnection::connect(&at.place.url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let error = at.db.begin().await.unwrap_err();
    assert!(matches!(error, StoreError::Again(_)), "{error:?}");
    other.execute("ROLLBACK").await.unwrap();
    at.db.begin().await.unwrap();
}

/// A connection that the server ends is an outage, and the next transaction finds a new one.
#[tokio::test]
async fn a_server_that_hangs_up_is_gone_and_comes_back() {
    let at = TestDatabase::postgres().await;
    let mut tx = at.db.begin().await.unwrap();
    tenants::insert(&mut tx, &tenant("lost")).await.unwrap();
    let end_all = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended: i64 = query_scalar(end_all).fetch_one(&mut at.place.postgres_connection().await).await.unwrap();
    assert!(ended > 0);
    let error = tenants::insert(&mut tx, &tenant("acme")).await.unwrap_err();
    assert!(matches!(error, StoreError::Gone(_)), "{error:?}");
    drop(tx);
    assert_eq!(tenants::find(&at.db, "lost").await.unwrap(), None);
}

/// After a failover a connection may find itself on a standby.
#[tokio::test]
async fn a_server_that_only_reads_is_gone() {
    let at = TestDatabase::postgres().await;
    let mut tx = begin_with(&at, "SET TRANSACTION READ ONLY").await;
    let error = tenants::insert(&mut tx, &tenant("acme")).await.unwrap_err();
    assert!(matches!(error, StoreError::Gone(_)), "{error:?}");
}

/// Pages that are damaged are an outage of the file, not the fault of what was asked.
#[tokio::test]
async fn a_damaged_file_is_gone() {
    let at = TestDatabase::sqlite().await;
    at.db.close().await;
    let mut raw = SqliteConnection::connect(&at.place.url).await.unwrap();
    let root = "SELECT (rootpage - 1) * 4096 FROM sqlite_master WHERE name = 'tenant'";
    let root: u32 = query_scalar(root).fetch_one(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let mut bytes = std::fs::read(at.place.file()).unwrap();
    bytes[root as usize..][..4096].fill(0xa5);
    std::fs::write(at.place.file(), bytes).unwrap();

    let db = at.another_node().await;
    let error = tenants::find(&db, "acme").await.unwrap_err();
    assert!(matches!(error, StoreError::Gone(_)), "{error:?}");
    assert!(error.to_string().contains("malformed"), "{error}");
    db.close().await;
}
