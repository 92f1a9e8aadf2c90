//! What people write about accounts.

use crate::{directory::change::SPAN_MAX_MS, domain::time::Millis, fields::Wrong};

/// A duration, at most 30 days.
pub(super) fn span(field: &str, given: Option<&str>, default_ms: Millis, least_ms: Millis) -> Result<Millis, Wrong> {
    let Some(text) = given else { return Ok(default_ms) };
    let read = humantime::parse_duration(text).ok().and_then(|span| i64::try_from(span.as_millis()).ok());
    read.filter(|ms| (least_ms..=SPAN_MAX_MS).contains(ms)).ok_or_else(|| {
        let least = if least_ms == 0 { "0s" } else { "1m" };
        Wrong::new(field, format!("is not a duration such as 24h, from {least} to 30d"))
    })
}
