//! The journal: what happened, in an order that a reader can follow without missing anything.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// An entry to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewEntry {
    /// Whose it is.
    pub tenant: String,
    /// What it is about: [`CALL`], [`LEAD`] or [`RUN`].
    pub kind: &'static str,
    /// The id of the call, lead or run.
    pub subject: String,
    /// When it was written, in Unix milliseconds.
    pub at_ms: i64,
    /// What happened, as JSON.
    pub what: String,
}

/// An entry as stored.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Entry {
    /// Its place: entries become visible in the order of `seq`.
    pub seq: i64,
    /// See [`NewEntry`].
    pub tenant: String,
    /// See [`NewEntry`].
    pub kind: String,
    /// See [`NewEntry`].
    pub subject: String,
    /// See [`NewEntry`].
    pub at_ms: i64,
    /// See [`NewEntry`].
    pub what: String,
}

/// A step of a call.
pub const CALL: &str = "call";
/// A change of a lead.
pub const LEAD: &str = "lead";
/// A change of a run.
pub const RUN: &str = "run";

/// Writes entries. To be called last in a transaction: on PostgreSQL it takes a lock that is held until the commit,
/// so that the order of `seq` is the order of visibility and `seq > $cursor` never skips an entry.
pub async fn append(tx: &mut Tx, entries: &[NewEntry]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    if let Tx::Postgres(_) = tx {
        // A statement of its own: the INSERT after it then draws its numbers with the lock held.
        LOCK.query().bind(JOURNAL_LOCK).execute(tx).await?;
    }
    INSERT.over(entries).execute(tx).await.map(drop)
}

/// What came after `seq`, for all tenants: what followers read.
pub async fn list_after(on: impl Into<On<'_>>, seq: i64, limit: i64) -> Result<Vec<Entry>, StoreError> {
    LIST_AFTER.query().bind(seq).bind(limit).fetch_all(on).await
}

/// A page of the entries about one call or lead, oldest first, after `seq`.
pub async fn list_of_subject(
    on: impl Into<On<'_>>,
    tenant: &str,
    kind: &str,
    subject: &str,
    seq: i64,
    limit: i64,
) -> Result<Vec<Entry>, StoreError> {
    LIST_OF_SUBJECT.query().bind(tenant).bind(subject).bind(kind).bind(seq).bind(limit).fetch_all(on).await
}

columns!(journal_columns of NewEntry { tenant text, kind text, subject text, at_ms int, what text });

statements! {
    LOCK = split("SELECT $1", "SELECT pg_advisory_xact_lock($1)");
    INSERT = insert(journal_columns into "journal": "");
    LIST_AFTER = both("SELECT seq, ", journal_columns!(names), " FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2");
    LIST_OF_SUBJECT = both("SELECT seq, ", journal_columns!(names), " FROM journal
        WHERE tenant = $1 AND subject = $2 AND kind = $3 AND seq > $4 ORDER BY seq LIMIT $5");
}

/// The advisory lock of everybody who writes the journal ("onhook" in ASCII).
const JOURNAL_LOCK: i64 = 0x6f6e_686f_6f6b;
