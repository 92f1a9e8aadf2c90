//! What Twilio's REST API (2010-04-01) answers, as far as it is used here. Unknown fields are ignored, because Twilio adds
//! some without notice; what may be missing, `null` or empty is `None`.

use crate::domain::time::{Millis, parse_rfc2822};
use serde::{Deserialize, Deserializer};

/// `GET /Accounts/{AC}.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// `AC` and 32 hexadecimal digits.
    pub sid: String,
    /// What people call it.
    #[serde(default, deserialize_with = "text")]
    pub friendly_name: Option<String>,
    /// `active`, `suspended` or `closed`.
    #[serde(default, deserialize_with = "text")]
    pub status: Option<String>,
    /// The parent of a sub-account; its own sid for a parent.
    #[serde(default, deserialize_with = "text")]
    pub owner_account_sid: Option<String>,
}

/// An entry of `GET /IncomingPhoneNumbers.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PhoneNumber {
    /// `PN` and 32 hexadecimal digits.
    pub sid: String,
    /// In E.164.
    #[serde(default)]
    pub phone_number: String,
    /// The TwiML application whose voice URLs count instead of the number's.
    #[serde(default, deserialize_with = "text")]
    pub voice_application_sid: Option<String>,
    /// The Elastic SIP trunk that takes its calls.
    #[serde(default, deserialize_with = "text")]
    pub trunk_sid: Option<String>,
    /// Where TwiML is fetched.
    #[serde(default, deserialize_with = "text")]
    pub voice_url: Option<String>,
    /// Where the end of an inbound call is reported.
    #[serde(default, deserialize_with = "text")]
    pub status_callback: Option<String>,
    /// `POST` or `GET`.
    #[serde(default, deserialize_with = "text")]
    pub status_callback_method: Option<String>,
}

/// An entry of `GET /Applications.json`: a TwiML application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Application {
    /// `AP` and 32 hexadecimal digits.
    pub sid: String,
    /// What people call it.
    #[serde(default, deserialize_with = "text")]
    pub friendly_name: Option<String>,
    /// Where TwiML is fetched.
    #[serde(default, deserialize_with = "text")]
    pub voice_url: Option<String>,
    /// Where the end of its calls is reported.
    #[serde(default, deserialize_with = "text")]
    pub status_callback: Option<String>,
    /// `POST` or `GET`.
    #[serde(default, deserialize_with = "text")]
    pub status_callback_method: Option<String>,
}

/// `GET /Calls/{CA}.json` and the entries of `GET /Calls.json`. Eventually consistent: it may lag behind callbacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Call {
    /// `CA` and 32 hexadecimal digits.
    pub sid: String,
    /// The account or sub-account that owns it.
    #[serde(default)]
    pub account_sid: String,
    /// The leg that dialed this one.
    #[serde(default, deserialize_with = "text")]
    pub parent_call_sid: Option<String>,
    /// `queued`, `ringing`, `in-progress`, or one of the endings `completed`, `busy`, `failed`, `no-answer`, `canceled`.
    pub status: String,
    /// `inbound`, `outbound-api`, `outbound-dial`, `trunking-originating`, `trunking-terminating`.
    #[serde(default, deserialize_with = "text")]
    pub direction: Option<String>,
    /// The caller: E.164, `client:…`, `sip:…`, or a word for a withheld number.
    #[serde(default, deserialize_with = "text")]
    pub from: Option<String>,
    /// The called party, written likewise.
    #[serde(default, deserialize_with = "text")]
    pub to: Option<String>,
    /// When it was created, in Unix milliseconds; `null` for a moment after `POST /Calls`.
    #[serde(rename = "date_created", default, deserialize_with = "rfc2822")]
    pub created_ms: Option<Millis>,
    /// When it last changed.
    #[serde(rename = "date_updated", default, deserialize_with = "rfc2822")]
    pub updated_ms: Option<Millis>,
    /// When it was dialed.
    #[serde(rename = "start_time", default, deserialize_with = "rfc2822")]
    pub started_ms: Option<Millis>,
    /// When it ended; may be missing for a call that did not complete.
    #[serde(rename = "end_time", default, deserialize_with = "rfc2822")]
    pub ended_ms: Option<Millis>,
    /// Seconds; missing, `""` or `"0"` for a call that nobody answered.
    #[serde(rename = "duration", default, deserialize_with = "seconds")]
    pub duration_seconds: Option<u64>,
    /// What answered, where machine detection was on.
    #[serde(default, deserialize_with = "text")]
    pub answered_by: Option<String>,
}

impl Call {
    /// Whether it has ended. A status nobody knows is none of an ended call.
    pub fn has_ended(&self) -> bool {
        ["completed", "busy", "failed", "no-answer", "canceled"].contains(&self.status.as_str())
    }
}

/// An entry of `GET /Calls/{CA}/Events.json`: a request that Twilio made for a call, or took, and what was answered. There
/// from 15 minutes after the end of the call on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CallRequest {
    /// What was sent.
    #[serde(deserialize_with = "or_default")]
    pub request: Sent,
    /// What came back.
    #[serde(deserialize_with = "or_default")]
    pub response: Answered,
}

/// The request of a [`CallRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Sent {
    /// `POST` or `GET`.
    #[serde(deserialize_with = "text")]
    pub method: Option<String>,
    /// Where it was sent to.
    #[serde(deserialize_with = "text")]
    pub url: Option<String>,
    /// Twilio's parameters, their names in snake_case.
    #[serde(deserialize_with = "or_default")]
    pub parameters: serde_json::Map<String, serde_json::Value>,
}

/// The response of a [`CallRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Answered {
    /// The HTTP status; `None` if nobody answered.
    #[serde(deserialize_with = "code")]
    pub response_code: Option<u16>,
}

impl CallRequest {
    /// Whether it is a status callback, and not a request for TwiML or to the API.
    pub fn is_status_callback(&self) -> bool {
        self.parameter("callback_source") == Some("call-progress-events")
    }

    /// The status that it reports.
    pub fn call_status(&self) -> Option<&str> {
        self.parameter("call_status")
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.request.parameters.get(name)?.as_str()
    }
}

/// What Twilio answers in place of what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// Of Twilio's error dictionary.
    pub code: Option<u32>,
    /// In words.
    pub message: Option<String>,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()))
}

/// A moment that is not in RFC 2822 is not known.
fn rfc2822<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Millis>, D::Error> {
    Ok(text(from)?.and_then(|text| parse_rfc2822(&text)))
}

/// A number, also as a text, as Twilio writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Whole(u64),
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(match Option::<Number>::deserialize(from)? {
        Some(Number::Text(text)) => text.trim().parse().ok(),
        Some(Number::Whole(number)) => Some(number),
        None => None,
    })
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    number(from)
}

fn code<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    Ok(number(from)?.and_then(|code| u16::try_from(code).ok()).filter(|code| *code > 0))
}
