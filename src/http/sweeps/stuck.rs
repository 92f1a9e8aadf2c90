//! Live calls without a sign of life.

use super::threshold_ms;
use crate::{
    domain::time::Millis,
    explain::live::{Silent, Terms},
    http::{
        Can, Gateway, Problem, Read,
        body::Query,
        calls::{CallView, show},
        page::{Limit, List, Page},
        time::Moment,
    },
};
use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use utoipa::{IntoParams, ToSchema};

/// A live call without a sign of life.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StuckCall)]
pub(in crate::http) struct StuckView {
    #[serde(flatten)]
    call: CallView,
    /// Whole seconds without a sign of life.
    #[schema(example = 4_510)]
    silent_seconds: i64,
    /// When it is given up if nobody can say what became of it; null: not before it can be asked about again.
    give_up_at: Option<Moment>,
    /// What is known, what the provider was asked and answered last, when it is asked again, and when it would be given up.
    why: String,
}

/// Which calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListStuck {
    /// Minutes without a sign of life, whole. Left out: those that count as stuck by the settings
    /// (`sweep.stuck_after_warn`, for calls that are being dialed or ring `sweep.stuck_after_ringing_warn`).
    #[param(value_type = Option<u16>, minimum = 0, maximum = 10_080)]
    threshold: Option<Threshold>,
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Threshold(Millis);

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let minutes = text.parse().map_err(|_| format!("{text:?} is not a whole number of minutes from 0 to 10080"));
        minutes.and_then(threshold_ms).map(Self).map_err(D::Error::custom)
    }
}

/// Live calls without a sign of life, in the order in which they became known: why each is, and what comes next.
#[utoipa::path(get, path = "/v1/stuck-calls", tag = "sweeps", operation_id = "list_stuck", security(("key" = ["read"])),
    params(ListStuck), responses(
        (status = 200, description = "A page of live calls", body = Page<StuckView>),
        (status = 400, description = "`bad-filter` or `bad-cursor`"),
    ))]
pub(in crate::http) async fn list(
    key: Can<Read>,
    request: HttpRequest,
    Query(query): Query<ListStuck>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::filtered("stuck-calls", request.query_string());
    let after: String = list.position(query.cursor.as_deref())?.unwrap_or_default();
    let threshold_ms = query.threshold.map(|threshold| threshold.0);
    let rows = terms(&gateway).list_silent(&gateway.db, &key.tenant, threshold_ms, &after, query.limit.fetch()).await?;
    let page = list.page(
        query.limit,
        rows,
        |silent| silent.row.id.clone(),
        |Silent { row, next }| {
            let (silent_seconds, give_up_at) = (next.silent_seconds, next.give_up_at_ms.map(Moment));
            Ok(StuckView { call: show(&gateway, row)?, silent_seconds, give_up_at, why: next.why })
        },
    )?;
    Ok(HttpResponse::Ok().json(page))
}

/// By which rules live calls are looked at now.
pub(in crate::http) fn terms(gateway: &Gateway) -> Terms {
    let sweep = &gateway.config.sweep;
    Terms { limits: sweep.limits(), sweeps: sweep.interval_ms.is_some(), now_ms: gateway.clock.now_ms() }
}
