//! A webhook while it is being read: what is there, what is missing, what cannot be right.
//!
//! Twilio signs what it sends, but a signature says nothing about sense: a value that cannot be right is left out and
//! named in `Reading::noted`, and the rest counts without it. Only what makes the webhook nobody's (no call, no
//! account, no status) is [`Unreadable`].

use super::{
    form::Form,
    sid::{self, Sid},
};
use crate::domain::{
    id::Leg,
    signal::{Field, Link, LinkRank, believable},
    time::{self, DAY, Millis, SECOND},
};
use std::{borrow::Cow, collections::BTreeMap};
use url::Url;

/// A webhook that speaks of no call we could name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A parameter that every webhook of this kind has is not there, or empty.
    #[error("read the webhook: {field} is missing, it should be {allowed}")]
    Missing {
        /// Twilio's name of the parameter.
        field: &'static str,
        /// What it should be.
        allowed: &'static str,
    },
    /// It is there, but of no shape Twilio ever sends.
    #[error("read the webhook: {field} is {value:?}, it should be {allowed}")]
    Misshapen {
        /// Twilio's name of the parameter.
        field: &'static str,
        /// What it is, shortened.
        value: String,
        /// What it should be.
        allowed: &'static str,
    },
}

/// One webhook while it is being read.
pub(super) struct Reading<'a> {
    /// Twilio's parameters.
    form: &'a Form,
    /// The query string of the webhook's URL, where our own parameters are.
    query: &'a Form,
    /// What was left out and why, for whoever looks at the delivery. Shows no numbers of people.
    pub(super) noted: Vec<String>,
}

impl<'a> Reading<'a> {
    pub(super) const fn new(form: &'a Form, query: &'a Form) -> Self {
        Self { form, query, noted: Vec::new() }
    }

    /// A parameter of Twilio's. One that is empty says nothing: Twilio sends many of those.
    pub(super) fn given(&self, name: &str) -> Option<Cow<'a, str>> {
        self.form.first(name).filter(|value| !value.is_empty())
    }

    /// A parameter that has to be there.
    pub(super) fn required(&self, field: &'static str, allowed: &'static str) -> Result<Cow<'a, str>, Unreadable> {
        self.given(field).ok_or(Unreadable::Missing { field, allowed })
    }

    /// A SID that has to be there.
    pub(super) fn sid(&self, field: &'static str, shape: Sid) -> Result<String, Unreadable> {
        let value = self.required(field, shape.allowed)?;
        if shape.fits(&value) {
            return Ok(value.into_owned());
        }
        Err(Unreadable::Misshapen { field, value: shortened(&value).to_owned(), allowed: shape.allowed })
    }

    /// The leg the webhook speaks of.
    pub(super) fn leg(&self) -> Result<Leg, Unreadable> {
        let provider_id = self.sid("CallSid", sid::CALL)?;
        Ok(Leg { provider_id, account: self.sid("AccountSid", sid::ACCOUNT)? })
    }

    /// A SID that may be there.
    pub(super) fn sid_if_any(&mut self, field: &'static str, shape: Sid) -> Option<String> {
        let value = self.given(field)?;
        if shape.fits(&value) {
            return Some(value.into_owned());
        }
        let (value, allowed) = (shortened(&value), shape.allowed);
        self.noted.push(format!("{field} {value:?} is not {allowed}: ignored"));
        None
    }

    /// A time as RFC 2822 that can be believed.
    pub(super) fn time(&mut self, name: &str, received_ms: Millis) -> Option<Millis> {
        let text = self.given(name)?;
        let at = believable(time::parse_rfc2822(&text), received_ms);
        if at.is_none() {
            let value = shortened(&text);
            self.noted.push(format!("{name} {value:?} is no believable RFC 2822 time: the time received counts"));
        }
        at
    }

    /// A whole number from 0 to `max`.
    pub(super) fn whole(&mut self, name: &str, max: i64) -> Option<i64> {
        let text = self.given(name)?;
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|n| digits && *n <= max);
        if number.is_none() {
            let value = shortened(&text);
            self.noted.push(format!("{name} {value:?} is no whole number from 0 to {max}: ignored"));
        }
        number
    }

    /// What every voice webhook may say about its leg: addresses, parent, who answered, and what the user put into the URL.
    pub(super) fn details(&mut self) -> BTreeMap<Field, String> {
        let mut details = present([
            (Field::ParentId, self.sid_if_any("ParentCallSid", sid::CALL)),
            (Field::Direction, self.bounded("Direction", WORD_BYTES_MAX)),
            (Field::From, self.bounded("From", ADDRESS_BYTES_MAX)),
            (Field::To, self.bounded("To", ADDRESS_BYTES_MAX)),
            (Field::AnsweredBy, self.bounded("AnsweredBy", WORD_BYTES_MAX)),
        ]);
        details.extend(self.correlations());
        details
    }

    /// What the user put into the webhook's URL, but for the lead.
    pub(super) fn correlations(&mut self) -> BTreeMap<Field, String> {
        present([
            (Field::Extension, self.correlation("extension")),
            (Field::UserId, self.correlation("user_id")),
            (Field::JobId, self.correlation("job_id")),
            (Field::Attempt, self.correlation("attempt")),
        ])
    }

    /// The recording, if the webhook tells of one.
    pub(super) fn recording(&mut self) -> BTreeMap<Field, String> {
        present([
            (Field::RecordingUrl, self.recording_url()),
            (Field::RecordingSeconds, self.whole("RecordingDuration", CALL_SECONDS_MAX).map(|s| s.to_string())),
        ])
    }

    /// The lead that the URL names.
    pub(super) fn link(&mut self) -> Option<Link> {
        self.correlation("lead_id").map(|lead_id| Link { rank: LinkRank::Url, lead_id })
    }

    /// Shown as a link, and fetched with the account's credentials by whoever plays it: so it must be Twilio's.
    fn recording_url(&mut self) -> Option<String> {
        let text = self.bounded("RecordingUrl", URL_BYTES_MAX)?;
        let url = Url::parse(&text).ok();
        if url.as_ref().is_some_and(is_twilios) {
            return Some(text);
        }
        // The rest of it may be anything: only the host is shown.
        let host = url.as_ref().and_then(Url::host_str).map_or("no host", shortened);
        self.noted.push(format!("RecordingUrl is no https URL of twilio.com (it is of {host:?}): ignored"));
        None
    }

    /// A text of at most so many bytes.
    pub(super) fn bounded(&mut self, name: &str, bytes_max: usize) -> Option<String> {
        self.within(name, self.given(name)?, bytes_max)
    }

    /// A parameter of ours, which the user put into the webhook's URL. It is signed with the URL.
    pub(super) fn correlation(&mut self, name: &str) -> Option<String> {
        let value = self.query.first(name).filter(|value| !value.is_empty())?;
        self.within(name, value, CORRELATION_BYTES_MAX)
    }

    fn within(&mut self, name: &str, value: Cow<'_, str>, bytes_max: usize) -> Option<String> {
        if value.len() <= bytes_max {
            return Some(value.into_owned());
        }
        self.noted.push(format!("{name} has {} bytes, {bytes_max} are allowed: ignored", value.len()));
        None
    }
}

/// `https`, on a host of Twilio's (`api.twilio.com`, and one for each region), and nothing that leads elsewhere.
fn is_twilios(url: &Url) -> bool {
    let host = url.host_str().is_some_and(|host| host.ends_with(".twilio.com"));
    let bare = url.username().is_empty() && url.password().is_none() && url.port().is_none();
    url.scheme() == "https" && host && bare
}

fn present<const N: usize>(details: [(Field, Option<String>); N]) -> BTreeMap<Field, String> {
    details.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
}

/// The first bytes of a value, cut between two characters, for messages and for words nobody knows.
pub(super) fn shortened(value: &str) -> &str {
    value.get(..value.floor_char_boundary(SHOWN_BYTES_MAX)).unwrap_or(value)
}

/// Longer values of `lead_id`, `job_id`, `attempt`, `extension` and `user_id` are ignored.
pub const CORRELATION_BYTES_MAX: usize = 200;
/// A SIP address with its parameters fits; a telephone number certainly does.
pub const ADDRESS_BYTES_MAX: usize = 500;
/// `Direction`, `AnsweredBy`: the longest word in use has 22 bytes.
pub const WORD_BYTES_MAX: usize = 50;
/// `RecordingUrl`.
pub const URL_BYTES_MAX: usize = 2_000;
/// Twilio ends a call after 24 hours at the latest; a week leaves room for accounts with other rules.
pub const CALL_SECONDS_MAX: i64 = 7 * DAY / SECOND;
/// A leg fires four or five callbacks; a number like this is a mistake.
pub const SEQUENCE_MAX: i64 = 1_000_000;
/// How much of a wrong value is shown, and of an unknown status kept.
pub const SHOWN_BYTES_MAX: usize = 60;
