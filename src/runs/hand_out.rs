//! Which jobs may be placed now: pace, slots, the do-not-call list and due times are asked here, for every dialer alike.

use super::{
    RunError,
    show::{room, state},
    turn::Turn,
};
use crate::{
    domain::{
        run::{JobState, RunState},
        time::Millis,
    },
    store::{
        do_not_call,
        jobs::{self, JobRow},
        runs::RunRow,
        slots::{self, SlotRow},
    },
    telemetry::JobEnding,
};
use std::collections::HashSet;

/// Jobs that may be placed now.
#[derive(Debug, Default)]
pub(super) struct HandedOut {
    /// As they are now, each with its slot.
    pub jobs: Vec<JobRow>,
    /// After how long the next one may be had; `None`: that depends on calls that end, or there is none.
    pub wait_ms: Option<Millis>,
}

/// To whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// A dialer of the user's own, who says when it asks the provider: until then they stay queued.
    Them,
    /// Our own dialer, who asks the provider at once.
    Us,
}

/// Hands out at most `want` jobs of a run, with their slots. Moves the pace of `row`, which the caller writes.
pub(super) async fn hand_out(turn: &mut Turn<'_>, row: &mut RunRow, to: To, want: i64) -> Result<HandedOut, RunError> {
    if state(row)? != RunState::Running {
        return Ok(HandedOut::default());
    }
    let (now_ms, rules) = (turn.now_ms, &turn.shared.rules);
    let held = slots::count_held(&mut turn.tx, turn.tenant, &row.account, &row.id).await?;
    let room = room(row, rules, &held);
    let (from_us, paced) = paced(row, now_ms);
    let mut jobs = pick(turn, row, want.min(room).min(paced)).await?;
    let taken = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
    if taken > 0 {
        row.place_next_us = from_us.saturating_add(taken.saturating_mul(row.place_every_us));
        let slots: Vec<SlotRow> = jobs.iter().map(|job| slot(row, job, job.attempt + 1, now_ms)).collect();
        for job in &mut jobs {
            job.token = Some(row.token);
            job.updated_ms = now_ms;
            if to == To::Us {
                place(job, now_ms);
            }
        }
        jobs::update(&mut turn.tx, &jobs).await?;
        slots::take(&mut turn.tx, &slots).await?;
    }
    let wait_ms = if room > taken { wait(turn, row).await? } else { None };
    Ok(HandedOut { jobs, wait_ms })
}

/// Marks the next attempt of a job: its provider is about to be asked. No two takings of a job have the same time.
pub(super) fn place(job: &mut JobRow, now_ms: Millis) {
    job.state = JobState::Placing.as_str().to_owned();
    job.attempt += 1;
    job.placing_ms = Some(job.placing_ms.map_or(now_ms, |last_ms| now_ms.max(last_ms.saturating_add(1))));
    job.lost_ms = None;
    job.provider_id = None;
    job.call_id = None;
    job.error = None;
    job.updated_ms = now_ms;
}

/// From when calls count, and how many the pace allows now. What was missed is made up for within a moment, and lost beyond:
/// nothing is dialed in a burst after a pause.
fn paced(row: &RunRow, now_ms: Millis) -> (i64, i64) {
    let (now_us, every_us) = (now_ms.saturating_mul(1_000), row.place_every_us.max(1));
    let from_us = row.place_next_us.max(now_us.saturating_sub(every_us.max(SLACK_US)));
    let allowed = if from_us > now_us { 0 } else { (now_us - from_us) / every_us + 1 };
    (from_us, allowed)
}

/// The next jobs that are due. Those that must not be called are cancelled on the way.
async fn pick(turn: &mut Turn<'_>, row: &RunRow, want: i64) -> Result<Vec<JobRow>, RunError> {
    let mut picked: Vec<JobRow> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let missing = want.min(JOBS_AT_ONCE_MAX) - i64::try_from(picked.len()).unwrap_or(i64::MAX);
        if missing <= 0 {
            break;
        }
        // What is cancelled below is not picked again; what was picked above still is queued, and is left out here.
        let fetch = missing + i64::try_from(picked.len()).unwrap_or_default();
        let found = jobs::pick(&mut turn.tx, turn.tenant, &row.id, turn.now_ms, fetch).await?;
        let found: Vec<JobRow> = found.into_iter().filter(|job| !picked.iter().any(|p| p.id == job.id)).collect();
        if found.is_empty() {
            break;
        }
        let (refused, mut allowed) = split(turn, found).await?;
        jobs::update(&mut turn.tx, &refused).await?;
        turn.ended(JobEnding::Cancelled, refused.len() as u64);
        picked.append(&mut allowed);
        if refused.is_empty() {
            break;
        }
    }
    Ok(picked)
}

/// Those that must not be called, as they are written, and the others.
async fn split(turn: &mut Turn<'_>, found: Vec<JobRow>) -> Result<(Vec<JobRow>, Vec<JobRow>), RunError> {
    let numbers: Vec<String> = found.iter().filter_map(|job| job.phone_e164.clone()).collect();
    let listed = do_not_call::list_of(&mut turn.tx, turn.tenant, &numbers).await?;
    let listed: HashSet<String> = listed.into_iter().collect();
    let is_listed = |job: &JobRow| job.phone_e164.as_ref().is_some_and(|number| listed.contains(number));
    let (mut refused, allowed): (Vec<_>, Vec<_>) = found.into_iter().partition(is_listed);
    for job in &mut refused {
        refuse(job, turn.now_ms);
    }
    Ok((refused, allowed))
}

/// Cancels a job whose number must not be called.
pub(super) fn refuse(job: &mut JobRow, now_ms: Millis) {
    job.state = JobState::Cancelled.as_str().to_owned();
    job.error = Some(DO_NOT_CALL.to_owned());
    job.updated_ms = now_ms;
    job.ended_ms = Some(now_ms);
}

/// After how long the next job may be had, if a slot is free.
async fn wait(turn: &mut Turn<'_>, row: &RunRow) -> Result<Option<Millis>, RunError> {
    let due_ms = jobs::first_due(&mut turn.tx, turn.tenant, &row.id).await?;
    let paced_ms = row.place_next_us.saturating_add(999) / 1_000;
    Ok(due_ms.map(|due_ms| due_ms.max(paced_ms).saturating_sub(turn.now_ms).max(0)))
}

/// The slot of an attempt of a job.
pub(super) fn slot(row: &RunRow, job: &JobRow, attempt: i64, now_ms: Millis) -> SlotRow {
    SlotRow {
        tenant: job.tenant.clone(),
        job_id: job.id.clone(),
        attempt,
        run_id: row.id.clone(),
        account: row.account.clone(),
        taken_ms: now_ms,
        released_ms: None,
    }
}

/// What a job says whose number is on the list.
pub(super) const DO_NOT_CALL: &str = "its number is on the do-not-call list";
/// At most so much of what the pace missed is made up for, where one interval is shorter: a dialer is never quite in time.
const SLACK_US: i64 = 200_000;
/// How many jobs are handed out at once.
pub(super) const JOBS_AT_ONCE_MAX: i64 = 100;
/// How often others are looked for in place of those that must not be called; the next turn goes on.
const ROUNDS_MAX: usize = 20;
