//! The ledger of calls at once: a slot is taken before a provider is asked, and released on every path.

use super::{On, StoreError, Tx};
use serde::Serialize;
use sqlx::FromRow;

/// A slot. Times are Unix milliseconds of the database's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct SlotRow {
    /// Whose it is.
    pub tenant: String,
    /// Which job has it.
    pub job_id: String,
    /// For which attempt.
    pub attempt: i64,
    /// Of which run.
    pub run_id: String,
    /// From which provider account.
    pub account: String,
    /// When it was taken.
    pub taken_ms: i64,
    /// When it was released; `None`: it is held.
    pub released_ms: Option<i64>,
}

/// Slots that are held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Held {
    /// By this run.
    pub run: i64,
    /// By all runs from this account.
    pub account: i64,
    /// By all runs of the tenant.
    pub tenant: i64,
}

/// What became of the slots of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Ledger {
    /// How many were taken.
    pub taken: i64,
    /// How many of them were released.
    pub released: i64,
}

/// Takes slots. One that is there already (a call that lives again) is held again.
pub async fn take(tx: &mut Tx, rows: &[SlotRow]) -> Result<(), StoreError> {
    todo!()
}

/// Releases slots, by tenant, job and attempt; those that are released stay as they are.
pub async fn release(tx: &mut Tx, rows: &[SlotRow]) -> Result<u64, StoreError> {
    todo!()
}

/// How many are held.
pub async fn count_held(
    on: impl Into<On<'_>>,
    tenant: &str,
    account: &str,
    run_id: &str,
) -> Result<Held, StoreError> {
    todo!()
}

/// When a slot of a run was released last.
pub async fn last_released(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<Option<i64>, StoreError> {
    todo!()
}

/// The ledger of a run.
pub async fn ledger(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<Ledger, StoreError> {
    todo!()
}
