//! Extensions: which calls are live on one and which there are, as far as calls name them; and for those of a PBX whose
//! they are, and what the PBX says of their phones.

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

/// An extension of a PBX.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct PbxExtension {
    /// Whose PBX it is.
    pub tenant: String,
    /// The PBX.
    pub account: String,
    /// Its number or name there.
    pub extension: String,
    /// Whose it is, by the owner of the PBX.
    pub user_id: Option<String>,
    /// What the PBX says of its phone: `available`, `in-use`, `ringing`, `on-hold`, `unavailable` or `unknown`.
    pub device: Option<String>,
    /// Since when.
    pub device_ms: Option<i64>,
}

/// Says whose an extension of a PBX is; `None`: nobody's.
pub async fn put_user(
    tx: &mut Tx,
    (tenant, account): (&str, &str),
    extension: &str,
    user_id: Option<&str>,
) -> Result<(), StoreError> {
    PUT_USER.query().bind(tenant).bind(account).bind(extension).bind(user_id).execute(tx).await.map(drop)
}

/// Keeps what the PBX says of phones; `user_id` of the rows says nothing. What it said later stays.
pub async fn put_devices(tx: &mut Tx, rows: &[PbxExtension]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    PUT_DEVICES.over(rows).execute(tx).await.map(drop)
}

/// Whose an extension of a PBX is, if somebody said so.
pub async fn find_user(
    on: impl Into<On<'_>>,
    (tenant, account): (&str, &str),
    extension: &str,
) -> Result<Option<String>, StoreError> {
    let row: Option<(String,)> =
        FIND_USER.query().bind(tenant).bind(account).bind(extension).fetch_optional(on).await?;
    Ok(row.map(|(user,)| user))
}

/// A page of the extensions of a PBX that somebody owns or that the PBX spoke of, after `after`.
pub async fn list_of_pbx(
    on: impl Into<On<'_>>,
    (tenant, account): (&str, &str),
    after: &str,
    limit: i64,
) -> Result<Vec<PbxExtension>, StoreError> {
    LIST_OF_PBX.query().bind(tenant).bind(account).bind(after).bind(limit).fetch_all(on).await
}

/// What PBXs say of each of several extensions, in no order.
pub async fn list_of_pbxs(on: impl Into<On<'_>>, keys: &[ExtensionKey]) -> Result<Vec<PbxExtension>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    LIST_OF_PBXS.over(keys).fetch_all(on).await
}

/// Says that an extension of a PBX is nobody's; answers how many that were somebody's (0 or 1).
pub async fn delete_user(tx: &mut Tx, (tenant, account): (&str, &str), extension: &str) -> Result<u64, StoreError> {
    let query = DELETE_UNTOLD.query().bind(tenant).bind(account).bind(extension);
    if query.execute(&mut *tx).await? > 0 {
        return Ok(1);
    }
    DELETE_USER.query().bind(tenant).bind(account).bind(extension).execute(tx).await
}

/// Forgets an extension of a PBX; answers how many rows that were (0 or 1). What its PBX says of it comes again.
pub async fn delete(tx: &mut Tx, (tenant, account): (&str, &str), extension: &str) -> Result<u64, StoreError> {
    DELETE.query().bind(tenant).bind(account).bind(extension).execute(tx).await
}

columns!(pbx_extension_columns of PbxExtension {
    tenant text, account text, extension text, user_id text, device text, device_ms int
});
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
    PUT_USER = both("INSERT INTO extension (tenant, account, extension, user_id) VALUES ($1, $2, $3, $4)
        ON CONFLICT (tenant, account, extension) DO UPDATE SET user_id = excluded.user_id");
    PUT_DEVICES = over(pbx_extension_columns:
        "INSERT INTO extension (tenant, account, extension, device, device_ms)
            SELECT tenant, account, extension, device, device_ms FROM ",
        " WHERE true ON CONFLICT (tenant, account, extension) DO UPDATE
            SET device = excluded.device, device_ms = excluded.device_ms
            WHERE extension.device_ms IS NULL OR extension.device_ms <= excluded.device_ms");
    FIND_USER = both("SELECT user_id FROM extension
        WHERE tenant = $1 AND account = $2 AND extension = $3 AND user_id IS NOT NULL");
    LIST_OF_PBX = both("SELECT ", pbx_extension_columns!(names), " FROM extension
        WHERE tenant = $1 AND account = $2 AND extension > $3 ORDER BY extension LIMIT $4");
    LIST_OF_PBXS = lookup(extension_columns in "extension" as pbx_extension_columns:
        "c.tenant = k.tenant AND c.extension = k.extension");
    DELETE_UNTOLD = both("DELETE FROM extension
        WHERE tenant = $1 AND account = $2 AND extension = $3 AND user_id IS NOT NULL AND device IS NULL");
    DELETE_USER = both("UPDATE extension SET user_id = NULL
        WHERE tenant = $1 AND account = $2 AND extension = $3 AND user_id IS NOT NULL");
    DELETE = both("DELETE FROM extension WHERE tenant = $1 AND account = $2 AND extension = $3");
    LIST = both("WITH lately AS (SELECT extension, id FROM call WHERE tenant = $1 AND id >= $2 ORDER BY id DESC LIMIT $3),
        known AS (SELECT extension, max(id) AS id FROM (
                SELECT extension, id FROM lately WHERE extension > $4
                UNION ALL SELECT extension, id FROM call
                    WHERE tenant = $1 AND extension > $4 AND extension IS NOT NULL AND due_at_ms IS NOT NULL
                UNION ALL SELECT extension, NULL FROM extension WHERE tenant = $1 AND extension > $4) AS e
            GROUP BY extension ORDER BY extension LIMIT $5)
        SELECT k.extension, c.user_id FROM known k LEFT JOIN call c ON c.tenant = $1 AND c.id = k.id ORDER BY k.extension");
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
