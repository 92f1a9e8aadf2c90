//! Short words for signals, so that a test reads like the story it tells.

use onhook::domain::{
    id::Leg,
    signal::{Claim, Field, Link, LinkRank, Signal, Told, Weak, Witness},
    state::{HangupCause, Live, Outcome},
    time::{Millis, SECOND},
};
use std::collections::BTreeMap;

/// A signal of the one leg all tests speak of. The time is told unless `untold`; it arrives at once unless `received`.
pub fn signal(witness: Witness, claim: Claim, at_seconds: i64) -> Signal {
    let at = at_seconds * SECOND;
    Signal {
        leg: Leg { provider_id: "CA1".into(), account: "AC1".into() },
        witness,
        claim,
        at: Some(at),
        sequence: None,
        details: BTreeMap::new(),
        link: None,
        received_ms: at,
    }
}

pub fn live(live: Live, witness: Witness, at_seconds: i64) -> Signal {
    signal(witness, Claim::Live(live), at_seconds)
}

pub fn alive(witness: Witness, at_seconds: i64) -> Signal {
    signal(witness, Claim::Alive, at_seconds)
}

pub fn ended(outcome: Outcome, witness: Witness, at_seconds: i64) -> Signal {
    signal(witness, Claim::Ended(Told { outcome, seconds: None, cause: cause_of(outcome) }), at_seconds)
}

pub fn completed(seconds: impl Into<Option<i64>>, witness: Witness, at_seconds: i64) -> Signal {
    let told = Told { outcome: Outcome::Completed, seconds: seconds.into(), cause: HangupCause::Normal };
    signal(witness, Claim::Ended(told), at_seconds)
}

pub fn given_up(witness: Witness, decided_seconds: i64) -> Signal {
    weak(witness, Weak { decided_ms: decided_seconds * SECOND, ..WEAK })
}

pub fn weak(witness: Witness, weak: Weak) -> Signal {
    signal(witness, Claim::GivenUp(weak), weak.decided_ms / SECOND)
}

pub fn unknown(word: &str) -> Signal {
    signal(Witness::Callback, Claim::Unknown(word.into()), 1)
}

/// The usual cause of an outcome.
pub const fn cause_of(outcome: Outcome) -> HangupCause {
    match outcome {
        Outcome::Canceled => HangupCause::Canceled,
        Outcome::NoAnswer => HangupCause::NoAnswer,
        Outcome::Busy => HangupCause::Busy,
        Outcome::Failed => HangupCause::Failed,
        Outcome::Completed => HangupCause::Normal,
    }
}

/// A weak ending about which nothing is said but that somebody gave up.
pub const WEAK: Weak = Weak {
    decided_ms: 0,
    floor_ms: None,
    cause: HangupCause::TimeoutCleanup,
    if_answered: Outcome::Completed,
    stated_end_ms: None,
};

/// What a signal may carry besides its claim.
pub trait Carry: Sized {
    fn untold(self) -> Self;
    fn received(self, seconds: i64) -> Self;
    fn sequence(self, sequence: impl Into<Option<i64>>) -> Self;
    fn detail(self, field: Field, value: &str) -> Self;
    fn link(self, rank: LinkRank, lead_id: &str) -> Self;
}

impl Carry for Signal {
    fn untold(self) -> Self {
        Self { at: None, ..self }
    }

    fn received(self, seconds: i64) -> Self {
        Self { received_ms: seconds * SECOND, ..self }
    }

    fn sequence(self, sequence: impl Into<Option<i64>>) -> Self {
        Self { sequence: sequence.into(), ..self }
    }

    fn detail(mut self, field: Field, value: &str) -> Self {
        self.details.insert(field, value.into());
        self
    }

    fn link(self, rank: LinkRank, lead_id: &str) -> Self {
        Self { link: Some(Link { rank, lead_id: lead_id.into() }), ..self }
    }
}

/// Seconds in milliseconds, as rows have them.
pub const fn at(seconds: i64) -> Option<Millis> {
    Some(seconds * SECOND)
}
