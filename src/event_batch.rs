//! A batch of Event Streams as submissions: for the door it comes in by, and for whoever takes it out of quarantine.
//!
//! Each event is a delivery of its own. What cannot be read is named with its reason and does not keep the rest away.

use crate::{
    directory::{Account, Directory, Unavailable},
    domain::time::Millis,
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
    /// Why, for the person on call.
    pub reason: String,
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

impl<'a> Batch<'a> {
    /// Reads every event.
    pub async fn sort(&self, directory: &Directory) -> Result<Sorted<'a>, SortError> {
        let mut sorted = Sorted::default();
        for raw in event_stream::split(self.body)? {
            let raw = raw.get().as_bytes();
            match event_stream::read_entry(raw, self.received_ms) {
                Ok(Entry::Said { account, said }) => match self.owner(&account, directory).await? {
                    Some(owner) => sorted.good.push(Good { raw, owner, said }),
                    None => {
                        let reason = format!(
                            "the event is of the account {account:?}, which is none of the tenant that owns the sink"
                        );
                        sorted.bad.push(Bad { raw, reason });
                    }
                },
                Ok(Entry::Test) => sorted.tests += 1,
                Ok(Entry::Foreign { kind }) if sorted.foreign.len() < FOREIGN_SHOWN_MAX => {
                    sorted.foreign.insert(kind);
                }
                Ok(Entry::Foreign { .. }) => {}
                Err(error) => sorted.bad.push(Bad { raw, reason: format!("failed to {error}") }),
            }
        }
        Ok(sorted)
    }

    /// The account of an event: the one that is verified, or another one of the same tenant.
    async fn owner(&self, sid: &str, directory: &Directory) -> Result<Option<Arc<Account>>, Unavailable> {
        if sid == self.account.id {
            return Ok(Some(self.account.clone()));
        }
        let owner = directory.account(sid).await?;
        Ok(owner.filter(|owner| owner.provider == "twilio" && owner.tenant == self.account.tenant))
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
        Submission { tenant: owner.tenant.clone(), provider: "twilio", delivery, signals, ask }
    }
}

/// So many types of events that nobody here reads are named at once.
const FOREIGN_SHOWN_MAX: usize = 20;
