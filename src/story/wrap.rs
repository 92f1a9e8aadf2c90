//! The same news in other wrappings: as an event of Event Streams, and as a report of the Debugger.

use super::Play;
use crate::{
    domain::time::{self, Millis},
    twilio::{
        door::{Door, Method},
        form::Form,
        signature::BODY_SHA256,
    },
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::form_urlencoded::Serializer;

/// What is told: of which leg, and when it happened.
pub(super) struct Told<'a> {
    pub(super) sid: String,
    pub(super) at_ms: Millis,
    pub(super) play: Play<'a>,
}

impl Told<'_> {
    /// A status callback as Event Streams tells it: the request that was made to the callback's URL, in a CloudEvent.
    /// The hash of the body is in the query.
    pub(super) fn by_event_streams(&self, query: &str, parameters: &str) -> (Method, String, Vec<u8>) {
        let form = Form::parse(parameters.as_bytes()).unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let told: serde_json::Map<String, Value> =
            form.pairs().map(|(name, value)| (text(name), Value::String(text(value)))).collect();
        let happened = match form.first("CallStatus").unwrap_or_default().as_ref() {
            live @ ("initiated" | "ringing") => live.to_owned(),
            "in-progress" => "answered".to_owned(),
            _ => "completed".to_owned(),
        };
        let at = time::rfc3339(self.at_ms);
        let account = self.play.account_sid;
        let event = json!({
            "specversion": "1.0",
            "type": format!("com.twilio.voice.status-callback.call.{happened}"),
            "source": format!("/2010-04-01/Accounts/{account}/Calls/{}", self.sid),
            "id": format!("EZ{}", self.hex(&happened)),
            "time": at,
            "dataschema": "https://events-schemas.twilio.com/Voice.WebhookEvent/2",
            "datacontenttype": "application/json",
            "data": {
                "sid": self.sid,
                "requestDateCreated": time::rfc2822(self.at_ms),
                "timestamp": at,
                "eventSid": format!("VW{}", self.hex(&happened)),
                "request": { "method": "POST", "url": self.callback_url(query), "parameters": told },
                "response": { "responseCode": 204, "requestDuration": 12, "dateCreated": time::rfc2822(self.at_ms) },
            },
        });
        let body = json!([event]).to_string().into_bytes();
        let query = format!("account={account}&{BODY_SHA256}={}", hex::encode(Sha256::digest(&body)));
        (Method::Post, query, body)
    }

    /// A report about a status callback that went wrong, with this error code.
    pub(super) fn by_the_debugger(&self, query: &str, code: &str) -> (Method, String, Vec<u8>) {
        let payload = json!({
            "resource_sid": self.sid,
            "service_sid": null,
            "error_code": code,
            "more_info": { "Msg": "Got HTTP 502 response", "sourceComponent": "14100", "ErrorCode": code },
            "webhook": {
                "type": "application/json",
                "request": {
                    "url": self.callback_url(query), "method": "POST", "headers": {},
                    "parameters": { "CallSid": self.sid, "AccountSid": self.play.account_sid },
                },
                "response": { "status_code": 502, "headers": {}, "body": "" },
            },
        });
        let mut body = Serializer::new(String::new());
        body.append_pair("Sid", &format!("NO{}", self.hex(code)))
            .append_pair("AccountSid", self.play.account_sid)
            .append_pair("Timestamp", &time::rfc3339(self.at_ms))
            .append_pair("Level", "Warning")
            .append_pair("PayloadType", "application/json")
            .append_pair("Payload", &payload.to_string());
        // Twilio writes %20 for a space in the bodies of its voice webhooks.
        (Method::Post, String::new(), body.finish().replace('+', "%20").into_bytes())
    }

    fn callback_url(&self, query: &str) -> String {
        let (path, mark) = (Door::Status.path(), if query.is_empty() { "" } else { "?" });
        format!("https://calls.example.com{path}{mark}{query}")
    }

    /// An identifier's digits, the same each time.
    fn hex(&self, what: &str) -> String {
        let digest = hex::encode(Sha256::digest(format!("{}/{what}/{}", self.sid, self.at_ms)));
        digest.get(..32).unwrap_or_default().to_owned()
    }
}
