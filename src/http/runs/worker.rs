//! What a dialer of the user's own does: it claims a run, gives signs of life, and says what became of its jobs.
//!
//! An Idempotency-Key is not looked at here: a claim, a heartbeat and a report may be sent again as they are, and an answer
//! that was kept would tell of a lease that ended long ago.

use super::{refusal, require_plain, view::JobView};
use crate::{
    domain::run::RunState,
    http::{Can, Gateway, Problem, ProblemKind, Write, body::Json, time::Moment},
    runs::{Beat, ClaimText, Claimed, ReportText, Reported},
    store::jobs,
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The lease of a run, and jobs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Claimed)]
pub(in crate::http) struct ClaimedView {
    /// Say it with every heartbeat and report. It grows whenever somebody else takes the run over.
    #[schema(example = 7)]
    token: i64,
    /// Until when the lease holds without a heartbeat, by the clock of the database.
    lease_until: Moment,
    /// How long that is from now on, in milliseconds: count it by a clock of your own that nobody sets, from before you asked.
    #[schema(example = 30000)]
    lease_ms: i64,
    /// All jobs that you have and have not begun to place. The next attempt of one is `attempt` + 1.
    jobs: Vec<JobView>,
    /// How it stands with the run: place only while it is `running`.
    state: RunState,
    /// After how many milliseconds the next job may be had; null: that depends on calls that end, or there is none.
    #[schema(example = 1000)]
    wait_ms: Option<i64>,
}

/// The token of a lease.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Heartbeat)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct BeatText {
    /// That of the claim.
    #[schema(example = 7)]
    token: i64,
}

/// A heartbeat that was heard.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HeartbeatHeard)]
pub(in crate::http) struct BeatView {
    /// Somebody wants the end of the run: place nothing more.
    cancel_requested: bool,
    /// Place nothing until it is resumed.
    paused: bool,
    /// Until when the lease holds now.
    lease_until: Moment,
    /// How long that is from now on, in milliseconds.
    #[schema(example = 30000)]
    lease_ms: i64,
    /// How it stands with the run.
    state: RunState,
}

/// Takes the lease of a run that your own dialer dials, and jobs to be placed.
///
/// With the `token` you have you go on under it; without, the lease is yours if nobody has it, or if the same `worker` had it
/// before a restart. Jobs come as the pace, the calls at once and the do-not-call list allow: an empty list is no mistake.
/// Before you ask the provider, report `placing`; that it was taken means that nobody else places this attempt. Put `job_id` and
/// `attempt` on the callback URL (Asterisk: `<job_id>-<attempt>` as ChannelId), so that the job follows its call.
/// An Idempotency-Key is not kept here: a claim may be sent again.
#[utoipa::path(post, path = "/v1/runs/{id}/claim", tag = "runs", security(("key" = ["write"])), request_body = ClaimText,
    params(("id" = String, Path, description = "Our id: `run_…`")),
    responses(
        (status = 200, description = "The lease, and jobs", body = ClaimedView),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such run, or it is another tenant's"),
        (status = 409, description = "`lease-held`: somebody else has it; `lease-lost`: not under this token any more; `run-state`: it is not running, or onhook dials it"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`"),
    ))]
pub(in crate::http) async fn claim(
    key: Can<Write>,
    id: Path<String>,
    Json(text): Json<ClaimText>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    require_plain("run", &id)?;
    let claimed = match gateway.desk.claim(&key.tenant, &id, &text).await {
        Ok(claimed) => claimed,
        Err(error) => return Err(refusal(&gateway, &key, error, ProblemKind::RunState).await),
    };
    let Claimed { token, lease_until_ms, lease_ms, jobs, state, wait_ms } = claimed;
    let jobs = jobs.into_iter().map(JobView::try_from).collect::<Result<_, _>>()?;
    let lease_until = Moment(lease_until_ms);
    Ok(HttpResponse::Ok().json(ClaimedView { token, lease_until, lease_ms, jobs, state, wait_ms }))
}

/// A sign of life of your own dialer, every 1 to 3 seconds. It makes the lease last, and tells whether the run is to end.
/// An Idempotency-Key is not kept here: each heartbeat counts.
#[utoipa::path(post, path = "/v1/runs/{id}/heartbeat", tag = "runs", security(("key" = ["write"])), request_body = BeatText,
    params(("id" = String, Path, description = "Our id: `run_…`")),
    responses(
        (status = 200, description = "It was heard", body = BeatView),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such run, or it is another tenant's"),
        (status = 409, description = "`lease-lost`: place nothing more under this token; or `run-state`: onhook dials it"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`"),
    ))]
pub(in crate::http) async fn heartbeat(
    key: Can<Write>,
    id: Path<String>,
    Json(text): Json<BeatText>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    require_plain("run", &id)?;
    let beat = match gateway.desk.heartbeat(&key.tenant, &id, text.token).await {
        Ok(beat) => beat,
        Err(error) => return Err(refusal(&gateway, &key, error, ProblemKind::RunState).await),
    };
    let Beat { cancel_requested, paused, lease_until_ms, lease_ms, state } = beat;
    let lease_until = Moment(lease_until_ms);
    Ok(HttpResponse::Ok().json(BeatView { cancel_requested, paused, lease_until, lease_ms, state }))
}

/// Says what became of a job that was handed out: `placing` right before the provider is asked, then `placed` with its id of
/// the call, or `failed` with the reason. Without `placing` first nobody knows that you asked, should you die meanwhile.
///
/// From `placed` on the job follows its call by its callbacks; nothing more need be reported. If the provider's answer is lost,
/// report nothing and do not ask again: the job waits for a callback with its id. The same report may be sent again. An
/// Idempotency-Key is not kept here.
#[utoipa::path(post, path = "/v1/runs/{id}/jobs/{job}", tag = "runs", security(("key" = ["write"])), request_body = ReportText,
    params(("id" = String, Path, description = "Our id of the run"), ("job" = String, Path, description = "Our id of the job: `job_…`")),
    responses(
        (status = 200, description = "The job", body = JobView),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such run or job, or it is another tenant's"),
        (status = 409, description = "`lease-lost`: place nothing under this token; or `job-state`: that cannot follow on its state"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`"),
    ))]
pub(in crate::http) async fn report(
    key: Can<Write>,
    path: Path<(String, String)>,
    Json(text): Json<ReportText>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (run_id, job_id) = path.into_inner();
    require_plain("run", &run_id)?;
    require_plain("job", &job_id)?;
    let reported = match gateway.desk.report(&key.tenant, &run_id, &job_id, &text).await {
        Ok(reported) => reported,
        Err(error) => return Err(refusal(&gateway, &key, error, ProblemKind::JobState).await),
    };
    let Reported { mut job, submission } = reported;
    if let Some(submission) = submission {
        // Its call is known before the dialer goes on: a callback that comes meanwhile finds it.
        gateway.ingest.submit(submission).await?;
        job = jobs::find(&gateway.db, &key.tenant, &job_id).await?.unwrap_or(job);
    }
    Ok(HttpResponse::Ok().json(JobView::try_from(job)?))
}
