//! Outbound runs: listed, looked up, made, steered, and dialed by the user's own dialer.

mod control;
mod create;
mod jobs;
mod settings;
mod view;
mod worker;

pub(super) use control::{
    __path_cancel, __path_force_cancel, __path_pause, __path_resume, __path_start, cancel, force_cancel, pause, resume,
    start,
};
pub(super) use create::{__path_add_jobs, __path_create, add_jobs, create};
pub(super) use jobs::{__path_list_jobs, __path_load_job, list_jobs, load_job};
pub(super) use worker::{__path_claim, __path_heartbeat, __path_report, claim, heartbeat, report};

use super::{
    Can, Gateway, Problem, ProblemKind, Read,
    body::Query,
    page::{Limit, List, Page},
};
use crate::{
    directory::Key,
    domain::run::{RunState, Worker},
    runs::{Active, By, RunError, Shown},
    store::{
        jobs as job_rows,
        runs::{self, RunFilter},
    },
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use serde::Deserialize;
use utoipa::IntoParams;
use view::{ActiveView, RunView};

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListRuns {
    /// How they stand.
    #[param(inline)]
    state: Option<RunState>,
    /// Who dials them.
    #[param(inline)]
    worker: Option<Worker>,
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Runs, newest first.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", security(("key" = ["read"])), params(ListRuns), responses(
    (status = 200, description = "A page of runs", body = Page<RunView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(super) async fn list(
    key: Can<Read>,
    request: HttpRequest,
    Query(query): Query<ListRuns>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::filtered("runs", request.query_string());
    let before = list.position(query.cursor.as_deref())?;
    let (before_ms, before_id): (i64, String) = before.unwrap_or((i64::MAX, String::new()));
    let word = |word: &str| word.to_owned();
    let filter =
        RunFilter { state: query.state.map(|s| word(s.as_str())), worker: query.worker.map(|w| word(w.as_str())) };
    let before = (before_ms, before_id.as_str());
    let shown = gateway.desk.list(&key.tenant, &filter, before, query.limit.fetch()).await;
    let shown = shown.map_err(|error| plain_refusal(error, ProblemKind::RunState))?;
    let position = |shown: &Shown| (shown.row.created_ms, shown.row.id.clone());
    Ok(HttpResponse::Ok().json(list.page(query.limit, shown, position, RunView::try_from)?))
}

/// The newest run that is running: not cancelled, not ended, and not without progress for so long that it has failed. 404: none
/// is. The reaper ends dead runs by itself; asking changes nothing.
#[utoipa::path(get, path = "/v1/runs/active", tag = "runs", security(("key" = ["read"])), responses(
    (status = 200, description = "The run, whether it is stale, and which others run too", body = ActiveView),
    (status = 404, description = "`not-found`: no run is active"),
))]
pub(super) async fn active(key: Can<Read>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let found = gateway.desk.active(&key.tenant).await;
    let found = found.map_err(|error| plain_refusal(error, ProblemKind::RunState))?;
    let none = || Problem::new(ProblemKind::NotFound, "no run is active; GET /v1/runs shows those there are");
    let Active { run, also_active } = found.ok_or_else(none)?;
    Ok(HttpResponse::Ok().json(ActiveView { run: run.try_into()?, also_active }))
}

/// A run.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", security(("key" = ["read"])),
    params(("id" = String, Path, description = "Our id: `run_…`")),
    responses(
        (status = 200, description = "The run", body = RunView),
        (status = 404, description = "`not-found`: there is no such run, or it is another tenant's"),
    ))]
pub(super) async fn load(key: Can<Read>, id: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    require_plain("run", &id)?;
    let shown = gateway.desk.show(&key.tenant, &id).await;
    let shown = match shown {
        Ok(shown) => shown,
        Err(error) => return Err(refusal(&gateway, &key, error, ProblemKind::RunState).await),
    };
    Ok(HttpResponse::Ok().json(RunView::try_from(shown)?))
}

/// Who does something, for the audit.
fn actor(key: &Key) -> String {
    format!("key:{}", key.id)
}

/// The same, with the tenant.
fn by<'a>(key: &'a Key, actor: &'a str) -> By<'a> {
    By { tenant: &key.tenant, actor }
}

/// Not every database takes a NUL, and no id of ours holds a control character.
fn require_plain(what: &str, id: &str) -> Result<(), Problem> {
    if id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(Problem::not_found(what, id.get(..id.floor_char_boundary(ID_BYTES_MAX)).unwrap_or_default()));
    }
    Ok(())
}

/// What a refusal of the desk is answered. `state`: whose state is meant where it stands in the way. Whoever asked for
/// another tenant's run or job is counted, and told as if there were none.
async fn refusal(gateway: &Gateway, key: &Key, error: RunError, state: ProblemKind) -> Problem {
    let RunError::NotFound { what, id } = &error else { return plain_refusal(error, state) };
    let owner = match *what {
        "run" => runs::owner(&gateway.db, id).await,
        _ => job_rows::owner(&gateway.db, id).await,
    };
    match owner {
        Ok(owner) if owner.as_ref().is_some_and(|owner| *owner != key.tenant) => {
            gateway.metrics.tenant_crossing_refused();
            tracing::warn!(what, id, tenant = key.tenant, key = key.id, "refused an object of another tenant");
        }
        Ok(_) => {}
        // The refusal stands: it is only not known whether it is to be counted.
        Err(error) => tracing::warn!(%error, what, id, "could not look whose object was asked for"),
    }
    Problem::not_found(what, id)
}

/// The same, where nothing is asked for by its id.
fn plain_refusal(error: RunError, state: ProblemKind) -> Problem {
    let told = format!("failed to {error}");
    match error {
        RunError::Store(error) => error.into(),
        RunError::NotFound { what, id } => Problem::not_found(what, &id),
        RunError::Fields(wrongs) => wrongs.into(),
        RunError::TooManyJobs => Problem::new(ProblemKind::TooLarge, told),
        RunError::LeaseHeld { .. } => Problem::new(ProblemKind::LeaseHeld, told),
        RunError::LeaseLost => Problem::new(ProblemKind::LeaseLost, told),
        RunError::State(_) => Problem::new(state, told),
        RunError::Away => Problem::new(ProblemKind::Unavailable, told),
    }
}

/// Longer ones are none of ours.
const ID_BYTES_MAX: usize = 100;
