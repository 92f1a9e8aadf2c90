//! The list of calls and its filters.

use super::{show, view::CallView};
use crate::{
    domain::{deadline::Limits, state::Status, time::Millis},
    fields,
    http::{
        Can, Gateway, Problem, Read,
        body::Query,
        filter::{Number, Word},
        page::{Limit, List, Page},
        time::Moment,
    },
    store::calls::{self, CallFilter},
};
use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// Whether calls are stuck.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum StuckFilter {
    /// Stuck, whether warn or critical.
    True,
    /// Not stuck: over, or with a recent sign of life.
    False,
    /// Stuck, not yet critical.
    Warn,
    /// Stuck and critical.
    Critical,
}

/// Which calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListCalls {
    /// How far they have come.
    #[param(inline)]
    status: Option<Status>,
    /// Whether they live.
    live: Option<bool>,
    /// Whether they live and have shown no sign of life for too long.
    #[param(inline)]
    stuck: Option<StuckFilter>,
    /// Your own id of the lead.
    #[param(value_type = Option<String>)]
    lead_id: Option<Word>,
    /// The user they belong to.
    #[param(value_type = Option<String>)]
    user_id: Option<Word>,
    /// The extension they belong to.
    #[param(value_type = Option<String>)]
    extension: Option<Word>,
    /// The run that placed them.
    #[param(value_type = Option<String>)]
    run_id: Option<Word>,
    /// The provider: `twilio`.
    #[param(value_type = Option<String>)]
    provider: Option<Word>,
    /// The provider account.
    #[param(value_type = Option<String>)]
    account: Option<Word>,
    /// The caller: a number, `client:…` or `sip:…`.
    #[param(value_type = Option<String>)]
    from: Option<Number>,
    /// The called party: a number, `client:…` or `sip:…`.
    #[param(value_type = Option<String>)]
    to: Option<Number>,
    /// Created at or after, RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Moment>,
    /// Created before, RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Moment>,
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Calls, newest first.
#[utoipa::path(get, path = "/v1/calls", tag = "calls", security(("key" = ["read"])), params(ListCalls), responses(
    (status = 200, description = "A page of calls", body = Page<CallView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(in crate::http) async fn list(
    key: Can<Read>,
    request: HttpRequest,
    Query(query): Query<ListCalls>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::filtered("calls", request.query_string());
    let before: Option<String> = list.position(query.cursor.as_deref())?;
    let limit = query.limit;
    let region = gateway.config.phone_region.as_deref();
    let filter = query.filter(&gateway.config.sweep.limits(), region, gateway.clock.now_ms());
    let rows = calls::list(&gateway.db, &key.tenant, &filter, before.as_deref(), limit.fetch()).await?;
    let page = list.page(limit, rows, |row| row.id.clone(), |row| show(&gateway, row))?;
    Ok(HttpResponse::Ok().json(page))
}

impl ListCalls {
    fn filter(self, limits: &Limits, region: Option<&str>, now_ms: Millis) -> CallFilter {
        let warn = (now_ms - limits.stuck_warn_ms, now_ms - limits.stuck_ringing_warn_ms);
        let critical = (now_ms - limits.stuck_critical_ms, now_ms - limits.stuck_ringing_critical_ms);
        let (silent_since_ms, sign_after_ms) = match self.stuck {
            None => (None, None),
            Some(StuckFilter::True) => (Some(warn), None),
            Some(StuckFilter::False) => (None, Some(warn)),
            Some(StuckFilter::Warn) => (Some(warn), Some(critical)),
            Some(StuckFilter::Critical) => (Some(critical), None),
        };
        // As announcements and imports write it; what is no number is compared as it is.
        let address = |number: Number| fields::address("", &number.0, region).unwrap_or(number.0);
        CallFilter {
            status: self.status.map(|status| status.as_str().to_owned()),
            live: self.live,
            lead_id: self.lead_id.map(|word| word.0),
            user_id: self.user_id.map(|word| word.0),
            extension: self.extension.map(|word| word.0),
            run_id: self.run_id.map(|word| word.0),
            provider: self.provider.map(|word| word.0),
            account: self.account.map(|word| word.0),
            from: self.from.map(address),
            to: self.to.map(address),
            since_ms: self.since.map(|moment| moment.0),
            until_ms: self.until.map(|moment| moment.0),
            silent_since_ms,
            sign_after_ms,
        }
    }
}
