//! Answers to POSTs that carried an Idempotency-Key, written in the transaction of what they answer.

use super::{
    On, StoreError, Tx,
    sql::{columns, hex_column, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct IdempotencyRow {
    /// Whose it is.
    pub tenant: String,
    /// The client's key.
    pub key: String,
    /// A digest of the request: the same key with another request is a mistake of the client.
    #[serde(serialize_with = "hex_column::serialize")]
    pub request: Vec<u8>,
    /// The HTTP status of the answer.
    pub status: i64,
    /// Its body.
    #[serde(serialize_with = "hex_column::serialize")]
    pub body: Vec<u8>,
    /// When it was given, in Unix milliseconds.
    pub created_ms: i64,
}

/// What came of storing an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is the first one under its key.
    New,
    /// Somebody was faster: roll back, and answer this instead.
    Existing(IdempotencyRow),
}

/// Stores an answer unless its key has one. A transaction on another node that is about to do the same is waited for.
pub async fn insert(tx: &mut Tx, row: &IdempotencyRow) -> Result<Stored, StoreError> {
    if INSERT.over(std::slice::from_ref(row)).execute(tx).await? > 0 {
        return Ok(Stored::New);
    }
    match find(tx, &row.tenant, &row.key).await? {
        Some(existing) => Ok(Stored::Existing(existing)),
        // It was pruned between the two statements.
        None => Err(StoreError::Again(sqlx::Error::RowNotFound)),
    }
}

/// The answer under a key.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, key: &str) -> Result<Option<IdempotencyRow>, StoreError> {
    FIND.query().bind(tenant).bind(key).fetch_optional(on).await
}

/// Forgets the answer under a key if it was given at or before `until_ms`; answers how many (0 or 1).
pub async fn delete_expired(tx: &mut Tx, tenant: &str, key: &str, until_ms: i64) -> Result<u64, StoreError> {
    DELETE_EXPIRED.query().bind(tenant).bind(key).bind(until_ms).execute(tx).await
}

/// Forgets at most `limit` answers given before `before_ms`; answers how many.
pub async fn delete_older(tx: &mut Tx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    DELETE_OLDER.query().bind(before_ms).bind(limit).execute(tx).await
}

columns!(idempotency_columns of IdempotencyRow { tenant text, key text, request bytes, status int, body bytes, created_ms int });

statements! {
    INSERT = insert(idempotency_columns into "idempotency": "ON CONFLICT (tenant, key) DO NOTHING");
    FIND = both("SELECT ", idempotency_columns!(names), " FROM idempotency WHERE tenant = $1 AND key = $2");
    DELETE_EXPIRED = both("DELETE FROM idempotency WHERE tenant = $1 AND key = $2 AND created_ms <= $3");
    DELETE_OLDER = both("DELETE FROM idempotency WHERE (tenant, key) IN
        (SELECT tenant, key FROM idempotency WHERE created_ms < $1 LIMIT $2)");
}
