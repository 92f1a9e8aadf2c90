//! How it stands with a run. Nothing here changes anything.

use super::{Desk, RunError, RunRules};
use crate::{
    domain::{
        run::{self, Health, JobState, RunState, Settings, Signs, Worker},
        state::Outcome,
        time::Millis,
    },
    store::{
        On, StoreError,
        jobs::{self, JobFilter, JobRow},
        runs::{self, JobCount, RunFilter, RunRow},
        slots::{self, Held},
    },
};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
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
        self.row.holder.is_some() && self.row.ended_ms.is_none() && self.row.lease_until_ms > self.now_ms
    }

    /// Its pace.
    pub fn calls_per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 microseconds")]
        let every_us = self.row.place_every_us.max(1) as f64;
        // The interval is whole microseconds; what was asked for had far fewer digits than that.
        (1e6 / every_us * 1e4).round() / 1e4
    }

    /// Whether nobody gave a sign of life for so long that the run would have failed, had there been anything to place.
    fn is_given_up(&self, fail_ms: Millis) -> bool {
        let started_ms = self.row.started_ms.unwrap_or(self.row.created_ms);
        let sign_ms = self.row.beat_ms.unwrap_or(started_ms).max(started_ms);
        self.health == Health::Dead || self.now_ms.saturating_sub(sign_ms) >= fail_ms
    }
}

impl Desk {
    /// A run.
    pub async fn show(&self, tenant: &str, id: &str) -> Result<Shown, RunError> {
        let now_ms = self.now_ms().await?;
        let found = runs::find(&self.0.db, tenant, id).await?;
        let row = found.ok_or_else(|| RunError::NotFound { what: "run", id: id.to_owned() })?;
        let mut shown = self.shown(tenant, vec![row], now_ms).await?;
        shown.pop().ok_or_else(|| RunError::NotFound { what: "run", id: id.to_owned() })
    }

    /// A page of the runs of a tenant, the newest first, before `(created_ms, id)`.
    pub async fn list(
        &self,
        tenant: &str,
        filter: &RunFilter,
        before: (i64, &str),
        limit: i64,
    ) -> Result<Vec<Shown>, RunError> {
        let now_ms = self.now_ms().await?;
        let rows = runs::list(&self.0.db, tenant, filter, before, limit).await?;
        self.shown(tenant, rows, now_ms).await
    }

    /// The newest run that is running and of which somebody gave a sign of life not too long ago; `None`: there is none. One
    /// that has failed already, and was not reaped yet, is none.
    pub async fn active(&self, tenant: &str) -> Result<Option<Active>, RunError> {
        let running = RunFilter { state: Some(RunState::Running.as_str().to_owned()), worker: None };
        let fail_ms = self.0.rules.patience.fail_ms;
        let (mut newest, mut also_active) = (None, Vec::new());
        let mut before = (i64::MAX, String::new());
        while also_active.len() < ACTIVE_MAX {
            let page = self.list(tenant, &running, (before.0, &before.1), PAGE_ROWS).await?;
            let is_full = i64::try_from(page.len()).is_ok_and(|rows| rows >= PAGE_ROWS);
            for shown in page {
                before = (shown.row.created_ms, shown.row.id.clone());
                if shown.is_given_up(fail_ms) {
                    continue;
                }
                match newest {
                    None => newest = Some(shown),
                    Some(_) => also_active.push(shown.row.id),
                }
            }
            if !is_full {
                break;
            }
        }
        Ok(newest.map(|run| Active { run, also_active }))
    }

    async fn shown(&self, tenant: &str, rows: Vec<RunRow>, now_ms: Millis) -> Result<Vec<Shown>, RunError> {
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let counted = runs::count_jobs(&self.0.db, tenant, &ids).await?;
        let mut shown = Vec::with_capacity(rows.len());
        for row in rows {
            let of_run: Vec<&JobCount> = counted.iter().filter(|count| count.run_id == row.id).collect();
            let (counts, outcomes) = tally(&of_run)?;
            let (health, _) = health(&self.0.db, &row, &self.0.rules, now_ms).await?;
            let stale = health != Health::Fresh;
            shown.push(Shown { settings: settings(&row)?, row, counts, outcomes, health, stale, now_ms });
        }
        Ok(shown)
    }
}

/// How many jobs of a run are in which state, and how their calls ended.
pub(super) async fn count(on: impl Into<On<'_>>, row: &RunRow) -> Result<(Counts, Outcomes), RunError> {
    let counted = runs::count_jobs(on, &row.tenant, std::slice::from_ref(&row.id)).await?;
    tally(&counted.iter().collect::<Vec<_>>())
}

fn tally(counted: &[&JobCount]) -> Result<(Counts, Outcomes), RunError> {
    let (mut counts, mut outcomes) = (Counts::default(), Outcomes::default());
    for count in counted {
        let state: JobState = word("state of a job", &count.state)?;
        counts.total += count.jobs;
        *match state {
            JobState::Queued => &mut counts.queued,
            JobState::Placing => &mut counts.placing,
            JobState::Placed => &mut counts.placed,
            JobState::Live => &mut counts.live,
            JobState::Done => &mut counts.done,
            JobState::Unknown => &mut counts.unknown,
            JobState::Cancelled => &mut counts.cancelled,
            JobState::Failed => &mut counts.failed,
        } += count.jobs;
        // A job that waits for its next attempt has the outcome of the last one; it counts when it is over.
        let Some(outcome) = count.outcome.as_deref().filter(|_| state == JobState::Done) else { continue };
        *match word("outcome of a job", outcome)? {
            Outcome::Completed => &mut outcomes.completed,
            Outcome::Busy => &mut outcomes.busy,
            Outcome::NoAnswer => &mut outcomes.no_answer,
            Outcome::Failed => &mut outcomes.failed,
            Outcome::Canceled => &mut outcomes.canceled,
        } += count.jobs;
    }
    Ok((counts, outcomes))
}

/// How alive a run is, and since when a job of it could be placed.
pub(super) async fn health(
    on: impl Into<On<'_>>,
    row: &RunRow,
    rules: &RunRules,
    now_ms: Millis,
) -> Result<(Health, Option<Millis>), RunError> {
    let state = state(row)?;
    let placeable_ms = if state == RunState::Running { placeable(on, row, rules).await? } else { None };
    let signs = Signs {
        state,
        started_ms: row.started_ms.unwrap_or(row.created_ms),
        beat_ms: row.beat_ms,
        progress_ms: row.progress_ms,
        placeable_ms,
    };
    Ok((run::health(&signs, rules.patience, now_ms), placeable_ms))
}

/// Since, or from, when a job of a running run can be placed: it is due, the pace allows it, a slot is free. One that was
/// handed out, and is not being placed, could be all along.
pub(super) async fn placeable(
    on: impl Into<On<'_>>,
    row: &RunRow,
    rules: &RunRules,
) -> Result<Option<Millis>, RunError> {
    let mut on = on.into();
    let reserved = jobs::list_reserved(on.again(), &row.tenant, &row.id, row.token, 1).await?;
    let reserved_ms = reserved.first().map(|job| job.due_ms);
    let Some(due_ms) = jobs::first_due(on.again(), &row.tenant, &row.id).await? else { return Ok(reserved_ms) };
    let held = slots::count_held(on.again(), &row.tenant, &row.account, &row.id).await?;
    if room(row, rules, &held) <= 0 {
        return Ok(reserved_ms);
    }
    if is_troubled(row) {
        // Each try that was refused moved the pace and gave its slot back: time goes by all the same.
        return Ok(Some(reserved_ms.map_or(due_ms, |at| at.min(due_ms))));
    }
    let released_ms = slots::last_released(on, &row.tenant, &row.id).await?;
    let paced_ms = row.place_next_us.saturating_add(999) / 1_000;
    let free_ms = due_ms.max(paced_ms).max(released_ms.unwrap_or(Millis::MIN));
    Ok(Some(reserved_ms.map_or(free_ms, |at| at.min(free_ms))))
}

/// Whether calls have all the slots, so that nothing can be tried. What is being placed under the present token is a try itself,
/// also when its answer is lost.
pub(super) async fn is_full_of_calls(on: impl Into<On<'_>>, row: &RunRow, rules: &RunRules) -> Result<bool, RunError> {
    let mut on = on.into();
    let held = slots::count_held(on.again(), &row.tenant, &row.account, &row.id).await?;
    let room = room(row, rules, &held);
    if room > 0 {
        return Ok(false);
    }
    let placing = JobFilter { state: Some(JobState::Placing.as_str().to_owned()), ..JobFilter::default() };
    let tries = jobs::list(on, &row.tenant, &row.id, &placing, 0, TRIES_MAX).await?;
    let tries = tries.iter().filter(|job| job.token == Some(row.token)).count();
    Ok(room.saturating_add(i64::try_from(tries).unwrap_or(i64::MAX)) <= 0)
}

/// Whether something went wrong since the last progress.
pub(super) fn is_troubled(row: &RunRow) -> bool {
    row.last_error_ms.is_some_and(|at| row.progress_ms.is_none_or(|progress| at >= progress))
}

/// How many more calls there may be at once.
pub(super) fn room(row: &RunRow, rules: &RunRules, held: &Held) -> i64 {
    let of_run = row.calls_max - held.run;
    of_run.min(rules.account_calls_max - held.account).min(rules.tenant_calls_max - held.tenant)
}

/// How it stands with a run.
pub(super) fn state(row: &RunRow) -> Result<RunState, RunError> {
    word("state of a run", &row.state)
}

/// Who dials a run.
pub(super) fn worker(row: &RunRow) -> Result<Worker, RunError> {
    word("worker of a run", &row.worker)
}

/// How it stands with a job.
pub(super) fn job_state(job: &JobRow) -> Result<JobState, RunError> {
    word("state of a job", &job.state)
}

/// How a run is dialed.
pub(super) fn settings(row: &RunRow) -> Result<Settings, RunError> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt {
        what: format!("the settings of the run {}", row.id),
        why: error.to_string(),
    };
    Ok(serde_json::from_str(&row.settings).map_err(corrupt)?)
}

fn word<T: FromStr<Err = String>>(what: &str, text: &str) -> Result<T, RunError> {
    Ok(text.parse().map_err(|why| StoreError::Corrupt { what: what.to_owned(), why })?)
}

const PAGE_ROWS: i64 = 100;
/// How many jobs that are being placed are looked at; a troubled run tries one at a time.
const TRIES_MAX: i64 = 1_000;
/// How many others are named beside the newest one.
const ACTIVE_MAX: usize = 1_000;
