//! Live calls that are to be asked about: `due_at_ms` is the deadline and, moved ahead, the lease of whoever asks.
//!
//! A deadline that lies further ahead than any can was set while a clock was wrong: such a call counts as due.

use super::{
    On, StoreError, Tx,
    calls::{CallRow, LegKey, call_columns, leg_columns},
    sql::{columns, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// An account with calls that are due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromRow)]
pub struct DueAccount {
    /// Whose it is.
    pub tenant: String,
    /// `twilio` or `asterisk`.
    pub provider: String,
    /// The provider account.
    pub account: String,
}

/// Which calls are due: those whose deadline passed, and those whose deadline no right clock can have set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Due at or before this moment.
    pub now_ms: i64,
    /// Due after this moment: a clock was wrong.
    pub beyond_ms: i64,
}

/// What is known of asking about a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Asked {
    /// When it was last asked about, in Unix milliseconds.
    pub asked_ms: Option<i64>,
    /// How often in a row nobody could say.
    pub asks: i64,
    /// What the last ask came to, in one word.
    pub answer: Option<String>,
}

/// What became of asking about a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// Whose it is.
    pub tenant: String,
    /// The provider's id of the leg.
    pub provider_id: String,
    /// The provider account.
    pub account: String,
    /// See [`Asked`].
    pub asked_ms: i64,
    /// See [`Asked`].
    pub asks: i64,
    /// See [`Asked`].
    pub answer: String,
    /// When to ask again. Only a call that is due or held by a lease gets it: what a webhook set meanwhile stands.
    pub due_at_ms: i64,
}

/// The accounts with calls that are due, of one tenant or of all.
pub async fn list_accounts(
    on: impl Into<On<'_>>,
    due: Due,
    tenant: Option<&str>,
    limit: i64,
) -> Result<Vec<DueAccount>, StoreError> {
    let query = LIST_ACCOUNTS.query().bind(due.now_ms).bind(due.beyond_ms).bind(tenant);
    query.bind(limit).fetch_all(on).await
}

/// A page of the calls of an account that are due, in the order of their provider ids, after `after`; nobody else is kept
/// from them.
pub async fn list(
    on: impl Into<On<'_>>,
    (tenant, account): (&str, &str),
    due: Due,
    after: &str,
    limit: i64,
) -> Result<Vec<CallRow>, StoreError> {
    let query = LIST.query().bind(due.now_ms).bind(due.beyond_ms).bind(tenant).bind(account);
    query.bind(after).bind(limit).fetch_all(on).await
}

/// A page of the live calls of an account in the order of their provider ids, after `after`, due or not.
pub async fn list_live(
    on: impl Into<On<'_>>,
    (tenant, account): (&str, &str),
    after: &str,
    limit: i64,
) -> Result<Vec<CallRow>, StoreError> {
    LIST_LIVE.query().bind(tenant).bind(account).bind(after).bind(limit).fetch_all(on).await
}

/// Takes at most `limit` calls of an account that are due and makes them due again at `until_ms`, when whoever took them
/// must be dead. No two get the same one.
pub async fn lease(
    tx: &mut Tx,
    (tenant, account): (&str, &str),
    due: Due,
    until_ms: i64,
    limit: i64,
) -> Result<Vec<CallRow>, StoreError> {
    let query = LEASE.query().bind(due.now_ms).bind(due.beyond_ms).bind(tenant).bind(account);
    query.bind(until_ms).bind(limit).fetch_all(tx).await
}

/// The calls with these keys.
pub async fn list_by_keys(on: impl Into<On<'_>>, keys: &[LegKey]) -> Result<Vec<CallRow>, StoreError> {
    LIST_BY_KEYS.over(keys).fetch_all(on).await
}

/// A page of the live calls of a tenant without a sign of life since (queued or in-progress, initiated or ringing), by our
/// id, after `after`.
pub async fn list_silent(
    on: impl Into<On<'_>>,
    tenant: &str,
    (silent_ms, silent_ringing_ms): (i64, i64),
    after: &str,
    limit: i64,
) -> Result<Vec<CallRow>, StoreError> {
    let query = LIST_SILENT.query().bind(tenant).bind(silent_ms).bind(after).bind(limit);
    query.bind(silent_ringing_ms).fetch_all(on).await
}

/// The live calls in progress on an extension, the latest first.
pub async fn list_in_progress_on(
    on: impl Into<On<'_>>,
    tenant: &str,
    extension: &str,
    limit: i64,
) -> Result<Vec<CallRow>, StoreError> {
    LIST_IN_PROGRESS_ON.query().bind(tenant).bind(extension).bind(limit).fetch_all(on).await
}

/// Notes what became of asking. `due` says which deadlines may be moved; `lease_ms` is the lease that was taken.
pub async fn settle(tx: &mut Tx, rows: &[Settled], due: Due, lease_ms: i64) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    SETTLE.over(rows).bind(due.now_ms).bind(due.beyond_ms).bind(lease_ms).execute(tx).await
}

/// What is known of asking about a call.
pub async fn find_asked(on: impl Into<On<'_>>, key: &LegKey) -> Result<Option<Asked>, StoreError> {
    FIND_ASKED.query().bind(&key.tenant).bind(&key.provider_id).bind(&key.account).fetch_optional(on).await
}

/// The same for many.
pub async fn list_asked(on: impl Into<On<'_>>, keys: &[LegKey]) -> Result<Vec<AskedRow>, StoreError> {
    LIST_ASKED.over(keys).fetch_all(on).await
}

/// When the call that waits longest became due; `None` if none is.
pub async fn oldest(on: impl Into<On<'_>>) -> Result<Option<i64>, StoreError> {
    let row: Option<(i64,)> = OLDEST.query().fetch_optional(on).await?;
    Ok(row.map(|(at,)| at))
}

/// [`Asked`] with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
#[expect(missing_docs, reason = "the columns of `calls::LegKey` and `Asked`")]
pub struct AskedRow {
    pub tenant: String,
    pub provider_id: String,
    pub account: String,
    pub asked_ms: Option<i64>,
    pub asks: i64,
    pub answer: Option<String>,
}

columns!(settled_columns of Settled {
    tenant text, provider_id text, account text, asked_ms int, asks int, answer text, due_at_ms int
});
columns!(asked_columns of AskedRow { tenant text, provider_id text, account text, asked_ms int, asks int, answer text });
/// Two ranges of the index on `due_at_ms`.
macro_rules! is_due {
    () => {
        "due_at_ms IS NOT NULL AND (due_at_ms <= $1 OR due_at_ms > $2)"
    };
}

statements! {
    LIST_ACCOUNTS = both("SELECT DISTINCT tenant, provider, account FROM call WHERE ", is_due!(), "
        AND (CAST($3 AS TEXT) IS NULL OR tenant = $3) ORDER BY tenant, account, provider LIMIT $4");
    LIST = both("SELECT ", call_columns!(names), " FROM call WHERE ", is_due!(), "
        AND tenant = $3 AND account = $4 AND provider_id > $5 ORDER BY provider_id LIMIT $6");
    LIST_LIVE = both("SELECT ", call_columns!(names), " FROM call WHERE due_at_ms IS NOT NULL
        AND tenant = $1 AND account = $2 AND provider_id > $3 ORDER BY provider_id LIMIT $4");
    LEASE = split(
        concat!("UPDATE call SET due_at_ms = $5 WHERE (tenant, provider_id, account) IN
            (SELECT tenant, provider_id, account FROM call WHERE ", is_due!(), "
             AND tenant = $3 AND account = $4 ORDER BY due_at_ms LIMIT $6) RETURNING ", call_columns!(names)),
        concat!("UPDATE call SET due_at_ms = $5 WHERE (tenant, provider_id, account) IN
            (SELECT tenant, provider_id, account FROM call WHERE ", is_due!(), "
             AND tenant = $3 AND account = $4 ORDER BY due_at_ms LIMIT $6 FOR UPDATE SKIP LOCKED)
            RETURNING ", call_columns!(names)),
    );
    LIST_BY_KEYS = lookup(leg_columns in "call" as call_columns:
        "c.tenant = k.tenant AND c.provider_id = k.provider_id AND c.account = k.account");
    LIST_ASKED = lookup(leg_columns in "call" as asked_columns:
        "c.tenant = k.tenant AND c.provider_id = k.provider_id AND c.account = k.account");
    LIST_SILENT = both("SELECT ", call_columns!(names), " FROM call WHERE due_at_ms IS NOT NULL AND tenant = $1
        AND coalesce(alive_ms, created_at_ms)
            <= CASE WHEN status IN ('initiated', 'ringing') THEN CAST($5 AS BIGINT) ELSE CAST($2 AS BIGINT) END
        AND id > $3 ORDER BY id LIMIT $4");
    LIST_IN_PROGRESS_ON = both("SELECT ", call_columns!(names), " FROM call WHERE tenant = $1 AND extension = $2
        AND due_at_ms IS NOT NULL AND status = 'in-progress' ORDER BY answered_at_ms DESC LIMIT $3");
    SETTLE = split(
        concat!("UPDATE call SET asked_ms = k.asked_ms, asks = k.asks, answer = k.answer, due_at_ms = CASE
                WHEN call.due_at_ms <= $2 OR call.due_at_ms > $3 OR call.due_at_ms = $4 THEN k.due_at_ms
                ELSE call.due_at_ms END FROM ", settled_columns!(sqlite_rows), "
            WHERE call.tenant = k.tenant AND call.provider_id = k.provider_id AND call.account = k.account"),
        concat!("UPDATE call SET asked_ms = k.asked_ms, asks = k.asks, answer = k.answer, due_at_ms = CASE
                WHEN call.due_at_ms <= $8 OR call.due_at_ms > $9 OR call.due_at_ms = $10 THEN k.due_at_ms
                ELSE call.due_at_ms END FROM ", settled_columns!(postgres_rows), "
            WHERE call.tenant = k.tenant AND call.provider_id = k.provider_id AND call.account = k.account"),
    );
    FIND_ASKED = both("SELECT asked_ms, asks, answer FROM call WHERE tenant = $1 AND provider_id = $2 AND account = $3");
    OLDEST = both("SELECT due_at_ms FROM call WHERE due_at_ms IS NOT NULL ORDER BY due_at_ms LIMIT 1");
}
