//! When to look at a live call again, and when it counts as stuck. Deadlines are data: whoever holds a clock compares.

use super::{
    state::{Status, Stuck},
    time::Millis,
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        check_queued_ms: 15,
        check_ringing_ms: 95,
        check_answered_ms: 60,
        stuck_warn_ms: 300,
        stuck_critical_ms: 600,
        stuck_ringing_warn_ms: 100,
        stuck_ringing_critical_ms: 200,
    };

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
