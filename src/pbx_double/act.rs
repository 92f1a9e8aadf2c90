//! The steps of calls, and what Asterisk tells of each, in its order.

use super::{
    channel::{DOWN, Party, RING, RINGING, UP, cause_name},
    fate::Step,
    model::{Call, Model},
    text::Class,
};
use crate::domain::state::Outcome;

impl Model {
    /// One step of a call. What has ended meanwhile does nothing more.
    pub(super) fn act(&mut self, call: &mut Call, step: Step) {
        // A step speaks of legs by their place; without the leg there is nothing to do.
        let leg = |at: usize| call.leg(at).unwrap_or_default();
        match step {
            Step::Begin { from, to } => self.begin(call, &from, &to),
            Step::Originate { phone } => self.originate(call, &phone),
            Step::Fail => self.tell_originated(call, call.order.channel_id.as_deref().unwrap_or_default(), 0),
            Step::Pick { leg: at, application } => self.pick(call, &leg(at), application),
            Step::Join { leg: at } => self.tell_queue("QueueCallerJoin", &leg(at), "", |text| text),
            Step::Dial { by, phones, queue } => self.dial(call, &leg(by), &phones, queue),
            Step::Ring { leg: at } => self.ring(&leg(at)),
            Step::Answer { leg: at, queue } => self.answer(call, &leg(at), queue),
            Step::Reject { leg: at, cause } => self.reject(call, &leg(at), cause),
            Step::GiveUp { by, queue } => self.give_up(call, &leg(by), queue),
            Step::Leave { leg: at, cause } => self.leave(&leg(at), cause),
            Step::HangUp { leg: at, queue } => self.end_talk(call, &leg(at), queue),
            Step::Cancel { leg: at } => self.cancel(call, &leg(at)),
            Step::Transfer { leg: at, to } => self.transfer(call, &leg(at), &to),
            Step::Hold { leg: at } => self.hold(&leg(at)),
            Step::Join2 { first, second } => self.connect(call, &leg(first), &leg(second)),
            Step::Over(_) => {}
        }
    }

    fn begin(&mut self, call: &mut Call, from: &str, to: &str) {
        let id = self.make(from, RING, None, None);
        if let Some(channel) = self.channel_mut(&id) {
            to.clone_into(&mut channel.exten);
        }
        call.legs.push(id.clone());
        self.tell("Newchannel", &[("", &id)], |text| text);
        if call.truth.linkedid.is_empty() {
            call.truth.linkedid.clone_from(&id);
            call.truth.began_ms = self.now_ms();
            self.name_lead(call, &id);
        } else {
            // The question to a third party is a call of its own, until both are connected.
            call.truth.merged.push(id);
        }
    }

    pub(super) fn name_lead(&mut self, call: &Call, id: &str) {
        let Some(lead) = &call.order.lead else { return };
        if let Some(channel) = self.channel_mut(id) {
            channel.variables.push((LEAD.to_owned(), lead.clone()));
        }
        self.tell_as("VarSet", Class::Dialplan, &[("", id)], |text| text.line("Variable", LEAD).line("Value", lead));
    }

    fn pick(&mut self, call: &mut Call, id: &str, application: &'static str) {
        let now_ms = self.now_ms();
        let Some(channel) = self.channel_mut(id) else { return };
        channel.application = (application, String::new());
        if channel.originated {
            // It was answered before, by whoever was rung; nobody else is.
            call.truth.answered_ms = Some(now_ms);
            return;
        }
        (channel.state, channel.answered_ms) = (UP, Some(now_ms));
        self.tell("Newstate", &[("", id)], |text| text);
    }

    fn dial(&mut self, call: &mut Call, by: &str, phones: &[String], queue: bool) {
        let Some(caller) = self.channel(by).cloned() else { return };
        let mut legs = Vec::new();
        for phone in phones {
            let id = self.make(phone, DOWN, Some(&caller.linkedid), None);
            self.tell("Newchannel", &[("", &id)], |text| text);
            if let Some(channel) = self.channel_mut(&id) {
                channel.exten.clone_from(&caller.exten);
                channel.connected = caller.party.clone();
                channel.dialed_by = Some((by.to_owned(), true));
            }
            call.truth.dialed(&id, phone);
            call.legs.push(id.clone());
            if queue {
                self.tell_queue("AgentCalled", by, &id, |text| text.line("Interface", format_args!("PJSIP/{phone}")));
                self.tell("DialBegin", &[("", by), ("Dest", &id)], |text| text.line("DialString", phone));
            } else {
                self.tell("NewConnectedLine", &[("", &id)], |text| text);
            }
            legs.push(id);
        }
        if queue {
            return;
        }
        if let Some(channel) = self.channel_mut(by) {
            channel.priority += 1;
            channel.application = ("Dial", format!("PJSIP/{}", phones.join("&PJSIP/")));
        }
        for (id, phone) in legs.iter().zip(phones) {
            self.tell("DialBegin", &[("", by), ("Dest", id)], |text| text.line("DialString", phone));
        }
        if let [phone] = phones {
            let party = self.party(phone);
            self.show(by, party);
        }
    }

    /// The display of a leg shows somebody else.
    pub(super) fn show(&mut self, id: &str, party: Party) {
        let Some(channel) = self.channel_mut(id) else { return };
        channel.connected = party;
        self.tell("NewConnectedLine", &[("", id)], |text| text);
    }

    fn ring(&mut self, id: &str) {
        let Some(channel) = self.channel_mut(id) else { return };
        channel.state = RINGING;
        let by = channel.dialed_by.clone().map(|(by, _)| by).unwrap_or_default();
        self.tell("Newstate", &[("", id)], |text| text);
        if self.channel(&by).is_some_and(|caller| caller.application.0 == "Queue") {
            self.tell("NewConnectedLine", &[("", id)], |text| text);
        }
        self.tell("DialState", &[("", &by), ("Dest", id)], |text| text.line("DialStatus", "RINGING"));
    }

    fn answer(&mut self, call: &mut Call, id: &str, queue: bool) {
        let now_ms = self.now_ms();
        let Some(channel) = self.channel_mut(id) else { return };
        (channel.state, channel.answered_ms) = (UP, Some(now_ms));
        let (party, by) = (channel.party.clone(), channel.dialed_by.clone().map(|(by, _)| by).unwrap_or_default());
        call.truth.answered(id, now_ms);
        self.tell("Newstate", &[("", id)], |text| text);
        let others: Vec<String> = self.open_dials(&by).into_iter().filter(|other| other != id).collect();
        if queue {
            self.dial_end(call, id, "ANSWER");
            others.iter().for_each(|other| self.dial_end(call, other, "CANCEL"));
            self.show(&by, party);
            others.iter().for_each(|other| self.dial_end(call, other, "CANCEL"));
            self.tell_queue("QueueCallerLeave", &by, "", |text| text);
            self.tell_queue("AgentConnect", &by, id, |text| text.line("HoldTime", 1).line("RingTime", 1));
        } else {
            if !others.is_empty() {
                self.show(&by, party);
            }
            others.iter().for_each(|other| self.dial_end(call, other, "CANCEL"));
            if let Some(channel) = self.channel_mut(id) {
                channel.exten.clear();
            }
            self.dial_end(call, id, "ANSWER");
        }
        if self.channel(id).is_some_and(|channel| channel.originated) {
            return self.tell_originated(call, id, 4);
        }
        if let Some(caller) = self.channel_mut(&by).filter(|caller| caller.state != UP) {
            (caller.state, caller.answered_ms) = (UP, Some(now_ms));
            self.tell("Newstate", &[("", &by)], |text| text);
        }
        others.iter().for_each(|other| self.gone(other, 26));
        self.bridge(id, &by);
    }

    fn reject(&mut self, call: &mut Call, id: &str, cause: u8) {
        if self.channel(id).is_none() {
            return;
        }
        self.tell("HangupRequest", &[("", id)], |text| text.line("Cause", cause));
        let word = match cause {
            17 => "BUSY",
            34 => "CONGESTION",
            _ => "NOANSWER",
        };
        self.dial_end(call, id, word);
        if self.channel(id).is_some_and(|channel| channel.originated) {
            self.tell_originated(call, id, 0);
        }
        self.gone(id, cause);
    }

    fn give_up(&mut self, call: &mut Call, by: &str, queue: bool) {
        if self.channel(by).is_some_and(|channel| channel.originated && channel.is_dialed()) {
            self.tell_originated(call, by, 3);
            return self.gone(by, 0);
        }
        let open = self.open_dials(by);
        if queue {
            for id in &open {
                self.tell_queue("AgentRingNoAnswer", by, id, |text| text.line("RingTime", 1_000));
            }
        }
        open.iter().for_each(|id| self.dial_end(call, id, "NOANSWER"));
        if queue {
            open.iter().for_each(|id| self.dial_end(call, id, "CANCEL"));
            self.tell_queue("QueueCallerAbandon", by, "", |text| text.line("HoldTime", 1));
            self.tell_queue("QueueCallerLeave", by, "", |text| text);
        }
        open.iter().for_each(|id| self.gone(id, 0));
    }

    fn leave(&mut self, id: &str, cause: u8) {
        if self.channel(id).is_some() {
            self.tell("SoftHangupRequest", &[("", id)], |text| text.line("Cause", 16));
            self.gone(id, cause);
        }
    }

    fn end_talk(&mut self, call: &Call, id: &str, queue: bool) {
        if self.channel(id).is_none() {
            return;
        }
        self.tell("HangupRequest", &[("", id)], |text| text);
        if let Some(by) = self.channel(id).and_then(|channel| channel.dialed_by.clone()).filter(|_| queue) {
            let talk_s = call.truth.answered_ms.map_or(0, |since_ms| (self.now_ms() - since_ms) / 1_000);
            self.tell_queue("AgentComplete", &by.0, id, |text| text.line("TalkTime", talk_s).line("Reason", "agent"));
        }
        self.part(id, 16);
    }

    /// Both ends of a bridge end.
    fn part(&mut self, id: &str, cause: u8) {
        let others = self.unbridge(id);
        self.finish(id, cause);
        others.iter().for_each(|other| self.finish(other, cause));
    }

    /// A leg ends; if it has a dialplan, that says so first.
    fn finish(&mut self, id: &str, cause: u8) {
        if self.channel(id).is_some_and(|channel| channel.dialed_by.is_none() || channel.originated) {
            self.tell("SoftHangupRequest", &[("", id)], |text| text.line("Cause", 16));
        }
        self.gone(id, cause);
    }

    fn cancel(&mut self, call: &mut Call, id: &str) {
        if self.channel(id).is_none() {
            return;
        }
        self.tell("HangupRequest", &[("", id)], |text| text.line("Cause", 127));
        let open = self.open_dials(id);
        open.iter().for_each(|leg| self.dial_end(call, leg, "CANCEL"));
        self.finish(id, 127);
        open.iter().for_each(|leg| self.gone(leg, 127));
    }

    /// Ends a leg as `Action: Hangup` does: nobody has requested it.
    pub(super) fn ask_to_end(&mut self, id: &str, cause: u8) {
        if self.channel(id).is_some_and(|channel| channel.bridge.is_some()) {
            return self.part(id, cause);
        }
        let open = self.open_dials(id);
        let told = |model: &mut Self, leg: &str, word: &str| {
            let by = model.close_dial(leg);
            model.tell("DialEnd", &[("", &by), ("Dest", leg)], |text| text.line("DialStatus", word));
        };
        open.iter().for_each(|leg| told(self, leg, "CANCEL"));
        if self.channel(id).is_some_and(super::channel::Channel::is_dialed) {
            let by = self.channel(id).and_then(|channel| channel.dialed_by.clone()).map(|(by, _)| by);
            told(self, id, "NOANSWER");
            self.gone(id, cause);
            let by = by.filter(|by| self.open_dials(by).is_empty());
            return by.into_iter().for_each(|by| self.leave(&by, cause));
        }
        self.finish(id, if open.is_empty() { cause } else { 0 });
        open.iter().for_each(|leg| self.gone(leg, cause));
    }

    /// The legs this one dials.
    fn open_dials(&self, by: &str) -> Vec<String> {
        let open = self.channels.iter().filter(|channel| {
            !by.is_empty() && channel.dialed_by.as_ref().is_some_and(|(dialer, open)| *open && dialer == by)
        });
        open.map(|channel| channel.uniqueid.clone()).collect()
    }

    fn close_dial(&mut self, id: &str) -> String {
        let dialed_by = self.channel_mut(id).and_then(|channel| channel.dialed_by.as_mut());
        dialed_by.map_or_else(String::new, |(by, open)| {
            *open = false;
            by.clone()
        })
    }

    fn dial_end(&mut self, call: &mut Call, id: &str, word: &str) {
        let by = self.close_dial(id);
        let outcome = match word {
            "ANSWER" => None,
            "BUSY" => Some(Outcome::Busy),
            "CONGESTION" => Some(Outcome::Failed),
            "CANCEL" => Some(Outcome::Canceled),
            _ => Some(Outcome::NoAnswer),
        };
        if let Some(outcome) = outcome {
            call.truth.decided(id, outcome, self.now_ms());
        }
        self.tell("DialEnd", &[("", &by), ("Dest", id)], |text| text.line("DialStatus", word));
    }

    /// The last that is told of a leg.
    pub(super) fn gone(&mut self, id: &str, cause: u8) {
        if self.channel(id).is_some() {
            self.tell("Hangup", &[("", id)], |text| text.line("Cause", cause).line("Cause-txt", cause_name(cause)));
            self.channels.retain(|channel| channel.uniqueid != id);
        }
    }

    fn tell_queue(
        &mut self,
        event: &str,
        caller: &str,
        agent: &str,
        more: impl FnOnce(super::text::Text) -> super::text::Text,
    ) {
        let name = self.channel(agent).map(|channel| channel.party.name.clone());
        let legs: &[_] = if agent.is_empty() { &[("", caller)] } else { &[("", caller), ("Dest", agent)] };
        self.tell_as(event, Class::Agent, legs, |text| more(text.line("Queue", QUEUE).maybe("MemberName", name)));
    }
}

/// The variable in which a dialplan names a lead.
const LEAD: &str = "ONHOOK_LEAD";
/// The only queue there is.
pub const QUEUE: &str = "sales";
