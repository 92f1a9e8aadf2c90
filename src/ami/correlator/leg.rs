//! One channel, as far as it is known. A dialed one is a leg; two halves of a Local channel are a wire.

use super::{bounds::short, name::ChannelName, outcome::DialWord, tell::Facts};
use crate::{
    ami::Message,
    domain::{state::Live, time::Millis},
};

/// A channel that lives.
#[derive(Clone, Debug, Default)]
pub(super) struct Channel {
    /// Its name, such as `PJSIP/2001-00000007`.
    pub name: String,
    /// The call it belongs to now.
    pub linkedid: String,
    /// The call it belonged to before. A Linkedid only ever becomes an older one, so a message that names this one is late.
    pub left: Option<String>,
    /// Whether it is half of a Local channel.
    pub local: bool,
    /// Whether somebody dialed it.
    pub dialed: bool,
    /// Whether that dial goes on.
    pub ringing: bool,
    /// How the dial ended; the first word counts.
    pub word: Option<DialWord>,
    /// Whether the phone sent the dial elsewhere (302).
    pub forwarded: bool,
    /// Whether its own end asked for the hangup.
    pub asked: bool,
    /// Whether it was made by an action of ours that was taken back.
    pub canceled: bool,
    /// When it was first seen Up.
    pub up_ms: Option<Millis>,
    /// Whether it was ever heard by somebody: in a bridge with another one.
    pub spoke: bool,
    /// The bridge it is in.
    pub bridge: Option<String>,
    /// How far its row was told to be.
    pub told: Option<Live>,
    /// Facts for the next signal of its row.
    pub facts: Facts,
    /// When it began, as far as we know.
    pub began_ms: Millis,
    /// When we first heard of it, by our clock.
    pub heard_ms: Millis,
    /// When it was last seen alive.
    pub alive_ms: Millis,
    /// The list that lacked it, if the last one did: when it was asked for.
    pub missing_ms: Option<Millis>,
    /// The lead and the user that were told for it.
    pub lead: Option<String>,
    /// See `lead`.
    pub user: Option<String>,
}

impl Channel {
    /// Whether it is the channel after which its call is named: then the call's row is its row.
    pub(super) fn is_root(&self, uniqueid: &str) -> bool {
        self.linkedid == uniqueid
    }

    /// Whether it has a row of its own.
    pub(super) fn is_leg(&self, uniqueid: &str) -> bool {
        !self.local && !self.is_root(uniqueid)
    }

    /// Whose phone or trunk it is.
    pub(super) fn endpoint(&self) -> &str {
        ChannelName::read(&self.name).endpoint
    }
}

/// What one message says of one channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'m> {
    pub uniqueid: &'m str,
    /// None: it does not say to which call it belongs.
    pub linkedid: Option<&'m str>,
    pub name: &'m str,
    pub state: Option<u8>,
    pub number: Option<&'m str>,
    pub exten: Option<&'m str>,
    /// Whether the message tells a change of state: what is Up by it was not before.
    pub is_change: bool,
}

/// The headers of one channel in a message; a dial speaks of two.
pub(super) struct Headers {
    uniqueid: &'static str,
    linkedid: &'static str,
    name: &'static str,
    state: &'static str,
    number: &'static str,
    exten: &'static str,
}

/// The channel a message is about.
pub(super) const OWN: Headers = Headers {
    uniqueid: "Uniqueid",
    linkedid: "Linkedid",
    name: "Channel",
    state: "ChannelState",
    number: "CallerIDNum",
    exten: "Exten",
};

/// The channel that is dialed.
pub(super) const DEST: Headers = Headers {
    uniqueid: "DestUniqueid",
    linkedid: "DestLinkedid",
    name: "DestChannel",
    state: "DestChannelState",
    number: "DestCallerIDNum",
    exten: "DestExten",
};

impl<'m> Sight<'m> {
    /// What a message says of a channel. None: it does not name it.
    pub(super) fn read(message: &'m Message, headers: &Headers) -> Option<Self> {
        let uniqueid = message.value(headers.uniqueid).and_then(short)?;
        let linkedid = message.value(headers.linkedid).and_then(short);
        Some(Self {
            uniqueid,
            linkedid,
            name: message.value(headers.name).and_then(short).unwrap_or_default(),
            state: message.value(headers.state).and_then(|state| state.parse().ok()),
            number: message.value(headers.number),
            exten: message.value(headers.exten),
            is_change: matches!(message.event(), Some("Newchannel" | "Newstate")),
        })
    }
}

/// Channel states: being made, its caller waits for an answer, its phone rings, it speaks.
pub(super) const DOWN: u8 = 0;
/// See [`DOWN`].
pub(super) const RING: u8 = 4;
/// See [`DOWN`].
pub(super) const RINGING: u8 = 5;
/// See [`DOWN`].
pub(super) const UP: u8 = 6;
