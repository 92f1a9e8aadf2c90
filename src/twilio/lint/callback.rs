//! What can be wrong with one callback: its URL, the overrides in its fragment, its events, its method.

use super::Rule;
use crate::twilio::STATUS_PATH;
use url::{Host, Url};

/// What the linted thing should lead to.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// This gateway's public URL; `None` if it is not set, then no URL is foreign.
    pub public_url: Option<Url>,
}

/// A problem with one value: the rule, what is there, what to put there.
pub(super) type Problem = (Rule, String, String);

impl Expect {
    /// The status callback of this gateway, with retries.
    pub fn status_callback(&self) -> String {
        let base = self.public_url.as_ref().map_or(EXAMPLE, |url| url.as_str());
        format!("{}{STATUS_PATH}{OVERRIDES}", base.trim_end_matches('/'))
    }

    /// Whether an absolute URL leads to this gateway: the scheme, the host, the port and the prefix are the public ones.
    fn is_ours(&self, url: &Url) -> bool {
        let Some(ours) = &self.public_url else { return true };
        let same_host = url.host() == ours.host() && url.port_or_known_default() == ours.port_or_known_default();
        let prefix = ours.path().trim_end_matches('/');
        let below = url.path().strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        same_host && below && url.scheme() == ours.scheme()
    }
}

/// Everything that is wrong with the URL of a status callback.
pub(super) fn status_callback(text: &str, expect: &Expect, may_be_relative: bool) -> Vec<Problem> {
    let Ok(url) = Url::parse(text) else { return unparsed(text, expect, may_be_relative) };
    let mut found = authority(text, &url);
    if !expect.is_ours(&url) {
        let what = format!("{text} is not a URL of this gateway");
        found.push((Rule::UrlForeign, what, expect.status_callback()));
    }
    found.extend(overrides(text));
    found
}

/// What is wrong with any URL that Twilio is to call: that it is not encrypted, or not a host.
pub(super) fn any_url(text: &str) -> Vec<Problem> {
    Url::parse(text).map(|url| authority(text, &url)).unwrap_or_default()
}

fn unparsed(text: &str, expect: &Expect, may_be_relative: bool) -> Vec<Problem> {
    let is_relative = !text.is_empty() && !text.contains("://") && !text.contains(char::is_whitespace);
    if may_be_relative && is_relative {
        let mut found = vec![(Rule::UrlRelative, format!("{text} is relative"), expect.status_callback())];
        found.extend(overrides(text));
        return found;
    }
    vec![(Rule::UrlMalformed, format!("{text:?} is not an absolute URL"), expect.status_callback())]
}

fn authority(text: &str, url: &Url) -> Vec<Problem> {
    let mut found = Vec::new();
    match url.scheme() {
        "https" => {}
        "http" => found.push((Rule::UrlHttp, format!("{text} is http"), text.replacen("http:", "https:", 1))),
        _ => return vec![(Rule::UrlMalformed, format!("{text} is neither https nor http"), String::new())],
    }
    if let Some(Host::Domain(host)) = url.host()
        && host.contains('_')
    {
        found.push((
            Rule::UrlUnderscore,
            format!("the host {host} has an underscore"),
            text.replacen(host, &host.replace('_', "-"), 1),
        ));
    }
    found
}

/// What is wrong with `#rc=5&rp=all`.
fn overrides(url: &str) -> Vec<Problem> {
    let (bare, fragment) = url.split_once('#').map_or((url, ""), |(bare, fragment)| (bare, fragment));
    let mended = format!("{bare}{OVERRIDES}");
    if fragment.is_empty() {
        return vec![(Rule::NoOverrides, "the URL does not ask for retries".to_owned(), mended)];
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    let (mut count, mut policy) = (1, "ct");
    for piece in fragment.split('&') {
        let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
        let fits = match key {
            "ct" => whole(value, 100..=10_000),
            "rt" | "tt" => whole(value, 100..=15_000),
            "rc" => whole(value, 0..=5),
            "rp" => value.split(',').all(|word| POLICIES.contains(&word)),
            "sni" => ["y", "n"].contains(&value),
            "e" => value
                .split(',')
                .all(|edge| !edge.is_empty() && edge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')),
            _ => false,
        };
        let what = match fits {
            true if !seen.contains(&key) => None,
            true => Some(format!("{key} is written twice in #{fragment}")),
            false => Some(format!("{piece:?} in #{fragment} is not an override: {ALLOWED}")),
        };
        found.extend(what.map(|what| (Rule::OverridesMalformed, what, mended.clone())));
        seen.push(key);
        match key {
            "rc" => count = value.parse().unwrap_or(count),
            "rp" => policy = value,
            _ => {}
        }
    }
    let words: Vec<&str> = policy.split(',').collect();
    let is_strong = words.contains(&"all") || ["5xx", "ct", "rt"].iter().all(|word| words.contains(word));
    if found.is_empty() && (count < 2 || !is_strong) {
        let what = format!("#{fragment} means {count} retries after {policy}");
        found.push((Rule::OverridesWeak, what, mended));
    }
    found
}

fn whole(text: &str, range: std::ops::RangeInclusive<u32>) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse().is_ok_and(|number| range.contains(&number))
}

/// What is wrong with events: `words` are those that were understood as one each.
pub(super) fn events(words: &[&str], joined: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    for word in words.iter().filter(|word| !EVENTS.contains(word)) {
        let parts: Vec<&str> = word.split([',', ';', '|', '+', ' ']).filter(|part| !part.is_empty()).collect();
        let is_joined =
            parts.len() > 1 && parts.iter().all(|part| EVENTS.contains(part)) || word.trim_end_matches(',') != *word;
        let problem = match is_joined {
            true => (Rule::EventsJoined, format!("{word:?} is read as one event, and there is none of that name")),
            false => (Rule::EventUnknown, format!("there is no event {word:?}{}", meant(word))),
        };
        found.push((problem.0, problem.1, joined.to_owned()));
    }
    // Joined with others it is meant, and said above.
    if !words.iter().any(|word| word.contains("completed")) {
        found.push((Rule::NoCompleted, format!("the events {words:?} have no completed"), joined.to_owned()));
    }
    found
}

/// Which event a person had in mind who wrote a call's status.
fn meant(word: &str) -> &'static str {
    match word.to_ascii_lowercase().as_str() {
        "in-progress" | "inprogress" | "answer" => "; `answered` is reported as in-progress",
        "busy" | "failed" | "no-answer" | "canceled" | "cancelled" | "hangup" | "end" => {
            "; every ending is reported by `completed`"
        }
        "queued" => "; nothing is reported of a queued call",
        _ => "",
    }
}

/// Every event of a call.
const EVENTS: &[&str] = &["initiated", "ringing", "answered", "completed"];
/// All of them as TwiML takes them.
pub(super) const EVENTS_IN_TWIML: &str = "initiated ringing answered completed";
/// All of them as `POST /Calls` takes them.
pub(super) const EVENTS_IN_FORM: &str = "StatusCallbackEvent=initiated&StatusCallbackEvent=ringing&StatusCallbackEvent=answered&StatusCallbackEvent=completed";
const POLICIES: &[&str] = &["4xx", "5xx", "ct", "rt", "all"];
const ALLOWED: &str = "ct=100…10000, rt=100…15000, tt=100…15000, rc=0…5, rp=4xx,5xx,ct,rt or all, sni=y or n, e=edge,…";
const OVERRIDES: &str = "#rc=5&rp=all";
const EXAMPLE: &str = "https://calls.example.com";
