//! Calls that we ask the PBX for. Their ids are known beforehand; until a channel is seen of one, only we know of it.

use super::{
    Correlator, Gap,
    book::Book,
    relist::judge_gap,
    tell::{Facts, Moment},
};
use crate::{
    ami::Snapshot,
    domain::{
        signal::{Claim, Field, Weak, Witness},
        state::{Direction, HangupCause, Outcome},
        time::{Millis, SECOND},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// How far asking for a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// The PBX has it.
    Accepted,
    /// There is none: it was refused, or never asked for.
    Refused,
    /// No answer was heard: there may be one.
    Lost,
}

/// A call that we asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// When.
    asked_ms: Millis,
    /// Whether the PBX said that it has it.
    accepted: bool,
    /// Whether its end was asked for as well.
    pub canceled: bool,
}

impl Correlator {
    /// A call with this id is being asked for. Said before the question is sent: its messages may come before the answer.
    pub fn originate_asked(&mut self, id: &str, now_ms: Millis) {
        if self.book.placed.len() < PLACED_MAX {
            self.book.placed.insert(id.to_owned(), Placed { asked_ms: now_ms, accepted: false, canceled: false });
        }
    }

    /// What was answered. Its messages may have come before.
    pub fn originate_answered(&mut self, id: &str, placing: Placing) {
        match placing {
            Placing::Accepted => {
                if let Some(placed) = self.book.placed.get_mut(id) {
                    placed.accepted = true;
                }
            }
            Placing::Refused => _ = self.book.placed.remove(id),
            Placing::Lost => {}
        }
    }

    /// Whether a call of this id was asked for, and no channel of it was seen yet.
    pub fn awaits(&self, id: &str) -> bool {
        self.book.placed.contains_key(id)
    }

    /// Whether one was asked for so long ago that a channel list says what became of it.
    pub fn wants_list(&self, now_ms: Millis) -> bool {
        let is_late = |placed: &Placed| placed.asked_ms.saturating_add(CHANNEL_WITHIN_MS + SECOND) <= now_ms;
        self.book.placed.values().any(is_late)
    }

    /// Goes on waiting for what an earlier correlator waited for. After [`Self::restore`].
    pub fn await_again(&mut self, earlier: &Self) {
        let is_known = |id: &String| self.book.channels.contains_key(id);
        let placed: BTreeMap<String, Placed> = earlier
            .book
            .placed
            .iter()
            .filter(|(id, _)| !is_known(id))
            .map(|(id, placed)| (id.clone(), *placed))
            .collect();
        self.book.placed.extend(placed);
    }

    /// The channels to hang up so that this leg, or this call, ends: its own; where that is gone, all that are left of it.
    pub fn channels_of(&self, provider_id: &str) -> Vec<String> {
        let own = || vec![provider_id.to_owned()];
        if self.book.channels.contains_key(provider_id) {
            return own();
        }
        let left = self.book.calls.get(provider_id).map(|call| &call.channels).filter(|channels| !channels.is_empty());
        left.map_or_else(own, |channels| channels.iter().take(HUNG_UP_MAX).cloned().collect())
    }

    /// An action of ours asks for the end of this channel: if nobody answered, its call is canceled, whatever Asterisk says.
    pub fn hangup_asked(&mut self, uniqueid: &str) {
        self.set_canceled(uniqueid, true);
    }

    /// It was refused, or never asked: what ends the channel is somebody else.
    pub fn hangup_refused(&mut self, uniqueid: &str) {
        self.set_canceled(uniqueid, false);
    }

    fn set_canceled(&mut self, uniqueid: &str, is_canceled: bool) {
        if let Some(channel) = self.book.channels.get_mut(uniqueid) {
            channel.canceled = is_canceled;
        } else if let Some(placed) = self.book.placed.get_mut(uniqueid) {
            placed.canceled = is_canceled;
        }
    }
}

impl Book {
    /// What a list lacks although the PBX had it: its channel has come and gone unheard, or there never was one. Of what the
    /// PBX may never have had nothing can be said.
    pub(super) fn miss_placed(&mut self, list: &Snapshot, gap: Gap, hung: &BTreeSet<String>, if_answered: Outcome) {
        let now = Moment { witness: Witness::Absent, ..Moment::listed(list.listed_ms) };
        let listed: BTreeSet<&str> = list.channels.iter().map(|channel| channel.uniqueid.as_str()).collect();
        let is_gone = |id: &str, placed: &Placed| {
            // Between the answer and the channel lies a moment.
            let is_due = placed.asked_ms.saturating_add(CHANNEL_WITHIN_MS) <= list.asked_ms;
            is_due && !listed.contains(id) && !hung.contains(id)
        };
        let mut gone = Vec::new();
        self.placed.retain(|id, placed| {
            let stays = !is_gone(id, placed);
            if !stays && placed.accepted {
                gone.push((id.clone(), placed.asked_ms));
            }
            stays
        });
        for (id, asked_ms) in gone {
            let weak = match gap.heard_ms {
                Some(_) => judge_gap(gap, now, if_answered, asked_ms, asked_ms),
                None => Weak {
                    decided_ms: now.at_ms.max(asked_ms),
                    floor_ms: Some(asked_ms),
                    cause: HangupCause::EndedWhileDisconnected,
                    if_answered,
                    stated_end_ms: None,
                },
            };
            let facts = Facts::from([(Field::Direction, Direction::OutboundApi.as_str().to_owned())]);
            self.teller.say(&id, Claim::GivenUp(weak), facts, now);
        }
    }
}

/// Calls that are asked for at once.
const PLACED_MAX: usize = 10_000;
/// Channels of one call that are hung up one by one.
const HUNG_UP_MAX: usize = 16;
/// How long a channel may take to be made after its call was asked for.
const CHANNEL_WITHIN_MS: Millis = 2 * SECOND;
