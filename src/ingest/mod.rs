//! The one door for every change to a call.
//!
//! Whoever learns something about a call (a webhook, the command line, later the sweeper and the PBX) submits it here.
//! One writer takes what is waiting, applies it in one transaction and answers when it is durable (`writer`).
//! What a signal means is decided by `domain::call::Call` alone; `batch` loads, asks it and writes.

mod ask;
mod batch;
mod contacts;
mod decision;
mod extension;
pub mod import;
mod jobs;
mod keys;
mod links;
mod owed;
mod pruned;
mod row;
mod timeline;
mod unapplied;
mod writer;

pub use decision::{Action, Decision};
pub use row::{fill, foretell, registers};
pub use timeline::{LeadChange, TimelineStep};
pub use unapplied::{Reread, Retry};
pub use writer::Writer;

use crate::{
    domain::{deadline::Limits, id::Leg, lead::ContactPolicy, signal::Signal},
    store::{
        StoreError,
        deliveries::{APPLIED, DeliveryRow},
    },
};
use sha2::{Digest, Sha256};
use std::{
    pin::{Pin, pin},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Sleep,
};

/// The settings that decide what a signal leads to.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// When to look at a live call again.
    pub limits: Limits,
    /// What counts as a contact.
    pub contact: ContactPolicy,
}

/// Something to be made durable: what a delivery says, or signals of our own.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Whose call it is.
    pub tenant: String,
    /// `twilio` or `asterisk`.
    pub provider: &'static str,
    /// The raw delivery, if it came from outside.
    pub delivery: Option<DeliveryRow>,
    /// What it says.
    pub signals: Vec<Signal>,
    /// Live calls to be asked about now, because something about them may have been lost. Names nothing that is new.
    pub ask: Vec<Leg>,
    /// Why it is submitted, if somebody decided it: kept if it ends the call.
    pub decision: Option<Decision>,
}

/// A verified delivery, as received.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// The provider account.
    pub account: &'a str,
    /// The leg it speaks of.
    pub provider_id: &'a str,
    /// Which door it came through, such as `twilio/status`.
    pub source: &'a str,
    /// `POST` or `GET`.
    pub method: &'a str,
    /// The raw query string.
    pub query: &'a [u8],
    /// The raw body.
    pub body: &'a [u8],
    /// What the body says in one spelling ([`crate::twilio::signature::canonical`]): it identifies the delivery, because
    /// whoever has a signed request could spell it in many ways that all verify.
    pub parameters: &'a [u8],
    /// When it came, in Unix milliseconds.
    pub received_ms: i64,
    /// Whether the signature was verified.
    pub verified: bool,
}

impl Received<'_> {
    /// The row to store. The id is a digest of what was signed: a repeated delivery has the same one.
    pub fn row(&self) -> DeliveryRow {
        let mut digest = Sha256::new();
        let content =
            [self.account.as_bytes(), self.source.as_bytes(), self.method.as_bytes(), self.query, self.parameters];
        for part in content {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest = hex::encode(digest.finalize());
        DeliveryRow {
            tenant: self.tenant.to_owned(),
            provider_id: self.provider_id.to_owned(),
            account: self.account.to_owned(),
            id: format!("dlv_{}", digest.get(..ID_HEX_LEN).unwrap_or(&digest)),
            source: self.source.to_owned(),
            method: self.method.to_owned(),
            query: self.query.to_owned(),
            body: self.body.to_owned(),
            received_ms: self.received_ms,
            verified: self.verified,
            state: APPLIED.to_owned(),
            reason: None,
            attempts: 0,
            retry_at_ms: None,
        }
    }
}

/// What became of a submission. Each is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// New, and applied.
    Stored,
    /// Known already.
    Repeated,
    /// Stored, but applying it failed by itself; it is retried and listed by `check`.
    Unapplied,
}

/// Why a submission is not durable.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// More is waiting than we accept.
    #[error("queue the submission: {QUEUE_MAX} are waiting already")]
    Full,
    /// The database is away, or did not answer in time. It may still be stored; submitting again is safe.
    #[error("make the submission durable: {0}")]
    Unavailable(String),
    /// We are stopping.
    #[error("accept the submission: the gateway is stopping")]
    Stopped,
    /// The database refused signals that no delivery stands behind.
    #[error("apply the submission: {0}")]
    Refused(#[source] StoreError),
}

/// The door. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    queue: mpsc::Sender<Job>,
}

/// A submission and who waits for it.
#[derive(Debug)]
struct Job {
    submission: Submission,
    answer: oneshot::Sender<Result<Submitted, SubmitError>>,
}

/// What whoever submitted waits for.
type Answered = oneshot::Receiver<Result<Submitted, SubmitError>>;

impl Ingest {
    /// Makes the door and the writer behind it; the writer must be run ([`Writer::run`]).
    pub fn new(parts: writer::Parts) -> (Self, Writer) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        (Self { queue }, Writer::new(waiting, parts))
    }

    /// Submits and waits until it is durable. Dropping the future does not take the submission back.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        Self::answer(self.queue_up(submission)?, pin!(tokio::time::sleep(ANSWER_WITHIN))).await
    }

    /// Submits several at once, so that they share transactions, and waits until each is durable or has failed.
    /// In the order given; at most [`AT_ONCE_MAX`] wait at a time, so that others find a place in the queue. `within`
    /// counts for all together: what has no answer then has failed, and what was not queued up by then never is.
    pub async fn submit_all(
        &self,
        submissions: Vec<Submission>,
        within: Duration,
    ) -> Vec<Result<Submitted, SubmitError>> {
        let mut results = Vec::with_capacity(submissions.len());
        let mut left = submissions.into_iter().peekable();
        let mut over = pin!(tokio::time::sleep(within));
        while left.peek().is_some() {
            let waiting: Vec<_> = left
                .by_ref()
                .take(AT_ONCE_MAX)
                .map(|one| if over.is_elapsed() { Err(late()) } else { self.queue_up(one) })
                .collect();
            for answered in waiting {
                results.push(match answered {
                    Ok(answered) => Self::answer(answered, over.as_mut()).await,
                    Err(error) => Err(error),
                });
            }
        }
        results
    }

    fn queue_up(&self, submission: Submission) -> Result<Answered, SubmitError> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job { submission, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => SubmitError::Full,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopped,
        })?;
        Ok(answered)
    }

    async fn answer(answered: Answered, over: Pin<&mut Sleep>) -> Result<Submitted, SubmitError> {
        tokio::select! {
            biased;
            answer = answered => answer.unwrap_or(Err(SubmitError::Stopped)),
            () = over => Err(late()),
        }
    }

    /// How many submissions are waiting.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

fn late() -> SubmitError {
    SubmitError::Unavailable("no answer in time".to_owned())
}

pub use writer::Parts;

/// More than this many waiting submissions are refused with 503.
pub const QUEUE_MAX: usize = 4096;
/// How many of the submissions of one request wait at a time: as many as one transaction takes.
pub const AT_ONCE_MAX: usize = 256;
/// Twilio gives up after 15 s; an answer must have left before that.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// 128 bits of the digest.
const ID_HEX_LEN: usize = 32;
