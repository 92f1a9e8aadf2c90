//! The ledger of calls at once: a slot is taken before a provider is asked, and released on every path.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
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
    if rows.is_empty() {
        return Ok(());
    }
    TAKE.over(rows).execute(tx).await.map(drop)
}

/// Releases slots, by tenant, job and attempt, at the moment that each says; those that are released stay as they are.
/// Answers how many were held.
pub async fn release(tx: &mut Tx, rows: &[SlotRow]) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    RELEASE.over(rows).execute(tx).await
}

/// Releases the slots of a run, or of all runs of a tenant, that nothing holds: their job is neither being placed nor has
/// a call, and is not handed out to be placed next. Answers how many.
pub async fn release_idle(tx: &mut Tx, tenant: &str, run_id: Option<&str>, now_ms: i64) -> Result<u64, StoreError> {
    RELEASE_IDLE.query().bind(tenant).bind(run_id).bind(now_ms).execute(tx).await
}

/// How many are held.
pub async fn count_held(on: impl Into<On<'_>>, tenant: &str, account: &str, run_id: &str) -> Result<Held, StoreError> {
    COUNT_HELD.query().bind(tenant).bind(account).bind(run_id).fetch_one(on).await
}

/// How many slots of a run were taken at or after this moment: attempts that were begun.
pub async fn count_taken(on: impl Into<On<'_>>, tenant: &str, run_id: &str, since_ms: i64) -> Result<i64, StoreError> {
    let row: Option<(i64,)> = COUNT_TAKEN.query().bind(tenant).bind(run_id).bind(since_ms).fetch_optional(on).await?;
    Ok(row.map_or(0, |(taken,)| taken))
}

/// When a slot of a run was released last.
pub async fn last_released(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<Option<i64>, StoreError> {
    let row: Option<(i64,)> = LAST_RELEASED.query().bind(tenant).bind(run_id).fetch_optional(on).await?;
    Ok(row.map(|(at,)| at))
}

/// The ledger of a run.
pub async fn ledger(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<Ledger, StoreError> {
    LEDGER.query().bind(tenant).bind(run_id).fetch_one(on).await
}

/// How many are held by all runs of all tenants; at most `limit` are counted.
pub async fn count_all_held(on: impl Into<On<'_>>, limit: i64) -> Result<i64, StoreError> {
    let (held,): (i64,) = COUNT_ALL_HELD.query().bind(limit).fetch_one(on).await?;
    Ok(held)
}

columns!(slot_columns of SlotRow {
    tenant text, job_id text, attempt int, run_id text, account text, taken_ms int, released_ms int
});

/// Whether the job of a slot holds it.
macro_rules! is_idle {
    () => {
        "NOT EXISTS (SELECT 1 FROM job WHERE job.tenant = slot.tenant AND job.id = slot.job_id
             AND ((job.state = 'queued' AND job.token IS NOT NULL AND job.attempt + 1 = slot.attempt)
                OR (job.state IN ('placing', 'placed', 'live') AND job.attempt = slot.attempt)))"
    };
}

statements! {
    TAKE = insert(slot_columns into "slot": "ON CONFLICT (tenant, job_id, attempt) DO UPDATE
        SET taken_ms = excluded.taken_ms, released_ms = NULL WHERE slot.released_ms IS NOT NULL");
    RELEASE = over(slot_columns: "UPDATE slot SET released_ms = coalesce(k.released_ms, slot.taken_ms) FROM ",
        " WHERE slot.tenant = k.tenant AND slot.job_id = k.job_id AND slot.attempt = k.attempt
            AND slot.released_ms IS NULL");
    RELEASE_IDLE = both("UPDATE slot SET released_ms = $3 WHERE tenant = $1
        AND (CAST($2 AS TEXT) IS NULL OR run_id = $2) AND released_ms IS NULL AND ", is_idle!());
    COUNT_HELD = both("SELECT COUNT(*) FILTER (WHERE run_id = $3) AS run, COUNT(*) FILTER (WHERE account = $2) AS account,
        COUNT(*) AS tenant FROM slot WHERE tenant = $1 AND released_ms IS NULL");
    COUNT_TAKEN = both("SELECT COUNT(*) FROM slot WHERE tenant = $1 AND run_id = $2 AND taken_ms >= $3");
    LAST_RELEASED = both("SELECT released_ms FROM slot WHERE tenant = $1 AND run_id = $2 AND released_ms IS NOT NULL
        ORDER BY released_ms DESC LIMIT 1");
    LEDGER = both("SELECT COUNT(*) AS taken, COUNT(released_ms) AS released FROM slot WHERE tenant = $1 AND run_id = $2");
    COUNT_ALL_HELD = both("SELECT CAST(count(*) AS BIGINT)
        FROM (SELECT 1 AS one FROM slot WHERE released_ms IS NULL LIMIT $1) AS held_slot");
}
