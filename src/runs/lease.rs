//! Who may dial a run: one at a time, under a token that only ever grows, and jobs handed out under it.

use super::{Desk, RunError};
use crate::{
    domain::{run::RunState, time::Millis},
    provider::Order,
    store::jobs::JobRow,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a dialer of the user's own asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ClaimWrite, description = "A dialer of your own asks for the lease of a run, and for jobs.")]
#[serde(deny_unknown_fields)]
pub struct ClaimText {
    /// Its name, 1 to 200 bytes; the same after a restart.
    #[schema(example = "dialer-1", min_length = 1, max_length = 200)]
    pub worker: Option<String>,
    /// At most so many jobs now, 0 to 100. Left out: 1. Those it has already are among them.
    #[schema(example = 10, minimum = 0, maximum = 100)]
    pub max: Option<i64>,
    /// The token it has, if it has one: it then goes on under it.
    #[schema(example = 7)]
    pub token: Option<i64>,
}

/// A lease, and jobs handed out under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The token that every report must name.
    pub token: i64,
    /// Until when it holds without a heartbeat.
    pub lease_until_ms: Millis,
    /// How long that is from now on.
    pub lease_ms: Millis,
    /// All jobs it has and has not begun to place, with their slots: with those that were handed out before.
    pub jobs: Vec<JobRow>,
    /// How it stands with the run.
    pub state: RunState,
    /// After how long the next job may be had; `None`: that depends on calls that end, or there is none.
    pub wait_ms: Option<Millis>,
}

/// What a heartbeat is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Somebody wants the end of the run: place nothing more.
    pub cancel_requested: bool,
    /// Place nothing until it is resumed.
    pub paused: bool,
    /// Until when the lease holds now.
    pub lease_until_ms: Millis,
    /// How long that is from now on.
    pub lease_ms: Millis,
    /// How it stands with the run.
    pub state: RunState,
}

/// A lease of our own dialer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whose run it is.
    pub tenant: String,
    /// Which run.
    pub run_id: String,
    /// Under which token.
    pub token: i64,
    /// Who has it.
    pub holder: String,
    /// `twilio` or `asterisk`.
    pub provider: String,
    /// The provider account that is dialed from.
    pub account: String,
    /// Until when it holds, by the database's clock.
    pub until_ms: Millis,
    /// How long that was when it was given: to be counted from before it was asked for, by a clock of one's own.
    pub lease_ms: Millis,
}

/// Jobs that our own dialer places now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// They are marked as being placed, and that is committed.
    pub orders: Vec<Order>,
    /// After how long the next one may be had; `None`: that depends on calls that end, or there is none.
    pub wait_ms: Option<Millis>,
}

impl Desk {
    /// Gives a dialer of the user's own the lease of an external run, and jobs.
    pub async fn claim(&self, _tenant: &str, _id: &str, _text: &ClaimText) -> Result<Claimed, RunError> {
        todo!()
    }

    /// A sign of life of a dialer of the user's own.
    pub async fn heartbeat(&self, _tenant: &str, _id: &str, _token: i64) -> Result<Beat, RunError> {
        todo!()
    }

    /// Gives our own dialer the lease of an internal run that is running. `None`: somebody has it, or there is nothing to dial.
    pub async fn hold(&self, _tenant: &str, _id: &str, _holder: &str) -> Result<Option<Lease>, RunError> {
        todo!()
    }

    /// A sign of life of our own dialer. `trouble`: why the provider takes no calls, from when it refused one until it takes
    /// one again. [`RunError::LeaseLost`], [`RunError::State`] where the run is over: nothing more may be placed.
    pub async fn beat(&self, _lease: &Lease, _trouble: Option<&str>) -> Result<Beat, RunError> {
        todo!()
    }

    /// Gives the lease back, so that another one need not wait for its end. Does nothing if it was lost.
    pub async fn let_go(&self, _lease: &Lease) -> Result<(), RunError> {
        todo!()
    }

    /// The next jobs, at most `max`, marked as being placed under this lease, each with its slot. Committed before it answers.
    pub async fn take(&self, _lease: &Lease, _max: i64) -> Result<Taken, RunError> {
        todo!()
    }
}

