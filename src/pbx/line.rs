//! The line to a PBX: what comes out of it, and what can be asked of it. Production speaks AMI; tests feed one by hand.

use crate::{
    ami::{
        Action,
        client::{Answer, AskError, Chance, Client, Parts, Patience, Room, Target, Told},
    },
    clock::SharedClock,
    domain::time::Millis,
};
use rand::{SeedableRng, rngs::StdRng};
use std::{
    fmt::Debug,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Opens lines.
pub trait Connect: Debug + Send + Sync {
    /// Begins to connect, and keeps at it until `stop` is cancelled. Never waits.
    fn connect(&self, target: Target, stop: CancellationToken) -> Line;
}

/// A line that is open or being opened.
#[derive(Debug)]
pub struct Line {
    /// What the PBX tells, in the order of its stream.
    pub told: mpsc::Receiver<Told>,
    /// Its other side.
    pub far: Box<dyn Far>,
}

/// What can be asked of a line.
pub trait Far: Debug + Send + Sync {
    /// Asks for a channel list; it comes out of the line. Without a connection nothing is asked.
    fn list(&self);

    /// Asks for something on the side, so that the stream goes on; unless somebody takes the chance before it is sent.
    fn ask(&self, action: Action, chance: Chance) -> Asking;

    /// How it goes.
    fn figures(&self) -> LineFigures;

    /// Waits until it is closed, after it was told to stop.
    fn ended(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// An answer that is waited for; see [`Client::ask_once`].
pub type Asking = Pin<Box<dyn Future<Output = Result<Answer, AskError>> + Send>>;

/// How a line goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineFigures {
    /// The last byte that was heard, Pongs included.
    pub heard_ms: Option<Millis>,
    /// For how long the oldest message waits to be taken out.
    pub lag_ms: Millis,
    /// Messages that were thrown away because too many waited, since the line was opened.
    pub dropped: u64,
}

/// Lines that speak AMI.
#[derive(Debug)]
pub struct Ami {
    clock: SharedClock,
    rng: Mutex<StdRng>,
}

impl Ami {
    /// `rng` spreads the reconnects of many processes.
    pub const fn new(clock: SharedClock, rng: StdRng) -> Self {
        Self { clock, rng: Mutex::new(rng) }
    }
}

impl Connect for Ami {
    fn connect(&self, target: Target, stop: CancellationToken) -> Line {
        // A panic while drawing leaves the generator usable.
        let rng = StdRng::from_rng(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner));
        let (patience, room, clock) = (Patience::default(), Room::default(), self.clock.clone());
        let (client, told) = Client::start(Parts { target, patience, room, clock, rng, stop });
        Line { told, far: Box::new(client) }
    }
}

impl Far for Client {
    fn list(&self) {
        Self::list(self);
    }

    fn ask(&self, action: Action, chance: Chance) -> Asking {
        let client = self.clone();
        Box::pin(async move { client.ask_once(action, chance).await })
    }

    fn figures(&self) -> LineFigures {
        let figures = Self::figures(self);
        LineFigures { heard_ms: figures.heard_ms, lag_ms: figures.lag_ms, dropped: figures.dropped }
    }

    fn ended(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(Self::ended(self))
    }
}
