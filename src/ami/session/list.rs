//! One channel list in the making: `CoreShowChannels`, then `Status` for what only that tells. It is complete or it is void.

use super::link::{Link, epoch_ms};
use crate::{
    ami::{Action, Channel, Message, Snapshot},
    domain::time::{Millis, SECOND},
};
use std::collections::BTreeMap;

/// The most channels of a list; more is void. A PBX of that size is not one PBX.
const CHANNELS_MAX: usize = 50_000;
/// The most memory that a list takes: 600 bytes for each of so many channels. More is void.
const LIST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Asterisk's own ids and names have at most 149 bytes. What is longer is cut, or passed over where a part would say
/// something else: ids, numbers, leads.
const TEXT_BYTES_MAX: usize = 200;

/// The variable that names the lead.
const LEAD: &str = "ONHOOK_LEAD";
/// When the channel was answered, with microseconds.
const ANSWERED: &str = "CDR(answer,u)";

/// A list that was asked for.
#[derive(Clone, Debug)]
pub struct List {
    asked_ms: Millis,
    /// By Uniqueid, because both parts tell of the same channels.
    channels: BTreeMap<String, Channel>,
    /// The memory that they take.
    bytes: usize,
    /// Items of the part that is being told.
    items: usize,
    parts: [Part; 2],
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Open,
    Complete,
}

/// Which of the two is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// `CoreShowChannels`: from Asterisk's cache.
    Channels,
    /// `Status`: from the channels themselves.
    Status,
}

impl Which {
    /// The action.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Channels => "CoreShowChannels",
            Self::Status => "Status",
        }
    }
}

/// What an answer did to the list.
#[derive(Debug, PartialEq, Eq)]
pub enum Grown {
    /// More is to come.
    Open,
    /// This part has ended.
    Part,
    /// Everything is here.
    Whole,
    /// Nothing may be concluded from it; why.
    Void(String),
    /// We may not ask for it.
    Denied(String),
}

impl List {
    /// A list that is asked for now.
    pub const fn new(asked_ms: Millis) -> Self {
        Self { asked_ms, channels: BTreeMap::new(), bytes: 0, items: 0, parts: [Part::Open; 2] }
    }

    /// The actions, in the order in which they are sent.
    pub fn actions() -> [(Which, Action); 2] {
        [
            (Which::Channels, Action::new(Which::Channels.as_str())),
            (Which::Status, Action::new(Which::Status.as_str()).with("Variables", format!("{ANSWERED},{LEAD}"))),
        ]
    }

    /// Takes an answer that belongs to it.
    pub fn take(&mut self, which: Which, message: &Message, link: &Link) -> Grown {
        let Some(event) = message.event() else {
            self.items = 0;
            return begun(message);
        };
        if event.ends_with("Complete") {
            return self.completed(which, message);
        }
        self.items = self.items.saturating_add(1);
        let Some(uniqueid) = short(message, "Uniqueid") else {
            return Grown::Open;
        };
        if self.channels.len() >= CHANNELS_MAX && !self.channels.contains_key(&uniqueid) {
            return Grown::Void(format!("it lists over {CHANNELS_MAX} channels"));
        }
        // A channel that only one of the two names counts as live: its Hangup is told, or the next list lacks it.
        let known = self.channels.remove(&uniqueid);
        self.bytes = self.bytes.saturating_sub(known.as_ref().map_or(0, bytes_of));
        let channel = match (which, known) {
            (Which::Channels, _) => shown(message, &uniqueid),
            (Which::Status, known) => with_status(known.unwrap_or_else(|| shown(message, &uniqueid)), message, link),
        };
        self.bytes = self.bytes.saturating_add(bytes_of(&channel));
        if self.bytes > LIST_BYTES_MAX {
            return Grown::Void(format!("its list takes over {LIST_BYTES_MAX} bytes"));
        }
        self.channels.insert(uniqueid, channel);
        Grown::Open
    }

    fn completed(&mut self, which: Which, message: &Message) -> Grown {
        if !message.get("EventList").is_some_and(|word| word.eq_ignore_ascii_case("Complete")) {
            return Grown::Void("it broke the list off".to_owned());
        }
        let said: Option<usize> = message.get("ListItems").and_then(|count| count.parse().ok());
        if said.is_some_and(|said| said > self.items) {
            return Grown::Void(format!("only {} of {} channels came", self.items, said.unwrap_or(0)));
        }
        let [channels, status] = &mut self.parts;
        *(if which == Which::Channels { channels } else { status }) = Part::Complete;
        if self.parts == [Part::Complete; 2] { Grown::Whole } else { Grown::Part }
    }

    /// What it became, its last line having come at `listed_ms`.
    pub fn snapshot(self, listed_ms: Millis) -> Snapshot {
        Snapshot { asked_ms: self.asked_ms, listed_ms, channels: self.channels.into_values().collect() }
    }
}

fn begun(response: &Message) -> Grown {
    let message = response.get("Message").unwrap_or_default();
    match response.get("Response") {
        Some(word) if word.eq_ignore_ascii_case("Success") => Grown::Open,
        _ if message.eq_ignore_ascii_case("Permission denied") => Grown::Denied(message.to_owned()),
        _ => Grown::Void(format!("it says {message:?}")),
    }
}

/// A value, unless it is too long to be one.
fn short(message: &Message, name: &str) -> Option<String> {
    message.value(name).filter(|value| value.len() <= TEXT_BYTES_MAX).map(str::to_owned)
}

/// The beginning of a value.
fn cut(message: &Message, name: &str) -> Option<String> {
    let value = message.value(name)?;
    value.get(..value.floor_char_boundary(TEXT_BYTES_MAX)).map(str::to_owned)
}

/// The bytes of memory that a channel takes, its key included.
fn bytes_of(channel: &Channel) -> usize {
    let Channel { name, uniqueid, linkedid, bridge, application, caller, connected, exten, dialed, lead_id, .. } =
        channel;
    let told = [bridge, application, caller, connected, exten, dialed, lead_id].into_iter().flatten();
    let texts = told.chain([name, uniqueid, uniqueid, linkedid]).map(String::len).sum::<usize>();
    texts.saturating_add(size_of::<Channel>())
}

/// The headers that both have, or only `CoreShowChannel`.
fn shown(message: &Message, uniqueid: &str) -> Channel {
    Channel {
        name: cut(message, "Channel").unwrap_or_default(),
        uniqueid: uniqueid.to_owned(),
        linkedid: short(message, "Linkedid").unwrap_or_else(|| uniqueid.to_owned()),
        state: message.get("ChannelState").and_then(|state| state.parse().ok()).unwrap_or(0),
        bridge: cut(message, "BridgeId").or_else(|| cut(message, "BridgeUniqueid")),
        application: cut(message, "Application"),
        caller: short(message, "CallerIDNum"),
        connected: short(message, "ConnectedLineNum"),
        exten: short(message, "Exten"),
        dialed: None,
        age_ms: message.get("Duration").and_then(duration_ms),
        answered_ms: None,
        lead_id: None,
    }
}

/// What only `Status` tells.
fn with_status(mut channel: Channel, message: &Message, link: &Link) -> Channel {
    let variable = |name: &str| {
        let mut named = message.all("Variable").filter_map(|line| line.split_once('=')).filter(|(key, _)| *key == name);
        named.next().map(|(_, value)| value).filter(|value| !matches!(*value, "" | "(null)"))
    };
    channel.answered_ms = variable(ANSWERED).and_then(epoch_ms).and_then(|there| link.ours(there));
    channel.lead_id = variable(LEAD).filter(|lead| lead.len() <= TEXT_BYTES_MAX).map(str::to_owned);
    channel.dialed = short(message, "DNID");
    let seconds = message.get("Seconds").and_then(|seconds| seconds.parse::<Millis>().ok());
    channel.age_ms = channel.age_ms.or_else(|| seconds.map(|seconds| seconds.saturating_mul(SECOND)));
    channel
}

/// `HH:MM:SS`, the hours as many digits as they need.
fn duration_ms(text: &str) -> Option<Millis> {
    let parts: Vec<Millis> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let seconds = parts.iter().try_fold(0, |sum: Millis, part| sum.checked_mul(60)?.checked_add(*part))?;
    if parts.len() == 3 { seconds.checked_mul(SECOND) } else { None }
}
