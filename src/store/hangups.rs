//! Calls that are to be hung up at their provider, until that is settled.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
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
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let new: Vec<(String,)> = INSERT.over(rows).fetch_all(tx).await?;
    Ok(new.into_iter().map(|(id,)| id).collect())
}

/// Takes what is due, moving it ahead by `lease_ms`, without what another transaction has.
pub async fn claim(tx: &mut Tx, now_ms: i64, lease_ms: i64, limit: i64) -> Result<Vec<HangupRow>, StoreError> {
    CLAIM.query().bind(now_ms).bind(lease_ms).bind(limit).fetch_all(tx).await
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
    let query = CLAIM_OF_RUN.query().bind(now_ms).bind(lease_ms).bind(limit).bind(tenant).bind(run_id);
    query.fetch_all(tx).await
}

/// Writes what came of it. What is settled stays so: of two who hang a call up at once, the second finds it ended.
pub async fn update(tx: &mut Tx, rows: &[HangupRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    UPDATE.over(rows).execute(tx).await.map(drop)
}

/// How many calls of a run were hung up, or had ended, and how many are still to be.
pub async fn count_of_run(on: impl Into<On<'_>>, tenant: &str, run_id: &str) -> Result<HangupCount, StoreError> {
    COUNT_OF_RUN.query().bind(tenant).bind(run_id).fetch_one(on).await
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
    DELETE_SETTLED.query().bind(before_ms).bind(limit).execute(tx).await
}

columns!(hangup_columns of HangupRow {
    tenant text, account text, provider_id text, provider text, run_id text, job_id text, reason text, requested_ms int,
    attempts int, due_ms int, settled_ms int, result text, detail text
});

macro_rules! claim {
    ($which:literal, $locked:literal) => {
        concat!(
            "UPDATE hangup SET due_ms = CAST($1 AS BIGINT) + CAST($2 AS BIGINT) WHERE (tenant, account, provider_id) IN
             (SELECT h.tenant, h.account, h.provider_id FROM hangup AS h WHERE ",
            $which,
            " ORDER BY h.due_ms LIMIT $3",
            $locked,
            ") RETURNING ",
            hangup_columns!(names)
        )
    };
}

statements! {
    INSERT = insert(hangup_columns into "hangup": "ON CONFLICT (tenant, account, provider_id) DO NOTHING RETURNING provider_id");
    CLAIM = split(
        claim!("h.due_ms IS NOT NULL AND h.due_ms <= $1", ""),
        claim!("h.due_ms IS NOT NULL AND h.due_ms <= $1", " FOR UPDATE SKIP LOCKED"),
    );
    CLAIM_OF_RUN = split(
        claim!("h.due_ms IS NOT NULL AND h.tenant = $4 AND h.run_id = $5", ""),
        claim!("h.due_ms IS NOT NULL AND h.tenant = $4 AND h.run_id = $5", " FOR UPDATE SKIP LOCKED"),
    );
    UPDATE = over(hangup_columns: "UPDATE hangup SET attempts = k.attempts, due_ms = k.due_ms, settled_ms = k.settled_ms,
            result = k.result, detail = k.detail FROM ",
        " WHERE hangup.tenant = k.tenant AND hangup.account = k.account AND hangup.provider_id = k.provider_id
            AND hangup.settled_ms IS NULL");
    COUNT_OF_RUN = both("SELECT COUNT(*) FILTER (WHERE settled_ms IS NOT NULL AND result = 'hung-up') AS hung_up,
        COUNT(*) FILTER (WHERE settled_ms IS NULL) AS pending,
        COUNT(*) FILTER (WHERE settled_ms IS NOT NULL AND coalesce(result, '') <> 'hung-up') AS other
        FROM hangup WHERE tenant = $1 AND run_id = $2");
    DELETE_SETTLED = both("DELETE FROM hangup WHERE (tenant, account, provider_id) IN
        (SELECT h.tenant, h.account, h.provider_id FROM hangup AS h WHERE h.settled_ms IS NOT NULL AND h.settled_ms < $1
         ORDER BY h.settled_ms LIMIT $2)");
}
