//! What is still to be learned of calls that have ended.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// Something to be asked about a call that has ended. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, FromRow)]
pub struct FollowUpRow {
    /// Whose it is.
    pub tenant: String,
    /// The provider's id of the leg.
    pub provider_id: String,
    /// The provider account.
    pub account: String,
    /// [`HISTORY`] or [`ENDING`].
    pub kind: String,
    /// When it is to be asked.
    pub due_ms: i64,
    /// How often it was asked in vain.
    pub attempts: i64,
    /// Since when it is to be asked.
    pub created_ms: i64,
}

/// Which callbacks were lost.
pub const HISTORY: &str = "history";
/// How one that was given up really ended.
pub const ENDING: &str = "ending";

/// Adds what is not there yet.
pub async fn insert(tx: &mut Tx, rows: &[FollowUpRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    INSERT.over(rows).execute(tx).await.map(drop)
}

/// Takes at most `limit` that are due and makes them due again at `until_ms`, when whoever took them must be dead. No two
/// get the same one. What is due after `beyond_ms` was written while a clock was wrong, and is due, too.
pub async fn lease(
    tx: &mut Tx,
    now_ms: i64,
    beyond_ms: i64,
    until_ms: i64,
    limit: i64,
) -> Result<Vec<FollowUpRow>, StoreError> {
    LEASE.query().bind(now_ms).bind(beyond_ms).bind(until_ms).bind(limit).fetch_all(tx).await
}

/// Asks again later: writes `due_ms` and `attempts` of those that are still there. Whoever was forgotten meanwhile is asked
/// about no more.
pub async fn put_off(tx: &mut Tx, rows: &[FollowUpRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    PUT_OFF.over(rows).execute(tx).await.map(drop)
}

/// Puts off to `until_ms` what would be asked about an account before, the longest due first, at most `limit`.
pub async fn put_off_account(
    tx: &mut Tx,
    (tenant, account): (&str, &str),
    until_ms: i64,
    limit: i64,
) -> Result<(), StoreError> {
    PUT_OFF_ACCOUNT.query().bind(tenant).bind(account).bind(until_ms).bind(limit).execute(tx).await.map(drop)
}

/// They are learned, or will never be.
pub async fn delete(tx: &mut Tx, rows: &[FollowUpRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    DELETE.over(rows).execute(tx).await.map(drop)
}

/// What is still to be learned of one call.
pub async fn list_of_call(
    on: impl Into<On<'_>>,
    tenant: &str,
    account: &str,
    provider_id: &str,
) -> Result<Vec<FollowUpRow>, StoreError> {
    LIST_OF_CALL.query().bind(tenant).bind(provider_id).bind(account).fetch_all(on).await
}

columns!(follow_up_columns of FollowUpRow {
    tenant text, provider_id text, account text, kind text, due_ms int, attempts int, created_ms int
});

statements! {
    INSERT = insert(follow_up_columns into "follow_up": "ON CONFLICT (tenant, provider_id, account, kind) DO NOTHING");
    LEASE = split(
        concat!("UPDATE follow_up SET due_ms = $3 WHERE (tenant, provider_id, account, kind) IN
            (SELECT tenant, provider_id, account, kind FROM follow_up WHERE due_ms <= $1 OR due_ms > $2
             ORDER BY due_ms LIMIT $4) RETURNING ", follow_up_columns!(names)),
        concat!("UPDATE follow_up SET due_ms = $3 WHERE (tenant, provider_id, account, kind) IN
            (SELECT tenant, provider_id, account, kind FROM follow_up WHERE due_ms <= $1 OR due_ms > $2
             ORDER BY due_ms LIMIT $4 FOR UPDATE SKIP LOCKED) RETURNING ", follow_up_columns!(names)),
    );
    PUT_OFF = over(follow_up_columns: "UPDATE follow_up SET due_ms = k.due_ms, attempts = k.attempts FROM ",
        " WHERE follow_up.tenant = k.tenant AND follow_up.provider_id = k.provider_id AND follow_up.account = k.account
            AND follow_up.kind = k.kind");
    PUT_OFF_ACCOUNT = both("UPDATE follow_up SET due_ms = $3 WHERE (tenant, provider_id, account, kind) IN
        (SELECT tenant, provider_id, account, kind FROM follow_up WHERE tenant = $1 AND account = $2 AND due_ms < $3
         ORDER BY due_ms LIMIT $4)");
    DELETE = over(follow_up_columns: "DELETE FROM follow_up WHERE (tenant, provider_id, account, kind) IN
        (SELECT k.tenant, k.provider_id, k.account, k.kind FROM ", ")");
    LIST_OF_CALL = both("SELECT ", follow_up_columns!(names), " FROM follow_up
        WHERE tenant = $1 AND provider_id = $2 AND account = $3 ORDER BY kind");
}
