//! Refused deliveries. Of an account that nobody has no tenant is known, so keys do not start with one here.

use super::{
    On, StoreError, Tx,
    sql::{columns, hex_column, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// A refused delivery, as received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct QuarantineRow {
    /// `qua_` and a digest of the content.
    pub id: String,
    /// Whose it is; `None`: the account is unknown.
    pub tenant: Option<String>,
    /// The account it claims to be of. Nothing is proved by it.
    pub account: Option<String>,
    /// Which door it came to, such as `twilio/status`.
    pub source: String,
    /// `POST` or `GET`.
    pub method: String,
    /// Path and query from the request line, raw.
    pub path_and_query: String,
    /// The `Host` header.
    pub host: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The signature header.
    pub signature: Option<String>,
    /// The body; of a batch only the bad entry.
    #[serde(serialize_with = "hex_column::serialize")]
    pub body: Vec<u8>,
    /// The address it came from.
    pub client: Option<String>,
    /// Whether what brought it was verified: then it was refused for what it says.
    pub verified: bool,
    /// Whether it is one entry of a batch: what was signed is the whole batch.
    pub entry: bool,
    /// Why it was refused the last time: a word of `crate::quarantine::Reason`.
    pub reason: String,
    /// The same, for the person on call.
    pub detail: String,
    /// When it first came, in Unix milliseconds.
    pub received_ms: i64,
    /// When it last came.
    pub last_ms: i64,
    /// How often it came.
    pub times: i64,
    /// What it counts for in the limit of bytes.
    pub bytes: i64,
}

/// How much is kept of the known and of the unknown accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct Size {
    /// Rows of known accounts.
    pub known_rows: i64,
    /// Their bytes.
    pub known_bytes: i64,
    /// Rows of unknown accounts.
    pub unknown_rows: i64,
    /// Their bytes.
    pub unknown_bytes: i64,
}

/// How many rows of how many bytes may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At most so many rows.
    pub rows: i64,
    /// At most so many bytes.
    pub bytes: i64,
}

/// Whose rows are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Those of this tenant.
    Tenant(&'a str),
    /// Those of this tenant and those of unknown accounts, which only operators see.
    Operator(&'a str),
}

impl<'a> Whose<'a> {
    /// The tenant.
    pub const fn tenant(self) -> &'a str {
        match self {
            Self::Tenant(tenant) | Self::Operator(tenant) => tenant,
        }
    }

    pub(super) const fn sees_unknown(self) -> bool {
        matches!(self, Self::Operator(_))
    }
}

/// What a list is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// The claimed account.
    pub account: Option<String>,
    /// A word of `crate::quarantine::Reason`.
    pub reason: Option<String>,
    /// The door.
    pub source: Option<String>,
}

/// The id of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineId {
    /// See [`QuarantineRow::id`].
    pub id: String,
}

/// Keeps refused deliveries, no two with the same id. One that is known only counts; a tenant that is known stays.
pub async fn keep(tx: &mut Tx, rows: &[QuarantineRow]) -> Result<(), StoreError> {
    KEEP.over(rows).execute(tx).await.map(drop)
}

/// How much there is.
pub async fn size(on: impl Into<On<'_>>) -> Result<Size, StoreError> {
    SIZE.query().fetch_one(on).await
}

/// Takes away what is over the bounds among the rows of known accounts; answers how many. The account with the most loses
/// first: the most rows where there are too many rows, the most bytes where there are too many bytes. Of each account
/// what is unsigned goes first, then what has something like a signature, then what was verified, and the oldest of each.
pub async fn trim_known(tx: &mut Tx, bounds: Bounds) -> Result<u64, StoreError> {
    TRIM_KNOWN.query().bind(bounds.rows).bind(bounds.bytes).execute(tx).await
}

/// The same among the rows of unknown accounts, the oldest first: which account they claim means nothing.
pub async fn trim_unknown(tx: &mut Tx, bounds: Bounds) -> Result<u64, StoreError> {
    TRIM_UNKNOWN.query().bind(bounds.rows).bind(bounds.bytes).execute(tx).await
}

/// Takes away at most `limit` rows that last came before `before_ms`; answers how many.
pub async fn delete_older(tx: &mut Tx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    DELETE_OLDER.query().bind(before_ms).bind(limit).execute(tx).await
}

/// One of these rows.
pub async fn find(on: impl Into<On<'_>>, whose: Whose<'_>, id: &str) -> Result<Option<QuarantineRow>, StoreError> {
    FIND.query().bind(whose.tenant()).bind(whose.sees_unknown()).bind(id).fetch_optional(on).await
}

/// Whether there is such a row that these eyes do not see: such look-ups are counted.
pub async fn exists_elsewhere(on: impl Into<On<'_>>, whose: Whose<'_>, id: &str) -> Result<bool, StoreError> {
    let query = EXISTS_ELSEWHERE.query().bind(whose.tenant()).bind(whose.sees_unknown()).bind(id);
    let row: Option<(i64,)> = query.fetch_optional(on).await?;
    Ok(row.is_some())
}

/// A page of these rows, newest first, before `(received_ms, id)`.
pub async fn list(
    on: impl Into<On<'_>>,
    whose: Whose<'_>,
    filter: &QuarantineFilter,
    before: (i64, &str),
    limit: i64,
) -> Result<Vec<QuarantineRow>, StoreError> {
    let query = LIST.query().bind(whose.tenant()).bind(whose.sees_unknown()).bind(before.0).bind(before.1).bind(limit);
    let words = [&filter.account, &filter.reason, &filter.source];
    words.into_iter().fold(query, |query, word| query.bind(word.as_deref())).fetch_all(on).await
}

/// A page of what may be redriven for this tenant, oldest first, after `(received_ms, id)`: also what came before its
/// account was known here. The signature decides whether that is the tenant's.
pub async fn list_to_redrive(
    on: impl Into<On<'_>>,
    whose: Whose<'_>,
    filter: &QuarantineFilter,
    after: (i64, &str),
    limit: i64,
) -> Result<Vec<QuarantineRow>, StoreError> {
    let query = LIST_TO_REDRIVE.query().bind(whose.tenant()).bind(whose.sees_unknown());
    let query = query.bind(after.0).bind(after.1).bind(limit);
    let words = [&filter.account, &filter.reason, &filter.source];
    words.into_iter().fold(query, |query, word| query.bind(word.as_deref())).fetch_all(on).await
}

/// Those among these ids, with the same eyes as [`list_to_redrive`], oldest first.
pub async fn list_by_ids(
    on: impl Into<On<'_>>,
    whose: Whose<'_>,
    ids: &[QuarantineId],
) -> Result<Vec<QuarantineRow>, StoreError> {
    LIST_BY_IDS.over(ids).bind(whose.tenant()).bind(whose.sees_unknown()).fetch_all(on).await
}

/// Notes why a row was refused again.
pub async fn set_reason(tx: &mut Tx, id: &str, reason: &str, detail: &str) -> Result<u64, StoreError> {
    SET_REASON.query().bind(id).bind(reason).bind(detail).execute(tx).await
}

/// Takes away rows that were redriven or dropped; answers how many.
pub async fn delete(tx: &mut Tx, ids: &[QuarantineId]) -> Result<u64, StoreError> {
    DELETE.over(ids).execute(tx).await
}

columns!(quarantine_columns of QuarantineRow {
    id text, tenant text, account text, source text, method text, path_and_query text, host text, content_type text,
    signature text, client text, verified bool, entry bool, reason text, detail text, received_ms int, last_ms int,
    times int, bytes int, body bytes
});
columns!(id_columns of QuarantineId { id text });
pub(super) use quarantine_columns;

/// Rows in the order in which they are worth keeping: how many and how many bytes are kept up to each of them. The
/// places are given by what an account has up to the row, in rows for one bound and in bytes for the other, so that large
/// rows of one account never push out the small ones of others.
macro_rules! trim {
    ($of:literal, $own:literal) => {
        concat!(
            "DELETE FROM quarantine WHERE id IN (SELECT t.id FROM (
                SELECT r.id, row_number() OVER (ORDER BY r.own_rows, r.last_ms DESC, r.id DESC) AS place,
                    sum(r.bytes) OVER (ORDER BY r.own_bytes, r.last_ms DESC, r.id DESC) AS total FROM (
                    SELECT id, bytes, last_ms, ",
            $own,
            " FROM quarantine WHERE tenant ",
            $of,
            " WINDOW own AS (PARTITION BY account ORDER BY
                        CASE WHEN verified THEN 0 WHEN length(signature) = 28 THEN 1 ELSE 2 END, last_ms DESC, id DESC)
                    ) AS r) AS t
             WHERE t.place > CAST($1 AS BIGINT) OR t.total > CAST($2 AS BIGINT))"
        )
    };
}

/// What a redrive for a tenant may look at.
macro_rules! redrivable {
    ($tenant:literal, $unknown:literal) => {
        concat!(
            "(tenant = ",
            $tenant,
            " OR (tenant IS NULL AND (CAST(",
            $unknown,
            " AS BOOLEAN)
            OR account IN (SELECT a.id FROM account a WHERE a.tenant = ",
            $tenant,
            "))))"
        )
    };
}

statements! {
    KEEP = insert(quarantine_columns into "quarantine":
        "ON CONFLICT (id) DO UPDATE SET
            tenant = coalesce(quarantine.tenant, excluded.tenant), client = excluded.client,
            verified = excluded.verified, reason = excluded.reason, detail = excluded.detail,
            received_ms = CASE WHEN excluded.received_ms < quarantine.received_ms THEN excluded.received_ms ELSE quarantine.received_ms END,
            last_ms = CASE WHEN excluded.last_ms > quarantine.last_ms THEN excluded.last_ms ELSE quarantine.last_ms END,
            times = quarantine.times + excluded.times");
    SIZE = both("SELECT CAST(count(tenant) AS BIGINT) AS known_rows,
            CAST(coalesce(sum(CASE WHEN tenant IS NOT NULL THEN bytes END), 0) AS BIGINT) AS known_bytes,
            CAST(count(*) - count(tenant) AS BIGINT) AS unknown_rows,
            CAST(coalesce(sum(CASE WHEN tenant IS NULL THEN bytes END), 0) AS BIGINT) AS unknown_bytes FROM quarantine");
    TRIM_KNOWN = both(trim!("IS NOT NULL", "row_number() OVER own AS own_rows, sum(bytes) OVER own AS own_bytes"));
    TRIM_UNKNOWN = both(trim!("IS NULL", "1 AS own_rows, 1 AS own_bytes"));
    DELETE_OLDER = both("DELETE FROM quarantine WHERE id IN
        (SELECT q.id FROM quarantine q WHERE q.last_ms < $1 ORDER BY q.last_ms LIMIT $2)");
    FIND = both("SELECT ", quarantine_columns!(names), " FROM quarantine
        WHERE id = $3 AND (tenant = $1 OR (tenant IS NULL AND CAST($2 AS BOOLEAN)))");
    EXISTS_ELSEWHERE = both("SELECT CAST(1 AS BIGINT) FROM quarantine
        WHERE id = $3 AND coalesce(tenant <> $1, NOT CAST($2 AS BOOLEAN))");
    LIST = both("SELECT ", quarantine_columns!(names), " FROM quarantine
        WHERE (received_ms, id) < ($3, $4) AND (tenant = $1 OR (tenant IS NULL AND CAST($2 AS BOOLEAN)))
            AND (CAST($6 AS TEXT) IS NULL OR account = $6) AND (CAST($7 AS TEXT) IS NULL OR reason = $7)
            AND (CAST($8 AS TEXT) IS NULL OR source = $8) ORDER BY received_ms DESC, id DESC LIMIT $5");
    LIST_TO_REDRIVE = both("SELECT ", quarantine_columns!(names), " FROM quarantine
        WHERE (received_ms, id) > ($3, $4) AND ", redrivable!("$1", "$2"), "
            AND (CAST($6 AS TEXT) IS NULL OR account = $6) AND (CAST($7 AS TEXT) IS NULL OR reason = $7)
            AND (CAST($8 AS TEXT) IS NULL OR source = $8) ORDER BY received_ms, id LIMIT $5");
    LIST_BY_IDS = over(id_columns: concat!("SELECT ", quarantine_columns!(names), " FROM quarantine WHERE id IN (SELECT k.id FROM "),
        concat!(") AND ", redrivable!("$2", "$3"), " ORDER BY received_ms, id"));
    SET_REASON = both("UPDATE quarantine SET reason = $2, detail = $3 WHERE id = $1");
    DELETE = over(id_columns: "DELETE FROM quarantine WHERE id IN (SELECT k.id FROM ", ")");
}
