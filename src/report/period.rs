//! A day or a week in UTC.

use crate::domain::{
    time::{DAY, Millis},
    words,
};
use chrono::{DateTime, Datelike, NaiveDate, Weekday};

words! {
    /// How long the period of a report is.
    pub enum Every {
        /// A day in UTC.
        Daily = "daily",
        /// A week in UTC, from Monday to Sunday, as ISO 8601 numbers them.
        Weekly = "weekly",
    }
}

/// A day or a week that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    every: Every,
    name: String,
    since_ms: Millis,
}

impl Period {
    /// The day or the week with this name; without one, the last that is over. The error says what is allowed.
    pub fn read(every: Every, name: Option<&str>, now_ms: Millis) -> Result<Self, String> {
        let today = DateTime::from_timestamp_millis(now_ms).unwrap_or_default().date_naive();
        let current = every.begin(today);
        let begin = match name {
            None => current - chrono::Days::new(every.days().unsigned_abs()),
            Some(name) => every
                .parse(name)
                .filter(|begin| (EARLIEST_YEAR..).contains(&begin.year()))
                .ok_or_else(|| format!("{name:?} is not {}, from the year {EARLIEST_YEAR} on", every.form()))?,
        };
        if begin > current {
            let current = every.name(current);
            return Err(format!("{} has not begun; the latest is {current}", every.name(begin)));
        }
        let since_ms = begin.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
        Ok(Self { every, name: every.name(begin), since_ms })
    }

    /// How long it is.
    pub const fn every(&self) -> Every {
        self.every
    }

    /// Its name: `2026-11-19`, `2026-W47`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it begins, and when the next one does.
    pub const fn span_ms(&self) -> (Millis, Millis) {
        (self.since_ms, self.since_ms + self.every.days() * DAY)
    }

    /// The same of the one before.
    pub const fn before_ms(&self) -> (Millis, Millis) {
        (self.since_ms - self.every.days() * DAY, self.since_ms)
    }
}

impl Every {
    const fn days(self) -> i64 {
        match self {
            Self::Daily => 1,
            Self::Weekly => 7,
        }
    }

    const fn form(self) -> &'static str {
        match self {
            Self::Daily => "a date such as 2026-11-19",
            Self::Weekly => "a week of ISO 8601 such as 2026-W47",
        }
    }

    /// The first day of the period that a day lies in.
    fn begin(self, day: NaiveDate) -> NaiveDate {
        match self {
            Self::Daily => day,
            Self::Weekly => day.week(Weekday::Mon).first_day(),
        }
    }

    fn name(self, begin: NaiveDate) -> String {
        match self {
            Self::Daily => begin.format("%Y-%m-%d").to_string(),
            Self::Weekly => begin.format("%G-W%V").to_string(),
        }
    }

    /// The first day of the period with this name. What is not written as we would write it is none.
    fn parse(self, name: &str) -> Option<NaiveDate> {
        let begin = match self {
            Self::Daily => NaiveDate::parse_from_str(name, "%Y-%m-%d").ok()?,
            Self::Weekly => {
                let (year, week) = name.split_once("-W")?;
                NaiveDate::from_isoywd_opt(year.parse().ok()?, week.parse().ok()?, Weekday::Mon)?
            }
        };
        (self.name(begin) == name).then_some(begin)
    }
}

/// Nothing was heard of a call before.
const EARLIEST_YEAR: i32 = 2000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_rfc3339;

    /// A Friday.
    const NOW: &str = "2026-11-20T10:11:08Z";

    fn read(every: Every, name: Option<&str>) -> Result<(String, String), String> {
        let period = Period::read(every, name, parse_rfc3339(NOW).unwrap())?;
        let (since, until) = period.span_ms();
        assert_eq!(period.before_ms().1, since);
        assert_eq!(since - period.before_ms().0, until - since);
        Ok((period.name().to_owned(), crate::domain::time::rfc3339(since)))
    }

    #[test]
    fn the_last_one_that_is_over_is_meant() {
        let begin = |day: &str| format!("{day}T00:00:00.000Z");
        assert_eq!(read(Every::Daily, None), Ok(("2026-11-19".into(), begin("2026-11-19"))));
        assert_eq!(read(Every::Weekly, None), Ok(("2026-W46".into(), begin("2026-11-09"))));
        assert_eq!(read(Every::Daily, Some("2026-11-20")), Ok(("2026-11-20".into(), begin("2026-11-20"))));
        assert_eq!(read(Every::Weekly, Some("2026-W47")), Ok(("2026-W47".into(), begin("2026-11-16"))));
        // A week belongs to the year in which its Thursday lies.
        assert_eq!(read(Every::Weekly, Some("2020-W53")), Ok(("2020-W53".into(), begin("2020-12-28"))));
        assert_eq!(read(Every::Weekly, Some("2025-W01")), Ok(("2025-W01".into(), begin("2024-12-30"))));
        assert_eq!(read(Every::Daily, Some("2024-02-29")), Ok(("2024-02-29".into(), begin("2024-02-29"))));
    }

    #[test]
    fn what_is_none_says_what_is_allowed() {
        for (every, name, says) in [
            (Every::Daily, "2026-11-21", "the latest is 2026-11-20"),
            (Every::Weekly, "2026-W48", "the latest is 2026-W47"),
            (Every::Daily, "yesterday", "2026-11-19"),
            (Every::Daily, "2026-1-9", "2026-11-19"),
            (Every::Daily, "2026-02-29", "2026-11-19"),
            (Every::Daily, "2026-11-19T00:00:00Z", "2026-11-19"),
            (Every::Daily, "1999-12-31", "from the year 2000"),
            (Every::Daily, "+12026-11-19", "2026-11-19"),
            (Every::Weekly, "2026-47", "2026-W47"),
            (Every::Weekly, "2026-W5", "2026-W47"),
            (Every::Weekly, "2026-W00", "2026-W47"),
            (Every::Weekly, "2025-W53", "2026-W47"),
            (Every::Weekly, "", "2026-W47"),
        ] {
            let error = read(every, Some(name)).unwrap_err();
            assert!(error.contains(says), "{name}: {error}");
        }
    }
}
