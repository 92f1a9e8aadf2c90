//! What time it is where the database runs.

use super::{On, StoreError, sql::statements};
use crate::clock::Clock;

/// The database's clock, in Unix milliseconds. SQLite's is that of this machine.
pub async fn load(on: impl Into<On<'_>>) -> Result<i64, StoreError> {
    let row: Option<(i64,)> = NOW.query().fetch_optional(on).await?;
    let missing = || StoreError::Corrupt { what: "the clock".into(), why: "it answered nothing".into() };
    row.map(|(now_ms,)| now_ms).ok_or_else(missing)
}

/// What time it is for leases: where the database runs, unless the clock is turned by hand.
pub async fn for_leases(on: impl Into<On<'_>>, clock: &dyn Clock) -> Result<i64, StoreError> {
    if clock.rules_leases() { Ok(clock.now_ms()) } else { load(on).await }
}

statements! {
    NOW = split(
        "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    );
}
