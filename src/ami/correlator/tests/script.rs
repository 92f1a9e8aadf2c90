//! Streams written by hand, for what was not captured: one message a line, `time event header=value …`.

use super::{
    super::{Correlator, Gap, Heard},
    replay::Run,
};
use crate::{
    ami::{Message, Snapshot, snapshot},
    domain::time::Millis,
};

/// A moment to begin at: 2026-11-20.
pub(super) const START_MS: Millis = 1_795_160_000_000;

/// Short names of headers.
const SHORT: [(&str, &str); 12] = [
    ("u", "Uniqueid"),
    ("l", "Linkedid"),
    ("c", "Channel"),
    ("s", "ChannelState"),
    ("du", "DestUniqueid"),
    ("dl", "DestLinkedid"),
    ("dc", "DestChannel"),
    ("ds", "DestChannelState"),
    ("num", "CallerIDNum"),
    ("ext", "Exten"),
    ("b", "BridgeUniqueid"),
    ("n", "BridgeNumChannels"),
];

/// The message of a line, and when it comes.
fn message(line: &str) -> (Message, Millis) {
    let mut words = line.split_whitespace();
    let at_ms = START_MS + words.next().unwrap().parse::<Millis>().unwrap();
    let mut headers = vec![("Event".to_owned(), words.next().unwrap().to_owned())];
    for word in words {
        let (key, value) = word.split_once('=').unwrap();
        let key = SHORT.iter().find(|(short, _)| *short == key).map_or(key, |(_, long)| long);
        headers.push((key.to_owned(), value.replace('~', " ")));
    }
    (Message::new(headers), at_ms)
}

impl Run {
    /// One that is connected and knows of no call.
    pub(super) fn started() -> Self {
        let mut run = Self::new();
        run.said.extend(run.correlator.resync(&list(0, &[]), Gap::default()));
        run
    }

    /// Hears these messages.
    pub(super) fn hear(&mut self, script: &str) -> &mut Self {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (message, at_ms) = message(line);
            self.pass(at_ms);
            let heard = Heard { received_ms: at_ms, at_ms: Some(at_ms) };
            let said = Correlator::absorb(&mut self.correlator, &message, heard);
            self.said.extend(said);
        }
        self
    }

    /// A minute later: what it all came to.
    pub(super) fn came_to(&mut self) -> Vec<String> {
        self.pass(self.now_ms + 60_000);
        self.lines()
    }
}

/// A list of channels: `uniqueid linkedid name state bridge`, `-` for none, and `caller>dialed` where that is known.
pub(super) fn list(at_ms: Millis, lines: &[&str]) -> Snapshot {
    let channel = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        let spoken = words.get(5).and_then(|word| word.split_once('>'));
        let (caller, dialed) = spoken.map(|(caller, dialed)| (caller.to_owned(), dialed.to_owned())).unzip();
        let is_caller = words[0] == words[1];
        snapshot::Channel {
            caller: caller.clone().filter(|_| is_caller),
            connected: caller.filter(|_| !is_caller),
            dialed: dialed.filter(|_| is_caller),
            uniqueid: words[0].to_owned(),
            linkedid: words[1].to_owned(),
            name: words[2].to_owned(),
            state: words[3].parse().unwrap(),
            bridge: (words[4] != "-").then(|| words[4].to_owned()),
            age_ms: Some(10_000),
            ..snapshot::Channel::default()
        }
    };
    let at_ms = START_MS + at_ms;
    Snapshot { asked_ms: at_ms, listed_ms: at_ms, channels: lines.iter().map(channel).collect() }
}

/// 2001 calls 2002, which rings.
pub(super) const RINGS: &str = "
    0 Newchannel c=PJSIP/2001-1 s=4 u=a l=a num=2001 ext=2002
    1 Newchannel c=PJSIP/2002-2 s=0 u=b l=a num=2002 ext=s
    2 DialBegin c=PJSIP/2001-1 s=4 u=a l=a num=2001 dc=PJSIP/2002-2 ds=0 du=b dl=a DialString=2002
    3 Newstate c=PJSIP/2002-2 s=5 u=b l=a";

/// It answers after a second.
pub(super) const ANSWERS: &str = "
    1000 Newstate c=PJSIP/2002-2 s=6 u=b l=a
    1000 DialEnd c=PJSIP/2001-1 s=4 u=a l=a dc=PJSIP/2002-2 ds=6 du=b dl=a DialStatus=ANSWER
    1001 Newstate c=PJSIP/2001-1 s=6 u=a l=a
    1002 BridgeEnter c=PJSIP/2002-2 s=6 u=b l=a b=x n=1 BridgeType=basic
    1002 BridgeEnter c=PJSIP/2001-1 s=6 u=a l=a b=x n=2 BridgeType=basic";

/// It hangs up at 9 s.
pub(super) const ENDS: &str = "
    9000 BridgeLeave c=PJSIP/2002-2 s=6 u=b l=a b=x n=1
    9001 Hangup c=PJSIP/2002-2 s=6 u=b l=a Cause=16
    9002 BridgeLeave c=PJSIP/2001-1 s=6 u=a l=a b=x n=0
    9003 Hangup c=PJSIP/2001-1 s=6 u=a l=a Cause=16";
