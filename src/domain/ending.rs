//! How the ending of a leg became known: a pure reading of the steps its endings made.
//!
//! A leg counts once, in the hour of its first ending, by what had been said a minute after it. A status callback that
//! comes later than that moves it to the legs that were called back; nothing else does. So a figure does not depend on
//! when it is counted, or on how often somebody looks.

use super::{
    time::{MINUTE, Millis},
    words,
};
use std::collections::BTreeSet;

words! {
    /// How the ending of a leg is known. The first is the best.
    pub enum KnownBy {
        /// A status callback told it.
        Callback = "callback",
        /// Only another webhook told it, such as the action of `<Dial>`.
        Elsewhere = "elsewhere",
        /// The provider told it when it was asked.
        Reconciled = "reconciled",
        /// Nobody told it: inferred, missing in a list, or ended by an operator.
        Unheard = "unheard",
    }
}

/// A step of a leg that an ending made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its place in the journal.
    pub seq: i64,
    /// When it was written.
    pub at_ms: Millis,
    /// Whether the leg was over after it: one that was given up although it lives is not.
    pub over: bool,
    /// Who said it.
    pub by: KnownBy,
}

/// What a step changes in the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When the leg ended first: the figures of that hour change.
    pub ended_ms: Millis,
    /// As what it counted before; `None` if it did not.
    pub before: Option<KnownBy>,
    /// As what it counts from here on.
    pub now: KnownBy,
}

/// What the step with this `seq` changes. `steps` are all steps that endings of the leg made, in the order of `seq`.
pub fn change(steps: &[Ended], seq: i64) -> Option<Change> {
    let first = steps.iter().find(|step| step.over)?;
    let since = || steps.iter().filter(|step| step.seq >= first.seq);
    let in_time = |step: &&Ended| step.at_ms <= first.at_ms.saturating_add(KNOWN_WITHIN_MS);
    let known = since().filter(in_time).map(|step| step.by).min().unwrap_or(first.by);
    if seq == first.seq {
        return Some(Change { ended_ms: first.at_ms, before: None, now: known });
    }
    let callback = since().find(|step| step.by == KnownBy::Callback)?;
    let is_late = callback.seq == seq && known != KnownBy::Callback;
    is_late.then_some(Change { ended_ms: first.at_ms, before: Some(known), now: KnownBy::Callback })
}

/// How many callbacks of a leg are missing: the one that told the ending has a number, Twilio counts from 0, and the
/// lower ones never came. `lower` are the numbers that came, in any order, also the same one twice.
pub fn gaps(last: i64, lower: impl IntoIterator<Item = i64>) -> i64 {
    let heard: BTreeSet<i64> = lower.into_iter().filter(|n| (0..last).contains(n)).collect();
    let heard = i64::try_from(heard.len()).unwrap_or(i64::MAX);
    last.saturating_sub(heard).clamp(0, GAPS_MAX)
}

/// What is said later than this after the first ending does not count as having come in time.
pub const KNOWN_WITHIN_MS: Millis = MINUTE;
/// A leg fires four or five callbacks; a number far above that is a mistake and must not drown the rest.
pub const GAPS_MAX: i64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn step(seq: i64, at_ms: Millis, by: KnownBy) -> Ended {
        Ended { seq, at_ms, over: true, by }
    }

    /// All changes, in order: what a follower would do.
    fn changes(steps: &[Ended]) -> Vec<(i64, Option<KnownBy>, KnownBy)> {
        steps.iter().filter_map(|s| change(steps, s.seq).map(|c| (s.seq, c.before, c.now))).collect()
    }

    use KnownBy::{Callback, Elsewhere, Reconciled, Unheard};

    #[test]
    fn a_leg_counts_once_by_the_best_word_of_the_first_minute() {
        assert_eq!(changes(&[step(1, 0, Callback)]), [(1, None, Callback)]);
        let dialed = [step(1, 0, Elsewhere), step(4, MINUTE, Callback), step(9, 2 * MINUTE, Callback)];
        assert_eq!(changes(&dialed), [(1, None, Callback)]);
        let asked = [step(1, 0, Unheard), step(2, 1, Reconciled), step(3, 2, Reconciled)];
        assert_eq!(changes(&asked), [(1, None, Reconciled)]);
        assert_eq!(changes(&[]), []);
    }

    #[test]
    fn a_callback_that_comes_later_moves_it_once() {
        let steps = [
            step(1, 0, Reconciled),
            step(2, 5, Elsewhere),
            step(3, MINUTE + 1, Callback),
            step(4, MINUTE + 2, Callback),
            step(5, MINUTE + 3, Unheard),
        ];
        assert_eq!(changes(&steps), [(1, None, Elsewhere), (3, Some(Elsewhere), Callback)]);
        assert_eq!(change(&steps, 3).unwrap().ended_ms, 0, "in the hour in which it ended");
    }

    #[test]
    fn one_that_was_given_up_in_vain_has_not_ended_yet() {
        let void = Ended { over: false, ..step(1, 0, Unheard) };
        assert_eq!(changes(&[void, step(2, 2 * MINUTE, Callback)]), [(2, None, Callback)]);
    }

    #[test]
    fn a_gap_is_a_number_below_the_last_that_never_came() {
        assert_eq!(gaps(3, [0, 1, 2]), 0);
        assert_eq!(gaps(3, [2, 0, 0]), 1);
        assert_eq!(gaps(3, [3, 4, -1]), 3);
        assert_eq!(gaps(0, []), 0, "only `completed` is subscribed");
        assert_eq!(gaps(1_000_000, [0]), GAPS_MAX);
        assert_eq!(gaps(-5, []), 0);
    }
}
