//! What people do to a run: make it, start, pause, resume, cancel it, and cancel it by force.

use super::{By, Desk, Imported, Jobs, RunError, RunText, Shown};

/// A run that was made, or that was there.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// The run.
    pub run: Shown,
    /// `false`: there was one with this key.
    pub is_new: bool,
    /// What came of the jobs.
    pub imported: Imported,
}

/// A run that was cancelled by force.
#[derive(Clone, Debug, PartialEq)]
pub struct ForceCancelled {
    /// The run.
    pub run: Shown,
    /// How many of its jobs were cancelled by this.
    pub jobs_cancelled: i64,
    /// How many of its calls are under way and known; with `hangup` each is asked to end.
    pub live_calls: i64,
}

impl Desk {
    /// Makes a run and gives it jobs. With a key that is taken it adds the jobs that are missing; what is said of the run must
    /// then be the same.
    pub async fn create(&self, _by: &By<'_>, _text: &RunText, _jobs: Jobs<'_>) -> Result<Created, RunError> {
        todo!()
    }

    /// Starts a pending run.
    pub async fn start(&self, _by: &By<'_>, _id: &str) -> Result<Shown, RunError> {
        todo!()
    }

    /// Pauses a running run: nothing more is placed, and calls that are under way go on.
    pub async fn pause(&self, _by: &By<'_>, _id: &str) -> Result<Shown, RunError> {
        todo!()
    }

    /// Lets a paused run go on.
    pub async fn resume(&self, _by: &By<'_>, _id: &str) -> Result<Shown, RunError> {
        todo!()
    }

    /// Cancels a run: what is queued at once; what is under way ends by itself.
    pub async fn cancel(&self, _by: &By<'_>, _id: &str) -> Result<Shown, RunError> {
        todo!()
    }

    /// Cancels a run at once, whatever its worker does. With `hangup`, its calls are to be hung up.
    pub async fn force_cancel(&self, _by: &By<'_>, _id: &str, _hangup: bool) -> Result<ForceCancelled, RunError> {
        todo!()
    }
}
