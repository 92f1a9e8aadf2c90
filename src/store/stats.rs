//! Figures about calls, added up by the database: whoever asks gets sums, however many calls there are.
//!
//! An id begins with the time at which a call became known here, so that a span of time is a range of the index of ids. A
//! call that was created within the span may have become known later (a redriven delivery, an import): what became known
//! until [`Span::known_until_ms`] counts.

use super::{On, Query, StoreError, sql::statements};
use crate::domain::id;
use sqlx::FromRow;

/// A span of time in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Calls that were created at or after.
    pub since_ms: i64,
    /// Calls that were created before.
    pub until_ms: i64,
    /// Calls that became known before.
    pub known_until_ms: i64,
}

/// The calls of one direction, status and resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct CallSum {
    /// As the provider wrote it; empty if it is not known.
    pub direction: String,
    /// A word of `domain::state::Status`.
    pub status: String,
    /// A word of `domain::state::Resolution`; empty while they live.
    pub resolution: String,
    /// How many.
    pub calls: i64,
    /// Of these: how many were answered.
    pub answered: i64,
    /// Seconds of conversation.
    pub talk_seconds: i64,
    /// The same of those that no other call dialed.
    pub root_talk_seconds: i64,
}

/// How long calls took from their creation to their end: whole seconds, exact, by nearest rank. `None`: none ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct TimeToEnd {
    /// Half of them took no longer.
    pub p50: Option<i64>,
    /// 95 of 100 took no longer.
    pub p95: Option<i64>,
    /// The longest.
    pub longest: Option<i64>,
}

/// Live calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct LiveSum {
    /// How many.
    pub live: i64,
    /// Of these: how many are silent for longer than is usual, critical ones left out.
    pub warn: i64,
    /// Of these: how many are silent for so long that somebody should look.
    pub critical: i64,
    /// Of these: how many have a duration.
    pub with_duration: i64,
}

/// From when on a silent call counts: (queued or in-progress, initiated or ringing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Silent since then or longer: it is worth a warning.
    pub warn_ms: (i64, i64),
    /// Silent since then or longer: it is critical.
    pub critical_ms: (i64, i64),
}

/// How the endings of an account became known.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct AccountSum {
    /// The provider account.
    pub account: String,
    /// Legs that ended.
    pub ended: i64,
    /// Of these: those whose ending no callback told.
    pub missing: i64,
    /// Callbacks before the ending that were fired and never arrived.
    pub gaps: i64,
}

/// The calls of a span by direction, status and resolution, at most `limit` rows: the most frequent ones.
pub async fn list_calls(
    on: impl Into<On<'_>>,
    tenant: &str,
    span: Span,
    limit: i64,
) -> Result<Vec<CallSum>, StoreError> {
    span.bind(LIST_CALLS.query(), tenant).bind(limit).fetch_all(on).await
}

/// How long the calls of a span took to their end.
pub async fn time_to_end(on: impl Into<On<'_>>, tenant: &str, span: Span) -> Result<TimeToEnd, StoreError> {
    span.bind(TIME_TO_END.query(), tenant).fetch_one(on).await
}

/// How many leads the calls of a span contacted that have ended.
pub async fn count_contacted(on: impl Into<On<'_>>, tenant: &str, span: Span) -> Result<i64, StoreError> {
    let (leads,): (i64,) = span.bind(COUNT_CONTACTED.query(), tenant).fetch_one(on).await?;
    Ok(leads)
}

/// The live calls that were created within `created_ms`.
pub async fn sum_live(
    on: impl Into<On<'_>>,
    tenant: &str,
    created_ms: (i64, i64),
    silence: Silence,
) -> Result<LiveSum, StoreError> {
    let query = SUM_LIVE.query().bind(tenant).bind(created_ms.0).bind(created_ms.1);
    let query = query.bind(silence.warn_ms.0).bind(silence.warn_ms.1);
    query.bind(silence.critical_ms.0).bind(silence.critical_ms.1).fetch_one(on).await
}

/// The accounts whose callbacks were missing most in the hours that began within `hours_ms`, the worst first.
pub async fn list_worst_accounts(
    on: impl Into<On<'_>>,
    tenant: &str,
    hours_ms: (i64, i64),
    limit: i64,
) -> Result<Vec<AccountSum>, StoreError> {
    let query = LIST_WORST_ACCOUNTS.query().bind(tenant).bind(hours_ms.0).bind(hours_ms.1);
    query.bind(limit).fetch_all(on).await
}

impl Span {
    fn bind<'q>(self, query: Query<'q>, tenant: &str) -> Query<'q> {
        let query = query.bind(tenant).bind(id::first_id("call", self.since_ms));
        let query = query.bind(id::first_id("call", self.known_until_ms));
        query.bind(self.since_ms).bind(self.until_ms)
    }
}

/// The calls `c` of a span that have ended. One that was merged into another one is no call of its own. Only what an index
/// holds is looked at: a row itself is large, and lies where its provider's id puts it.
macro_rules! ended {
    () => {
        "c.tenant = $1 AND c.id >= $2 AND c.id < $3 AND c.created_at_ms >= $4 AND c.created_at_ms < $5
         AND c.merged_into IS NULL AND c.resolution IS NOT NULL"
    };
}

/// The calls `c` of a span that live: there are few, and each has a deadline.
macro_rules! live {
    () => {
        "c.due_at_ms IS NOT NULL AND c.due_at_ms >= 0 AND c.tenant = $1 AND c.id >= $2 AND c.id < $3
         AND c.created_at_ms >= $4 AND c.created_at_ms < $5 AND c.merged_into IS NULL"
    };
}

/// What is added up of the calls `c`.
macro_rules! added_up {
    () => {
        "SELECT c.direction, c.status, c.resolution, c.answered_at_ms, c.talk_seconds, c.parent_id FROM call c WHERE "
    };
}

/// Whether the live call `c` is silent since $a, or $b while it is dialed.
macro_rules! silent {
    ($a:literal, $b:literal) => {
        concat!(
            "coalesce(c.alive_ms, c.created_at_ms) <= CASE WHEN c.status IN ('initiated', 'ringing') THEN CAST(",
            $b,
            " AS BIGINT) ELSE CAST(",
            $a,
            " AS BIGINT) END"
        )
    };
}

statements! {
    LIST_CALLS = both("SELECT coalesce(direction, '') AS direction, status, coalesce(resolution, '') AS resolution,
            CAST(count(*) AS BIGINT) AS calls, CAST(count(answered_at_ms) AS BIGINT) AS answered,
            CAST(coalesce(sum(talk_seconds), 0) AS BIGINT) AS talk_seconds,
            CAST(coalesce(sum(CASE WHEN parent_id IS NULL THEN talk_seconds END), 0) AS BIGINT) AS root_talk_seconds
        FROM (", added_up!(), ended!(), " UNION ALL ", added_up!(), live!(), ") AS c
        GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT $6");
    TIME_TO_END = both("WITH taken AS (
            SELECT seconds, count(*) AS calls FROM (
                SELECT CASE WHEN ended_at_ms > created_at_ms THEN (ended_at_ms - created_at_ms) / 1000 ELSE 0 END AS seconds
                FROM call c WHERE ", ended!(), " AND ended_at_ms IS NOT NULL) e GROUP BY seconds),
        ranked AS (SELECT seconds, sum(calls) OVER (ORDER BY seconds) AS upto, sum(calls) OVER () AS total FROM taken)
        SELECT CAST(min(CASE WHEN upto * 100 >= total * 50 THEN seconds END) AS BIGINT) AS p50,
            CAST(min(CASE WHEN upto * 100 >= total * 95 THEN seconds END) AS BIGINT) AS p95,
            CAST(max(seconds) AS BIGINT) AS longest FROM ranked");
    COUNT_CONTACTED = both("SELECT CAST(count(DISTINCT k.lead_id) AS BIGINT) FROM call c JOIN contact k
        ON k.tenant = c.tenant AND k.conversation = coalesce(c.parent_id, c.provider_id) AND k.account = c.account
        WHERE ", ended!(), " AND c.answered_at_ms IS NOT NULL AND k.active");
    SUM_LIVE = both("SELECT CAST(count(*) AS BIGINT) AS live,
            CAST(coalesce(sum(CASE WHEN ", silent!("$6", "$7"), " THEN 0 WHEN ", silent!("$4", "$5"), " THEN 1 END), 0)
                AS BIGINT) AS warn,
            CAST(coalesce(sum(CASE WHEN ", silent!("$6", "$7"), " THEN 1 END), 0) AS BIGINT) AS critical,
            CAST(count(coalesce(c.talk_seconds, c.ended_at_ms, c.recording_seconds)) AS BIGINT) AS with_duration
        FROM call c WHERE c.due_at_ms IS NOT NULL AND c.due_at_ms >= 0 AND c.tenant = $1
            AND c.created_at_ms >= $2 AND c.created_at_ms < $3 AND c.merged_into IS NULL");
    LIST_WORST_ACCOUNTS = both("SELECT account,
            CAST(sum(called_back + elsewhere + reconciled + unheard) AS BIGINT) AS ended,
            CAST(sum(reconciled + unheard) AS BIGINT) AS missing, CAST(sum(gaps) AS BIGINT) AS gaps
        FROM health_ending WHERE hour_ms >= $2 AND hour_ms < $3 AND tenant = $1 GROUP BY account
        HAVING sum(reconciled + unheard + gaps) > 0 ORDER BY sum(reconciled + unheard + gaps) DESC, account LIMIT $4");
}
