//! The callback URLs onhook writes: absolute, with what ties the callback to the user's own records, and with the wish
//! that Twilio tries again.
//!
//! Twilio's default is to send a callback once. `#rc=5&rp=all` asks for five more tries on any failure; it is read by
//! Twilio, never sent and never signed (`usage/webhooks/webhooks-connection-overrides`).

use super::{form::Form, reading::CORRELATION_BYTES_MAX};
use crate::provider::Order;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// What the user put into the URL of a webhook, to be found again on every callback of the same conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Correlation(Vec<(&'static str, String)>);

impl Correlation {
    /// Takes it from the query string of a webhook's URL. What is too long there is ignored there, so it is not
    /// carried on either.
    pub fn of_query(query: &Form) -> Self {
        Self::of(|name| query.first(name).map(std::borrow::Cow::into_owned))
    }

    /// Of a call that is to be placed: whatever is told of it names the job and the attempt.
    pub fn of_order(order: &Order) -> Self {
        Self::of(|name| match name {
            "lead_id" => order.lead_id.clone(),
            "job_id" => Some(order.job_id.clone()),
            "attempt" => Some(order.attempt.to_string()),
            "user_id" => order.user_id.clone(),
            _ => None,
        })
    }

    fn of(value: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name| value(name).filter(|v| (1..=CORRELATION_BYTES_MAX).contains(&v.len()));
        Self(CORRELATION.iter().filter_map(|name| Some((*name, value(name)?))).collect())
    }

    /// As a query string, without a question mark.
    fn encoded(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        pairs.join("&")
    }
}

/// Writes callback URLs of one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackUrls {
    origin: String,
    query: String,
}

impl CallbackUrls {
    /// Below the public URL, path prefix included.
    pub fn below(public_url: &Url, correlation: &Correlation) -> Self {
        // A user name and a password are never signed, and have no business in an answer.
        let host = public_url.host_str().unwrap_or_default();
        let port = public_url.port().map_or_else(String::new, |port| format!(":{port}"));
        let path = public_url.path().trim_end_matches('/');
        Self { origin: format!("{}://{host}{port}{path}", public_url.scheme()), query: correlation.encoded() }
    }

    /// Where no public URL is configured: https and the host that Twilio asked. `None` if it is no host.
    pub fn of_host_header(host: &str, correlation: &Correlation) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
        if !host.bytes().all(allowed) {
            return None;
        }
        let url = Url::parse(&format!("https://{host}")).ok()?;
        Some(Self::below(&url, correlation))
    }

    /// What they all begin with.
    pub fn base(self) -> String {
        self.origin
    }

    /// The same for callbacks that are told by their CallSid alone.
    #[must_use]
    pub fn without_correlation(&self) -> Self {
        Self { origin: self.origin.clone(), query: String::new() }
    }

    /// The URL of a webhook of ours.
    pub fn to(&self, path: &str) -> String {
        self.with(path, "")
    }

    /// The same, with a parameter more.
    pub fn to_with(&self, path: &str, name: &str, value: &str) -> String {
        self.to_with_each(path, name, [value])
    }

    /// The same, with a parameter that is repeated.
    pub fn to_with_each<'a>(&self, path: &str, name: &str, values: impl IntoIterator<Item = &'a str>) -> String {
        let more: Vec<String> = values.into_iter().map(|value| format!("{name}={}", encoded(value))).collect();
        self.with(path, &more.join("&"))
    }

    fn with(&self, path: &str, more: &str) -> String {
        let parts: Vec<&str> = [self.query.as_str(), more].into_iter().filter(|part| !part.is_empty()).collect();
        let mark = if parts.is_empty() { "" } else { "?" };
        format!("{}{path}{mark}{}{OVERRIDES}", self.origin, parts.join("&"))
    }
}

/// Everything but what RFC 3986 calls unreserved is escaped, so that no proxy and no library has a reason to write it
/// another way: a signature covers the spelling.
fn encoded(value: &str) -> String {
    utf8_percent_encode(value, RESERVED).to_string()
}

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The names of the parameters that are carried through.
const CORRELATION: [&str; 5] = ["lead_id", "job_id", "attempt", "extension", "user_id"];
/// See the documentation of this file.
pub const OVERRIDES: &str = "#rc=5&rp=all";
