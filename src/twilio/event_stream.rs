//! Event Streams: CloudEvents in a JSON array, sent to a webhook sink, at least once and in any order.
//!
//! An event of a voice webhook (`Voice.WebhookEvent`) holds the request that Twilio made to the webhook: its URL and its
//! parameters. So it is read by the reader of that webhook and makes the same signal: told by both, it counts once.
//! `docs/event-streams.md` says what of this Twilio documents and what is not confirmed; where it is not, every plausible
//! spelling is read.

use super::{
    alert::{Alert, part, shown},
    amd::read_amd,
    dial::read_dial,
    door::Said,
    form::Form,
    reading::{Unreadable, shortened},
    recording::read_recording,
    sid,
    signal::{read_status, read_voice},
    signature::{BODY_SHA256, BodyHash, body_sha256},
};
use crate::domain::time::{self, Millis};
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;
use url::{Url, form_urlencoded};

/// One event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It speaks of a call, or of trouble with one.
    Said {
        /// The account it is of. Not necessarily the one that owns the sink.
        account: String,
        /// What it says.
        said: Said,
    },
    /// Twilio, or somebody at its console, tries whether the sink works.
    Test,
    /// It says nothing of a call's state: it is taken and not kept.
    Foreign {
        /// Its type, shortened.
        kind: String,
    },
}

/// Why a body is no batch.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// It is not JSON, or neither a list nor an object.
    #[error("read the events: the body is no JSON list of CloudEvents: {0}")]
    NotJson(#[from] serde_json::Error),
    /// See [`BATCH_ENTRIES_MAX`].
    #[error("read the events: there are {seen}, {BATCH_ENTRIES_MAX} are allowed at once")]
    TooMany {
        /// How many there are.
        seen: usize,
    },
}

/// The events of a batch, each as its raw bytes. One event without a list around it is a batch of one.
pub fn split(body: &[u8]) -> Result<Vec<&RawValue>, BatchError> {
    if body.trim_ascii_start().starts_with(b"{") {
        return Ok(vec![serde_json::from_slice(body)?]);
    }
    let entries: Vec<&RawValue> = serde_json::from_slice(body)?;
    if entries.len() > BATCH_ENTRIES_MAX {
        return Err(BatchError::TooMany { seen: entries.len() });
    }
    Ok(entries)
}

/// What is wrong with the body of a signed batch, for the person on call; `None` if it is the one that was signed.
pub fn body_fault(query: &str, body: &[u8]) -> Option<&'static str> {
    match body_sha256(query, body) {
        Ok(BodyHash::Same) => None,
        Ok(BodyHash::Missing) => Some("there is no bodySHA256 in the query, so nothing says which body was signed"),
        Ok(BodyHash::Different) => Some("bodySHA256 is the hash of another body"),
        Err(_) => Some("the query has too many parameters"),
    }
}

/// The query string of a sink as it is kept with each of its events: without the hash, which is of the whole batch and
/// another one when the event is sent again in other company.
pub fn kept_query(query: &str) -> String {
    let is_hash = |pair: &&str| pair.split('=').next() == Some(BODY_SHA256);
    query.split('&').filter(|pair| !is_hash(pair)).collect::<Vec<_>>().join("&")
}

/// Reads one event. `received_ms` is when it first reached us.
pub fn read_entry(raw: &[u8], received_ms: Millis) -> Result<Entry, Unreadable> {
    let event: Value = serde_json::from_slice(raw).unwrap_or_default();
    let Some(kind) = part(&event, &["type"]).as_str() else {
        let allowed = "the type of a CloudEvent, a text";
        return Err(Unreadable::Misshapen { field: "type", value: shown(part(&event, &["type"])), allowed });
    };
    // Before it was `status-callback`, it was `webhook.status-callback`.
    let topic = kind.strip_prefix("com.twilio.").unwrap_or(kind).replacen("voice.webhook.", "voice.", 1);
    let webhook = Webhook::of(&event);
    let read = match topic.as_str() {
        "eventstreams.test-event" => return Ok(Entry::Test),
        topic if topic.starts_with("voice.status-callback.call.") => read_status,
        // What came of a `<Dial>` is asked of the call that dialed, perhaps long after that was answered: the moment of
        // a request for TwiML is never the moment of a status.
        "voice.twiml.call.requested" if webhook.parameters.contains_key("DialCallStatus") => read_dial,
        "voice.twiml.call.requested" => read_voice,
        topic if topic.starts_with("voice.status-callback.amd.") => read_amd,
        topic if topic.starts_with("voice.status-callback.recording.") => read_recording,
        topic if topic.starts_with("error-logs.") => return read_alert(&event),
        _ => return Ok(Entry::Foreign { kind: shortened(kind).to_owned() }),
    };
    let account = webhook.parameters.get("AccountSid").cloned().unwrap_or_default();
    let said = read(&webhook.form()?, &webhook.query()?, received_ms)?;
    Ok(Entry::Said { account, said })
}

/// The webhook that an event tells of.
struct Webhook {
    /// Twilio's parameters by the names they have in a form.
    parameters: BTreeMap<String, String>,
    /// The URL, with what its user put into the query.
    url: Option<Url>,
}

impl Webhook {
    fn of(event: &Value) -> Self {
        let opened = opened(part(event, &["data"]));
        let request = part(&opened, &["request"]);
        let nested = part(request, &["parameters"]);
        // Where there is no request inside, the parameters may stand in the open.
        let named = if nested.is_object() { nested } else { &opened };
        let mut parameters: BTreeMap<String, String> = named
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((callback_name(name), text(value)?)))
            .collect();
        if let Some(stamp) = parameters.get_mut("Timestamp")
            && let Some(at) = time::parse_rfc3339(stamp)
        {
            *stamp = time::rfc2822(at);
        }
        let mut or_else = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                parameters.entry(name.to_owned()).or_insert(value);
            }
        };
        or_else("CallSid", part(&opened, &["sid"]).as_str().map(str::to_owned));
        let told = [part(&opened, &["timestamp"]), part(event, &["time"])];
        or_else("Timestamp", told.iter().find_map(|value| time::parse_rfc3339(value.as_str()?)).map(time::rfc2822));
        Self { parameters, url: part(request, &["url"]).as_str().and_then(|url| Url::parse(url).ok()) }
    }

    fn form(&self) -> Result<Form, Unreadable> {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(&self.parameters);
        parse(encoded.finish().as_bytes())
    }

    fn query(&self) -> Result<Form, Unreadable> {
        parse(self.url.as_ref().and_then(Url::query).unwrap_or_default().as_bytes())
    }
}

fn parse(encoded: &[u8]) -> Result<Form, Unreadable> {
    Form::parse(encoded).map_err(|error| {
        let (value, allowed) = (error.to_string(), "the parameters of one webhook");
        Unreadable::Misshapen { field: "data.request", value, allowed }
    })
}

/// An event about an error: that of the Debugger, with the same payload as JSON text (not confirmed) inside.
fn read_alert(event: &Value) -> Result<Entry, Unreadable> {
    let opened = opened(part(event, &["data"]));
    let sid_of = |field: &'static str, value: &Value, shape: sid::Sid| match value.as_str() {
        Some(text) if shape.fits(text) => Ok(text.to_owned()),
        _ => Err(Unreadable::Misshapen { field, value: shown(value), allowed: shape.allowed }),
    };
    let account =
        sid_of("data.account_sid", part(&opened, &["account_sid", "accountSid", "AccountSid"]), sid::ACCOUNT)?;
    let sid = sid_of("data.sid", part(&opened, &["sid", "Sid"]), sid::ALERT)?;
    let level = part(&opened, &["level", "Level"]).as_str().map(|level| shortened(level).to_owned());
    let inner = Alert::of_payload(sid, level, &self::opened(part(&opened, &["payload", "Payload"])));
    let outer = Alert::of_payload(inner.sid.clone(), None, &opened);
    let alert = Alert {
        code: outer.code.or(inner.code),
        call: inner.call.or(outer.call),
        url: inner.url.or(outer.url),
        sid: inner.sid,
        level: inner.level,
    };
    Ok(Entry::Said { said: alert.said(account.clone(), Vec::new()), account })
}

/// JSON, or JSON as text.
fn opened(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    }
}

/// `call_sid` and `callSid` are `CallSid`.
pub(super) fn callback_name(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('_').map(capital).collect()
}

/// A parameter of a form is a text; here some may be numbers.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A sink sends less at once; more is somebody else.
pub const BATCH_ENTRIES_MAX: usize = 1_000;
