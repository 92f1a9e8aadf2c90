//! A URL in its parts, as written: what is verified, and what Twilio may have signed instead.

use super::mistake::{Mistake, MistakeKind as Kind};
use std::{borrow::Cow, fmt::Write};

/// A parameter as it is signed: name and value, decoded.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// What may have been signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub scheme: String,
    /// With its `@`, or empty.
    pub userinfo: String,
    pub host: String,
    pub port: Option<String>,
    pub path: String,
    /// Without its `?`; `None` if there is no question mark.
    pub query: Option<String>,
    /// With its `#`, or empty.
    pub fragment: String,
    /// Empty for a GET.
    pub parameters: Vec<Pair>,
}

/// One way in which what was signed may differ from what is verified.
pub(super) struct Variant<'a> {
    pub mistake: Mistake,
    pub apply: Box<dyn Fn(&mut Candidate) + 'a>,
    /// Whether it is worth trying together with another one.
    pub pairs: bool,
}

impl<'a> Variant<'a> {
    pub fn new(kind: Kind, what: impl Into<String>, apply: impl Fn(&mut Candidate) + 'a) -> Self {
        Self { mistake: Mistake::new(kind, what), apply: Box::new(apply), pairs: true }
    }

    pub fn alone(self) -> Self {
        Self { pairs: false, ..self }
    }
}

impl Candidate {
    /// Takes a URL apart without changing a byte of it. `None`: it has no scheme and host.
    pub fn parse(url: &str) -> Option<Self> {
        let (url, fragment) = split_before(url, '#');
        let (url, query) = match url.split_once('?') {
            Some((url, query)) => (url, Some(query.to_owned())),
            None => (url, None),
        };
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = split_before(rest, '/');
        let (userinfo, host) = match authority.rfind('@') {
            Some(at) => authority.split_at_checked(at + 1)?,
            None => ("", authority),
        };
        let (host, port) = host_and_port(host);
        let known = ["http", "https"].contains(&scheme.to_ascii_lowercase().as_str());
        (known && !host.is_empty()).then(|| Self {
            scheme: scheme.to_ascii_lowercase(),
            userinfo: userinfo.to_owned(),
            host: host.to_owned(),
            port: port.map(str::to_owned),
            path: path.to_owned(),
            query,
            fragment: fragment.to_owned(),
            parameters: Vec::new(),
        })
    }

    /// What a gateway with this public URL verifies when this URL is asked for: a proxy may have taken the prefix away,
    /// or not.
    pub fn below(&self, public: &Self) -> Self {
        let prefix = public.path.trim_end_matches('/');
        let has_prefix = self.path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let path = if has_prefix { self.path.clone() } else { format!("{prefix}{}", self.path) };
        let (scheme, host, port) = (public.scheme.clone(), public.host.clone(), public.port.clone());
        Self { scheme, host, port, path, ..self.clone() }
    }

    /// The port that is asked, written or not.
    fn asked_port(&self) -> &str {
        self.port.as_deref().unwrap_or(if self.scheme == "https" { "443" } else { "80" })
    }

    /// The spellings that the gateway tries by itself: without a port, with the one there is, with the scheme's default.
    pub fn urls(&self) -> Vec<String> {
        let default = if self.scheme == "https" { "443" } else { "80" };
        let mut ports = vec![None, self.port.as_deref(), Some(default)];
        ports.dedup();
        ports.into_iter().map(|port| self.url(port)).collect()
    }

    fn url(&self, port: Option<&str>) -> String {
        let Self { scheme, userinfo, host, path, query, fragment, .. } = self;
        let mut url = format!("{scheme}://{userinfo}{host}");
        // Writing to a text cannot fail.
        let _ = port.map_or(Ok(()), |port| write!(url, ":{port}"));
        url.push_str(path);
        let _ = query.as_ref().map_or(Ok(()), |query| write!(url, "?{query}"));
        url.push_str(fragment);
        url
    }
}

/// A host header or an authority; an IPv6 address has colons of its own, inside brackets.
pub(super) fn host_and_port(text: &str) -> (&str, Option<&str>) {
    let numeric = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match text.rsplit_once(':') {
        Some((name, port)) if numeric(port) => (name, Some(port)),
        _ => (text, None),
    }
}

fn split_before(text: &str, mark: char) -> (&str, &str) {
    text.find(mark).and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""))
}

/// The URL as it was written, where the gateway verifies another one.
pub(super) fn as_written(received: &Candidate, written: &Candidate) -> Option<Variant<'static>> {
    let other_port = received.asked_port() != written.asked_port();
    // The default port changes with the scheme.
    let other_scheme = received.scheme != written.scheme;
    let other_port = other_port && !(other_scheme && received.port.is_none() && written.port.is_none());
    let other_host = !received.host.eq_ignore_ascii_case(&written.host);
    let other_case = !other_host && received.host != written.host;
    let differences = [
        (other_scheme, Kind::Scheme),
        (other_port, Kind::Port),
        (other_host, Kind::Host),
        (other_case, Kind::HostCase),
        (received.path != written.path, Kind::PathPrefix),
    ];
    let mut kinds = differences.into_iter().filter(|(differs, _)| *differs).map(|(_, kind)| kind);
    let kind = match (kinds.next()?, kinds.next()) {
        (kind, None) => kind,
        _ => Kind::Origin,
    };
    let bare = Candidate { userinfo: String::new(), fragment: String::new(), ..received.clone() };
    let checked = bare.url(bare.port.as_deref());
    let written = written.clone();
    let what = format!("it verifies as written, but this gateway checks {checked}");
    Some(Variant::new(kind, what, move |c| {
        c.scheme.clone_from(&written.scheme);
        c.host.clone_from(&written.host);
        c.port.clone_from(&written.port);
        c.path.clone_from(&written.path);
    }))
}

/// Scheme, port, host: each by itself.
pub(super) fn of_authority(received: &Candidate, other_ports: &[String]) -> Vec<Variant<'static>> {
    let other = if received.scheme == "https" { "http" } else { "https" };
    let scheme = format!("Twilio signed {other}, verified was {}", received.scheme);
    let mut found = vec![Variant::new(Kind::Scheme, scheme, move |c| c.scheme = other.to_owned())];
    let common = PORTS.iter().map(|port| (*port).to_owned());
    let mut ports: Vec<String> = Vec::new();
    for port in other_ports.iter().cloned().chain(common) {
        if received.port.as_ref() != Some(&port) && !ports.contains(&port) {
            ports.push(port);
        }
    }
    found.extend(ports.into_iter().map(|port| {
        let what = format!("Twilio signed port {port}");
        Variant::new(Kind::Port, what, move |c| c.port = Some(port.clone()))
    }));
    let lower = received.host.to_ascii_lowercase();
    if lower != received.host {
        let what = format!("Twilio signed the host as {lower}");
        found.push(Variant::new(Kind::HostCase, what, move |c| c.host.clone_from(&lower)));
    }
    let www = match received.host.strip_prefix("www.") {
        Some(bare) => bare.to_owned(),
        None => format!("www.{}", received.host),
    };
    let what = format!("Twilio signed the host {www}");
    found.push(Variant::new(Kind::Host, what, move |c| c.host.clone_from(&www)));
    if !received.fragment.is_empty() {
        let kept = received.fragment.clone();
        let what = format!("the fragment {kept} was signed, which Twilio does not do");
        found.push(Variant::new(Kind::Fragment, what, move |c| c.fragment.clone_from(&kept)));
    }
    if !received.userinfo.is_empty() {
        let kept = received.userinfo.clone();
        let what = "user name and password were signed, which Twilio does not do for calls";
        found.push(Variant::new(Kind::Userinfo, what, move |c| c.userinfo.clone_from(&kept)));
    }
    found
}

/// Another host, and another scheme, port and prefix with it. `source` says where it is written.
pub(super) fn of_origin(source: &str, other: Candidate) -> Vec<Variant<'static>> {
    let prefix = other.path.trim_end_matches('/').to_owned();
    let mut found = Vec::new();
    let host = other.host.clone();
    let what = format!("Twilio signed the host {host}, which {source} says");
    found.push(Variant::new(Kind::Host, what, move |c| c.host.clone_from(&host)));
    if !prefix.is_empty() {
        let what = format!("Twilio signed the prefix {prefix}, which {source} says");
        found.push(Variant::new(Kind::PathPrefix, what, move |c| c.path = format!("{prefix}{}", c.path)));
    }
    let prefix = other.path.trim_end_matches('/').to_owned();
    let url = Candidate { path: prefix.clone(), query: None, fragment: String::new(), ..other.clone() }
        .url(other.port.as_deref());
    let what = format!("Twilio signed {url}…, which {source} says");
    found.push(Variant::new(Kind::Origin, what, move |c| {
        c.scheme.clone_from(&other.scheme);
        c.host.clone_from(&other.host);
        c.port.clone_from(&other.port);
        if !c.path.starts_with(&prefix) {
            c.path = format!("{prefix}{}", c.path);
        }
    }));
    found
}

/// The path without its first segments, with or without slashes.
pub(super) fn of_path(received: &Candidate) -> Vec<Variant<'static>> {
    let path = &received.path;
    let mut found = Vec::new();
    let starts = path.char_indices().filter(|(at, c)| *c == '/' && *at > 0).map(|(at, _)| at);
    for at in starts.take(SEGMENTS_MAX) {
        let Some((prefix, _)) = path.split_at_checked(at) else { continue };
        let (prefix, what) = (prefix.to_owned(), format!("Twilio signed the path without the prefix {prefix}"));
        let apply = move |c: &mut Candidate| {
            if let Some(rest) = c.path.strip_prefix(&prefix) {
                c.path = rest.to_owned();
            }
        };
        found.push(Variant::new(Kind::PathPrefix, what, apply));
    }
    let (what, slashed) = match path.ends_with('/') {
        true => ("Twilio signed the path without the slash at its end", false),
        false => ("Twilio signed the path with a slash at its end", true),
    };
    found.push(Variant::new(Kind::TrailingSlash, what, move |c| match slashed {
        true => c.path.push('/'),
        false => c.path.truncate(c.path.trim_end_matches('/').len()),
    }));
    if path.contains("//") {
        let what = "Twilio signed the path without its double slash";
        found.push(Variant::new(Kind::DoubleSlash, what, |c| {
            while c.path.contains("//") {
                c.path = c.path.replace("//", "/");
            }
        }));
    } else if !path.is_empty() {
        // A public URL with a slash at its end, and a path that begins with one.
        let what = "Twilio signed the path with a double slash at its beginning";
        found.push(Variant::new(Kind::DoubleSlash, what, |c| c.path.insert(0, '/')));
    }
    found
}

/// The query encoded, sorted or cut otherwise.
pub(super) fn of_query(received: &Candidate) -> Vec<Variant<'static>> {
    let Some(query) = received.query.clone() else {
        let what = "Twilio signed a question mark at the end of the URL";
        return vec![Variant::new(Kind::QueryAdded, what, |c| c.query = Some(String::new()))];
    };
    let mut found = Vec::new();
    let what = "Twilio signed the URL without its query";
    found.push(Variant::new(Kind::QueryAdded, what, |c| c.query = None));
    let mut spellings: Vec<(&str, String)> = vec![
        ("with spaces as %20 instead of +", query.replace('+', "%20")),
        ("with plus signs as %2B", query.replace('+', "%2B")),
        ("with spaces as + instead of %20", query.replace("%20", "+")),
        ("with its escapes in capital letters", hex_case(&query, u8::to_ascii_uppercase)),
        ("with its escapes in small letters", hex_case(&query, u8::to_ascii_lowercase)),
        ("without escapes", decoded(&query).into_owned()),
        ("encoded once more", encoded(&query, KEPT_BY_FORMS)),
        ("with all but letters, digits and -._~ escaped", encoded(&decoded(&query), KEPT_BY_FORMS)),
        ("with all but letters, digits and -._~!*'() escaped", encoded(&decoded(&query), KEPT_BY_SCRIPTS)),
        ("escaped only where a URL must be", encoded(&decoded(&query), KEPT_BY_URLS)),
        ("with '=' after names without a value", with_equals(&query)),
    ];
    spellings.retain(|(_, text)| *text != query);
    found.extend(spellings.into_iter().map(|(how, text)| {
        let what = format!("Twilio signed the query {how}");
        Variant::new(Kind::QueryEncoding, what, move |c| c.query = Some(text.clone()))
    }));
    found.extend(orders(&query));
    found.extend(without_one(&query));
    found
}

fn orders(query: &str) -> Vec<Variant<'static>> {
    let pairs: Vec<&str> = query.split('&').collect();
    let mut orders: Vec<Vec<&str>> = Vec::new();
    let mut sorted = pairs.clone();
    sorted.sort_unstable();
    orders.push(sorted.clone());
    // Twilio appends its own parameters, whose names begin with a capital, to those of the configured URL.
    sorted.sort_by_key(|pair| pair.starts_with(|c: char| c.is_ascii_uppercase()));
    orders.push(sorted);
    orders.push(pairs.iter().rev().copied().collect());
    if pairs.len() <= PERMUTED_MAX {
        permute(&mut pairs.clone(), 0, &mut orders);
    }
    orders.retain(|order| *order != pairs);
    orders.sort_unstable();
    orders.dedup();
    let texts = orders.into_iter().map(|order| order.join("&"));
    let variant = |text: String| {
        let what = format!("Twilio signed the query in another order: {text}");
        Variant::new(Kind::QueryOrder, what, move |c| c.query = Some(text.clone()))
    };
    texts.map(variant).collect()
}

fn permute<'q>(pairs: &mut Vec<&'q str>, from: usize, found: &mut Vec<Vec<&'q str>>) {
    if from == pairs.len() {
        found.push(pairs.clone());
    }
    for at in from..pairs.len() {
        pairs.swap(from, at);
        permute(pairs, from + 1, found);
        pairs.swap(from, at);
    }
}

fn without_one(query: &str) -> Vec<Variant<'static>> {
    let pairs: Vec<&str> = query.split('&').collect();
    let one = |at: usize| {
        let name = pairs.get(at)?.split('=').next()?.to_owned();
        let rest = pairs.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, pair)| *pair);
        let text = rest.collect::<Vec<_>>().join("&");
        let what = format!("Twilio signed the query without {name}");
        Some(Variant::new(Kind::QueryAdded, what, move |c| c.query = Some(text.clone())).alone())
    };
    (0..pairs.len().min(LEFT_OUT_MAX)).filter(|_| pairs.len() > 1).filter_map(one).collect()
}

fn hex_case(text: &str, case: fn(&u8) -> u8) -> String {
    let mut rest = 0;
    let bytes = text.bytes().map(|byte| {
        let in_escape = rest > 0;
        rest = if byte == b'%' { 2 } else { usize::saturating_sub(rest, 1) };
        if in_escape { case(&byte) } else { byte }
    });
    String::from_utf8(bytes.collect()).unwrap_or_default()
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

/// Percent-encodes what is not a letter or a digit, nor separates parameters, nor is in `kept`.
fn encoded(text: &str, kept: &str) -> String {
    let byte = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b"&=".contains(&b) || kept.as_bytes().contains(&b) => {
            char::from(b).to_string()
        }
        b => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn with_equals(query: &str) -> String {
    let pair = |pair: &str| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") };
    query.split('&').map(pair).collect::<Vec<_>>().join("&")
}

const KEPT_BY_FORMS: &str = "-._~";
const KEPT_BY_SCRIPTS: &str = "-._~!*'()";
const KEPT_BY_URLS: &str = "-._~!$'()*,;:@/?+";
/// Where gateways listen when nobody thought about it.
const PORTS: &[&str] = &["80", "443", "8080", "8443", "3000", "5000", "8000"];
/// No proxy takes more than this many segments away.
const SEGMENTS_MAX: usize = 4;
/// All orders of four parameters are 24; of more only the likely ones are tried.
const PERMUTED_MAX: usize = 4;
/// How many parameters of the query are left out, one at a time.
const LEFT_OUT_MAX: usize = 50;
