//! What a call is answered with: whom it is put through to, and how.
//!
//! Pure: a request, the settings and the callback URLs go in, TwiML comes out. The TwiML cannot lose a callback: the
//! `action` of `<Dial>` and a `statusCallback` with all four events on every noun lead back here.

mod answer;
mod request;
mod target;

pub use answer::{Answer, Outcome, Refused, after_dial, answer, numbers, whisper, whispers_for};
pub use request::{Origin, VoiceRequest};
pub use target::{DialPolicy, NamedBy, Refusal, Target, sip_host};

use super::twiml::{MachineDetection, Record};

/// What is set for a number: its own settings, and where they are silent the tenant's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The number that dialed parties see, or [`CALLER`].
    pub caller_id: Option<String>,
    /// Who takes inbound calls.
    pub connect: Vec<String>,
    /// For how long it rings; `None` is [`TIMEOUT_SECONDS`].
    pub timeout_seconds: Option<u32>,
    /// After how long a conversation is cut off; `None` leaves it to Twilio.
    pub time_limit_seconds: Option<u32>,
    /// Whether and how calls are recorded.
    pub record: Option<Record>,
    /// Whether a machine that answers a dialed number is told from a person.
    pub machine_detection: Option<MachineDetection>,
    /// Said to the caller before dialing.
    pub greeting: Option<String>,
    /// Said to the called party before it is connected.
    pub whisper: Option<String>,
    /// Twilio's name of the voice that says it.
    pub voice: Option<String>,
    /// The language it speaks.
    pub language: Option<String>,
    /// Said to the caller when nobody could be reached.
    pub unanswered: Option<String>,
    /// What may be dialed.
    pub policy: DialPolicy,
}

impl Settings {
    /// The number of ours that dialed parties see, where one is set.
    fn own_caller_id(&self) -> Option<&str> {
        self.caller_id.as_deref().filter(|id| *id != CALLER)
    }
}

/// As `caller_id`: the caller's own number is shown, also where the tenant's settings name another.
pub const CALLER: &str = "caller";
/// For how long it rings where nothing is set; Twilio's own default.
pub const TIMEOUT_SECONDS: u32 = 30;
/// Twilio's limits of the time to ring (`voice/twiml/dial`).
pub const TIMEOUT_SECONDS_RANGE: std::ops::RangeInclusive<u32> = 5..=600;
/// Twilio ends every call after 24 hours.
pub const TIME_LIMIT_SECONDS_RANGE: std::ops::RangeInclusive<u32> = 1..=86_400;
