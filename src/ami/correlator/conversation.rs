//! A call as a whole: the channels of one Linkedid, what became of its dials, and who spoke for how long.

use super::{
    outcome::{self, DialWord},
    tell::{Facts, Moment},
};
use crate::domain::{
    signal::Told,
    state::{Live, Outcome},
    time::{Millis, seconds_between},
};
use std::collections::{BTreeMap, BTreeSet};

/// A call that lives, or ended a moment ago.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    /// Its channels that live.
    pub channels: BTreeSet<String>,
    /// How far its row was told to be.
    pub told: Option<Live>,
    /// Facts for the next signal of its row.
    pub facts: Facts,
    /// What became of its phones and trunks.
    pub parties: Tally,
    /// What became of its Local channels: it counts only where there is nothing else.
    pub wires: Tally,
    /// Whether it waited in a queue, and whether it still does.
    pub queued: Option<bool>,
    /// How its originate failed, if no channel was ever seen of it.
    pub refused: Option<Outcome>,
    /// Whether its end is ours: we took back what we had placed.
    pub canceled: bool,
    /// Whether it was going on before we listened, so that not all of it is known.
    pub is_partly_known: bool,
    /// Whether the connection was gone for a while in it: a dial may have come and gone unheard.
    pub has_gap: bool,
    /// The older call that took over its channels.
    pub moved_to: Option<String>,
    /// When its last channel hung up.
    pub ended: Option<Moment>,
    /// When that is told, by our clock.
    pub due_ms: Option<Millis>,
    /// Nothing more is told of it: its ending was, or its row is a leg of another call.
    pub over: bool,
    /// When it began, as far as we know.
    pub began_ms: Millis,
    /// When it was last seen alive.
    pub alive_ms: Millis,
}

/// What became of the channels of one kind in a call.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Whether there were any.
    pub seen: bool,
    /// Whether somebody was dialed other than by the originate that made the call.
    pub dialed: bool,
    /// When a called party answered.
    pub answered_ms: Option<Millis>,
    /// When a dialed one was Up and no word said otherwise.
    pub picked_up_ms: Option<Millis>,
    /// Whether the caller asked for the end while somebody was being dialed, or while it waited.
    pub given_up: bool,
    /// How the dialed ones ended: busy; failed, by this cause; canceled; not answered.
    pub busy: bool,
    pub failed: Option<u16>,
    pub canceled: bool,
    pub unanswered: bool,
    /// The channel that dialed: whether it asked for the end, since when it was Up, and its end.
    pub caller: Caller,
    /// The time that was spoken.
    pub talk: Talk,
    /// The last `Hangup` among them.
    pub ended: Option<Moment>,
}

/// The channel that was not dialed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Caller {
    pub asked: bool,
    pub cause: Option<u16>,
    pub up_ms: Option<Millis>,
    pub ended_ms: Millis,
}

/// The time two parties were in one bridge. Spans that overlap count once: a forwarded call runs through two bridges.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Talk {
    since_ms: Option<Millis>,
    spoken_ms: Millis,
}

impl Talk {
    /// Notes whether somebody speaks from this moment on.
    pub(super) fn set(&mut self, speaking: bool, at_ms: Millis) {
        match (self.since_ms, speaking) {
            (None, true) => self.since_ms = Some(at_ms),
            (Some(since_ms), false) => {
                self.spoken_ms = self.spoken_ms.saturating_add(at_ms.saturating_sub(since_ms).max(0));
                self.since_ms = None;
            }
            (Some(_), true) | (None, false) => {}
        }
    }

    /// Who speaks now began at this moment, if that is earlier than was known.
    pub(super) fn backdate(&mut self, at_ms: Millis) {
        self.since_ms = self.since_ms.map(|since_ms| since_ms.min(at_ms));
    }

    pub(super) const fn is_on(&self) -> bool {
        self.since_ms.is_some()
    }
}

impl Tally {
    /// Notes how a dialed channel ended.
    pub(super) fn note(&mut self, outcome: Outcome, cause: u16, word: Option<DialWord>, up_ms: Option<Millis>) {
        match outcome {
            Outcome::Completed => {
                if matches!(word, None | Some(DialWord::Answer)) {
                    self.picked_up_ms = self.picked_up_ms.or(up_ms);
                }
            }
            Outcome::Busy => self.busy = true,
            Outcome::Failed => self.failed = self.failed.or(Some(cause)),
            Outcome::Canceled => self.canceled = true,
            Outcome::NoAnswer => self.unanswered = true,
        }
    }

    /// How a call nobody answered ended, where somebody was dialed.
    fn unanswered(&self) -> (Outcome, u16) {
        let all_canceled = self.canceled && !self.busy && self.failed.is_none() && !self.unanswered;
        if self.given_up || (all_canceled && self.caller.up_ms.is_none()) {
            (Outcome::Canceled, 0)
        } else if self.busy {
            (Outcome::Busy, 17)
        } else if let Some(cause) = self.failed {
            (Outcome::Failed, cause)
        } else {
            (Outcome::NoAnswer, 0)
        }
    }

    fn has_dialed(&self) -> bool {
        self.dialed || self.busy || self.failed.is_some() || self.canceled || self.unanswered
    }
}

/// How a call ended, and when it was answered if nobody said so while it lived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub told: Told,
    pub answered_ms: Option<Millis>,
}

impl Conversation {
    /// The tally that counts: Local channels only where there is nothing else.
    pub(super) const fn tally(&self) -> &Tally {
        if self.parties.seen { &self.parties } else { &self.wires }
    }

    pub(super) const fn tally_of(&mut self, local: bool) -> &mut Tally {
        if local { &mut self.wires } else { &mut self.parties }
    }

    /// Whether a called party answered, as far as was told.
    pub(super) fn is_answered(&self) -> bool {
        self.told >= Some(Live::Answered)
    }

    /// How it ended, once all its channels have.
    pub(super) fn judge(&self) -> Judgement {
        let tally = self.tally();
        let answered_ms = tally.answered_ms.or(tally.picked_up_ms);
        if self.is_answered() || answered_ms.is_some() {
            return Judgement { told: told(Outcome::Completed, 16, self.seconds(tally, answered_ms)), answered_ms };
        }
        let refused = self.refused.filter(|_| !self.parties.seen && !self.wires.seen);
        let (outcome, cause) = if self.canceled {
            (Outcome::Canceled, 0)
        } else if let Some(outcome) = refused {
            (outcome, 0)
        } else if tally.has_dialed() || self.queued.is_some() || tally.given_up {
            tally.unanswered()
        } else if let Some(up_ms) = tally.caller.up_ms {
            // Nobody was dialed: the dialplan itself answered (Echo, voicemail, a conference). After a restart of ours or
            // a gap nobody knows whether somebody was, and a call that may never have been answered is not completed.
            if !self.is_partly_known && !self.has_gap {
                let seconds = self.seconds(tally, Some(up_ms));
                return Judgement { told: told(Outcome::Completed, 16, seconds), answered_ms: Some(up_ms) };
            }
            (Outcome::NoAnswer, 0)
        } else {
            let cause = tally.caller.cause.unwrap_or(0);
            (outcome::of_caller(cause, tally.caller.asked), cause)
        };
        Judgement { told: told(outcome, cause, None), answered_ms: None }
    }

    /// Seconds of conversation: the bridges; where nobody else was dialed, for how long it was answered.
    fn seconds(&self, tally: &Tally, answered_ms: Option<Millis>) -> Option<i64> {
        if self.is_partly_known {
            return None;
        }
        let spoken_ms = tally.talk.spoken_ms;
        if spoken_ms > 0 || tally.has_dialed() {
            return Some(seconds_between(0, spoken_ms));
        }
        let ended_ms = self.ended.map(|ended| ended.at_ms);
        answered_ms.zip(ended_ms).map(|(from_ms, to_ms)| seconds_between(from_ms, to_ms))
    }
}

const fn told(outcome: Outcome, cause: u16, seconds: Option<i64>) -> Told {
    Told { outcome, seconds, cause: outcome::why(outcome, cause) }
}

/// A bridge: where channels hear each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Bridge {
    /// Whether those in it only wait: a parking lot, an agent's pool.
    pub is_waiting_room: bool,
    /// How many are in it, by the bridge's own count: one whose entry was lost counts as well.
    pub size: u32,
    /// Those we know, and since when they are in it.
    pub members: BTreeMap<String, Millis>,
}

impl Bridge {
    /// Whether two hear each other.
    pub(super) const fn is_talk(&self) -> bool {
        self.size >= 2 && !self.is_waiting_room
    }
}

/// For how long an ending is held back: a channel may turn out to have moved to another call.
pub(super) const HOLD_MS: Millis = 2_000;
