//! What people do to a run: start, pause, resume, cancel, and cancel by force.

use super::{actor, by, plain_refusal, refusal, require_plain, view::RunView};
use crate::{
    http::{
        Gateway, Problem, ProblemKind, Write,
        idempotency::{Post, answer},
    },
    runs::{By, ForceCancelled, RunError, Shown},
    transaction,
};
use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// Nothing is said of how.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = NothingToSay)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Plain {}

/// How a run is cancelled by force.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ForceCancel)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct ForceText {
    /// Also hang up its calls at the provider.
    hangup: bool,
}

/// A run that was cancelled by force.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ForceCancelled)]
pub(in crate::http) struct ForcedView {
    /// How many of its jobs were cancelled by this: those that waited, and those whose provider was being asked.
    #[schema(example = 120)]
    jobs_cancelled: i64,
    /// How many of its calls were under way and known. Without `hangup` they end by themselves.
    #[schema(example = 8)]
    live_calls: i64,
    /// How many of those were hung up by now.
    #[schema(example = 7)]
    hung_up: i64,
    /// How many are still to be hung up: that goes on by itself, until the provider has done it or the call has ended.
    #[schema(example = 1)]
    hangups_pending: i64,
    /// The run.
    run: RunView,
}

/// What is done to a run.
#[derive(Clone, Copy)]
enum Deed {
    Start,
    Pause,
    Resume,
    Cancel,
}

/// Starts a pending run. onhook dials it if its worker is `internal`; else your own dialer claims it.
#[utoipa::path(post, path = "/v1/runs/{id}/start", tag = "runs", security(("key" = ["write"])),
    params(("id" = String, Path, description = "Our id: `run_…`")),
    request_body(content = Option<Plain>, description = "May be left out"),
    responses(
        (status = 200, description = "The run", body = RunView),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such run, or it is another tenant's"),
        (status = 409, description = "`run-state`: it is not pending"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(in crate::http) async fn start(
    post: Post<Write>,
    id: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    done(post, &id, &gateway, Deed::Start).await
}

/// Pauses a running run: nothing more is placed until it is resumed. Calls that are under way go on.
#[utoipa::path(post, path = "/v1/runs/{id}/pause", tag = "runs", security(("key" = ["write"])),
    params(("id" = String, Path, description = "Our id: `run_…`")),
    request_body(content = Option<Plain>, description = "May be left out"),
    responses(
        (status = 200, description = "The run", body = RunView),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such run, or it is another tenant's"),
        (status = 409, description = "`run-state`: it is not running"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(in crate::http) async fn pause(
    post: Post<Write>,
    id: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    done(post, &id, &gateway, Deed::Pause).await
}

/// Lets a paused run go on, at its pace: what was not placed meanwhile is not made up for.
#[utoipa::path(post, path = "/v1/runs/{id}/resume", tag = "runs", security(("key" = ["write"])),
    params(("id" = String, Path, description = "Our id: `run_…`")),
    request_body(content = Option<Plain>, description = "May be left out"),
    responses(
        (status = 200, description = "The run", body = RunView),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such run, or it is another tenant's"),
        (status = 409, description = "`run-state`: it is not paused"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(in crate::http) async fn resume(
    post: Post<Write>,
    id: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    done(post, &id, &gateway, Deed::Resume).await
}

/// Cancels a run: what waits is cancelled at once, what is under way ends by itself.
///
/// While somebody dials it the run is `cancelling` until its last call has ended; its dialer learns it with the next heartbeat.
/// A run that nobody dials any more, or that has nothing under way, is `cancelled` at once.
#[utoipa::path(post, path = "/v1/runs/{id}/cancel", tag = "runs", security(("key" = ["write"])),
    params(("id" = String, Path, description = "Our id: `run_…`")),
    request_body(content = Option<Plain>, description = "May be left out"),
    responses(
        (status = 200, description = "The run", body = RunView),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such run, or it is another tenant's"),
        (status = 409, description = "`run-state`: it has ended"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(in crate::http) async fn cancel(
    post: Post<Write>,
    id: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    done(post, &id, &gateway, Deed::Cancel).await
}

/// Cancels a run at once, whatever its dialer does. Its lease ends with it.
///
/// Jobs that wait, and jobs whose provider is being asked, are cancelled; a call of such a job that turns up all the same is
/// hung up. Calls that are under way go on, or are hung up with `hangup`: the answer comes within a second and says how many
/// were by then; the others follow by themselves.
#[utoipa::path(post, path = "/v1/runs/{id}/force-cancel", tag = "runs", security(("key" = ["write"])),
    params(("id" = String, Path, description = "Our id: `run_…`")),
    request_body(content = Option<ForceText>, description = "May be left out: nothing is hung up then"),
    responses(
        (status = 200, description = "What that came to", body = ForcedView),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such run, or it is another tenant's"),
        (status = 409, description = "`run-state`: it has ended"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(in crate::http) async fn force_cancel(
    post: Post<Write>,
    id: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    require_plain("run", &id)?;
    post.once_json_or_nothing(&gateway, async |posted, text: ForceText| {
        transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            let actor = actor(&posted.key);
            let forced = match gateway.desk.force_cancel(&by(&posted.key, &actor), &id, text.hangup).await {
                Ok(forced) => forced,
                Err(error) => return Err(refusal(&gateway, &posted.key, error, ProblemKind::RunState).await),
            };
            let ForceCancelled { run, jobs_cancelled, live_calls } = forced;
            let (mut hung_up, mut hangups_pending) = (0, 0);
            if text.hangup {
                let counted = gateway.dialing.hang_up_of_run(&posted.key.tenant, &id, HANG_UP_WITHIN).await;
                let counted = counted.map_err(|error| plain_refusal(error, ProblemKind::RunState))?;
                (hung_up, hangups_pending) = (counted.hung_up, counted.pending);
            }
            let run = run.try_into()?;
            let shown = ForcedView { jobs_cancelled, live_calls, hung_up, hangups_pending, run };
            Ok::<_, Problem>(answer(StatusCode::OK, &shown))
        })
        .await
    })
    .await
}

async fn done(post: Post<Write>, id: &str, gateway: &Gateway, deed: Deed) -> Result<HttpResponse, Problem> {
    require_plain("run", id)?;
    post.once_json_or_nothing(gateway, async |posted, Plain {}| {
        transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            let actor = actor(&posted.key);
            match deed.carry_out(gateway, &by(&posted.key, &actor), id).await {
                Ok(shown) => Ok(answer(StatusCode::OK, &RunView::try_from(shown)?)),
                Err(error) => Err(refusal(gateway, &posted.key, error, ProblemKind::RunState).await),
            }
        })
        .await
    })
    .await
}

impl Deed {
    async fn carry_out(self, gateway: &Gateway, by: &By<'_>, id: &str) -> Result<Shown, RunError> {
        let shown = match self {
            Self::Start => gateway.desk.start(by, id).await,
            Self::Pause => gateway.desk.pause(by, id).await,
            Self::Resume => gateway.desk.resume(by, id).await,
            Self::Cancel => gateway.desk.cancel(by, id).await,
        };
        // The dialer of this process need not wait for its next look.
        gateway.dialing.ring();
        shown
    }
}

/// Whoever forces the end is answered within a second; what is not hung up by then is still being hung up.
const HANG_UP_WITHIN: Duration = Duration::from_millis(800);
