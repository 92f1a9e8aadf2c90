//! What each message of the stream means for channels, calls and bridges.

use super::{
    book::Book,
    bounds::short,
    conversation::{Bridge, HOLD_MS},
    leg::{DEST, OWN, Sight},
    name,
    outcome::DialWord,
    tell::{Facts, Moment, fact},
};
use crate::{
    ami::Message,
    domain::{
        signal::{Claim, Field, Witness},
        state::{Direction, Live, Outcome},
    },
};

impl Book {
    /// Takes one message.
    pub(super) fn read(&mut self, message: &Message, now: Moment) {
        let Some(event) = message.event() else { return };
        // Items of lists carry the id of the action that asked for them; a snapshot is made of those.
        let is_listed = message.action_id().is_some() && event != "OriginateResponse";
        if is_listed || LATE.contains(&event) {
            return;
        }
        match event {
            "DialBegin" | "DialState" | "DialEnd" => self.read_dial(event, message, now),
            "BridgeEnter" => self.read_bridge(message, true, now),
            "BridgeLeave" => self.read_bridge(message, false, now),
            "HangupRequest" => self.read_request(message, now),
            "Hangup" => self.read_hangup(message, now),
            "QueueCallerJoin" => self.read_queue(message, true, now),
            "QueueCallerLeave" => self.read_queue(message, false, now),
            "OriginateResponse" => self.read_originate(message, now),
            "VarSet" => self.read_variable(message, now),
            "UserEvent" => self.read_user_event(message, now),
            _ => _ = self.see_own(message, now),
        }
        self.read_channel_variables(message, now);
    }

    /// The channel a message is about, if it lives.
    fn see_own<'m>(&mut self, message: &'m Message, now: Moment) -> Option<&'m str> {
        let sight = Sight::read(message, &OWN)?;
        // A message without a state is no snapshot of a channel: it does not make one known.
        let is_known = self.channels.contains_key(sight.uniqueid);
        ((sight.state.is_some() || is_known) && self.see(sight, now)).then_some(sight.uniqueid)
    }

    fn read_dial(&mut self, event: &str, message: &Message, now: Moment) {
        let caller = self.see_own(message, now);
        let Some(sight) = Sight::read(message, &DEST) else { return };
        if !self.see(sight, now) {
            return;
        }
        let dest = sight.uniqueid;
        let status = message.value("DialStatus").unwrap_or_default();
        match event {
            "DialBegin" => self.begin_dial(message, caller, dest, now),
            "DialEnd" => self.end_dial(message, DialWord::read(status), caller, dest, now),
            _ if matches!(status, "RINGING" | "PROGRESS") => self.reach(dest, Live::Ringing, now),
            _ => {}
        }
    }

    fn begin_dial(&mut self, message: &Message, caller: Option<&str>, dest: &str, now: Moment) {
        let number = message.value("DialString").and_then(name::dialed_number).map(str::to_owned);
        let Some(channel) = self.channels.get_mut(dest) else { return };
        (channel.dialed, channel.ringing) = (true, true);
        let (is_root, local, linkedid) = (channel.is_root(dest), channel.local, channel.linkedid.clone());
        if let Some(call) = self.calls.get_mut(&linkedid) {
            call.tally_of(local).dialed |= !is_root;
        }
        let from = caller.and_then(|_| message.value("CallerIDNum")).and_then(fact).map(str::to_owned);
        if let Some(facts) = self.facts_of(dest) {
            facts.extend(number.map(|number| (Field::To, number)));
            facts.extend(from.map(|from| (Field::From, from)));
            if is_root && caller.is_none() {
                facts.insert(Field::Direction, Direction::OutboundApi.as_str().to_owned());
            }
        }
        self.reach(dest, Live::Initiated, now);
    }

    fn end_dial(&mut self, message: &Message, word: DialWord, caller: Option<&str>, dest: &str, now: Moment) {
        let Some(channel) = self.channels.get_mut(dest) else { return };
        (channel.dialed, channel.ringing) = (true, false);
        channel.word = channel.word.or(Some(word));
        channel.forwarded |= message.value("Forward").is_some();
        if word != DialWord::Answer {
            return;
        }
        let (local, linkedid) = (channel.local, channel.linkedid.clone());
        channel.up_ms = channel.up_ms.or(Some(now.at_ms));
        self.reach(dest, Live::Answered, now);
        // Who picks a call up has a Linkedid of its own until it is in the bridge: both calls are answered.
        let other = caller.and_then(|caller| self.channels.get(caller)).map(|channel| channel.linkedid.clone());
        self.answer(&linkedid, local, now);
        if let Some(other) = other.filter(|other| *other != linkedid) {
            self.answer(&other, local, now);
        }
    }

    fn read_bridge(&mut self, message: &Message, enters: bool, now: Moment) {
        let (uniqueid, bridge_id) = (self.see_own(message, now), message.value("BridgeUniqueid").and_then(short));
        let (Some(uniqueid), Some(bridge_id)) = (uniqueid, bridge_id) else { return };
        if !enters {
            self.leave_bridge(uniqueid, now);
            return;
        }
        let is_elsewhere = |bridge: &String| bridge != bridge_id;
        if self.channels.get(uniqueid).and_then(|channel| channel.bridge.as_ref()).is_some_and(is_elsewhere) {
            self.leave_bridge(uniqueid, now);
        }
        let size = message.value("BridgeNumChannels").and_then(|size| size.parse().ok());
        let bridge = self.bridges.entry(bridge_id.to_owned()).or_default();
        bridge.is_waiting_room |= message.value("BridgeType").is_some_and(|kind| WAITING_ROOMS.contains(&kind))
            || message.value("BridgeTechnology") == Some("holding_bridge");
        bridge.members.entry(uniqueid.to_owned()).or_insert(now.at_ms);
        bridge.size = size.unwrap_or(0).max(u32::try_from(bridge.members.len()).unwrap_or(u32::MAX));
        if let Some(channel) = self.channels.get_mut(uniqueid) {
            channel.bridge = Some(bridge_id.to_owned());
        }
        self.settle_bridge(bridge_id, now);
    }

    /// The channel is in no bridge any more.
    pub(super) fn leave_bridge(&mut self, uniqueid: &str, now: Moment) {
        let Some(channel) = self.channels.get_mut(uniqueid) else { return };
        let linkedid = channel.linkedid.clone();
        let Some(bridge_id) = channel.bridge.take() else { return };
        if let Some(bridge) = self.bridges.get_mut(&bridge_id) {
            bridge.members.remove(uniqueid);
            bridge.size = bridge.size.saturating_sub(1);
        }
        self.settle_talk(&linkedid, now.at_ms);
        self.settle_bridge(&bridge_id, now);
        if self.bridges.get(&bridge_id).is_some_and(|bridge| bridge.members.is_empty()) {
            self.bridges.remove(&bridge_id);
        }
    }

    /// Who is in a bridge has changed: for each call in it, somebody speaks now or nobody does.
    fn settle_bridge(&mut self, bridge_id: &str, now: Moment) {
        let Some(bridge) = self.bridges.get(bridge_id) else { return };
        let members = || bridge.members.keys().filter_map(|id| self.channels.get_key_value(id));
        let mut calls: Vec<String> = members().map(|(_, channel)| channel.linkedid.clone()).collect();
        calls.sort();
        calls.dedup();
        // Two parties in one bridge, or a dialed one in any: somebody was reached, even if the word of it was lost.
        let parties = members().filter(|(_, channel)| !channel.local);
        let is_answered = bridge.is_talk() && (parties.clone().count() >= 2 || parties.clone().any(|(_, c)| c.dialed));
        for uniqueid in bridge.members.keys().filter(|_| bridge.is_talk()) {
            if let Some(channel) = self.channels.get_mut(uniqueid) {
                channel.spoke = true;
            }
        }
        for linkedid in calls {
            self.settle_talk(&linkedid, now.at_ms);
            if is_answered {
                self.answer(&linkedid, false, now);
            }
        }
    }

    /// Notes for one call whether anybody in it speaks from now on.
    pub(super) fn settle_talk(&mut self, linkedid: &str, at_ms: i64) {
        let Some(call) = self.calls.get_mut(linkedid) else { return };
        let is_speaking = |local: bool| {
            let mut channels = call.channels.iter().filter_map(|id| self.channels.get(id));
            channels.any(|channel| {
                let bridge = channel.bridge.as_ref().and_then(|id| self.bridges.get(id));
                channel.local == local && bridge.is_some_and(Bridge::is_talk)
            })
        };
        let (parties, wires) = (is_speaking(false), is_speaking(true));
        if parties && !call.parties.talk.is_on() {
            // Whoever speaks on after a channel moved away is a call of its own.
            call.moved_to = None;
        }
        call.parties.talk.set(parties, at_ms);
        call.wires.talk.set(wires, at_ms);
    }

    /// The channel belongs to another call now. No message tells that; each that names it says where it belongs.
    pub(super) fn relink(&mut self, uniqueid: &str, linkedid: &str, now: Moment) {
        let Some(channel) = self.channels.get_mut(uniqueid) else { return };
        if channel.linkedid == linkedid || channel.left.as_deref() == Some(linkedid) {
            return;
        }
        let was_root = channel.is_root(uniqueid);
        let old = std::mem::replace(&mut channel.linkedid, linkedid.to_owned());
        channel.left = Some(old.clone());
        let (bridge_id, local, dialed) = (channel.bridge.clone(), channel.local, channel.dialed);
        // They have been one since both were in one bridge.
        let merged_ms = bridge_id.and_then(|id| {
            let members = &self.bridges.get(&id)?.members;
            let of_new =
                |id: &&String| self.channels.get(*id).is_some_and(|c| c.linkedid == linkedid && *id != uniqueid);
            members.iter().filter(|(id, _)| of_new(id)).map(|(_, since_ms)| *since_ms).max()
        });
        // A list says that they are, not since when: no second is claimed that nobody saw.
        let is_listed = now.witness == Witness::Reconciled;
        let unseen_ms = self.calls.get(&old).filter(|_| is_listed).map(|call| call.alive_ms);
        let merged = now.at(merged_ms.or(unseen_ms).unwrap_or(now.at_ms).min(now.at_ms));
        let new = Self::open(&mut self.calls, linkedid, now);
        new.channels.insert(uniqueid.to_owned());
        new.due_ms = None;
        let tally = new.tally_of(local);
        tally.seen = true;
        tally.dialed |= dialed;
        if let Some(call) = self.calls.get_mut(&old) {
            call.channels.remove(uniqueid);
            call.moved_to = (!was_root).then(|| linkedid.to_owned());
            if call.channels.is_empty() && !was_root {
                self.hold(&old, merged, now.received_ms.saturating_add(HOLD_MS));
            }
        }
        self.settle_talk(&old, merged.at_ms);
        self.settle_talk(linkedid, now.at_ms);
        if was_root {
            self.adopt(uniqueid, linkedid, now);
        }
    }

    /// A call whose own channel lives on in an older one: its row is a leg of that one from now on.
    fn adopt(&mut self, uniqueid: &str, linkedid: &str, now: Moment) {
        let Some(call) = self.calls.get_mut(uniqueid) else { return };
        call.over = true;
        let (told, mut facts) = (call.told, std::mem::take(&mut call.facts));
        let Some(channel) = self.channels.get_mut(uniqueid) else { return };
        channel.told = told;
        facts.insert(Field::ParentId, linkedid.to_owned());
        facts.insert(Field::MergedInto, linkedid.to_owned());
        if told.is_some() && !channel.local {
            self.teller.say(uniqueid, Claim::Link, facts, now);
        }
    }

    fn read_request(&mut self, message: &Message, now: Moment) {
        let Some(uniqueid) = self.see_own(message, now) else { return };
        let Some(channel) = self.channels.get_mut(uniqueid) else { return };
        channel.asked = true;
        let (dialed, local, linkedid) = (channel.dialed, channel.local, channel.linkedid.clone());
        let Some(call) = self.calls.get_mut(&linkedid).filter(|_| !dialed && !local) else { return };
        let ids = call.channels.iter().filter_map(|id| self.channels.get(id));
        let is_dialing = ids.clone().any(|channel| channel.ringing && !channel.local);
        call.parties.caller.asked = true;
        call.parties.given_up |= is_dialing || call.queued == Some(true);
    }

    fn read_hangup(&mut self, message: &Message, now: Moment) {
        let Some(uniqueid) = self.see_own(message, now) else { return };
        let cause = message.value("Cause").and_then(|cause| cause.parse().ok()).unwrap_or(0);
        self.hang_up(uniqueid, cause, now);
    }

    fn read_queue(&mut self, message: &Message, joins: bool, now: Moment) {
        let Some(uniqueid) = self.see_own(message, now) else { return };
        let Some(channel) = self.channels.get(uniqueid) else { return };
        if let Some(call) = self.calls.get_mut(&channel.linkedid) {
            call.queued = Some(joins);
        }
    }

    /// Only two of its reasons can be trusted; and where a `ChannelId` is in use it names the call that uses it.
    fn read_originate(&mut self, message: &Message, now: Moment) {
        let Some(uniqueid) = message.value("Uniqueid").and_then(short) else { return };
        let has_failed = message.get("Response").is_some_and(|response| response.eq_ignore_ascii_case("Failure"));
        let reason = message.value("Reason").unwrap_or_default();
        if let Some(channel) = self.channels.get(uniqueid) {
            let (local, linkedid) = (channel.local, channel.linkedid.clone());
            if !has_failed && reason == "4" {
                self.answer(&linkedid, local, now);
            }
            return;
        }
        if !has_failed
            || self.stones.holds(uniqueid)
            || self.calls.get(uniqueid).is_some_and(|call| call.told.is_some())
        {
            return;
        }
        let outcome = match reason {
            "3" => Outcome::NoAnswer,
            "5" => Outcome::Busy,
            // The technology, the device or the id was refused: no channel was ever made.
            _ => Outcome::Failed,
        };
        let mut facts = Facts::from([(Field::Direction, Direction::OutboundApi.as_str().to_owned())]);
        let to = message.value("Channel").and_then(name::dialed_number);
        facts.extend(to.map(|to| (Field::To, to.to_owned())));
        self.refuse(uniqueid, outcome, facts, now);
    }
}

/// They come when they please, also after the end, and say nothing that others do not.
const LATE: [&str; 6] = ["CEL", "Cdr", "Newexten", "TestEvent", "RTCPSent", "RTCPReceived"];
/// Bridges in which nobody speaks with anybody.
const WAITING_ROOMS: [&str; 3] = ["parking", "holding", "agent"];
