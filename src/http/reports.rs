//! Reports of a day or a week, beside the one before.

use super::{Can, Gateway, Problem, ProblemKind, Read, body::Query, filter::Word};
use crate::{
    directory::Key,
    report::{self, Every, Period, Report},
};
use actix_web::{HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which day.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Day {
    /// The day in UTC. Left out: yesterday. That of today is not over.
    #[param(value_type = Option<String>, format = Date, example = "2026-11-19")]
    date: Option<Word>,
}

/// Which week.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Week {
    /// The week of ISO 8601, from Monday to Sunday in UTC. Left out: last week. This week's is not over.
    #[param(value_type = Option<String>, example = "2026-W47")]
    week: Option<Word>,
}

/// What the calls of a day came to, beside the day before.
///
/// `live`, `stuck` and `live_with_duration` are the calls of the day that live now.
#[utoipa::path(get, path = "/v1/reports/daily", tag = "reports", security(("key" = ["read"])), params(Day), responses(
    (status = 200, description = "The report", body = Report),
    (status = 400, description = "`bad-filter`: it is no date, or one that has not begun"),
))]
pub(super) async fn daily(
    key: Can<Read>,
    Query(Day { date }): Query<Day>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    answer(&gateway, &key, Every::Daily, ("date", date)).await
}

/// What the calls of a week came to, beside the week before.
///
/// `live`, `stuck` and `live_with_duration` are the calls of the week that live now.
#[utoipa::path(get, path = "/v1/reports/weekly", tag = "reports", security(("key" = ["read"])), params(Week), responses(
    (status = 200, description = "The report", body = Report),
    (status = 400, description = "`bad-filter`: it is no week, or one that has not begun"),
))]
pub(super) async fn weekly(
    key: Can<Read>,
    Query(Week { week }): Query<Week>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    answer(&gateway, &key, Every::Weekly, ("week", week)).await
}

async fn answer(
    gateway: &Gateway,
    key: &Key,
    every: Every,
    (field, name): (&str, Option<Word>),
) -> Result<HttpResponse, Problem> {
    let now_ms = gateway.clock.now_ms();
    let period = Period::read(every, name.as_ref().map(|Word(name)| name.as_str()), now_ms);
    let period = period.map_err(|why| Problem::new(ProblemKind::BadFilter, format!("{field}: {why}")))?;
    let limits = gateway.config.sweep.limits();
    let report = report::report(&gateway.db, &key.tenant, &period, &limits, now_ms).await?;
    Ok(HttpResponse::Ok().json(report))
}
