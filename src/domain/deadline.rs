//! When to look at a live call again, when it counts as stuck, and when it is given up. Deadlines are data: whoever holds
//! a clock compares.

use super::{
    call::Row,
    state::{Status, Stuck},
    time::{MINUTE, Millis},
};

/// How long each state may last. Milliseconds; the defaults are those of the configuration table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ask the provider this long after a call was queued.
    pub check_queued_ms: Millis,
    /// … after dialing began or the far end rang (dial timeout + 35 s; 95 s when it is unknown).
    pub check_ringing_ms: Millis,
    /// … after it was answered.
    pub check_answered_ms: Millis,
    /// Queued or answered calls are worth a warning after this long without a sign of life.
    pub stuck_warn_ms: Millis,
    /// … are critical after this long.
    pub stuck_critical_ms: Millis,
    /// The same for calls being dialed or ringing.
    pub stuck_ringing_warn_ms: Millis,
    /// See `stuck_ringing_warn_ms`.
    pub stuck_ringing_critical_ms: Millis,
    /// A queued call whose provider cannot say is given up this long after it was queued.
    pub give_up_queued_ms: Millis,
    /// … one being dialed or ringing, after that began.
    pub give_up_ringing_ms: Millis,
    /// … one in progress, after it was answered: longer than the provider lets a call last.
    pub give_up_answered_ms: Millis,
    /// A call that nobody can be asked about, and that was not answered, is given up this long after it entered its state.
    pub timeout_ringing_ms: Millis,
    /// … one that was answered.
    pub timeout_answered_ms: Millis,
}

/// Whether anybody could say what became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The provider can be asked, though it may be away.
    Asked,
    /// Nobody can: its events are only ever pushed to us.
    Nobody,
}

impl Limits {
    /// When to ask the provider about a call that entered `status` at `entered_ms`; `None` for ended calls.
    pub fn due_at_ms(&self, status: Status, entered_ms: Millis) -> Option<Millis> {
        let after = match status {
            Status::Queued => self.check_queued_ms,
            Status::Initiated | Status::Ringing => self.check_ringing_ms,
            Status::InProgress => self.check_answered_ms,
            Status::Completed | Status::Busy | Status::NoAnswer | Status::Canceled | Status::Failed => return None,
        };
        Some(entered_ms.saturating_add(after))
    }

    /// From when on a live call is given up, if its last ask failed or nobody can be asked; `None` for ended calls.
    /// Never sooner than [`SILENT_MS`] after its last sign of life.
    pub fn give_up_at_ms(&self, row: &Row, source: Source) -> Option<Millis> {
        let entered = row.entered_ms()?;
        let after = match (source, row.status) {
            (Source::Asked, Status::Queued) => self.give_up_queued_ms,
            (Source::Asked, Status::Initiated | Status::Ringing) => self.give_up_ringing_ms,
            (Source::Asked, Status::InProgress) => self.give_up_answered_ms,
            (Source::Nobody, Status::Queued | Status::Initiated | Status::Ringing) => self.timeout_ringing_ms,
            (Source::Nobody, Status::InProgress) => self.timeout_answered_ms,
            (_, Status::Completed | Status::Busy | Status::NoAnswer | Status::Canceled | Status::Failed) => {
                return None;
            }
        };
        let alive = row.alive_ms.unwrap_or(row.created_at_ms);
        // What is only pushed has its times from its own clock, which may be behind: it is not older than our row of it.
        let (entered, alive) = match source {
            Source::Asked => (entered, alive),
            Source::Nobody => (entered.max(row.created_at_ms), alive.max(row.created_at_ms)),
        };
        Some(entered.saturating_add(after).max(alive.saturating_add(SILENT_MS)))
    }

    /// The latest moment that any deadline set now can name: one beyond it was set while a clock was wrong.
    pub fn beyond_ms(&self, now_ms: Millis) -> Millis {
        let longest = self.check_queued_ms.max(self.check_ringing_ms).max(self.check_answered_ms).max(ASK_AGAIN_MAX_MS);
        now_ms.saturating_add(longest).saturating_add(MINUTE)
    }

    /// Whether a call in `status`, last known to be alive at `alive_ms`, counts as stuck now.
    pub fn stuck(&self, status: Status, alive_ms: Millis, now_ms: Millis) -> Option<Stuck> {
        let (warn, critical) = match status {
            Status::Queued | Status::InProgress => (self.stuck_warn_ms, self.stuck_critical_ms),
            Status::Initiated | Status::Ringing => (self.stuck_ringing_warn_ms, self.stuck_ringing_critical_ms),
            Status::Completed | Status::Busy | Status::NoAnswer | Status::Canceled | Status::Failed => return None,
        };
        let silent = now_ms.saturating_sub(alive_ms);
        match silent {
            s if s >= critical => Some(Stuck::Critical),
            s if s >= warn => Some(Stuck::Warn),
            _ => None,
        }
    }
}

impl Row {
    /// When a live call entered the state it is in, as far as it is known.
    pub fn entered_ms(&self) -> Option<Millis> {
        let reached = match self.status {
            Status::Queued => None,
            Status::Initiated => self.initiated_at_ms,
            Status::Ringing => self.ringing_at_ms.or(self.initiated_at_ms),
            Status::InProgress => self.answered_at_ms,
            Status::Completed | Status::Busy | Status::NoAnswer | Status::Canceled | Status::Failed => return None,
        };
        Some(reached.unwrap_or(self.created_at_ms))
    }
}

/// A call that showed a sign of life is not given up before this long after it.
pub const SILENT_MS: Millis = 15 * MINUTE;
/// The longest pause between two asks about one call.
pub const ASK_AGAIN_MAX_MS: Millis = 15 * MINUTE;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{call::Call, time::SECOND};

    const LIMITS: Limits = Limits {
        check_queued_ms: 15,
        check_ringing_ms: 95,
        check_answered_ms: 60,
        stuck_warn_ms: 300,
        stuck_critical_ms: 600,
        stuck_ringing_warn_ms: 100,
        stuck_ringing_critical_ms: 200,
        give_up_queued_ms: 100 * MINUTE,
        give_up_ringing_ms: 60 * MINUTE,
        give_up_answered_ms: 200 * MINUTE,
        timeout_ringing_ms: 40 * MINUTE,
        timeout_answered_ms: 30 * MINUTE,
    };

    /// A call in a state it entered at 1 s, created at 0, that showed a sign of life at `alive_ms`.
    fn row(status: Status, alive_ms: Millis) -> Row {
        let entered = Some(SECOND);
        let (initiated_at_ms, ringing_at_ms, answered_at_ms) = (entered, entered, entered);
        Row {
            status,
            alive_ms: Some(alive_ms),
            initiated_at_ms,
            ringing_at_ms,
            answered_at_ms,
            ..Call::default().read()
        }
    }

    /// It was pushed by a PBX whose clock is a day behind.
    #[test]
    fn a_call_that_nobody_can_be_asked_about_is_not_older_than_its_row() {
        let day = 24 * 60 * MINUTE;
        let behind = Row { created_at_ms: day, ..row(Status::InProgress, 0) };
        assert_eq!(LIMITS.give_up_at_ms(&behind, Source::Nobody), Some(day + LIMITS.timeout_answered_ms));
        assert_eq!(LIMITS.give_up_at_ms(&behind, Source::Asked), Some(SECOND + LIMITS.give_up_answered_ms));
        let brief = Limits { timeout_answered_ms: MINUTE, ..LIMITS };
        assert_eq!(brief.give_up_at_ms(&behind, Source::Nobody), Some(day + SILENT_MS));
    }

    #[test]
    fn a_call_is_given_up_by_its_state_and_by_whether_anybody_can_be_asked() {
        let at = |status, source| LIMITS.give_up_at_ms(&row(status, 0), source).map(|ms| ms / MINUTE);
        let asked: Vec<_> = Status::ALL.iter().map(|status| at(*status, Source::Asked)).collect();
        assert_eq!(asked, [Some(100), Some(60), Some(60), Some(200), None, None, None, None, None]);
        let nobody: Vec<_> = Status::ALL.iter().map(|status| at(*status, Source::Nobody)).collect();
        assert_eq!(nobody, [Some(40), Some(40), Some(40), Some(30), None, None, None, None, None]);
    }

    #[test]
    fn a_sign_of_life_puts_it_off() {
        let alive_ms = 500 * MINUTE;
        for status in [Status::Queued, Status::Initiated, Status::Ringing, Status::InProgress] {
            for source in [Source::Asked, Source::Nobody] {
                assert_eq!(LIMITS.give_up_at_ms(&row(status, alive_ms), source), Some(alive_ms + SILENT_MS));
            }
        }
    }

    #[test]
    fn no_deadline_lies_beyond_the_latest_one() {
        let entered = 1_000;
        for status in Status::ALL {
            assert!(LIMITS.due_at_ms(*status, entered).is_none_or(|due| due < LIMITS.beyond_ms(entered)));
        }
        assert!(LIMITS.beyond_ms(0) > ASK_AGAIN_MAX_MS);
    }

    #[test]
    fn live_calls_are_due_by_their_state_and_ended_ones_never() {
        let due: Vec<_> = Status::ALL.iter().map(|s| LIMITS.due_at_ms(*s, 1_000)).collect();
        assert_eq!(due, [Some(1_015), Some(1_095), Some(1_095), Some(1_060), None, None, None, None, None]);
    }

    #[test]
    fn stuck_counts_from_the_last_sign_of_life() {
        let stuck = |status, silent: Millis| LIMITS.stuck(status, 1_000, 1_000 + silent);
        for status in [Status::Queued, Status::InProgress] {
            assert_eq!(stuck(status, 299), None);
            assert_eq!(stuck(status, 300), Some(Stuck::Warn));
            assert_eq!(stuck(status, 599), Some(Stuck::Warn));
            assert_eq!(stuck(status, 600), Some(Stuck::Critical));
        }
        for status in [Status::Initiated, Status::Ringing] {
            assert_eq!(stuck(status, 99), None);
            assert_eq!(stuck(status, 100), Some(Stuck::Warn));
            assert_eq!(stuck(status, 200), Some(Stuck::Critical));
        }
        for status in Status::ALL.iter().filter(|s| s.is_ended()) {
            assert_eq!(stuck(*status, 1_000_000), None);
        }
    }
}
