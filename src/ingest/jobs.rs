//! A job of an outbound run follows its call, in the transaction in which the call changes.
//!
//! Which job a call is of is said by its provider (what we put on the callback URL, or the id we gave the channel); what
//! that means for the job is decided by `domain::run::follow`. Job rows are locked here first, in the order of their keys;
//! their run is read after that, so that a run which is being cancelled is seen as such. Runs are never written here.

use super::{
    batch::{Batch, Leg, Terms},
    links::own_signal,
};
use crate::{
    domain::{
        call::{Row, is_replaced},
        id::new_id,
        run::{self, Follow, Followed, JobState, RunState, Seen, Settings},
        signal::{Field, Link, LinkRank, Witness},
        state::{Direction, Outcome, Resolution, Status},
        time::Millis,
    },
    store::{
        StoreError, Tx,
        audit::{self, AuditRow},
        calls::LegKey,
        hangups::{self, HangupRow, STRAY},
        jobs::{self, JobKey, JobRow},
        now,
        rivals::{self, CallKey},
        runs::{self, RunKey, RunRow},
        slots::{self, SlotRow},
    },
    telemetry::JobEnding,
};
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// The calls of a batch that belong to jobs, and those jobs.
#[derive(Debug, Default)]
pub(super) struct Tied {
    jobs: BTreeMap<JobKey, JobRow>,
    calls: Vec<TiedCall>,
}

/// A call of a job.
#[derive(Debug)]
struct TiedCall {
    leg: LegKey,
    job: JobKey,
    attempt: i64,
}

/// The job that a call says it is of.
#[derive(Debug)]
struct Named {
    job_id: String,
    /// `None`: the callback URL says which job, and nothing of attempts.
    attempt: Option<i64>,
}

/// Finds the jobs of the calls that this batch speaks of, and records what of that the calls do not say themselves: job
/// and attempt, the lead, the user. Of a job that is not the tenant's nothing is learned: it is the user's own word.
pub(super) async fn tie(tx: &mut Tx, batch: &mut Batch, terms: &mut Terms<'_>) -> Result<Tied, StoreError> {
    let named: Vec<(LegKey, Named)> = batch
        .legs
        .iter()
        .filter(|(_, leg)| leg.is_touched())
        .filter_map(|(key, leg)| Some((key.clone(), named(leg)?)))
        .collect();
    if named.is_empty() {
        return Ok(Tied::default());
    }
    let key = |leg: &LegKey, named: &Named| JobKey { tenant: leg.tenant.clone(), id: named.job_id.clone() };
    let mut keys: BTreeSet<JobKey> = named.iter().map(|(leg, named)| key(leg, named)).collect();
    let call = |leg: &LegKey| CallKey { tenant: leg.tenant.clone(), provider_id: leg.provider_id.clone() };
    let calls: BTreeSet<CallKey> = named.iter().map(|(leg, _)| call(leg)).collect();
    // Whoever had one of these calls for its own, until the call itself said whose it is.
    keys.extend(rivals::list_of_calls(tx, &calls.into_iter().collect::<Vec<_>>()).await?);
    let rows = jobs::load_locked(tx, &keys.into_iter().collect::<Vec<_>>()).await?;
    let mut tied = Tied { jobs: rows.into_iter().map(|row| (job_key(&row), row)).collect(), calls: Vec::new() };
    let mut own = Vec::new();
    for (leg_key, named) in named {
        let job_key = key(&leg_key, &named);
        let (Some(leg), Some(job)) = (batch.legs.get(&leg_key), tied.jobs.get(&job_key)) else { continue };
        let Some(attempt) = attempt_of(leg, &named, job) else { continue };
        own.extend(untold(leg, job, attempt, terms.now));
        tied.calls.push(TiedCall { leg: leg_key, job: job_key, attempt });
    }
    batch.absorb_own(tx, terms, own).await?;
    Ok(tied)
}

/// Which job a leg says it is of: by its callback URL, or by the id that was chosen for its channel.
fn named(leg: &Leg) -> Option<Named> {
    if let Some(job_id) = leg.call.detail(Field::JobId) {
        // An attempt that is no number is none of ours.
        let attempt = leg.call.detail(Field::Attempt).map(read_attempt).map_or(Some(None), |read| read.map(Some))?;
        return Some(Named { job_id: job_id.to_owned(), attempt });
    }
    let (job_id, attempt) = leg.row.provider_id.rsplit_once('-')?;
    let is_ours = job_id.starts_with("job_") && job_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    Some(Named { job_id: job_id.to_owned(), attempt: Some(read_attempt(attempt)?) }).filter(|_| is_ours)
}

fn read_attempt(text: &str) -> Option<i64> {
    let is_number = text.len() <= ATTEMPT_DIGITS_MAX && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|attempt| is_number && *attempt > 0)
}

/// The attempt of a job that a leg is the call of; `None`: it is no call of that job, but a leg of one, or that cannot be said.
fn attempt_of(leg: &Leg, named: &Named, job: &JobRow) -> Option<i64> {
    let is_known = job.provider_id.as_deref() == Some(leg.row.provider_id.as_str());
    // A call that was put together with an older one becomes a leg of that, and is still the job's.
    if leg.call.detail(Field::ParentId).is_some() && !is_known {
        return None;
    }
    let present = Some(job.attempt).filter(|attempt| *attempt > 0 && (is_known || job.provider_id.is_none()));
    named.attempt.or(present)
}

/// What a call does not say of its job, as a signal of our own.
fn untold(leg: &Leg, job: &JobRow, attempt: i64, now: Millis) -> Option<super::Submission> {
    let said = [
        (Field::JobId, Some(job.id.clone())),
        (Field::Attempt, Some(attempt.to_string())),
        (Field::UserId, job.user_id.clone()),
    ];
    let missing = said.into_iter().filter(|(field, _)| leg.call.detail(*field).is_none());
    let details: BTreeMap<Field, String> = missing.filter_map(|(field, value)| Some((field, value?))).collect();
    let linked = leg.call.read().link.is_some_and(|link| link.rank <= LinkRank::Job);
    let link = job.lead_id.clone().filter(|_| !linked).map(|lead_id| Link { rank: LinkRank::Job, lead_id });
    (!details.is_empty() || link.is_some()).then(|| own_signal(leg, Witness::Manual, details, link, now))
}

/// Lets the jobs follow their calls as those read at the end of the batch.
pub(super) async fn follow(
    tx: &mut Tx,
    batch: &mut Batch,
    terms: &mut Terms<'_>,
    tied: Tied,
) -> Result<(), StoreError> {
    if tied.calls.is_empty() {
        return Ok(());
    }
    let Tied { jobs, calls } = tied;
    let keys: BTreeSet<RunKey> = jobs.values().map(run_key).collect();
    let runs = runs::list_by_keys(&mut *tx, &keys.into_iter().collect::<Vec<_>>()).await?;
    let runs: BTreeMap<String, RunRow> = runs.into_iter().map(|run| (run.id.clone(), run)).collect();
    let mut to = Changes { now_ms: now::for_leases(&mut *tx, terms.clock).await?, ..Changes::default() };
    let mut jobs = jobs;
    for call in &calls {
        to.dispossess(call, &mut jobs, &runs);
    }
    for call in calls {
        let (Some(leg), Some(job)) = (batch.legs.get_mut(&call.leg), jobs.get_mut(&call.job)) else { continue };
        let Some(run) = runs.get(&job.run_id) else { continue };
        leg.row.run_id = Some(run.id.clone());
        to.read(leg, call.attempt, job, run);
    }
    batch.tally.endings.append(&mut to.endings);
    to.write(tx, terms).await
}

/// What a batch changes of jobs and their slots.
#[derive(Debug, Default)]
struct Changes {
    now_ms: Millis,
    jobs: BTreeMap<JobKey, JobRow>,
    /// Whether a slot is held from here on.
    slots: BTreeMap<(JobKey, i64), SlotRow>,
    strays: Vec<(HangupRow, Stray)>,
    /// For the metrics.
    endings: Vec<JobEnding>,
}

/// A call that must not be, for the audit.
#[derive(Debug)]
struct Stray {
    call_id: String,
    to: JobState,
    why: &'static str,
}

impl Changes {
    /// What one call means for its job.
    fn read(&mut self, leg: &Leg, attempt: i64, job: &mut JobRow, run: &RunRow) {
        let Ok(state) = job.state.parse::<JobState>() else { return };
        let call = as_followed(leg);
        let seen = Seen { provider_id: &leg.row.provider_id, attempt, call: &call };
        // What nobody can read any more is not tried again.
        let settings: Settings = serde_json::from_str(&run.settings).unwrap_or_default();
        // Of a person that was forgotten there is nobody left to call.
        let may_retry = !job.to.is_empty()
            && run.state.parse().is_ok_and(|state: RunState| !state.is_ended() && state != RunState::Cancelling);
        let followed = Followed { state, attempt: job.attempt, provider_id: job.provider_id.as_deref(), may_retry };
        let before = job.clone();
        match run::follow(&followed, &seen, &settings.retry, self.now_ms) {
            Follow::Nothing => return,
            // What a Twilio leg is may come later: the callback about a machine at an agent's leg names the job, and no parent.
            Follow::Stray(_) if !is_ours_for_sure(leg) => return,
            Follow::Stray(why) => return self.strays.push(self.stray(leg, job, run, state, why)),
            Follow::Becomes(next) => becomes(job, next, leg, &call, self.now_ms),
            Follow::Again { due_ms } => again(job, due_ms, leg, &call),
        }
        self.hold(&before, job, run);
        let done = JobState::Done.as_str();
        if job.state == done && before.state != done {
            self.endings
                .extend(job.outcome.as_deref().and_then(|word| word.parse::<Outcome>().ok()).map(JobEnding::from));
        }
        if *job != before {
            job.updated_ms = self.now_ms;
            self.jobs.insert(job_key(job), job.clone());
        }
    }

    /// A job that a call was taken for, which now says that it is another's: nobody knows what became of its own request.
    fn dispossess(&mut self, call: &TiedCall, jobs: &mut BTreeMap<JobKey, JobRow>, runs: &BTreeMap<String, RunRow>) {
        let is_waiting =
            |job: &JobRow| matches!(job.state.parse(), Ok(JobState::Placing | JobState::Placed | JobState::Live));
        for (key, job) in jobs {
            let has_it = key.tenant == call.leg.tenant && job.provider_id.as_ref() == Some(&call.leg.provider_id);
            let Some(run) = runs.get(&job.run_id).filter(|_| has_it && *key != call.job && is_waiting(job)) else {
                continue;
            };
            let before = job.clone();
            JobState::Unknown.as_str().clone_into(&mut job.state);
            (job.provider_id, job.call_id, job.placing_ms, job.lost_ms) = (None, None, None, None);
            (job.error, job.ended_ms) = (Some(ANOTHERS.to_owned()), Some(self.now_ms));
            job.updated_ms = self.now_ms;
            self.hold(&before, job, run);
            self.endings.push(JobEnding::Unknown);
            self.jobs.insert(key.clone(), job.clone());
        }
    }

    /// The slots that a job has after a change: that of its attempt while a call of it is under way; one that it was handed
    /// out with for the next attempt goes back when there will be none.
    fn hold(&mut self, before: &JobRow, job: &JobRow, run: &RunRow) {
        let was = before.state.parse::<JobState>().is_ok_and(JobState::is_under_way);
        let is = job.state.parse::<JobState>().is_ok_and(JobState::is_under_way);
        if was != is {
            self.slot(job, job.attempt, run, is);
        }
        if before.token.is_some() && job.token.is_none() && before.state == JobState::Queued.as_str() {
            self.slot(job, job.attempt + 1, run, false);
        }
    }

    fn slot(&mut self, job: &JobRow, attempt: i64, run: &RunRow, held: bool) {
        let row = SlotRow {
            tenant: job.tenant.clone(),
            job_id: job.id.clone(),
            attempt,
            run_id: job.run_id.clone(),
            account: run.account.clone(),
            taken_ms: self.now_ms,
            released_ms: (!held).then_some(self.now_ms),
        };
        self.slots.insert((job_key(job), attempt), row);
    }

    fn stray(&self, leg: &Leg, job: &JobRow, run: &RunRow, to: JobState, why: &'static str) -> (HangupRow, Stray) {
        let hangup = HangupRow {
            tenant: leg.row.tenant.clone(),
            account: leg.row.account.clone(),
            provider_id: leg.row.provider_id.clone(),
            provider: leg.row.provider.clone(),
            run_id: Some(run.id.clone()),
            job_id: Some(job.id.clone()),
            reason: STRAY.to_owned(),
            requested_ms: self.now_ms,
            due_ms: Some(self.now_ms),
            ..HangupRow::default()
        };
        (hangup, Stray { call_id: leg.row.id.clone(), to, why })
    }

    async fn write(self, tx: &mut Tx, terms: &mut Terms<'_>) -> Result<(), StoreError> {
        let Self { jobs, slots, strays, .. } = self;
        jobs::update(tx, &jobs.into_values().collect::<Vec<_>>()).await?;
        let (held, free): (Vec<_>, Vec<_>) = slots.into_values().partition(|slot| slot.released_ms.is_none());
        slots::release(tx, &free).await?;
        slots::take(tx, &held).await?;
        let rows: Vec<HangupRow> = strays.iter().map(|(row, _)| row.clone()).collect();
        let new: HashSet<String> = hangups::insert(tx, &rows).await?.into_iter().collect();
        let strays = strays.iter().filter(|(row, _)| new.contains(&row.provider_id));
        let audited: Vec<AuditRow> = strays.map(|(row, stray)| audit_row(row, stray, terms)).collect();
        audit::insert(tx, &audited).await
    }
}

/// Whether a call that names a job was made by a request, and is no leg that another call dialed.
fn is_ours_for_sure(leg: &Leg) -> bool {
    leg.row.provider != TWILIO || leg.call.detail(Field::Direction) == Some(Direction::OutboundApi.as_str())
}

/// How the call of a job reads. One that was merged into an older call is over as a call of its own: what becomes of the
/// conversation is told by the other one, and nobody says that it was busy.
fn as_followed(leg: &Leg) -> Row {
    let read = leg.call.read();
    let detail = |field| leg.call.detail(field);
    if read.status.is_ended() || !is_replaced(detail(Field::MergedInto), detail(Field::ParentId)) {
        return read;
    }
    Row { status: Status::Completed, resolution: Some(Resolution::Reconciled), estimated: true, ..read }
}

fn becomes(job: &mut JobRow, next: JobState, leg: &Leg, call: &Row, now_ms: Millis) {
    is_of(job, leg);
    let ended = call.status.is_ended();
    // A call that lives again has not ended yet; before its next call ends, a job shows how the last one did.
    let lives_again = !ended && !matches!(job.state.parse(), Ok(JobState::Placing | JobState::Placed | JobState::Live));
    if ended {
        ended_so(job, leg, call);
    } else if lives_again {
        (job.outcome, job.resolution, job.answered_by) = (None, None, None);
    }
    (job.placing_ms, job.lost_ms, job.error) = (None, None, None);
    if job.state == JobState::Queued.as_str() {
        job.token = None;
    }
    job.ended_ms = next.is_final().then(|| job.ended_ms.unwrap_or(now_ms));
    next.as_str().clone_into(&mut job.state);
}

/// It waits for its next attempt. If it does so already, it is only known better how the last one ended.
fn again(job: &mut JobRow, due_ms: Millis, leg: &Leg, call: &Row) {
    is_of(job, leg);
    ended_so(job, leg, call);
    if job.state == JobState::Queued.as_str() {
        return;
    }
    JobState::Queued.as_str().clone_into(&mut job.state);
    (job.due_ms, job.token) = (due_ms, None);
    (job.placing_ms, job.lost_ms, job.error) = (None, None, None);
}

fn is_of(job: &mut JobRow, leg: &Leg) {
    job.provider_id = Some(leg.row.provider_id.clone());
    job.call_id = Some(leg.row.id.clone());
}

fn ended_so(job: &mut JobRow, leg: &Leg, call: &Row) {
    job.outcome = Some(call.status.as_str().to_owned());
    job.resolution = call.resolution.map(|resolution| resolution.as_str().to_owned());
    job.answered_by = leg.call.detail(Field::AnsweredBy).map(str::to_owned);
}

fn audit_row(row: &HangupRow, stray: &Stray, terms: &mut Terms<'_>) -> AuditRow {
    let detail = serde_json::json!({
        "rule": "A call that turns up for a job which is over, or which has another call, is hung up.",
        "evidence": format!("The job is {}: {}.", stray.to, stray.why),
        "provider_id": row.provider_id, "account": row.account, "run_id": row.run_id, "job_id": row.job_id,
    });
    AuditRow {
        tenant: row.tenant.clone(),
        id: new_id("audit", terms.now, terms.rng.random()),
        at_ms: terms.now,
        actor: ACTOR.to_owned(),
        action: "call.stray".to_owned(),
        subject: stray.call_id.clone(),
        detail: detail.to_string(),
    }
}

fn job_key(row: &JobRow) -> JobKey {
    JobKey { tenant: row.tenant.clone(), id: row.id.clone() }
}

fn run_key(row: &JobRow) -> RunKey {
    RunKey { tenant: row.tenant.clone(), run_id: row.run_id.clone() }
}

const TWILIO: &str = "twilio";
/// Who decides about calls of jobs.
const ACTOR: &str = "runs";
/// Why a job is unknown whose call was another's.
const ANOTHERS: &str = "the call that was taken for its own says that it is another job's";
/// More attempts than nine digits can count are none of ours.
const ATTEMPT_DIGITS_MAX: usize = 9;
