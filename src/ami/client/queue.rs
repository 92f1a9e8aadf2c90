//! What was heard and not yet taken out: bounded in messages and in bytes, and counted.
//!
//! The reader pushes and never waits; a task of its own hands over. So the reader learns at once that we fall behind, and
//! the socket never does.

use super::{Figures, Room, Told, Up};
use crate::domain::time::Millis;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
};
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The queue as the reader sees it.
#[derive(Debug)]
pub struct Queue {
    waiting: mpsc::UnboundedSender<Waiting>,
    room: Room,
    tally: Arc<Tally>,
    taken: Arc<Notify>,
}

#[derive(Debug)]
struct Waiting {
    told: Told,
    bytes: usize,
    since_ms: Millis,
}

/// There is no room for one more message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// How many are handed over ahead. They are not counted as waiting, so they are few.
const AHEAD: usize = 16;

impl Queue {
    /// A queue and where it comes out. Whoever drops that end stops the client.
    pub fn start(
        room: Room,
        tally: Arc<Tally>,
        stop: CancellationToken,
        tasks: &TaskTracker,
    ) -> (Self, mpsc::Receiver<Told>) {
        let (waiting, mut to_hand) = mpsc::unbounded_channel::<Waiting>();
        let (hand, told) = mpsc::channel(AHEAD);
        let taken = Arc::new(Notify::new());
        let queue = Self { waiting, room, tally: Arc::clone(&tally), taken: Arc::clone(&taken) };
        tasks.spawn(async move {
            while let Some(next) = to_hand.recv().await {
                tally.oldest_ms.store(next.since_ms, Relaxed);
                if hand.send(next.told).await.is_err() {
                    return stop.cancel();
                }
                tally.oldest_ms.store(NONE, Relaxed);
                if next.bytes > 0 {
                    tally.queued.fetch_sub(1, Relaxed);
                    tally.queued_bytes.fetch_sub(next.bytes, Relaxed);
                }
                taken.notify_one();
            }
        });
        (queue, told)
    }

    /// A message, unless there is no room.
    pub fn message(&self, told: Told, bytes: usize, received_ms: Millis) -> Result<(), Full> {
        // At least one byte, by which the other end knows it from what is not counted.
        let bytes = bytes.max(1);
        let tally = &self.tally;
        let (queued, queued_bytes) = (tally.queued.load(Relaxed), tally.queued_bytes.load(Relaxed));
        if queued >= self.room.messages || queued_bytes.saturating_add(bytes) > self.room.bytes {
            tally.dropped.fetch_add(1, Relaxed);
            return Err(Full);
        }
        tally.messages.fetch_add(1, Relaxed);
        tally.queued.fetch_add(1, Relaxed);
        tally.queued_bytes.fetch_add(bytes, Relaxed);
        self.push(told, bytes, received_ms);
        Ok(())
    }

    /// What is not a message always passes: it is one for many messages, and after a full queue nothing more comes until
    /// there is room again ([`Self::half_empty`]).
    pub fn told(&self, told: Told, now_ms: Millis) {
        match &told {
            Told::Up(up) => {
                self.tally.connects.fetch_add(1, Relaxed);
                *self.tally.up() = Some(up.clone());
            }
            Told::Listed(_) => {
                self.tally.lists.fetch_add(1, Relaxed);
            }
            Told::Down(_) => *self.tally.up() = None,
            Told::Message(..) => {}
        }
        self.push(told, 0, now_ms);
    }

    /// Waits until half of the room is free.
    pub async fn half_empty(&self) {
        while self.tally.queued.load(Relaxed) > self.room.messages / 2
            || self.tally.queued_bytes.load(Relaxed) > self.room.bytes / 2
        {
            self.taken.notified().await;
        }
    }

    /// Bytes were read.
    pub fn heard(&self, bytes: u64, now_ms: Millis) {
        self.tally.bytes.fetch_add(bytes, Relaxed);
        self.tally.heard_ms.store(now_ms, Relaxed);
    }

    fn push(&self, told: Told, bytes: usize, since_ms: Millis) {
        // Nobody takes it out any more: then the client is being stopped.
        let _ = self.waiting.send(Waiting { told, bytes, since_ms });
    }
}

/// The figures as they are counted.
#[derive(Debug)]
pub struct Tally {
    up: Mutex<Option<Up>>,
    connects: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    lists: AtomicU64,
    heard_ms: AtomicI64,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
    oldest_ms: AtomicI64,
}

/// No time.
const NONE: Millis = Millis::MIN;

impl Default for Tally {
    fn default() -> Self {
        Self {
            up: Mutex::default(),
            connects: AtomicU64::default(),
            messages: AtomicU64::default(),
            bytes: AtomicU64::default(),
            dropped: AtomicU64::default(),
            lists: AtomicU64::default(),
            heard_ms: AtomicI64::new(NONE),
            queued: AtomicUsize::default(),
            queued_bytes: AtomicUsize::default(),
            oldest_ms: AtomicI64::new(NONE),
        }
    }
}

impl Tally {
    /// How it goes at `now_ms`.
    pub fn figures(&self, now_ms: Millis) -> Figures {
        let (heard_ms, oldest_ms) = (self.heard_ms.load(Relaxed), self.oldest_ms.load(Relaxed));
        Figures {
            up: self.up().clone(),
            connects: self.connects.load(Relaxed),
            messages: self.messages.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            lists: self.lists.load(Relaxed),
            heard_ms: (heard_ms != NONE).then_some(heard_ms),
            queued: self.queued.load(Relaxed),
            queued_bytes: self.queued_bytes.load(Relaxed),
            lag_ms: if oldest_ms == NONE { 0 } else { now_ms.saturating_sub(oldest_ms).max(0) },
        }
    }

    fn up(&self) -> MutexGuard<'_, Option<Up>> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
