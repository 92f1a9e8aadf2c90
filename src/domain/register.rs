//! Registers: the smallest states that can be joined. Each keeps the best of a total key, so a join is
//! associative, commutative and idempotent whatever it is made of.

use super::{
    signal::{Identity, LinkRank, Witness},
    state::{HangupCause, Outcome},
    time::Millis,
};
use serde::{Deserialize, Serialize};

/// Keeps the greatest key it was ever given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Max<K>(pub Option<K>);

/// Keeps the smallest key it was ever given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Min<K>(pub Option<K>);

impl<K> Default for Max<K> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K> Default for Min<K> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Ord> Max<K> {
    pub(super) fn of(key: K) -> Self {
        Self(Some(key))
    }

    pub(super) fn join(&mut self, other: Self) {
        self.0 = self.0.take().max(other.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl<K: Ord> Min<K> {
    pub(super) fn of(key: K) -> Self {
        Self(Some(key))
    }

    pub(super) fn join(&mut self, other: Self) {
        // `None` is the smallest `Option`, but here it means "nothing yet".
        self.0 = match (self.0.take(), other.0) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// How good the time of a milestone is; the first is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// The provider gave it.
    Told,
    /// A callback without a time: when it was received.
    Received,
    /// When the provider was asked.
    Estimated,
}

/// Who told an ending; a callback outweighs an answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToldBy {
    /// An answer to our question.
    Reconciled,
    /// By itself.
    Callback,
}

/// When a milestone was reached: the best quality, then the earliest.
pub(super) type Reached = (Quality, Millis);

/// Key of a detail: the best witness, then the earliest, then the value's bytes.
pub(super) type DetailKey = (Witness, Millis, String);

/// Key of the lead link: the best rank, then as for a detail: the best witness, the earliest, the lead id's bytes.
pub(super) type LinkKey = (LinkRank, Witness, Millis, String);

/// Key of a told ending. The field order is the law's order; the identity makes it total.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ToldKey {
    pub(super) by: ToldBy,
    /// The provider's, or [`UNNUMBERED`].
    pub(super) sequence: i64,
    pub(super) at: Millis,
    pub(super) outcome: Outcome,
    pub(super) told: bool,
    pub(super) cause: HangupCause,
    pub(super) identity: Identity,
}

/// Key of the seconds of conversation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecondsKey {
    pub(super) by: ToldBy,
    pub(super) sequence: i64,
    pub(super) at: Millis,
    pub(super) value: i64,
}

/// Stands for a missing sequence number, so that an ending without one loses to any that has one.
/// Comparing sequences only where both have one would not be transitive.
pub(super) const UNNUMBERED: i64 = -1;
