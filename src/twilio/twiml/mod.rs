//! TwiML, built of types that cannot say what Twilio does not know.
//!
//! A `<Dial>` here has no `statusCallback`, because Twilio's has none: it would be ignored, and no callback of the
//! dialed leg would ever come. Attributes are fields, their values closed words, so a misspelt one does not compile.
//! Verbs and attributes: Twilio's documentation under `voice/twiml`; a test compares them with the official SDK.

pub mod attributes;
mod render;
mod words;

pub use words::{MachineDetection, Method, Progress, Record, RecordingProgress};

/// What an answer to a voice request says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// What Twilio does, one after the other.
    pub verbs: Vec<Verb>,
}

/// One thing Twilio does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Speaks.
    Say(Say),
    /// Connects the call with somebody.
    Dial(Box<Dial>),
    /// Ends the call.
    Hangup,
}

/// `<Say>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Say {
    /// What is spoken, up to [`SAY_CHARS_MAX`] characters.
    pub text: String,
    /// Twilio's name of the voice, such as `Polly.Joanna`.
    pub voice: Option<String>,
    /// The language, such as `en-GB`.
    pub language: Option<String>,
}

/// `<Dial>`. Callbacks about the dialed legs are asked for on the nouns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dial {
    /// Where Twilio asks what to do when the dialing is over.
    pub action: Option<String>,
    /// How it asks there.
    pub method: Option<Method>,
    /// For how many seconds it rings, 5 to 600.
    pub timeout_seconds: Option<u32>,
    /// After how many seconds the conversation is cut off.
    pub time_limit_seconds: Option<u32>,
    /// The number the dialed party sees.
    pub caller_id: Option<String>,
    /// Whether and how it is recorded.
    pub record: Option<Record>,
    /// Who is told of the recording.
    pub recording_status_callback: Option<String>,
    /// How.
    pub recording_status_callback_method: Option<Method>,
    /// Of what.
    pub recording_status_callback_event: Vec<RecordingProgress>,
    /// Whether an inbound call goes on ringing until the dialed party answers.
    pub answer_on_bridge: Option<bool>,
    /// Who is dialed, all at once, up to [`NOUNS_MAX`].
    pub nouns: Vec<Noun>,
}

/// Somebody to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noun {
    /// A telephone number.
    Number(Number),
    /// A Twilio client: a browser or an app.
    Client(Client),
    /// A SIP address.
    Sip(Sip),
}

/// `<Number>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Number {
    /// The number in E.164.
    pub number: String,
    /// What is said to whoever answers, and what is reported of the leg.
    pub leg: LegCallbacks,
    /// Whether and how a machine is told from a person.
    pub amd: Amd,
}

/// `<Client>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The identity, without `client:`.
    pub identity: String,
    /// What is said to whoever answers, and what is reported of the leg.
    pub leg: LegCallbacks,
}

/// `<Sip>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sip {
    /// The address, with its `sip:`.
    pub address: String,
    /// What is said to whoever answers, and what is reported of the leg.
    pub leg: LegCallbacks,
    /// Whether and how a machine is told from a person.
    pub amd: Amd,
}

/// What every noun can have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegCallbacks {
    /// TwiML that the called party hears before it is connected.
    pub url: Option<String>,
    /// How it is asked for.
    pub method: Option<Method>,
    /// Who is told how the leg goes on.
    pub status_callback: Option<String>,
    /// How.
    pub status_callback_method: Option<Method>,
    /// Of what. Empty: Twilio tells the end only.
    pub status_callback_event: Vec<Progress>,
}

/// How a machine that answers is found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amd {
    /// Whether, and whether a voicemail's greeting is waited for.
    pub machine_detection: Option<MachineDetection>,
    /// Who is told what answered.
    pub amd_status_callback: Option<String>,
    /// How.
    pub amd_status_callback_method: Option<Method>,
}

/// Why TwiML is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TwimlError {
    /// See [`SAY_CHARS_MAX`].
    #[error("write TwiML: a text to say has {chars} characters, {SAY_CHARS_MAX} are allowed")]
    SayTooLong {
        /// How many it has.
        chars: usize,
    },
    /// See [`NOUNS_MAX`].
    #[error("write TwiML: {nouns} are dialed at once, {NOUNS_MAX} are allowed")]
    TooManyNouns {
        /// How many there are.
        nouns: usize,
    },
    /// See [`BYTES_MAX`].
    #[error("write TwiML: it has {bytes} bytes, less than {BYTES_MAX} are allowed")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// The writer itself failed, which memory does not.
    #[error("write TwiML to memory")]
    Writer,
}

/// Twilio speaks no longer text (`voice/twiml/say`).
pub const SAY_CHARS_MAX: usize = 4_096;
/// Twilio rings no more at once (`voice/twiml/dial`).
pub const NOUNS_MAX: usize = 10;
/// Twilio takes no larger answer (error 11750).
pub const BYTES_MAX: usize = 64 * 1024;
