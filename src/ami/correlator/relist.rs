//! Channel lists: what began and what ended while nobody listened, and what ended without a word.

use super::{
    Gap, Known,
    book::Book,
    bounds::short,
    conversation::{Bridge, Conversation},
    leg::{Channel, Sight, UP},
    name::{self, ChannelName},
    outcome::{self, Ending},
    tell::{Facts, Moment, fact},
};
use crate::{
    ami::{Snapshot, snapshot},
    domain::{
        signal::{Claim, Field, Weak, Witness},
        state::{Direction, HangupCause, Live, Outcome},
        time::{Millis, SECOND},
    },
};
use std::collections::{BTreeMap, BTreeSet};

impl Book {
    /// Goes on with the rows that live. The list that follows says which of their channels are still there.
    pub(super) fn restore(&mut self, known: Vec<Known>) {
        for row in known {
            let linkedid = row.parent_id.clone().unwrap_or_else(|| row.provider_id.clone());
            let is_root = row.parent_id.is_none();
            // Who was called by an originate answers as any other who was dialed.
            let dialed = !is_root || row.direction == Some(Direction::OutboundApi);
            let call = self.calls.entry(linkedid.clone()).or_default();
            call.is_partly_known = true;
            call.channels.insert(row.provider_id.clone());
            call.parties.dialed |= !is_root;
            call.parties.seen = true;
            call.began_ms = if call.began_ms == 0 { row.created_ms } else { call.began_ms.min(row.created_ms) };
            call.alive_ms = call.alive_ms.max(row.created_ms);
            if is_root {
                call.told = Some(row.live);
                call.parties.answered_ms = row.answered_ms.filter(|_| row.live == Live::Answered);
            }
            let answered_ms = row.answered_ms.or(Some(row.created_ms)).filter(|_| row.live == Live::Answered);
            let channel = Channel {
                linkedid,
                dialed,
                told: Some(row.live),
                up_ms: answered_ms.filter(|_| dialed),
                began_ms: row.created_ms,
                heard_ms: row.created_ms,
                alive_ms: row.created_ms,
                ..Channel::default()
            };
            self.channels.insert(row.provider_id, channel);
        }
    }

    /// Takes the list after a connect: all that lives is in it. `hung` hung up since then, and a message says so.
    pub(super) fn resync(&mut self, list: &Snapshot, gap: Gap, hung: &BTreeSet<String>, if_answered: Outcome) {
        let now = Moment::listed(list.listed_ms);
        self.is_crowded = false;
        for call in self.calls.values_mut().filter(|call| !call.channels.is_empty()) {
            call.has_gap = true;
        }
        for channel in &list.channels {
            self.take_listed(channel, now);
        }
        self.rebuild_bridges(list, gap, hung, now);
        self.tell_alive(list, gap, now);
        let listed: BTreeSet<&str> = list.channels.iter().map(|channel| channel.uniqueid.as_str()).collect();
        let gone = |id: &&String| !listed.contains(id.as_str()) && !hung.contains(*id);
        let gone: Vec<String> = self.channels.keys().filter(gone).cloned().collect();
        for uniqueid in gone {
            self.lose(&uniqueid, now, |began_ms, alive_ms| judge_gap(gap, now, if_answered, began_ms, alive_ms));
        }
    }

    /// Takes a list in between. What two in a row lack has ended, although nobody told.
    pub(super) fn audit(&mut self, list: &Snapshot, if_answered: Outcome) {
        let now = Moment::listed(list.listed_ms);
        for channel in &list.channels {
            self.take_listed(channel, now);
        }
        self.tell_alive(list, Gap::default(), now);
        let listed: BTreeSet<&str> = list.channels.iter().map(|channel| channel.uniqueid.as_str()).collect();
        let mut gone = Vec::new();
        for (uniqueid, channel) in &mut self.channels {
            if listed.contains(uniqueid.as_str()) || channel.heard_ms >= list.asked_ms {
                continue;
            }
            match channel.missing_ms {
                Some(first_ms) if list.asked_ms.saturating_sub(first_ms) >= AUDIT_APART_MS => {
                    gone.push(uniqueid.clone())
                }
                Some(_) => {}
                None => channel.missing_ms = Some(list.asked_ms),
            }
        }
        for uniqueid in gone {
            let weak = |_, alive_ms| Weak {
                decided_ms: now.at_ms.max(alive_ms),
                floor_ms: Some(alive_ms),
                cause: HangupCause::EndedWhileDisconnected,
                if_answered,
                stated_end_ms: None,
            };
            self.lose(&uniqueid, now, weak);
        }
    }

    /// One channel of a list: known or not, it lives.
    fn take_listed(&mut self, listed: &snapshot::Channel, now: Moment) {
        if short(&listed.uniqueid).is_none() {
            return;
        }
        let is_new = !self.channels.contains_key(&listed.uniqueid);
        let sight = Sight {
            uniqueid: &listed.uniqueid,
            linkedid: short(&listed.linkedid).filter(|linkedid| !linkedid.is_empty()),
            name: short(&listed.name).unwrap_or_default(),
            // What it says of itself counts only after it is known when it began.
            state: None,
            number: listed.caller.as_deref(),
            exten: listed.exten.as_deref(),
            is_change: false,
        };
        let began_ms = now.at_ms.saturating_sub(listed.age_ms.unwrap_or(0).max(0));
        // A row is as old as its channel, not as our list of it.
        let born = if is_new { Moment { received_ms: began_ms, ..now } } else { now };
        if !self.see(Sight { state: is_new.then_some(listed.state).filter(|state| *state != UP), ..sight }, born) {
            return;
        }
        if is_new {
            self.note_begin(sight, listed, began_ms, now);
        }
        if let Some(lead_id) = &listed.lead_id {
            self.name_lead(sight.uniqueid, lead_id, now);
        }
        let Some(channel) = self.channels.get_mut(sight.uniqueid) else { return };
        let is_root = channel.is_root(sight.uniqueid);
        channel.missing_ms = None;
        channel.alive_ms = channel.alive_ms.max(now.at_ms);
        if channel.local != ChannelName::read(&channel.name).is_local() {
            channel.local = !channel.local;
            channel.dialed &= !channel.local;
        }
        if listed.state == UP {
            let answered_ms = answered_within(listed.answered_ms, channel.began_ms, now.at_ms).unwrap_or(now.at_ms);
            channel.up_ms = channel.up_ms.or(Some(answered_ms));
            let live = if is_root { Live::Initiated } else { Live::Answered };
            self.reach(sight.uniqueid, live, born.at(answered_ms));
        } else {
            self.reach_listed(sight.uniqueid, listed.state, born);
        }
    }

    /// A channel that began while nobody listened.
    fn note_begin(&mut self, sight: Sight<'_>, listed: &snapshot::Channel, began_ms: Millis, now: Moment) {
        let Some(channel) = self.channels.get_mut(sight.uniqueid) else { return };
        (channel.began_ms, channel.heard_ms, channel.alive_ms) = (began_ms, began_ms, now.at_ms);
        let is_root = channel.is_root(sight.uniqueid);
        // An originated channel runs this until it is answered.
        let is_originated = is_root && listed.application.as_deref() == Some("AppDial2");
        channel.dialed = !channel.local && (channel.dialed || is_originated);
        let is_leg = channel.is_leg(sight.uniqueid);
        if let Some(call) = self.calls.get_mut(&channel.linkedid) {
            // A call that was Up when it was met has spoken for nobody knows how long; of others every second is heard.
            call.is_partly_known |= !call.has_gap && listed.state == UP;
            call.has_gap = true;
            call.began_ms = call.began_ms.min(began_ms);
        }
        // Who spoke with whom: nobody told how it was dialed.
        let mut facts = Facts::new();
        let mut note = |field, value: Option<&str>| facts.extend(value.and_then(fact).map(|v| (field, v.to_owned())));
        if is_leg {
            note(Field::From, listed.connected.as_deref());
        } else if let (true, Some(dialed)) = (is_root, listed.dialed.as_deref()) {
            note(Field::Direction, Some(Direction::Inbound.as_str()));
            note(Field::To, name::dialed_exten(dialed));
        }
        if let Some(waiting) = self.facts_of(sight.uniqueid) {
            waiting.extend(facts);
        }
    }

    fn reach_listed(&mut self, uniqueid: &str, state: u8, now: Moment) {
        let live = if matches!(state, 4 | 5) { Live::Ringing } else { Live::Initiated };
        self.reach(uniqueid, live, now);
    }

    /// Bridges as the list has them: what was heard of them before the gap may be over.
    fn rebuild_bridges(&mut self, list: &Snapshot, gap: Gap, hung: &BTreeSet<String>, now: Moment) {
        let mut bridges: BTreeMap<String, Bridge> = BTreeMap::new();
        for listed in &list.channels {
            let Some(channel) = self.channels.get_mut(&listed.uniqueid) else { continue };
            channel.bridge = listed.bridge.as_deref().and_then(short).map(str::to_owned);
            let Some(id) = &channel.bridge else { continue };
            let before = self.bridges.get(id);
            let bridge = bridges.entry(id.clone()).or_default();
            let is_parked = listed.application.as_deref().is_some_and(|application| application.starts_with("Park"));
            bridge.is_waiting_room |= is_parked || before.is_some_and(|before| before.is_waiting_room);
            let since_ms = before.and_then(|before| before.members.get(&listed.uniqueid)).copied();
            bridge.members.insert(listed.uniqueid.clone(), since_ms.unwrap_or(now.at_ms));
            bridge.size += 1;
        }
        // What hung up since the login was where it was until then: its own messages say when it left.
        for id in hung {
            let bridge_id = self.channels.get(id).and_then(|channel| channel.bridge.as_ref());
            let Some((bridge_id, before)) = bridge_id.and_then(|id| self.bridges.get_key_value(id)) else { continue };
            let bridge = bridges.entry(bridge_id.clone()).or_default();
            bridge.is_waiting_room |= before.is_waiting_room;
            if bridge.members.insert(id.clone(), before.members.get(id).copied().unwrap_or(now.at_ms)).is_none() {
                bridge.size += 1;
            }
        }
        for (uniqueid, channel) in &mut self.channels {
            let is_in = |id: &String| bridges.get(id).is_some_and(|bridge| bridge.members.contains_key(uniqueid));
            if !channel.bridge.as_ref().is_some_and(is_in) {
                channel.bridge = None;
            }
            let bridge = channel.bridge.as_ref().and_then(|id| bridges.get(id));
            channel.spoke |= bridge.is_some_and(Bridge::is_talk);
        }
        self.bridges = bridges;
        let calls: Vec<(String, bool)> =
            self.calls.iter().map(|(id, call)| (id.clone(), call.parties.talk.is_on())).collect();
        for (linkedid, spoke) in calls {
            // What stopped in the gap is counted up to its beginning: no second is claimed that nobody saw.
            let alive_ms = self.calls.get(&linkedid).map_or(now.at_ms, |call| call.alive_ms);
            let at_ms = if spoke { gap.heard_ms.unwrap_or(alive_ms) } else { now.at_ms };
            self.settle_talk(&linkedid, at_ms);
        }
    }

    /// Every row that is listed is alive; and a call is answered whose dialed channel speaks.
    fn tell_alive(&mut self, list: &Snapshot, gap: Gap, now: Moment) {
        let mut rows: BTreeMap<String, Option<Millis>> = BTreeMap::new();
        for listed in &list.channels {
            let Some(channel) = self.channels.get(&listed.uniqueid) else { continue };
            if channel.is_leg(&listed.uniqueid) {
                rows.entry(listed.uniqueid.clone()).or_default();
            }
            let answered_ms = rows.entry(channel.linkedid.clone()).or_default();
            let speaks = channel.dialed && !channel.local && listed.state == UP && listed.bridge.is_some();
            if speaks {
                let told_ms = self.answer_time(listed, list, gap, now);
                *answered_ms = Some(answered_ms.map_or(told_ms, |known: Millis| known.min(told_ms)));
            }
        }
        for (row, answered_ms) in rows {
            let is_over = self.calls.get(&row).is_some_and(|call| call.over) && !self.channels.contains_key(&row);
            if is_over {
                continue;
            }
            if let Some(answered_ms) = answered_ms {
                // What was answered in the gap, and speaks now, has spoken since then.
                if let Some(call) = self.calls.get_mut(&row).filter(|call| !call.is_answered()) {
                    call.parties.talk.backdate(answered_ms);
                }
                self.answer(&row, false, now.at(answered_ms));
            } else {
                self.reach_call(&row, Live::Initiated, now);
            }
            if let Some(call) = self.calls.get_mut(&row) {
                call.alive_ms = call.alive_ms.max(now.at_ms);
            }
            self.teller.say(&row, Claim::Alive, Facts::new(), now);
        }
    }

    /// When a dialed channel that speaks now was answered: by its CDR or its caller's, else when it was listed.
    fn answer_time(&self, listed: &snapshot::Channel, list: &Snapshot, gap: Gap, now: Moment) -> Millis {
        let Some(channel) = self.channels.get(&listed.uniqueid) else { return now.at_ms };
        // A caller's CDR may have been answered by an IVR before: no answer can be older than the dial, nor than the
        // moment until which we heard that there was none.
        let earliest_ms =
            channel.began_ms.max(if channel.heard_ms < list.asked_ms { gap.heard_ms.unwrap_or(0) } else { 0 });
        let caller = list.channels.iter().find(|caller| caller.uniqueid == channel.linkedid);
        let told = |candidate: &snapshot::Channel| answered_within(candidate.answered_ms, earliest_ms, now.at_ms);
        told(listed).or_else(|| caller.and_then(told)).unwrap_or(now.at_ms)
    }

    /// A channel is gone, and nobody said how it ended.
    fn lose(&mut self, uniqueid: &str, now: Moment, weak: impl Fn(Millis, Millis) -> Weak) {
        let Some(channel) = self.channels.remove(uniqueid) else { return };
        if let Some((id, bridge)) = channel.bridge.as_ref().and_then(|id| Some((id, self.bridges.get_mut(id)?))) {
            bridge.members.remove(uniqueid);
            bridge.size = bridge.size.saturating_sub(1);
            if bridge.members.is_empty() {
                self.bridges.remove(id);
            }
        }
        // A call of its own that an older one took over: no Hangup will come that forgets it.
        let is_left = |call: &Conversation| call.over && call.channels.is_empty() && call.due_ms.is_none();
        if !self.stones.holds(uniqueid) && self.calls.get(uniqueid).is_some_and(is_left) {
            self.calls.remove(uniqueid);
        }
        let absent = Moment { witness: Witness::Absent, ..now };
        if channel.is_leg(uniqueid) && channel.told.is_some() {
            let claim = Claim::GivenUp(weak(channel.began_ms, channel.alive_ms));
            self.teller.say(uniqueid, claim, Facts::new(), absent);
        }
        let Some(call) = self.calls.get_mut(&channel.linkedid) else { return };
        call.channels.remove(uniqueid);
        if channel.dialed && !channel.forwarded && channel.up_ms.is_none() && channel.word.is_some() {
            let ending = Ending { up: false, word: channel.word, cause: 0, asked: call.parties.caller.asked };
            call.tally_of(channel.local).note(outcome::of_leg(ending), 0, channel.word, None);
        }
        self.settle_talk(&channel.linkedid, channel.alive_ms);
        let Some(call) = self.calls.get(&channel.linkedid).filter(|call| call.channels.is_empty()) else { return };
        let (told, over) = (call.told, call.over);
        if over || told.is_none() {
            self.calls.remove(&channel.linkedid);
            return;
        }
        let call = call.clone();
        self.give_up_call(&channel, &call, absent, weak);
    }

    /// The last channel of a call is gone. Where only wires were lost, or nobody had answered the caller who hung up, the
    /// others have told how the call ended.
    fn give_up_call(
        &mut self,
        last: &Channel,
        call: &Conversation,
        absent: Moment,
        weak: impl Fn(Millis, Millis) -> Weak,
    ) {
        if last.local
            && call.parties.seen
            && let Some(ended) = call.parties.ended
        {
            self.hold(&last.linkedid, ended, absent.received_ms);
            return;
        }
        self.calls.remove(&last.linkedid);
        let claim = Claim::GivenUp(weak(call.began_ms, call.alive_ms));
        self.teller.say(&last.linkedid, claim, Facts::new(), absent);
    }
}

/// What a gap, or a restart of the PBX, means for what a list lacks.
pub(super) fn judge_gap(gap: Gap, now: Moment, if_answered: Outcome, began_ms: Millis, alive_ms: Millis) -> Weak {
    let restarted_ms = gap.restarted_ms.filter(|restarted_ms| began_ms < *restarted_ms);
    let floor_ms = gap.heard_ms;
    let (decided_ms, cause) = match restarted_ms {
        Some(restarted_ms) => (restarted_ms.max(floor_ms.unwrap_or(0)).max(alive_ms), HangupCause::PbxRestart),
        None => (now.at_ms.max(alive_ms), HangupCause::EndedWhileDisconnected),
    };
    Weak { decided_ms, floor_ms, cause, if_answered, stated_end_ms: None }
}

/// A time of an answer, if it can be this channel's: CDR times of a list are cut to seconds.
fn answered_within(answered_ms: Option<Millis>, earliest_ms: Millis, latest_ms: Millis) -> Option<Millis> {
    let answered_ms = answered_ms.filter(|at_ms| *at_ms <= latest_ms)?;
    (answered_ms >= earliest_ms.saturating_sub(SECOND)).then_some(answered_ms)
}

/// Two lists that lack a channel count as two only if they lie this far apart.
const AUDIT_APART_MS: Millis = 5 * SECOND;
