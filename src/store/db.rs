//! Two databases behind one closed enum: bind, fetch and commit on either.
//!
//! `sqlx::Any` fails on SQLite booleans, generics over the database need a long `where` everywhere, and two trait
//! implementations drift apart; an enum of two does none of that.

use super::{error::StoreError, sql::Sql};
use sqlx::{
    Arguments, Executor, FromRow, PgPool, Postgres, Sqlite, SqlitePool,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

/// An open database. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Db {
    /// A file. Writes go through a pool of one connection (`BEGIN IMMEDIATE`), reads through another pool.
    Sqlite {
        /// Read-only connections.
        read: SqlitePool,
        /// The one writing connection.
        write: SqlitePool,
    },
    /// A server; everything of ours is in the schema `onhook`.
    Postgres(PgPool),
}

/// A write transaction. Dropped without [`Tx::commit`], it is rolled back.
#[derive(Debug)]
pub enum Tx {
    /// Holds the write lock of the file.
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    /// READ COMMITTED; locks are taken explicitly (`store::calls::lock`).
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// Where a statement runs: on any connection, or inside a transaction.
#[derive(Debug)]
pub enum On<'a> {
    /// A read by itself.
    Db(&'a Db),
    /// Part of a transaction.
    Tx(&'a mut Tx),
}

impl<'a> From<&'a Db> for On<'a> {
    fn from(db: &'a Db) -> Self {
        Self::Db(db)
    }
}

impl<'a> From<&'a mut Tx> for On<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        Self::Tx(tx)
    }
}

/// A row type that either database can fill.
pub trait Fetch: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Fetch for T {}

impl Db {
    /// Begins a write transaction.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        match self {
            // A deferred transaction that reads first and writes later fails at once when another writer came between.
            Self::Sqlite { write, .. } => write.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite),
            Self::Postgres(pool) => pool.begin().await.map(Tx::Postgres),
        }
        .map_err(|e| StoreError::sort(e, "BEGIN"))
    }

    /// Closes all connections after what runs on them has ended.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// How many writers are worth having. SQLite has one; on PostgreSQL a batch is a dozen round trips, and while one
    /// writer waits for the server another one can compute (measured: 3 are 14 % faster than 1, more gain nothing).
    pub const fn writers(&self) -> usize {
        match self {
            Self::Sqlite { .. } => 1,
            Self::Postgres(_) => 3,
        }
    }

    /// The name of the kind of database.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

impl Tx {
    /// Makes it durable: when this returns `Ok`, it is on disk.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
        .map_err(|e| StoreError::sort(e, "COMMIT"))
    }
}

impl Sql {
    /// Starts a query of this statement.
    pub const fn query(&'static self) -> Query {
        Query { sql: self, args: Vec::new() }
    }

    /// Starts a query of this statement over a row set (see [`super::sql`]).
    pub(super) fn over<T: serde::Serialize>(&'static self, rows: &[T]) -> Query {
        // Rows are plain structs; serializing them to memory cannot fail. `[]` would write nothing and be noticed.
        self.query().bind(serde_json::to_string(rows).unwrap_or_else(|_| "[]".into()))
    }
}

/// A statement with its arguments.
#[derive(Debug)]
pub struct Query {
    sql: &'static Sql,
    args: Vec<Arg>,
}

/// A value for a placeholder.
#[derive(Clone, Debug)]
pub enum Arg {
    /// Text or NULL.
    Text(Option<String>),
    /// An integer or NULL.
    Int(Option<i64>),
    /// A truth value or NULL.
    Bool(Option<bool>),
    /// Bytes or NULL.
    Bytes(Option<Vec<u8>>),
}

macro_rules! into_arg {
    ($($from:ty => |$v:ident| $arg:expr),+ $(,)?) => {
        $(impl From<$from> for Arg { fn from($v: $from) -> Self { $arg } })+
    };
}
into_arg! {
    &str => |v| Self::Text(Some(v.to_owned())),
    &String => |v| Self::Text(Some(v.clone())),
    String => |v| Self::Text(Some(v)),
    Option<&str> => |v| Self::Text(v.map(str::to_owned)),
    Option<String> => |v| Self::Text(v),
    i64 => |v| Self::Int(Some(v)),
    Option<i64> => |v| Self::Int(v),
    bool => |v| Self::Bool(Some(v)),
    Option<bool> => |v| Self::Bool(v),
    &[u8] => |v| Self::Bytes(Some(v.to_owned())),
    Vec<u8> => |v| Self::Bytes(Some(v)),
    Option<Vec<u8>> => |v| Self::Bytes(v),
}

/// Adds every argument; the encoders of plain values do not fail.
macro_rules! arguments {
    ($kind:ty, $args:expr) => {{
        let mut to = <$kind>::default();
        for arg in $args {
            let added = match arg {
                Arg::Text(v) => to.add(v),
                Arg::Int(v) => to.add(v),
                Arg::Bool(v) => to.add(v),
                Arg::Bytes(v) => to.add(v),
            };
            added.map_err(sqlx::Error::Encode)?;
        }
        to
    }};
}

/// Runs one expression on whichever database it is for: `$run` sees the executor and the query.
macro_rules! dispatch {
    ($self:ident, $on:expr, $make:ident, $run:ident) => {{
        let Query { sql, args } = $self;
        let run = async {
            match $on.into() {
                On::Db(Db::Sqlite { read, .. }) => {
                    sqlx::$make(sql.sqlite, arguments!(SqliteArguments, args)).$run(read).await
                }
                On::Db(Db::Postgres(pool)) => sqlx::$make(sql.postgres, arguments!(PgArguments, args)).$run(pool).await,
                On::Tx(Tx::Sqlite(tx)) => {
                    sqlx::$make(sql.sqlite, arguments!(SqliteArguments, args)).$run(&mut **tx).await
                }
                On::Tx(Tx::Postgres(tx)) => {
                    sqlx::$make(sql.postgres, arguments!(PgArguments, args)).$run(&mut **tx).await
                }
            }
        };
        run.await.map_err(|e| StoreError::sort(e, sql.name))
    }};
}

impl Query {
    /// Binds the next placeholder.
    pub fn bind(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// All rows.
    pub async fn fetch_all<'a, T: Fetch>(self, on: impl Into<On<'a>>) -> Result<Vec<T>, StoreError> {
        dispatch!(self, on, query_as_with, fetch_all)
    }

    /// The row, if there is one.
    pub async fn fetch_optional<'a, T: Fetch>(self, on: impl Into<On<'a>>) -> Result<Option<T>, StoreError> {
        dispatch!(self, on, query_as_with, fetch_optional)
    }

    /// The row.
    pub async fn fetch_one<'a, T: Fetch>(self, on: impl Into<On<'a>>) -> Result<T, StoreError> {
        dispatch!(self, on, query_as_with, fetch_one)
    }

    /// Runs it; the number of rows it changed.
    pub async fn execute(self, tx: &mut Tx) -> Result<u64, StoreError> {
        let Self { sql, args } = self;
        let run = async {
            Ok(match tx {
                Tx::Sqlite(tx) => {
                    let args = arguments!(SqliteArguments, args);
                    tx.execute(sqlx::query_with(sql.sqlite, args)).await?.rows_affected()
                }
                Tx::Postgres(tx) => {
                    let args = arguments!(PgArguments, args);
                    tx.execute(sqlx::query_with(sql.postgres, args)).await?.rows_affected()
                }
            })
        };
        run.await.map_err(|e| StoreError::sort(e, sql.name))
    }
}
