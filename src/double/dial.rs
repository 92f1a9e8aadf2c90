//! `<Dial>`: legs are dialed on behalf of another one, the first that answers is connected, and the action hears how it
//! ended.

use super::{
    Call, Change, Double, Hook, Limits,
    fate::script,
    progress::Task,
    twiml::{Dial, Noun},
    webhook::{self, Purpose},
};
use crate::domain::{
    state::{Direction, Outcome},
    time::{self, Millis, seconds_between},
};

/// A dial that is going on.
#[derive(Debug)]
pub(super) struct Dialing {
    dial: Dial,
    legs: Vec<String>,
    /// The leg that was connected, and when.
    connected: Option<(String, Millis)>,
}

impl Double {
    /// Dials everybody at once.
    pub(super) fn dial(&mut self, parent_sid: &str, dial: Dial, now_ms: Millis) {
        let mut legs = Vec::new();
        for noun in &dial.nouns {
            legs.extend(self.dial_leg(parent_sid, &dial, noun, now_ms));
        }
        if legs.is_empty() {
            return self.proceed(parent_sid, now_ms);
        }
        if let Some(session) = self.sessions.get_mut(parent_sid) {
            session.dialing = Some(Dialing { dial, legs, connected: None });
        }
    }

    fn dial_leg(&mut self, parent_sid: &str, dial: &Dial, noun: &Noun, now_ms: Millis) -> Option<String> {
        let parent = self.call(parent_sid)?;
        let (account_sid, own) = (parent.account_sid.clone(), parent.from.clone());
        let from = dial.caller_id.clone().unwrap_or(own);
        let mut call = self.new_call(&account_sid, &from, &noun.address, Direction::OutboundDial);
        call.parent_sid = Some(parent_sid.to_owned());
        call.callback = noun.callback.clone();
        let limits = Limits {
            timeout_s: dial.timeout_s,
            time_limit_s: dial.time_limit_s,
            detect_machines: noun.detect_machines,
        };
        let fate = self.fate_of(&noun.address, &mut call.rng);
        // A dialed leg is never queued: whatever was to become of it in a queue becomes of it while it rings.
        let fate = if fate == super::Fate::CanceledInQueue { super::Fate::Canceled } else { fate };
        let script = script(fate, now_ms, now_ms, limits, &mut call.rng);
        let call_sid = self.keep(call);
        for (at_ms, change) in script {
            self.plan(at_ms, Task::Change { call_sid: call_sid.clone(), script: 0, change });
        }
        Some(call_sid)
    }

    /// A leg was answered: if it was dialed, it hears its whisper, or is connected; if it was placed, it asks what to do.
    pub(super) fn after_answer(&mut self, call_sid: &str, now_ms: Millis) {
        let Some(call) = self.call(call_sid) else { return };
        let (parent, to) = (call.parent_sid.clone(), call.to.clone());
        let Some(parent_sid) = parent else {
            self.report_machine(call_sid, call.amd.clone().as_ref(), now_ms);
            let Some(call) = self.call(call_sid) else { return };
            return call.twiml.clone().into_iter().for_each(|hook| self.follow(call_sid, &hook, now_ms));
        };
        let dialing = self.sessions.get(&parent_sid).and_then(|session| session.dialing.as_ref());
        let Some(dialing) = dialing else { return };
        let noun = dialing.dial.nouns.iter().find(|noun| noun.address == to).cloned();
        self.report_machine(call_sid, noun.as_ref().and_then(|noun| noun.amd_callback.as_ref()), now_ms);
        match noun.and_then(|noun| noun.url) {
            Some(hook) => self.whisper(call_sid, &parent_sid, &hook, now_ms),
            None => self.connect(&parent_sid, call_sid, now_ms),
        }
    }

    /// What the machine detection found is reported while the call goes on. Names and times: Twilio's page on answering
    /// machine detection, as far as others quote it.
    fn report_machine(&mut self, call_sid: &str, hook: Option<&Hook>, now_ms: Millis) {
        let by = self.call(call_sid).and_then(Call::truth).and_then(|seen| seen.answered_by);
        let (Some(by), Some(hook)) = (by, hook) else { return };
        let Some(account_sid) = self.call(call_sid).map(|call| call.account_sid.clone()) else { return };
        let parameters = [
            ("CallSid", call_sid.to_owned()),
            ("AccountSid", account_sid),
            ("AnsweredBy", by.to_owned()),
            ("MachineDetectionDuration", DETECTED_AFTER_MS.to_string()),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value)).to_vec();
        self.send_signed(call_sid, hook, Purpose::Amd, parameters, now_ms + DETECTED_AFTER_MS);
    }

    /// The two talk from here on; the other legs are taken back.
    pub(super) fn connect(&mut self, parent_sid: &str, child_sid: &str, now_ms: Millis) {
        let dialing = self.sessions.get_mut(parent_sid).and_then(|session| session.dialing.as_mut());
        let Some(dialing) = dialing.filter(|dialing| dialing.connected.is_none()) else { return };
        dialing.connected = Some((child_sid.to_owned(), now_ms));
        let others: Vec<String> = dialing.legs.iter().filter(|leg| *leg != child_sid).cloned().collect();
        if self.call(parent_sid).is_some_and(|call| call.truth().is_some_and(|seen| seen.answered_ms.is_none())) {
            self.change(parent_sid, now_ms, Change::Answered { by: None });
        }
        for other in others {
            self.hang_up(&other, Outcome::Canceled, now_ms);
        }
    }

    /// A leg is over: so are the legs dialed on its behalf; and the dial is, if it was the one that counted.
    pub(super) fn after_end(&mut self, call_sid: &str, now_ms: Millis) {
        if let Some(dialing) = self.sessions.remove(call_sid).and_then(|session| session.dialing) {
            for leg in &dialing.legs {
                self.hang_up(leg, Outcome::Canceled, now_ms);
            }
            self.report_recording(call_sid, &dialing, now_ms);
        }
        let Some(parent_sid) = self.call(call_sid).and_then(|call| call.parent_sid.clone()) else { return };
        let dialing = self.sessions.get(&parent_sid).and_then(|session| session.dialing.as_ref());
        let is_over = dialing.is_some_and(|dialing| match &dialing.connected {
            Some((leg, _)) => leg == call_sid,
            None => dialing.legs.iter().all(|leg| self.call(leg).is_none_or(Call::is_over)),
        });
        if is_over {
            self.dial_is_over(&parent_sid, call_sid, now_ms);
        }
    }

    /// The action is asked what to do next; without one the next verb is.
    fn dial_is_over(&mut self, parent_sid: &str, leg: &str, now_ms: Millis) {
        let Some(dialing) = self.sessions.get_mut(parent_sid).and_then(|session| session.dialing.take()) else {
            return;
        };
        let recording = self.report_recording(parent_sid, &dialing, now_ms);
        let Some(action) = dialing.dial.action else { return self.proceed(parent_sid, now_ms) };
        let Some(seen) = self.call(leg).and_then(Call::truth) else { return };
        let mut more = vec![
            ("DialCallSid", leg.to_owned()),
            ("DialCallStatus", seen.status.to_string()),
            ("DialBridged", dialing.connected.is_some().to_string()),
        ];
        if seen.answered_ms.is_some() {
            more.push(("DialCallDuration", seen.seconds().to_string()));
        }
        more.extend(recording.map(|url| ("RecordingUrl", url)));
        let more = more.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.ask_for_twiml(parent_sid, &action, Purpose::Action, more, now_ms);
    }

    /// A recorded conversation has a recording, which is reported for the parent's leg; answers its URL.
    fn report_recording(&mut self, parent_sid: &str, dialing: &Dialing, now_ms: Millis) -> Option<String> {
        let (_, since_ms) = dialing.connected.as_ref().filter(|_| dialing.dial.record)?;
        let sid = self.new_sid("RE");
        let account_sid = self.call(parent_sid)?.account_sid.clone();
        let url = format!("https://api.twilio.com/2010-04-01/Accounts/{account_sid}/Recordings/{sid}");
        let Some(hook) = &dialing.dial.recording_callback else { return Some(url) };
        let parameters = [
            ("AccountSid", account_sid),
            ("CallSid", parent_sid.to_owned()),
            ("RecordingSid", sid),
            ("RecordingUrl", url.clone()),
            ("RecordingStatus", "completed".to_owned()),
            ("RecordingDuration", seconds_between(*since_ms, now_ms).to_string()),
            ("RecordingChannels", "1".to_owned()),
            ("RecordingStartTime", time::rfc2822(*since_ms)),
            ("RecordingSource", "DialVerb".to_owned()),
            ("RecordingTrack", "both".to_owned()),
            ("ErrorCode", "0".to_owned()),
        ];
        let mut parameters: Vec<_> = parameters.map(|(name, value)| (name.to_owned(), value)).to_vec();
        webhook::disorder(&mut parameters);
        self.send_signed(parent_sid, hook, Purpose::Recording, parameters, now_ms + RECORDED_AFTER_MS);
        Some(url)
    }
}

/// A recording is ready a little after the conversation.
const RECORDED_AFTER_MS: Millis = 1_500;
/// How long it takes to tell a machine from a person.
const DETECTED_AFTER_MS: Millis = 2_400;
