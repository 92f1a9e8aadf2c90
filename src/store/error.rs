//! What a database can answer, sorted by what the caller should do. Driver codes are read here and nowhere else.

use std::borrow::Cow;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or cannot write: try again later.
    #[error("reach the database: {0}")]
    Gone(#[source] sqlx::Error),
    /// Somebody else was in the way (lock, serialization): repeat the transaction.
    #[error("get past a concurrent writer: {0}")]
    Again(#[source] sqlx::Error),
    /// The same key exists already.
    #[error("write a row whose key exists: {0}")]
    Exists(#[source] sqlx::Error),
    /// The database refused this statement (a user's trigger, a constraint): repeating it is useless.
    #[error("run {statement}: {source}")]
    Refused {
        /// The name of the statement.
        statement: Cow<'static, str>,
        /// What the database said.
        source: sqlx::Error,
    },
    /// A stored row cannot be read back.
    #[error("read {what}, which is corrupt: {why}")]
    Corrupt {
        /// Which row.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The schema could not be brought up to date.
    #[error("migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// Sorts a driver's error. `statement` names what was running.
    pub(super) fn sort(source: sqlx::Error, statement: impl Into<Cow<'static, str>>) -> Self {
        match kind(&source) {
            Kind::Gone => Self::Gone(source),
            Kind::Again => Self::Again(source),
            Kind::Exists => Self::Exists(source),
            Kind::Refused => Self::Refused { statement: statement.into(), source },
        }
    }

    /// A transaction that was given up after `limit`.
    pub fn timed_out(limit: std::time::Duration) -> Self {
        let why = format!("no answer within {} s", limit.as_secs());
        Self::Gone(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why)))
    }

    /// Whether the same work may succeed later: it is the database that is in trouble, not what was asked of it.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Again(_))
    }
}

/// Whether somebody else was in the way.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(kind(error), Kind::Again)
}

enum Kind {
    Gone,
    Again,
    Exists,
    Refused,
}

fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Database(e) => match e.code() {
            _ if e.is_unique_violation() => Kind::Exists,
            Some(code) if e.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() => postgres_kind(&code),
            Some(code) => sqlite_kind(&code),
            None => Kind::Refused,
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Kind::Gone,
        _ => Kind::Refused,
    }
}

/// SQLSTATE: <https://www.postgresql.org/docs/15/errcodes-appendix.html>
fn postgres_kind(code: &str) -> Kind {
    match code {
        // serialization failure, deadlock, lock not available
        "40001" | "40P01" | "55P03" => Kind::Again,
        // read-only transaction (a failover left us on a standby)
        "25006" => Kind::Gone,
        // refused at the door: wrong role or password, no such database, a database closed to connections
        "28000" | "28P01" | "3D000" | "55000" => Kind::Gone,
        // connection exceptions; insufficient resources; operator intervention; system errors
        c if ["08", "53", "57", "58"].iter().any(|class| c.starts_with(class)) => Kind::Gone,
        _ => Kind::Refused,
    }
}

/// Result codes (the low byte of an extended code): <https://www.sqlite.org/rescode.html>
fn sqlite_kind(code: &str) -> Kind {
    match code.parse::<i32>().map(|c| c & 0xff) {
        // BUSY, LOCKED
        Ok(5 | 6) => Kind::Again,
        // NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB
        Ok(7 | 8 | 10 | 11 | 13 | 14 | 15 | 26) => Kind::Gone,
        _ => Kind::Refused,
    }
}
