//! Jobs of outbound runs. See `store::runs::lock` for who may change them when.

use super::{On, StoreError, Tx};
use serde::Serialize;
use sqlx::FromRow;

/// A job. Times are Unix milliseconds of the database's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct JobRow {
    /// Whose it is.
    pub tenant: String,
    /// `job_…`.
    pub id: String,
    /// Its run.
    pub run_id: String,
    /// Unique in its run.
    pub key: String,
    /// Its place in the list, from 1.
    pub place: i64,
    /// Whom to call.
    pub to: String,
    /// The same, if it is a number.
    pub phone_e164: Option<String>,
    /// Whose call it will be.
    pub lead_id: Option<String>,
    /// Whose call it will be.
    pub user_id: Option<String>,
    /// `domain::run::JobState`.
    pub state: String,
    /// 0 before the first.
    pub attempt: i64,
    /// Under which token of its run it was handed out. `None`: to nobody.
    pub token: Option<i64>,
    /// It is not placed before.
    pub due_ms: i64,
    /// Since when it is being placed.
    pub placing_ms: Option<i64>,
    /// Since when it is known that the provider's answer is lost.
    pub lost_ms: Option<i64>,
    /// The call of this attempt: the provider's id.
    pub provider_id: Option<String>,
    /// The same: ours.
    pub call_id: Option<String>,
    /// How the last call that ended did.
    pub outcome: Option<String>,
    /// How that is known.
    pub resolution: Option<String>,
    /// Who or what answered.
    pub answered_by: Option<String>,
    /// Why it is as it is, in words.
    pub error: Option<String>,
    /// When it was made.
    pub created_ms: i64,
    /// When it changed last.
    pub updated_ms: i64,
    /// When it was over.
    pub ended_ms: Option<i64>,
}

/// A job across tenants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, FromRow)]
pub struct JobKey {
    /// Whose it is.
    pub tenant: String,
    /// `job_…`.
    pub id: String,
}

/// Which jobs of a run to list. `None` does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// `domain::run::JobState`.
    pub state: Option<String>,
    /// How its call ended.
    pub outcome: Option<String>,
    /// Whose.
    pub lead_id: Option<String>,
}

/// Adds jobs to runs; those whose key is there already are left as they are. Answers the keys that were added.
pub async fn insert(tx: &mut Tx, rows: &[JobRow]) -> Result<Vec<String>, StoreError> {
    todo!()
}

/// Writes everything of jobs that can change.
pub async fn update(tx: &mut Tx, rows: &[JobRow]) -> Result<(), StoreError> {
    todo!()
}

/// A job.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<Option<JobRow>, StoreError> {
    todo!()
}

/// Jobs to be changed by whoever does not hold the lock of their tenant: locked, in one order.
pub async fn load_locked(tx: &mut Tx, keys: &[JobKey]) -> Result<Vec<JobRow>, StoreError> {
    todo!()
}

/// A page of the jobs of a run, in the order of the list, after `place`.
pub async fn list(
    on: impl Into<On<'_>>,
    tenant: &str,
    run_id: &str,
    filter: &JobFilter,
    after: i64,
    limit: i64,
) -> Result<Vec<JobRow>, StoreError> {
    todo!()
}

/// The last place of a run; 0: it has no jobs.
pub async fn last_place(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<i64, StoreError> {
    todo!()
}

/// The next jobs to hand out: queued, due, handed out to nobody; locked, without those that another transaction has.
pub async fn pick(
    tx: &mut Tx,
    tenant: &str,
    run_id: &str,
    now_ms: i64,
    limit: i64,
) -> Result<Vec<JobRow>, StoreError> {
    todo!()
}

/// The queued jobs of a run that were handed out under this token, in the order of the list.
pub async fn list_reserved(
    on: impl Into<On<'_>>,
    tenant: &str,
    run_id: &str,
    token: i64,
    limit: i64,
) -> Result<Vec<JobRow>, StoreError> {
    todo!()
}

/// Takes queued jobs back that were handed out under another token than this one, and releases their slots. Answers how many.
pub async fn take_back(tx: &mut Tx, tenant: &str, run_id: &str, token: i64, now_ms: i64) -> Result<u64, StoreError> {
    todo!()
}

/// When the first queued job that nobody has is due; `None`: there is none.
pub async fn first_due(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<Option<i64>, StoreError> {
    todo!()
}

/// Whether a job of a run is queued, placing, placed or live.
pub async fn any_open(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<bool, StoreError> {
    todo!()
}

/// Ends all queued jobs of a run (`cancelled` or `failed`, with the reason) and releases slots they had. Answers how many.
pub async fn end_queued(
    tx: &mut Tx,
    tenant: &str,
    run_id: &str,
    state: &str,
    error: &str,
    now_ms: i64,
) -> Result<u64, StoreError> {
    todo!()
}

/// The same for all jobs of a run that are being placed.
pub async fn end_placing(
    tx: &mut Tx,
    tenant: &str,
    run_id: &str,
    state: &str,
    error: &str,
    now_ms: i64,
) -> Result<u64, StoreError> {
    todo!()
}

/// Cancels the queued jobs of a lead, in all runs, with the reason. Answers how many.
pub async fn cancel_of_lead(
    tx: &mut Tx,
    tenant: &str,
    lead_id: &str,
    error: &str,
    now_ms: i64,
) -> Result<u64, StoreError> {
    todo!()
}

/// The jobs of a run whose calls are under way and known (`placed` or `live`), at most `limit`.
pub async fn list_live(
    on: impl Into<On<'_>>,
    tenant: &str,
    run_id: &str,
    limit: i64,
) -> Result<Vec<JobRow>, StoreError> {
    todo!()
}

/// Jobs of all tenants whose answer is lost and that are being placed since `placing_before_ms` or longer: it is known to be
/// lost, or their run has another token by now, or is not running any more. The oldest first.
pub async fn list_lost(
    on: impl Into<On<'_>>,
    placing_before_ms: i64,
    limit: i64,
) -> Result<Vec<JobRow>, StoreError> {
    todo!()
}

/// Which of these calls of an account belong to some job, by the provider's id.
pub async fn list_claimed(
    on: impl Into<On<'_>>,
    tenant: &str,
    provider_ids: &[String],
) -> Result<Vec<String>, StoreError> {
    todo!()
}
