//! What a sweep is asked for, and what it came to.

use crate::{
    domain::{
        state::{Resolution, Status},
        time::Millis,
    },
    store::calls::{CallRow, LegKey},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which calls are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Those that are due.
    Due,
    /// Live ones without a sign of life for so long, due or not.
    Silent(Millis),
    /// This one.
    Call(LegKey),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose calls; `None`: everybody's.
    pub tenant: Option<String>,
    /// Which of them.
    pub chosen: Chosen,
    /// Only say what would be done: the provider is asked all the same.
    pub dry_run: bool,
    /// Who asks for it: `sweeper`, `key:<id>`, `cli`.
    pub actor: String,
}

/// What a sweep did to a call, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// Our id of the call.
    pub call_id: String,
    /// The provider's.
    pub provider_id: String,
    /// The provider account.
    pub account: String,
    /// What it was.
    pub from: Status,
    /// What it is now, or would be.
    pub to: Status,
    /// How its ending is known; `null` if it lives.
    pub resolution: Option<Resolution>,
    /// In a sentence.
    pub why: String,
}

/// A call that was looked at and left as it was, because nobody could say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Skipped {
    /// Our id of the call.
    pub call_id: String,
    /// The provider's.
    pub provider_id: String,
    /// The provider account.
    pub account: String,
    /// What it is.
    pub status: Status,
    /// In a sentence.
    pub why: String,
}

/// What a sweep came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Report {
    /// Whether it only looked.
    pub dry_run: bool,
    /// How many calls were looked at.
    pub looked: u64,
    /// Of these: how many are alive, as the provider says.
    pub alive: u64,
    /// Of these: how many had ended, as the provider says.
    pub repaired: u64,
    /// Of these: how many were given up.
    pub given_up: u64,
    /// What was changed, or would be; at most 1,000, `looked` and the like count all.
    pub changed: Vec<Change>,
    /// What was left as it was, because nobody could say; at most 1,000.
    pub skipped: Vec<Skipped>,
    /// How many of those there are.
    pub skipped_count: u64,
}

impl Report {
    /// Adds what another pass came to.
    pub(super) fn add(&mut self, other: Self) {
        self.dry_run |= other.dry_run;
        self.looked += other.looked;
        self.alive += other.alive;
        self.repaired += other.repaired;
        self.given_up += other.given_up;
        self.skipped_count += other.skipped_count;
        self.changed.extend(other.changed);
        self.changed.truncate(SHOWN_MAX);
        self.skipped.extend(other.skipped);
        self.skipped.truncate(SHOWN_MAX);
    }

    pub(super) fn change(&mut self, change: Change) {
        if self.changed.len() < SHOWN_MAX {
            self.changed.push(change);
        }
    }

    /// A call that was looked at, and nobody could say.
    pub(super) fn skip(&mut self, row: &CallRow, status: Status, why: String) {
        self.looked += 1;
        self.skipped_count += 1;
        if self.skipped.len() < SHOWN_MAX {
            let (call_id, provider_id, account) = (row.id.clone(), row.provider_id.clone(), row.account.clone());
            self.skipped.push(Skipped { call_id, provider_id, account, status, why });
        }
    }

    pub(super) const fn count_alive(&mut self) {
        self.looked += 1;
        self.alive += 1;
    }

    /// A webhook told the ending first.
    pub(super) const fn count_told(&mut self) {
        self.looked += 1;
    }

    pub(super) const fn count_repaired(&mut self) {
        self.looked += 1;
        self.repaired += 1;
    }

    pub(super) const fn count_given_up(&mut self) {
        self.looked += 1;
        self.given_up += 1;
    }
}

/// How many calls of each kind a report names.
pub const SHOWN_MAX: usize = 1_000;
