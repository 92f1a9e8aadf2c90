//! Calls that are to be hung up at their provider, until that is settled.

use super::{On, StoreError, Tx};
use serde::Serialize;
use sqlx::FromRow;

/// A call to be hung up. Times are Unix milliseconds of the database's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct HangupRow {
    /// Whose call it is.
    pub tenant: String,
    /// Its account.
    pub account: String,
    /// The provider's id of it.
    pub provider_id: String,
    /// `twilio` or `asterisk`.
    pub provider: String,
    /// Of which run, if of any.
    pub run_id: Option<String>,
    /// Of which job.
    pub job_id: Option<String>,
    /// [`FORCE_CANCELLED`] or [`STRAY`].
    pub reason: String,
    /// Since when.
    pub requested_ms: i64,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried next; `None`: it is settled.
    pub due_ms: Option<i64>,
    /// When it was settled.
    pub settled_ms: Option<i64>,
    /// What came of it: `hung-up`, `ended-before`, `given-up`.
    pub result: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
}

/// Its run was cancelled by force.
pub const FORCE_CANCELLED: &str = "force-cancelled";
/// It turned up for a job that was over, or that had another call.
pub const STRAY: &str = "stray";

/// Asks for the end of calls; those that are asked for already stay as they are. Answers the provider ids that are new.
pub async fn insert(tx: &mut Tx, rows: &[HangupRow]) -> Result<Vec<String>, StoreError> {
    todo!()
}

/// Takes what is due, moving it ahead by `lease_ms`, without what another transaction has.
pub async fn claim(tx: &mut Tx, now_ms: i64, lease_ms: i64, limit: i64) -> Result<Vec<HangupRow>, StoreError> {
    todo!()
}

/// The same for one run, whatever is due when: for whoever waits for it.
pub async fn claim_of_run(
    tx: &mut Tx,
    tenant: &str,
    run_id: &str,
    now_ms: i64,
    lease_ms: i64,
    limit: i64,
) -> Result<Vec<HangupRow>, StoreError> {
    todo!()
}

/// Writes what came of it.
pub async fn update(tx: &mut Tx, rows: &[HangupRow]) -> Result<(), StoreError> {
    todo!()
}

/// How many calls of a run were hung up, or had ended, and how many are still to be.
pub async fn count_of_run(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<HangupCount, StoreError> {
    todo!()
}

/// Calls of a run that are, or were, to be hung up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct HangupCount {
    /// Hung up by us.
    pub hung_up: i64,
    /// Not settled yet.
    pub pending: i64,
    /// Settled otherwise: they had ended, or it was given up.
    pub other: i64,
}

/// Forgets settled ones from before this moment, at most `limit`; answers how many.
pub async fn delete_settled(tx: &mut Tx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    todo!()
}
