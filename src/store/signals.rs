//! Signals: the rows a call is folded from.

use super::{
    On, StoreError, Tx,
    sql::{columns, statements},
};
use crate::domain::signal::Signal;
use serde::Serialize;
use sqlx::FromRow;

/// A stored signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct SignalRow {
    /// Whose it is.
    pub tenant: String,
    /// The leg.
    pub provider_id: String,
    /// The provider account.
    pub account: String,
    /// [`crate::domain::signal::Identity`] in hex.
    pub identity: String,
    /// The signal as JSON.
    pub said: String,
    /// When the first copy was received.
    pub received_ms: i64,
    /// How often a copy with an earlier `received_ms` turned up.
    pub earlier: i64,
    /// The delivery it was read from.
    pub delivery_id: Option<String>,
}

/// What became of a signal that was inserted. Known ones are not answered at all.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Inserted {
    /// See [`SignalRow`].
    pub tenant: String,
    /// See [`SignalRow`].
    pub provider_id: String,
    /// See [`SignalRow`].
    pub account: String,
    /// See [`SignalRow`].
    pub identity: String,
    /// 0: it is new. Else it was known, but this copy was received earlier, so the call must be folded anew.
    pub earlier: i64,
}

/// Stands for the identity of a sign of life: of each leg there is one.
pub const SIGN_OF_LIFE: &str = "alive";

impl SignalRow {
    /// The row of a signal.
    pub fn of(tenant: &str, signal: &Signal, delivery_id: Option<&str>) -> Self {
        Self {
            tenant: tenant.to_owned(),
            provider_id: signal.leg.provider_id.clone(),
            account: signal.leg.account.clone(),
            identity: if signal.is_sign_of_life() { SIGN_OF_LIFE.into() } else { signal.identity().to_hex() },
            said: serde_json::to_string(signal).unwrap_or_default(),
            received_ms: signal.received_ms,
            earlier: 0,
            delivery_id: delivery_id.map(str::to_owned),
        }
    }

    /// The signal; `received_ms` is that of the first copy.
    pub fn signal(&self) -> Result<Signal, StoreError> {
        let corrupt = |e: serde_json::Error| StoreError::Corrupt {
            what: format!("signal {} of call {}", self.identity, self.provider_id),
            why: e.to_string(),
        };
        let signal: Signal = serde_json::from_str(&self.said).map_err(corrupt)?;
        Ok(Signal { received_ms: self.received_ms, ..signal })
    }
}

/// Stores signals (no identity twice in `rows`); answers the new ones and those received earlier than their stored copy.
pub async fn insert(tx: &mut Tx, rows: &[SignalRow]) -> Result<Vec<Inserted>, StoreError> {
    INSERT.over(rows).fetch_all(tx).await
}

/// Stores signs of life, of each leg the latest only: it says all that the earlier ones said.
pub async fn renew(tx: &mut Tx, rows: &[SignalRow]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    RENEW.over(rows).execute(tx).await.map(drop)
}

/// All signals of one call.
pub async fn list_of_call(
    on: impl Into<On<'_>>,
    tenant: &str,
    account: &str,
    provider_id: &str,
) -> Result<Vec<SignalRow>, StoreError> {
    LIST_OF_CALL.query().bind(tenant).bind(provider_id).bind(account).fetch_all(on).await
}

columns!(signal_columns of SignalRow {
    tenant text, provider_id text, account text, identity text, said text, received_ms int, earlier int, delivery_id text
});

pub(super) use signal_columns;

statements! {
    INSERT = insert(signal_columns into "signal":
        "ON CONFLICT (tenant, provider_id, account, identity)
         DO UPDATE SET received_ms = excluded.received_ms, earlier = signal.earlier + 1
         WHERE excluded.received_ms < signal.received_ms
         RETURNING tenant, provider_id, account, identity, earlier");
    RENEW = insert(signal_columns into "signal":
        "ON CONFLICT (tenant, provider_id, account, identity)
         DO UPDATE SET received_ms = excluded.received_ms, said = excluded.said
         WHERE excluded.received_ms > signal.received_ms");
    LIST_OF_CALL = both("SELECT ", signal_columns!(names), " FROM signal
        WHERE tenant = $1 AND provider_id = $2 AND account = $3 ORDER BY identity");
}
