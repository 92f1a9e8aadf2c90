//! Calls that a program asks for with `Originate`.

use super::{
    Double, Out,
    actions::refuse,
    channel::{DOWN, Party},
    fate::{Fate, Order},
    line::Request,
    model::{Call, Model},
    text::{Class, Text},
};
use crate::domain::time::Millis;

/// What becomes of a number that a program dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialed {
    /// It rings, is answered, and the dialplan keeps it for so long.
    Answered {
        /// For how long it rings.
        ring_ms: Millis,
        /// For how long it is kept.
        talk_ms: Millis,
    },
    /// It is busy.
    Busy,
    /// Whoever is called declines.
    Rejected,
    /// It rings until the time is over.
    NoAnswer,
    /// It is not registered: no channel is ever made.
    Unregistered,
    /// The program is never answered; the phone rings and is answered all the same, or nothing ever comes of it.
    Unheard {
        /// Whether it rings.
        rings: bool,
    },
    /// The program is told that the call is queued, and then all connections break.
    CutOff {
        /// Whether it rings.
        rings: bool,
    },
}

impl Default for Dialed {
    fn default() -> Self {
        Self::Answered { ring_ms: 1_000, talk_ms: 5_000 }
    }
}

impl Double {
    /// From here on this becomes of this number; of others it is as [`Dialed::default`] has it.
    pub fn expect_dialed(&mut self, number: &str, dialed: Dialed) {
        self.dialed.insert(number.to_owned(), dialed);
    }

    pub(super) fn originate(&mut self, number: u64, request: &Request, now_ms: Millis) {
        let id = request.get("ActionID");
        let asked = match Asked::read(request) {
            Ok(asked) => asked,
            Err(message) => return self.put(number, now_ms, Out::Bytes(refuse(id, message))),
        };
        let dialed = self.dialed.get(asked.number).copied().unwrap_or_default();
        if !matches!(dialed, Dialed::Unheard { .. }) {
            let queued = Text::response("Success", id).line("Message", "Originate successfully queued").end();
            self.put(number, now_ms, Out::Bytes(queued));
        }
        if let Dialed::CutOff { .. } = dialed {
            self.cut_after(now_ms);
        }
        if !matches!(dialed, Dialed::Unheard { rings: false } | Dialed::CutOff { rings: false }) {
            let is_used = self.channels().iter().any(|channel| channel.uniqueid == asked.channel_id);
            self.call(asked.order(if is_used { Dialed::Unregistered } else { dialed }), now_ms);
        }
    }
}

/// What is asked for.
struct Asked<'r> {
    /// Whose phone, or which trunk.
    endpoint: &'r str,
    number: &'r str,
    /// What stands behind the technology.
    resource: &'r str,
    channel_id: &'r str,
    extension: &'r str,
    caller_id: Option<&'r str>,
    timeout_ms: Millis,
    variables: Vec<(String, String)>,
}

impl<'r> Asked<'r> {
    /// Reads it; else what it is refused with.
    fn read(request: &'r Request) -> Result<Self, &'static str> {
        let channel = request.get("Channel").filter(|channel| !channel.is_empty()).ok_or("Channel not specified")?;
        let (_, resource) = channel.split_once('/').filter(|(tech, _)| !tech.is_empty()).ok_or("Invalid channel")?;
        let (endpoint, number) = match resource.split_once('@') {
            Some((number, endpoint)) => (endpoint, number),
            None => resource.split_once('/').unwrap_or((resource, resource)),
        };
        let of = |name: &str| request.get(name).unwrap_or_default();
        let (extension, context) = (of("Exten"), of("Context"));
        if !extension.is_empty() && (context.is_empty() || of("Priority").is_empty()) {
            return Err("Originate with 'Exten' requires 'Context' and 'Priority'");
        }
        if context == NOWHERE {
            return Err("Extension does not exist.");
        }
        let channel_id = of("ChannelId");
        if channel_id.len() > CHANNEL_ID_BYTES_MAX {
            return Err("Uniqueid length exceeds maximum of 149");
        }
        if channel_id.is_empty() || !["true", "yes", "1"].contains(&of("Async")) {
            return Err("Originate failed");
        }
        let timeout_ms = match of("Timeout") {
            "" => TIMEOUT_MS,
            text => text.parse().map_err(|_| "Invalid timeout")?,
        };
        let caller_id = request.get("CallerID").filter(|number| !number.is_empty());
        let given = request.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case("Variable"));
        let variables = given.flat_map(|(_, text)| variables(text)).collect();
        Ok(Self { endpoint, number, resource, channel_id, extension, caller_id, timeout_ms, variables })
    }

    fn order(self, dialed: Dialed) -> Order {
        let kept = |ring_ms, talk_ms| (Fate::Kept { talk_ms }, ring_ms);
        let (fate, ring_ms) = match dialed {
            Dialed::Answered { ring_ms, talk_ms } => kept(ring_ms, talk_ms),
            Dialed::Unheard { .. } | Dialed::CutOff { .. } => kept(1_000, 5_000),
            Dialed::Busy => (Fate::Busy, 0),
            Dialed::Rejected => (Fate::Rejected, 0),
            Dialed::NoAnswer => (Fate::NoAnswer, self.timeout_ms),
            Dialed::Unregistered => (Fate::NoChannel, 0),
        };
        // Who does not pick up in time is not waited for.
        let fate = if ring_ms > self.timeout_ms { Fate::NoAnswer } else { fate };
        let order = Order::new(self.endpoint, self.extension, fate).ringing(ring_ms.min(self.timeout_ms));
        let order = order.originated(self.channel_id);
        let order = self.caller_id.into_iter().fold(order, Order::showing);
        Order { dialed: Some(self.resource.to_owned()), variables: self.variables, ..order }
    }
}

/// The variables of one header: divided by commas, except behind a backslash. What calls a function is left to Asterisk.
fn variables(text: &str) -> Vec<(String, String)> {
    let (mut pairs, mut pair, mut chars) = (Vec::new(), String::new(), text.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => pair.extend(chars.next()),
            ',' => pairs.push(std::mem::take(&mut pair)),
            c => pair.push(c),
        }
    }
    pairs.push(pair);
    let named = pairs.iter().filter_map(|pair| pair.split_once('=')).filter(|(name, _)| !name.contains('('));
    named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Model {
    pub(super) fn originate(&mut self, call: &mut Call, phone: &str) {
        let id = self.make(phone, DOWN, None, call.order.channel_id.clone());
        if let Some(channel) = self.channel_mut(&id) {
            (channel.originated, channel.dialed_by) = (true, Some((String::new(), true)));
            channel.application.0 = "AppDial2";
            channel.variables.clone_from(&call.order.variables);
        }
        call.legs.push(id.clone());
        call.truth.linkedid.clone_from(&id);
        call.truth.began_ms = self.now_ms();
        self.tell("Newchannel", &[("", &id)], |text| text);
        self.name_lead(call, &id);
        for (name, value) in &call.order.variables {
            self.tell_as("VarSet", Class::Dialplan, &[("", &id)], |text| {
                text.line("Variable", name).line("Value", value)
            });
        }
        if let Some(number) = &call.order.caller_id {
            let party = Party { number: number.clone(), name: String::new() };
            if let Some(channel) = self.channel_mut(&id) {
                channel.party = party.clone();
            }
            self.tell("NewCallerid", &[("", &id)], |text| text.line("CID-CallingPres", 0));
            self.show(&id, party);
        }
        let dialed = call.order.dialed.clone().unwrap_or_else(|| phone.to_owned());
        self.tell("DialBegin", &[("Dest", &id)], |text| text.line("DialString", dialed));
    }

    pub(super) fn tell_originated(&mut self, call: &Call, id: &str, reason: u8) {
        let word = if reason == 4 { "Success" } else { "Failure" };
        let name = self.channel(id).map(|channel| (channel.name.clone(), channel.device().to_owned()));
        let asked = || format!("PJSIP/{}", call.order.dialed.as_ref().unwrap_or(&call.order.from));
        let (name, device) = name.unwrap_or_else(|| (String::new(), asked()));
        let (name, to) = (if reason == 4 { name } else { device }, call.order.to.clone());
        self.tell("OriginateResponse", &[], |text| {
            let text = text.line("Response", word).line("Channel", name).line("Context", super::channel::CONTEXT);
            text.line("Exten", to).line("Reason", reason).line("Uniqueid", id).line("CallerIDNum", "<unknown>")
        });
    }
}

/// A context that is not in the dialplan.
const NOWHERE: &str = "nowhere";
/// As Asterisk has it.
const CHANNEL_ID_BYTES_MAX: usize = 149;
/// As Asterisk has it.
const TIMEOUT_MS: Millis = 30_000;
