//! Facts about one attempt of a job, told by whoever asked the provider: they hold whoever has the lease by now, because they
//! are true. They are told apart by the attempt, the token and the time of the taking in the job itself: what was given back is
//! taken again as the same attempt, and a fact that is told twice must not meet the next taking.

use super::{
    Desk, Lease, RunError,
    control::RUN_CANCELLED,
    hand_out::slot,
    in_short,
    report::order,
    show::{job_state, settings, state},
    turn::{Turn, repeated},
};
use crate::{
    domain::{
        run::{JobState, RunState},
        time::Millis,
    },
    provider::Order,
    store::{
        jobs::{self, JobRow},
        runs::{self, RunRow},
        slots,
    },
    telemetry::JobEnding,
};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    NotNow,
    Refused,
    Lost,
    Unknown,
}

/// Of which attempt.
#[derive(Clone, Copy, Debug)]
struct Attempt<'a> {
    tenant: &'a str,
    job_id: &'a str,
    attempt: i64,
    /// Which taking of it: no two of one job share it.
    placing_ms: Millis,
    /// `None`: whoever has it.
    token: Option<i64>,
}

impl Desk {
    /// The provider takes no calls for now: there is no call of this attempt, and the job waits again as if it had not been
    /// taken. `false`: the job was not being placed any more.
    pub async fn give_back(
        &self,
        lease: &Lease,
        job_id: &str,
        (attempt, placing_ms): (i64, Millis),
        why: &str,
    ) -> Result<bool, RunError> {
        let of = Attempt { tenant: &lease.tenant, job_id, attempt, placing_ms, token: Some(lease.token) };
        repeated!(self.settle_once(of, Fact::NotNow, why))
    }

    /// The provider refused the call of this attempt for good: the job has failed. Holds whoever has the lease by now.
    /// `false`: the job was not being placed any more.
    pub async fn refuse(
        &self,
        tenant: &str,
        job_id: &str,
        (attempt, placing_ms): (i64, Millis),
        token: i64,
        why: &str,
    ) -> Result<bool, RunError> {
        let of = Attempt { tenant, job_id, attempt, placing_ms, token: Some(token) };
        repeated!(self.settle_once(of, Fact::Refused, why))
    }

    /// The provider's answer is lost: whether there is a call is to be found out. Holds whoever has the lease by now.
    /// `false`: the job was not being placed any more.
    pub async fn lose(
        &self,
        tenant: &str,
        job_id: &str,
        (attempt, placing_ms): (i64, Millis),
        token: i64,
        why: &str,
    ) -> Result<bool, RunError> {
        let of = Attempt { tenant, job_id, attempt, placing_ms, token: Some(token) };
        repeated!(self.settle_once(of, Fact::Lost, why))
    }

    /// It cannot be found out whether there was a call: the job is unknown, and is never dialed again by itself.
    /// `false`: the job was not being placed any more.
    pub async fn settle_unknown(
        &self,
        tenant: &str,
        job_id: &str,
        (attempt, placing_ms): (i64, Millis),
        why: &str,
    ) -> Result<bool, RunError> {
        let of = Attempt { tenant, job_id, attempt, placing_ms, token: None };
        repeated!(self.settle_once(of, Fact::Unknown, why))
    }

    /// The run of a job that is being placed, and its order: for whoever looks for its call. `None`: the run is gone.
    pub async fn order_of(&self, job: &JobRow) -> Result<Option<(RunRow, Order)>, RunError> {
        let Some(row) = runs::find(&self.0.db, &job.tenant, &job.run_id).await? else { return Ok(None) };
        let order = order(job, settings(&row)?);
        Ok(Some((row, order)))
    }

    async fn settle_once(&self, of: Attempt<'_>, fact: Fact, why: &str) -> Result<bool, RunError> {
        let mut turn = self.turn(of.tenant).await?;
        let Some(mut job) = turn.load_job(of.job_id).await? else { return Ok(false) };
        let is_it = job.attempt == of.attempt
            && job.placing_ms == Some(of.placing_ms)
            && of.token.is_none_or(|token| job.token == Some(token));
        if !is_it || job_state(&job)? != JobState::Placing {
            return Ok(false);
        }
        let mut row = turn.load(&job.run_id).await?;
        let now_ms = turn.now_ms;
        match fact {
            Fact::Unknown => settle_unknown(&mut turn, &mut row, job, why).await?,
            Fact::Lost => {
                job.lost_ms = Some(now_ms);
                job.error = Some(in_short(why));
                job.updated_ms = now_ms;
                jobs::update(&mut turn.tx, &[job]).await?;
                note(&mut row, why, now_ms);
            }
            Fact::Refused => {
                // The provider answers, so there is progress; what it said is kept all the same.
                note(&mut row, why, now_ms);
                row.progress_ms = Some(now_ms);
                over(&mut turn, &row, job, JobState::Failed, why).await?;
            }
            // A request was sent, and whether there is a call is not known: whoever gives it back knows less than that.
            Fact::NotNow if job.lost_ms.is_some() => return Ok(false),
            Fact::NotNow => {
                note(&mut row, why, now_ms);
                give_back(&mut turn, &row, job).await?;
            }
        }
        turn.save(&row).await?;
        turn.commit().await?;
        Ok(true)
    }
}

/// A job that is being placed is over without a call that is known; its slot is free. The caller writes the run.
pub(super) async fn over(
    turn: &mut Turn<'_>,
    row: &RunRow,
    mut job: JobRow,
    to: JobState,
    why: &str,
) -> Result<JobRow, RunError> {
    to.as_str().clone_into(&mut job.state);
    job.error = Some(in_short(why));
    job.updated_ms = turn.now_ms;
    job.ended_ms = Some(turn.now_ms);
    jobs::update(&mut turn.tx, std::slice::from_ref(&job)).await?;
    let slot = released(turn, row, &job, job.attempt);
    slots::release(&mut turn.tx, &[slot]).await?;
    turn.ended(if to == JobState::Unknown { JobEnding::Unknown } else { JobEnding::Refused }, 1);
    Ok(job)
}

/// The slot of an attempt, as it is given back.
pub(super) fn released(turn: &Turn<'_>, row: &RunRow, job: &JobRow, attempt: i64) -> slots::SlotRow {
    slots::SlotRow { released_ms: Some(turn.now_ms), ..slot(row, job, attempt, turn.now_ms) }
}

/// What became of a job cannot be found out. The caller writes the run.
pub(super) async fn settle_unknown(
    turn: &mut Turn<'_>,
    row: &mut RunRow,
    job: JobRow,
    why: &str,
) -> Result<(), RunError> {
    note(row, why, turn.now_ms);
    over(turn, row, job, JobState::Unknown, why).await.map(drop)
}

/// There was no call: the job waits again, unless its run is over.
async fn give_back(turn: &mut Turn<'_>, row: &RunRow, mut job: JobRow) -> Result<(), RunError> {
    let attempt = job.attempt;
    job.attempt -= 1;
    job.token = None;
    // When it was taken stays: the next taking, which is of the same attempt, is told from this one by it.
    job.lost_ms = None;
    job.updated_ms = turn.now_ms;
    let (to, why) = match state(row)? {
        RunState::Pending | RunState::Running | RunState::Paused => (JobState::Queued, None),
        RunState::Cancelling | RunState::Cancelled => (JobState::Cancelled, Some(RUN_CANCELLED)),
        RunState::Completed | RunState::Failed => (JobState::Failed, Some("its run has failed")),
    };
    to.as_str().clone_into(&mut job.state);
    job.error = why.map(str::to_owned);
    job.ended_ms = why.map(|_| turn.now_ms);
    jobs::update(&mut turn.tx, std::slice::from_ref(&job)).await?;
    let slot = released(turn, row, &job, attempt);
    slots::release(&mut turn.tx, &[slot]).await?;
    match to {
        JobState::Cancelled => turn.ended(JobEnding::Cancelled, 1),
        JobState::Failed => turn.ended(JobEnding::Abandoned, 1),
        _ => {}
    }
    Ok(())
}

/// What went wrong last. The caller writes it.
pub(super) fn note(row: &mut RunRow, why: &str, now_ms: i64) {
    row.last_error = Some(in_short(why));
    row.last_error_ms = Some(now_ms);
}
