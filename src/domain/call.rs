//! A call: a product of registers, and the only place that decides what a signal means.
//!
//! Each signal becomes a small state (`inject`), states are joined, and the row everybody sees is a pure
//! [`Call::read`] of the joined state. The join keeps the best of a total key per register, so any order and any
//! duplication of the same signals ends in the same row (`docs/calls.md` has the table).

use super::{
    register::{DetailKey, LinkKey, Max, Min, Quality, Reached, SecondsKey, ToldBy, ToldKey, UNNUMBERED},
    signal::{Claim, Field, Identity, Link, Signal, Told, Weak, Witness},
    state::{HangupCause, Live, Outcome, Resolution, Status},
    time::{Millis, SECOND, seconds_between},
    words,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The registers. An empty one knows nothing of the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    #[serde(skip_serializing_if = "Max::is_empty")]
    live: Max<Live>,
    /// What an import or an operator says of a live call: shown, but never evidence.
    #[serde(skip_serializing_if = "Max::is_empty")]
    stated: Max<Live>,
    #[serde(skip_serializing_if = "Max::is_empty")]
    alive_ms: Max<Millis>,
    #[serde(skip_serializing_if = "Min::is_empty")]
    created_ms: Min<Millis>,
    #[serde(skip_serializing_if = "Min::is_empty")]
    initiated: Min<Reached>,
    #[serde(skip_serializing_if = "Min::is_empty")]
    ringing: Min<Reached>,
    #[serde(skip_serializing_if = "Min::is_empty")]
    answered: Min<Reached>,
    #[serde(skip_serializing_if = "Max::is_empty")]
    told: Max<ToldKey>,
    #[serde(skip_serializing_if = "Max::is_empty")]
    seconds: Max<SecondsKey>,
    #[serde(skip_serializing_if = "Max::is_empty")]
    absent: Max<Weak>,
    #[serde(skip_serializing_if = "Max::is_empty")]
    manual: Max<Weak>,
    #[serde(skip_serializing_if = "Max::is_empty")]
    inferred: Max<Weak>,
    #[serde(skip_serializing_if = "Min::is_empty")]
    link: Min<LinkKey>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<Field, Min<DetailKey>>,
}

/// What the world sees of a call: a pure read of its registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The public state.
    pub status: Status,
    /// How the ending is known; `None` while the call lives.
    pub resolution: Option<Resolution>,
    /// Whether `ended_at_ms` is our estimate and not the provider's word.
    pub estimated: bool,
    /// The latest moment the call can have ended, where `ended_at_ms` is estimated.
    pub ended_at_max_ms: Option<Millis>,
    /// Why it ended.
    pub hangup_cause: Option<HangupCause>,
    /// When we first heard of it.
    pub created_at_ms: Millis,
    /// When dialing began.
    pub initiated_at_ms: Option<Millis>,
    /// When it rang.
    pub ringing_at_ms: Option<Millis>,
    /// When it was answered, never after the end.
    pub answered_at_ms: Option<Millis>,
    /// When it ended.
    pub ended_at_ms: Option<Millis>,
    /// Seconds of conversation; `None` while the call lives.
    pub talk_seconds: Option<i64>,
    /// The provider's last sign of life.
    pub alive_ms: Option<Millis>,
    /// Whether the provider said, in any way, that it was answered.
    pub answered: bool,
    /// Whose call it is.
    pub link: Option<Link>,
}

/// Whether another row tells what becomes of a call: it was merged into that one. A leg of the call it was merged into is
/// none such: its own channel lives on there, and it ends by itself.
pub const fn is_replaced(merged_into: Option<&str>, parent_id: Option<&str>) -> bool {
    merged_into.is_some() && parent_id.is_none()
}

words! {
    /// What a signal did to a call.
    pub enum Step {
        /// The status changed.
        Moved = "moved",
        /// Facts were added; the status is the same.
        Noted = "noted",
        /// The signal was known already.
        Repeated = "repeated",
        /// A lower claim after a higher one. It may still have filled a missing time.
        Late = "late",
        /// A standing ending changed, or a call that was given up lives again.
        Corrected = "corrected",
        /// A status word nobody knows: stored, counted, otherwise ignored.
        Refused = "refused",
    }
}

/// The ending that counts.
enum Standing<'a> {
    Told(&'a ToldKey),
    Weak(Resolution, &'a Weak, Outcome),
    None,
}

impl Call {
    /// Absorbs a signal the call has not seen and says what it did.
    /// (A known identity is `Step::Repeated`; whoever keeps the signals knows that before asking.)
    pub fn absorb(&mut self, signal: &Signal) -> Step {
        let before = (self != &Self::default()).then(|| self.read());
        let lower = self.claim_is_lower(signal);
        self.join(Self::inject(signal));
        if matches!(signal.claim, Claim::Unknown(_)) {
            return Step::Refused;
        }
        let after = self.read();
        let Some(before) = before else { return Step::Moved };
        let ending = |row: &Row| (row.status, row.resolution, row.ended_at_ms, row.hangup_cause);
        if before.status.is_ended() && ending(&before) != ending(&after) {
            Step::Corrected
        } else if before.status != after.status {
            Step::Moved
        } else if lower {
            Step::Late
        } else {
            Step::Noted
        }
    }

    /// The state that a set of signals makes. Duplicates must have been merged before: of two signals with one
    /// identity the one received first counts.
    pub fn fold<'a>(signals: impl IntoIterator<Item = &'a Signal>) -> Self {
        let mut call = Self::default();
        for signal in signals {
            call.join(Self::inject(signal));
        }
        call
    }

    /// Whether the claim lies behind what is known: a live claim below the rank reached or after an ending,
    /// or an ending that does not replace the one that stands.
    fn claim_is_lower(&self, signal: &Signal) -> bool {
        let ended = !matches!(self.standing(), Standing::None);
        match &signal.claim {
            Claim::Live(live) => ended || self.live.0.max(self.stated.0) > Some(*live),
            Claim::Alive | Claim::Ended(_) | Claim::GivenUp(_) => ended,
            Claim::Recording | Claim::AnsweredBy | Claim::Link | Claim::Unknown(_) => false,
        }
    }

    /// One signal as a state.
    pub fn inject(signal: &Signal) -> Self {
        let at = signal.effective_ms();
        let mut call = Self { created_ms: Min::of(signal.received_ms), ..Self::default() };
        match &signal.claim {
            Claim::Live(live) => call.inject_live(*live, signal),
            Claim::Alive => call.inject_alive(signal),
            Claim::Ended(told) => call.inject_told(*told, signal),
            Claim::GivenUp(weak) => call.inject_weak(*weak, signal.witness),
            Claim::Recording | Claim::AnsweredBy | Claim::Link | Claim::Unknown(_) => {}
        }
        for (field, value) in &signal.details {
            call.details.insert(*field, Min::of((signal.witness, at, value.clone())));
        }
        if let Some(link) = &signal.link {
            call.link = Min::of((link.rank, signal.witness, at, link.lead_id.clone()));
        }
        call
    }

    fn inject_live(&mut self, live: Live, signal: &Signal) {
        let quality = match (signal.witness, signal.at) {
            (Witness::Callback, Some(_)) => Quality::Told,
            (Witness::Callback, None) => Quality::Received,
            (Witness::Reconciled, _) => Quality::Estimated,
            (Witness::Manual, _) => {
                self.stated = Max::of(live);
                return;
            }
            // Who infers, or misses a call in a list, cannot claim that it lives.
            (Witness::Absent | Witness::Inferred, _) => return,
        };
        let at = signal.effective_ms();
        self.live = Max::of(live);
        self.alive_ms = Max::of(at);
        let told = quality != Quality::Estimated;
        match live {
            Live::Queued => {}
            Live::Initiated if told => self.initiated = Min::of((quality, at)),
            Live::Ringing if told => self.ringing = Min::of((quality, at)),
            // A provider that is asked says what is, not since when.
            Live::Initiated | Live::Ringing => {}
            Live::Answered => self.answered = Min::of((quality, at)),
        }
    }

    fn inject_alive(&mut self, signal: &Signal) {
        match signal.witness {
            Witness::Callback | Witness::Reconciled => self.alive_ms = Max::of(signal.effective_ms()),
            Witness::Absent | Witness::Manual | Witness::Inferred => {}
        }
    }

    fn inject_told(&mut self, told: Told, signal: &Signal) {
        let by = match signal.witness {
            Witness::Callback => ToldBy::Callback,
            Witness::Reconciled => ToldBy::Reconciled,
            // Only the provider can tell an ending; the others give up (`Claim::GivenUp`).
            Witness::Absent | Witness::Manual | Witness::Inferred => return,
        };
        let (at, sequence) = (signal.effective_ms(), signal.sequence.unwrap_or(UNNUMBERED));
        let Told { outcome, seconds, cause } = told;
        let identity = signal.identity();
        self.told = Max::of(ToldKey { by, sequence, at, outcome, told: signal.at.is_some(), cause, identity });
        // Fewer than no seconds are none: they would put the answer after the end.
        if let (Outcome::Completed, Some(value @ 0..)) = (outcome, seconds) {
            self.seconds = Max::of(SecondsKey { by, sequence, at, value });
        }
    }

    fn inject_weak(&mut self, weak: Weak, witness: Witness) {
        match witness {
            Witness::Absent => self.absent = Max::of(weak),
            Witness::Manual => self.manual = Max::of(weak),
            Witness::Inferred => self.inferred = Max::of(weak),
            // The provider does not give up; it tells.
            Witness::Callback | Witness::Reconciled => {}
        }
    }

    /// Joins what two states know. Associative, commutative, idempotent.
    pub fn join(&mut self, other: Self) {
        // Named without `..`, so that a new register cannot be forgotten here.
        let Self {
            live,
            stated,
            alive_ms,
            created_ms,
            initiated,
            ringing,
            answered,
            told,
            seconds,
            absent,
            manual,
            inferred,
            link,
            details,
        } = other;
        self.live.join(live);
        self.stated.join(stated);
        self.alive_ms.join(alive_ms);
        self.created_ms.join(created_ms);
        self.initiated.join(initiated);
        self.ringing.join(ringing);
        self.answered.join(answered);
        self.told.join(told);
        self.seconds.join(seconds);
        self.absent.join(absent);
        self.manual.join(manual);
        self.inferred.join(inferred);
        self.link.join(link);
        for (field, detail) in details {
            self.details.entry(field).or_default().join(detail);
        }
    }

    /// The told ending, else the best weak one that no later sign of life voids.
    fn standing(&self) -> Standing<'_> {
        if let Some(told) = &self.told.0 {
            return Standing::Told(told);
        }
        let weak = [
            (Resolution::Reconciled, &self.absent, Outcome::NoAnswer),
            (Resolution::Manual, &self.manual, Outcome::Failed),
            (Resolution::Inferred, &self.inferred, Outcome::Failed),
        ];
        for (resolution, register, unanswered) in weak {
            if let Some(weak) = &register.0
                && self.alive_ms.0.is_none_or(|alive| weak.decided_ms >= alive)
            {
                return Standing::Weak(resolution, weak, if self.answered() { weak.if_answered } else { unanswered });
            }
        }
        Standing::None
    }

    /// Whether the provider said that somebody or something picked up.
    fn answered(&self) -> bool {
        self.live.0 >= Some(Live::Answered) || self.seconds.0.as_ref().is_some_and(|s| s.value > 0)
    }

    /// The signal that told the ending, if the provider told one.
    pub fn told_by(&self) -> Option<Identity> {
        self.told.0.as_ref().map(|told| told.identity)
    }

    /// The fact that stands for a field.
    pub fn detail(&self, field: Field) -> Option<&str> {
        self.details.get(&field)?.0.as_ref().map(|(_, _, value)| value.as_str())
    }

    /// Drops the facts that `personal` names; whether there were any. No other register holds what was said of a person.
    pub fn forget(&mut self, personal: impl Fn(Field, &str) -> bool) -> bool {
        let before = self.details.len();
        self.details.retain(|field, fact| fact.0.as_ref().is_none_or(|(.., value)| !personal(*field, value)));
        self.details.len() < before
    }

    /// The row everybody sees.
    pub fn read(&self) -> Row {
        let live = self.live.0.max(self.stated.0).unwrap_or(Live::Queued);
        let row = Row {
            status: live.into(),
            resolution: None,
            estimated: false,
            ended_at_max_ms: None,
            hangup_cause: None,
            created_at_ms: self.created_ms.0.unwrap_or_default(),
            initiated_at_ms: self.initiated.0.map(|(_, at)| at),
            ringing_at_ms: self.ringing.0.map(|(_, at)| at),
            answered_at_ms: self.answered.0.map(|(_, at)| at),
            ended_at_ms: None,
            talk_seconds: None,
            alive_ms: self.alive_ms.0,
            answered: self.answered(),
            link: self.link.0.as_ref().map(|(rank, _, _, lead_id)| Link { rank: *rank, lead_id: lead_id.clone() }),
        };
        match self.standing() {
            Standing::None => row,
            Standing::Told(told) => self.read_told(row, told),
            Standing::Weak(resolution, weak, outcome) => Self::read_weak(row, resolution, weak, outcome),
        }
    }

    fn read_told(&self, row: Row, told: &ToldKey) -> Row {
        let ended = told.at;
        let seconds = self.seconds.0.as_ref().filter(|_| told.outcome == Outcome::Completed).map(|s| s.value);
        let counted_back = || seconds.filter(|s| *s != 0).map(|s| ended.saturating_sub(s.saturating_mul(SECOND)));
        let answered = match self.answered.0 {
            Some((Quality::Told | Quality::Received, at)) => Some(at.min(ended)),
            Some((Quality::Estimated, at)) => counted_back().or_else(|| Some(at.min(ended))),
            None => counted_back(),
        };
        Row {
            status: told.outcome.into(),
            resolution: Some(match told.by {
                ToldBy::Callback => Resolution::Callback,
                ToldBy::Reconciled => Resolution::Reconciled,
            }),
            estimated: !told.told,
            hangup_cause: Some(told.cause),
            answered_at_ms: answered,
            ended_at_ms: Some(ended),
            talk_seconds: seconds.or_else(|| Some(answered.map_or(0, |from| seconds_between(from, ended)))),
            ..row
        }
    }

    fn read_weak(row: Row, resolution: Resolution, weak: &Weak, outcome: Outcome) -> Row {
        // The last sign of life, so that the end does not depend on how late we looked.
        let sign = row.alive_ms.max(weak.floor_ms).unwrap_or(row.created_at_ms);
        let ended = weak.stated_end_ms.unwrap_or(sign).min(weak.decided_ms);
        let estimated = weak.stated_end_ms.is_none();
        let answered = row.answered_at_ms.map(|at| at.min(ended));
        Row {
            status: outcome.into(),
            resolution: Some(resolution),
            estimated,
            ended_at_max_ms: estimated.then_some(weak.decided_ms),
            hangup_cause: Some(weak.cause),
            answered_at_ms: answered,
            ended_at_ms: Some(ended),
            talk_seconds: Some(answered.map_or(0, |from| seconds_between(from, ended))),
            ..row
        }
    }
}
