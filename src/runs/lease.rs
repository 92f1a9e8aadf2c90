//! Who may dial a run: one at a time, under a token that only ever grows, and jobs handed out under it.

use super::{
    Desk, RunError,
    hand_out::{HandedOut, JOBS_AT_ONCE_MAX, To, hand_out},
    in_short, refused,
    report::order,
    show::{health, is_full_of_calls, is_troubled, placeable, settings, state, worker},
    turn::{Turn, repeated},
};
use crate::{
    domain::{
        run::{Health, RunState, Worker},
        time::Millis,
    },
    fields::{self, Wrong, Wrongs},
    provider::Order,
    store::{
        jobs::{self, JobRow},
        runs::RunRow,
    },
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
    pub async fn claim(&self, tenant: &str, id: &str, text: &ClaimText) -> Result<Claimed, RunError> {
        let claim = text.read().map_err(RunError::Fields)?;
        repeated!(self.claim_once(tenant, id, &claim))
    }

    /// A sign of life of a dialer of the user's own. Of a run that was cancelled it learns so; of one that is over
    /// otherwise, [`RunError::State`].
    pub async fn heartbeat(&self, tenant: &str, id: &str, token: i64) -> Result<Beat, RunError> {
        repeated!(self.beat_once(tenant, id, (token, Worker::External), None))
    }

    /// Gives our own dialer the lease of an internal run that is running. `None`: somebody has it, or there is nothing to dial.
    pub async fn hold(&self, tenant: &str, id: &str, holder: &str) -> Result<Option<Lease>, RunError> {
        repeated!(self.hold_once(tenant, id, holder))
    }

    /// A sign of life of our own dialer. `trouble`: why the provider takes no calls, from when it refused one until it takes
    /// one again. Answers like [`Desk::heartbeat`].
    pub async fn beat(&self, lease: &Lease, trouble: Option<&str>) -> Result<Beat, RunError> {
        repeated!(self.beat_once(&lease.tenant, &lease.run_id, (lease.token, Worker::Internal), trouble))
    }

    /// Gives the lease back, so that another one need not wait for its end. Does nothing if it was lost.
    pub async fn let_go(&self, lease: &Lease) -> Result<(), RunError> {
        repeated!(self.let_go_once(lease))
    }

    /// The next jobs, at most `max`, marked as being placed under this lease, each with its slot. Committed before it answers.
    pub async fn take(&self, lease: &Lease, max: i64) -> Result<Taken, RunError> {
        repeated!(self.take_once(lease, max))
    }

    async fn claim_once(&self, tenant: &str, id: &str, claim: &Claim) -> Result<Claimed, RunError> {
        let mut turn = self.turn(tenant).await?;
        let mut row = turn.load(id).await?;
        let (now_ms, lease_ms) = (turn.now_ms, self.0.rules.patience.stale_ms);
        let state = is_dialed_by(&row, Worker::External)?;
        match claim.token {
            Some(token) if token == row.token && row.holder.is_some() => {}
            Some(_) => return Err(RunError::LeaseLost),
            None if state == RunState::Cancelling => return Err(refused(&row, "is being cancelled")),
            None => self.take_over(&mut turn, &mut row, &claim.worker).await?,
        }
        extend(&mut row, now_ms, lease_ms);
        let limit = JOBS_AT_ONCE_MAX;
        let mut jobs = jobs::list_reserved(&mut turn.tx, tenant, id, row.token, limit).await?;
        let want = claim.max - i64::try_from(jobs.len()).unwrap_or(i64::MAX);
        let HandedOut { jobs: mut new, wait_ms } = hand_out(&mut turn, &mut row, To::Them, want).await?;
        let placeable_ms = placeable(&mut turn.tx, &row, &self.0.rules).await?;
        if !new.is_empty() || !can_place(placeable_ms, now_ms) {
            row.progress_ms = Some(now_ms);
        }
        jobs.append(&mut new);
        turn.save(&row).await?;
        turn.commit().await?;
        let (token, lease_until_ms) = (row.token, row.lease_until_ms);
        Ok(Claimed { token, lease_until_ms, lease_ms, jobs, state, wait_ms })
    }

    async fn hold_once(&self, tenant: &str, id: &str, holder: &str) -> Result<Option<Lease>, RunError> {
        let mut turn = self.turn(tenant).await?;
        let mut row = turn.load(id).await?;
        if worker(&row)? != Worker::Internal || state(&row)? != RunState::Running {
            return Ok(None);
        }
        match self.take_over(&mut turn, &mut row, holder).await {
            Ok(()) => {}
            Err(RunError::LeaseHeld { .. } | RunError::State(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        let lease_ms = self.0.rules.patience.stale_ms;
        extend(&mut row, turn.now_ms, lease_ms);
        turn.save(&row).await?;
        turn.commit().await?;
        Ok(Some(Lease {
            tenant: row.tenant,
            run_id: row.id,
            token: row.token,
            holder: holder.to_owned(),
            provider: row.provider,
            account: row.account,
            until_ms: row.lease_until_ms,
            lease_ms,
        }))
    }

    /// A new token for somebody, if nobody has a lease that is worth something, or it has the name of who has it: then
    /// it was started again. What was handed out under older tokens and is not being placed is there for all again.
    async fn take_over(&self, turn: &mut Turn<'_>, row: &mut RunRow, name: &str) -> Result<(), RunError> {
        let (now_ms, patience) = (turn.now_ms, self.0.rules.patience);
        let (health, _) = health(&mut turn.tx, row, &self.0.rules, now_ms).await?;
        if health == Health::Dead {
            return Err(refused(row, "made no progress for too long, and is about to fail"));
        }
        let holder = row.holder.as_deref().filter(|holder| *holder != name && row.lease_until_ms > now_ms);
        // Whoever took it for want of progress has as long to make some.
        let had_its_time = row.leased_ms.is_none_or(|at| now_ms.saturating_sub(at) >= patience.stale_ms);
        if let Some(holder) = holder.filter(|_| health == Health::Fresh || !had_its_time) {
            let left_ms = row.lease_until_ms.saturating_sub(now_ms);
            return Err(RunError::LeaseHeld { holder: holder.to_owned(), left_ms });
        }
        row.token += 1;
        row.holder = Some(name.to_owned());
        row.leased_ms = Some(now_ms);
        row.place_next_us = row.place_next_us.max(now_ms.saturating_mul(1_000));
        jobs::take_back(&mut turn.tx, turn.tenant, &row.id, row.token, now_ms).await?;
        Ok(())
    }

    async fn beat_once(
        &self,
        tenant: &str,
        id: &str,
        (token, by): (i64, Worker),
        trouble: Option<&str>,
    ) -> Result<Beat, RunError> {
        let mut turn = self.turn(tenant).await?;
        let mut row = turn.load(id).await?;
        let (now_ms, lease_ms) = (turn.now_ms, self.0.rules.patience.stale_ms);
        if worker(&row)? != by {
            return Err(refused(&row, &format!("is dialed by its {} worker", row.worker)));
        }
        if token != row.token || row.holder.is_none() {
            return Err(RunError::LeaseLost);
        }
        let state = state(&row)?;
        let cancel_requested = matches!(state, RunState::Cancelling | RunState::Cancelled);
        if state.is_ended() && !cancel_requested {
            return Err(refused(&row, &format!("is {state}")));
        }
        if !state.is_ended() {
            extend(&mut row, now_ms, lease_ms);
            let placeable_ms = placeable_in(&mut turn, &row, state).await?;
            if let Some(trouble) = trouble {
                // To wait for calls is no fault of the provider's: there is trouble still, and its time begins anew.
                if state == RunState::Running && is_full_of_calls(&mut turn.tx, &row, &turn.shared.rules).await? {
                    row.progress_ms = Some(now_ms);
                }
                row.last_error = Some(in_short(trouble));
                row.last_error_ms = Some(now_ms);
            } else if !can_place(placeable_ms, now_ms) || is_troubled(&row) {
                row.progress_ms = Some(now_ms);
            }
            turn.save(&row).await?;
            turn.commit().await?;
        }
        let paused = state == RunState::Paused;
        let lease_ms = if state.is_ended() { 0 } else { lease_ms };
        Ok(Beat { cancel_requested, paused, lease_until_ms: row.lease_until_ms, lease_ms, state })
    }

    async fn let_go_once(&self, lease: &Lease) -> Result<(), RunError> {
        let mut turn = self.turn(&lease.tenant).await?;
        let mut row = turn.load(&lease.run_id).await?;
        if row.token == lease.token && row.lease_until_ms > turn.now_ms {
            row.lease_until_ms = turn.now_ms;
            turn.save(&row).await?;
            turn.commit().await?;
        }
        Ok(())
    }

    async fn take_once(&self, lease: &Lease, max: i64) -> Result<Taken, RunError> {
        let mut turn = self.turn(&lease.tenant).await?;
        let mut row = turn.load(&lease.run_id).await?;
        if row.token != lease.token {
            return Err(RunError::LeaseLost);
        }
        let HandedOut { jobs, wait_ms } = hand_out(&mut turn, &mut row, To::Us, max).await?;
        // While the provider takes no calls, trying again is no progress.
        if !jobs.is_empty() && !is_troubled(&row) {
            row.progress_ms = Some(turn.now_ms);
        }
        turn.save(&row).await?;
        let settings = settings(&row)?;
        turn.commit().await?;
        let orders = jobs.into_iter().map(|job| order(&job, settings.clone())).collect();
        Ok(Taken { orders, wait_ms })
    }
}

/// What a claim says.
#[derive(Debug)]
struct Claim {
    worker: String,
    max: i64,
    token: Option<i64>,
}

impl ClaimText {
    fn read(&self) -> Result<Claim, Vec<Wrong>> {
        let mut wrongs = Wrongs::default();
        let worker = self.worker.as_deref().ok_or_else(|| Wrong::new("worker", "is missing: a name for your dialer"));
        let worker = wrongs.take(worker.and_then(|name| fields::line("worker", name, 1..=WORKER_BYTES_MAX)));
        let max = self.max.unwrap_or(1);
        let message = || format!("is {max}; 0 to {JOBS_AT_ONCE_MAX} are allowed");
        let fits = (0..=JOBS_AT_ONCE_MAX).contains(&max);
        let max = wrongs.take(if fits { Ok(max) } else { Err(Wrong::new("max", message())) });
        let made = worker.zip(max).map(|(worker, max)| Claim { worker, max, token: self.token });
        wrongs.settle(made)
    }
}

/// Holds the lease from now on for its whole time.
fn extend(row: &mut RunRow, now_ms: Millis, lease_ms: Millis) {
    row.lease_until_ms = now_ms.saturating_add(lease_ms);
    row.beat_ms = Some(now_ms);
}

async fn placeable_in(turn: &mut Turn<'_>, row: &RunRow, state: RunState) -> Result<Option<Millis>, RunError> {
    if state == RunState::Running { placeable(&mut turn.tx, row, &turn.shared.rules).await } else { Ok(None) }
}

fn can_place(placeable_ms: Option<Millis>, now_ms: Millis) -> bool {
    placeable_ms.is_some_and(|at| at <= now_ms)
}

/// The state of a run that this kind of worker may claim.
fn is_dialed_by(row: &RunRow, by: Worker) -> Result<RunState, RunError> {
    let state = state(row)?;
    if worker(row)? != by {
        return Err(refused(row, &format!("is dialed by its {} worker", row.worker)));
    }
    match state {
        RunState::Pending => Err(refused(row, "is not started; start it first")),
        RunState::Completed | RunState::Cancelled | RunState::Failed => Err(refused(row, &format!("is {state}"))),
        RunState::Running | RunState::Paused | RunState::Cancelling => Ok(state),
    }
}

const WORKER_BYTES_MAX: usize = 200;
