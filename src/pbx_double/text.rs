//! Messages as Asterisk writes them: `Key: Value` lines that end with an empty one.

use crate::domain::{time::Millis, words};
use std::fmt::Display;

words! {
    /// What a message is about: users may read some of them only (`read` in `manager.conf`).
    pub enum Class {
        /// Start, stop, registrations.
        System = "system",
        /// Channels, dials, bridges.
        Call = "call",
        /// Queues and their agents.
        Agent = "agent",
        /// What a dialplan or a program says by itself.
        User = "user",
        /// Records of calls.
        Cdr = "cdr",
        /// Every step of the dialplan, and every variable.
        Dialplan = "dialplan",
        /// Keys that were pressed.
        Dtmf = "dtmf",
        /// Figures of streams.
        Reporting = "reporting",
        /// Logins, and logins that failed.
        Security = "security",
        /// Only to write: placing calls.
        Originate = "originate",
        /// Only to write: the command line.
        Command = "command",
        /// Only to write: the configuration, with its secrets.
        Config = "config",
    }
}

/// A message that is being written.
#[derive(Clone, Debug)]
pub struct Text(String);

impl Text {
    /// Begins with this line.
    pub fn new(key: &str, value: impl Display) -> Self {
        Self(String::new()).line(key, value)
    }

    /// An answer; the id of the action stands second, if it had one.
    pub fn response(word: &str, action_id: Option<&str>) -> Self {
        Self::new("Response", word).maybe("ActionID", action_id)
    }

    /// One more line. A value cannot end its line.
    pub fn line(mut self, key: &str, value: impl Display) -> Self {
        let value = value.to_string().replace(['\r', '\n'], " ");
        for part in [key, ": ", value.as_str(), "\r\n"] {
            self.0.push_str(part);
        }
        self
    }

    /// One more line, if there is a value.
    pub fn maybe(self, key: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.line(key, value),
            None => self,
        }
    }

    /// All of these lines.
    pub fn lines(self, lines: Vec<(String, String)>) -> Self {
        lines.into_iter().fold(self, |text, (key, value)| text.line(&key, value))
    }

    /// The bytes of the whole message.
    pub fn end(mut self) -> Vec<u8> {
        self.0.push_str("\r\n");
        self.0.into_bytes()
    }
}

/// Something that happened, to be told to whoever listens.
#[derive(Clone, Debug)]
pub struct News {
    /// Who may hear it.
    pub class: Class,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// The lines every message of the world begins with.
#[derive(Clone, Debug)]
pub struct Head {
    /// `systemname` of `asterisk.conf`.
    pub system_name: Option<String>,
    /// Whether `timestampevents` is set.
    pub timestamps: bool,
}

impl Head {
    /// Begins a message of this class, at this time to the microsecond.
    pub fn begin(&self, event: &str, class: Class, at: (Millis, u32)) -> Text {
        Text::new("Event", event)
            .line("Privilege", format_args!("{class},all"))
            .maybe("Timestamp", self.timestamps.then(|| epoch(at)))
            .maybe("SystemName", self.system_name.as_deref())
    }
}

/// Seconds since the epoch with six places, as Asterisk writes a time.
pub fn epoch((at_ms, beyond_us): (Millis, u32)) -> String {
    format!("{}.{:03}{:03}", at_ms.div_euclid(1_000), at_ms.rem_euclid(1_000), beyond_us.min(999))
}

/// Asterisk's word for a name or number it does not know.
pub const UNKNOWN: &str = "<unknown>";
