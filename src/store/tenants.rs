//! Tenants: whose everything is.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use crate::domain::id::DEFAULT_TENANT;
use serde::Serialize;
use sqlx::FromRow;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct TenantRow {
    /// What every key of the tenant's rows starts with.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it was created, in Unix milliseconds.
    pub created_ms: i64,
}

/// Creates a tenant; [`StoreError::Exists`] if there is one with this id.
pub async fn insert(tx: &mut Tx, row: &TenantRow) -> Result<(), StoreError> {
    INSERT.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// Creates the tenant that every installation starts with, unless it is there.
pub async fn ensure_default(tx: &mut Tx, now_ms: i64) -> Result<(), StoreError> {
    let row = TenantRow { id: DEFAULT_TENANT.into(), name: DEFAULT_TENANT.into(), created_ms: now_ms };
    ENSURE.over(&[row]).execute(tx).await.map(drop)
}

/// A tenant.
pub async fn find(on: impl Into<On<'_>>, id: &str) -> Result<Option<TenantRow>, StoreError> {
    FIND.query().bind(id).fetch_optional(on).await
}

/// A page of all tenants by id, after `after`.
pub async fn list(on: impl Into<On<'_>>, after: &str, limit: i64) -> Result<Vec<TenantRow>, StoreError> {
    LIST.query().bind(after).bind(limit).fetch_all(on).await
}

columns!(tenant_columns of TenantRow { id text, name text, created_ms int });

statements! {
    INSERT = insert(tenant_columns into "tenant": "");
    ENSURE = insert(tenant_columns into "tenant": "ON CONFLICT (id) DO NOTHING");
    FIND = both("SELECT ", tenant_columns!(names), " FROM tenant WHERE id = $1");
    LIST = both("SELECT ", tenant_columns!(names), " FROM tenant WHERE id > $1 ORDER BY id LIMIT $2");
}
