//! What all calls of a time came to: statistics of a span, and reports of a day or a week beside the one before.
//!
//! Everything is added up by the database at the moment it is asked for; nothing is counted beforehand.

mod figures;
mod period;

pub use figures::{AccountFigures, DirectionFigures, Figures, Seconds, StuckFigures, SweepFigures};
pub use period::{Every, Period};

use crate::{
    domain::{
        deadline::Limits,
        time::{DAY, Millis, rfc3339},
    },
    store::{Db, StoreError, notices, stats},
};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What the calls of a day or a week came to, beside those of the one before.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Report {
    /// Which day or week.
    #[schema(example = "2026-11-19")]
    pub period: String,
    /// `daily` or `weekly`.
    pub every: Every,
    /// What its calls came to.
    pub figures: Figures,
    /// What those of the day or week before came to.
    pub before: Figures,
    /// The accounts whose callbacks were missing most, the worst first, at most five. Counted by the hour, and kept 30 days.
    pub accounts: Vec<AccountFigures>,
    /// Notices to everybody, by kind.
    #[schema(example = json!({"call.given_up": 2}))]
    pub notices: BTreeMap<String, i64>,
    /// Notices to everybody in the day or week before, by kind.
    pub notices_before: BTreeMap<String, i64>,
}

/// Which live calls count among the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Living {
    /// All that live now.
    All,
    /// Those of the span that live now.
    OfSpan,
}

/// What the calls of a tenant that were created in a span came to; of live calls all are counted, as they are now.
pub async fn stats(
    db: &Db,
    tenant: &str,
    span_ms: (Millis, Millis),
    limits: &Limits,
    now_ms: Millis,
) -> Result<Figures, StoreError> {
    figures::figures(db, tenant, span_ms, (Living::All, limits, now_ms)).await
}

/// The report of a day or a week.
pub async fn report(
    db: &Db,
    tenant: &str,
    period: &Period,
    limits: &Limits,
    now_ms: Millis,
) -> Result<Report, StoreError> {
    let (span_ms, before_ms) = (period.span_ms(), period.before_ms());
    let asked = (Living::OfSpan, limits, now_ms);
    let accounts = stats::list_worst_accounts(db, tenant, span_ms, ACCOUNTS_MAX).await?;
    Ok(Report {
        period: period.name().to_owned(),
        every: period.every(),
        figures: figures::figures(db, tenant, span_ms, asked).await?,
        before: figures::figures(db, tenant, before_ms, asked).await?,
        accounts: accounts.into_iter().map(AccountFigures::from).collect(),
        notices: notices::count(db, tenant, span_ms).await?.into_iter().collect(),
        notices_before: notices::count(db, tenant, before_ms).await?.into_iter().collect(),
    })
}

/// The span that is asked for: the last day where nothing is said.
pub fn span(since: Option<Millis>, until: Option<Millis>, now_ms: Millis) -> Result<(Millis, Millis), String> {
    let until_ms = until.unwrap_or(now_ms);
    let since_ms = since.unwrap_or_else(|| until_ms.saturating_sub(DAY));
    if since_ms >= until_ms {
        return Err(format!("since ({}) is not before until ({})", rfc3339(since_ms), rfc3339(until_ms)));
    }
    if since_ms > now_ms {
        return Err(format!("since ({}) is in the future", rfc3339(since_ms)));
    }
    if until_ms.saturating_sub(since_ms) > SPAN_MAX_MS {
        let days = SPAN_MAX_MS / DAY;
        return Err(format!(
            "from {} to {} is more than {days} days; ask for at most {days} days at a time",
            rfc3339(since_ms),
            rfc3339(until_ms)
        ));
    }
    Ok((since_ms, until_ms))
}

/// The longest span of [`stats()`].
pub const SPAN_MAX_MS: Millis = 31 * DAY;
/// How long after a span a call of it may still become known: deliveries that were redriven, imports.
pub const KNOWN_LATER_MS: Millis = DAY;
const ACCOUNTS_MAX: i64 = 5;
