//! A captured stream that is played again, byte for byte, by the times it was captured at.

use super::channel::{CONTEXT, Channel, Party};
use crate::domain::time::{Millis, parse_rfc3339};

/// A captured stream: one part per connection it was captured on.
#[derive(Clone, Debug)]
pub struct Tape {
    parts: Vec<Part>,
    /// Which part is played, and how many of its messages were.
    at: (usize, usize),
    /// Whether somebody has listened to this part.
    begun: bool,
    /// Whether the list of this part was asked for.
    listed: bool,
    channels: Vec<Channel>,
}

#[derive(Clone, Debug)]
struct Part {
    messages: Vec<Recorded>,
}

/// A message of a capture, with whatever stood between it and the next one.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When it was captured.
    pub at_ms: Millis,
    /// Its bytes.
    pub bytes: Vec<u8>,
    headers: Vec<(String, String)>,
}

/// What there is to do after some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Played {
    /// These bytes are sent to whoever listens.
    Bytes(Vec<u8>),
    /// The link is cut: the next part begins with the next connection.
    Cut,
}

impl Tape {
    /// Reads a capture: its bytes, and its clock as lines of `byte_offset`, time and more, separated by tabs. Nothing
    /// if the clock does not fit the bytes.
    pub fn parse(bytes: &[u8], clock: &str) -> Option<Self> {
        let rows = clock.lines().filter_map(|line| {
            let mut fields = line.split('\t');
            let offset: usize = fields.next()?.parse().ok()?;
            Some((offset, parse_rfc3339(fields.next()?)?))
        });
        let rows: Vec<(usize, Millis)> = rows.collect();
        let ends = rows.iter().skip(1).map(|(offset, _)| *offset).chain([bytes.len()]);
        let mut parts: Vec<Part> = Vec::new();
        for ((start, at_ms), end) in rows.iter().zip(ends) {
            let message = Recorded::new(*at_ms, bytes.get(*start..end)?);
            if message.bytes.starts_with(BANNER) {
                parts.push(Part { messages: Vec::new() });
            }
            parts.last_mut()?.messages.push(message);
        }
        let channels = Vec::new();
        (!parts.is_empty()).then_some(Self { parts, at: (0, 0), begun: false, listed: false, channels })
    }

    /// The first line of every connection, with its end.
    pub fn banner(&self) -> Vec<u8> {
        self.part().and_then(|part| part.messages.first()).map(|first| first.bytes.clone()).unwrap_or_default()
    }

    /// When a part begins, counted from 0.
    pub fn start_ms(&self, part: usize) -> Option<Millis> {
        self.parts.get(part)?.messages.first().map(|first| first.at_ms)
    }

    /// The time of the last message of all.
    pub fn end_ms(&self) -> Option<Millis> {
        self.parts.last()?.messages.last().map(|last| last.at_ms)
    }

    /// Whether a connection can be made at this time.
    pub fn is_open(&self, now_ms: Millis) -> bool {
        self.at.0 == 0 || self.start_ms(self.at.0).is_some_and(|start_ms| start_ms <= now_ms)
    }

    /// How a login was answered when it was captured; nothing if it never was.
    pub fn login(&self) -> Option<&Recorded> {
        self.part()?.messages.iter().find(|message| message.is_login())
    }

    /// When the PBX had begun to run, by its own words in this part.
    pub fn boot_ms(&self) -> Millis {
        let booted = self.part().and_then(|part| part.messages.iter().find(|m| m.get("Event") == Some("FullyBooted")));
        let up = booted.and_then(|message| Some((message.at_ms, message.get("Uptime")?.parse::<Millis>().ok()?)));
        up.map_or_else(|| self.start_ms(self.at.0).unwrap_or_default(), |(at_ms, up_s)| at_ms - up_s * 1_000)
    }

    /// Somebody listens: the part is played from here on, unless it is already.
    pub fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// Whether everything was played.
    pub fn is_over(&self) -> bool {
        self.at.0 + 1 >= self.parts.len() && self.begun && self.next().is_none()
    }

    /// What lives, by everything that was played.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// When the next message comes.
    pub fn next_due_ms(&self) -> Option<Millis> {
        let next = self.next().map(|message| message.at_ms);
        let end = || (self.at.0 + 1 < self.parts.len()).then(|| self.part()?.messages.last().map(|last| last.at_ms));
        if self.begun { next.or_else(|| end().flatten()) } else { None }
    }

    /// Plays everything up to this time, as far as this part goes.
    pub fn tick(&mut self, now_ms: Millis) -> Vec<Played> {
        let mut played = Vec::new();
        while self.begun && self.next().is_some_and(|message| message.at_ms <= now_ms) {
            played.extend(self.step().map(Played::Bytes));
        }
        if self.begun && self.next().is_none() && self.at.0 + 1 < self.parts.len() {
            self.at = (self.at.0 + 1, 0);
            (self.begun, self.listed) = (false, false);
            played.push(Played::Cut);
        }
        played
    }

    /// The channel list is asked for. After a cut the list of the capture is the answer: everything before it is played
    /// at once, and the list itself is not played again.
    pub fn list(&mut self) -> Vec<Vec<u8>> {
        let mut played = Vec::new();
        if self.at.0 == 0 || std::mem::replace(&mut self.listed, true) {
            return played;
        }
        let Some(part) = self.part() else { return played };
        let own = |message: &Recorded| message.get("Event") == Some("CoreShowChannelsComplete");
        let Some(id) = part.messages.iter().find(|m| own(m)).and_then(|m| m.get("ActionID")).map(str::to_owned) else {
            return played;
        };
        let is_item = |message: &Recorded| message.get("ActionID") == Some(&id);
        while self.next().is_some_and(|message| !is_item(message)) {
            played.extend(self.step());
        }
        self.channels.clear();
        while let Some(message) = self.next().filter(|message| is_item(message)) {
            if message.get("Event") == Some("CoreShowChannel") {
                let channel = message.listed();
                self.channels.extend(channel);
            }
            self.at.1 += 1;
        }
        played
    }

    fn part(&self) -> Option<&Part> {
        self.parts.get(self.at.0)
    }

    fn next(&self) -> Option<&Recorded> {
        self.part()?.messages.get(self.at.1)
    }

    /// Plays one message. The banner and the answer to the login were ours already.
    fn step(&mut self) -> Option<Vec<u8>> {
        let message = self.next()?.clone();
        self.at.1 += 1;
        if message.bytes.starts_with(BANNER) || message.is_login() {
            return None;
        }
        self.follow(&message);
        Some(message.bytes)
    }

    /// Keeps the list of what lives.
    fn follow(&mut self, message: &Recorded) {
        let event = message.get("Event").unwrap_or_default();
        if message.get("ActionID").is_some() || matches!(event, "" | "CEL" | "Cdr") {
            return;
        }
        if event == "Newchannel" {
            self.channels.extend(message.channel(""));
            return;
        }
        for prefix in ["", "Dest"] {
            let Some(id) = message.get(&format!("{prefix}Uniqueid")) else { continue };
            let Some(known) = self.channels.iter_mut().find(|channel| channel.uniqueid == id) else { continue };
            if let Some(now) = message.channel(prefix) {
                let (bridge, began_ms) = (known.bridge.take(), known.began_ms);
                *known = Channel { bridge, began_ms, ..now };
            }
            match event {
                "BridgeEnter" => known.bridge = message.get("BridgeUniqueid").map(str::to_owned),
                "BridgeLeave" => known.bridge = None,
                _ => {}
            }
        }
        if event == "Hangup" {
            self.channels.retain(|channel| Some(channel.uniqueid.as_str()) != message.get("Uniqueid"));
        }
        self.relink();
    }

    /// Legs in one plain bridge are of the oldest call among them; no message says so at once.
    fn relink(&mut self) {
        let bridges: Vec<String> = self.channels.iter().filter_map(|channel| channel.bridge.clone()).collect();
        for bridge in bridges {
            let members = || self.channels.iter().filter(|channel| channel.bridge.as_ref() == Some(&bridge));
            if members().count() != 2 {
                continue;
            }
            let oldest = members().min_by_key(|channel| channel.linkedid_age()).map(|channel| channel.linkedid.clone());
            for channel in self.channels.iter_mut().filter(|channel| channel.bridge.as_ref() == Some(&bridge)) {
                oldest.iter().for_each(|oldest| channel.linkedid.clone_from(oldest));
            }
        }
    }
}

impl Recorded {
    fn new(at_ms: Millis, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let header = |line: &str| {
            let (key, value) = line.split_once(':')?;
            Some((key.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned()))
        };
        let headers = text.split("\r\n").filter_map(header).collect();
        Self { at_ms, bytes: bytes.to_vec(), headers }
    }

    /// The first header of this name.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut same = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        same.next().map(|(_, value)| value.as_str())
    }

    /// The same message with another `ActionID`.
    pub fn with_action_id(&self, action_id: Option<&str>) -> Vec<u8> {
        let text = super::text::Text::new("Response", self.get("Response").unwrap_or_default());
        let text = text.maybe("ActionID", action_id);
        let more = self.headers.iter().filter(|(key, _)| key != "Response" && key != "ActionID").cloned().collect();
        text.lines(more).end()
    }

    /// Whether it answers a login.
    fn is_login(&self) -> bool {
        self.headers.first().is_some_and(|(key, _)| key == "Response")
            && self.get("Message").is_some_and(|message| message.starts_with("Authentication "))
    }

    fn channel(&self, prefix: &str) -> Option<Channel> {
        let get = |key: &str| self.get(&format!("{prefix}{key}")).unwrap_or_default().to_owned();
        let known = |key: &str| Some(get(key)).filter(|value| value != super::text::UNKNOWN).unwrap_or_default();
        let party = |kind: &str| Party { number: known(&format!("{kind}Num")), name: known(&format!("{kind}Name")) };
        Some(Channel {
            name: self.get(&format!("{prefix}Channel"))?.to_owned(),
            uniqueid: get("Uniqueid"),
            linkedid: get("Linkedid"),
            state: get("ChannelState").parse().ok()?,
            party: party("CallerID"),
            connected: party("ConnectedLine"),
            exten: get("Exten"),
            priority: get("Priority").parse().unwrap_or(1),
            application: ("", String::new()),
            bridge: None,
            began_ms: self.at_ms,
            answered_ms: None,
            dialed_by: None,
            originated: get("Context") != CONTEXT,
            variables: Vec::new(),
        })
    }

    /// As a row of a channel list says it.
    fn listed(&self) -> Option<Channel> {
        let bridge = self.get("BridgeId").filter(|bridge| !bridge.is_empty()).map(str::to_owned);
        let mut parts = self.get("Duration").unwrap_or_default().split(':').map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        let age_s: Millis = next() * 3_600 + next() * 60 + next();
        self.channel("").map(|channel| Channel { bridge, began_ms: self.at_ms - age_s * 1_000, ..channel })
    }
}

const BANNER: &[u8] = b"Asterisk Call Manager/";
