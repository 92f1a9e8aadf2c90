//! Runs and their jobs, as they are shown.

use crate::{
    domain::{
        run::{JobState, RunState, Worker},
        state::{Outcome, Resolution},
    },
    http::{Problem, time::Moment},
    runs::{Counts, Outcomes, Shown},
    store::{StoreError, jobs::JobRow},
};
use serde::Serialize;
use std::str::FromStr;
use utoipa::ToSchema;

/// A run: a list of people to be called, and how.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run)]
pub(in crate::http) struct RunView {
    /// Our id.
    #[schema(example = "run_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    id: String,
    /// Your own id of it.
    #[schema(example = "spring-2026")]
    key: Option<String>,
    /// For people.
    #[schema(example = "Spring campaign")]
    name: Option<String>,
    /// How it stands.
    state: RunState,
    /// Who dials it.
    worker: Worker,
    /// The provider account that is dialed from.
    #[schema(example = "AC0123456789abcdef0123456789abcdef")]
    account: String,
    /// The number that called parties see.
    #[schema(example = "+14155550100")]
    from: Option<String>,
    /// Twilio: whom an answered call is put through to.
    #[schema(example = json!(["client:ann"]))]
    connect: Vec<String>,
    /// Twilio: what is done with an answered call.
    twiml: Option<String>,
    /// Twilio: where TwiML is asked for once a call is answered.
    url: Option<String>,
    /// Asterisk: what is dialed, with `{to}` in it.
    #[schema(example = "PJSIP/{to}@trunk")]
    channel: Option<String>,
    /// Asterisk: the context in which an answered call goes on.
    context: Option<String>,
    /// Asterisk: the extension of that context.
    extension: Option<String>,
    /// For how long it rings, in seconds; null: as the provider does.
    timeout_seconds: Option<u32>,
    /// After how many seconds a call is cut off; null: as the provider does.
    time_limit_seconds: Option<u32>,
    /// Twilio: `Enable` or `DetectMessageEnd`.
    machine_detection: Option<String>,
    /// Calls placed per second.
    #[schema(example = 1.0)]
    calls_per_second: f64,
    /// Calls under way at once.
    #[schema(example = 10)]
    calls_at_once: i64,
    /// When a job is tried again.
    retry: RetryView,
    /// When it was made.
    created_at: Moment,
    /// When it was started, or resumed last.
    started_at: Option<Moment>,
    /// When somebody asked for its end.
    cancel_requested_at: Option<Moment>,
    /// When it ended.
    ended_at: Option<Moment>,
    /// Who dials it now; null: nobody.
    lease: Option<LeaseView>,
    /// Whether it should be dialed, and nobody gives a sign of life or places what could be placed. Computed when it is asked.
    stale: bool,
    /// When a job was placed last, or it was last seen that none could be.
    progress_at: Option<Moment>,
    /// What went wrong last.
    #[schema(example = "the account is not active")]
    last_error: Option<String>,
    /// When.
    last_error_at: Option<Moment>,
    /// How many of its jobs are in which state.
    jobs: Counts,
    /// How many of its jobs that are done ended how.
    outcomes: Outcomes,
}

/// When a job is tried again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Retry)]
struct RetryView {
    /// Attempts in all.
    #[schema(example = 3)]
    attempts: u32,
    /// After calls that ended so, and the provider said so.
    on: Vec<Outcome>,
    /// How long after the end of one attempt the next is made, in seconds.
    #[schema(example = 900)]
    after_seconds: u32,
}

/// Who dials a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunLease)]
struct LeaseView {
    /// Its name.
    #[schema(example = "dialer-1")]
    worker: String,
    /// Until when, without another heartbeat.
    until: Moment,
    /// The last heartbeat.
    heartbeat_at: Option<Moment>,
}

/// A run that was made, or that got jobs, and what came of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunWithJobs)]
pub(in crate::http) struct ImportedView {
    /// The run.
    pub(super) run: RunView,
    /// What came of the jobs.
    pub(super) imported: crate::runs::Imported,
}

/// The newest run that is being dialed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActiveRun)]
pub(in crate::http) struct ActiveView {
    #[serde(flatten)]
    pub(super) run: RunView,
    /// The ids of the others that are.
    pub(super) also_active: Vec<String>,
}

/// A job: somebody to be called, with all attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(in crate::http) struct JobView {
    /// Our id.
    #[schema(example = "job_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    id: String,
    /// Its run.
    #[schema(example = "run_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    run_id: String,
    /// What makes it the same job when it is sent again.
    #[schema(example = "lead-42")]
    key: String,
    /// Whom to call.
    #[schema(example = "+14155550101")]
    to: String,
    /// Your own id of the lead whose call it is.
    #[schema(example = "lead-42")]
    lead_id: Option<String>,
    /// The user whose call it is.
    user_id: Option<String>,
    /// How it stands.
    state: JobState,
    /// The attempt it is at; 0 before the first.
    #[schema(example = 1)]
    attempt: i64,
    /// It is not placed before.
    due_at: Moment,
    /// The provider's id of the call of this attempt.
    provider_id: Option<String>,
    /// Our id of it.
    call_id: Option<String>,
    /// How the last call that ended did.
    outcome: Option<Outcome>,
    /// How that is known.
    resolution: Option<Resolution>,
    /// What answered: `human`, `machine_start` …
    answered_by: Option<String>,
    /// Why it is as it is.
    error: Option<String>,
    /// When it was made.
    created_at: Moment,
    /// When it changed last.
    updated_at: Moment,
    /// When it was over.
    ended_at: Option<Moment>,
}

impl TryFrom<Shown> for RunView {
    type Error = Problem;

    fn try_from(shown: Shown) -> Result<Self, Problem> {
        let (calls_per_second, is_leased) = (shown.calls_per_second(), shown.is_leased());
        let Shown { row, settings, counts, outcomes, stale, .. } = shown;
        let what = || format!("the run {}", row.id);
        let (state, worker) = (word(&what, &row.state)?, word(&what, &row.worker)?);
        let lease = row.holder.filter(|_| is_leased).map(|worker| LeaseView {
            worker,
            until: Moment(row.lease_until_ms),
            heartbeat_at: row.beat_ms.map(Moment),
        });
        let retry = settings.retry;
        Ok(Self {
            id: row.id,
            key: row.key,
            name: row.name,
            state,
            worker,
            account: row.account,
            from: settings.from,
            connect: settings.connect,
            twiml: settings.twiml,
            url: settings.url,
            channel: settings.channel,
            context: settings.context,
            extension: settings.extension,
            timeout_seconds: settings.timeout_seconds,
            time_limit_seconds: settings.time_limit_seconds,
            machine_detection: settings.machine_detection,
            calls_per_second,
            calls_at_once: row.calls_max,
            retry: RetryView {
                attempts: retry.attempts_max,
                on: retry.on.into_iter().collect(),
                after_seconds: retry.after_seconds,
            },
            created_at: Moment(row.created_ms),
            started_at: row.started_ms.map(Moment),
            cancel_requested_at: row.cancel_ms.map(Moment),
            ended_at: row.ended_ms.map(Moment),
            lease,
            stale,
            progress_at: row.progress_ms.map(Moment),
            last_error: row.last_error,
            last_error_at: row.last_error_ms.map(Moment),
            jobs: counts,
            outcomes,
        })
    }
}

impl TryFrom<JobRow> for JobView {
    type Error = Problem;

    fn try_from(row: JobRow) -> Result<Self, Problem> {
        let what = || format!("the job {}", row.id);
        let state = word(&what, &row.state)?;
        let outcome = row.outcome.as_deref().map(|text| word(&what, text)).transpose()?;
        let resolution = row.resolution.as_deref().map(|text| word(&what, text)).transpose()?;
        Ok(Self {
            id: row.id,
            run_id: row.run_id,
            key: row.key,
            to: row.to,
            lead_id: row.lead_id,
            user_id: row.user_id,
            state,
            attempt: row.attempt,
            due_at: Moment(row.due_ms),
            provider_id: row.provider_id,
            call_id: row.call_id,
            outcome,
            resolution,
            answered_by: row.answered_by,
            error: row.error,
            created_at: Moment(row.created_ms),
            updated_at: Moment(row.updated_ms),
            ended_at: row.ended_ms.map(Moment),
        })
    }
}

/// A stored word of a closed vocabulary.
fn word<T: FromStr>(what: &dyn Fn() -> String, text: &str) -> Result<T, Problem> {
    let corrupt = || StoreError::Corrupt { what: what(), why: format!("{text:?} is no word of ours") };
    text.parse().map_err(|_| corrupt().into())
}
