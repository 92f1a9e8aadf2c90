//! A status callback, or a request for TwiML, read as a signal.
//!
//! One webhook is one signal: the claim from `CallStatus`, and with it everything else the webhook says (addresses,
//! parent, recording, whose lead it is). Statuses and parameters: Twilio's documentation of the Call resource
//! (`voice/api/call-resource#statuscallback`) and of the dialed nouns (`voice/twiml/number`).

use super::{
    door::Said,
    form::Form,
    reading::{CALL_SECONDS_MAX, Reading, SEQUENCE_MAX, Unreadable, shortened},
};
use crate::domain::{
    signal::{Claim, Field, Signal, Told, Witness},
    state::{HangupCause, Live, Outcome},
    time::Millis,
};
use std::collections::BTreeSet;

/// Reads a status callback. `parameters` are Twilio's, `query` is that of the callback's URL, `received_ms` is when it
/// first reached us.
pub(super) fn read_status(parameters: &Form, query: &Form, received_ms: Millis) -> Result<Said, Unreadable> {
    let mut reading = Reading::new(parameters, query);
    let at = reading.time("Timestamp", received_ms);
    let sequence = reading.whole("SequenceNumber", SEQUENCE_MAX);
    let mut signal = reading.call_signal((at, sequence), received_ms)?;
    signal.details.extend(reading.recording());
    Ok(reading.said(signal.leg.provider_id.clone(), vec![signal]))
}

/// Reads a request for TwiML: of a call that came in or was answered, or of a dialed leg before it is bridged (the
/// `url` of a `<Number>`). It says how far its leg is, not since when, and it is not numbered.
///
/// What an app gives to the Voice SDK (and a SIP telephone to its address) comes as parameters among Twilio's own. So
/// of a call that a device placed nothing is read that Twilio itself would not send: the device has no parent, nobody
/// answered it, and nothing is recorded yet.
pub(super) fn read_voice(parameters: &Form, query: &Form, received_ms: Millis) -> Result<Said, Unreadable> {
    let mut reading = Reading::new(parameters, query);
    let mut signal = reading.call_signal(UNTOLD, received_ms)?;
    if parameters.first("From").is_some_and(|from| is_device(&from)) {
        signal.details.retain(|field, _| !matches!(field, Field::ParentId | Field::AnsweredBy));
    } else {
        signal.details.extend(reading.recording());
    }
    Ok(reading.said(signal.leg.provider_id.clone(), vec![signal]))
}

impl Reading<'_> {
    /// The signal of the leg in `CallSid`: its status, its addresses and what the URL says. `told` is the
    /// provider's own time of it and its sequence number.
    pub(super) fn call_signal(
        &mut self,
        told: (Option<Millis>, Option<i64>),
        received_ms: Millis,
    ) -> Result<Signal, Unreadable> {
        let leg = self.leg()?;
        let claim = self.claim("CallStatus", "CallDuration")?;
        let (details, link, (at, sequence)) = (self.details(), self.link(), told);
        Ok(Signal { leg, witness: Witness::Callback, claim, at, sequence, details, link, received_ms })
    }

    /// What was read.
    pub(super) fn said(mut self, provider_id: String, signals: Vec<Signal>) -> Said {
        // What is said of two legs is read twice.
        let mut seen = BTreeSet::new();
        self.noted.retain(|noted| seen.insert(noted.clone()));
        Said { provider_id, signals, ask: Vec::new(), alert: None, noted: self.noted }
    }

    /// What a status word claims. `status` and `duration` are Twilio's names of the two parameters.
    pub(super) fn claim(&mut self, status: &'static str, duration: &str) -> Result<Claim, Unreadable> {
        let word = self.required(status, "a status such as completed")?;
        Ok(match Word::of(&word) {
            Some(Word::Live(live)) => Claim::Live(live),
            Some(Word::Ended(outcome)) => self.ended(outcome, duration),
            None => Claim::Unknown(shortened(&word).to_owned()),
        })
    }

    /// An ending. `duration` names the parameter with the seconds: never `Duration`, which is billed minutes.
    pub(super) fn ended(&mut self, outcome: Outcome, duration: &str) -> Claim {
        let cause = cause(outcome, self.given("SipResponseCode").as_deref());
        Claim::Ended(Told { outcome, seconds: self.whole(duration, CALL_SECONDS_MAX), cause })
    }
}

/// What a status word says, in webhooks and in answers of the REST API.
pub(super) enum Word {
    Live(Live),
    Ended(Outcome),
}

impl Word {
    pub(super) fn of(status: &str) -> Option<Self> {
        Some(match status {
            "queued" => Self::Live(Live::Queued),
            "initiated" => Self::Live(Live::Initiated),
            "ringing" => Self::Live(Live::Ringing),
            // The event is called `answered`, its status is not.
            "in-progress" => Self::Live(Live::Answered),
            "completed" => Self::Ended(Outcome::Completed),
            "busy" => Self::Ended(Outcome::Busy),
            "no-answer" => Self::Ended(Outcome::NoAnswer),
            "failed" => Self::Ended(Outcome::Failed),
            "canceled" => Self::Ended(Outcome::Canceled),
            _ => return None,
        })
    }
}

/// Why a call ended, by how it ended and by its final SIP code, if that is told.
pub(super) fn cause(outcome: Outcome, sip_response_code: Option<&str>) -> HangupCause {
    match outcome {
        Outcome::Completed => HangupCause::Normal,
        Outcome::Busy => HangupCause::Busy,
        Outcome::NoAnswer => HangupCause::NoAnswer,
        Outcome::Canceled => HangupCause::Canceled,
        Outcome::Failed => failure(sip_response_code),
    }
}

/// The cause of a `failed` call from the final SIP code. It refines the cause only, never the status: Twilio reports
/// busy with 487 as well as with 486.
fn failure(sip_response_code: Option<&str>) -> HangupCause {
    match sip_response_code {
        // RFC 3261 21.4 and 21.6: not found, gone, temporarily unavailable, address incomplete, does not exist anywhere.
        Some("404" | "410" | "480" | "484" | "604") => HangupCause::Unreachable,
        // RFC 3261: forbidden, decline. RFC 5079: anonymity disallowed. RFC 8197: unwanted. RFC 8688: rejected.
        Some("403" | "433" | "603" | "607" | "608") => HangupCause::Rejected,
        _ => HangupCause::Failed,
    }
}

/// Whether an address is a client's or a SIP telephone's.
pub(super) fn is_device(address: &str) -> bool {
    ["client:", "sip:", "sips:"].iter().any(|scheme| address.starts_with(scheme))
}

/// Neither a time nor a sequence number.
pub(super) const UNTOLD: (Option<Millis>, Option<i64>) = (None, None);
