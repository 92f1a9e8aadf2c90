//! What can be asked of Twilio's REST API (2010-04-01). This file and those below it are the only IO of this room.
//!
//! Every answer is bounded in size and every list in pages. How a request is sent, and when it is repeated: `wire`.

mod create;
mod hang_up;
mod wire;

pub use create::{CreateCall, Detection, Instructions};
pub use hang_up::{HangUp, HungUp};
pub use wire::{Connections, Pace};

use super::rest::{Account, Application, Call, CallRequest, PhoneNumber};
use crate::{
    domain::time::Millis,
    provider::{Trouble, TroubleKind},
};
use chrono::{DateTime, SecondsFormat, Utc};
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::HashSet, time::Duration};
use url::Url;
use wire::{Wire, malformed};

/// Whom Twilio takes us for: an account with its auth token, or an API key of it. A parent's may ask for its sub-accounts.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `AC…` or `SK…`.
    pub sid: String,
    /// The auth token, or the key's secret.
    pub secret: SecretString,
}

/// How long it is tried.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long one request may take, connecting included.
    pub timeout: Duration,
    /// How often it is repeated.
    pub retries: usize,
    /// The first pause; each further one is twice as long, plus up to as much at random.
    pub first_pause: Duration,
    /// The longest pause, also of those that Twilio asks for; if it asks for a longer one, we give up.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { timeout: seconds(15), retries: 3, first_pause: Duration::from_millis(300), longest_pause: seconds(10) }
    }
}

/// Why Twilio did not answer what was asked. The fragments complete "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// 404: it does not exist, belongs to another account or region, or was made a moment ago.
    #[error("find {what} at Twilio")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// 401 or 403: the sid or the secret is wrong, or they may not ask for this.
    #[error("ask Twilio for {what}: the credentials are refused ({message})")]
    Unauthorized {
        /// What was asked for.
        what: String,
        /// What Twilio says.
        message: String,
    },
    /// 429, also after the retries. Nothing was done.
    #[error("ask Twilio for {what}: it answers 429, too many requests")]
    TooMany {
        /// What was asked for.
        what: String,
    },
    /// Nobody answered, or 5xx, also after the retries.
    #[error("ask Twilio for {what}: {why}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// What happened, without the URL.
        why: String,
    },
    /// It is not what Twilio answers: another server, or an API that changed.
    #[error("read what Twilio says of {what}: {why}")]
    Malformed {
        /// What was asked for.
        what: String,
        /// What cannot be read.
        why: String,
    },
}

impl ClientError {
    /// What it means for an account as a whole that nobody answered this of its calls.
    pub fn trouble(self, account: &str) -> Trouble {
        let kind = match &self {
            // A list is there for every account that is: this host has never heard of the account.
            Self::NotFound { .. } => {
                let detail = format!("find account {account} where Twilio is asked: is it the account's region?");
                return Trouble { kind: TroubleKind::Blind, detail };
            }
            Self::Unauthorized { .. } => TroubleKind::Refused,
            Self::TooMany { .. } => TroubleKind::TooMany,
            Self::Unavailable { .. } => TroubleKind::Unreachable,
            Self::Malformed { .. } => TroubleKind::Malformed,
        };
        Trouble { kind, detail: self.to_string() }
    }
}

/// An answer, with the time at which Twilio gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<T> {
    /// The answer.
    pub value: T,
    /// The `Date` of the answer, in whole seconds of Unix milliseconds.
    pub at_ms: Option<Millis>,
}

/// A list that may have been cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed<T> {
    /// The entries, each once.
    pub entries: Vec<T>,
    /// Whether there are more than were asked for.
    pub is_cut: bool,
}

/// Which calls are listed. Names that Twilio does not know it ignores, and lists everything; so these are all there are.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// One status, as in [`Call::status`].
    pub status: Option<String>,
    /// The caller, exactly.
    pub from: Option<String>,
    /// The called party, exactly.
    pub to: Option<String>,
    /// The leg that dialed them.
    pub parent_call_sid: Option<String>,
    /// Started at or after this moment. Twilio documents days; seconds work in practice.
    pub started_from_ms: Option<Millis>,
    /// Started before this moment.
    pub started_before_ms: Option<Millis>,
}

/// Twilio's REST API as one account sees it.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
}

impl Client {
    /// A client that asks `base` (`https://api.twilio.com`, a region's host, or a test double). `seed` makes the pauses
    /// irregular. Fails only if TLS cannot be set up.
    pub fn new(base: &Url, credentials: Credentials, patience: Patience, seed: u64) -> Result<Self, ClientError> {
        Ok(Self::over(&Connections::open()?, base, credentials, patience, seed))
    }

    /// The same over connections that others use too.
    pub fn over(
        connections: &Connections,
        base: &Url,
        credentials: Credentials,
        patience: Patience,
        seed: u64,
    ) -> Self {
        Self { wire: Wire::new(connections.clone(), base, credentials, patience, seed) }
    }

    /// Tries these credentials too, where the others are refused: while a token is rotated either may be the good one.
    pub fn or(mut self, credentials: Credentials) -> Self {
        self.wire.or(credentials);
        self
    }

    /// Asks no faster than this; what is too fast waits.
    pub fn at(mut self, pace: Pace) -> Self {
        self.wire.at(pace);
        self
    }

    /// Where it asks, without a slash at the end.
    pub fn base(&self) -> &str {
        self.wire.base()
    }

    /// The account itself: whether the credentials are good, and what time it is at Twilio.
    pub async fn load_account(&self, account: &str) -> Result<Told<Account>, ClientError> {
        self.wire.load(&format!("/2010-04-01/Accounts/{}.json", escaped(account)), &format!("account {account}")).await
    }

    /// A call.
    pub async fn load_call(&self, account: &str, call: &str) -> Result<Told<Call>, ClientError> {
        self.wire.load(&path(account, &format!("Calls/{}.json", escaped(call))), &format!("call {call}")).await
    }

    /// Calls, the newest first; at most `limit`.
    pub async fn list_calls(
        &self,
        account: &str,
        filter: &CallFilter,
        limit: usize,
    ) -> Result<Listed<Call>, ClientError> {
        let page_size = limit.clamp(1, PAGE_ROWS).to_string();
        let (from, before) = (filter.started_from_ms.map(in_seconds), filter.started_before_ms.map(in_seconds));
        let pairs = [
            ("Status", filter.status.as_deref()),
            ("From", filter.from.as_deref()),
            ("To", filter.to.as_deref()),
            ("ParentCallSid", filter.parent_call_sid.as_deref()),
            ("StartTime>", from.as_deref()),
            ("StartTime<", before.as_deref()),
            ("PageSize", Some(page_size.as_str())),
        ];
        let pairs = pairs.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.list(&path(account, &format!("Calls.json?{query}")), "calls", limit, |call: &Call| &call.sid).await
    }

    /// What Twilio sent and took for a call. Complete from 15 minutes after its end.
    pub async fn list_call_requests(&self, account: &str, call: &str) -> Result<Listed<CallRequest>, ClientError> {
        let first = path(account, &format!("Calls/{}/Events.json?PageSize={PAGE_ROWS}", escaped(call)));
        self.pages(&first, "events", CALL_REQUESTS_MAX).await
    }

    /// The phone numbers of an account.
    pub async fn list_phone_numbers(&self, account: &str, limit: usize) -> Result<Listed<PhoneNumber>, ClientError> {
        let first = path(account, &format!("IncomingPhoneNumbers.json?PageSize={}", limit.clamp(1, PAGE_ROWS)));
        self.list(&first, "incoming_phone_numbers", limit, |number: &PhoneNumber| &number.sid).await
    }

    /// The TwiML applications of an account.
    pub async fn list_applications(&self, account: &str, limit: usize) -> Result<Listed<Application>, ClientError> {
        let first = path(account, &format!("Applications.json?PageSize={}", limit.clamp(1, PAGE_ROWS)));
        self.list(&first, "applications", limit, |application: &Application| &application.sid).await
    }

    /// All pages, each entry once: the list may move on between two pages.
    async fn list<T: DeserializeOwned>(
        &self,
        first: &str,
        name: &str,
        limit: usize,
        id: impl Fn(&T) -> &String,
    ) -> Result<Listed<T>, ClientError> {
        let mut listed = self.pages(first, name, limit).await?;
        let mut seen = HashSet::new();
        listed.entries.retain(|entry| seen.insert(id(entry).clone()));
        Ok(listed)
    }

    async fn pages<T: DeserializeOwned>(
        &self,
        first: &str,
        name: &str,
        limit: usize,
    ) -> Result<Listed<T>, ClientError> {
        let mut entries = Vec::new();
        let mut next = Some(first.to_owned());
        for _ in 0..PAGES_MAX {
            let Some(uri) = next.take() else { return Ok(Listed { entries, is_cut: false }) };
            let page: Page = self.wire.load(&uri, name).await?.value;
            let raw = page.fields.get(name).cloned().unwrap_or_default();
            let read: Vec<T> = serde_json::from_value(raw).map_err(|error| malformed(name, error))?;
            entries.extend(read);
            if entries.len() >= limit {
                let is_cut = entries.len() > limit || page.next_page_uri.is_some();
                entries.truncate(limit);
                return Ok(Listed { entries, is_cut });
            }
            // Relative, and followed as it is: another host would be sent our credentials.
            match page.next_page_uri.filter(|uri| !uri.is_empty()) {
                Some(uri) if !uri.starts_with('/') || uri.starts_with("//") => {
                    return Err(malformed(name, "next_page_uri is not a path"));
                }
                uri => next = uri,
            }
        }
        Ok(Listed { entries, is_cut: next.is_some() })
    }
}

/// A page of any list.
#[derive(Deserialize)]
struct Page {
    next_page_uri: Option<String>,
    #[serde(flatten)]
    fields: serde_json::Map<String, serde_json::Value>,
}

/// As Twilio's SDKs write it: RFC 3339 in whole seconds.
fn in_seconds(at: Millis) -> String {
    let at = DateTime::<Utc>::from_timestamp_millis(at);
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default()
}

fn path(account: &str, rest: &str) -> String {
    format!("/2010-04-01/Accounts/{}/{rest}", escaped(account))
}

/// A sid as a part of a path: nothing in it can lead elsewhere.
fn escaped(sid: &str) -> String {
    percent_encoding::utf8_percent_encode(sid, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// What Twilio gives at most in one page.
const PAGE_ROWS: usize = 1_000;
/// So many pages are followed: a list that never ends is not Twilio's.
const PAGES_MAX: usize = 200;
/// A call has a few dozen.
const CALL_REQUESTS_MAX: usize = 1_000;
