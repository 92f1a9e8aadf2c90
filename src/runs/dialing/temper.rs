//! How patient a run is with its provider: after an answer that helps nobody it waits, longer each time, and then tries
//! with one request.

use crate::{
    clock::{Clock, Since},
    domain::{
        retry::Backoff,
        time::{MINUTE, SECOND},
    },
    provider::Trouble,
};
use std::time::Duration;

/// What may be asked of a provider now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// As much as the desk hands out.
    Much,
    /// One request, to see whether it answers again.
    One,
    /// Nothing for so long.
    Wait(Duration),
}

/// The patience of one run.
#[derive(Debug, Default)]
pub(super) struct Temper {
    failures: u32,
    /// Grows with each failure that counts: what was sent before it says nothing new.
    round: u64,
    until: Option<(Since, Duration)>,
    trouble: Option<Trouble>,
    is_doubtful: bool,
}

impl Temper {
    /// That of a run whose last dialer met this trouble: it begins with one request, and has not seen the end of it.
    pub(super) fn after(trouble: Option<Trouble>) -> Self {
        Self { is_doubtful: trouble.is_some(), trouble, ..Self::default() }
    }

    pub(super) fn may(&self, clock: &dyn Clock) -> May {
        let left = self.until.map(|(since, pause)| pause.saturating_sub(since.elapsed(clock)));
        match left {
            Some(left) if !left.is_zero() => May::Wait(left),
            Some(_) => May::One,
            None if self.is_doubtful => May::One,
            None => May::Much,
        }
    }

    /// In which round a request is sent.
    pub(super) const fn round(&self) -> u64 {
        self.round
    }

    /// The provider took a call, or refused that one call.
    pub(super) fn answered(&mut self) {
        let round = self.round;
        *self = Self { round, ..Self::default() };
    }

    /// It did not, to a request of this round. `unit` scales the pauses: a second, but in tests.
    pub(super) fn refused(&mut self, round: u64, trouble: Trouble, jitter: f64, unit: Duration, clock: &dyn Clock) {
        // Many requests at once fail at once: that is one failure.
        if round == self.round {
            self.round = self.round.saturating_add(1);
            self.failures = self.failures.saturating_add(1);
            let backoff = if trouble.kind.is_ours_to_mend() { TO_BE_MENDED } else { USUAL };
            let pause_ms = backoff.delay_ms(self.failures, jitter).unsigned_abs();
            let pause = unit.saturating_mul(u32::try_from(pause_ms).unwrap_or(u32::MAX)) / 1_000;
            self.until = Some((Since::now(clock), pause));
        }
        self.trouble = Some(trouble);
    }

    /// What the provider said last, until it takes calls again.
    pub(super) const fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }
}

/// 429, or nobody there. In units.
const USUAL: Backoff = Backoff { first_ms: SECOND, max_ms: MINUTE };
/// Waiting mends no credentials.
const TO_BE_MENDED: Backoff = Backoff { first_ms: 15 * SECOND, max_ms: 5 * MINUTE };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::ManualClock, provider::TroubleKind};

    const UNIT: Duration = Duration::from_secs(1);

    fn trouble(kind: TroubleKind) -> Trouble {
        Trouble { kind, detail: "place a call".into() }
    }

    fn wait(temper: &Temper, clock: &ManualClock) -> u64 {
        match temper.may(clock) {
            May::Wait(left) => (left.as_secs_f64()).round() as u64,
            May::Much | May::One => 0,
        }
    }

    #[test]
    fn a_storm_is_one_failure_and_pauses_double() {
        let (clock, mut temper) = (ManualClock::new(0), Temper::default());
        for round in 0..8 {
            for _ in 0..30 {
                temper.refused(round, trouble(TroubleKind::TooMany), 0.0, UNIT, &clock);
            }
            assert_eq!(wait(&temper, &clock), [1, 2, 4, 8, 16, 32, 60, 60][usize::try_from(round).unwrap()]);
            clock.advance(60_000);
            assert_eq!(temper.may(&clock), May::One, "then one request tells");
        }
        assert_eq!(temper.trouble(), Some(&trouble(TroubleKind::TooMany)));
        temper.answered();
        assert_eq!((temper.may(&clock), temper.trouble()), (May::Much, None));
        temper.refused(temper.round(), trouble(TroubleKind::TooMany), 0.0, UNIT, &clock);
        assert_eq!(wait(&temper, &clock), 1);
    }

    #[test]
    fn who_takes_a_troubled_run_over_begins_with_one_request() {
        let (clock, mut temper) = (ManualClock::new(0), Temper::after(Some(trouble(TroubleKind::TooMany))));
        assert_eq!((temper.may(&clock), temper.trouble().is_some()), (May::One, true));
        temper.answered();
        assert_eq!((temper.may(&clock), temper.trouble()), (May::Much, None));
        assert_eq!(Temper::after(None).may(&clock), May::Much);
    }

    #[test]
    fn what_somebody_has_to_mend_is_tried_more_seldom() {
        let (clock, mut temper) = (ManualClock::new(0), Temper::default());
        temper.refused(0, trouble(TroubleKind::Refused), 0.0, UNIT, &clock);
        assert_eq!(wait(&temper, &clock), 15);
        for round in 1..9 {
            temper.refused(round, trouble(TroubleKind::Refused), 0.0, UNIT, &clock);
        }
        assert_eq!(wait(&temper, &clock), 300);
    }
}
