//! What can be wrong with one callback: its URL, the overrides in its fragment, its events, its method.

use super::Rule;
use crate::twilio::{callback_url::OVERRIDES, door::Door};
use url::{Host, Url};

/// What the linted thing should lead to.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// This gateway's public URL; `None` if it is not set, then no URL is foreign.
    pub public_url: Option<Url>,
}

/// A problem with one value: the rule, what is there, what to put there.
pub(super) type Problem = (Rule, String, String);

/// What a URL is for: the attribute or parameter it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It reports a call, and has to come here.
    Status,
    /// `action` of `<Dial>`.
    Action,
    /// `recordingStatusCallback`.
    Recording,
    /// `amdStatusCallback`.
    Amd,
    /// `url` of a noun.
    Whisper,
}

impl Purpose {
    const fn door(self) -> Door {
        match self {
            Self::Status => Door::Status,
            Self::Action => Door::Dial,
            Self::Recording => Door::Recording,
            Self::Amd => Door::Amd,
            Self::Whisper => Door::Whisper,
        }
    }

    /// The rule that a URL breaks which does not lead here.
    const fn foreign(self) -> Option<Rule> {
        match self {
            Self::Status => Some(Rule::UrlForeign),
            Self::Action => Some(Rule::ActionForeign),
            Self::Recording | Self::Amd | Self::Whisper => None,
        }
    }
}

impl Expect {
    /// The status callback of this gateway, with retries.
    pub fn status_callback(&self) -> String {
        self.url_of(Door::Status)
    }

    /// The URL of a door, with retries.
    pub(super) fn url_of(&self, door: Door) -> String {
        let base = self.public_url.as_ref().map_or(EXAMPLE, |url| url.as_str());
        format!("{}{}{OVERRIDES}", base.trim_end_matches('/'), door.path())
    }

    /// The path below the public URL; `None` if the URL does not lead to this gateway: the scheme, the host, the port and
    /// the prefix are the public ones.
    fn path_here<'u>(&self, url: &'u Url) -> Option<&'u str> {
        let ours = self.public_url.as_ref()?;
        let same_host = url.host() == ours.host() && url.port_or_known_default() == ours.port_or_known_default();
        let below = url.path().strip_prefix(ours.path().trim_end_matches('/'))?;
        let is_ours = same_host && (below.is_empty() || below.starts_with('/')) && url.scheme() == ours.scheme();
        is_ours.then_some(below)
    }
}

/// Everything that is wrong with the URL of a status callback.
pub(super) fn status_callback(text: &str, expect: &Expect, may_be_relative: bool) -> Vec<Problem> {
    let Ok(url) = Url::parse(text) else { return unparsed(text, expect, may_be_relative) };
    absolute(text, &url, Purpose::Status, expect)
}

/// What is wrong with another URL that Twilio is to call. A relative one leads to who wrote the document.
pub(super) fn other_url(text: &str, purpose: Purpose, expect: &Expect) -> Vec<Problem> {
    Url::parse(text).map(|url| absolute(text, &url, purpose, expect)).unwrap_or_default()
}

/// What is wrong with any URL that Twilio is to call: that it is not encrypted, or not a host.
pub(super) fn any_url(text: &str) -> Vec<Problem> {
    let Ok(url) = Url::parse(text) else { return Vec::new() };
    let put = mended(text, &url, "");
    authority(text, &url).into_iter().map(|(rule, what)| (rule, what, put.clone())).collect()
}

/// Each problem has the same text to put there: the one in which nothing is wrong any more.
fn absolute(text: &str, url: &Url, purpose: Purpose, expect: &Expect) -> Vec<Problem> {
    let here = expect.path_here(url);
    let mut found = authority(text, url);
    if found.iter().any(|(rule, _)| *rule == Rule::UrlMalformed) {
        return found.into_iter().map(|(rule, what)| (rule, what, expect.url_of(purpose.door()))).collect();
    }
    let door = purpose.door();
    let is_foreign = here.is_none() && expect.public_url.is_some();
    let is_door = here.is_none_or(|path| path == door.path());
    let other_door = here.filter(|path| Door::ALL.iter().any(|other| other.path() == *path));
    // What the called party hears may come from anywhere.
    let is_wrong_door = if purpose == Purpose::Whisper { !is_door && other_door.is_some() } else { !is_door };
    if is_foreign {
        let rule = purpose.foreign();
        found.extend(rule.map(|rule| (rule, format!("{text} is not a URL of this gateway"))));
    } else if is_wrong_door {
        let path = here.unwrap_or_default();
        found.push((Rule::UrlOtherDoor, format!("it leads to {path}; what comes here is for {}", door.path())));
    }
    let is_read_here =
        purpose == Purpose::Status || here.is_some() && (purpose != Purpose::Whisper || other_door.is_some());
    if is_read_here {
        found.extend(overrides(text));
    }
    let fragment = if is_read_here { OVERRIDES } else { "" };
    let put = match (is_foreign && purpose == Purpose::Status) || is_wrong_door {
        true => with_query(&expect.url_of(door), url.query()),
        // Nobody has to send the outcome here.
        false if found.iter().all(|(rule, _)| *rule == Rule::ActionForeign) => String::new(),
        false => mended(text, url, fragment),
    };
    found.into_iter().map(|(rule, what)| (rule, what, put.clone())).collect()
}

/// The door's URL with what the written one has to say.
fn with_query(url: &str, query: Option<&str>) -> String {
    let (bare, fragment) = url.split_once('#').unwrap_or((url, ""));
    query.map_or_else(|| url.to_owned(), |query| format!("{bare}?{query}#{fragment}"))
}

/// The URL as it was written, by https and with these overrides. Empty where its host has to get another name: which one
/// nobody knows.
fn mended(text: &str, url: &Url, overrides: &str) -> String {
    if has_underscore(url) {
        return String::new();
    }
    let (bare, fragment) = text.split_at(text.find('#').unwrap_or(text.len()));
    let overrides = if overrides.is_empty() { fragment } else { overrides };
    let scheme = bare.split_once(':').map_or("", |(scheme, _)| scheme);
    let rest = bare.get(scheme.len()..).unwrap_or_default();
    format!("https{rest}{overrides}")
}

fn has_underscore(url: &Url) -> bool {
    matches!(url.host(), Some(Host::Domain(host)) if host.contains('_'))
}

fn unparsed(text: &str, expect: &Expect, may_be_relative: bool) -> Vec<Problem> {
    let is_relative = !text.is_empty() && !text.contains("://") && !text.contains(char::is_whitespace);
    let put = expect.status_callback();
    if may_be_relative && is_relative {
        let found = std::iter::once((Rule::UrlRelative, format!("{text} is relative"))).chain(overrides(text));
        return found.map(|(rule, what)| (rule, what, put.clone())).collect();
    }
    vec![(Rule::UrlMalformed, format!("{text:?} is not an absolute URL"), put)]
}

fn authority(text: &str, url: &Url) -> Vec<(Rule, String)> {
    let mut found = Vec::new();
    match url.scheme() {
        "https" => {}
        "http" => found.push((Rule::UrlHttp, format!("{text} is http"))),
        _ => return vec![(Rule::UrlMalformed, format!("{text} is neither https nor http"))],
    }
    if has_underscore(url) {
        let host = url.host_str().unwrap_or_default();
        found.push((Rule::UrlUnderscore, format!("the host {host} has an underscore: give it another name")));
    }
    found
}

/// What is wrong with `#rc=5&rp=all`.
fn overrides(url: &str) -> Vec<(Rule, String)> {
    let fragment = url.split_once('#').map_or("", |(_, fragment)| fragment);
    if fragment.is_empty() {
        return vec![(Rule::NoOverrides, "the URL does not ask for retries".to_owned())];
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
        found.extend(what.map(|what| (Rule::OverridesMalformed, what)));
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
        found.push((Rule::OverridesWeak, what));
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
const EXAMPLE: &str = "https://calls.example.com";
