//! Captures as a list of what happens to a correlator, and what its signals come to.

use super::super::{Correlator, Gap, Heard, Rules};
use crate::{
    ami::{Message, Snapshot, snapshot},
    domain::{
        call::{Call, Row},
        signal::{Claim, Field, Signal},
        state::Outcome,
        time::{Millis, SECOND, parse_rfc3339},
    },
};
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

/// Where the captures are.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/ami")
}

/// Something that happens to a correlator.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    Connected(Millis),
    Message(Message, Millis),
    Resync(Snapshot, Gap),
    Audit(Snapshot),
    Disconnected,
}

/// A capture, read.
#[derive(Clone, Debug)]
pub(super) struct Capture {
    pub turns: Vec<Turn>,
    pub end_ms: Millis,
}

fn parsed(message: &Message, name: &str) -> Option<i64> {
    message.value(name)?.parse().ok()
}

/// The message of these lines.
fn message(lines: &[String]) -> Message {
    let header = |line: &String| {
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        (key.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned())
    };
    Message::new(lines.iter().map(header).collect())
}

/// `HH:MM:SS` in milliseconds.
fn age(text: &str) -> Option<Millis> {
    let mut seconds = 0;
    for part in text.split(':') {
        seconds = seconds * 60 + part.parse::<i64>().ok()?;
    }
    Some(seconds * SECOND)
}

/// A channel of `CoreShowChannels`.
fn listed(item: &Message) -> snapshot::Channel {
    let text = |name: &str| item.value(name).map(str::to_owned);
    snapshot::Channel {
        name: text("Channel").unwrap(),
        uniqueid: text("Uniqueid").unwrap(),
        linkedid: text("Linkedid").unwrap(),
        state: item.value("ChannelState").unwrap().parse().unwrap(),
        bridge: text("BridgeId"),
        application: text("Application"),
        caller: text("CallerIDNum"),
        connected: text("ConnectedLineNum"),
        exten: text("Exten"),
        dialed: None,
        age_ms: item.value("Duration").and_then(age),
        answered_ms: None,
        lead_id: None,
    }
}

/// The CDR time of an answer in an item of `Status`: `Variable: CDR(answer,u)=1795160031.139000`.
fn cdr_answer(item: &Message) -> Option<Millis> {
    let value = item.all("Variable").find_map(|pair| pair.strip_prefix("CDR(answer,u)="))?;
    let (seconds, micros) = value.split_once('.')?;
    Some(seconds.parse::<i64>().ok()? * SECOND + micros.get(..3)?.parse::<i64>().ok()?)
}

impl Capture {
    /// Reads one: banners are connects, lists become snapshots.
    pub(super) fn read(name: &str) -> Self {
        let bytes = fs::read(folder().join(format!("{name}.txt"))).unwrap();
        let clock = fs::read_to_string(folder().join(format!("{name}.ts.tsv"))).unwrap();
        let tick = |line: &str| {
            let mut columns = line.split('\t');
            let offset = columns.next()?.parse::<usize>().ok()?;
            Some((offset, parse_rfc3339(columns.next()?)?))
        };
        let clock: Vec<(usize, Millis)> = clock.lines().filter_map(tick).collect();
        let at = |offset: usize| clock.iter().rev().find(|(from, _)| *from <= offset).map_or(0, |(_, at_ms)| *at_ms);
        let mut raw = Vec::new();
        let (mut lines, mut offset, mut start) = (Vec::new(), 0, 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned();
            if text.starts_with("Asterisk Call Manager") {
                raw.push((None, at(offset)));
            } else if text.is_empty() {
                if !lines.is_empty() {
                    raw.push((Some(message(&lines)), at(start)));
                }
                lines.clear();
            } else {
                start = if lines.is_empty() { offset } else { start };
                lines.push(text);
            }
            offset += line.len();
        }
        Self::arrange(&raw)
    }

    fn arrange(raw: &[(Option<Message>, Millis)]) -> Self {
        let mut turns = Vec::new();
        let mut channels: Option<Vec<snapshot::Channel>> = None;
        let (mut asked_ms, mut heard_ms, mut boot_ms) = (0, None, None);
        // After a second banner all is kept back until the list; the Status list belongs to it where there is one.
        let mut gap: Option<Gap> = None;
        for (index, (message, at_ms)) in raw.iter().enumerate() {
            let at_ms = *at_ms;
            let Some(message) = message else {
                if heard_ms.is_some() {
                    turns.push(Turn::Disconnected);
                }
                turns.push(Turn::Connected(at_ms));
                let restarted_ms = None;
                match heard_ms {
                    Some(_) => gap = Some(Gap { heard_ms, restarted_ms }),
                    None => turns.push(Turn::Resync(Snapshot::default(), Gap::default())),
                }
                continue;
            };
            heard_ms = Some(at_ms);
            if let (Some("FullyBooted"), Some(uptime)) = (message.event(), parsed(message, "Uptime")) {
                let booted_ms = at_ms - uptime * SECOND;
                let before = boot_ms.replace(booted_ms);
                if let (Some(gap), Some(before)) = (&mut gap, before) {
                    gap.restarted_ms = (booted_ms > before + 2 * SECOND).then_some(booted_ms);
                }
            }
            match message.event() {
                Some("CoreShowChannel") => channels.get_or_insert_default().push(listed(message)),
                Some("Status") => {
                    for channel in channels.iter_mut().flatten() {
                        if message.value("Uniqueid") == Some(&channel.uniqueid) {
                            channel.answered_ms = cdr_answer(message);
                        }
                    }
                }
                _ => {}
            }
            if message.response().is_some() && message.value("Message") == Some("Channels will follow") {
                (asked_ms, channels) = (at_ms, Some(Vec::new()));
            }
            turns.push(Turn::Message(message.clone(), at_ms));
            let is_last = |(later, _): &(Option<Message>, Millis)| {
                later.as_ref().is_none_or(|later| later.event() != Some("StatusComplete"))
            };
            let is_complete = match message.event() {
                Some("StatusComplete") => true,
                Some("CoreShowChannelsComplete") => raw[index + 1..].iter().all(is_last),
                _ => false,
            };
            if let Some(channels) = channels.take_if(|_| is_complete) {
                let list = Snapshot { asked_ms, listed_ms: at_ms, channels };
                turns.push(gap.take().map_or_else(|| Turn::Audit(list.clone()), |gap| Turn::Resync(list.clone(), gap)));
            }
        }
        Self { turns, end_ms: raw.last().map_or(0, |(_, at_ms)| *at_ms) }
    }
}

pub(super) fn rules() -> Rules {
    Rules { account: "pbx1".to_owned(), if_answered: Outcome::Completed }
}

/// A correlator, the clock it is turned by, and what it has said.
#[derive(Clone)]
pub(super) struct Run {
    pub correlator: Correlator,
    pub said: Vec<Signal>,
    pub now_ms: Millis,
}

impl Run {
    pub(super) fn new() -> Self {
        Self { correlator: Correlator::new(rules()), said: Vec::new(), now_ms: 0 }
    }

    pub(super) fn take(&mut self, turn: &Turn) {
        match turn {
            Turn::Connected(at_ms) => {
                self.now_ms = *at_ms;
                self.correlator.connected(*at_ms);
            }
            Turn::Message(message, at_ms) => {
                self.pass(*at_ms);
                let heard = Heard { received_ms: *at_ms, at_ms: Some(*at_ms) };
                self.said.extend(Correlator::absorb(&mut self.correlator, message, heard));
            }
            Turn::Resync(list, gap) => self.said.extend(self.correlator.resync(list, *gap)),
            Turn::Audit(list) => self.said.extend(self.correlator.audit(list)),
            Turn::Disconnected => self.correlator.disconnected(),
        }
    }

    /// Time passes: what becomes due on the way is done when it is due.
    pub(super) fn pass(&mut self, until_ms: Millis) {
        while let Some(wake_ms) = self.correlator.wake_at_ms().filter(|wake_ms| *wake_ms <= until_ms) {
            self.said.extend(self.correlator.tick(wake_ms));
        }
        self.now_ms = self.now_ms.max(until_ms);
    }

    /// Plays a capture to its end and a minute on.
    pub(super) fn of(capture: &Capture) -> Self {
        let mut run = Self::new();
        for turn in &capture.turns {
            run.take(turn);
        }
        run.pass(capture.end_ms + 60 * SECOND);
        run
    }

    /// What the signals come to, by the id of the row.
    pub(super) fn rows(&self) -> BTreeMap<String, (Call, Row)> {
        let mut known = HashSet::new();
        let mut told: BTreeMap<&str, Vec<&Signal>> = BTreeMap::new();
        for signal in &self.said {
            assert_eq!(signal.leg.account, "pbx1");
            if known.insert(signal.identity()) {
                told.entry(&signal.leg.provider_id).or_default().push(signal);
            }
        }
        let row = |(id, signals): (&str, Vec<&Signal>)| {
            let call = Call::fold(signals);
            let row = call.read();
            (id.to_owned(), (call, row))
        };
        told.into_iter().map(row).collect()
    }

    /// The rows as people read them; ids are replaced by what was dialed.
    pub(super) fn lines(&self) -> Vec<String> {
        let rows = self.rows();
        let name = |id: &str| {
            let parent = rows.get(id).map_or(0, |(call, _)| usize::from(call.detail(Field::ParentId).is_some()));
            let who = |field| rows.get(id).and_then(|(call, _)| call.detail(field)).unwrap_or("?");
            format!("{} {}>{}", ["call", "leg"][parent], who(Field::From), who(Field::To))
        };
        let line = |(id, (call, row)): (&String, &(Call, Row))| {
            let resolution = row.resolution.map_or("live", |resolution| resolution.as_str());
            let cause = row.hangup_cause.map_or("-", |cause| cause.as_str());
            let mut line = format!("{} {} {cause} {resolution}", name(id), row.status);
            if row.estimated {
                line.push('~');
            }
            line.push_str(&format!(" {}s", row.talk_seconds.unwrap_or(-1)));
            if let Some(merged) = call.detail(Field::MergedInto) {
                line.push_str(&format!(" into {}", name(merged)));
            }
            line
        };
        rows.iter().map(line).collect()
    }
}

/// No row is told the same twice, and none lives again after its ending was told.
pub(super) fn assert_few(name: &str, said: &[Signal]) {
    let mut told: HashSet<(&str, String)> = HashSet::new();
    let mut ended: HashSet<&str> = HashSet::new();
    for signal in said.iter().filter(|signal| signal.claim != Claim::Link && signal.claim != Claim::Alive) {
        let row = signal.leg.provider_id.as_str();
        assert!(told.insert((row, format!("{:?}", signal.claim))), "{name}: {row} is told twice: {:?}", signal.claim);
        assert!(!ended.contains(row), "{name}: {row} has ended, but then: {:?}", signal.claim);
        if matches!(signal.claim, Claim::Ended(_)) {
            ended.insert(row);
        }
    }
}
