//! From messages to signals: (state, message, time) → (state, signals), for one PBX, in the order of its stream.
//!
//! Asterisk tells what happens to channels; a call is several of them. Here they are put together: legs by Uniqueid, calls
//! by Linkedid. Whoever holds the PBX feeds it; it has no clock and no IO.

use super::{Message, Snapshot};
use crate::domain::{
    signal::Signal,
    state::{Live, Outcome},
    time::Millis,
};

/// When a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When we read it.
    pub received_ms: Millis,
    /// When it happened: the PBX's `Timestamp` corrected to our clock, else when it was read if the link was fresh. None: the
    /// link was behind (a frozen PBX tells everything at once later), or it was pushed without a time.
    pub at_ms: Option<Millis>,
}

/// A live leg or call as it was stored, to go on with after a restart of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The row's provider id: a Linkedid (the call as a whole) or the Uniqueid of a dialed leg.
    pub provider_id: String,
    /// The Linkedid of a dialed leg.
    pub parent_id: Option<String>,
    /// How far it has come.
    pub live: Live,
    /// When it was answered.
    pub answered_ms: Option<Millis>,
    /// When we first heard of it.
    pub created_ms: Millis,
}

/// Since when the stream was not heard, and what is known of the gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// The last byte or Pong before the gap; None: nothing is known of before (then the rows' own signs of life count).
    pub heard_ms: Option<Millis>,
    /// When the PBX began to run, if it was found to have restarted meanwhile.
    pub restarted_ms: Option<Millis>,
}

/// The settings of the correlator.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Name of the PBX: the `account` of every leg.
    pub account: String,
    /// What an answered call is that is found gone: `completed`, or `failed` by setting.
    pub if_answered: Outcome,
}

/// The state of one PBX.
#[derive(Clone, Debug)]
pub struct Correlator {
    rules: Rules,
}

impl Correlator {
    /// One that has heard nothing.
    pub const fn new(rules: Rules) -> Self {
        Self { rules }
    }

    /// Goes on with what was stored. Before the first message.
    pub fn restore(&mut self, _known: Vec<Known>) {}

    /// A connection was made and logged in at `login_ms`: messages are kept back until the channel list ([`Self::resync`]).
    pub fn connected(&mut self, _login_ms: Millis) {}

    /// Takes one message.
    pub fn absorb(&mut self, _message: &Message, _heard: Heard) -> Vec<Signal> {
        let _ = &self.rules;
        Vec::new()
    }

    /// Takes the channel list after a connect: what ended and what began meanwhile, then the messages that were kept back.
    pub fn resync(&mut self, _snapshot: &Snapshot, _gap: Gap) -> Vec<Signal> {
        Vec::new()
    }

    /// Takes a channel list while connected. What two of them in a row lack has ended, and nobody told.
    pub fn audit(&mut self, _snapshot: &Snapshot) -> Vec<Signal> {
        Vec::new()
    }

    /// The connection is gone: nothing is known until the next channel list.
    pub fn disconnected(&mut self) {}

    /// Does what has become due: calls whose legs have all ended are told as ended two seconds later.
    pub fn tick(&mut self, _now_ms: Millis) -> Vec<Signal> {
        Vec::new()
    }

    /// When [`Self::tick`] has something to do next.
    pub fn wake_at_ms(&self) -> Option<Millis> {
        None
    }

    /// Everything that lives, by the provider id of its row, and how far it has come.
    pub fn live(&self) -> Vec<(String, Live)> {
        Vec::new()
    }

    /// Whether it follows this leg or call: it lives, or has ended a moment ago and is not told yet.
    pub fn follows(&self, _provider_id: &str) -> bool {
        false
    }
}
