//! From messages to signals: (state, message, time) → (state, signals), for one PBX, in the order of its stream.
//!
//! Asterisk tells what happens to channels; a call is several of them. Here they are put together: legs by Uniqueid, calls
//! by Linkedid. Whoever holds the PBX feeds it; it has no clock and no IO.
//!
//! `leg` is one channel, `conversation` a call with its bridges; `book` holds all of them and the few ways in which they
//! change. `stream` reads messages, `relist` channel lists, `lead` whose call it is, `board` what extensions do; `outcome`
//! decides how it ended, `placed` waits for the channels of calls we ask for, `name` takes names apart, `tell` makes signals, `bounds` keeps all of it small.

mod board;
mod book;
mod bounds;
mod conversation;
mod lead;
mod leg;
mod name;
mod outcome;
mod placed;
mod relist;
mod stream;
mod tell;
#[cfg(test)]
mod tests;

pub use board::{DeviceState, ExtensionChange};
pub use placed::Placing;

use super::{Message, Snapshot};
use crate::domain::{
    signal::Signal,
    state::{Direction, Live, Outcome},
    time::Millis,
};
use board::Board;
use book::Book;
use bounds::{KeptBack, short};
use name::ChannelName;
use std::collections::BTreeSet;
use tell::Moment;

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
    /// Its direction: an originated call is answered by whom it was placed to.
    pub direction: Option<Direction>,
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
    book: Book,
    board: Board,
    /// Messages since the login, until the channel list is there.
    kept_back: Option<KeptBack>,
    /// Messages were lost for want of room.
    has_lost: bool,
}

impl Correlator {
    /// One that has heard nothing.
    pub fn new(rules: Rules) -> Self {
        let book = Book::new(rules.account.clone());
        Self { rules, book, board: Board::default(), kept_back: None, has_lost: false }
    }

    /// Goes on with what was stored. Before the first message.
    pub fn restore(&mut self, known: Vec<Known>) {
        self.book.restore(known);
    }

    /// A connection was made and logged in at `login_ms`: messages are kept back until the channel list ([`Self::resync`]).
    pub fn connected(&mut self, _login_ms: Millis) {
        self.kept_back = Some(KeptBack::default());
    }

    /// Takes one message.
    pub fn absorb(&mut self, message: &Message, heard: Heard) -> Vec<Signal> {
        self.read_board(message);
        match &mut self.kept_back {
            Some(kept_back) => {
                if matters(message) {
                    kept_back.push(message.clone(), heard);
                }
                Vec::new()
            }
            None => {
                self.book.read(message, Moment::heard(heard));
                self.book.teller.take()
            }
        }
    }

    /// Takes the channel list after a connect: what ended and what began meanwhile, then the messages that were kept back.
    pub fn resync(&mut self, snapshot: &Snapshot, gap: Gap) -> Vec<Signal> {
        let kept_back = self.kept_back.take().unwrap_or_default();
        let hangups = kept_back.iter().filter(|message| message.event() == Some("Hangup"));
        let hung: BTreeSet<String> = hangups.filter_map(|m| m.value("Uniqueid")).map(str::to_owned).collect();
        self.book.resync(snapshot, gap, &hung, self.rules.if_answered);
        self.book.miss_placed(snapshot, gap, &hung, self.rules.if_answered);
        let (messages, overflowed) = kept_back.into_messages();
        self.has_lost = overflowed;
        for (message, heard) in messages {
            self.book.read(&message, Moment::heard(heard));
        }
        self.book.teller.take()
    }

    /// Takes a channel list while connected. What two of them in a row lack has ended, and nobody told.
    pub fn audit(&mut self, snapshot: &Snapshot) -> Vec<Signal> {
        self.book.audit(snapshot, self.rules.if_answered);
        self.book.miss_placed(snapshot, Gap::default(), &BTreeSet::new(), self.rules.if_answered);
        self.book.teller.take()
    }

    /// The connection is gone: nothing is known until the next channel list.
    pub fn disconnected(&mut self) {
        self.kept_back = None;
    }

    /// Does what has become due: calls whose legs have all ended are told as ended two seconds later.
    pub fn tick(&mut self, now_ms: Millis) -> Vec<Signal> {
        // A message that is kept back may say that a channel lives on in another call.
        if self.kept_back.is_none() {
            self.book.settle(now_ms);
        }
        self.book.teller.take()
    }

    /// We stop: endings that are held back are told now, because nobody will know of them later.
    pub fn close(&mut self) -> Vec<Signal> {
        self.book.settle(Millis::MAX);
        self.book.teller.take()
    }

    /// When [`Self::tick`] has something to do next.
    pub fn wake_at_ms(&self) -> Option<Millis> {
        if self.kept_back.is_some() {
            return None;
        }
        self.book.due_ms()
    }

    /// Whether messages or channels had to be left out for want of room: only a new connect and its list make it whole.
    pub fn needs_resync(&self) -> bool {
        self.has_lost || self.book.is_crowded || self.kept_back.as_ref().is_some_and(KeptBack::has_overflowed)
    }

    /// What extensions do differently since this was asked the last time.
    pub fn extensions(&mut self) -> Vec<ExtensionChange> {
        self.board.take()
    }

    /// Everything that lives, by the provider id of its row, and how far it has come.
    pub fn live(&self) -> Vec<(String, Live)> {
        let calls = self.book.calls.iter().filter(|(_, call)| !call.over && !call.channels.is_empty());
        let calls = calls.filter_map(|(id, call)| Some((id.clone(), call.told?)));
        let legs = self.book.channels.iter().filter(|(id, channel)| channel.is_leg(id));
        calls.chain(legs.filter_map(|(id, channel)| Some((id.clone(), channel.told?)))).collect()
    }

    /// Whether it follows this leg or call: it lives, or has ended a moment ago and is not told yet.
    pub fn follows(&self, provider_id: &str) -> bool {
        let is_call = self.book.calls.get(provider_id).is_some_and(|call| !call.over && call.told.is_some());
        let leg = self.book.channels.get(provider_id);
        is_call
            || self.awaits(provider_id)
            || leg.is_some_and(|channel| channel.is_leg(provider_id) && channel.told.is_some())
    }

    /// States of extensions need no order among calls: they are taken at once.
    fn read_board(&mut self, message: &Message) {
        match message.event() {
            Some("ExtensionStatus") => {
                self.board.read_hint(message);
                let hint = message.value("Hint").zip(message.value("Exten"));
                if let Some((devices, extension)) = hint.filter(|(_, extension)| short(extension).is_some()) {
                    for device in devices.split(['&', ',']).filter(|device| device.contains('/')).filter_map(short) {
                        if self.book.hints.len() < board::EXTENSIONS_MAX || self.book.hints.contains_key(device) {
                            self.book.hints.insert(device.to_owned(), extension.to_owned());
                        }
                    }
                }
            }
            Some("DeviceStateChange") => {
                let device = message.value("Device").and_then(|device| self.extension_of(device));
                if let Some((extension, state)) = device.zip(message.value("State")) {
                    self.board.read_device(&extension, state);
                }
            }
            Some("PeerStatus") => {
                let peer = message.value("Peer").and_then(|peer| self.extension_of(peer));
                if let Some((extension, status)) = peer.zip(message.value("PeerStatus")) {
                    self.board.read_peer(&extension, status);
                }
            }
            _ => {}
        }
    }

    /// The extension of a device: by its hint, or because it is named so.
    fn extension_of(&self, device: &str) -> Option<String> {
        let name = ChannelName::read(device);
        let hinted = self.book.hints.get(device).cloned();
        hinted.or_else(|| (name.is_phone() && name::is_extension(name.endpoint)).then(|| name.endpoint.to_owned()))
    }
}

/// Whether a message can mean anything for a call: most cannot, and need not be kept.
fn matters(message: &Message) -> bool {
    match message.event() {
        None => false,
        Some("VarSet") => message.value("Variable").is_some_and(|name| name.contains("ONHOOK_")),
        Some("CEL" | "Cdr" | "Newexten" | "TestEvent" | "RTCPSent" | "RTCPReceived") => false,
        Some("DeviceStateChange" | "ExtensionStatus" | "PeerStatus" | "QueueMemberStatus" | "ContactStatus") => false,
        Some(event) => event == "OriginateResponse" || message.action_id().is_none(),
    }
}
