//! What we ask of a provider: which calls are live, what is this call now, and to place and to end one.
//!
//! Each provider answers in signals of the witness `reconciled`, so that a webhook always outweighs what was asked. Who
//! asks decides what an answer, or none, leads to.

use crate::domain::{run::Settings, signal::Signal, time::Millis, words};
use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc, time::Duration};

words! {
    /// Why a provider did not answer.
    pub enum TroubleKind {
        /// It takes our credentials no more: somebody must mend them.
        Refused = "refused",
        /// It has never heard of any of our calls: another account or region is asked. Somebody must mend that.
        Blind = "blind",
        /// We ask too often.
        TooMany = "too-many",
        /// It is away.
        Unreachable = "unreachable",
        /// Something answers that is not the provider.
        Malformed = "malformed",
    }
}

impl TroubleKind {
    /// Whether waiting does not help: what such a provider does not say means nothing.
    pub const fn is_ours_to_mend(self) -> bool {
        match self {
            Self::Refused | Self::Blind => true,
            Self::TooMany | Self::Unreachable | Self::Malformed => false,
        }
    }
}

/// Why a provider did not answer, in one word and in a sentence without secrets and numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Trouble {
    /// The word.
    pub kind: TroubleKind,
    /// The sentence; completes "failed to …".
    pub detail: String,
}

/// Somebody who knows what became of the calls of one account.
pub trait Truth: Send + Sync {
    /// All calls that are live now, each told by a live claim.
    fn live(&self) -> impl Future<Output = Result<Vec<Signal>, Trouble>> + Send;

    /// One call: a live claim or an ending. `None`: it is not known there.
    fn look(&self, provider_id: &str) -> impl Future<Output = Result<Option<Signal>, Trouble>> + Send;
}

/// An answer of somebody who is handed in, and not known by type.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send + 'a>>;

/// What became of the calls of one PBX, told by whoever listens to it in this process, who can end them too. See [`Truth`].
pub trait PbxTruth: Debug + Send + Sync {
    /// A sign of life of everything in a channel list that is asked for now.
    fn live(&self) -> Asked<'_, Vec<Signal>>;

    /// One call: a sign of life, or that a complete channel list lacks it. `None`: that cannot be said yet; the next list
    /// decides, or what is being written at this moment.
    fn look<'a>(&'a self, provider_id: &'a str) -> Asked<'a, Option<Signal>>;

    /// Hangs a call up. `false`: it had ended before.
    fn hang_up<'a>(&'a self, provider_id: &'a str) -> Asked<'a, bool>;
}

/// A call that is to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The job, and which attempt of it this is: both are told to the provider, so that the call can be told from others.
    pub job_id: String,
    /// From 1.
    pub attempt: i64,
    /// Whom to call.
    pub to: String,
    /// Whose call it is.
    pub lead_id: Option<String>,
    /// See [`Order::lead_id`].
    pub user_id: Option<String>,
    /// How.
    pub settings: Settings,
    /// When it was marked as being placed, in Unix milliseconds.
    pub placing_ms: Millis,
}

/// What came of placing a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The provider has it, under this id.
    Accepted(String),
    /// There is no call and there will be none for this job: the provider refused this one. With the reason in words.
    Refused(String),
    /// There is no call: the provider, or the way to it, refuses all of them for now. Another try is safe.
    NotNow(Trouble),
    /// Whether there is a call is not known: the answer was lost. Asking again could call somebody twice.
    Lost(String),
}

/// What can be found of a call whose answer was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This is the call, as the provider tells it now.
    Call(Box<Signal>),
    /// It cannot be said whether there is one: none, or several that it could be.
    Unclear(String),
}

/// Somebody who places calls from one account.
pub trait Dialer: Debug + Send + Sync {
    /// How long placing may take at most: an answer that comes later is [`Placed::Lost`].
    fn timeout(&self) -> Duration;

    /// Places a call. Never repeats what may have been done.
    fn place<'a>(&'a self, order: &'a Order) -> Answer<'a, Placed>;

    /// Looks for a call whose answer was lost. `claimed` are the provider's ids of calls that belong to other jobs, or to none.
    fn find<'a>(&'a self, order: &'a Order, claimed: &'a (dyn Fn(&str) -> bool + Send + Sync)) -> Asked<'a, Found>;

    /// Hangs a call up. `false`: it had ended before.
    fn hang_up<'a>(&'a self, provider_id: &'a str) -> Asked<'a, bool>;
}

/// An answer that is always one.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the calls of an account can be placed.
#[derive(Clone, Debug)]
pub enum Reach {
    /// By this process.
    Here(Arc<dyn Dialer>),
    /// By another process, which listens to the PBX.
    Elsewhere,
}

/// Who knows how to dial from which account. [`Trouble`]: nobody can now.
pub trait Exchange: Debug + Send + Sync {
    /// Where this account is dialed from.
    fn reach<'a>(&'a self, tenant: &'a str, provider: &'a str, account: &'a str) -> Asked<'a, Reach>;
}

/// Where a PBX can be asked.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Here.
    Here(Arc<dyn PbxTruth>),
    /// Another process listens to it: its calls are looked after there.
    Elsewhere,
    /// Nowhere: it only ever pushes what happens.
    Nowhere,
}

/// Who knows which PBX is listened to where. [`Trouble`]: it should be, and nobody is connected.
pub trait Switchboard: Debug + Send + Sync {
    /// Where this PBX can be asked.
    fn standing<'a>(&'a self, tenant: &'a str, account: &'a str) -> Asked<'a, Standing>;
}
