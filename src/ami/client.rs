//! The room's only IO: keeps two connections to a PBX, one that listens and one that asks.
//!
//! What is heard comes out of one bounded queue, in the order of the stream. The reader never waits for whoever takes it
//! out: when the queue is full the connection is dropped, and what was missed is learned from the next channel list.

mod asking;
mod chance;
mod door;
mod listening;
mod pinned;
mod queue;
mod wire;

use super::{Action, Message, Snapshot, action::ActionError, correlator::Heard};
use crate::{
    clock::SharedClock,
    domain::{time::Millis, words},
};
use asking::Question;
pub use chance::Chance;
use door::Door;
use queue::{Queue, Tally};
use rand::{SeedableRng, rngs::StdRng};
use secrecy::SecretString;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, mpsc, mpsc::error::TrySendError, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::Ends;

/// What a client is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where to, and who we are.
    pub target: Target,
    /// For how long things are waited for; `Patience::default()`.
    pub patience: Patience,
    /// How much may wait for whoever takes it out; `Room::default()`.
    pub room: Room,
    /// Stamps everything that is heard.
    pub clock: SharedClock,
    /// Spreads the reconnects of many gateways.
    pub rng: StdRng,
    /// Ends the client: it logs off and tells [`DownKind::Stopped`].
    pub stop: CancellationToken,
}

/// For how long things are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Connecting, TLS included, to the banner.
    pub connect: Duration,
    /// An answer to an action, the login's own included.
    pub answer: Duration,
    /// A whole channel list.
    pub list: Duration,
    /// From one ping to the next.
    pub ping_every: Duration,
    /// A Pong. Without it the link is dead.
    pub pong: Duration,
    /// `FullyBooted`, if the PBX was logged in to while it starts.
    pub boot: Duration,
    /// The pause after the first failed attempt; each further one is twice as long, and half of it is random.
    pub retry: Duration,
    /// The longest pause.
    pub retry_longest: Duration,
    /// The longest pause after refused logins; the first is a tenth of it.
    pub refused_longest: Duration,
    /// The connection that asks is closed when nothing was asked for so long.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(10),
            answer: seconds(10),
            list: seconds(10),
            ping_every: seconds(10),
            pong: seconds(5),
            boot: seconds(60),
            retry: Duration::from_millis(500),
            retry_longest: seconds(30),
            refused_longest: seconds(60),
            idle: seconds(300),
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self { messages: 100_000, bytes: 128 * 1024 * 1024 }
    }
}

/// How much may wait in the queue. More means that we fall behind: the connection is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Messages.
    pub messages: usize,
    /// Bytes of their text.
    pub bytes: usize,
}

/// A client at work. Clones are the same client; it ends by [`Parts::stop`], or when its queue is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    questions: mpsc::Sender<Question>,
    wanted: Arc<Notify>,
    tally: Arc<Tally>,
    clock: SharedClock,
    tasks: TaskTracker,
}

impl Client {
    /// Connects, and keeps at it until it is stopped. What is heard comes out of the queue, in the order of the stream:
    /// `Up`, then messages with `Listed` among them, then `Down`; and again. The first `Listed` after an `Up` is the one
    /// to resync by, each later one was asked for by [`Self::list`]. Several `Down` may follow each other: one for each
    /// attempt. The last is [`DownKind::Stopped`]. Must be called inside a tokio runtime.
    pub fn start(mut parts: Parts) -> (Self, mpsc::Receiver<Told>) {
        let stop = parts.stop.child_token();
        let (tasks, wanted, tally) = (TaskTracker::new(), Arc::new(Notify::new()), Arc::new(Tally::default()));
        let (queue, told) = Queue::start(parts.room, Arc::clone(&tally), stop.clone(), &tasks);
        let (questions, asked) = mpsc::channel(ASKED_AT_ONCE_MAX);
        let door = Arc::new(Door::new(parts.target, parts.patience));
        let ends = |role: &str, rng: &mut StdRng| {
            Ends::new(
                Arc::clone(&door),
                parts.patience,
                Arc::clone(&parts.clock),
                role,
                StdRng::from_rng(rng),
                stop.clone(),
            )
        };
        let (listening, asking) = (ends("l", &mut parts.rng), ends("a", &mut parts.rng));
        tasks.spawn(listening::keep(listening, queue, Arc::clone(&wanted)));
        tasks.spawn(asking::keep(asking, asked));
        tasks.close();
        (Self { questions, wanted, tally, clock: parts.clock, tasks }, told)
    }

    /// Asks for a channel list on the connection that listens. It comes out of the queue as [`Told::Listed`]. If one is
    /// under way, or there is no connection, nothing is asked (after the next connect one is).
    pub fn list(&self) {
        self.wanted.notify_one();
    }

    /// Asks something on the connection that asks, which is opened if it is not there. An answer `Error` is an [`AskError`].
    /// Only actions that answer at once: an `Originate` without `Async` would hold up this connection until it is dropped.
    pub async fn ask(&self, action: Action) -> Result<Answer, AskError> {
        self.ask_once(action, Chance::default()).await
    }

    /// The same, unless somebody takes the chance before: then it is never sent. Once it was sent and no answer is heard, that
    /// is [`AskError::Unanswered`]; every other error means that nothing was sent, or that the PBX refused.
    pub async fn ask_once(&self, action: Action, chance: Chance) -> Result<Answer, AskError> {
        action.check()?;
        let (name, (answer, answered)) = (action.name(), oneshot::channel());
        let stopped = || AskError::Away { action: name, why: "the client has stopped".to_owned() };
        self.questions.try_send(Question { action, chance: chance.clone(), answer }).map_err(|e| match e {
            TrySendError::Full(_) => AskError::TooMany { action: name },
            TrySendError::Closed(_) => stopped(),
        })?;
        match answered.await {
            Ok(answer) => answer,
            Err(_) if chance.take() => Err(stopped()),
            Err(_) => Err(AskError::Unanswered { action: name, why: "the client has stopped".to_owned() }),
        }
    }

    /// How it goes.
    pub fn figures(&self) -> Figures {
        self.tally.figures(self.clock.now_ms())
    }

    /// Waits until it has ended: both connections are logged off and closed, and the queue was taken out or dropped.
    pub async fn ended(&self) {
        self.tasks.wait().await;
    }
}

/// What an action was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The response.
    pub response: Message,
    /// If it was a list: its items, without the line that says it is complete.
    pub items: Vec<Message>,
}

/// Why an action was not answered. The fragments complete "failed to …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no connection: nothing was sent.
    #[error("ask the PBX for {action}: {why}")]
    Away {
        /// The action.
        action: &'static str,
        /// Why there is none.
        why: String,
    },
    /// It cannot be written as an action: nothing was sent.
    #[error(transparent)]
    Unsendable(#[from] ActionError),
    /// Too much is being asked already: nothing was sent.
    #[error("ask the PBX for {action}: {ASKED_AT_ONCE_MAX} other questions wait for their answers")]
    TooMany {
        /// The action.
        action: &'static str,
    },
    /// The PBX answered that it will not: no right, no such channel, an unknown action.
    #[error("have the PBX do {action}: it says {message:?}")]
    Refused {
        /// The action.
        action: &'static str,
        /// Its `Message`.
        message: String,
    },
    /// It was sent, and no answer came: it may have been done.
    #[error("hear the answer to {action}: {why}; it may have been done")]
    Unanswered {
        /// The action.
        action: &'static str,
        /// What happened.
        why: String,
    },
}

/// The most questions that wait for their answers.
pub const ASKED_AT_ONCE_MAX: usize = 64;

/// How the connection that listens goes. Counters count since the start of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// What it is connected to, if it is.
    pub up: Option<Up>,
    /// Connections that logged in.
    pub connects: u64,
    /// Messages of the world.
    pub messages: u64,
    /// Bytes heard.
    pub bytes: u64,
    /// Messages that were thrown away because the queue was full.
    pub dropped: u64,
    /// Channel lists that were complete.
    pub lists: u64,
    /// The last byte that was heard.
    pub heard_ms: Option<Millis>,
    /// Messages that wait to be taken out, and the bytes of their text.
    pub queued: usize,
    /// See `queued`.
    pub queued_bytes: usize,
    /// For how long the oldest of them waits.
    pub lag_ms: Millis,
}

/// Where a PBX is and who we are there.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// 5038, or 5039 with TLS.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The user of `manager.conf`.
    pub user: String,
    /// Its secret.
    pub secret: SecretString,
    /// Certificates (PEM) to check its TLS with, in place of the system's.
    pub ca_pem: Option<String>,
}

/// What comes out of the queue.
#[derive(Clone, Debug)]
pub enum Told {
    /// Connected and logged in; the channel list was asked for and follows as [`Told::Listed`].
    Up(Up),
    /// A message of the world (answers to our questions do not come here).
    Message(Message, Heard),
    /// A complete channel list, at the place in the stream where its last line stood.
    Listed(Snapshot),
    /// The connection is gone; it is tried again.
    Down(Down),
}

/// A new connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Up {
    /// When the login was accepted.
    pub login_ms: Millis,
    /// The version of the protocol, from the banner.
    pub ami_version: String,
    /// The version of Asterisk, if it says.
    pub version: Option<String>,
    /// Its `systemname`, if it has one.
    pub system_name: Option<String>,
    /// When it began to run, to a second or two.
    pub boot_ms: Option<Millis>,
    /// Its clock ahead of ours, if it says; under a second counts as none.
    pub clock_ahead_ms: Millis,
}

/// A connection that ended, or was never made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// Why.
    pub kind: DownKind,
    /// The same in a sentence without secrets; completes "failed to …".
    pub detail: String,
    /// The last byte that was heard on it.
    pub heard_ms: Option<Millis>,
    /// When it is tried again.
    pub retry_ms: Millis,
}

words! {
    /// Why there is no connection.
    pub enum DownKind {
        /// Nobody answers at that address, or its name is not known.
        Unreachable = "unreachable",
        /// It does not take our user or secret, or not from our address.
        Refused = "refused",
        /// TLS could not be agreed on, or its certificate is not trusted.
        Tls = "tls",
        /// It closed the connection.
        Closed = "closed",
        /// It did not answer a ping in time.
        Silent = "silent",
        /// It sent what is no AMI, or more than the limits allow.
        Garbage = "garbage",
        /// We fell behind its stream.
        Behind = "behind",
        /// We are stopping, or somebody else holds the PBX now.
        Stopped = "stopped",
    }
}

#[cfg(test)]
mod tests;
