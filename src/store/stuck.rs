//! How many calls live, are due, and are stuck. Only live calls are read, by the index on `due_at_ms`: what a count costs
//! depends on how many live, not on how many are stored.

use super::{On, StoreError, due::Due, sql::statements};
use sqlx::FromRow;

/// Since when a live call must be without a sign of life to count as stuck, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilentSince {
    /// Queued or answered: worth a warning.
    pub warn_ms: i64,
    /// … critical.
    pub critical_ms: i64,
    /// Being dialed or ringing: worth a warning.
    pub ringing_warn_ms: i64,
    /// … critical.
    pub ringing_critical_ms: i64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Counts {
    /// Calls that live.
    pub live: i64,
    /// Of these: to be asked about.
    pub due: i64,
    /// Since when the one of these that waits longest is due, in Unix milliseconds.
    pub oldest_due_ms: Option<i64>,
    /// Live ones that are stuck, critical ones too.
    pub stuck: i64,
    /// Those that are critical.
    pub critical: i64,
}

/// Counts the live calls of all tenants, at most `limit` of them, those that are due first.
pub async fn count(on: impl Into<On<'_>>, due: Due, silent: &SilentSince, limit: i64) -> Result<Counts, StoreError> {
    let query = COUNT.query().bind(due.now_ms).bind(due.beyond_ms).bind(silent.warn_ms).bind(silent.critical_ms);
    let query = query.bind(silent.ringing_warn_ms).bind(silent.ringing_critical_ms).bind(limit);
    let row: Option<Counts> = query.fetch_optional(on).await?;
    Ok(row.unwrap_or_default())
}

/// Counts the follow-ups that are due, at most `limit`.
pub async fn count_follow_ups(on: impl Into<On<'_>>, due: Due, limit: i64) -> Result<i64, StoreError> {
    let row: Option<(i64,)> =
        COUNT_FOLLOW_UPS.query().bind(due.now_ms).bind(due.beyond_ms).bind(limit).fetch_optional(on).await?;
    Ok(row.map_or(0, |(count,)| count))
}

statements! {
    COUNT = both("SELECT CAST(count(*) AS BIGINT) AS live,
            CAST(count(*) FILTER (WHERE due_at_ms <= $1 OR due_at_ms > $2) AS BIGINT) AS due,
            min(due_at_ms) FILTER (WHERE due_at_ms <= $1) AS oldest_due_ms,
            CAST(count(*) FILTER (WHERE CASE WHEN is_ringing THEN sign_ms <= $5 ELSE sign_ms <= $3 END) AS BIGINT) AS stuck,
            CAST(count(*) FILTER (WHERE CASE WHEN is_ringing THEN sign_ms <= $6 ELSE sign_ms <= $4 END) AS BIGINT) AS critical
        FROM (SELECT due_at_ms, coalesce(alive_ms, created_at_ms) AS sign_ms,
                     status IN ('initiated', 'ringing') AS is_ringing
              FROM call WHERE due_at_ms IS NOT NULL ORDER BY due_at_ms LIMIT $7) AS live_call");
    COUNT_FOLLOW_UPS = both("SELECT CAST(count(*) AS BIGINT)
        FROM (SELECT due_ms FROM follow_up WHERE due_ms <= $1 OR due_ms > $2 LIMIT $3) AS waiting");
}
