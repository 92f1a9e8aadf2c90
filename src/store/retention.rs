//! What was kept long enough: found in slices along the primary keys, taken away by key.
//!
//! `delivery` and `signal` have no index by time, because every webhook would have to write it. The slices are read aside
//! (on SQLite by the reading connections); only what is to go is named to the writing side, which looks it up by its key
//! and judges it once more there.

use super::{
    On, StoreError, Tx,
    calls::{LegKey, leg_columns},
    deliveries::{DeliveryKey, delivery_key_columns},
    sql::statements,
};
use sqlx::FromRow;

/// A leg of which signals are kept, and what says whether they may go.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct LegAge {
    /// Whose it is.
    pub tenant: String,
    /// The provider's id of the leg.
    pub provider_id: String,
    /// The provider account.
    pub account: String,
    /// How the ending is known; `None` while the call lives.
    pub resolution: Option<String>,
    /// The call it became part of.
    pub merged_into: Option<String>,
    /// The call it is a leg of.
    pub parent_id: Option<String>,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// When its last signal was received.
    pub last_signal_ms: i64,
}

/// A delivery, and what says whether it may go.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct DeliveryAge {
    /// Its key.
    #[sqlx(flatten)]
    pub key: DeliveryKey,
    /// When it first came.
    pub received_ms: i64,
    /// `applied` or `unapplied`.
    pub state: String,
}

/// An entry of the journal, and what says whether it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct EntryAge {
    /// Its place.
    pub seq: i64,
    /// When it was written.
    pub at_ms: i64,
}

/// The next legs of which signals are kept, of all tenants, in the order of their keys, after `after`.
pub async fn list_legs(on: impl Into<On<'_>>, after: &LegKey, limit: i64) -> Result<Vec<LegAge>, StoreError> {
    let query = LIST_LEGS.query().bind(&after.tenant).bind(&after.provider_id).bind(&after.account);
    query.bind(limit).fetch_all(on).await
}

/// Marks calls as pruned: those among these that are over, and ended and had their last signal before `before_ms`.
/// Answers which those are. The caller takes their signals away in the same transaction.
pub async fn mark_pruned(tx: &mut Tx, keys: &[LegKey], before_ms: i64, now_ms: i64) -> Result<Vec<LegKey>, StoreError> {
    MARK_PRUNED.over(keys).bind(now_ms).bind(before_ms).fetch_all(tx).await
}

/// Takes away at most `limit` signals of these legs; answers how many.
pub async fn delete_signals(tx: &mut Tx, keys: &[LegKey], limit: i64) -> Result<u64, StoreError> {
    if keys.is_empty() {
        return Ok(0);
    }
    DELETE_SIGNALS.over(keys).bind(limit).execute(tx).await
}

/// Which of these calls have been pruned.
pub async fn list_pruned(on: impl Into<On<'_>>, keys: &[LegKey]) -> Result<Vec<LegKey>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    LIST_PRUNED.over(keys).fetch_all(on).await
}

/// The next deliveries, of all tenants, in the order of their keys, after `after`.
pub async fn list_deliveries(
    on: impl Into<On<'_>>,
    after: &DeliveryKey,
    limit: i64,
) -> Result<Vec<DeliveryAge>, StoreError> {
    let DeliveryKey { tenant, provider_id, account, id } = after;
    let query = LIST_DELIVERIES.query().bind(tenant).bind(provider_id).bind(account).bind(id);
    query.bind(limit).fetch_all(on).await
}

/// Takes away those among these deliveries that were received before `before_ms` and are applied; answers how many.
pub async fn delete_deliveries(tx: &mut Tx, keys: &[DeliveryKey], before_ms: i64) -> Result<u64, StoreError> {
    if keys.is_empty() {
        return Ok(0);
    }
    DELETE_DELIVERIES.over(keys).bind(before_ms).execute(tx).await
}

/// The next entries of the journal after `seq`.
pub async fn list_entries(on: impl Into<On<'_>>, seq: i64, limit: i64) -> Result<Vec<EntryAge>, StoreError> {
    LIST_ENTRIES.query().bind(seq).bind(limit).fetch_all(on).await
}

/// Takes away the entries of the journal after the first and up to the second `seq` that were written before `before_ms`
/// and that every follower has read; answers how many.
pub async fn delete_entries(tx: &mut Tx, (after, up_to): (i64, i64), before_ms: i64) -> Result<u64, StoreError> {
    DELETE_ENTRIES.query().bind(after).bind(up_to).bind(before_ms).execute(tx).await
}

/// Takes away at most `limit` notices made before `before_ms`, read or not; answers how many.
pub async fn delete_notices(tx: &mut Tx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    DELETE_NOTICES.query().bind(before_ms).bind(limit).execute(tx).await
}

/// Takes away at most `limit` sweeps that began before `before_ms`; answers how many.
pub async fn delete_sweeps(tx: &mut Tx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    DELETE_SWEEPS.query().bind(before_ms).bind(limit).execute(tx).await
}

/// Takes away at most `limit` figures of sweeps of hours that began before `before_ms`; answers how many.
pub async fn delete_sweep_figures(tx: &mut Tx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    DELETE_SWEEP_FIGURES.query().bind(before_ms).bind(limit).execute(tx).await
}

/// Takes away at most `limit` decisions made before `before_ms`; answers how many.
pub async fn delete_audit(tx: &mut Tx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    DELETE_AUDIT.query().bind(before_ms).bind(limit).execute(tx).await
}

/// Takes away at most `limit` jobs of runs that ended before `before_ms`, but none whose call is under way; answers how many.
pub async fn delete_jobs(tx: &mut Tx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    DELETE_JOBS.query().bind(before_ms).bind(limit).execute(tx).await
}

/// Takes away at most `limit` slots of runs that ended before `before_ms`, but none that is held; answers how many.
pub async fn delete_slots(tx: &mut Tx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    DELETE_SLOTS.query().bind(before_ms).bind(limit).execute(tx).await
}

/// Takes away at most `limit` runs that ended before `before_ms` and of which no job and no slot is left; answers how many.
pub async fn delete_runs(tx: &mut Tx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    DELETE_RUNS.query().bind(before_ms).bind(limit).execute(tx).await
}

/// The legs of the next slice: each once, however many signals it has.
macro_rules! next_legs {
    () => {
        "WITH k AS (SELECT DISTINCT tenant, provider_id, account FROM signal
             WHERE (tenant, provider_id, account) > ($1, $2, $3) ORDER BY tenant, provider_id, account LIMIT $4)
         SELECT c.tenant, c.provider_id, c.account, c.resolution, c.merged_into, c.parent_id, c.ended_at_ms,
            c.last_signal_ms FROM k "
    };
}

/// Marks calls that are over and old enough: a live one never.
macro_rules! mark {
    ($rows:expr, $now:literal, $before:literal) => {
        concat!(
            "UPDATE call SET pruned_ms = ",
            $now,
            " FROM ",
            $rows,
            "
             WHERE call.tenant = k.tenant AND call.provider_id = k.provider_id AND call.account = k.account
                AND (call.resolution IS NOT NULL OR (call.merged_into IS NOT NULL AND call.parent_id IS NULL))
                AND call.last_signal_ms < ",
            $before,
            " AND coalesce(call.ended_at_ms, call.last_signal_ms) < ",
            $before,
            "
             RETURNING call.tenant, call.provider_id, call.account"
        )
    };
}

statements! {
    LIST_LEGS = split(
        concat!(next_legs!(), "CROSS JOIN call AS c
            ON c.tenant = k.tenant AND c.provider_id = k.provider_id AND c.account = k.account
            ORDER BY k.tenant, k.provider_id, k.account"),
        concat!(next_legs!(), "CROSS JOIN LATERAL (SELECT * FROM call AS c
            WHERE c.tenant = k.tenant AND c.provider_id = k.provider_id AND c.account = k.account OFFSET 0) AS c
            ORDER BY k.tenant, k.provider_id, k.account"),
    );
    MARK_PRUNED = split(mark!(leg_columns!(sqlite_rows), "$2", "$3"), mark!(leg_columns!(postgres_rows), "$4", "$5"));
    DELETE_SIGNALS = split(
        concat!("DELETE FROM signal WHERE (tenant, provider_id, account, identity) IN
            (SELECT s.tenant, s.provider_id, s.account, s.identity FROM ", leg_columns!(sqlite_rows), " CROSS JOIN signal AS s
             ON s.tenant = k.tenant AND s.provider_id = k.provider_id AND s.account = k.account LIMIT $2)"),
        concat!("DELETE FROM signal WHERE (tenant, provider_id, account, identity) IN
            (SELECT s.tenant, s.provider_id, s.account, s.identity FROM ", leg_columns!(postgres_rows), " CROSS JOIN LATERAL
             (SELECT * FROM signal AS s WHERE s.tenant = k.tenant AND s.provider_id = k.provider_id AND s.account = k.account
              OFFSET 0) AS s LIMIT $4)"),
    );
    LIST_PRUNED = split(
        concat!("SELECT c.tenant, c.provider_id, c.account FROM ", leg_columns!(sqlite_rows), " CROSS JOIN call AS c
            ON c.tenant = k.tenant AND c.provider_id = k.provider_id AND c.account = k.account
            WHERE c.pruned_ms IS NOT NULL"),
        concat!("SELECT c.tenant, c.provider_id, c.account FROM ", leg_columns!(postgres_rows), " CROSS JOIN LATERAL
            (SELECT * FROM call AS c WHERE c.tenant = k.tenant AND c.provider_id = k.provider_id AND c.account = k.account
             OFFSET 0) AS c WHERE c.pruned_ms IS NOT NULL"),
    );
    LIST_DELIVERIES = both("SELECT tenant, provider_id, account, id, received_ms, state FROM delivery
        WHERE (tenant, provider_id, account, id) > ($1, $2, $3, $4)
        ORDER BY tenant, provider_id, account, id LIMIT $5");
    DELETE_DELIVERIES = split(
        concat!("DELETE FROM delivery WHERE (tenant, provider_id, account, id) IN
            (SELECT k.tenant, k.provider_id, k.account, k.id FROM ", delivery_key_columns!(sqlite_rows), ")
            AND received_ms < $2 AND state <> 'unapplied'"),
        concat!("DELETE FROM delivery WHERE (tenant, provider_id, account, id) IN
            (SELECT k.tenant, k.provider_id, k.account, k.id FROM ", delivery_key_columns!(postgres_rows), ")
            AND received_ms < $5 AND state <> 'unapplied'"),
    );
    LIST_ENTRIES = both("SELECT seq, at_ms FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2");
    DELETE_ENTRIES = both("DELETE FROM journal WHERE seq > $1 AND seq <= $2 AND at_ms < $3
        AND seq <= (SELECT min(h.seq) FROM health_cursor h)");
    DELETE_NOTICES = both("DELETE FROM notice WHERE (tenant, id) IN
        (SELECT n.tenant, n.id FROM notice n WHERE n.created_ms < $1 ORDER BY n.created_ms LIMIT $2)");
    DELETE_SWEEPS = both("DELETE FROM sweep WHERE (tenant, id) IN
        (SELECT s.tenant, s.id FROM sweep s WHERE s.started_ms < $1 ORDER BY s.started_ms LIMIT $2)");
    DELETE_SWEEP_FIGURES = both("DELETE FROM sweep_figure WHERE (tenant, hour_ms) IN
        (SELECT f.tenant, f.hour_ms FROM sweep_figure f WHERE f.hour_ms < $1 ORDER BY f.hour_ms LIMIT $2)");
    DELETE_JOBS = both("DELETE FROM job WHERE (tenant, id) IN
        (SELECT j.tenant, j.id FROM run AS r JOIN job AS j ON j.tenant = r.tenant AND j.run_id = r.id
         WHERE r.ended_ms IS NOT NULL AND r.ended_ms < $1 AND j.state NOT IN ('placing', 'placed', 'live') LIMIT $2)");
    DELETE_SLOTS = both("DELETE FROM slot WHERE (tenant, job_id, attempt) IN
        (SELECT s.tenant, s.job_id, s.attempt FROM run AS r JOIN slot AS s ON s.tenant = r.tenant AND s.run_id = r.id
         WHERE r.ended_ms IS NOT NULL AND r.ended_ms < $1 AND s.released_ms IS NOT NULL LIMIT $2)");
    DELETE_RUNS = both("DELETE FROM run WHERE (tenant, id) IN
        (SELECT r.tenant, r.id FROM run AS r WHERE r.ended_ms IS NOT NULL AND r.ended_ms < $1
            AND NOT EXISTS (SELECT 1 FROM job AS j WHERE j.tenant = r.tenant AND j.run_id = r.id)
            AND NOT EXISTS (SELECT 1 FROM slot AS s WHERE s.tenant = r.tenant AND s.run_id = r.id) LIMIT $2)");
    DELETE_AUDIT = both("DELETE FROM audit WHERE (tenant, id) IN
        (SELECT a.tenant, a.id FROM audit a WHERE a.at_ms < $1 ORDER BY a.at_ms LIMIT $2)");
}
