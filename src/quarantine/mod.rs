//! Deliveries that were refused: kept for a while, explained, and applied once what was wrong is mended.
//!
//! [`Quarantine::keep`] is the one way in. Strangers reach it, so it must cost the gateway little: what is refused goes
//! through a short queue, one for known and one for unknown accounts, and [`Keeper`] writes what waits in one
//! transaction, with a pause between two. What does not fit into the queue is counted and forgotten. The table is bounded
//! in rows, bytes and age (`docs/decisions/0008-quarantine.md`).

mod explain;
mod judge;
mod keeper;
mod redrive;
mod refused;
mod shown;

pub use crate::domain::refusal::Reason;
pub use explain::Explanation;
pub use keeper::{Keeper, Parts, bounds, show_size};
pub use redrive::{Chosen, EVENTS_MAX, How, Outcome, ROWS_MAX, Redrive, RedriveError, Redriven, RedrivenRow};
pub use refused::{Refused, reason_of};
pub use shown::body_shown;

use crate::telemetry::Metrics;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// The way in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Quarantine {
    known: Queue,
    unknown: Queue,
    metrics: Metrics,
}

/// What waits, bounded in number and in bytes.
#[derive(Clone, Debug)]
struct Queue {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
}

/// A refused delivery and who waits until it is kept.
#[derive(Debug)]
struct Job {
    refused: Refused,
    waiter: Waiter,
}

/// What became of a refused delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is durable, as the row with this id.
    Durable(String),
    /// It waits to be written, and whoever asked could not wait longer.
    Waits,
    /// It is gone: there is no room, or the database did not take it.
    Lost,
}

/// Who waits, and the room that is taken up in memory meanwhile.
#[derive(Debug)]
struct Waiter {
    kept: oneshot::Sender<Kept>,
    _room: OwnedSemaphorePermit,
}

impl Queue {
    fn new(jobs: mpsc::Sender<Job>, bytes_max: usize) -> Self {
        Self { jobs, room: Arc::new(Semaphore::new(bytes_max)) }
    }

    /// Queues a refused delivery up; `None` if there is no place for it.
    fn queue_up(&self, refused: Refused) -> Option<oneshot::Receiver<Kept>> {
        let bytes = u32::try_from(refused.body.len()).ok()?;
        let room = self.room.clone().try_acquire_many_owned(bytes).ok()?;
        let (kept, done) = oneshot::channel();
        self.jobs.try_send(Job { refused, waiter: Waiter { kept, _room: room } }).ok()?;
        Some(done)
    }
}

impl Quarantine {
    /// Makes the way in and the keeper behind it; the keeper must be run ([`Keeper::run`]).
    pub fn new(parts: Parts) -> (Self, Keeper) {
        let metrics = parts.metrics.clone();
        let (known, known_waiting) = mpsc::channel(KNOWN_WAITING_MAX);
        let (unknown, unknown_waiting) = mpsc::channel(UNKNOWN_WAITING_MAX);
        let known = Queue::new(known, KNOWN_WAITING_BYTES_MAX);
        let unknown = Queue::new(unknown, UNKNOWN_WAITING_BYTES_MAX);
        (Self { known, unknown, metrics }, Keeper::new(known_waiting, unknown_waiting, parts))
    }

    /// Keeps a refused delivery. Returns when it is durable, and in any case after [`KEEP_WITHIN`]: the answer is a
    /// refusal whatever becomes of it.
    pub async fn keep(&self, refused: Refused) -> Kept {
        self.keep_within(vec![refused], KEEP_WITHIN).await.pop().unwrap_or(Kept::Lost)
    }

    /// The same with several, such as the entries of one batch that are set aside; what became of each, in their order.
    /// They wait together, and longer ([`KEEP_ALL_WITHIN`]): their answer may depend on it.
    pub async fn keep_all(&self, refused: Vec<Refused>) -> Vec<Kept> {
        self.keep_within(refused, KEEP_ALL_WITHIN).await
    }

    async fn keep_within(&self, refused: Vec<Refused>, within: Duration) -> Vec<Kept> {
        let figures = self.metrics.quarantine();
        let mut waiting = Vec::new();
        for refused in refused {
            figures.refused(refused.reason);
            let queue = if refused.tenant.is_some() { &self.known } else { &self.unknown };
            let queued = if refused.is_too_long() { None } else { queue.queue_up(refused) };
            if queued.is_none() {
                figures.not_kept(1);
            }
            waiting.push(queued);
        }
        let mut over = pin!(tokio::time::sleep(within));
        let mut kept = Vec::with_capacity(waiting.len());
        for queued in waiting {
            kept.push(match queued {
                // The keeper has counted what it could not keep.
                Some(done) => tokio::select! {
                    biased;
                    kept = done => kept.unwrap_or(Kept::Lost),
                    () = over.as_mut() => Kept::Waits,
                },
                None => Kept::Lost,
            });
        }
        kept
    }
}

/// How long the answer to a refused delivery waits until it is kept. It is kept all the same when that is over.
pub const KEEP_WITHIN: Duration = Duration::from_millis(500);
/// The same for several at once. A sink of Event Streams waits 5 s for its answer.
pub const KEEP_ALL_WITHIN: Duration = Duration::from_secs(2);
/// So many refused deliveries of known accounts may wait: a batch of Event Streams with nothing but bad entries.
pub const KNOWN_WAITING_MAX: usize = 1_000;
/// So many of unknown accounts.
pub const UNKNOWN_WAITING_MAX: usize = 100;
/// The bodies that wait may take so much memory: of known accounts.
const KNOWN_WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// And of unknown ones.
const UNKNOWN_WAITING_BYTES_MAX: usize = 2 * 1024 * 1024;
