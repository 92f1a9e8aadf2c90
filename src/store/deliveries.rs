//! Deliveries as received. The id is a digest of the content, so a repeated delivery meets its own key.

use super::{
    On, StoreError, Tx,
    sql::{columns, hex_column, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// A delivery as received, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, FromRow)]
pub struct DeliveryRow {
    /// Whose it is.
    pub tenant: String,
    /// The provider's id of the leg it speaks of.
    pub provider_id: String,
    /// The provider account.
    pub account: String,
    /// `dlv_` and a digest of account, source, method, query and body.
    pub id: String,
    /// Which door it came through, such as `twilio/status`.
    pub source: String,
    /// `POST` or `GET`.
    pub method: String,
    /// The raw query string.
    #[serde(serialize_with = "hex_column::serialize")]
    pub query: Vec<u8>,
    /// The raw body.
    #[serde(serialize_with = "hex_column::serialize")]
    pub body: Vec<u8>,
    /// When it first came, in Unix milliseconds.
    pub received_ms: i64,
    /// Whether its signature was verified (`false`: let in by `observe`).
    pub verified: bool,
    /// `applied` or `unapplied`.
    pub state: String,
    /// Why it is unapplied.
    pub reason: Option<String>,
    /// How often applying it has failed.
    pub attempts: i64,
    /// When it will be tried again.
    pub retry_at_ms: Option<i64>,
}

/// Its effects are in the same transaction.
pub const APPLIED: &str = "applied";
/// Stored and acknowledged, but applying it failed; it is retried.
pub const UNAPPLIED: &str = "unapplied";

/// The key of a delivery within its tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, FromRow)]
pub struct DeliveryKey {
    /// See [`DeliveryRow`].
    pub tenant: String,
    /// See [`DeliveryRow`].
    pub provider_id: String,
    /// See [`DeliveryRow`].
    pub account: String,
    /// See [`DeliveryRow`].
    pub id: String,
}

/// Stores deliveries and answers which of them are new, or were unapplied and count as new.
pub async fn insert(tx: &mut Tx, rows: &[DeliveryRow]) -> Result<Vec<DeliveryKey>, StoreError> {
    INSERT.over(rows).fetch_all(tx).await
}

/// Stores a delivery whose application failed, or counts one more failure of it.
pub async fn insert_unapplied(tx: &mut Tx, row: &DeliveryRow) -> Result<(), StoreError> {
    INSERT_UNAPPLIED.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// Claims unapplied deliveries whose retry is due: until `lease_until_ms` nobody else gets them.
pub async fn claim_unapplied(
    tx: &mut Tx,
    now_ms: i64,
    lease_until_ms: i64,
    limit: i64,
) -> Result<Vec<DeliveryRow>, StoreError> {
    CLAIM_UNAPPLIED.query().bind(now_ms).bind(lease_until_ms).bind(limit).fetch_all(tx).await
}

/// The unapplied deliveries, oldest first.
pub async fn list_unapplied(on: impl Into<On<'_>>, limit: i64) -> Result<Vec<DeliveryRow>, StoreError> {
    LIST_UNAPPLIED.query().bind(limit).fetch_all(on).await
}

/// A page of the deliveries of one call, oldest first, after `(received_ms, id)`.
pub async fn list_of_call(
    on: impl Into<On<'_>>,
    tenant: &str,
    account: &str,
    provider_id: &str,
    after: (i64, &str),
    limit: i64,
) -> Result<Vec<DeliveryRow>, StoreError> {
    let query = LIST_OF_CALL.query().bind(tenant).bind(provider_id).bind(account);
    query.bind(after.0).bind(after.1).bind(limit).fetch_all(on).await
}

columns!(delivery_columns of DeliveryRow {
    tenant text, provider_id text, account text, id text, source text, method text, query bytes, body bytes,
    received_ms int, verified bool, state text, reason text, attempts int, retry_at_ms int
});

columns!(delivery_key_columns of DeliveryKey { tenant text, provider_id text, account text, id text });
pub(super) use {delivery_columns, delivery_key_columns};

/// The part of the claim that both databases share.
macro_rules! claim {
    () => {
        "UPDATE delivery SET retry_at_ms = $2 WHERE (tenant, provider_id, account, id) IN (
             SELECT tenant, provider_id, account, id FROM delivery
             WHERE state = 'unapplied' AND retry_at_ms <= $1 ORDER BY retry_at_ms LIMIT $3"
    };
}

statements! {
    INSERT = insert(delivery_columns into "delivery":
        "ON CONFLICT (tenant, provider_id, account, id) DO UPDATE SET state = excluded.state, reason = NULL, retry_at_ms = NULL
         WHERE delivery.state = 'unapplied' AND excluded.state = 'applied'
         RETURNING tenant, provider_id, account, id");
    INSERT_UNAPPLIED = insert(delivery_columns into "delivery":
        "ON CONFLICT (tenant, provider_id, account, id) DO UPDATE
         SET reason = excluded.reason, attempts = delivery.attempts + 1, retry_at_ms = excluded.retry_at_ms
         WHERE delivery.state = 'unapplied'");
    CLAIM_UNAPPLIED = split(
        concat!(claim!(), ") RETURNING ", delivery_columns!(names)),
        concat!(claim!(), " FOR UPDATE SKIP LOCKED) RETURNING ", delivery_columns!(names)),
    );
    LIST_UNAPPLIED = both("SELECT ", delivery_columns!(names), " FROM delivery
        WHERE state = 'unapplied' ORDER BY received_ms LIMIT $1");
    LIST_OF_CALL = both("SELECT ", delivery_columns!(names), " FROM delivery
        WHERE tenant = $1 AND provider_id = $2 AND account = $3 AND (received_ms, id) > ($4, $5)
        ORDER BY received_ms, id LIMIT $6");
}
