//! The kinds of values: what may be written, how it is read, how it is shown.

use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// A kind of value.
pub(super) trait Kind {
    /// The type it is read into.
    type Value;

    /// What may be written, completing "allowed: …".
    fn allowed(&self) -> String;

    /// Reads what was written; the error says what is wrong with it, quotes no secret, and leaves out what is allowed.
    fn read(&self, text: &str) -> Result<Self::Value, String>;

    /// The value as it may be shown: as it was written, unless it is secret or the writing hides what it means.
    fn show(&self, _value: &Self::Value, text: &str) -> String {
        text.to_owned()
    }

    /// A refused text as it may be shown.
    fn quote(&self, text: &str) -> String {
        quoted(text)
    }

    /// The value if nothing was written; `None` if something must be.
    fn unset(&self) -> Option<Self::Value> {
        None
    }
}

/// May be left unset.
pub(super) struct Optional<K>(pub(super) K);

impl<K: Kind> Kind for Optional<K> {
    type Value = Option<K::Value>;

    fn allowed(&self) -> String {
        self.0.allowed()
    }

    fn read(&self, text: &str) -> Result<Self::Value, String> {
        self.0.read(text).map(Some)
    }

    fn show(&self, value: &Self::Value, text: &str) -> String {
        value.as_ref().map(|value| self.0.show(value, text)).unwrap_or_default()
    }

    fn quote(&self, text: &str) -> String {
        self.0.quote(text)
    }

    fn unset(&self) -> Option<Self::Value> {
        Some(None)
    }
}

/// A duration within bounds, in milliseconds.
pub(super) struct Span(pub(super) RangeInclusive<i64>);

impl Kind for Span {
    type Value = i64;

    fn allowed(&self) -> String {
        let (min, max) = (span_text(*self.0.start()), span_text(*self.0.end()));
        format!("a duration such as 30s, 10m or 4h15m, from {min} to {max}")
    }

    fn read(&self, text: &str) -> Result<i64, String> {
        let span: Duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
        let span_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        within(&self.0, span_ms)
    }
}

/// A duration, or `0` for off.
pub(super) struct OrOff(pub(super) Span);

impl Kind for OrOff {
    type Value = Option<i64>;

    fn allowed(&self) -> String {
        format!("{}, or 0 for off", self.0.allowed())
    }

    fn read(&self, text: &str) -> Result<Option<i64>, String> {
        match humantime::parse_duration(text) {
            Ok(Duration::ZERO) => Ok(None),
            _ => self.0.read(text).map(Some),
        }
    }
}

/// A whole number within bounds.
pub(super) struct Whole(pub(super) RangeInclusive<u32>);

impl Kind for Whole {
    type Value = u32;

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.0.start(), self.0.end())
    }

    fn read(&self, text: &str) -> Result<u32, String> {
        let number = text.parse().map_err(|_| "it is not such a number".to_owned())?;
        within(&self.0, number)
    }
}

/// A number of bytes within bounds.
pub(super) struct Bytes(pub(super) RangeInclusive<usize>);

impl Kind for Bytes {
    type Value = usize;

    fn allowed(&self) -> String {
        let (min, max) = (self.0.start() / KIB, self.0.end() / KIB);
        format!("a number of bytes such as 65536, 64KiB or 1MiB, from {min}KiB to {max}KiB")
    }

    fn read(&self, text: &str) -> Result<usize, String> {
        let units = [("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];
        let found = units.into_iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)));
        let (digits, size) = found.unwrap_or((text, 1));
        let count: usize = digits.trim().parse().map_err(|_| "it is not a number of bytes".to_owned())?;
        within(&self.0, count.saturating_mul(size))
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn allowed(&self) -> String {
        "true or false".to_owned()
    }

    fn read(&self, text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| "it is neither".to_owned())
    }
}

/// One of the words of an enum.
pub(super) struct OneOf<T: 'static>(pub(super) &'static [T]);

impl<T: FromStr + Display> Kind for OneOf<T> {
    type Value = T;

    fn allowed(&self) -> String {
        self.0.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
    }

    fn read(&self, text: &str) -> Result<T, String> {
        text.parse().map_err(|_| "it is none of the words".to_owned())
    }
}

/// An address to listen on; a port alone means all interfaces.
pub(super) struct Listen;

impl Kind for Listen {
    type Value = SocketAddr;

    fn allowed(&self) -> String {
        "an IP address and a port such as 127.0.0.1:8080 or [::]:8080, or a port alone for all interfaces".to_owned()
    }

    fn read(&self, text: &str) -> Result<SocketAddr, String> {
        match text.parse::<u16>() {
            Ok(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
            Err(_) => text.parse().map_err(|_| "it is not such an address".to_owned()),
        }
    }

    fn show(&self, value: &SocketAddr, _text: &str) -> String {
        value.to_string()
    }
}

/// A secret of visible ASCII characters.
pub(super) struct Secret {
    pub(super) chars: RangeInclusive<usize>,
}

impl Kind for Secret {
    type Value = SecretString;

    fn allowed(&self) -> String {
        format!("{} to {} visible ASCII characters without spaces", self.chars.start(), self.chars.end())
    }

    fn read(&self, text: &str) -> Result<SecretString, String> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it has other characters".to_owned());
        }
        match self.chars.contains(&text.len()) {
            true => Ok(SecretString::from(text)),
            false => Err(format!("it has {} characters", text.len())),
        }
    }

    fn show(&self, _value: &SecretString, _text: &str) -> String {
        REDACTED.to_owned()
    }

    fn quote(&self, _text: &str) -> String {
        REDACTED.to_owned()
    }
}

/// The key that seals stored credentials.
pub(super) struct SealKey;

impl Kind for SealKey {
    type Value = SecretString;

    fn allowed(&self) -> String {
        "32 bytes in base64, as `openssl rand -base64 32` makes them".to_owned()
    }

    fn read(&self, text: &str) -> Result<SecretString, String> {
        match STANDARD.decode(text) {
            Ok(bytes) if bytes.len() == SEAL_KEY_BYTES => Ok(SecretString::from(text)),
            Ok(bytes) => Err(format!("it is {} bytes", bytes.len())),
            Err(_) => Err("it is not base64".to_owned()),
        }
    }

    fn show(&self, _value: &SecretString, _text: &str) -> String {
        REDACTED.to_owned()
    }

    fn quote(&self, _text: &str) -> String {
        REDACTED.to_owned()
    }
}

const SEAL_KEY_BYTES: usize = 32;

/// The SID of something of Twilio's.
pub(super) struct Sid {
    prefix: &'static str,
    of: &'static str,
}

pub(super) const ACCOUNT_SID: Sid = Sid { prefix: "AC", of: "an account" };
pub(super) const KEY_SID: Sid = Sid { prefix: "SK", of: "an API key" };

impl Kind for Sid {
    type Value = String;

    fn allowed(&self) -> String {
        format!("{} and 32 hexadecimal digits", self.prefix)
    }

    fn read(&self, text: &str) -> Result<String, String> {
        let is_sid = |digits: &str| digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.strip_prefix(self.prefix).is_some_and(is_sid) {
            return Ok(text.to_owned());
        }
        let mut others = [ACCOUNT_SID, KEY_SID].into_iter().filter(|other| other.prefix != self.prefix);
        match others.find(|other| text.starts_with(other.prefix)) {
            Some(other) => Err(format!("it is the SID of {}, not of {}", other.of, self.of)),
            None => Err(format!("it is not the SID of {}", self.of)),
        }
    }
}

/// A country, as phone numbers know it.
pub(super) struct Region;

impl Kind for Region {
    type Value = String;

    fn allowed(&self) -> String {
        "a country in two capital letters, such as US or DE".to_owned()
    }

    fn read(&self, text: &str) -> Result<String, String> {
        match text.parse::<phonenumber::country::Id>() {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err("no such country is known".to_owned()),
        }
    }
}

/// What is logged.
pub(super) struct Filter;

impl Kind for Filter {
    type Value = String;

    fn allowed(&self) -> String {
        "error, warn, info, debug, trace or off, also by module such as info,onhook::ingest=debug".to_owned()
    }

    fn read(&self, text: &str) -> Result<String, String> {
        match crate::telemetry::read_filter(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(reason) => Err(reason),
        }
    }
}

/// A web address without anything that could not be put in front of a path.
pub(super) struct HttpUrl;

impl Kind for HttpUrl {
    type Value = Url;

    fn allowed(&self) -> String {
        "http:// or https://, a host, perhaps a port and a path prefix".to_owned()
    }

    fn read(&self, text: &str) -> Result<Url, String> {
        let mut url = Url::parse(text).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("its scheme is {}", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user or a password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has a query or a fragment".to_owned());
        }
        // One spelling: a path is appended, and callers must not meet `//`.
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&prefix);
        Ok(url)
    }

    fn show(&self, value: &Url, _text: &str) -> String {
        value.to_string()
    }

    fn quote(&self, text: &str) -> String {
        match text.rsplit_once('@') {
            Some((_, host)) => quoted(&format!("…@{host}")),
            None => quoted(text),
        }
    }
}

/// A text in a message: escaped, on one line, not endless.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// A duration as it could have been written.
pub(super) fn span_text(span_ms: i64) -> String {
    let units = [("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1)];
    let mut rest_ms = span_ms;
    let mut text = String::new();
    for (unit, unit_ms) in units {
        let count = rest_ms / unit_ms;
        rest_ms %= unit_ms;
        if count > 0 {
            text += &format!("{count}{unit}");
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn within<T: PartialOrd>(bounds: &RangeInclusive<T>, value: T) -> Result<T, String> {
    match bounds.contains(&value) {
        true => Ok(value),
        false if value < *bounds.start() => Err("it is too small".to_owned()),
        false => Err("it is too large".to_owned()),
    }
}

pub(super) const SECOND_MS: i64 = 1_000;
pub(super) const MINUTE_MS: i64 = 60 * SECOND_MS;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;
pub(super) const KIB: usize = 1024;
pub(super) const MIB: usize = 1024 * KIB;
pub(super) const GIB: usize = 1024 * MIB;

/// What is shown of a secret.
pub(super) const REDACTED: &str = "[redacted]";
const QUOTED_CHARS_MAX: usize = 200;
