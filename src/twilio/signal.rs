//! A status callback read as a signal.
//!
//! One callback is one signal: the claim from `CallStatus`, and with it everything else the callback says (addresses,
//! parent, recording, whose lead it is). Statuses and parameters: Twilio's documentation of the Call resource
//! (`voice/api/call-resource#statuscallback`) and of the dialed nouns (`voice/twiml/number`).
//!
//! Twilio signs what it sends, but a signature says nothing about sense: a value that cannot be right is left out and
//! named in [`StatusDelivery::noted`], and the signal counts without it. Only what makes the callback nobody's
//! (no call, no account, no status) is [`Unreadable`].

use super::form::Form;
use crate::domain::{
    id::Leg,
    signal::{Claim, Field, Link, LinkRank, Signal, Told, Witness, believable},
    state::{HangupCause, Live, Outcome},
    time::{self, DAY, Millis, SECOND},
    words,
};
use std::{borrow::Cow, collections::BTreeMap};

words! {
    /// How the callback was sent.
    pub enum Method {
        /// Everything is in the query string.
        Get = "GET",
        /// Twilio's parameters are in the body, ours in the query string.
        Post = "POST",
    }
}

/// A status callback that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusDelivery {
    /// What happened.
    pub signal: Signal,
    /// What was left out and why, for whoever looks at the delivery. Shows no numbers of people.
    pub noted: Vec<String>,
}

/// A callback that speaks of no call we could name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A parameter every status callback has is not there, or empty.
    #[error("read the status callback: {field} is missing, it should be {allowed}")]
    Missing {
        /// Twilio's name of the parameter.
        field: &'static str,
        /// What it should be.
        allowed: &'static str,
    },
    /// It is there, but of no shape Twilio ever sends.
    #[error("read the status callback: {field} is {value:?}, it should be {allowed}")]
    Misshapen {
        /// Twilio's name of the parameter.
        field: &'static str,
        /// What it is, shortened.
        value: String,
        /// What it should be.
        allowed: &'static str,
    },
}

/// The account a callback claims to be of. Nothing is proved by it: it chooses the tokens to verify with.
pub fn account_sid<'a>(method: Method, query: &'a Form, body: &'a Form) -> Option<Cow<'a, str>> {
    parameters(method, query, body).first("AccountSid")
}

/// Where Twilio's own parameters are.
const fn parameters<'a>(method: Method, query: &'a Form, body: &'a Form) -> &'a Form {
    match method {
        Method::Get => query,
        Method::Post => body,
    }
}

/// Reads a status callback. `received_ms` is when it first reached us.
pub fn read_status(
    method: Method,
    query: &Form,
    body: &Form,
    received_ms: Millis,
) -> Result<StatusDelivery, Unreadable> {
    let mut reading = Reading { form: parameters(method, query, body), query, noted: Vec::new() };
    let leg = Leg { provider_id: reading.sid("CallSid", CALL_SID)?, account: reading.sid("AccountSid", ACCOUNT_SID)? };
    let signal = Signal {
        leg,
        witness: Witness::Callback,
        claim: reading.claim()?,
        at: reading.timestamp(received_ms),
        sequence: reading.whole("SequenceNumber", SEQUENCE_MAX),
        details: reading.details(),
        link: reading.correlation("lead_id").map(|lead_id| Link { rank: LinkRank::Url, lead_id }),
        received_ms,
    };
    Ok(StatusDelivery { signal, noted: reading.noted })
}

/// One callback while it is being read.
struct Reading<'a> {
    /// Twilio's parameters.
    form: &'a Form,
    /// The query string of the callback URL, where our own parameters are.
    query: &'a Form,
    noted: Vec<String>,
}

impl<'a> Reading<'a> {
    /// A parameter of Twilio's. One that is empty says nothing: Twilio sends many of those.
    fn given(&self, name: &str) -> Option<Cow<'a, str>> {
        self.form.first(name).filter(|value| !value.is_empty())
    }

    fn sid(&self, field: &'static str, shape: SidShape) -> Result<String, Unreadable> {
        let value = self.given(field).ok_or(Unreadable::Missing { field, allowed: shape.allowed })?;
        if shape.fits(&value) {
            return Ok(value.into_owned());
        }
        Err(Unreadable::Misshapen { field, value: shortened(&value).to_owned(), allowed: shape.allowed })
    }

    fn claim(&mut self) -> Result<Claim, Unreadable> {
        let status = self.given("CallStatus");
        let word = status.ok_or(Unreadable::Missing { field: "CallStatus", allowed: "a status such as completed" })?;
        Ok(match word.as_ref() {
            "queued" => Claim::Live(Live::Queued),
            "initiated" => Claim::Live(Live::Initiated),
            "ringing" => Claim::Live(Live::Ringing),
            // The event is called `answered`, its CallStatus is not.
            "in-progress" => Claim::Live(Live::Answered),
            "completed" => self.ended(Outcome::Completed),
            "busy" => self.ended(Outcome::Busy),
            "no-answer" => self.ended(Outcome::NoAnswer),
            "failed" => self.ended(Outcome::Failed),
            "canceled" => self.ended(Outcome::Canceled),
            unknown => Claim::Unknown(shortened(unknown).to_owned()),
        })
    }

    fn ended(&mut self, outcome: Outcome) -> Claim {
        let cause = match outcome {
            Outcome::Completed => HangupCause::Normal,
            Outcome::Busy => HangupCause::Busy,
            Outcome::NoAnswer => HangupCause::NoAnswer,
            Outcome::Canceled => HangupCause::Canceled,
            Outcome::Failed => failure(self.given("SipResponseCode").as_deref()),
        };
        // `Duration` is billed minutes.
        Claim::Ended(Told { outcome, seconds: self.whole("CallDuration", CALL_SECONDS_MAX), cause })
    }

    fn timestamp(&mut self, received_ms: Millis) -> Option<Millis> {
        let text = self.given("Timestamp")?;
        let at = believable(time::parse_rfc2822(&text), received_ms);
        if at.is_none() {
            let value = shortened(&text);
            self.noted.push(format!("Timestamp {value:?} is no believable RFC 2822 time: the time received counts"));
        }
        at
    }

    /// A whole number from 0 to `max`.
    fn whole(&mut self, name: &str, max: i64) -> Option<i64> {
        let text = self.given(name)?;
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|n| digits && *n <= max);
        if number.is_none() {
            let value = shortened(&text);
            self.noted.push(format!("{name} {value:?} is no whole number from 0 to {max}: ignored"));
        }
        number
    }

    fn details(&mut self) -> BTreeMap<Field, String> {
        let details = [
            (Field::ParentId, self.parent()),
            (Field::Direction, self.bounded("Direction", WORD_BYTES_MAX)),
            (Field::From, self.bounded("From", ADDRESS_BYTES_MAX)),
            (Field::To, self.bounded("To", ADDRESS_BYTES_MAX)),
            (Field::Extension, self.correlation("extension")),
            (Field::UserId, self.correlation("user_id")),
            (Field::JobId, self.correlation("job_id")),
            (Field::Attempt, self.correlation("attempt")),
            (Field::AnsweredBy, self.bounded("AnsweredBy", WORD_BYTES_MAX)),
            (Field::RecordingUrl, self.recording_url()),
            (Field::RecordingSeconds, self.whole("RecordingDuration", CALL_SECONDS_MAX).map(|s| s.to_string())),
        ];
        details.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
    }

    fn parent(&mut self) -> Option<String> {
        let value = self.given("ParentCallSid")?;
        if CALL_SID.fits(&value) {
            return Some(value.into_owned());
        }
        let (value, allowed) = (shortened(&value), CALL_SID.allowed);
        self.noted.push(format!("ParentCallSid {value:?} is not {allowed}: ignored"));
        None
    }

    /// Shown as a link, so it must be one that a browser may follow.
    fn recording_url(&mut self) -> Option<String> {
        let url = self.bounded("RecordingUrl", URL_BYTES_MAX)?;
        if url.starts_with("https://") || url.starts_with("http://") {
            return Some(url);
        }
        self.noted.push("RecordingUrl is no http or https URL: ignored".to_owned());
        None
    }

    fn bounded(&mut self, name: &str, bytes_max: usize) -> Option<String> {
        self.within(name, self.given(name)?, bytes_max)
    }

    /// A parameter of ours, which the user put into the callback URL. It is signed with the URL.
    fn correlation(&mut self, name: &str) -> Option<String> {
        let value = self.query.first(name).filter(|value| !value.is_empty())?;
        self.within(name, value, CORRELATION_BYTES_MAX)
    }

    fn within(&mut self, name: &str, value: Cow<'_, str>, bytes_max: usize) -> Option<String> {
        if value.len() <= bytes_max {
            return Some(value.into_owned());
        }
        self.noted.push(format!("{name} has {} bytes, {bytes_max} are allowed: ignored", value.len()));
        None
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

/// The first bytes of a value, cut between two characters, for messages and for words nobody knows.
fn shortened(value: &str) -> &str {
    value.get(..value.floor_char_boundary(SHOWN_BYTES_MAX)).unwrap_or(value)
}

/// What Twilio's identifiers look like.
#[derive(Clone, Copy)]
struct SidShape {
    prefix: &'static str,
    allowed: &'static str,
}

impl SidShape {
    fn fits(self, value: &str) -> bool {
        let hex = |digits: &str| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        value.strip_prefix(self.prefix).is_some_and(hex)
    }
}

const CALL_SID: SidShape = SidShape { prefix: "CA", allowed: "CA and 32 hex digits" };
const ACCOUNT_SID: SidShape = SidShape { prefix: "AC", allowed: "AC and 32 hex digits" };

/// Longer values of `lead_id`, `job_id`, `attempt`, `extension` and `user_id` are ignored.
pub const CORRELATION_BYTES_MAX: usize = 200;
/// A SIP address with its parameters fits; a telephone number certainly does.
pub const ADDRESS_BYTES_MAX: usize = 500;
/// `Direction`, `AnsweredBy`: the longest word in use has 22 bytes.
pub const WORD_BYTES_MAX: usize = 50;
/// `RecordingUrl`.
pub const URL_BYTES_MAX: usize = 2_000;
/// Twilio ends a call after 24 hours at the latest; a week leaves room for accounts with other rules.
pub const CALL_SECONDS_MAX: i64 = 7 * DAY / SECOND;
/// A leg fires four or five callbacks; a number like this is a mistake.
pub const SEQUENCE_MAX: i64 = 1_000_000;
/// How much of a wrong value is shown, and of an unknown status kept.
pub const SHOWN_BYTES_MAX: usize = 60;
