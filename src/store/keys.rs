//! API keys. Of the secret only a digest is kept.

use super::{
    On, StoreError, Tx,
    sql::{columns, hex_column, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct KeyRow {
    /// Public: it is part of the key's text.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret part.
    #[serde(serialize_with = "hex_column::serialize")]
    pub digest: Vec<u8>,
    /// What it may do: words of `crate::directory::Scope`, separated by spaces.
    pub scopes: String,
    /// When it was issued, in Unix milliseconds.
    pub created_ms: i64,
    /// From when on it is refused.
    pub expires_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
}

/// Adds a key.
pub async fn insert(tx: &mut Tx, row: &KeyRow) -> Result<(), StoreError> {
    INSERT.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// A key of this tenant.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<Option<KeyRow>, StoreError> {
    FIND.query().bind(tenant).bind(id).fetch_optional(on).await
}

/// A page of the tenant's keys by id, which is the order they were issued in, after `after`. Revoked and expired ones too.
pub async fn list(on: impl Into<On<'_>>, tenant: &str, after: &str, limit: i64) -> Result<Vec<KeyRow>, StoreError> {
    LIST.query().bind(tenant).bind(after).bind(limit).fetch_all(on).await
}

/// A page of the keys of all tenants that are live or were so at `since_ms`, by id, after `after`.
pub async fn list_live(
    on: impl Into<On<'_>>,
    since_ms: i64,
    after: &str,
    limit: i64,
) -> Result<Vec<KeyRow>, StoreError> {
    LIST_LIVE.query().bind(since_ms).bind(after).bind(limit).fetch_all(on).await
}

/// Whether another tenant has a key with this id: such look-ups are counted.
pub async fn exists_elsewhere(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = EXISTS_ELSEWHERE.query().bind(tenant).bind(id).fetch_optional(on).await?;
    Ok(row.is_some())
}

/// Revokes a key of this tenant for good; answers how many live ones that were (0 or 1).
pub async fn revoke(tx: &mut Tx, tenant: &str, id: &str, now_ms: i64) -> Result<u64, StoreError> {
    REVOKE.query().bind(tenant).bind(id).bind(now_ms).execute(tx).await
}

columns!(key_columns of KeyRow {
    id text, tenant text, name text, digest bytes, scopes text, created_ms int, expires_ms int, revoked_ms int
});

statements! {
    INSERT = insert(key_columns into "api_key": "");
    FIND = both("SELECT ", key_columns!(names), " FROM api_key WHERE tenant = $1 AND id = $2");
    LIST = both("SELECT ", key_columns!(names), " FROM api_key WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3");
    LIST_LIVE = both("SELECT ", key_columns!(names), " FROM api_key
        WHERE (revoked_ms IS NULL OR revoked_ms >= $1) AND (expires_ms IS NULL OR expires_ms >= $1) AND id > $2
        ORDER BY id LIMIT $3");
    EXISTS_ELSEWHERE = both("SELECT CAST(1 AS BIGINT) FROM api_key WHERE id = $2 AND tenant <> $1");
    REVOKE = both("UPDATE api_key SET revoked_ms = $3 WHERE tenant = $1 AND id = $2 AND revoked_ms IS NULL");
}
