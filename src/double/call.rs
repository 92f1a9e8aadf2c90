//! A call of the double, kept as what happened to it: what anybody is shown is read from that, also what they are shown
//! when reads are stale.

use super::account::Hook;
use crate::domain::{
    state::{Direction, Outcome, Status},
    time::{MINUTE, Millis, SECOND, seconds_between},
    words,
};
use rand::rngs::StdRng;
use std::collections::BTreeSet;

words! {
    /// What a status callback can be subscribed to.
    pub enum Moment {
        /// Taken from the queue, being dialed.
        Initiated = "initiated",
        /// The far end rings.
        Ringing = "ringing",
        /// Arrives as `CallStatus=in-progress`.
        Answered = "answered",
        /// Over, however it ended.
        Completed = "completed",
    }
}

/// Where the progress of a leg is reported, and which moments of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The URL.
    pub hook: Hook,
    /// What was subscribed to.
    pub moments: BTreeSet<Moment>,
}

impl Callback {
    /// With all four moments.
    pub fn all(hook: Hook) -> Self {
        Self { hook, moments: Moment::ALL.iter().copied().collect() }
    }

    /// What nobody who says nothing more gets: the end.
    pub fn end_only(hook: Hook) -> Self {
        Self { hook, moments: BTreeSet::from([Moment::Completed]) }
    }
}

/// Something that happened to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Placed, and waiting for its turn.
    Queued,
    /// Being dialed.
    Initiated,
    /// It rings.
    Ringing,
    /// It was answered.
    Answered {
        /// What the machine detection found, where it was asked for.
        by: Option<&'static str>,
    },
    /// It is over. Nothing follows.
    Ended {
        /// How.
        outcome: Outcome,
        /// The final SIP response.
        sip: u16,
    },
}

impl Change {
    /// The status a call has by it. `initiated` is a word of callbacks only.
    pub const fn status(&self) -> Status {
        match self {
            Self::Queued => Status::Queued,
            Self::Initiated => Status::Initiated,
            Self::Ringing => Status::Ringing,
            Self::Answered { .. } => Status::InProgress,
            Self::Ended { outcome, .. } => match outcome {
                Outcome::Completed => Status::Completed,
                Outcome::Busy => Status::Busy,
                Outcome::NoAnswer => Status::NoAnswer,
                Outcome::Failed => Status::Failed,
                Outcome::Canceled => Status::Canceled,
            },
        }
    }

    /// What one subscribes to, to hear of it.
    pub const fn moment(&self) -> Option<Moment> {
        match self {
            Self::Queued => None,
            Self::Initiated => Some(Moment::Initiated),
            Self::Ringing => Some(Moment::Ringing),
            Self::Answered { .. } => Some(Moment::Answered),
            Self::Ended { .. } => Some(Moment::Completed),
        }
    }
}

/// A leg.
#[derive(Debug)]
pub struct Call {
    /// `CA` and 32 hex digits.
    pub sid: String,
    /// Whose it is.
    pub account_sid: String,
    /// The leg that dialed it.
    pub parent_sid: Option<String>,
    /// Who calls: E.164, `client:…`, `sip:…`.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// Where it comes from.
    pub direction: Direction,
    /// The number that was called or that it was placed from, if it is one of the account.
    pub phone_number_sid: Option<String>,
    /// Who is told.
    pub callback: Option<Callback>,
    /// Where an outbound call asks what to do once it is answered. None: its fate says all.
    pub twiml: Option<Hook>,
    /// Who is told what the machine detection found, while the call goes on. None: it waits for that.
    pub amd: Option<Hook>,
    /// What happened, oldest first.
    pub changes: Vec<(Millis, Change)>,
    /// The requests made for it and about it, oldest first.
    pub exchanges: Vec<Exchange>,
    /// What Twilio's debugger would show of it, each in one line.
    pub warnings: Vec<String>,
    /// How many moments were reported: the next `SequenceNumber`.
    pub fired: u32,
    /// How many requests about it were answered with 2xx.
    pub accepted: u32,
    /// Whether the report of its end was answered with 2xx.
    pub ending_taken: bool,
    /// Whether the report of its end was lost on the way.
    pub ending_lost: bool,
    /// Of which moments the callback never arrives.
    pub loses: BTreeSet<Moment>,
    /// Which script it follows: what an older one still had in mind does not happen.
    pub(super) script: u32,
    /// Its own generator, so that what becomes of it does not depend on other calls.
    pub(super) rng: StdRng,
    /// A callback that waits to be overtaken.
    pub(super) held: Vec<super::webhook::Webhook>,
}

/// A request and what was answered, as `Events.json` shows it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// GET or POST.
    pub method: &'static str,
    /// The whole URL.
    pub url: String,
    /// Twilio's names.
    pub parameters: Vec<(String, String)>,
    /// What came back; none if nothing did.
    pub answer: Option<ExchangeAnswer>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct ExchangeAnswer {
    /// The HTTP status.
    pub status: u16,
    /// How long it took.
    pub took_ms: Millis,
    /// Its type, if it said one.
    pub content_type: Option<String>,
    /// Its text.
    pub body: String,
    /// When.
    pub at_ms: Millis,
}

/// What a call looked like at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its status; `initiated` is among them.
    pub status: Status,
    /// When it was placed, or when it came in.
    pub created_ms: Millis,
    /// When the last thing happened.
    pub updated_ms: Millis,
    /// When dialing began.
    pub started_ms: Option<Millis>,
    /// When it was answered.
    pub answered_ms: Option<Millis>,
    /// When it ended.
    pub ended_ms: Option<Millis>,
    /// Who or what answered.
    pub answered_by: Option<&'static str>,
    /// The final SIP response.
    pub sip: Option<u16>,
}

impl Seen {
    /// Seconds of conversation; 0 until it is over.
    pub fn seconds(&self) -> i64 {
        self.answered_ms.zip(self.ended_ms).map_or(0, |(from, to)| seconds_between(from, to))
    }

    /// Billed minutes: begun ones count.
    pub fn minutes(&self) -> i64 {
        (self.seconds() * SECOND + MINUTE - 1) / MINUTE
    }
}

impl Call {
    /// What it looked like then; nothing if it did not exist yet.
    pub fn seen(&self, at_ms: Millis) -> Option<Seen> {
        let mut changes = self.changes.iter().take_while(|(when, _)| *when <= at_ms);
        let (created_ms, first) = changes.next()?;
        let created_ms = *created_ms;
        let mut seen = Seen {
            status: first.status(),
            created_ms,
            updated_ms: created_ms,
            started_ms: (*first != Change::Queued).then_some(created_ms),
            answered_ms: None,
            ended_ms: None,
            answered_by: None,
            sip: None,
        };
        for (when, change) in changes {
            seen.updated_ms = *when;
            seen.status = change.status();
            match change {
                Change::Queued | Change::Ringing => {}
                Change::Initiated => seen.started_ms = Some(*when),
                Change::Answered { by } => (seen.answered_ms, seen.answered_by) = (Some(*when), *by),
                Change::Ended { sip, .. } => (seen.ended_ms, seen.sip) = (Some(*when), Some(*sip)),
            }
        }
        Some(seen)
    }

    /// What it is in truth.
    pub fn truth(&self) -> Option<Seen> {
        self.seen(Millis::MAX)
    }

    /// The status it is in.
    pub fn status(&self) -> Status {
        self.changes.last().map_or(Status::Queued, |(_, change)| change.status())
    }

    /// Whether nothing will happen to it any more.
    pub fn is_over(&self) -> bool {
        matches!(self.changes.last(), Some((_, Change::Ended { .. })))
    }
}
