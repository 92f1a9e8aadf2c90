//! Numbers that no run dials.

use super::{On, StoreError, Tx};
use serde::Serialize;
use sqlx::FromRow;

/// A number that no run dials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct DoNotCallRow {
    /// For which tenant.
    pub tenant: String,
    /// The number.
    pub phone_e164: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub created_ms: i64,
}

/// Adds numbers; those that are there get the reason that is given now. Answers how many are new.
pub async fn put(tx: &mut Tx, rows: &[DoNotCallRow]) -> Result<u64, StoreError> {
    todo!()
}

/// Takes a number off; answers how many rows that were (0 or 1).
pub async fn delete(tx: &mut Tx, tenant: &str, phone_e164: &str) -> Result<u64, StoreError> {
    todo!()
}

/// A number, if it is on the list.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, phone_e164: &str) -> Result<Option<DoNotCallRow>, StoreError> {
    todo!()
}

/// Which of these numbers are on the list.
pub async fn list_of(on: impl Into<On<'_>>, tenant: &str, numbers: &[String]) -> Result<Vec<String>, StoreError> {
    todo!()
}

/// A page of the list, by number, after `after`.
pub async fn list(
    on: impl Into<On<'_>>,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<DoNotCallRow>, StoreError> {
    todo!()
}
