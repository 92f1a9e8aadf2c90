//! The two questions we ask a provider: which calls are live, and what is this call now?
//!
//! Each provider answers in signals of the witness `reconciled`, so that a webhook always outweighs what was asked. Who
//! asks decides what an answer, or none, leads to.

use crate::domain::{signal::Signal, words};
use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

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

/// What became of the calls of one PBX, told by whoever listens to it in this process. See [`Truth`].
pub trait PbxTruth: Debug + Send + Sync {
    /// A sign of life of everything in a channel list that is asked for now.
    fn live(&self) -> Asked<'_, Vec<Signal>>;

    /// One call: a sign of life, or that a complete channel list lacks it. `None`: that cannot be said yet; the next list
    /// decides, or what is being written at this moment.
    fn look<'a>(&'a self, provider_id: &'a str) -> Asked<'a, Option<Signal>>;
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
