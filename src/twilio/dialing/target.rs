//! Whom a call is put through to, and whom never.
//!
//! A target comes from the signed URL, from the settings, or from a device whose user typed it. Whatever its origin, it
//! is read strictly and judged: whoever gets hold of a device must not be able to dial numbers that pay their owner.

use crate::domain::{
    phone::E164,
    tariff::{Tariff, tariff},
    words,
};

/// Somebody to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A telephone number.
    Number(E164),
    /// A Twilio client, without `client:`.
    Client(String),
    /// A SIP address, with its `sip:`.
    Sip(String),
}

words! {
    /// Why somebody is not dialed.
    pub enum Refusal {
        /// Neither a number in E.164, nor `client:` or `sip:` and an address.
        Malformed = "malformed",
        /// An emergency or another short number.
        ShortNumber = "short_number",
        /// In no range of numbers that is in use.
        NoSuchNumber = "no_such_number",
        /// Premium rate.
        Premium = "premium",
        /// Shared cost.
        SharedCost = "shared_cost",
        /// A personal number.
        Personal = "personal_number",
        /// A pager.
        Pager = "pager",
        /// Satellites, international networks, international premium rate.
        Global = "global_service",
        /// Not among `only_prefixes`.
        NotListed = "not_listed",
        /// Not among `sip_hosts`.
        SipHost = "sip_host",
        /// The number that was called, the one that calls, or one whose settings lead back there.
        Loop = "loop",
        /// More at once than Twilio rings.
        TooMany = "too_many",
        /// A device dials a number, and no caller id is set.
        NoCallerId = "no_caller_id",
    }
}

impl Refusal {
    /// What can be done about it, for the person on call.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Malformed => "write +14155550101, client:name or sip:user@host",
            Self::ShortNumber => "emergency and short numbers are never dialed from here",
            Self::NoSuchNumber => "check the number; if its range is new, list it in allow_prefixes",
            Self::Premium | Self::SharedCost | Self::Personal | Self::Pager | Self::Global => {
                "if it is meant to be dialed, list its beginning in allow_prefixes (`onhook voice set`)"
            }
            Self::NotListed => "list its beginning in only_prefixes (`onhook voice set`) if it is meant to be dialed",
            Self::SipHost => "list its host in sip_hosts (`onhook voice set`) if it is meant to be dialed",
            Self::Loop => "dial another number: this one is a party of the call already, or is put through to it",
            Self::TooMany => "dial ten at most at once",
            Self::NoCallerId => "set caller_id (`onhook voice set --caller-id`) to a number of the account",
        }
    }
}

/// What may be dialed beyond, and out of, the ordinary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialPolicy {
    /// Beginnings of numbers that are dialed whatever they cost.
    pub allow_prefixes: Vec<String>,
    /// Where there are any, only numbers that begin so are dialed.
    pub only_prefixes: Vec<String>,
    /// Where there are any, only SIP addresses of these hosts are dialed. A device that chooses dials no other anyway,
    /// but those of its own SIP domain.
    pub sip_hosts: Vec<String>,
}

impl Target {
    /// Reads a target. `region` is the country of numbers that are written without a country code.
    pub fn parse(text: &str, region: Option<&str>) -> Result<Self, Refusal> {
        let found = if let Some(identity) = text.strip_prefix("client:") {
            is_identity(identity).then(|| Self::Client(identity.to_owned()))
        } else if text.starts_with("sip:") || text.starts_with("sips:") {
            sip_host(text).map(|_| Self::Sip(text.to_owned()))
        } else {
            return number(text, region).map(Self::Number);
        };
        found.ok_or(Refusal::Malformed)
    }

    /// Whether both are the same place. Ports and parameters of SIP addresses do not count.
    pub fn is(&self, address: &str) -> bool {
        match (self, Self::parse(address, None)) {
            (Self::Sip(one), Ok(Self::Sip(other))) => place(one) == place(&other),
            (one, Ok(other)) => *one == other,
            (_, Err(_)) => false,
        }
    }
}

/// Who names somebody to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy<'a> {
    /// The settings, or the signed URL.
    Us,
    /// The user of a device; with the host of its own SIP domain, where it has one.
    Device(Option<&'a str>),
}

/// As it is written in settings, in a URL and in a log of one's own.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => f.write_str(number.as_str()),
            Self::Client(identity) => write!(f, "client:{identity}"),
            Self::Sip(address) => f.write_str(address),
        }
    }
}

impl DialPolicy {
    /// Whether somebody may be dialed at all.
    pub fn judge(&self, target: &Target, named_by: NamedBy<'_>) -> Result<(), Refusal> {
        match target {
            Target::Number(number) => self.judge_number(number),
            Target::Client(_) => Ok(()),
            Target::Sip(address) => {
                let host = sip_host(address).unwrap_or_default();
                let listed = self.sip_hosts.iter().any(|listed| listed.eq_ignore_ascii_case(host));
                let allowed = match named_by {
                    NamedBy::Us => self.sip_hosts.is_empty() || listed,
                    NamedBy::Device(own) => listed || own.is_some_and(|own| own.eq_ignore_ascii_case(host)),
                };
                if !allowed {
                    return Err(Refusal::SipHost);
                }
                self.judge_user(sip_user(address).unwrap_or_default(), named_by)
            }
        }
    }

    /// Behind a SIP host there may be a telephone network, and its user part a number that pays its owner.
    fn judge_user(&self, user: &str, named_by: NamedBy<'_>) -> Result<(), Refusal> {
        let Some(written) = number_of_user(user) else { return Ok(()) };
        let of_us = named_by == NamedBy::Us;
        let digits = written.trim_start_matches('+');
        if digits.len() < NUMBER_DIGITS_MIN {
            // What we name is an extension of that host; what a device names may be an emergency number.
            return if of_us { Ok(()) } else { Err(Refusal::ShortNumber) };
        }
        // Whether a prefix to dial abroad stands before it is up to the network behind the host.
        let abroad = ABROAD.iter().filter_map(|prefix| digits.strip_prefix(prefix));
        let read = [digits].into_iter().chain(abroad).filter_map(|digits| E164::of_address(&format!("+{digits}")));
        let judged: Vec<_> = read.map(|number| self.judge_number(&number)).collect();
        let refusals = || judged.iter().filter_map(|judged| judged.err());
        let costs = refusals().find(|why| !matches!(why, Refusal::NoSuchNumber | Refusal::NotListed));
        match costs {
            Some(why) => Err(why),
            None if judged.contains(&Ok(())) => Ok(()),
            // Without a country code it may be an inner number of that host.
            None if of_us && !written.starts_with('+') => Ok(()),
            None => Err(refusals().next().unwrap_or(Refusal::NoSuchNumber)),
        }
    }

    fn judge_number(&self, number: &E164) -> Result<(), Refusal> {
        let begins = |prefixes: &[String]| prefixes.iter().any(|prefix| number.as_str().starts_with(prefix.as_str()));
        if !self.only_prefixes.is_empty() && !begins(&self.only_prefixes) {
            return Err(Refusal::NotListed);
        }
        let refusal = match tariff(number) {
            Tariff::Ordinary => return Ok(()),
            Tariff::Premium => Refusal::Premium,
            Tariff::SharedCost => Refusal::SharedCost,
            Tariff::Personal => Refusal::Personal,
            Tariff::Pager => Refusal::Pager,
            Tariff::Global => Refusal::Global,
            Tariff::Unknown => Refusal::NoSuchNumber,
        };
        if begins(&self.allow_prefixes) { Ok(()) } else { Err(refusal) }
    }
}

/// The user of a SIP address: what a telephone that speaks SIP dialed.
pub(super) fn sip_user(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once(':')?;
    rest.split_once('@').map(|(user, _)| user)
}

/// The number that the user of a SIP address is, with its `+` if it has one: escapes (RFC 3261 19.1.2) are read, and
/// visual separators (RFC 3966 5.1.1) left out.
fn number_of_user(user: &str) -> Option<String> {
    let user = percent_encoding::percent_decode_str(user).decode_utf8_lossy();
    let plain: String = user.chars().filter(|c| !"-.() ".contains(*c)).collect();
    let digits = plain.strip_prefix('+').unwrap_or(&plain);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(plain)
}

/// The host of a SIP address (RFC 3261 19.1), if it is one that is dialed: with a user, without a password and headers.
pub fn sip_host(address: &str) -> Option<&str> {
    if address.len() > SIP_BYTES_MAX {
        return None;
    }
    let (_, rest) = address.split_once(':')?;
    let (user, rest) = rest.split_once('@')?;
    let (place, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    let (host, port) = match place.rsplit_once(':') {
        // An IPv6 address has colons of its own, inside brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let of = |text: &str, more: &[u8]| text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b));
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && of(host, b".-"),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    // What separates targets in a list, a comma, is left out of what RFC 3261 allows.
    let is_user = !user.is_empty() && of(user, b"-_.!~*'()&=+$/%");
    (is_user && is_host && is_port && of(parameters, b"-_.!~*'()[]/:&+$=;%")).then_some(host)
}

fn number(text: &str, region: Option<&str>) -> Result<E164, Refusal> {
    let written = |c: char| c.is_ascii_digit() || "+ -.()".contains(c);
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if text.len() > NUMBER_BYTES_MAX || !text.chars().all(written) || digits == 0 {
        return Err(Refusal::Malformed);
    }
    if digits < NUMBER_DIGITS_MIN {
        return Err(Refusal::ShortNumber);
    }
    // What is long enough when it is typed may still be a short number after a prefix.
    E164::parse(text, region).filter(|number| E164::of_address(number.as_str()).is_some()).ok_or(Refusal::Malformed)
}

/// Twilio's identities hold nearly anything; what separates targets in a list does not belong there.
fn is_identity(text: &str) -> bool {
    (1..=IDENTITY_BYTES_MAX).contains(&text.len())
        && !text.chars().any(|c| c.is_control() || c.is_whitespace() || c == ',')
}

/// User and host of a SIP address; only the host may be written in either case (RFC 3261 19.1.4).
fn place(address: &str) -> Option<(&str, String)> {
    sip_user(address).zip(sip_host(address).map(str::to_ascii_lowercase))
}

/// Twilio's limit of a SIP address (`voice/twiml/sip`).
const SIP_BYTES_MAX: usize = 255;
/// Twilio's limit of an identity (`voice/sdks/javascript`).
const IDENTITY_BYTES_MAX: usize = 121;
/// What is dialed before a country code, nearly everywhere and in North America.
const ABROAD: [&str; 2] = ["00", "011"];
/// The shortest international numbers in use.
const NUMBER_DIGITS_MIN: usize = 7;
/// 15 digits with what people put between them.
const NUMBER_BYTES_MAX: usize = 64;
