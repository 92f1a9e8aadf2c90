//! A batch of Event Streams as submissions: for the door it comes in by, and for whoever takes it out of quarantine.
//!
//! Each event is a delivery of its own. What cannot be taken is named with its reason and does not keep the rest away.

use crate::{
    config::VerifyMode,
    directory::{Account, Directory, Unavailable},
    domain::{refusal::Reason, time::Millis},
    ingest::{Received, Submission},
    twilio::{
        door::{Door, Method, Said},
        event_stream::{self, BatchError, Entry},
    },
};
use std::{collections::BTreeSet, sync::Arc};

/// A batch as it came.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The account in the URL of the sink, whose token signs.
    pub account: &'a Arc<Account>,
    /// The raw query string.
    pub query: &'a str,
    /// The raw body.
    pub body: &'a [u8],
    /// Whether signature and hash were verified.
    pub verified: bool,
    /// When it first came.
    pub received_ms: Millis,
    /// What counts for accounts now.
    pub today: Today,
}

/// What decides whether an account is in `observe`.
#[derive(Clone, Copy, Debug)]
pub struct Today {
    /// The time.
    pub now_ms: Millis,
    /// How accounts that say nothing else are verified.
    pub verify: VerifyMode,
}

/// A batch that was read.
#[derive(Debug, Default)]
pub struct Sorted<'a> {
    /// What speaks of calls.
    pub good: Vec<Good<'a>>,
    /// What cannot be taken.
    pub bad: Vec<Bad<'a>>,
    /// Tests of the sink.
    pub tests: usize,
    /// The types of what says nothing of a call's state, the first `FOREIGN_SHOWN_MAX`.
    pub foreign: BTreeSet<String>,
}

/// An event that can be submitted.
#[derive(Debug)]
pub struct Good<'a> {
    /// Its raw bytes.
    pub raw: &'a [u8],
    /// The account it is of.
    pub owner: Arc<Account>,
    /// What it says.
    pub said: Said,
}

/// An event that cannot be taken.
#[derive(Debug)]
pub struct Bad<'a> {
    /// Its raw bytes.
    pub raw: &'a [u8],
    /// The account it is of, if it is read that far.
    pub account: Option<String>,
    /// What it speaks of, if it is read that far: a call, or a report of the Debugger.
    pub call: Option<String>,
    /// Why.
    pub reason: Reason,
    /// The same, for the person on call.
    pub detail: String,
}

/// Why nothing of a batch can be taken now.
#[derive(Debug, thiserror::Error)]
pub enum SortError {
    /// It is no batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The account of an event cannot be looked up.
    #[error(transparent)]
    Accounts(#[from] Unavailable),
}

/// Why an event is not taken.
type Refusal = (Reason, String);

impl<'a> Batch<'a> {
    /// Reads every event.
    pub async fn sort(&self, directory: &Directory) -> Result<Sorted<'a>, SortError> {
        let mut sorted = Sorted::default();
        for raw in event_stream::split(self.body)? {
            let raw = raw.get().as_bytes();
            match event_stream::read_entry(raw, self.received_ms) {
                Ok(Entry::Said { account, said }) => match self.owner(&account, directory).await? {
                    Ok(owner) => sorted.good.push(Good { raw, owner, said }),
                    Err((reason, detail)) => {
                        let (account, call) = (Some(account), Some(said.provider_id));
                        sorted.bad.push(Bad { raw, account, call, reason, detail });
                    }
                },
                Ok(Entry::Test) => sorted.tests += 1,
                Ok(Entry::Foreign { kind }) if sorted.foreign.len() < FOREIGN_SHOWN_MAX => {
                    sorted.foreign.insert(kind);
                }
                Ok(Entry::Foreign { .. }) => {}
                Err(error) => {
                    let (reason, detail) = (Reason::BadEntry, format!("failed to {error}"));
                    sorted.bad.push(Bad { raw, account: None, call: None, reason, detail });
                }
            }
        }
        Ok(sorted)
    }

    /// The account of an event: the one that is verified, or another one of the same tenant. Of a batch that does not
    /// verify only who is itself in `observe` is let in: nobody proved that he may speak for the others.
    async fn owner(&self, sid: &str, directory: &Directory) -> Result<Result<Arc<Account>, Refusal>, Unavailable> {
        let owner = if sid == self.account.id { Some(self.account.clone()) } else { directory.account(sid).await? };
        let owner = owner.filter(|owner| owner.provider == "twilio" && owner.tenant == self.account.tenant);
        let Today { now_ms, verify } = self.today;
        Ok(match owner {
            None => {
                let detail =
                    format!("the event is of the account {sid:?}, which is none of the tenant that owns the sink");
                Err((Reason::UnknownAccount, detail))
            }
            Some(owner) if !self.verified && owner.verify(now_ms, verify) != VerifyMode::Observe => {
                let detail =
                    format!("its batch does not verify, and the account {sid:?} of the event is not in observe");
                Err((Reason::SignatureMismatch, detail))
            }
            Some(owner) => Ok(owner),
        })
    }

    /// What is to be submitted of an event. It is identified by its own bytes: sent again in other company, it is the same.
    pub fn submission(&self, good: Good<'_>) -> Submission {
        let Good { raw, owner, said } = good;
        let query = event_stream::kept_query(self.query);
        let received = Received {
            tenant: &owner.tenant,
            account: &owner.id,
            provider_id: &said.provider_id,
            source: Door::Events.as_str(),
            method: Method::Post.as_str(),
            query: query.as_bytes(),
            body: raw,
            parameters: raw,
            received_ms: self.received_ms,
            verified: self.verified,
        };
        let delivery = Some(received.row());
        let Said { signals, ask, .. } = said;
        Submission { tenant: owner.tenant.clone(), provider: "twilio", delivery, signals, ask, decision: None }
    }
}

/// So many types of events that nobody here reads are named at once.
const FOREIGN_SHOWN_MAX: usize = 20;
