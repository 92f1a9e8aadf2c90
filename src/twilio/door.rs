//! The doors: which webhook of Twilio's goes to which path, and what each says.
//!
//! A delivery is stored with its door and its raw bytes, and [`read`] is all that is needed to read it: when it comes,
//! when it is tried again, and when it is taken out of quarantine.

use super::{
    alert::{Alert, read_debugger},
    amd::read_amd,
    dial::read_dial,
    event_stream::{Entry, read_entry},
    form::{Form, FormError},
    reading::Unreadable,
    recording::read_recording,
    signal::{read_status, read_voice},
};
use crate::domain::{
    id::Leg,
    signal::{Claim, Signal},
    time::Millis,
    words,
};
use std::borrow::Cow;

words! {
    /// A webhook of Twilio's. The word is stored with each delivery as its source.
    pub enum Door {
        /// Status callbacks of calls and of dialed nouns.
        Status = "twilio/status",
        /// Requests for TwiML: what is to be done with a call. Answered with TwiML.
        Voice = "twilio/voice",
        /// Requests for what a dialed leg hears before it is bridged (the `url` of a noun). Answered with TwiML.
        Whisper = "twilio/whisper",
        /// What came of a `<Dial>` (its `action`). Answered with TwiML.
        Dial = "twilio/dial",
        /// Recordings (`recordingStatusCallback`).
        Recording = "twilio/recording",
        /// Who or what answered (`amdStatusCallback`, `AsyncAmdStatusCallback`).
        Amd = "twilio/amd",
        /// Errors and warnings of Twilio's Debugger.
        Debugger = "twilio/debugger",
        /// A webhook sink of Event Streams: many events in one JSON array, each of which is a delivery of its own.
        Events = "twilio/events",
    }
}

impl Door {
    /// The path below the public URL.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Status => super::STATUS_PATH,
            Self::Voice => "/webhooks/twilio/voice",
            Self::Whisper => "/webhooks/twilio/whisper",
            Self::Dial => "/webhooks/twilio/dial",
            Self::Recording => "/webhooks/twilio/recording",
            Self::Amd => "/webhooks/twilio/amd",
            Self::Debugger => "/webhooks/twilio/debugger",
            Self::Events => "/webhooks/twilio/events",
        }
    }
}

/// What the body of a webhook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Parameters, which are signed with the URL.
    Form,
    /// CloudEvents in a JSON array, whose hash is in the signed URL.
    Events,
}

impl Door {
    /// What comes through it.
    pub const fn carries(self) -> Carries {
        match self {
            Self::Status | Self::Voice | Self::Whisper | Self::Dial | Self::Recording | Self::Amd | Self::Debugger => {
                Carries::Form
            }
            Self::Events => Carries::Events,
        }
    }
}

words! {
    /// How a webhook was sent.
    pub enum Method {
        /// Everything is in the query string.
        Get = "GET",
        /// Twilio's parameters are in the body, ours in the query string.
        Post = "POST",
    }
}

/// A webhook's parameters, decoded.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// How it was sent.
    pub method: Method,
    /// The query string of the URL.
    pub query: Form,
    /// The body of a POST; empty for a GET.
    pub body: Form,
}

impl Parameters {
    /// Decodes the raw query string and body.
    pub fn parse(method: Method, query: &[u8], body: &[u8]) -> Result<Self, FormError> {
        Ok(Self { method, query: Form::parse(query)?, body: Form::parse(body)? })
    }

    /// Where Twilio's own parameters are.
    pub const fn of_twilio(&self) -> &Form {
        match self.method {
            Method::Get => &self.query,
            Method::Post => &self.body,
        }
    }

    /// What its user wrote into the URL. By GET everything is in one query string, Twilio's part behind the user's
    /// (`usage/webhooks/getting-started-twilio-webhooks`): what a device calls `lead_id` or `connect` stands behind the
    /// first name of Twilio's, all of which begin with a capital, and is not the user's word.
    pub fn own(&self) -> Cow<'_, Form> {
        let of_twilio = |name: &[u8]| name.first().is_some_and(u8::is_ascii_uppercase);
        match self.method {
            Method::Get => Cow::Owned(self.query.before(of_twilio)),
            Method::Post => Cow::Borrowed(&self.query),
        }
    }

    /// The account a webhook claims to be of. Nothing is proved by it: it chooses the tokens to verify with.
    pub fn account_sid(&self) -> Option<Cow<'_, str>> {
        self.of_twilio().first("AccountSid")
    }
}

impl Door {
    /// The account a webhook claims to be of. A batch has no parameters, and its events may be of several accounts: the
    /// URL of its sink names the one that signs.
    pub fn account_sid(self, parameters: &Parameters) -> Option<Cow<'_, str>> {
        match self.carries() {
            Carries::Form => parameters.account_sid(),
            Carries::Events => parameters.query.first("account"),
        }
    }
}

/// What a delivery says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The call the delivery is filed under.
    pub provider_id: String,
    /// What happened, in the order it is to be told. At most one signal for each leg.
    pub signals: Vec<Signal>,
    /// Calls whose truth has to be asked for now: something about them may have been lost on the way.
    pub ask: Vec<Leg>,
    /// What Twilio's Debugger reports, for the person on call.
    pub alert: Option<Alert>,
    /// What was left out and why, for whoever looks at the delivery. Shows no numbers of people.
    pub noted: Vec<String>,
}

impl Said {
    /// The status words that nobody knows.
    pub fn unknown_words(&self) -> impl Iterator<Item = &str> {
        self.signals.iter().filter_map(|signal| match &signal.claim {
            Claim::Unknown(word) => Some(word.as_str()),
            _ => None,
        })
    }
}

/// Reads what came through a door that takes forms. `received_ms` is when it first reached us.
pub fn read(door: Door, parameters: &Parameters, received_ms: Millis) -> Result<Said, Unreadable> {
    let (twilio, query) = (parameters.of_twilio(), &*parameters.own());
    match door {
        Door::Status => read_status(twilio, query, received_ms),
        Door::Voice | Door::Whisper => read_voice(twilio, query, received_ms),
        Door::Dial => read_dial(twilio, query, received_ms),
        Door::Recording => read_recording(twilio, query, received_ms),
        Door::Amd => read_amd(twilio, query, received_ms),
        Door::Debugger => read_debugger(twilio, query, received_ms),
        // What is there is JSON: see `read_stored`.
        Door::Events => Err(Unreadable::Missing { field: "type", allowed: "the type of a CloudEvent" }),
    }
}

/// Reads a delivery from the raw bytes it is stored with, whatever the door. That of an event is one CloudEvent.
pub fn read_stored(
    door: Door,
    method: Method,
    query: &[u8],
    body: &[u8],
    received_ms: Millis,
) -> Result<Said, StoredUnreadable> {
    if door != Door::Events {
        return Ok(read(door, &Parameters::parse(method, query, body)?, received_ms)?);
    }
    match read_entry(body, received_ms)? {
        Entry::Said { said, .. } => Ok(said),
        // Neither is ever stored.
        Entry::Test | Entry::Foreign { .. } => {
            Err(Unreadable::Missing { field: "type", allowed: "the type of a CloudEvent about a call" }.into())
        }
    }
}

/// Why a stored delivery cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredUnreadable {
    /// It is no form.
    #[error(transparent)]
    Form(#[from] FormError),
    /// It speaks of no call.
    #[error(transparent)]
    Webhook(#[from] Unreadable),
}
