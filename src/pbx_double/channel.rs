//! One leg of a call, as Asterisk keeps it.

use super::text::UNKNOWN;
use crate::domain::time::Millis;

/// A leg.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Such as `PJSIP/2001-00000007`: the number counts from 0 after each start.
    pub name: String,
    /// The id of the leg.
    pub uniqueid: String,
    /// The call it belongs to.
    pub linkedid: String,
    /// One of the numbers below.
    pub state: u8,
    /// Whose phone it is.
    pub party: Party,
    /// Whom its display shows.
    pub connected: Party,
    /// The extension its dialplan is at.
    pub exten: String,
    /// The step of its dialplan.
    pub priority: u32,
    /// What its dialplan does, and with what.
    pub application: (&'static str, String),
    /// Where its sound goes.
    pub bridge: Option<String>,
    /// When it began.
    pub began_ms: Millis,
    /// When it was answered.
    pub answered_ms: Option<Millis>,
    /// The leg that dials it, and whether that dial is still open.
    pub dialed_by: Option<(String, bool)>,
    /// Whether a program asked for it, not a phone.
    pub originated: bool,
    /// Its variables.
    pub variables: Vec<(String, String)>,
}

/// Somebody at a phone; nobody known if empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// The number shown to the other side.
    pub number: String,
    /// The name beside it.
    pub name: String,
}

impl Channel {
    /// The lines that describe a leg; in `DialBegin` and its like they are told of several, told apart by what they begin with.
    pub fn lines(&self, prefix: &str) -> Vec<(String, String)> {
        let state = self.state.to_string();
        let priority = self.priority.to_string();
        let lines: [(&str, &str); 14] = [
            ("Channel", &self.name),
            ("ChannelState", &state),
            ("ChannelStateDesc", describe(self.state)),
            ("CallerIDNum", or_unknown(&self.party.number)),
            ("CallerIDName", or_unknown(&self.party.name)),
            ("ConnectedLineNum", or_unknown(&self.connected.number)),
            ("ConnectedLineName", or_unknown(&self.connected.name)),
            ("Language", "en"),
            ("AccountCode", ""),
            ("Context", CONTEXT),
            ("Exten", &self.exten),
            ("Priority", &priority),
            ("Uniqueid", &self.uniqueid),
            ("Linkedid", &self.linkedid),
        ];
        lines.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value.to_owned())).collect()
    }

    /// By what the oldest of several Linkedids is found: its second and its number, in Asterisk's own ids.
    pub fn linkedid_age(&self) -> (Millis, u64) {
        let (before, number) = self.linkedid.rsplit_once('.').unwrap_or(("", ""));
        let second = before.rsplit('-').next().and_then(|second| second.parse().ok());
        // An id that a program chose says nothing: the leg that bears it does.
        let age = second.zip(number.parse().ok());
        age.unwrap_or((self.began_ms.div_euclid(1_000), 0))
    }

    /// Whether it is called and has not answered.
    pub fn is_dialed(&self) -> bool {
        self.dialed_by.as_ref().is_some_and(|(_, open)| *open)
    }

    /// The device it belongs to, such as `PJSIP/2001`.
    pub fn device(&self) -> &str {
        self.name.rsplit_once('-').map_or(self.name.as_str(), |(device, _)| device)
    }
}

/// The word of a state.
pub const fn describe(state: u8) -> &'static str {
    match state {
        DOWN => "Down",
        RING => "Ring",
        RINGING => "Ringing",
        UP => "Up",
        _ => "Unknown",
    }
}

/// The name of a cause.
pub const fn cause_name(cause: u8) -> &'static str {
    match cause {
        0 => "Unknown",
        3 => "No route to destination",
        16 => "Normal Clearing",
        17 => "User busy",
        19 => "User alerting, no answer",
        21 => "Call Rejected",
        26 => "Answered elsewhere",
        34 => "Circuit/channel congestion",
        127 => "Interworking, unspecified",
        _ => "Unknown cause",
    }
}

fn or_unknown(value: &str) -> &str {
    if value.is_empty() { UNKNOWN } else { value }
}

/// Not yet anything.
pub const DOWN: u8 = 0;
/// It calls us.
pub const RING: u8 = 4;
/// Its phone rings.
pub const RINGING: u8 = 5;
/// It was answered.
pub const UP: u8 = 6;
/// Where every phone of the double dials.
pub const CONTEXT: &str = "from-internal";
