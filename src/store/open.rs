//! Opening a database by its URL, and bringing its schema up to date.

use super::{
    checkpoint,
    db::Db,
    error::{StoreError, is_busy},
    sql::statements,
};
use sqlx::{
    ConnectOptions, Connection, Executor,
    migrate::{MigrateError, Migrator},
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
    Migrate(#[from] MigrateError),
    /// It can be read, and what is written is refused: a file or disk without permission, a standby.
    #[error("write to the database: {0}")]
    ReadOnly(#[source] StoreError),
}

/// Opens a database by its URL: `sqlite://path` or `postgres://…`.
pub async fn open(url: &str) -> Result<Db, OpenError> {
    match url.strip_prefix("sqlite://") {
        Some(path) => open_sqlite(Path::new(path)).await,
        None => open_postgres(url).await,
    }
}

/// Opens a SQLite file, creating it if it is missing. The schema is left as it is (see [`migrate`]).
pub async fn open_sqlite(path: &Path) -> Result<Db, OpenError> {
    let mut attempts = 1;
    loop {
        match try_open_sqlite(path).await {
            // Of two processes that make the file at once, one cannot turn on the log, whatever its busy timeout says.
            Err(error) if attempts < OPEN_ATTEMPTS_MAX && is_busy(&error) => tokio::time::sleep(OPEN_PAUSE).await,
            Err(source) => return Err(OpenError::Unreachable { what: format!("the file {}", path.display()), source }),
            Ok(db) => return Ok(db),
        }
        attempts += 1;
    }
}

async fn try_open_sqlite(path: &Path) -> Result<Db, sqlx::Error> {
    make_private(path);
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
    let write =
        SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT).connect_with(writing).await?;
    // `query_only` would also do, but a read-only handle cannot be talked into writing.
    let read = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.clone().read_only(true))
        .await?;
    let own = SqliteConnection::connect_with(&options.create_if_missing(false)).await?;
    checkpoint::start(own, write.clone());
    Ok(Db::Sqlite { read, write })
}

/// Makes a file that is missing for its owner only: people's numbers will be in it. SQLite gives the files beside it
/// (`-wal`, `-shm`) the same mode. One that is there stays as it is; if it cannot be made, opening it says why.
#[cfg(unix)]
fn make_private(path: &Path) {
    use std::os::unix::fs::OpenOptionsExt;
    let _ = std::fs::OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path);
}

#[cfg(not(unix))]
fn make_private(_: &Path) {}

/// Opens a PostgreSQL database by its `postgres://` URL. The schema is left as it is (see [`migrate`]).
pub async fn open_postgres(url: &str) -> Result<Db, OpenError> {
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
        .options(POSTGRES_SETTINGS.iter().copied())
        .statement_cache_capacity(STATEMENTS_CACHED)
        .disable_statement_logging();
    // A pool asks again and again until its time is up and then only says that; one connection says what is wrong.
    let unreachable = |source| OpenError::Unreachable { what: what.clone(), source };
    let probe = options.connect().await.map_err(unreachable)?;
    probe.close().await.map_err(unreachable)?;
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(unreachable)?;
    Ok(Db::Postgres(pool))
}

/// Brings the schema up to date, and makes sure that the database takes writes. Safe to run on several nodes at once.
pub async fn migrate(db: &Db) -> Result<(), OpenError> {
    match db {
        Db::Sqlite { write, .. } => {
            // One transaction around all: a process that comes second finds everything done. On PostgreSQL sqlx takes a lock.
            let mut tx = write.begin_with("BEGIN IMMEDIATE").await.map_err(MigrateError::from)?;
            SQLITE.run_direct(None, &mut *tx, false).await?;
            tx.commit().await.map_err(MigrateError::from)?;
        }
        Db::Postgres(pool) => {
            let unreachable = |source| OpenError::Unreachable { what: "the schema onhook".into(), source };
            let mut own = pool.acquire().await.map_err(unreachable)?;
            own.execute(CREATE_SCHEMA).await.map_err(unreachable)?;
            // A migration of a large table takes the time it takes.
            own.execute("SET statement_timeout = 0; SET lock_timeout = 0").await.map_err(unreachable)?;
            POSTGRES.run_direct(None, &mut *own, false).await?;
            own.close_on_drop();
        }
    }
    // SQLite opens a file that it may not write without a word.
    probe(db).await.map_err(OpenError::ReadOnly)?;
    if let Db::Sqlite { write, .. } = db {
        // The connection that migrated has read its statistics before the migration wrote them.
        write.execute("ANALYZE sqlite_schema").await.map_err(MigrateError::from)?;
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

/// Whether the database is up to date and takes writes. Changes nothing.
pub async fn probe(db: &Db) -> Result<(), StoreError> {
    let missing = unmigrated(db).await?;
    if !missing.is_empty() {
        let why = format!("migrations {missing:?} are missing; run `onhook migrate`");
        return Err(StoreError::Corrupt { what: "the schema".into(), why });
    }
    let mut tx = db.begin().await?;
    PROBE.query().execute(&mut tx).await.map(drop)
}

statements! {
    PROBE = both("UPDATE tenant SET name = name WHERE id = ''");
    MIGRATIONS_TABLE = split(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
        "SELECT 1::bigint FROM pg_tables WHERE schemaname = 'onhook' AND tablename = '_sqlx_migrations'",
    );
    MIGRATIONS_DONE = both("SELECT version FROM _sqlx_migrations WHERE success");
}

/// A role that may not create schemas can still use one that was made for it. `IF NOT EXISTS` fails when two do it at
/// once; the one that comes second has waited for the other's commit when it is told so.
const CREATE_SCHEMA: &str = "DO $$ BEGIN
        IF to_regnamespace('onhook') IS NULL THEN CREATE SCHEMA onhook; END IF;
    EXCEPTION WHEN duplicate_schema OR unique_violation THEN NULL;
    END $$";

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// `synchronous_commit` is stated because a server's default may be weaker than what 204 promises.
/// Every statement finds its rows by an index. Plans are cached per connection, and one that was made while the tables
/// were empty would go on scanning them when they are not: the planner may not consider that.
const POSTGRES_SETTINGS: &[(&str, &str)] = &[
    ("search_path", "onhook"),
    ("synchronous_commit", "on"),
    // A batch must be answered before Twilio gives up, and a lock that a user's trigger waits for must not stop ingest.
    ("statement_timeout", "6000"),
    ("lock_timeout", "4000"),
    ("idle_in_transaction_session_timeout", "30000"),
    ("tcp_user_timeout", "10000"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];
/// The mode of a file that only its owner reads and writes.
#[cfg(unix)]
const OWNER_ONLY: u32 = 0o600;
/// How long a SQLite connection waits for another process' write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often, and after which pause, opening a file is tried while another process makes it.
const OPEN_ATTEMPTS_MAX: u32 = 20;
const OPEN_PAUSE: Duration = Duration::from_millis(50);
/// How long a request waits for a connection before it is told to come back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache per SQLite connection.
const SQLITE_CACHE_KIB: u32 = 8 * 1024;
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;
const STATEMENTS_CACHED: usize = 200;
