//! The requests the double makes: their parameters, their encoding, their signature, and when they are tried again.

use super::{
    account::Hook,
    call::{Call, Seen},
};
use crate::{
    domain::{
        state::{Direction, Status},
        time::{self, Millis, SECOND},
        words,
    },
    twilio::{door::Method, form::Form, signature},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use url::Url;

words! {
    /// What a request is for.
    pub enum Purpose {
        /// Reports the progress of a leg.
        Status = "status",
        /// Asks for TwiML.
        Twiml = "twiml",
        /// Says how a dial ended, and asks for TwiML.
        Action = "action",
        /// Reports a recording.
        Recording = "recording",
        /// Reports who or what answered.
        Amd = "amd",
    }
}

/// A request that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Names it when its answer is handed back.
    pub id: u64,
    /// The leg it is made for.
    pub call_sid: String,
    /// What for.
    pub purpose: Purpose,
    /// GET or POST.
    pub method: Method,
    /// The whole URL without its fragment; of a GET with all parameters.
    pub url: String,
    /// Twilio's parameters in the order they are sent in.
    pub parameters: Vec<(String, String)>,
    /// `X-Twilio-Signature`.
    pub signature: String,
    /// `I-Twilio-Idempotency-Token`: the same on every try.
    pub token: String,
    /// When it is sent.
    pub due_ms: Millis,
    /// When it was sent for the first time.
    pub first_ms: Millis,
    /// Which try it is, from 0.
    pub attempt: u32,
    /// When it is tried again.
    pub overrides: Overrides,
}

impl Webhook {
    /// The body of a POST; empty for a GET. A space is `%20`, as in all of Twilio's voice requests.
    pub fn body(&self) -> String {
        match self.method {
            Method::Get => String::new(),
            Method::Post => encoded(&self.parameters),
        }
    }

    /// The value of a parameter; empty if it has none.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// Its type, if it said one.
        content_type: Option<String>,
        /// Its text.
        body: String,
    },
    /// Nobody took the connection.
    Unreachable,
    /// Nobody answered in time.
    TimedOut,
}

/// What the fragment of a URL says about how it is called
/// (<https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>). The double knows how often and when to try
/// again; it does not know other time-outs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overrides {
    /// How often it is tried again.
    pub retries: u32,
    on: Vec<String>,
}

impl Default for Overrides {
    /// One more try, and only if there was no connection.
    fn default() -> Self {
        Self { retries: 1, on: vec!["ct".to_owned()] }
    }
}

impl Overrides {
    /// A URL without its fragment, and what the fragment says. What it says wrongly does not count.
    pub fn of(url: &str) -> (&str, Self) {
        let Some((url, fragment)) = url.split_once('#') else { return (url, Self::default()) };
        let mut overrides = Self::default();
        for (name, value) in fragment.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "rc" => {
                    overrides.retries = value.parse().ok().filter(|n| *n <= RETRIES_MAX).unwrap_or(overrides.retries)
                }
                "rp" => overrides.on = value.split(',').map(str::to_owned).collect(),
                _ => {}
            }
        }
        (url, overrides)
    }

    /// Whether a request that came to this is tried again.
    pub fn retries_on(&self, reply: &Reply) -> bool {
        let policy = match reply {
            Reply::Unreachable => "ct",
            Reply::TimedOut => "rt",
            Reply::Answered { status: 400..=499, .. } => "4xx",
            Reply::Answered { status: 500..=599, .. } => "5xx",
            Reply::Answered { .. } => return false,
        };
        self.on.iter().any(|on| on == policy || on == "all")
    }
}

/// A request to a hook, signed with the account's token.
pub fn webhook(
    hook: &Hook,
    purpose: Purpose,
    call_sid: &str,
    parameters: Vec<(String, String)>,
    token: &str,
) -> Webhook {
    let (url, overrides) = Overrides::of(&hook.url);
    let url = match hook.method {
        Method::Post => url.to_owned(),
        Method::Get => format!("{url}{}{}", if url.contains('?') { '&' } else { '?' }, encoded(&parameters)),
    };
    // Only the form can fail, and only by having a thousand parameters.
    let form = Form::parse(encoded(&parameters).as_bytes()).unwrap_or_default();
    let signed_form = (hook.method == Method::Post).then_some(&form);
    Webhook {
        id: 0,
        call_sid: call_sid.to_owned(),
        purpose,
        method: hook.method,
        signature: signature::sign(token, &signed_url(&url), signed_form),
        url,
        parameters,
        token: String::new(),
        due_ms: 0,
        first_ms: 0,
        attempt: 0,
        overrides,
    }
}

/// The URL as Twilio signs it for voice: never with a user and password, over HTTPS without a port
/// (<https://www.twilio.com/docs/usage/security>). The rest stays byte for byte.
pub fn signed_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((name, port)) if scheme == "https" && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    format!("{scheme}://{host}{path}")
}

/// Whether Twilio would call such a URL at all: absolute, with a host that has no underscore.
pub fn is_callable(url: &str) -> bool {
    let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    parsed.is_some_and(|url| url.host_str().is_some_and(|host| !host.contains('_')))
}

/// What every voice request says of its leg.
pub fn of_call(call: &Call, status: Status) -> Vec<(String, String)> {
    let mut parameters = vec![
        ("CallSid", call.sid.clone()),
        ("AccountSid", call.account_sid.clone()),
        ("ApiVersion", "2010-04-01".to_owned()),
        ("CallStatus", status.to_string()),
        ("Direction", call.direction.to_string()),
        ("From", call.from.clone()),
        ("To", call.to.clone()),
        ("Caller", call.from.clone()),
        ("Called", call.to.clone()),
    ];
    parameters.extend(call.parent_sid.clone().map(|sid| ("ParentCallSid", sid)));
    let mut parameters: Vec<_> = parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    // What is not known of a number's place is sent empty; of a dialed leg nothing is sent.
    if call.direction != Direction::OutboundDial {
        for (sides, address) in [(["From", "Caller"], &call.from), (["To", "Called"], &call.to)] {
            let places = ["City", "State", "Zip", "Country"].iter().filter(|_| address.starts_with('+'));
            let names = places.flat_map(|place| sides.map(|side| format!("{side}{place}")));
            parameters.extend(names.map(|name| (name, String::new())));
        }
    }
    parameters
}

/// What a status callback says beside that.
pub fn of_progress(call: &Call, seen: &Seen, at_ms: Millis) -> Vec<(String, String)> {
    let mut parameters = of_call(call, seen.status);
    let mut say = |name: &str, value: String| parameters.push((name.to_owned(), value));
    say("Timestamp", time::rfc2822(at_ms));
    say("CallbackSource", "call-progress-events".to_owned());
    say("SequenceNumber", call.fired.to_string());
    if let Some(sip) = seen.sip {
        say("CallDuration", seen.seconds().to_string());
        // Neither is in the tables of the dialed nouns.
        if call.direction != Direction::OutboundDial {
            say("Duration", seen.minutes().to_string());
        }
        if call.direction == Direction::OutboundApi {
            say("SipResponseCode", sip.to_string());
        }
        if let Some(by) = seen.answered_by {
            say("AnsweredBy", by.to_owned());
        }
    }
    disorder(&mut parameters);
    parameters
}

/// Callbacks come in the order of a hash table, and nobody may rely on any; requests for TwiML come sorted.
pub fn disorder(parameters: &mut [(String, String)]) {
    parameters.sort_by_key(|(name, _)| Sha256::digest(name));
}

/// A form with `%20` for a space.
fn encoded(parameters: &[(String, String)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, FORM).to_string();
    let pairs = parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// `rc` may be 0 to 5.
const RETRIES_MAX: u32 = 5;
/// `tt`: everything about one request ends within 15 seconds, every try included.
pub const TOTAL_MS: Millis = 15 * SECOND;
/// How long after a failure it is tried again. Twilio does not say; in sum all five fit into [`TOTAL_MS`].
pub const RETRY_AFTER_MS: Millis = 500;
