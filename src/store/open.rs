//! Opening a database by its URL, and bringing its schema up to date.

use super::{checkpoint, db::Db, error::StoreError, sql::statements};
use sqlx::{
    ConnectOptions, Connection, Executor,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{path::Path, time::Duration};

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is not understood.
    #[error("read the database URL: {0}")]
    Url(#[source] sqlx::Error),
    /// It cannot be reached, or the file cannot be opened or written, or is no database.
    #[error("open {what}: {source}")]
    Unreachable {
        /// The file, or server and database; without the password.
        what: String,
        /// What the driver said.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// Opens the database. A SQLite file is created; the schema is left as it is (see [`migrate`]).
pub async fn open(url: &str) -> Result<Db, OpenError> {
    match url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
        Some(path) => open_sqlite(Path::new(path)).await,
        None => open_postgres(url).await,
    }
}

async fn open_sqlite(path: &Path) -> Result<Db, OpenError> {
    let unreachable = |source| OpenError::Unreachable { what: format!("the file {}", path.display()), source };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged webhook must survive a power cut, so every commit is synced.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{SQLITE_CACHE_KIB}"))
        .statement_cache_capacity(STATEMENTS_CACHED)
        .disable_statement_logging();
    // The checkpointer does it aside (`checkpoint.rs`): checkpoints in line are where latency spikes come from.
    let writing = options.clone().pragma("wal_autocheckpoint", "0");
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(writing)
        .await
        .map_err(unreachable)?;
    // `query_only` would also do, but a read-only handle cannot be talked into writing.
    let read = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.clone().read_only(true))
        .await
        .map_err(unreachable)?;
    let own = SqliteConnection::connect_with(&options.create_if_missing(false)).await.map_err(unreachable)?;
    checkpoint::start(own, write.clone());
    Ok(Db::Sqlite { read, write })
}

async fn open_postgres(url: &str) -> Result<Db, OpenError> {
    let options: PgConnectOptions = url.parse().map_err(OpenError::Url)?;
    let what = format!(
        "PostgreSQL database {:?} at {}",
        options.get_database().unwrap_or(options.get_username()),
        options.get_socket().map_or_else(
            || format!("{}:{}", options.get_host(), options.get_port()),
            |socket| socket.display().to_string()
        ),
    );
    let options = options
        .application_name("onhook")
        // synchronous_commit is stated because a server's default may be weaker than what 204 promises.
        .options([("search_path", "onhook"), ("synchronous_commit", "on"), ("jit", "off")])
        .statement_cache_capacity(STATEMENTS_CACHED)
        .disable_statement_logging();
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(|source| OpenError::Unreachable { what, source })?;
    Ok(Db::Postgres(pool))
}

/// Brings the schema up to date. Safe to run on several nodes at once.
pub async fn migrate(db: &Db) -> Result<(), OpenError> {
    match db {
        Db::Sqlite { write, .. } => SQLITE.run(write).await?,
        Db::Postgres(pool) => {
            let unreachable = |source| OpenError::Unreachable { what: "the schema onhook".into(), source };
            // A role that may not create schemas can still use one that was made for it.
            pool.execute(
                "DO $$ BEGIN IF to_regnamespace('onhook') IS NULL THEN CREATE SCHEMA IF NOT EXISTS onhook; END IF; END $$",
            )
            .await
            .map_err(unreachable)?;
            POSTGRES.run(pool).await?;
        }
    }
    Ok(())
}

/// The migrations this program knows that the database lacks; empty means up to date.
pub async fn unmigrated(db: &Db) -> Result<Vec<i64>, StoreError> {
    let known = match db {
        Db::Sqlite { .. } => SQLITE.iter(),
        Db::Postgres(_) => POSTGRES.iter(),
    };
    let table: Option<(i64,)> = MIGRATIONS_TABLE.query().fetch_optional(db).await?;
    let done: Vec<(i64,)> = match table {
        Some(_) => MIGRATIONS_DONE.query().fetch_all(db).await?,
        None => Vec::new(),
    };
    Ok(known.map(|m| m.version).filter(|v| !done.contains(&(*v,))).collect())
}

statements! {
    MIGRATIONS_TABLE = split(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
        "SELECT 1::bigint FROM pg_tables WHERE schemaname = 'onhook' AND tablename = '_sqlx_migrations'",
    );
    MIGRATIONS_DONE = both("SELECT version FROM _sqlx_migrations WHERE success");
}

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// How long a SQLite connection waits for another process' write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection before it is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache per SQLite connection.
const SQLITE_CACHE_KIB: u32 = 8 * 1024;
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;
const STATEMENTS_CACHED: usize = 200;
