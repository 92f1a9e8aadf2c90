//! What a person leaves behind: looked through in slices along the primary keys, emptied or taken away by key.

use super::{
    On, StoreError, Tx,
    calls::{CallRow, LegKey, call_columns},
    deliveries::{DeliveryKey, DeliveryRow, delivery_columns},
    expected::{ExpectedRow, expected_columns},
    jobs::{JobRow, job_columns},
    quarantine::{QuarantineRow, Whose, quarantine_columns},
    signals::{SignalRow, signal_columns},
    sql::{columns, hex_column, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// An answer that was remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct RememberedRow {
    /// Whose it is.
    pub tenant: String,
    /// The client's key.
    pub key: String,
    /// What was answered.
    #[serde(serialize_with = "hex_column::serialize")]
    pub body: Vec<u8>,
}

/// The next signals of a tenant in the order of their keys, after `(provider_id, account, identity)`.
pub async fn list_signals(
    on: impl Into<On<'_>>,
    tenant: &str,
    (provider_id, account, identity): (&str, &str, &str),
    limit: i64,
) -> Result<Vec<SignalRow>, StoreError> {
    let query = LIST_SIGNALS.query().bind(tenant).bind(provider_id).bind(account).bind(identity);
    query.bind(limit).fetch_all(on).await
}

/// The next deliveries of the tenant of `after`, in the order of their keys.
pub async fn list_deliveries(
    on: impl Into<On<'_>>,
    after: &DeliveryKey,
    limit: i64,
) -> Result<Vec<DeliveryRow>, StoreError> {
    let DeliveryKey { tenant, provider_id, account, id } = after;
    let query = LIST_DELIVERIES.query().bind(tenant).bind(provider_id).bind(account).bind(id);
    query.bind(limit).fetch_all(on).await
}

/// The next announcements of a tenant by id, after `after`.
pub async fn list_expected(
    on: impl Into<On<'_>>,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<ExpectedRow>, StoreError> {
    LIST_EXPECTED.query().bind(tenant).bind(after).bind(limit).fetch_all(on).await
}

/// The next remembered answers of a tenant by key, after `after`.
pub async fn list_remembered(
    on: impl Into<On<'_>>,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<RememberedRow>, StoreError> {
    LIST_REMEMBERED.query().bind(tenant).bind(after).bind(limit).fetch_all(on).await
}

/// The next refused deliveries of a tenant, for operators also those of accounts that nobody has, by id, after `after`.
pub async fn list_refused(
    on: impl Into<On<'_>>,
    whose: Whose<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<QuarantineRow>, StoreError> {
    let query = LIST_REFUSED.query().bind(whose.tenant()).bind(after).bind(limit);
    query.bind(whose.sees_unknown()).fetch_all(on).await
}

/// A job of a person that is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForgottenJob {
    /// Whose it is.
    pub tenant: String,
    /// `job_…`.
    pub id: String,
    /// What it is known by in its run from here on.
    pub key: String,
}

/// The next jobs of a tenant by id, after `after`.
pub async fn list_jobs(
    on: impl Into<On<'_>>,
    tenant: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<JobRow>, StoreError> {
    LIST_JOBS.query().bind(tenant).bind(after).bind(limit).fetch_all(on).await
}

/// Takes from jobs whom to call and whose call it is, and cancels those that wait, with this reason. One that is being
/// placed is left: its call may have to be found by the number. Answers how many were changed.
pub async fn rewrite_jobs(tx: &mut Tx, rows: &[ForgottenJob], reason: &str, now_ms: i64) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    REWRITE_JOBS.over(rows).bind(reason).bind(now_ms).execute(tx).await
}

/// Writes what signals say now. Their identities stay, so that one that comes again meets its key.
pub async fn rewrite_signals(tx: &mut Tx, rows: &[SignalRow]) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    REWRITE_SIGNALS.over(rows).execute(tx).await
}

/// Writes the registers of calls and what is read from their facts; nothing else of the rows.
pub async fn rewrite_calls(tx: &mut Tx, rows: &[CallRow]) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    REWRITE_CALLS.over(rows).execute(tx).await
}

/// Empties the bodies and queries of the deliveries of a leg that are applied; answers how many had one. Their ids stay, so
/// that one that comes again meets its key.
pub async fn empty_deliveries(tx: &mut Tx, leg: &LegKey) -> Result<u64, StoreError> {
    let query = EMPTY_DELIVERIES.query().bind(&leg.tenant).bind(&leg.provider_id).bind(&leg.account);
    query.bind(Vec::new()).execute(tx).await
}

/// Takes away the deliveries of a leg that wait to be applied: they would have to be read again.
pub async fn delete_unapplied(tx: &mut Tx, leg: &LegKey) -> Result<u64, StoreError> {
    DELETE_UNAPPLIED.query().bind(&leg.tenant).bind(&leg.provider_id).bind(&leg.account).execute(tx).await
}

/// Takes away the notices about a call.
pub async fn delete_notices(tx: &mut Tx, tenant: &str, subject: &str) -> Result<u64, StoreError> {
    DELETE_NOTICES.query().bind(tenant).bind(subject).execute(tx).await
}

/// Takes away an announcement.
pub async fn delete_expected(tx: &mut Tx, tenant: &str, id: &str) -> Result<u64, StoreError> {
    DELETE_EXPECTED.query().bind(tenant).bind(id).execute(tx).await
}

/// Takes away a remembered answer.
pub async fn delete_remembered(tx: &mut Tx, tenant: &str, key: &str) -> Result<u64, StoreError> {
    DELETE_REMEMBERED.query().bind(tenant).bind(key).execute(tx).await
}

/// Takes name and number from a lead and marks it as forgotten; 0 if that was done before.
pub async fn forget_lead(tx: &mut Tx, tenant: &str, id: &str, now_ms: i64) -> Result<u64, StoreError> {
    FORGET_LEAD.query().bind(tenant).bind(id).bind(now_ms).execute(tx).await
}

columns!(forgotten_columns of ForgottenJob { tenant text, id text, key text });

macro_rules! rewrite_jobs {
    ($rows:expr, $reason:literal, $now:literal) => {
        concat!(
            "UPDATE job SET key = k.key, \"to\" = '', phone_e164 = NULL, lead_id = NULL, user_id = NULL, token = NULL,
                error = CASE WHEN job.state = 'queued' THEN ",
            $reason,
            " ELSE NULL END,
                ended_ms = CASE WHEN job.state = 'queued' THEN ",
            $now,
            " ELSE job.ended_ms END, updated_ms = ",
            $now,
            ",
                state = CASE WHEN job.state = 'queued' THEN 'cancelled' ELSE job.state END
             FROM ",
            $rows,
            " WHERE job.tenant = k.tenant AND job.id = k.id AND job.state <> 'placing'
                AND (job.\"to\" <> '' OR job.lead_id IS NOT NULL OR job.user_id IS NOT NULL)"
        )
    };
}

columns!(remembered_columns of RememberedRow { tenant text, key text, body bytes });

statements! {
    LIST_SIGNALS = both("SELECT ", signal_columns!(names), " FROM signal
        WHERE tenant = $1 AND (provider_id, account, identity) > ($2, $3, $4)
        ORDER BY provider_id, account, identity LIMIT $5");
    LIST_DELIVERIES = both("SELECT ", delivery_columns!(names), " FROM delivery
        WHERE tenant = $1 AND (provider_id, account, id) > ($2, $3, $4) ORDER BY provider_id, account, id LIMIT $5");
    LIST_EXPECTED = both("SELECT ", expected_columns!(names), " FROM expected
        WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3");
    LIST_REMEMBERED = both("SELECT ", remembered_columns!(names), " FROM idempotency
        WHERE tenant = $1 AND key > $2 ORDER BY key LIMIT $3");
    LIST_REFUSED = both("SELECT ", quarantine_columns!(names), " FROM quarantine
        WHERE id > $2 AND (tenant = $1 OR (tenant IS NULL AND CAST($4 AS BOOLEAN))) ORDER BY id LIMIT $3");
    LIST_JOBS = both("SELECT ", job_columns!(names), " FROM job WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3");
    REWRITE_JOBS = split(rewrite_jobs!(forgotten_columns!(sqlite_rows), "$2", "$3"),
        rewrite_jobs!(forgotten_columns!(postgres_rows), "$4", "$5"));
    REWRITE_SIGNALS = over(signal_columns: "UPDATE signal SET said = k.said FROM ",
        " WHERE signal.tenant = k.tenant AND signal.provider_id = k.provider_id AND signal.account = k.account
            AND signal.identity = k.identity");
    REWRITE_CALLS = over(call_columns:
        "UPDATE call SET registers = k.registers, direction = k.direction, \"from\" = k.\"from\", \"to\" = k.\"to\",
            extension = k.extension, user_id = k.user_id, job_id = k.job_id, answered_by = k.answered_by,
            recording_url = k.recording_url FROM ",
        " WHERE call.tenant = k.tenant AND call.provider_id = k.provider_id AND call.account = k.account");
    EMPTY_DELIVERIES = both("UPDATE delivery SET query = $4, body = $4
        WHERE tenant = $1 AND provider_id = $2 AND account = $3 AND state <> 'unapplied'
            AND (length(query) > 0 OR length(body) > 0)");
    DELETE_UNAPPLIED = both("DELETE FROM delivery
        WHERE tenant = $1 AND provider_id = $2 AND account = $3 AND state = 'unapplied'");
    DELETE_NOTICES = both("DELETE FROM notice WHERE tenant = $1 AND subject = $2");
    DELETE_EXPECTED = both("DELETE FROM expected WHERE tenant = $1 AND id = $2");
    DELETE_REMEMBERED = both("DELETE FROM idempotency WHERE tenant = $1 AND key = $2");
    FORGET_LEAD = both("UPDATE lead SET name = NULL, phone = NULL, phone_e164 = NULL, forgotten_ms = $3, updated_ms = $3
        WHERE tenant = $1 AND id = $2 AND (name IS NOT NULL OR phone IS NOT NULL OR forgotten_ms IS NULL)");
}
