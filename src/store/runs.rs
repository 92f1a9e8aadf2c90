//! Outbound runs: one row each, changed under the lock of their tenant ([`lock`]).

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
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
    /// Since when its holder has it: nobody takes it for want of progress before some could be made.
    pub leased_ms: Option<i64>,
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

/// A run across tenants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RunKey {
    /// Whose it is.
    pub tenant: String,
    /// `run_…`.
    pub run_id: String,
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
    match tx {
        Tx::Sqlite(_) => Ok(()),
        Tx::Postgres(_) => LOCK.query().bind(tenant).bind(RUNS_LOCK).execute(tx).await.map(drop),
    }
}

/// Makes a run; [`StoreError::Exists`] if its key has one.
pub async fn insert(tx: &mut Tx, row: &RunRow) -> Result<(), StoreError> {
    INSERT.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// Writes everything of a run that can change.
pub async fn update(tx: &mut Tx, row: &RunRow) -> Result<(), StoreError> {
    UPDATE.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// A run.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<Option<RunRow>, StoreError> {
    FIND.query().bind(tenant).bind(id).fetch_optional(on).await
}

/// The run with a key of the user's.
pub async fn find_by_key(on: impl Into<On<'_>>, tenant: &str, key: &str) -> Result<Option<RunRow>, StoreError> {
    FIND_BY_KEY.query().bind(tenant).bind(key).fetch_optional(on).await
}

/// The runs with these keys.
pub async fn list_by_keys(on: impl Into<On<'_>>, keys: &[RunKey]) -> Result<Vec<RunRow>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    LIST_BY_KEYS.over(keys).fetch_all(on).await
}

/// Whose run this is: for whoever asked for one of another tenant.
pub async fn owner(on: impl Into<On<'_>>, id: &str) -> Result<Option<String>, StoreError> {
    let row: Option<(String,)> = OWNER.query().bind(id).fetch_optional(on).await?;
    Ok(row.map(|(tenant,)| tenant))
}

/// A page of the runs of a tenant, the newest first, before `(created_ms, id)`.
pub async fn list(
    on: impl Into<On<'_>>,
    tenant: &str,
    filter: &RunFilter,
    before: (i64, &str),
    limit: i64,
) -> Result<Vec<RunRow>, StoreError> {
    let query = LIST.query().bind(tenant).bind(before.0).bind(before.1).bind(limit);
    query.bind(filter.state.as_deref()).bind(filter.worker.as_deref()).fetch_all(on).await
}

/// A page of the runs of all tenants that are running, paused or cancelling, after `(tenant, id)`.
pub async fn list_open(on: impl Into<On<'_>>, after: (&str, &str), limit: i64) -> Result<Vec<RunRow>, StoreError> {
    LIST_OPEN.query().bind(after.0).bind(after.1).bind(limit).fetch_all(on).await
}

/// How many jobs of these runs are in which state with which outcome.
pub async fn count_jobs(on: impl Into<On<'_>>, tenant: &str, run_ids: &[String]) -> Result<Vec<JobCount>, StoreError> {
    if run_ids.is_empty() {
        return Ok(Vec::new());
    }
    let key = |run_id: &String| RunKey { tenant: tenant.to_owned(), run_id: run_id.clone() };
    COUNT_JOBS.over(&run_ids.iter().map(key).collect::<Vec<_>>()).fetch_all(on).await
}

/// How many runs of all tenants are in which state; of at most `limit` runs.
pub async fn count_states(on: impl Into<On<'_>>, limit: i64) -> Result<Vec<(String, i64)>, StoreError> {
    COUNT_STATES.query().bind(limit).fetch_all(on).await
}

columns!(run_columns of RunRow {
    tenant text, id text, key text, name text, state text, worker text, account text, provider text, settings text,
    place_every_us int, place_next_us int, calls_max int, holder text, token int, lease_until_ms int, leased_ms int,
    beat_ms int, progress_ms int, created_ms int, started_ms int, cancel_ms int, ended_ms int, last_error text, last_error_ms int
});
columns!(run_key_columns of RunKey { tenant text, run_id text });

statements! {
    LOCK = split("SELECT $1, $2", "SELECT pg_advisory_xact_lock(hashtextextended($1, $2))");
    INSERT = insert(run_columns into "run": "");
    UPDATE = over(run_columns: "UPDATE run SET name = k.name, state = k.state, settings = k.settings,
            place_every_us = k.place_every_us, place_next_us = k.place_next_us, calls_max = k.calls_max,
            holder = k.holder, token = k.token, lease_until_ms = k.lease_until_ms, leased_ms = k.leased_ms,
            beat_ms = k.beat_ms,
            progress_ms = k.progress_ms, started_ms = k.started_ms, cancel_ms = k.cancel_ms, ended_ms = k.ended_ms,
            last_error = k.last_error, last_error_ms = k.last_error_ms FROM ",
        " WHERE run.tenant = k.tenant AND run.id = k.id");
    FIND = both("SELECT ", run_columns!(names), " FROM run WHERE tenant = $1 AND id = $2");
    FIND_BY_KEY = both("SELECT ", run_columns!(names), " FROM run WHERE tenant = $1 AND key = $2 AND key IS NOT NULL");
    LIST_BY_KEYS = lookup(run_key_columns in "run" as run_columns: "c.tenant = k.tenant AND c.id = k.run_id");
    OWNER = both("SELECT tenant FROM run WHERE id = $1");
    LIST = both("SELECT ", run_columns!(names), " FROM run WHERE tenant = $1 AND (created_ms, id) < ($2, $3)
            AND (CAST($5 AS TEXT) IS NULL OR state = $5) AND (CAST($6 AS TEXT) IS NULL OR worker = $6)
        ORDER BY created_ms DESC, id DESC LIMIT $4");
    LIST_OPEN = both("SELECT ", run_columns!(names), " FROM run
        WHERE (state = 'running' OR state = 'paused' OR state = 'cancelling') AND (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3");
    COUNT_JOBS = split(
        concat!("SELECT c.run_id, c.state, c.outcome, COUNT(*) AS jobs FROM ", run_key_columns!(sqlite_rows), "
            CROSS JOIN job AS c ON c.tenant = k.tenant AND c.run_id = k.run_id GROUP BY c.run_id, c.state, c.outcome"),
        concat!("SELECT k.run_id, c.state, c.outcome, c.jobs FROM ", run_key_columns!(postgres_rows), "
            CROSS JOIN LATERAL (SELECT state, outcome, COUNT(*) AS jobs FROM job
            WHERE job.tenant = k.tenant AND job.run_id = k.run_id GROUP BY state, outcome OFFSET 0) AS c"),
    );
    COUNT_STATES = both("SELECT state, CAST(count(*) AS BIGINT) AS runs
        FROM (SELECT state FROM run LIMIT $1) AS some_run GROUP BY state ORDER BY state");
}

/// Tells this lock of a tenant from other locks of the same text: the seed of its hash.
const RUNS_LOCK: i64 = 0x0072_756e_7300;
