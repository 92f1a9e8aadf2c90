//! What the calls of a time came to.

use super::{Can, Gateway, Problem, ProblemKind, Read, body::Query, time::Moment};
use crate::report::{self, Figures};
use actix_web::{HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Created at or after, RFC 3339. Left out: a day before `until`. At most 31 days before it.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Moment>,
    /// Created before, RFC 3339. Left out: now.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Moment>,
}

/// What the calls of a time came to, and what lives now: `live`, `stuck` and `live_with_duration` are of this moment.
///
/// It is added up when it is asked for, in a time that grows with the number of calls in the span.
#[utoipa::path(get, path = "/v1/stats", tag = "reports", security(("key" = ["read"])), params(Asked), responses(
    (status = 200, description = "The figures", body = Figures),
    (status = 400, description = "`bad-filter`: a time cannot be read, the span is empty, in the future, or longer than 31 days"),
))]
pub(super) async fn load(
    key: Can<Read>,
    Query(asked): Query<Asked>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let now_ms = gateway.clock.now_ms();
    let [since, until] = [asked.since, asked.until].map(|moment| moment.map(|Moment(at)| at));
    let span_ms = report::span(since, until, now_ms).map_err(|why| Problem::new(ProblemKind::BadFilter, why))?;
    let limits = gateway.config.sweep.limits();
    let figures = report::stats(&gateway.db, &key.tenant, span_ms, &limits, now_ms).await?;
    Ok(HttpResponse::Ok().json(figures))
}
