//! Two databases behind one closed enum: bind, fetch and commit on either.
//!
//! `sqlx::Any` fails on SQLite booleans, generics over the database need a long `where` everywhere, and two trait
//! implementations drift apart; an enum of two does none of that.

use super::{
    error::StoreError,
    sql::{SetRow, Sql},
};
use sqlx::{
    Arguments, Executor, FromRow, PgPool, Postgres, Sqlite, SqlitePool,
    error::BoxDynError,
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

impl On<'_> {
    /// The same place, for one more statement.
    pub fn again(&mut self) -> On<'_> {
        match self {
            Self::Db(db) => On::Db(db),
            Self::Tx(tx) => On::Tx(tx),
        }
    }
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
    /// writer waits for the server another one can compute (measured: 2 are a tenth faster than 1, 3 gain little more).
    pub const fn writers(&self) -> usize {
        match self {
            Self::Sqlite { .. } => 1,
            Self::Postgres(_) => 2,
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
    pub const fn query(&'static self) -> Query<'static> {
        Query { sql: self, args: Vec::new() }
    }

    /// Starts a query of this statement over a row set (see [`super::sql`]), which fills all of its placeholders.
    pub(super) fn over<'a, T: SetRow>(&'static self, rows: &'a [T]) -> Query<'a> {
        Query { sql: self, args: vec![Arg::Rows(Box::new(Rows(rows)))] }
    }
}

/// A statement with its arguments.
#[derive(Debug)]
pub struct Query<'a> {
    sql: &'static Sql,
    args: Vec<Arg<'a>>,
}

/// A value for a placeholder.
#[derive(Debug)]
pub enum Arg<'a> {
    /// Text or NULL.
    Text(Option<String>),
    /// An integer or NULL.
    Int(Option<i64>),
    /// A truth value or NULL.
    Bool(Option<bool>),
    /// Bytes or NULL.
    Bytes(Option<Vec<u8>>),
    /// A row set: one JSON text on SQLite, the arrays below on PostgreSQL.
    Rows(Box<dyn RowSet + 'a>),
    /// A column of texts.
    Texts(Vec<Option<&'a str>>),
    /// A column of integers.
    Ints(Vec<Option<i64>>),
    /// A column of truth values.
    Bools(Vec<Option<bool>>),
    /// A column of bytes.
    Blobs(Vec<Option<&'a [u8]>>),
}

/// Rows that have not yet been turned into what their database reads.
pub trait RowSet: std::fmt::Debug + Send + Sync {
    /// A JSON array of objects.
    fn json(&self) -> String;
    /// An array for each column.
    fn arrays(&self) -> Vec<Arg<'_>>;
}

#[derive(Debug)]
struct Rows<'a, T>(&'a [T]);

impl<T: SetRow> RowSet for Rows<'_, T> {
    fn json(&self) -> String {
        // Rows are plain structs; serializing them to memory cannot fail. `[]` would write nothing and be noticed.
        serde_json::to_string(self.0).unwrap_or_else(|_| "[]".into())
    }

    fn arrays(&self) -> Vec<Arg<'_>> {
        T::arrays(self.0)
    }
}

macro_rules! into_arg {
    ($($from:ty => |$v:ident| $arg:expr),+ $(,)?) => {
        $(impl From<$from> for Arg<'_> { fn from($v: $from) -> Self { $arg } })+
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

/// The arguments as SQLite takes them. The encoders of plain values do not fail.
fn sqlite_arguments(args: Vec<Arg<'_>>) -> Result<SqliteArguments, sqlx::Error> {
    let mut to = SqliteArguments::default();
    for arg in args {
        let added = match arg {
            Arg::Text(v) => to.add(v),
            Arg::Int(v) => to.add(v),
            Arg::Bool(v) => to.add(v),
            Arg::Bytes(v) => to.add(v),
            Arg::Rows(rows) => to.add(rows.json()),
            Arg::Texts(_) | Arg::Ints(_) | Arg::Bools(_) | Arg::Blobs(_) => Err("SQLite has no arrays".into()),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(to)
}

/// The arguments as PostgreSQL takes them.
fn postgres_arguments(args: Vec<Arg<'_>>) -> Result<PgArguments, sqlx::Error> {
    let mut to = PgArguments::default();
    add_to_postgres(&mut to, args).map_err(sqlx::Error::Encode)?;
    Ok(to)
}

fn add_to_postgres(to: &mut PgArguments, args: Vec<Arg<'_>>) -> Result<(), BoxDynError> {
    for arg in args {
        match arg {
            Arg::Text(v) => to.add(v),
            Arg::Int(v) => to.add(v),
            Arg::Bool(v) => to.add(v),
            Arg::Bytes(v) => to.add(v),
            Arg::Rows(rows) => add_to_postgres(to, rows.arrays()),
            Arg::Texts(v) => to.add(v),
            Arg::Ints(v) => to.add(v),
            Arg::Bools(v) => to.add(v),
            Arg::Blobs(v) => to.add(v),
        }?;
    }
    Ok(())
}

/// Runs one expression on whichever database it is for: `$run` sees the executor and the query.
macro_rules! dispatch {
    ($self:ident, $on:expr, $make:ident, $run:ident) => {{
        let Query { sql, args } = $self;
        let run = async {
            match $on.into() {
                On::Db(Db::Sqlite { read, .. }) => sqlx::$make(sql.sqlite, sqlite_arguments(args)?).$run(read).await,
                On::Db(Db::Postgres(pool)) => sqlx::$make(sql.postgres, postgres_arguments(args)?).$run(pool).await,
                On::Tx(Tx::Sqlite(tx)) => sqlx::$make(sql.sqlite, sqlite_arguments(args)?).$run(&mut **tx).await,
                On::Tx(Tx::Postgres(tx)) => sqlx::$make(sql.postgres, postgres_arguments(args)?).$run(&mut **tx).await,
            }
        };
        run.await.map_err(|e| StoreError::sort(e, sql.name))
    }};
}

impl<'q> Query<'q> {
    /// Binds the next placeholder.
    pub fn bind(mut self, arg: impl Into<Arg<'q>>) -> Self {
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
                    let args = sqlite_arguments(args)?;
                    tx.execute(sqlx::query_with(sql.sqlite, args)).await?.rows_affected()
                }
                Tx::Postgres(tx) => {
                    let args = postgres_arguments(args)?;
                    tx.execute(sqlx::query_with(sql.postgres, args)).await?.rows_affected()
                }
            })
        };
        run.await.map_err(|e| StoreError::sort(e, sql.name))
    }
}
