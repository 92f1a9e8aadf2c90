//! All that is known of one PBX: channels, calls, bridges; and the few ways in which they change.

use super::{
    bounds::{CHANNELS_MAX, Tombstones},
    conversation::{Bridge, Conversation, HOLD_MS},
    leg::{Channel, DOWN, RING, RINGING, Sight, UP},
    name::{self, ChannelName},
    outcome::{self, DialWord, Ending},
    placed::Placed,
    tell::{Facts, Moment, Teller, fact},
};
use crate::domain::{
    signal::{Claim, Field, Told, Witness},
    state::{Direction, Live, Outcome},
    time::Millis,
};
use std::collections::{BTreeMap, BTreeSet};

/// The state of the correlator.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pub channels: BTreeMap<String, Channel>,
    pub calls: BTreeMap<String, Conversation>,
    pub bridges: BTreeMap<String, Bridge>,
    pub stones: Tombstones,
    /// The calls that we asked for, and of which no channel was seen yet.
    pub placed: BTreeMap<String, Placed>,
    /// The calls that are held back, by when they are due; an entry may be outdated, the call knows.
    held: BTreeSet<(Millis, String)>,
    pub teller: Teller,
    /// The extension that a hint gives a device.
    pub hints: BTreeMap<String, String>,
    /// Whether something had to be left out, so that only a new channel list helps.
    pub is_crowded: bool,
}

impl Book {
    pub(super) fn new(account: String) -> Self {
        Self {
            channels: BTreeMap::new(),
            calls: BTreeMap::new(),
            bridges: BTreeMap::new(),
            stones: Tombstones::default(),
            placed: BTreeMap::new(),
            held: BTreeSet::new(),
            teller: Teller::new(account),
            hints: BTreeMap::new(),
            is_crowded: false,
        }
    }

    /// Takes what a message says of a channel. False: it is over, or there are too many.
    pub(super) fn see(&mut self, sight: Sight<'_>, now: Moment) -> bool {
        if self.stones.holds(sight.uniqueid) {
            return false;
        }
        if !self.channels.contains_key(sight.uniqueid) && !self.begin(sight, now) {
            return false;
        }
        if let Some(linkedid) = sight.linkedid {
            self.relink(sight.uniqueid, linkedid, now);
        }
        if let Some(channel) = self.channels.get_mut(sight.uniqueid) {
            channel.alive_ms = channel.alive_ms.max(now.at_ms);
            channel.missing_ms = None;
            if channel.name.is_empty() {
                sight.name.clone_into(&mut channel.name);
            }
            if let Some(call) = self.calls.get_mut(&channel.linkedid) {
                call.alive_ms = call.alive_ms.max(now.at_ms);
            }
        }
        if let Some(state) = sight.state {
            self.reach_state(sight, state, now);
        }
        true
    }

    /// A channel that was not known.
    fn begin(&mut self, sight: Sight<'_>, now: Moment) -> bool {
        if self.channels.len() >= CHANNELS_MAX {
            self.is_crowded = true;
            return false;
        }
        let Sight { uniqueid, name, state, .. } = sight;
        let linkedid = sight.linkedid.unwrap_or(uniqueid);
        let mut channel = Channel {
            name: name.to_owned(),
            linkedid: linkedid.to_owned(),
            local: ChannelName::read(name).is_local(),
            canceled: self.placed.remove(uniqueid).is_some_and(|placed| placed.canceled),
            began_ms: now.at_ms,
            heard_ms: now.received_ms,
            alive_ms: now.at_ms,
            ..Channel::default()
        };
        let is_root = channel.is_root(uniqueid);
        // What waits for an answer is a caller; the half of a Local channel that runs the dialplan looks like one.
        channel.dialed =
            !channel.local && if is_root { matches!(state, Some(DOWN | RINGING)) } else { state != Some(RING) };
        let call = Self::open(&mut self.calls, linkedid, now);
        call.channels.insert(uniqueid.to_owned());
        call.due_ms = None;
        // Met while it speaks: what became of it before, nobody told.
        call.is_partly_known |= state == Some(UP) && !sight.is_change;
        let (dialed, local) = (channel.dialed, channel.local);
        let tally = call.tally_of(local);
        tally.seen = true;
        tally.dialed |= dialed && !is_root;
        self.channels.insert(uniqueid.to_owned(), channel);
        self.introduce(sight);
        true
    }

    /// The call of this Linkedid.
    pub(super) fn open<'c>(
        calls: &'c mut BTreeMap<String, Conversation>,
        linkedid: &str,
        now: Moment,
    ) -> &'c mut Conversation {
        let new = || Conversation { began_ms: now.at_ms, alive_ms: now.at_ms, ..Conversation::default() };
        calls.entry(linkedid.to_owned()).or_insert_with(new)
    }

    /// Notes who it is, for the first signal of its row.
    fn introduce(&mut self, sight: Sight<'_>) {
        let Sight { uniqueid, state, number, exten, .. } = sight;
        let extension = self.extension_of(uniqueid);
        let Some(channel) = self.channels.get(uniqueid) else { return };
        let endpoint = channel.endpoint();
        let party = (!channel.local && name::is_dialable(endpoint)).then(|| endpoint.to_owned());
        let mut facts = Facts::new();
        let mut note = |field, value: Option<&str>| {
            if let Some(value) = value.and_then(fact) {
                facts.insert(field, value.to_owned());
            }
        };
        note(Field::Extension, extension.as_deref());
        if channel.is_leg(uniqueid) {
            note(Field::ParentId, Some(&channel.linkedid));
            note(Field::Direction, Some(Direction::OutboundDial.as_str()));
            note(Field::To, party.as_deref());
        } else if channel.is_root(uniqueid) {
            match state {
                Some(RING) => {
                    note(Field::Direction, Some(Direction::Inbound.as_str()));
                    note(Field::From, number.or(party.as_deref()));
                    note(Field::To, exten.and_then(name::dialed_exten));
                }
                Some(DOWN | RINGING) => {
                    note(Field::Direction, Some(Direction::OutboundApi.as_str()));
                    note(Field::To, party.as_deref());
                }
                // Met in the middle: it may be either.
                Some(_) | None => note(Field::From, number.or(party.as_deref())),
            }
        }
        if let Some(waiting) = self.facts_of(uniqueid) {
            waiting.extend(facts);
        }
    }

    /// The extension of a channel: by its hint, or because its endpoint is named so.
    fn extension_of(&self, uniqueid: &str) -> Option<String> {
        let channel = self.channels.get(uniqueid).filter(|channel| !channel.local)?;
        let name = ChannelName::read(&channel.name);
        let hinted = self.hints.get(&format!("{}/{}", name.tech, name.endpoint));
        hinted.cloned().or_else(|| name::is_extension(name.endpoint).then(|| name.endpoint.to_owned()))
    }

    /// The facts that wait for the next signal of a channel's row.
    pub(super) fn facts_of(&mut self, uniqueid: &str) -> Option<&mut Facts> {
        let channel = self.channels.get_mut(uniqueid)?;
        if channel.is_root(uniqueid) {
            return self.calls.get_mut(uniqueid).map(|call| &mut call.facts);
        }
        Some(&mut channel.facts)
    }

    /// What follows from the state of a channel.
    fn reach_state(&mut self, sight: Sight<'_>, state: u8, now: Moment) {
        let Some(channel) = self.channels.get_mut(sight.uniqueid) else { return };
        let is_root = channel.is_root(sight.uniqueid);
        if state == UP && channel.up_ms.is_none() {
            channel.up_ms = Some(now.at_ms);
        }
        let is_placed = is_root && channel.dialed && !channel.local && state == RINGING;
        // The number that was given with the Originate; where none was, it is the endpoint's own.
        let number = sight.number.and_then(fact).filter(|number| is_placed && *number != channel.endpoint());
        if let (Some(number), Some(call)) = (number, self.calls.get_mut(sight.uniqueid)) {
            call.facts.insert(Field::From, number.to_owned());
        }
        match state {
            UP if !is_root => self.reach(sight.uniqueid, Live::Answered, now),
            // The far phone rings, or a caller waits: either way the call is ringing.
            RING | RINGING => self.reach(sight.uniqueid, Live::Ringing, now),
            DOWN => {}
            _ => self.reach(sight.uniqueid, Live::Initiated, now),
        }
    }

    /// The row of a channel has come this far. Nothing is said twice.
    pub(super) fn reach(&mut self, uniqueid: &str, live: Live, now: Moment) {
        let Some(channel) = self.channels.get_mut(uniqueid) else { return };
        if channel.is_root(uniqueid) {
            self.reach_call(uniqueid, live, now);
            return;
        }
        if channel.local || channel.told >= Some(live) {
            return;
        }
        channel.told = Some(live);
        let facts = std::mem::take(&mut channel.facts);
        self.teller.say(uniqueid, Claim::Live(live), facts, now);
        // The call of a leg has a row as well, even if its own channel was never seen.
        let linkedid = self.channels.get(uniqueid).map(|channel| channel.linkedid.clone()).unwrap_or_default();
        self.reach_call(&linkedid, live.min(Live::Ringing), now);
    }

    /// The call as a whole has come this far.
    pub(super) fn reach_call(&mut self, linkedid: &str, live: Live, now: Moment) {
        let Some(call) = self.calls.get_mut(linkedid) else { return };
        if call.over || call.told >= Some(live) {
            return;
        }
        call.told = Some(live);
        let facts = std::mem::take(&mut call.facts);
        self.teller.say(linkedid, Claim::Live(live), facts, now);
    }

    /// A called party of this call answered.
    pub(super) fn answer(&mut self, linkedid: &str, local: bool, now: Moment) {
        let Some(call) = self.calls.get_mut(linkedid) else { return };
        let tally = call.tally_of(local);
        tally.answered_ms = tally.answered_ms.or(Some(now.at_ms));
        if !local {
            self.reach_call(linkedid, Live::Answered, now);
        }
    }

    /// The channel hung up.
    pub(super) fn hang_up(&mut self, uniqueid: &str, cause: u16, now: Moment) {
        self.leave_bridge(uniqueid, now);
        let is_own = self.extension_of(uniqueid).is_some();
        let Some(mut channel) = self.channels.remove(uniqueid) else { return };
        self.stones.bury(uniqueid, now.received_ms);
        let linkedid = channel.linkedid.clone();
        let call = Self::open(&mut self.calls, &linkedid, now);
        let asked = call.parties.caller.asked || channel.canceled;
        let ending = Ending { up: channel.up_ms.is_some(), word: channel.word, cause, asked };
        let outcome = outcome::of_leg(ending);
        call.canceled |= channel.canceled;
        let is_root = channel.is_root(uniqueid);
        // An agent who was called first, and whose dial to the customer then came to nothing, not even to a channel.
        let is_whole = !call.is_partly_known && !call.has_gap;
        if is_root && is_own && channel.dialed && ending.up && !channel.spoke && is_whole {
            call.facts.insert(Field::Bridged, UNHEARD.to_owned());
        }
        let tally = call.tally_of(channel.local);
        tally.ended = Some(now);
        if channel.dialed {
            if !channel.forwarded {
                tally.note(outcome, cause, channel.word, channel.up_ms);
            }
        } else if is_root || tally.caller.cause.is_none() {
            let caller = &mut tally.caller;
            (caller.cause, caller.up_ms, caller.ended_ms) = (Some(cause), channel.up_ms, now.at_ms);
        }
        call.channels.remove(uniqueid);
        if call.channels.is_empty() {
            self.hold(&linkedid, now, now.received_ms.saturating_add(HOLD_MS));
        }
        if channel.is_leg(uniqueid) {
            // It picked up, but its dial went on or was given up: whoever asked it first was not put through.
            if ending.up && !channel.spoke && channel.word.is_some_and(|word| word != DialWord::Answer) {
                channel.facts.insert(Field::Bridged, UNHEARD.to_owned());
            }
            let told = Told { outcome, seconds: None, cause: outcome::why(outcome, cause) };
            self.teller.say(uniqueid, Claim::Ended(told), channel.facts, now);
        }
        self.settle_talk(&linkedid, now.at_ms);
    }

    /// An originate that failed, of a channel nobody has seen. It may still be seen, if its messages come later.
    pub(super) fn refuse(&mut self, uniqueid: &str, outcome: Outcome, facts: Facts, now: Moment) {
        let placed = self.placed.remove(uniqueid);
        let call = Self::open(&mut self.calls, uniqueid, now);
        call.refused = Some(outcome);
        call.canceled |= placed.is_some_and(|placed| placed.canceled);
        call.facts.extend(facts);
        self.hold(uniqueid, now, now.received_ms.saturating_add(HOLD_MS));
    }

    /// A call has ended; it is told when it is due.
    pub(super) fn hold(&mut self, linkedid: &str, ended: Moment, due_ms: Millis) {
        if let Some(call) = self.calls.get_mut(linkedid) {
            (call.ended, call.due_ms) = (Some(ended), Some(due_ms));
            self.held.insert((due_ms, linkedid.to_owned()));
        }
    }

    /// When the next call is due.
    pub(super) fn due_ms(&self) -> Option<Millis> {
        self.held.first().map(|(due_ms, _)| *due_ms)
    }

    /// Tells the calls that ended and were held back for long enough.
    pub(super) fn settle(&mut self, now_ms: Millis) {
        // None is held for longer: what is due later was held back before our clock was set back.
        while self.held.last().is_some_and(|(due_ms, _)| *due_ms > now_ms.saturating_add(HOLD_MS)) {
            let Some((due_ms, linkedid)) = self.held.pop_last() else { break };
            if self.calls.get(&linkedid).is_some_and(|call| call.due_ms == Some(due_ms)) {
                self.end(&linkedid);
            }
        }
        while let Some((due_ms, linkedid)) = self.held.pop_first() {
            if due_ms > now_ms {
                self.held.insert((due_ms, linkedid));
                break;
            }
            if self.calls.get(&linkedid).is_some_and(|call| call.due_ms == Some(due_ms)) {
                self.end(&linkedid);
            }
        }
        for id in self.stones.prune(now_ms) {
            if self.calls.get(&id).is_some_and(|call| call.channels.is_empty() && call.due_ms.is_none()) {
                self.calls.remove(&id);
            }
        }
    }

    /// Tells the ending of a call, once.
    fn end(&mut self, linkedid: &str) {
        let Some(call) = self.calls.get_mut(linkedid) else { return };
        call.due_ms = None;
        let Some(ended) = call.ended.filter(|_| !call.over) else { return };
        let judgement = call.judge();
        call.over = true;
        if let Some(older) = &call.moved_to {
            call.facts.insert(Field::MergedInto, older.clone());
        }
        let is_told = call.told >= Some(Live::Answered);
        let facts = std::mem::take(&mut call.facts);
        self.stones.bury(linkedid, ended.received_ms);
        if let Some(answered_ms) = judgement.answered_ms.filter(|_| !is_told) {
            self.teller.say(linkedid, Claim::Live(Live::Answered), Facts::new(), ended.at(answered_ms));
        }
        let ended = Moment { witness: Witness::Callback, ..ended };
        self.teller.say(linkedid, Claim::Ended(judgement.told), facts, ended);
    }
}

/// The word of a row that picked up and was never in a bridge with anybody.
const UNHEARD: &str = "false";
