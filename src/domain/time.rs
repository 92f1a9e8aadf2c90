//! Timestamps: Unix milliseconds everywhere inside, RFC 3339 with milliseconds at the edges.

use chrono::{DateTime, SecondsFormat, Utc};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// One second, minute, hour and day in milliseconds.
pub const SECOND: Millis = 1_000;
/// See [`SECOND`].
pub const MINUTE: Millis = 60 * SECOND;
/// See [`SECOND`].
pub const HOUR: Millis = 60 * MINUTE;
/// See [`SECOND`].
pub const DAY: Millis = 24 * HOUR;

/// RFC 3339 in UTC with milliseconds: `2026-11-20T10:11:08.000Z`.
/// A value outside chrono's range (some 262,000 years) is written as plain milliseconds.
pub fn rfc3339(at: Millis) -> String {
    DateTime::<Utc>::from_timestamp_millis(at)
        .map_or_else(|| at.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Reads RFC 3339 with any offset.
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_millis())
}

/// Reads RFC 2822, the form of Twilio's `Timestamp`: `Sun, 02 Nov 2025 14:21:12 +0000`.
pub fn parse_rfc2822(text: &str) -> Option<Millis> {
    DateTime::parse_from_rfc2822(text.trim()).ok().map(|t| t.timestamp_millis())
}

/// RFC 2822 in UTC with whole seconds, as Twilio writes it: `Sun, 02 Nov 2025 14:21:12 +0000`.
/// A value outside chrono's range is written as plain milliseconds.
pub fn rfc2822(at: Millis) -> String {
    DateTime::<Utc>::from_timestamp_millis(at)
        .map_or_else(|| at.to_string(), |t| t.format("%a, %d %b %Y %H:%M:%S +0000").to_string())
}

/// Whole seconds from `from` to `to`, never negative.
pub fn seconds_between(from: Millis, to: Millis) -> i64 {
    to.saturating_sub(from).max(0) / SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_the_same_moment() {
        let at = parse_rfc2822("Sun, 02 Nov 2025 14:21:12 +0000").unwrap();
        assert_eq!(rfc3339(at), "2025-11-02T14:21:12.000Z");
        assert_eq!(rfc2822(at + 999), "Sun, 02 Nov 2025 14:21:12 +0000");
        assert_eq!(parse_rfc3339("2025-11-02T15:21:12+01:00"), Some(at));
        assert_eq!(parse_rfc3339("yesterday"), None);
        assert_eq!(parse_rfc2822("2025-11-02T14:21:12Z"), None);
    }

    #[test]
    fn seconds_are_whole_and_never_negative() {
        assert_eq!(seconds_between(1_000, 3_999), 2);
        assert_eq!(seconds_between(5_000, 1_000), 0);
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn units_multiply_out() {
        assert_eq!((MINUTE, HOUR, DAY), (60_000, 3_600_000, 86_400_000));
    }
}
