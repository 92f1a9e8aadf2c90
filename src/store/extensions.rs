//! Extensions, as far as calls name them: which calls are live on one, and which extensions there are.

use super::{
    On, StoreError, Tx,
    calls::{LegKey, leg_columns},
    sql::{columns, statements},
};
use crate::domain::id;
use serde::Serialize;
use sqlx::FromRow;

/// An extension of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ExtensionKey {
    /// Whose it is.
    pub tenant: String,
    /// As the callbacks name it.
    pub extension: String,
}

/// A live call on an extension.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, FromRow)]
#[expect(missing_docs, reason = "the columns of `calls::CallRow`")]
pub struct LiveOn {
    pub tenant: String,
    pub extension: String,
    pub provider_id: String,
    pub account: String,
    pub id: String,
    pub status: String,
    pub answered_at_ms: Option<i64>,
}

/// The live calls on these extensions, in no order; merged ones are none.
pub async fn list_live(on: impl Into<On<'_>>, keys: &[ExtensionKey]) -> Result<Vec<LiveOn>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    LIST_LIVE.over(keys).fetch_all(on).await
}

/// An extension, and the last call on it.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Known {
    /// As the callbacks name it.
    pub extension: String,
    /// Whose it was in that call.
    pub user_id: Option<String>,
}

/// What an extension is busy with.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Busy {
    /// As the callbacks name it.
    pub extension: String,
    /// The provider's id of the call that counts: the one that was answered last, else the newest one that lives.
    pub provider_id: String,
    /// Its provider account.
    pub account: String,
    /// How many calls live on it.
    pub calls: i64,
}

/// Among which calls extensions are looked for, beside those that live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lately {
    /// Calls that became known at or after.
    pub since_ms: i64,
    /// Of these: so many of the latest.
    pub calls_max: i64,
}

/// A page of the extensions on which calls live or were lately, by their names, after `after`.
pub async fn list(
    on: impl Into<On<'_>>,
    tenant: &str,
    lately: Lately,
    after: &str,
    limit: i64,
) -> Result<Vec<Known>, StoreError> {
    let query = LIST.query().bind(tenant).bind(id::first_id("call", lately.since_ms)).bind(lately.calls_max);
    query.bind(after).bind(limit).fetch_all(on).await
}

/// What those of these extensions are busy with on which calls live.
pub async fn list_busy(on: impl Into<On<'_>>, keys: &[ExtensionKey]) -> Result<Vec<Busy>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    LIST_BUSY.over(keys).fetch_all(on).await
}

/// Makes these calls due at once, those that still live and are due later; answers how many.
pub async fn hasten(tx: &mut Tx, keys: &[LegKey], now_ms: i64) -> Result<u64, StoreError> {
    if keys.is_empty() {
        return Ok(0);
    }
    HASTEN.over(keys).bind(now_ms).execute(tx).await
}

columns!(extension_columns of ExtensionKey { tenant text, extension text });
columns!(live_columns of LiveOn {
    tenant text, extension text, provider_id text, account text, id text, status text, answered_at_ms int
});

/// Of the live calls on the extensions of a row set, joined by `$join`: the one that counts, and how many there are.
macro_rules! busy {
    ($rows:expr, $join:expr) => {
        concat!(
            "SELECT extension, provider_id, account, calls FROM (
                SELECT c.extension, c.provider_id, c.account, CAST(count(*) OVER of_one AS BIGINT) AS calls,
                    row_number() OVER (PARTITION BY c.tenant, c.extension ORDER BY
                        CASE WHEN c.status = 'in-progress' THEN 0 ELSE 1 END, coalesce(c.answered_at_ms, 0) DESC, c.id DESC) AS rank
                FROM ",
            $rows,
            $join,
            " WINDOW of_one AS (PARTITION BY c.tenant, c.extension)) AS ranked WHERE rank = 1"
        )
    };
}

statements! {
    LIST = both("WITH lately AS (SELECT extension, id FROM call WHERE tenant = $1 AND id >= $2 ORDER BY id DESC LIMIT $3),
        known AS (SELECT extension, max(id) AS id FROM (
                SELECT extension, id FROM lately WHERE extension > $4
                UNION ALL SELECT extension, id FROM call
                    WHERE tenant = $1 AND extension > $4 AND extension IS NOT NULL AND due_at_ms IS NOT NULL) AS e
            GROUP BY extension ORDER BY extension LIMIT $5)
        SELECT k.extension, c.user_id FROM known k JOIN call c ON c.tenant = $1 AND c.id = k.id ORDER BY k.extension");
    LIST_BUSY = split(
        busy!(extension_columns!(sqlite_rows), " CROSS JOIN call AS c ON c.tenant = k.tenant AND c.extension = k.extension
            AND c.extension IS NOT NULL AND c.due_at_ms IS NOT NULL"),
        busy!(extension_columns!(postgres_rows), " CROSS JOIN LATERAL (SELECT * FROM call AS c WHERE c.tenant = k.tenant
            AND c.extension = k.extension AND c.extension IS NOT NULL AND c.due_at_ms IS NOT NULL OFFSET 0) AS c"),
    );
    LIST_LIVE = lookup(extension_columns in "call" as live_columns:
        "c.tenant = k.tenant AND c.extension = k.extension AND c.extension IS NOT NULL AND c.due_at_ms IS NOT NULL");
    HASTEN = split(
        concat!("UPDATE call SET due_at_ms = $2 FROM ", leg_columns!(sqlite_rows), "
            WHERE call.tenant = k.tenant AND call.provider_id = k.provider_id AND call.account = k.account
              AND call.due_at_ms > $2"),
        concat!("UPDATE call SET due_at_ms = $4 FROM ", leg_columns!(postgres_rows), "
            WHERE call.tenant = k.tenant AND call.provider_id = k.provider_id AND call.account = k.account
              AND call.due_at_ms > $4"),
    );
}
