//! A request for TwiML: who calls, from where, and whom with.

use super::{
    Settings,
    target::{NamedBy, Target, sip_host, sip_user},
};
use crate::{
    domain::{
        phone::E164,
        state::Direction,
        tariff::{Tariff, tariff},
    },
    twilio::{callback_url::Correlation, door::Parameters, signal::is_device},
};

/// What a request for TwiML says about its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceRequest {
    /// The leg that asks.
    pub call: String,
    /// Who calls.
    pub from: String,
    /// Who is called; of a device: what its user dialed.
    pub to: String,
    /// Where the call comes from.
    pub origin: Origin,
    /// Whether it still rings.
    pub ringing: bool,
    /// Whom the signed URL names (`connect`), as written.
    pub connect: Vec<String>,
    /// What the URL ties the call to.
    pub correlation: Correlation,
    /// Numbers whose own settings lead back to the one that was called; no request says so, whoever reads the settings
    /// fills it in.
    pub leading_back: Vec<E164>,
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The telephone network called a number of ours.
    Network,
    /// A client or a SIP telephone of ours dialed.
    Device,
    /// We placed it.
    Ours,
}

impl VoiceRequest {
    /// Reads it.
    pub fn read(parameters: &Parameters) -> Self {
        let twilio = parameters.of_twilio();
        let text = |name: &str| twilio.first(name).unwrap_or_default().into_owned();
        let (from, to) = (text("From"), text("To"));
        let origin = match text("Direction").parse() {
            Ok(Direction::OutboundApi | Direction::OutboundDial) => Origin::Ours,
            _ if is_device(&from) => Origin::Device,
            _ => Origin::Network,
        };
        let own = parameters.own();
        let named = own.pairs().filter(|(name, _)| *name == b"connect");
        let named = named.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        let connect = named.flat_map(|list| list.split(',').map(plus).collect::<Vec<_>>()).collect();
        let correlation = Correlation::of_query(&own);
        let (call, ringing) = (text("CallSid"), text("CallStatus") == "ringing");
        Self { call, from, to, origin, ringing, connect, correlation, leading_back: Vec::new() }
    }

    /// The number of ours that takes part: its settings count before the tenant's.
    pub fn own_number(&self) -> Option<E164> {
        match self.origin {
            Origin::Network => E164::of_address(&self.to),
            Origin::Ours => E164::of_address(&self.from),
            Origin::Device => None,
        }
    }

    /// Whom to dial, as written, in this order of precedence: the signed URL, what a device dialed, the settings.
    pub(super) fn wanted<'a>(&'a self, settings: &'a Settings) -> Vec<&'a str> {
        if !self.connect.is_empty() {
            return self.connect.iter().map(String::as_str).collect();
        }
        match self.origin {
            Origin::Device => vec![self.dialed()],
            Origin::Network => settings.connect.iter().map(String::as_str).collect(),
            // Whom it was placed to is connected already; who the other party is, only its URL could say.
            Origin::Ours => Vec::new(),
        }
    }

    /// Who chose whom to dial.
    pub(super) fn named_by(&self) -> NamedBy<'_> {
        match self.origin {
            Origin::Device if self.connect.is_empty() => NamedBy::Device(sip_host(&self.from)),
            _ => NamedBy::Us,
        }
    }

    /// What the user of a device dialed. A SIP telephone sends it as the user of an address at its own domain.
    fn dialed(&self) -> &str {
        let is_number = |user: &str| !user.is_empty() && user.bytes().all(|b| b.is_ascii_digit() || b == b'+');
        match sip_user(&self.to) {
            Some(user) if self.from.starts_with("sip") && is_number(user) => user,
            _ => &self.to,
        }
    }

    /// Whether dialing this would make the call call itself.
    pub(super) fn is_party(&self, target: &Target) -> bool {
        let leads_back = matches!(target, Target::Number(number) if self.leading_back.contains(number));
        leads_back || target.is(&self.from) || (self.origin != Origin::Device && target.is(&self.to))
    }

    /// The number the dialed party sees; `None`: what Twilio shows by itself. A device never chooses it.
    pub(super) fn caller_id(&self, settings: &Settings, targets: &[Target]) -> Option<String> {
        if let Some(set) = settings.own_caller_id() {
            return Some(set.to_owned());
        }
        let calls_a_number = targets.iter().any(|target| matches!(target, Target::Number(_)));
        let own = match self.origin {
            Origin::Ours => true,
            // Twilio shows the caller's number. A network would refuse one that is withheld.
            Origin::Network => calls_a_number && !self.is_from_a_number(),
            Origin::Device => false,
        };
        self.own_number().filter(|_| own).map(|number| number.as_str().to_owned())
    }

    /// Whether this one cannot be dialed, because the telephone network would have no number to show.
    pub(super) fn lacks_caller_id(&self, settings: &Settings, target: &Target) -> bool {
        let calls_a_number = matches!(target, Target::Number(_));
        self.origin == Origin::Device && calls_a_number && settings.own_caller_id().is_none()
    }

    /// Withheld callers come as words, or as numbers nobody has (+266696687 spells ANONYMOUS).
    fn is_from_a_number(&self) -> bool {
        E164::of_address(&self.from).is_some_and(|number| tariff(&number) != Tariff::Unknown)
    }
}

/// In a query string an unescaped `+` means a space; in front of a number it was meant as it stands.
fn plus(text: &str) -> String {
    match text.strip_prefix(' ') {
        Some(rest) => format!("+{}", rest.trim_start()),
        None => text.to_owned(),
    }
}
