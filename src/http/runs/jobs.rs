//! The jobs of a run.

use super::{refusal, require_plain, view::JobView};
use crate::{
    directory::Key,
    domain::{run::JobState, state::Outcome},
    http::{
        Can, Gateway, Problem, ProblemKind, Read,
        body::Query,
        filter::Word,
        page::{Limit, List, Page},
    },
    runs::RunError,
    store::{
        jobs::{self, JobFilter, JobRow},
        runs,
    },
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListJobs {
    /// How they stand.
    #[param(inline)]
    state: Option<JobState>,
    /// How their last call that ended did.
    #[param(inline)]
    outcome: Option<Outcome>,
    /// Your own id of the lead.
    #[param(value_type = Option<String>)]
    lead_id: Option<Word>,
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The jobs of a run, in the order of the list.
#[utoipa::path(get, path = "/v1/runs/{id}/jobs", tag = "runs", security(("key" = ["read"])),
    params(("id" = String, Path, description = "Our id: `run_…`"), ListJobs),
    responses(
        (status = 200, description = "A page of jobs", body = Page<JobView>),
        (status = 400, description = "`bad-filter` or `bad-cursor`"),
        (status = 404, description = "`not-found`: there is no such run, or it is another tenant's"),
    ))]
pub(in crate::http) async fn list_jobs(
    key: Can<Read>,
    id: Path<String>,
    request: HttpRequest,
    Query(query): Query<ListJobs>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    require_run(&gateway, &key, &id).await?;
    let list = List::filtered(&format!("jobs {}", id.as_str()), request.query_string());
    let after: i64 = list.position(query.cursor.as_deref())?.unwrap_or(0);
    let filter = JobFilter {
        state: query.state.map(|state| state.as_str().to_owned()),
        outcome: query.outcome.map(|outcome| outcome.as_str().to_owned()),
        lead_id: query.lead_id.map(|word| word.0),
    };
    let rows = jobs::list(&gateway.db, &key.tenant, &id, &filter, after, query.limit.fetch()).await?;
    let page = list.page(query.limit, rows, |row: &JobRow| row.place, JobView::try_from)?;
    Ok(HttpResponse::Ok().json(page))
}

/// A job.
#[utoipa::path(get, path = "/v1/runs/{id}/jobs/{job}", tag = "runs", security(("key" = ["read"])),
    params(("id" = String, Path, description = "Our id of the run"), ("job" = String, Path, description = "Our id of the job: `job_…`")),
    responses(
        (status = 200, description = "The job", body = JobView),
        (status = 404, description = "`not-found`: there is no such run or job, or it is another tenant's"),
    ))]
pub(in crate::http) async fn load_job(
    key: Can<Read>,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (run_id, job_id) = path.into_inner();
    require_run(&gateway, &key, &run_id).await?;
    require_plain("job", &job_id)?;
    let found = jobs::find(&gateway.db, &key.tenant, &job_id).await?;
    match found.filter(|job| job.run_id == run_id) {
        Some(job) => Ok(HttpResponse::Ok().json(JobView::try_from(job)?)),
        None => Err(missing(&gateway, &key, "job", &job_id).await),
    }
}

/// Without its counts: nobody asked for them.
async fn require_run(gateway: &Gateway, key: &Key, id: &str) -> Result<(), Problem> {
    require_plain("run", id)?;
    match runs::find(&gateway.db, &key.tenant, id).await? {
        Some(_) => Ok(()),
        None => Err(missing(gateway, key, "run", id).await),
    }
}

async fn missing(gateway: &Gateway, key: &Key, what: &'static str, id: &str) -> Problem {
    refusal(gateway, key, RunError::NotFound { what, id: id.to_owned() }, ProblemKind::RunState).await
}
