//! Jobs of outbound runs. See `store::runs::lock` for who may change them when.

use super::{
    On, StoreError, Tx, slots,
    sql::{Sql, columns, statements},
};
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
    /// Since when it is being placed; of one that was given back, since when it was.
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
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let added: Vec<(String,)> = INSERT.over(rows).fetch_all(tx).await?;
    Ok(added.into_iter().map(|(key,)| key).collect())
}

/// Writes everything of jobs that can change.
pub async fn update(tx: &mut Tx, rows: &[JobRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    UPDATE.over(rows).execute(tx).await.map(drop)
}

/// A job. To change it, read it by [`load_locked`]: a call may change it at the same time.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<Option<JobRow>, StoreError> {
    FIND.query().bind(tenant).bind(id).fetch_optional(on).await
}

/// Whose job this is: for whoever asked for one of another tenant.
pub async fn owner(on: impl Into<On<'_>>, id: &str) -> Result<Option<String>, StoreError> {
    let row: Option<(String,)> = OWNER.query().bind(id).fetch_optional(on).await?;
    Ok(row.map(|(tenant,)| tenant))
}

/// Jobs to be changed: locked until the transaction ends, and in the order of their keys, so that no two who change jobs
/// wait for each other.
pub async fn load_locked(tx: &mut Tx, keys: &[JobKey]) -> Result<Vec<JobRow>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    LOAD_LOCKED.over(keys).fetch_all(tx).await
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
    let f = filter;
    // What narrows most chooses the index; behind an OR SQLite could not choose it by itself.
    let sql = match (&f.lead_id, &f.state) {
        (Some(_), _) => &LIST_OF_LEAD,
        (None, Some(_)) => &LIST_IN_STATE,
        (None, None) => &LIST,
    };
    let query = sql.query().bind(tenant).bind(run_id).bind(after).bind(limit);
    let query = query.bind(f.state.as_deref()).bind(f.outcome.as_deref()).bind(f.lead_id.as_deref());
    query.fetch_all(on).await
}

/// The last place of a run; 0: it has no jobs.
pub async fn last_place(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<i64, StoreError> {
    let row: Option<(i64,)> = LAST_PLACE.query().bind(tenant).bind(run_id).fetch_optional(on).await?;
    Ok(row.map_or(0, |(place,)| place))
}

/// The next jobs to hand out: queued, due, handed out to nobody; locked, without those that another transaction has.
pub async fn pick(tx: &mut Tx, tenant: &str, run_id: &str, now_ms: i64, limit: i64) -> Result<Vec<JobRow>, StoreError> {
    PICK.query().bind(tenant).bind(run_id).bind(now_ms).bind(limit).fetch_all(tx).await
}

/// The queued jobs of a run that were handed out under this token, in the order of the list.
pub async fn list_reserved(
    on: impl Into<On<'_>>,
    tenant: &str,
    run_id: &str,
    token: i64,
    limit: i64,
) -> Result<Vec<JobRow>, StoreError> {
    LIST_RESERVED.query().bind(tenant).bind(run_id).bind(token).bind(limit).fetch_all(on).await
}

/// Takes queued jobs back that were handed out under another token than this one, and releases their slots. Answers how many.
pub async fn take_back(tx: &mut Tx, tenant: &str, run_id: &str, token: i64, now_ms: i64) -> Result<u64, StoreError> {
    let query = TAKE_BACK.query().bind(tenant).bind(run_id).bind(token).bind(now_ms);
    let taken = query.execute(tx).await?;
    slots::release_idle(tx, tenant, Some(run_id), now_ms).await?;
    Ok(taken)
}

/// When the first queued job that nobody has is due; `None`: there is none.
pub async fn first_due(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<Option<i64>, StoreError> {
    let row: Option<(i64,)> = FIRST_DUE.query().bind(tenant).bind(run_id).fetch_optional(on).await?;
    Ok(row.map(|(due_ms,)| due_ms))
}

/// Whether a job of a run is queued, placing, placed or live.
pub async fn any_open(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = ANY_OPEN.query().bind(tenant).bind(run_id).fetch_optional(on).await?;
    Ok(row.is_some())
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
    lock_open(tx, &LOCK_OPEN, tenant, run_id).await?;
    let query = END_QUEUED.query().bind(tenant).bind(run_id).bind(state).bind(error).bind(now_ms);
    let ended = query.execute(tx).await?;
    slots::release_idle(tx, tenant, Some(run_id), now_ms).await?;
    Ok(ended)
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
    lock_open(tx, &LOCK_OPEN, tenant, run_id).await?;
    let query = END_PLACING.query().bind(tenant).bind(run_id).bind(state).bind(error).bind(now_ms);
    let ended = query.execute(tx).await?;
    slots::release_idle(tx, tenant, Some(run_id), now_ms).await?;
    Ok(ended)
}

/// Cancels the queued jobs of a lead, in all runs, with the reason. Answers how many.
pub async fn cancel_of_lead(
    tx: &mut Tx,
    tenant: &str,
    lead_id: &str,
    error: &str,
    now_ms: i64,
) -> Result<u64, StoreError> {
    lock_open(tx, &LOCK_OPEN_OF_LEAD, tenant, lead_id).await?;
    let query = CANCEL_OF_LEAD.query().bind(tenant).bind(lead_id).bind("cancelled").bind(error).bind(now_ms);
    let ended = query.execute(tx).await?;
    slots::release_idle(tx, tenant, None, now_ms).await?;
    Ok(ended)
}

/// Waits for whoever is changing a job that is not over, and keeps it from changing: a job whose call just ended may be
/// about to wait for its next attempt, and would be missed by what is done to those that wait now.
async fn lock_open(tx: &mut Tx, which: &'static Sql, tenant: &str, of: &str) -> Result<(), StoreError> {
    match tx {
        Tx::Sqlite(_) => Ok(()),
        Tx::Postgres(_) => which.query().bind(tenant).bind(of).execute(tx).await.map(drop),
    }
}

/// The jobs of a run whose calls are under way and known (`placed` or `live`), at most `limit`.
pub async fn list_live(
    on: impl Into<On<'_>>,
    tenant: &str,
    run_id: &str,
    limit: i64,
) -> Result<Vec<JobRow>, StoreError> {
    LIST_LIVE.query().bind(tenant).bind(run_id).bind(limit).fetch_all(on).await
}

/// Jobs of all tenants whose answer is lost and that are being placed since `placing_before_ms` or longer: it is known to be
/// lost, or their run has another token by now, or is not running any more. Also those of open runs that were placed so long
/// ago, and of whose call the door was never told. The oldest first.
pub async fn list_lost(on: impl Into<On<'_>>, placing_before_ms: i64, limit: i64) -> Result<Vec<JobRow>, StoreError> {
    LIST_LOST.query().bind(placing_before_ms).bind(limit).fetch_all(on).await
}

/// Which of these calls belong to some job, or to none any more, by the provider's id: of whichever attempt, also calls
/// that turned up for a job that was over.
pub async fn list_claimed(
    on: impl Into<On<'_>>,
    tenant: &str,
    provider_ids: &[String],
) -> Result<Vec<String>, StoreError> {
    if provider_ids.is_empty() {
        return Ok(Vec::new());
    }
    let key = |id: &String| CallKey { tenant: tenant.to_owned(), provider_id: id.clone() };
    let rows: Vec<(String,)> =
        LIST_CLAIMED.over(&provider_ids.iter().map(key).collect::<Vec<_>>()).fetch_all(on).await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// A call, to be looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct CallKey {
    tenant: String,
    provider_id: String,
}

columns!(job_columns of JobRow {
    tenant text, id text, run_id text, key text, place int, to text, phone_e164 text, lead_id text, user_id text,
    state text, attempt int, token int, due_ms int, placing_ms int, lost_ms int, provider_id text, call_id text,
    outcome text, resolution text, answered_by text, error text, created_ms int, updated_ms int, ended_ms int
});
pub(super) use job_columns;
columns!(job_key_columns of JobKey { tenant text, id text });
columns!(call_key_columns of CallKey { tenant text, provider_id text });

/// Pages of a run in the order of the list.
macro_rules! page {
    ($also:literal) => {
        concat!(
            "SELECT ",
            job_columns!(names),
            " FROM job WHERE tenant = $1 AND run_id = $2 AND place > $3",
            $also,
            "
            AND (CAST($5 AS TEXT) IS NULL OR state = $5) AND (CAST($6 AS TEXT) IS NULL OR outcome = $6)
            AND (CAST($7 AS TEXT) IS NULL OR lead_id = $7) ORDER BY place LIMIT $4"
        )
    };
}

/// The jobs that are handed out next.
macro_rules! waiting {
    () => {
        "FROM job WHERE tenant = $1 AND run_id = $2 AND state = 'queued' AND token IS NULL"
    };
}

/// Locks the jobs that are not over, in the order of their keys (see [`load_locked`]).
macro_rules! lock_open {
    ($of:literal) => {
        concat!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM job WHERE tenant = $1 AND ",
            $of,
            " = $2 AND state IN ('queued', 'placing', 'placed', 'live') ORDER BY tenant, id FOR UPDATE) AS k"
        )
    };
}

macro_rules! end {
    ($which:literal) => {
        concat!("UPDATE job SET state = $3, error = $4, token = NULL, updated_ms = $5, ended_ms = $5 WHERE ", $which)
    };
}

macro_rules! reserved_otherwise {
    () => {
        "tenant = $1 AND run_id = $2 AND state = 'queued' AND token IS NOT NULL AND token <> $3"
    };
}

statements! {
    INSERT = insert(job_columns into "job": "ON CONFLICT (tenant, run_id, key) DO NOTHING RETURNING key");
    UPDATE = over(job_columns: "UPDATE job SET state = k.state, attempt = k.attempt, token = k.token, due_ms = k.due_ms,
            placing_ms = k.placing_ms, lost_ms = k.lost_ms, provider_id = k.provider_id, call_id = k.call_id,
            outcome = k.outcome, resolution = k.resolution, answered_by = k.answered_by, error = k.error,
            updated_ms = k.updated_ms, ended_ms = k.ended_ms FROM ",
        " WHERE job.tenant = k.tenant AND job.id = k.id");
    FIND = both("SELECT ", job_columns!(names), " FROM job WHERE tenant = $1 AND id = $2");
    // Each tenant is asked by the primary key: an index by id alone would be written for every job, and read for this only.
    OWNER = both("SELECT tenant.id FROM tenant
        WHERE EXISTS (SELECT 1 FROM job WHERE job.tenant = tenant.id AND job.id = $1) LIMIT 1");
    LOAD_LOCKED = split(
        concat!("SELECT ", job_columns!(names_of_c), " FROM ", job_key_columns!(sqlite_rows), " CROSS JOIN job AS c
            ON c.tenant = k.tenant AND c.id = k.id ORDER BY k.tenant, k.id"),
        // The keys are the outer side of a nested loop, and each turn of it locks its row.
        concat!("SELECT ", job_columns!(names_of_c), " FROM (SELECT DISTINCT k.tenant, k.id FROM ",
            job_key_columns!(postgres_rows), " ORDER BY k.tenant, k.id) AS k CROSS JOIN LATERAL
            (SELECT * FROM job AS c WHERE c.tenant = k.tenant AND c.id = k.id OFFSET 0 FOR UPDATE) AS c"),
    );
    LIST = both(page!(""));
    LIST_IN_STATE = both(page!(" AND state = $5"));
    LIST_OF_LEAD = both(page!(" AND lead_id = $7"));
    LAST_PLACE = both("SELECT place FROM job WHERE tenant = $1 AND run_id = $2 ORDER BY place DESC LIMIT 1");
    PICK = split(
        concat!("SELECT ", job_columns!(names), " ", waiting!(), " AND due_ms <= $3 ORDER BY due_ms, place LIMIT $4"),
        concat!("SELECT ", job_columns!(names), " ", waiting!(), " AND due_ms <= $3 ORDER BY due_ms, place LIMIT $4
            FOR UPDATE SKIP LOCKED"),
    );
    LIST_RESERVED = both("SELECT ", job_columns!(names), " FROM job WHERE tenant = $1 AND run_id = $2
        AND state = 'queued' AND token IS NOT NULL AND token = $3 ORDER BY place LIMIT $4");
    TAKE_BACK = split(
        concat!("UPDATE job SET token = NULL, updated_ms = $4 WHERE ", reserved_otherwise!()),
        concat!("WITH k AS MATERIALIZED (SELECT tenant, id FROM job WHERE ", reserved_otherwise!(), "
             ORDER BY tenant, id FOR UPDATE)
            UPDATE job SET token = NULL, updated_ms = $4 FROM k WHERE job.tenant = k.tenant AND job.id = k.id"),
    );
    FIRST_DUE = both("SELECT due_ms ", waiting!(), " ORDER BY due_ms LIMIT 1");
    ANY_OPEN = both("SELECT CAST(1 AS BIGINT) FROM job WHERE tenant = $1 AND run_id = $2
        AND state IN ('queued', 'placing', 'placed', 'live') LIMIT 1");
    LOCK_OPEN = split("SELECT $1, $2", lock_open!("run_id"));
    LOCK_OPEN_OF_LEAD = split("SELECT $1, $2", lock_open!("lead_id"));
    END_QUEUED = both(end!("tenant = $1 AND run_id = $2 AND state = 'queued'"));
    END_PLACING = both(end!("tenant = $1 AND run_id = $2 AND state = 'placing'"));
    CANCEL_OF_LEAD = both(end!("tenant = $1 AND lead_id = $2 AND state = 'queued'"));
    LIST_LIVE = both("SELECT ", job_columns!(names), " FROM job WHERE tenant = $1 AND run_id = $2
        AND state IN ('placed', 'live') ORDER BY place LIMIT $3");
    LIST_LOST = both("SELECT ", job_columns!(names_of_c), " FROM job AS c JOIN run AS r ON r.tenant = c.tenant AND r.id = c.run_id
        WHERE c.state = 'placing' AND c.placing_ms <= $1 AND (c.lost_ms IS NOT NULL OR c.token IS NULL OR c.token <> r.token
            OR r.state <> 'running')
        UNION ALL SELECT ", job_columns!(names_of_c), " FROM run AS r JOIN job AS c ON c.tenant = r.tenant AND c.run_id = r.id
        WHERE (r.state = 'running' OR r.state = 'paused' OR r.state = 'cancelling') AND c.state = 'placed'
            AND c.call_id IS NULL AND c.placing_ms <= $1 ORDER BY placing_ms LIMIT $2");
    LIST_CLAIMED = split(
        concat!("SELECT k.provider_id FROM ", call_key_columns!(sqlite_rows), "
            WHERE EXISTS (SELECT 1 FROM job WHERE job.tenant = k.tenant AND job.provider_id = k.provider_id)
               OR EXISTS (SELECT 1 FROM call WHERE call.tenant = k.tenant AND call.provider_id = k.provider_id
                    AND call.run_id IS NOT NULL)"),
        concat!("SELECT k.provider_id FROM ", call_key_columns!(postgres_rows), " CROSS JOIN LATERAL
            (SELECT 1 FROM job WHERE job.tenant = k.tenant AND job.provider_id = k.provider_id
             UNION ALL SELECT 1 FROM call WHERE call.tenant = k.tenant AND call.provider_id = k.provider_id
                AND call.run_id IS NOT NULL LIMIT 1) AS c"),
    );
}
