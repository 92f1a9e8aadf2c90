//! What people do to a run: start, pause, resume, cancel it, and cancel it by force. Who asks for what is so already is
//! answered as if it had been done now.

use super::{
    By, Desk, RunError, Shown, refused,
    show::{health, state},
    tell::{Change, tell},
    turn::{Turn, repeated},
};
use crate::{
    domain::run::{Health, JobState, RunState},
    store::{
        hangups::{self, HangupRow},
        jobs,
        runs::RunRow,
    },
    telemetry::JobEnding,
};

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
    /// Starts a pending run.
    pub async fn start(&self, by: &By<'_>, id: &str) -> Result<Shown, RunError> {
        repeated!(self.start_once(by, id))?;
        self.show(by.tenant, id).await
    }

    /// Pauses a running run: nothing more is placed, and calls that are under way go on.
    pub async fn pause(&self, by: &By<'_>, id: &str) -> Result<Shown, RunError> {
        repeated!(self.pause_once(by, id))?;
        self.show(by.tenant, id).await
    }

    /// Lets a paused run go on.
    pub async fn resume(&self, by: &By<'_>, id: &str) -> Result<Shown, RunError> {
        repeated!(self.resume_once(by, id))?;
        self.show(by.tenant, id).await
    }

    /// Cancels a run: what is queued at once; what is under way ends by itself.
    pub async fn cancel(&self, by: &By<'_>, id: &str) -> Result<Shown, RunError> {
        repeated!(self.cancel_once(by, id))?;
        self.show(by.tenant, id).await
    }

    /// Cancels a run at once, whatever its worker does. With `hangup`, its calls are to be hung up: also those of a run that is
    /// cancelled, or has failed, already.
    pub async fn force_cancel(&self, by: &By<'_>, id: &str, hangup: bool) -> Result<ForceCancelled, RunError> {
        let (jobs_cancelled, live_calls) = repeated!(self.force_cancel_once(by, id, hangup))?;
        Ok(ForceCancelled { run: self.show(by.tenant, id).await?, jobs_cancelled, live_calls })
    }

    async fn start_once(&self, by: &By<'_>, id: &str) -> Result<(), RunError> {
        let mut turn = self.turn(by.tenant).await?;
        let mut row = turn.load(id).await?;
        match state(&row)? {
            RunState::Pending => {}
            RunState::Running => return Ok(()),
            RunState::Paused => return Err(refused(&row, "is paused; resume it")),
            other => return Err(refused(&row, &format!("is {other}"))),
        }
        if jobs::last_place(&mut turn.tx, by.tenant, id).await? == 0 {
            return Err(refused(&row, "has no jobs; add some first"));
        }
        run_from_now(&mut turn, &mut row);
        turn.save(&row).await?;
        tell(&mut turn, &row, Change::Started, by.actor).await?;
        turn.commit().await
    }

    async fn pause_once(&self, by: &By<'_>, id: &str) -> Result<(), RunError> {
        let mut turn = self.turn(by.tenant).await?;
        let mut row = turn.load(id).await?;
        match state(&row)? {
            RunState::Running => {}
            RunState::Paused => return Ok(()),
            RunState::Pending => return Err(refused(&row, "is not started; nothing of it is dialed")),
            other => return Err(refused(&row, &format!("is {other}"))),
        }
        // What a dialer was given and has not begun with is held by nobody while nothing may be placed.
        jobs::take_back(&mut turn.tx, by.tenant, id, NO_TOKEN, turn.now_ms).await?;
        RunState::Paused.as_str().clone_into(&mut row.state);
        turn.save(&row).await?;
        tell(&mut turn, &row, Change::Paused, by.actor).await?;
        turn.commit().await
    }

    async fn resume_once(&self, by: &By<'_>, id: &str) -> Result<(), RunError> {
        let mut turn = self.turn(by.tenant).await?;
        let mut row = turn.load(id).await?;
        match state(&row)? {
            RunState::Paused => {}
            RunState::Running => return Ok(()),
            RunState::Pending => return Err(refused(&row, "is not started; start it")),
            other => return Err(refused(&row, &format!("is {other}"))),
        }
        run_from_now(&mut turn, &mut row);
        turn.save(&row).await?;
        tell(&mut turn, &row, Change::Resumed, by.actor).await?;
        turn.commit().await
    }

    async fn cancel_once(&self, by: &By<'_>, id: &str) -> Result<(), RunError> {
        let mut turn = self.turn(by.tenant).await?;
        let mut row = turn.load(id).await?;
        match state(&row)? {
            RunState::Pending | RunState::Running | RunState::Paused => {}
            RunState::Cancelling | RunState::Cancelled => return Ok(()),
            other => return Err(refused(&row, &format!("is {other}"))),
        }
        let (health, _) = health(&mut turn.tx, &row, &self.0.rules, turn.now_ms).await?;
        let (cancelled, now_ms) = (JobState::Cancelled.as_str(), turn.now_ms);
        let queued = jobs::end_queued(&mut turn.tx, by.tenant, id, cancelled, RUN_CANCELLED, now_ms).await?;
        turn.ended(JobEnding::Cancelled, queued);
        let under_way = jobs::any_open(&mut turn.tx, by.tenant, id).await?;
        row.cancel_ms = Some(now_ms);
        let change = if under_way && health == Health::Fresh {
            RunState::Cancelling.as_str().clone_into(&mut row.state);
            Change::Cancelling
        } else {
            end(&mut row, RunState::Cancelled, now_ms);
            Change::Cancelled
        };
        turn.save(&row).await?;
        tell(&mut turn, &row, change, by.actor).await?;
        turn.commit().await
    }

    async fn force_cancel_once(&self, by: &By<'_>, id: &str, hangup: bool) -> Result<(i64, i64), RunError> {
        let mut turn = self.turn(by.tenant).await?;
        let mut row = turn.load(id).await?;
        let before = state(&row)?;
        if before == RunState::Completed {
            return Err(refused(&row, "is completed"));
        }
        let (cancelled, now_ms) = (JobState::Cancelled.as_str(), turn.now_ms);
        let queued = jobs::end_queued(&mut turn.tx, by.tenant, id, cancelled, RUN_CANCELLED, now_ms).await?;
        let placing = jobs::end_placing(&mut turn.tx, by.tenant, id, cancelled, RUN_CANCELLED, now_ms).await?;
        turn.ended(JobEnding::Cancelled, queued.saturating_add(placing));
        let live = jobs::list_live(&mut turn.tx, by.tenant, id, LIVE_MAX).await?;
        if hangup {
            let asked = live.iter().filter_map(|job| {
                let provider_id = job.provider_id.clone()?;
                Some(hangup_row(&row, &job.id, provider_id, hangups::FORCE_CANCELLED, now_ms))
            });
            hangups::insert(&mut turn.tx, &asked.collect::<Vec<_>>()).await?;
        }
        if !before.is_ended() {
            row.cancel_ms = row.cancel_ms.or(Some(now_ms));
            end(&mut row, RunState::Cancelled, now_ms);
            turn.save(&row).await?;
            tell(&mut turn, &row, Change::ForceCancelled, by.actor).await?;
        }
        turn.commit().await?;
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Ok((count(queued.saturating_add(placing)), i64::try_from(live.len()).unwrap_or(i64::MAX)))
    }
}

/// A run is dialed from now on: what was is no sign of what is, and nothing is made up for.
fn run_from_now(turn: &mut Turn<'_>, row: &mut RunRow) {
    RunState::Running.as_str().clone_into(&mut row.state);
    row.started_ms = Some(turn.now_ms);
    row.place_next_us = row.place_next_us.max(turn.now_ms.saturating_mul(1_000));
}

/// Nothing happens to a run any more.
pub(super) fn end(row: &mut RunRow, state: RunState, now_ms: i64) {
    state.as_str().clone_into(&mut row.state);
    row.ended_ms = Some(now_ms);
    row.lease_until_ms = row.lease_until_ms.min(now_ms);
}

/// A call that is to be hung up.
pub(super) fn hangup_row(row: &RunRow, job_id: &str, provider_id: String, reason: &str, now_ms: i64) -> HangupRow {
    HangupRow {
        tenant: row.tenant.clone(),
        account: row.account.clone(),
        provider_id,
        provider: row.provider.clone(),
        run_id: Some(row.id.clone()),
        job_id: Some(job_id.to_owned()),
        reason: reason.to_owned(),
        requested_ms: now_ms,
        due_ms: Some(now_ms),
        ..HangupRow::default()
    }
}

/// What a job says that was cancelled with its run.
pub(super) const RUN_CANCELLED: &str = "its run was cancelled";
/// No lease ever has it.
const NO_TOKEN: i64 = -1;
/// More calls at once no run can have.
const LIVE_MAX: i64 = 10_000;
