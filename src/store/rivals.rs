//! Jobs that one call could be of: those that have it already, and those that it could just as well have been made for.

use super::{
    On, StoreError, Tx,
    jobs::{JobKey, JobRow},
    sql::{columns, statements},
};
use serde::Serialize;

/// A call, by the provider's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CallKey {
    /// Whose it is.
    pub tenant: String,
    /// The provider's id.
    pub provider_id: String,
}

/// The jobs that have one of these calls, not locked: load them by [`super::jobs::load_locked`] before they are changed.
pub async fn list_of_calls(tx: &mut Tx, calls: &[CallKey]) -> Result<Vec<JobKey>, StoreError> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    LIST_OF_CALLS.over(calls).fetch_all(tx).await
}

/// The settings of the runs that have another job to the same number, from the same account, of which it is not known whether
/// there is a call: it is being placed, or is unknown since `since_ms` or later. Each once, at most `limit`.
pub async fn list_settings(
    on: impl Into<On<'_>>,
    job: &JobRow,
    account: &str,
    since_ms: i64,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    let query = LIST_SETTINGS.query().bind(&job.tenant).bind(&job.id).bind(&job.to).bind(account);
    let rows: Vec<(String,)> = query.bind(since_ms).bind(limit).fetch_all(on).await?;
    Ok(rows.into_iter().map(|(settings,)| settings).collect())
}

columns!(call_key_columns of CallKey { tenant text, provider_id text });

statements! {
    LIST_OF_CALLS = split(
        concat!("SELECT c.tenant, c.id FROM ", call_key_columns!(sqlite_rows), " CROSS JOIN job AS c
            ON c.tenant = k.tenant AND c.provider_id = k.provider_id"),
        concat!("SELECT c.tenant, c.id FROM ", call_key_columns!(postgres_rows), " CROSS JOIN LATERAL
            (SELECT tenant, id FROM job WHERE job.tenant = k.tenant AND job.provider_id = k.provider_id OFFSET 0) AS c"),
    );
    // A run that ended before has no such job; of one that did not, the few jobs in these states are read by its index.
    LIST_SETTINGS = both("SELECT DISTINCT r.settings FROM run AS r WHERE r.tenant = $1 AND r.account = $4
        AND (r.ended_ms IS NULL OR r.ended_ms >= $5)
        AND (EXISTS (SELECT 1 FROM job AS c WHERE c.tenant = r.tenant AND c.run_id = r.id AND c.state = 'placing'
                AND c.\"to\" = $3 AND c.id <> $2)
            OR EXISTS (SELECT 1 FROM job AS c WHERE c.tenant = r.tenant AND c.run_id = r.id AND c.state = 'unknown'
                AND c.\"to\" = $3 AND c.id <> $2 AND c.updated_ms >= $5))
        LIMIT $6");
}
