//! What Twilio's Debugger reports: which of its requests went wrong, and what that means for a call.
//!
//! It comes as a webhook of the Debugger (a form whose `Payload` is JSON text) and as an event of Event Streams
//! (`com.twilio.error-logs.error.logged`). It moves nothing. Where a callback may have been lost on the way, the call is
//! due now. Codes: Twilio's error dictionary (`api/errors`); form: `usage/troubleshooting/debugging-event-webhooks`.

use super::{
    door::Said,
    form::Form,
    reading::{Reading, Unreadable, WORD_BYTES_MAX, shortened},
    sid,
};
use crate::domain::{id::Leg, time::Millis, words};
use serde_json::Value;
use std::ops::RangeInclusive;
use url::Url;

/// One report of the Debugger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Twilio's id of it.
    pub sid: String,
    /// `Error`, `Warning` or another word, as it came.
    pub level: Option<String>,
    /// Twilio's error code.
    pub code: Option<u32>,
    /// The call it is about, if it is about one.
    pub call: Option<String>,
    /// The URL that was asked, without query and credentials.
    pub url: Option<String>,
}

words! {
    /// Whether a callback may have been lost.
    pub enum Loss {
        /// What the call did meanwhile may never be told: it has to be asked.
        Likely = "likely",
        /// Nothing about a call is lost by it.
        Unlikely = "unlikely",
    }
}

/// What a code means and what to do.
struct Known {
    codes: RangeInclusive<u32>,
    meaning: &'static str,
    advice: &'static str,
}

impl Alert {
    /// Reads the JSON of a report. What has another form than documented says nothing.
    pub(super) fn of_payload(sid: String, level: Option<String>, payload: &Value) -> Self {
        let webhook = part(payload, &["webhook"]);
        let request = part(webhook, &["request"]);
        let parameters = part(request, &["parameters"]);
        let calls = [
            part(payload, &["resource_sid", "resourceSid", "correlation_sid"]),
            part(parameters, &["CallSid", "call_sid"]),
        ];
        let call = calls.iter().filter_map(|value| value.as_str()).find(|text| sid::CALL.fits(text));
        let url = part(request, &["url"]).as_str().and_then(shown_url);
        Self { sid, level, code: code(part(payload, &["error_code", "errorCode"])), call: call.map(str::to_owned), url }
    }

    /// What the code means; `None` for codes that are not about requests to a webhook.
    pub fn meaning(&self) -> Option<&'static str> {
        self.known().map(|known| known.meaning)
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&'static str> {
        self.known().map(|known| known.advice)
    }

    /// Whether what the call did may never be told.
    pub const fn loss(&self) -> Loss {
        match self.code {
            Some(11_200..=11_217 | 11_220 | 11_235..=11_237 | 15_000..=15_004) => Loss::Likely,
            _ => Loss::Unlikely,
        }
    }

    /// What is read of it: filed under the call if there is one, and the call to be asked about if something was lost.
    pub(super) fn said(self, account: String, noted: Vec<String>) -> Said {
        let provider_id = self.call.clone().unwrap_or_else(|| self.sid.clone());
        let leg = |call: &String| Leg { provider_id: call.clone(), account };
        let ask = match self.loss() {
            Loss::Likely => self.call.as_ref().map(leg).into_iter().collect(),
            Loss::Unlikely => Vec::new(),
        };
        Said { provider_id, signals: Vec::new(), ask, alert: Some(self), noted }
    }

    fn known(&self) -> Option<&'static Known> {
        let code = self.code?;
        KNOWN.iter().find(|known| known.codes.contains(&code))
    }
}

/// Reads a webhook of the Debugger.
pub(super) fn read_debugger(parameters: &Form, query: &Form, _: Millis) -> Result<Said, Unreadable> {
    let mut reading = Reading::new(parameters, query);
    let (sid, account) = (reading.sid("Sid", sid::ALERT)?, reading.sid("AccountSid", sid::ACCOUNT)?);
    let level = reading.bounded("Level", WORD_BYTES_MAX);
    let payload = reading.given("Payload").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let alert = Alert::of_payload(sid, level, &payload);
    if alert.code.is_none() {
        reading.noted.push("Payload is no JSON object with an error_code: nothing is known of the trouble".to_owned());
    }
    Ok(alert.said(account, reading.noted))
}

/// The first of several names under which a part may stand; null if there is none.
pub(super) fn part<'a>(value: &'a Value, names: &[&str]) -> &'a Value {
    names.iter().find_map(|name| value.get(name)).unwrap_or(&Value::Null)
}

/// A code is a number, or a number as text.
fn code(value: &Value) -> Option<u32> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.or_else(|| value.as_str()?.parse().ok())
}

/// Scheme, host and path: what is needed to know whose URL it is. The query may name people, the rest may be a password.
fn shown_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let shown = format!("{}://{}{port}{}", url.scheme(), url.host_str()?, url.path());
    Some(shown.chars().take(URL_CHARS_SHOWN_MAX).collect())
}

const fn known(codes: RangeInclusive<u32>, meaning: &'static str, advice: &'static str) -> Known {
    Known { codes, meaning, advice }
}

/// The codes about requests to webhooks. Where several say the same, the particular one comes first.
const KNOWN: &[Known] = &[
    known(
        11_200..=11_200,
        "Twilio got no usable answer from the URL",
        "look what the server behind the URL answered and how long it took; Twilio waits 15 s in all",
    ),
    known(11_201..=11_201, "the TCP connection to the URL timed out", REACH),
    known(11_202..=11_202, "the TCP connection to the URL was refused", REACH),
    known(
        11_203..=11_203,
        "the request took longer than the total time allowed (tt)",
        "make the server faster, or raise tt in the fragment of the URL",
    ),
    known(11_205..=11_205, "no HTTP connection to the URL could be made", REACH),
    known(
        11_206..=11_206,
        "the answer was not HTTP",
        "look what listens at the URL: a proxy that expects or sends something else",
    ),
    known(11_210..=11_210, "the host name of the URL is bad", "use a public host name without an underscore"),
    known(
        11_215..=11_216,
        "the URL redirects too often, or to where Twilio cannot go",
        "give Twilio the final https URL; a redirect also makes a GET of the POST and loses its parameters",
    ),
    known(
        11_217..=11_217,
        "the URL answered with an error (4xx or 5xx)",
        "look in the log of the server behind the URL; 403 of onhook means that the signature did not verify: run `onhook verify`",
    ),
    known(11_201..=11_217, "Twilio could not get an answer from the URL", REACH),
    known(11_220..=11_220, "the TLS handshake failed", CERTIFICATE),
    known(11_235..=11_235, "the certificate is of another host", CERTIFICATE),
    known(11_236..=11_236, "the certificate has expired", CERTIFICATE),
    known(11_237..=11_237, "the certificate leads to no authority that Twilio knows", CERTIFICATE),
    known(11_240..=11_243, "the connection overrides in the URL's fragment are wrong", "write them as #rc=5&rp=all"),
    known(11_750..=11_750, "the TwiML answered is too large", "answer less than 64 KB"),
    known(12_100..=12_100, "the answer is no XML", "answer TwiML as text/xml, or 204 to a status callback"),
    known(
        12_200..=12_200,
        "the TwiML has something Twilio does not know",
        "run `onhook lint` on the TwiML: statusCallback on <Dial> is the usual case, it belongs on the noun",
    ),
    known(
        12_300..=12_300,
        "the answer has a content type Twilio does not take",
        "answer TwiML as text/xml, or 204 to a status callback",
    ),
    known(15_000..=15_000, "Twilio failed to send a callback", "nothing can be done here; the call is due now"),
    known(
        15_001..=15_002,
        "a callback waited in Twilio's queue until it expired: it is lost",
        "answer callbacks faster; slow answers make later callbacks expire",
    ),
    known(
        15_003..=15_003,
        "the URL answered a callback with an error (4xx or 5xx)",
        "look in the log of the server behind the URL; 403 of onhook means that the signature did not verify: run `onhook verify`",
    ),
    known(15_004..=15_004, "Twilio could not deliver a callback", "look in the log of the server behind the URL"),
    known(
        21_262..=21_262,
        "asynchronous machine detection has no callback URL",
        "set AsyncAmdStatusCallback, or amdStatusCallback on the noun",
    ),
];

const REACH: &str = "see that the server behind the URL runs and can be reached from the internet";
const CERTIFICATE: &str = "give the host of the URL a certificate of a public authority, with the whole chain";
/// A URL of ours is much shorter.
const URL_CHARS_SHOWN_MAX: usize = 300;

/// For messages about a payload.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "missing".to_owned(),
        Value::String(text) => format!("{:?}", shortened(text)),
        other => format!("{:?}", shortened(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_that_makes_a_call_due_says_what_it_means() {
        let alert = |code| Alert { sid: "NO1".into(), level: None, code: Some(code), call: None, url: None };
        for code in (11_200..=11_217).chain([11_220, 11_235, 11_236, 11_237]).chain(15_000..=15_004) {
            assert_eq!(alert(code).loss(), Loss::Likely, "{code}");
            assert!(alert(code).meaning().is_some() && alert(code).advice().is_some(), "{code}");
        }
        for code in [0, 11_199, 11_218, 11_221, 11_234, 11_238, 12_100, 12_200, 13_224, 14_999, 15_005, 21_262] {
            assert_eq!(alert(code).loss(), Loss::Unlikely, "{code}");
        }
        assert_eq!(alert(13_224).meaning(), None);
        let particular = alert(11_202).meaning().unwrap();
        assert!(particular.contains("refused"), "{particular}");
    }
}
