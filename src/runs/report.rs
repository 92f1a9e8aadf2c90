//! What came of placing a job: told by a dialer of the user's own, or by ours.

use super::{
    Desk, ERROR_BYTES_MAX, Lease, RunError,
    control::hangup_row,
    hand_out::place,
    in_short, refused,
    settle::{note, over, released},
    show::{self, job_state, settings, worker},
    turn::{Turn, repeated},
};
use crate::{
    ami,
    domain::{
        id::Leg,
        run::{JobState, RunState, Settings, Worker},
        signal::{Claim, Field, Link, LinkRank, Signal, Witness},
        state::{Direction, Live, Outcome},
        time::{Millis, SECOND},
        words,
    },
    fields::{self, Wrong, Wrongs},
    ingest::Submission,
    provider::Order,
    store::{
        hangups,
        jobs::{self, JobRow},
        runs::RunRow,
        slots,
    },
    twilio::sid,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a dialer of the user's own says of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ReportWrite, description = "What a dialer of your own says of a job.")]
#[serde(deny_unknown_fields)]
pub struct ReportText {
    /// The token of its lease.
    #[schema(example = 7)]
    pub token: Option<i64>,
    /// `placing`: it is about to ask the provider; `placed`: the provider has the call; `failed`: there is no call.
    #[schema(example = "placed")]
    pub state: Option<String>,
    /// The provider's id of the call; needed for `placed`.
    #[schema(example = "CA00000000000000000000000000000001", max_length = 200)]
    pub provider_id: Option<String>,
    /// Why it failed, up to 500 bytes.
    #[schema(example = "the trunk is down", max_length = 500)]
    pub error: Option<String>,
}

/// A report that was taken.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The job as it is now.
    pub job: JobRow,
    /// What is to be submitted through the one door, so that its call is followed.
    pub submission: Option<Submission>,
}

/// Where a call was placed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedFrom<'a> {
    /// Whose call it is.
    pub tenant: &'a str,
    /// `twilio` or `asterisk`.
    pub provider: &'a str,
    /// From which account.
    pub account: &'a str,
}

impl Lease {
    /// Where its calls are placed from.
    pub fn placed_from(&self) -> PlacedFrom<'_> {
        PlacedFrom { tenant: &self.tenant, provider: &self.provider, account: &self.account }
    }
}

words! {
    /// What a dialer of the user's own can say of a job.
    pub enum ReportState {
        /// It is about to ask the provider.
        Placing = "placing",
        /// The provider has the call.
        Placed = "placed",
        /// There is no call.
        Failed = "failed",
    }
}

impl Desk {
    /// What a dialer of the user's own says of a job of its lease.
    pub async fn report(
        &self,
        tenant: &str,
        run_id: &str,
        job_id: &str,
        text: &ReportText,
    ) -> Result<Reported, RunError> {
        let report = text.read().map_err(RunError::Fields)?;
        repeated!(self.report_once(tenant, (run_id, job_id), &report))
    }

    async fn report_once(&self, tenant: &str, ids: (&str, &str), report: &Report) -> Result<Reported, RunError> {
        let (run_id, job_id) = ids;
        let mut turn = self.turn(tenant).await?;
        let mut row = turn.load(run_id).await?;
        if worker(&row)? != Worker::External {
            return Err(refused(&row, &format!("is dialed by its {} worker", row.worker)));
        }
        if report.token != row.token || row.holder.is_none() {
            return Err(RunError::LeaseLost);
        }
        let found = turn.load_job(job_id).await?.filter(|job| job.run_id == run_id);
        let job = found.ok_or_else(|| RunError::NotFound { what: "job", id: job_id.to_owned() })?;
        let was_placing = job_state(&job)? == JobState::Placing;
        let said = match (&report.said, job_state(&job)?) {
            (Said::Placed(id), _) => {
                check_provider_id(&row, id)?;
                placed(&mut turn, &row, job, id).await?
            }
            (Said::Placing, state) => placing(&mut turn, job, state, report.token).await?,
            (Said::Failed(why), state) => failed(&mut turn, &mut row, job, (state, report.token), why).await?,
        };
        let job = match said {
            Ok(job) => job,
            // A call that turned up for a job that is over is asked to end: that much is written.
            Err(why) => {
                turn.commit().await?;
                return Err(RunError::State(why));
            }
        };
        row.progress_ms = Some(turn.now_ms);
        turn.save(&row).await?;
        let now_ms = turn.shared.clock.now_ms();
        let settings = settings(&row)?;
        turn.commit().await?;
        let from = PlacedFrom { tenant, provider: &row.provider, account: &row.account };
        let tell = |id: &String| tell_placed(from, &order(&job, settings), id, now_ms);
        if was_placing && matches!(report.said, Said::Placed(_)) {
            self.0.metrics.runs().job_placed();
        }
        let submission = match &report.said {
            Said::Placed(id) => Some(tell(id)),
            Said::Placing | Said::Failed(_) => None,
        };
        Ok(Reported { job, submission })
    }
}

/// The job as it now is, or why it cannot be so.
type Settled = Result<JobRow, String>;

async fn placing(turn: &mut Turn<'_>, mut job: JobRow, state: JobState, token: i64) -> Result<Settled, RunError> {
    match state {
        JobState::Placing if job.token == Some(token) => return Ok(Ok(job)),
        JobState::Queued if job.token == Some(token) => {}
        _ => return Ok(Err(not_yours(&job, token))),
    }
    place(&mut job, turn.now_ms);
    jobs::update(&mut turn.tx, std::slice::from_ref(&job)).await?;
    Ok(Ok(job))
}

async fn placed(turn: &mut Turn<'_>, row: &RunRow, mut job: JobRow, id: &str) -> Result<Settled, RunError> {
    let (now_ms, state) = (turn.now_ms, job_state(&job)?);
    let token = Some(row.token);
    match state {
        JobState::Queued if job.token == token => place(&mut job, now_ms),
        JobState::Placing if job.token == token => {}
        JobState::Placed | JobState::Live | JobState::Done | JobState::Unknown => {
            if job.provider_id.as_deref() == Some(id) {
                return Ok(Ok(job));
            }
            // What was unknown is known now; the call itself says how it stands with the job.
            if state == JobState::Unknown && job.provider_id.is_none() && job.token == token {
                job.provider_id = Some(id.to_owned());
                job.updated_ms = now_ms;
                jobs::update(&mut turn.tx, std::slice::from_ref(&job)).await?;
                return Ok(Ok(job));
            }
            let has = job.provider_id.as_deref().unwrap_or("none");
            return Ok(Err(format!("take this call for the job {}: it is {state}, and its call is {has}", job.id)));
        }
        // What was cancelled was taken from whoever had it.
        JobState::Cancelled | JobState::Failed if job.token.is_none() || job.token == token => {
            let stray = hangup_row(row, &job.id, id.to_owned(), hangups::STRAY, now_ms);
            hangups::insert(&mut turn.tx, &[stray]).await?;
            return Ok(Err(format!("take this call for the job {}: it is {state}; the call is hung up", job.id)));
        }
        _ => return Ok(Err(not_yours(&job, row.token))),
    }
    JobState::Placed.as_str().clone_into(&mut job.state);
    job.provider_id = Some(id.to_owned());
    job.updated_ms = now_ms;
    jobs::update(&mut turn.tx, std::slice::from_ref(&job)).await?;
    Ok(Ok(job))
}

async fn failed(
    turn: &mut Turn<'_>,
    row: &mut RunRow,
    mut job: JobRow,
    (state, token): (JobState, i64),
    why: &str,
) -> Result<Settled, RunError> {
    match state {
        JobState::Failed if job.token == Some(token) => return Ok(Ok(job)),
        JobState::Placing if job.token == Some(token) => {}
        JobState::Queued if job.token == Some(token) => place(&mut job, turn.now_ms),
        _ => return Ok(Err(not_yours(&job, token))),
    }
    note(row, why, turn.now_ms);
    let retry = settings(row)?.retry;
    let may_dial = matches!(show::state(row)?, RunState::Running | RunState::Paused);
    let again = may_dial && retry.on.contains(&Outcome::Failed) && job.attempt < i64::from(retry.attempts_max);
    if !again {
        return over(turn, row, job, JobState::Failed, why).await.map(Ok);
    }
    JobState::Queued.as_str().clone_into(&mut job.state);
    job.token = None;
    job.placing_ms = None;
    job.error = Some(in_short(why));
    job.due_ms = turn.now_ms.saturating_add(i64::from(retry.after_seconds) * SECOND);
    job.updated_ms = turn.now_ms;
    jobs::update(&mut turn.tx, std::slice::from_ref(&job)).await?;
    let slot = released(turn, row, &job, job.attempt);
    slots::release(&mut turn.tx, &[slot]).await?;
    Ok(Ok(job))
}

fn not_yours(job: &JobRow, token: i64) -> String {
    let JobRow { id, state, .. } = job;
    match job.token {
        Some(other) if other == token => format!("say that of the job {id}: it is {state}"),
        Some(_) => format!("say that of the job {id}: it is {state}, and was handed out under another token"),
        None => {
            format!("say that of the job {id}: it is {state}, and was not handed out under this token; claim again")
        }
    }
}

fn check_provider_id(row: &RunRow, id: &str) -> Result<(), RunError> {
    if row.provider == ami::PROVIDER || sid::CALL.fits(id) {
        return Ok(());
    }
    let wrong = Wrong::new("provider_id", format!("is not the sid of a Twilio call: {}", sid::CALL.allowed));
    Err(RunError::Fields(vec![wrong]))
}

/// What is said of a job.
#[derive(Debug)]
enum Said {
    Placing,
    Placed(String),
    Failed(String),
}

#[derive(Debug)]
struct Report {
    token: i64,
    said: Said,
}

impl ReportText {
    fn read(&self) -> Result<Report, Vec<Wrong>> {
        let mut wrongs = Wrongs::default();
        let token = wrongs.take(self.token.ok_or_else(|| Wrong::new("token", "is missing: the one of your claim")));
        let state = self.state.as_deref().unwrap_or_default();
        let state = wrongs.take(state.parse::<ReportState>().map_err(|why| Wrong::new("state", why)));
        let id = fields::optional_line("provider_id", self.provider_id.as_deref(), PROVIDER_ID_BYTES_MAX);
        let id = wrongs.take(id).flatten();
        let error = wrongs.take(fields::optional_line("error", self.error.as_deref(), ERROR_BYTES_MAX)).flatten();
        let said = match (state, id) {
            (None, _) => None,
            (Some(ReportState::Placing), _) => Some(Said::Placing),
            (Some(ReportState::Placed), Some(id)) => Some(Said::Placed(id)),
            (Some(ReportState::Placed), None) => {
                wrongs.take(Err(Wrong::new("provider_id", "is missing: the provider's id of the call")))
            }
            (Some(ReportState::Failed), _) => {
                Some(Said::Failed(error.unwrap_or_else(|| "its dialer gave no reason".to_owned())))
            }
        };
        let made = token.zip(said).map(|(token, said)| Report { token, said });
        wrongs.settle(made)
    }
}

/// The order of a job at its present attempt.
pub(super) fn order(job: &JobRow, settings: Settings) -> Order {
    Order {
        job_id: job.id.clone(),
        attempt: job.attempt,
        to: job.to.clone(),
        lead_id: job.lead_id.clone(),
        user_id: job.user_id.clone(),
        settings,
        placing_ms: job.placing_ms.unwrap_or(job.updated_ms),
    }
}

/// The provider has the call of an order: what is submitted through the one door, where the job then follows it.
pub fn tell_placed(from: PlacedFrom<'_>, order: &Order, provider_id: &str, now_ms: Millis) -> Submission {
    let mut details = BTreeMap::from([
        (Field::Direction, Direction::OutboundApi.as_str().to_owned()),
        (Field::To, order.to.clone()),
        (Field::JobId, order.job_id.clone()),
        (Field::Attempt, order.attempt.to_string()),
    ]);
    details.extend(order.settings.from.clone().map(|from| (Field::From, from)));
    details.extend(order.user_id.clone().map(|user| (Field::UserId, user)));
    let link = order.lead_id.clone().map(|lead_id| Link { rank: LinkRank::Job, lead_id });
    let signal = Signal {
        leg: Leg { provider_id: provider_id.to_owned(), account: from.account.to_owned() },
        // We were answered; whatever the provider tells by itself outweighs it.
        witness: Witness::Reconciled,
        claim: Claim::Live(Live::Queued),
        at: None,
        sequence: None,
        details,
        link,
        received_ms: now_ms,
    };
    Submission {
        tenant: from.tenant.to_owned(),
        provider: if from.provider == ami::PROVIDER { ami::PROVIDER } else { "twilio" },
        delivery: None,
        signals: vec![signal],
        ask: Vec::new(),
        decision: None,
    }
}

const PROVIDER_ID_BYTES_MAX: usize = 200;
