//! How it stands with a run. Nothing here changes anything.

use super::{Desk, RunError};
use crate::{
    domain::{
        run::{Health, Settings},
        time::Millis,
    },
    store::runs::{RunFilter, RunRow},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How many jobs of a run are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RunJobs, description = "How many jobs are in which state.")]
pub struct Counts {
    /// All.
    pub total: i64,
    /// They wait for their turn, or for their next attempt.
    pub queued: i64,
    /// Their provider is being asked.
    pub placing: i64,
    /// The provider has their calls in its queue.
    pub placed: i64,
    /// Their calls are under way.
    pub live: i64,
    /// Their calls have ended.
    pub done: i64,
    /// Whether there was a call cannot be found out.
    pub unknown: i64,
    /// They were cancelled.
    pub cancelled: i64,
    /// They could not be placed.
    pub failed: i64,
}

/// How calls of jobs that are done ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RunOutcomes, description = "How many jobs that are done ended how.")]
#[serde(rename_all = "kebab-case")]
pub struct Outcomes {
    /// Connected and over.
    pub completed: i64,
    /// The far end was busy.
    pub busy: i64,
    /// Nobody answered.
    pub no_answer: i64,
    /// Could not be connected.
    pub failed: i64,
    /// Given up before an answer.
    pub canceled: i64,
}

/// A run, as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// As it is stored.
    pub row: RunRow,
    /// How it is dialed: what its row has as JSON.
    pub settings: Settings,
    /// Its jobs.
    pub counts: Counts,
    /// Their calls.
    pub outcomes: Outcomes,
    /// How alive it is.
    pub health: Health,
    /// Whether that is not `Fresh`: nobody gives a sign of life, or nobody places what could be placed.
    pub stale: bool,
    /// When that was, by the database's clock.
    pub now_ms: Millis,
}

/// The run that is being dialed.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// The newest.
    pub run: Shown,
    /// The others.
    pub also_active: Vec<String>,
}

impl Shown {
    /// Whether somebody has its lease.
    pub fn is_leased(&self) -> bool {
        self.row.holder.is_some() && self.row.lease_until_ms > self.now_ms
    }

    /// Its pace.
    pub fn calls_per_second(&self) -> f64 {
        todo!()
    }
}

impl Desk {
    /// A run.
    pub async fn show(&self, _tenant: &str, _id: &str) -> Result<Shown, RunError> {
        todo!()
    }

    /// A page of the runs of a tenant, the newest first, before `(created_ms, id)`.
    pub async fn list(
        &self,
        _tenant: &str,
        _filter: &RunFilter,
        _before: (i64, &str),
        _limit: i64,
    ) -> Result<Vec<Shown>, RunError> {
        todo!()
    }

    /// The newest run that is running and alive enough not to have failed; `None`: there is none.
    pub async fn active(&self, _tenant: &str) -> Result<Option<Active>, RunError> {
        todo!()
    }
}
