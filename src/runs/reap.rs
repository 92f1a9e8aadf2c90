//! The reaper: ends runs that are over, and those that nobody dials any more.
//!
//! It looks without a lock, and decides anew with it. Nobody has to ask for it: it runs in the background and at the start,
//! before anything is dialed.

use super::{
    Desk, RunError,
    control::end,
    settle::{note, settle_unknown},
    show::{health, is_troubled, job_state, state, worker},
    tell::{Change, REAPER, tell},
    turn::{Turn, repeated},
};
use crate::{
    domain::{
        run::{Health, JobState, RunState, Worker},
        time::{Millis, SECOND},
    },
    store::{
        On,
        jobs::{self, JobFilter, JobKey, JobRow},
        runs::{self, RunRow},
    },
    telemetry::JobEnding,
};

/// What one pass came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// How many runs it looked at.
    pub looked: u64,
    /// How many are completed by it.
    pub completed: u64,
    /// How many are cancelled by it.
    pub cancelled: u64,
    /// How many have failed by it.
    pub failed: u64,
    /// How many jobs are unknown by it: a dialer of the user's own never said what came of them.
    pub unknown: u64,
    /// How many runs could not be looked at, because the database refused one.
    pub troubled: u64,
}

impl Desk {
    /// One pass over all open runs. What it can do nothing about stays for the next.
    pub async fn reap(&self) -> Result<Reaped, RunError> {
        let mut reaped = Reaped::default();
        let mut after = (String::new(), String::new());
        loop {
            let page = runs::list_open(&self.0.db, (&after.0, &after.1), PAGE_ROWS).await?;
            let is_full = i64::try_from(page.len()).is_ok_and(|rows| rows >= PAGE_ROWS);
            for row in page {
                reaped.looked += 1;
                match self.reap_run(&row, &mut reaped).await {
                    Ok(()) => {}
                    // The others are not better off: the next pass sees to all of them.
                    Err(RunError::Store(error)) if error.may_pass() => return Err(error.into()),
                    Err(error) => {
                        reaped.troubled += 1;
                        tracing::error!(run_id = row.id, "failed to look after a run: failed to {error}");
                    }
                }
                after = (row.tenant, row.id);
            }
            if !is_full {
                return Ok(reaped);
            }
        }
    }

    async fn reap_run(&self, row: &RunRow, reaped: &mut Reaped) -> Result<(), RunError> {
        let now_ms = self.now_ms().await?;
        let silent = self.silent(&self.0.db, row, now_ms).await?;
        if self.verdict(&self.0.db, row, now_ms).await?.is_none() && silent.is_empty() {
            return Ok(());
        }
        let (change, unknown) = repeated!(self.reap_once(&row.tenant, &row.id))?;
        reaped.unknown += unknown;
        match change {
            Some(Change::Completed) => reaped.completed += 1,
            Some(Change::Cancelled) => reaped.cancelled += 1,
            Some(Change::Failed) => reaped.failed += 1,
            _ => {}
        }
        Ok(())
    }

    async fn reap_once(&self, tenant: &str, id: &str) -> Result<(Option<Change>, u64), RunError> {
        let mut turn = self.turn(tenant).await?;
        let mut row = turn.load(id).await?;
        let silent = self.silent(&mut turn.tx, &row, turn.now_ms).await?;
        let keys: Vec<JobKey> = silent.into_iter().map(|job| JobKey { tenant: job.tenant, id: job.id }).collect();
        let mut unknown = 0;
        for job in jobs::load_locked(&mut turn.tx, &keys).await? {
            // Its call may have turned up a moment ago.
            if job_state(&job)? == JobState::Placing {
                settle_unknown(&mut turn, &mut row, job, NEVER_SAID).await?;
                unknown += 1;
            }
        }
        let verdict = self.verdict(&mut turn.tx, &row, turn.now_ms).await?;
        match verdict {
            None => turn.save(&row).await?,
            Some(change) => self.finish(&mut turn, &mut row, change).await?,
        }
        turn.commit().await?;
        Ok((verdict, unknown))
    }

    async fn finish(&self, turn: &mut Turn<'_>, row: &mut RunRow, change: Change) -> Result<(), RunError> {
        let now_ms = turn.now_ms;
        match change {
            Change::Failed => {
                let span = self.0.rules.patience.fail_ms / SECOND;
                let why = || format!("no job was placed for {span} s, although some could have been");
                // What went wrong before the last progress is not why it fails.
                if !is_troubled(row) {
                    note(row, &why(), now_ms);
                }
                let error = row.last_error.get_or_insert_with(why).clone();
                let error = format!("its run has failed: {error}");
                let failed = JobState::Failed.as_str();
                let queued = jobs::end_queued(&mut turn.tx, turn.tenant, &row.id, failed, &error, now_ms).await?;
                turn.ended(JobEnding::Abandoned, queued);
                end(row, RunState::Failed, now_ms);
            }
            Change::Cancelled => end(row, RunState::Cancelled, now_ms),
            _ => end(row, RunState::Completed, now_ms),
        }
        turn.save(row).await?;
        tell(turn, row, change, REAPER).await
    }

    /// What is to be done with a run.
    async fn verdict(&self, on: impl Into<On<'_>>, row: &RunRow, now_ms: Millis) -> Result<Option<Change>, RunError> {
        let (mut on, state) = (on.into(), state(row)?);
        let over = match state {
            RunState::Running => Change::Completed,
            RunState::Cancelling => Change::Cancelled,
            // A paused one is its owner's to resume.
            RunState::Pending | RunState::Paused => return Ok(None),
            RunState::Completed | RunState::Cancelled | RunState::Failed => return Ok(None),
        };
        if !jobs::any_open(on.again(), &row.tenant, &row.id).await? {
            return Ok(Some(over));
        }
        let (health, _) = health(on, row, &self.0.rules, now_ms).await?;
        Ok(match (state, health) {
            (RunState::Cancelling, Health::Stale | Health::Dead) => Some(Change::Cancelled),
            (RunState::Running, Health::Dead) => Some(Change::Failed),
            _ => None,
        })
    }

    /// Jobs that a dialer of the user's own is placing for so long that it will never say what came of them. Our own dialer
    /// looks after its jobs itself.
    async fn silent(&self, on: impl Into<On<'_>>, row: &RunRow, now_ms: Millis) -> Result<Vec<JobRow>, RunError> {
        if worker(row)? != Worker::External {
            return Ok(Vec::new());
        }
        let placing = JobFilter { state: Some(JobState::Placing.as_str().to_owned()), ..JobFilter::default() };
        let jobs = jobs::list(on, &row.tenant, &row.id, &placing, 0, PAGE_ROWS).await?;
        let before_ms = now_ms.saturating_sub(self.0.rules.patience.fail_ms);
        Ok(jobs.into_iter().filter(|job| job.placing_ms.is_none_or(|at| at <= before_ms)).collect())
    }
}

/// How many runs are looked at between two questions.
const PAGE_ROWS: i64 = 200;
/// What a job says of which nothing was heard.
const NEVER_SAID: &str = "its dialer never said what came of placing it";
