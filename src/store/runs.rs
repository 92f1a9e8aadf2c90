//! Outbound runs: one row each, changed under the lock of their tenant ([`lock`]).

use super::{On, StoreError, Tx};
use serde::Serialize;
use sqlx::FromRow;

/// A run. Times are Unix milliseconds of the database's clock, unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct RunRow {
    /// Whose it is.
    pub tenant: String,
    /// `run_…`.
    pub id: String,
    /// The user's own id of it.
    pub key: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// `domain::run::RunState`.
    pub state: String,
    /// `domain::run::Worker`.
    pub worker: String,
    /// The provider account that is dialed from.
    pub account: String,
    /// `twilio` or `asterisk`.
    pub provider: String,
    /// `domain::run::Settings` as JSON.
    pub settings: String,
    /// Microseconds from one call to the next.
    pub place_every_us: i64,
    /// The next call may be placed from here on, in Unix microseconds.
    pub place_next_us: i64,
    /// Calls at once.
    pub calls_max: i64,
    /// Who has the lease, or had it last.
    pub holder: Option<String>,
    /// The fencing token; 0: nobody ever had it.
    pub token: i64,
    /// Until when.
    pub lease_until_ms: i64,
    /// The last heartbeat.
    pub beat_ms: Option<i64>,
    /// When a job was placed last, or it was last seen that none could be.
    pub progress_ms: Option<i64>,
    /// When it was made.
    pub created_ms: i64,
    /// When it was started, or resumed last.
    pub started_ms: Option<i64>,
    /// When somebody asked for its end.
    pub cancel_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// What went wrong last, in words without numbers and secrets.
    pub last_error: Option<String>,
    /// When.
    pub last_error_ms: Option<i64>,
}

/// Which runs to list. `None` does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// `domain::run::RunState`.
    pub state: Option<String>,
    /// `domain::run::Worker`.
    pub worker: Option<String>,
}

/// How many jobs of a run are so.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct JobCount {
    /// Which run.
    pub run_id: String,
    /// `domain::run::JobState`.
    pub state: String,
    /// How their calls ended, if they have.
    pub outcome: Option<String>,
    /// How many.
    pub jobs: i64,
}

/// Takes the lock under which runs, jobs and slots of a tenant are changed, until the transaction ends. First in it:
/// only `ingest` changes jobs and slots without it (row locks, jobs before slots), and never runs.
pub async fn lock(tx: &mut Tx, tenant: &str) -> Result<(), StoreError> {
    todo!()
}

/// Makes a run; [`StoreError::Exists`] if its key has one.
pub async fn insert(tx: &mut Tx, row: &RunRow) -> Result<(), StoreError> {
    todo!()
}

/// Writes everything of a run that can change.
pub async fn update(tx: &mut Tx, row: &RunRow) -> Result<(), StoreError> {
    todo!()
}

/// A run.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<Option<RunRow>, StoreError> {
    todo!()
}

/// The run with a key of the user's.
pub async fn find_by_key(on: impl Into<On<'_>>, tenant: &str, key: &str) -> Result<Option<RunRow>, StoreError> {
    todo!()
}

/// Whose run this is: for whoever asked for one of another tenant.
pub async fn owner(on: impl Into<On<'_>>, id: &str) -> Result<Option<String>, StoreError> {
    todo!()
}

/// A page of the runs of a tenant, the newest first, before `(created_ms, id)`.
pub async fn list(
    on: impl Into<On<'_>>,
    tenant: &str,
    filter: &RunFilter,
    before: (i64, &str),
    limit: i64,
) -> Result<Vec<RunRow>, StoreError> {
    todo!()
}

/// A page of the runs of all tenants that are running, paused or cancelling, after `(tenant, id)`.
pub async fn list_open(on: impl Into<On<'_>>, after: (&str, &str), limit: i64) -> Result<Vec<RunRow>, StoreError> {
    todo!()
}

/// How many jobs of these runs are in which state with which outcome.
pub async fn count_jobs(
    on: impl Into<On<'_>>,
    tenant: &str,
    run_ids: &[String],
) -> Result<Vec<JobCount>, StoreError> {
    todo!()
}
