//! Calls: one row per leg, the registers beside the row that was read from them.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use crate::domain::call::is_replaced;
use serde::Serialize;
use sqlx::FromRow;

/// A call as stored. The times are Unix milliseconds; the words are those of `domain::state`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
#[expect(missing_docs, reason = "the fields are the contract's call, documented there; the rest is named below")]
pub struct CallRow {
    pub tenant: String,
    pub provider_id: String,
    pub account: String,
    pub id: String,
    pub provider: String,
    /// `domain::call::Call` as JSON.
    pub registers: String,
    pub parent_id: Option<String>,
    pub merged_into: Option<String>,
    pub direction: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub extension: Option<String>,
    pub user_id: Option<String>,
    pub lead_id: Option<String>,
    pub job_id: Option<String>,
    pub run_id: Option<String>,
    pub status: String,
    pub resolution: Option<String>,
    pub estimated: bool,
    pub ended_at_max_ms: Option<i64>,
    pub hangup_cause: Option<String>,
    pub created_at_ms: i64,
    pub initiated_at_ms: Option<i64>,
    pub ringing_at_ms: Option<i64>,
    pub answered_at_ms: Option<i64>,
    pub ended_at_ms: Option<i64>,
    pub talk_seconds: Option<i64>,
    pub answered_by: Option<String>,
    pub recording_url: Option<String>,
    pub recording_seconds: Option<i64>,
    /// The provider's last sign of life.
    pub alive_ms: Option<i64>,
    /// When to ask the provider; `None` once ended.
    pub due_at_ms: Option<i64>,
    /// When the last signal was received.
    pub last_signal_ms: i64,
    /// Distinct deliveries.
    pub deliveries: i64,
    /// Repeated deliveries that got a place in the timeline.
    pub repeats: i64,
    /// Effects owed so far; numbers the next one.
    pub effects: i64,
    /// Whether every delivery was verified.
    pub verified: bool,
}

impl CallRow {
    /// Whether another row tells what becomes of it.
    pub fn is_replaced(&self) -> bool {
        is_replaced(self.merged_into.as_deref(), self.parent_id.as_deref())
    }
}

/// The key of a leg across tenants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, FromRow)]
pub struct LegKey {
    /// Whose it is.
    pub tenant: String,
    /// The provider's id of the leg.
    pub provider_id: String,
    /// The provider account.
    pub account: String,
}

/// Which calls to list. `None` does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each names the column it compares")]
pub struct CallFilter {
    pub status: Option<String>,
    /// `true`: no ending stands.
    pub live: Option<bool>,
    pub lead_id: Option<String>,
    pub user_id: Option<String>,
    pub extension: Option<String>,
    pub run_id: Option<String>,
    pub provider: Option<String>,
    pub account: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    /// Created at or after.
    pub since_ms: Option<i64>,
    /// Created before.
    pub until_ms: Option<i64>,
    /// Only live calls without a sign of life since: (queued or in-progress, initiated or ringing).
    pub silent_since_ms: Option<(i64, i64)>,
    /// Only calls that are over or showed a sign of life after: (queued or in-progress, initiated or ringing).
    pub sign_after_ms: Option<(i64, i64)>,
}

/// Locks these legs and conversations against other nodes until the transaction ends. On SQLite the transaction
/// already is the only writer. Keys are locked in one order everywhere, so that two batches never wait for each other.
pub async fn lock(tx: &mut Tx, keys: &[LegKey]) -> Result<(), StoreError> {
    match tx {
        Tx::Sqlite(_) => Ok(()),
        Tx::Postgres(_) => LOCK.over(keys).execute(tx).await.map(drop),
    }
}

/// The legs with these keys, and all legs whose parent is among them. A leg may come twice.
pub async fn list_conversations(tx: &mut Tx, keys: &[LegKey]) -> Result<Vec<CallRow>, StoreError> {
    LIST_CONVERSATIONS.over(keys).fetch_all(tx).await
}

/// Writes calls.
pub async fn upsert(tx: &mut Tx, rows: &[CallRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    UPSERT.over(rows).execute(tx).await.map(drop)
}

/// Finds calls by our id or the provider's. More than one: two accounts share the provider's id.
pub async fn find(
    on: impl Into<On<'_>>,
    tenant: &str,
    id: &str,
    account: Option<&str>,
) -> Result<Vec<CallRow>, StoreError> {
    FIND.query().bind(tenant).bind(id).bind(account).fetch_all(on).await
}

/// Whether another tenant has a call with this id of ours or the provider's: such look-ups are counted.
pub async fn exists_elsewhere(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = EXISTS_ELSEWHERE.query().bind(tenant).bind(id).fetch_optional(on).await?;
    Ok(row.is_some())
}

/// A page of calls, newest first, with ids before `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    tenant: &str,
    filter: &CallFilter,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<CallRow>, StoreError> {
    let f = filter;
    // With a lead the search starts from the index of leads; SQLite cannot choose that by itself behind an OR.
    let sql = if f.lead_id.is_some() { &LIST_OF_LEAD } else { &LIST };
    let mut query =
        sql.query().bind(tenant).bind(before.unwrap_or(AFTER_EVERY_ID)).bind(limit).bind(f.lead_id.as_deref());
    let words = [&f.status, &f.user_id, &f.extension, &f.run_id, &f.provider, &f.account, &f.from, &f.to];
    for word in words {
        query = query.bind(word.as_deref());
    }
    let (silent, silent_ringing) = f.silent_since_ms.unzip();
    let (sign, sign_ringing) = f.sign_after_ms.unzip();
    query = query.bind(f.live).bind(f.since_ms).bind(f.until_ms).bind(silent).bind(silent_ringing);
    query.bind(sign).bind(sign_ringing).fetch_all(on).await
}

/// A page of the legs of a conversation other than the root, by provider id.
pub async fn list_legs(
    on: impl Into<On<'_>>,
    tenant: &str,
    account: &str,
    parent_id: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<CallRow>, StoreError> {
    LIST_LEGS.query().bind(tenant).bind(account).bind(parent_id).bind(after).bind(limit).fetch_all(on).await
}

/// A page of all calls of all tenants in the order of their keys: what `check` walks through.
pub async fn list_all(on: impl Into<On<'_>>, after: &LegKey, limit: i64) -> Result<Vec<CallRow>, StoreError> {
    let query = LIST_ALL.query().bind(&after.tenant).bind(&after.provider_id).bind(&after.account);
    query.bind(limit).fetch_all(on).await
}

columns!(call_columns of CallRow {
    tenant text, provider_id text, account text, id text, provider text, registers text, parent_id text,
    merged_into text, direction text, from text, to text, extension text, user_id text, lead_id text, job_id text,
    run_id text, status text, resolution text, estimated bool, ended_at_max_ms int, hangup_cause text,
    created_at_ms int, initiated_at_ms int, ringing_at_ms int, answered_at_ms int, ended_at_ms int, talk_seconds int,
    answered_by text, recording_url text, recording_seconds int, alive_ms int, due_at_ms int, last_signal_ms int,
    deliveries int, repeats int, effects int, verified bool
});
columns!(leg_columns of LegKey { tenant text, provider_id text, account text });
pub(super) use {call_columns, leg_columns};

/// The filters that `LIST` and `LIST_OF_LEAD` share, and their order.
macro_rules! filters {
    () => {
        "   AND id < $2
            AND (CAST($5 AS TEXT) IS NULL OR status = $5) AND (CAST($6 AS TEXT) IS NULL OR user_id = $6)
            AND (CAST($7 AS TEXT) IS NULL OR extension = $7) AND (CAST($8 AS TEXT) IS NULL OR run_id = $8)
            AND (CAST($9 AS TEXT) IS NULL OR provider = $9) AND (CAST($10 AS TEXT) IS NULL OR account = $10)
            AND (CAST($11 AS TEXT) IS NULL OR \"from\" = $11) AND (CAST($12 AS TEXT) IS NULL OR \"to\" = $12)
            AND (CAST($13 AS BOOLEAN) IS NULL OR (resolution IS NULL
                AND (merged_into IS NULL OR parent_id IS NOT NULL)) = CAST($13 AS BOOLEAN))
            AND (CAST($14 AS BIGINT) IS NULL OR created_at_ms >= $14)
            AND (CAST($15 AS BIGINT) IS NULL OR created_at_ms < $15)
            AND (CAST($16 AS BIGINT) IS NULL OR (resolution IS NULL
                AND (merged_into IS NULL OR parent_id IS NOT NULL) AND coalesce(alive_ms, created_at_ms)
                    <= CASE WHEN status IN ('initiated', 'ringing') THEN CAST($17 AS BIGINT) ELSE CAST($16 AS BIGINT) END))
            AND (CAST($18 AS BIGINT) IS NULL OR resolution IS NOT NULL
                OR (merged_into IS NOT NULL AND parent_id IS NULL)
                OR coalesce(alive_ms, created_at_ms)
                    > CASE WHEN status IN ('initiated', 'ringing') THEN CAST($19 AS BIGINT) ELSE CAST($18 AS BIGINT) END)
            ORDER BY id DESC LIMIT $3"
    };
}

statements! {
    LOCK = split("SELECT $1", concat!(
        "SELECT pg_advisory_xact_lock(h) FROM (SELECT DISTINCT hashtextextended(
             concat_ws(E'\\x1f', tenant, provider_id, account), 0) AS h FROM ", leg_columns!(postgres_rows), " ORDER BY h) AS s"));
    LIST_CONVERSATIONS = lookup(leg_columns in "call" as call_columns:
        "c.tenant = k.tenant AND c.provider_id = k.provider_id AND c.account = k.account",
        "c.tenant = k.tenant AND c.parent_id = k.provider_id AND c.account = k.account AND c.parent_id IS NOT NULL");
    UPSERT = upsert(call_columns into "call" by "tenant, provider_id, account");
    FIND = both("SELECT ", call_columns!(names), " FROM call
        WHERE tenant = $1 AND (id = $2 OR provider_id = $2) AND (CAST($3 AS TEXT) IS NULL OR account = $3)
        ORDER BY account LIMIT 2");
    EXISTS_ELSEWHERE = both("SELECT CAST(1 AS BIGINT) FROM tenant t WHERE t.id <> $1
        AND EXISTS (SELECT 1 FROM call c WHERE c.tenant = t.id AND (c.id = $2 OR c.provider_id = $2)) LIMIT 1");
    LIST = both("SELECT ", call_columns!(names), " FROM call
        WHERE tenant = $1 AND (CAST($4 AS TEXT) IS NULL OR lead_id = $4)", filters!());
    LIST_OF_LEAD = both("SELECT ", call_columns!(names), " FROM call WHERE tenant = $1 AND lead_id = $4", filters!());
    LIST_LEGS = both("SELECT ", call_columns!(names), " FROM call
        WHERE tenant = $1 AND account = $2 AND parent_id = $3 AND provider_id > $4 ORDER BY provider_id LIMIT $5");
    LIST_ALL = both("SELECT ", call_columns!(names), " FROM call
        WHERE (tenant, provider_id, account) > ($1, $2, $3) ORDER BY tenant, provider_id, account LIMIT $4");
}

/// Sorts after every id, so that the first page is bounded like the others and the index is used for all.
const AFTER_EVERY_ID: &str = "~";
