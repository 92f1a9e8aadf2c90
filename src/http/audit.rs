//! Who decided what, by which rule, on which evidence.

use super::{
    Can, Gateway, Problem, Read,
    body::Query,
    filter::Word,
    page::{Limit, List, Page},
    time::Moment,
};
use crate::store::audit::{self, AuditFilter, AuditRow};
use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A decision.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(super) struct AuditView {
    /// Its id.
    #[schema(example = "audit_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    id: String,
    /// When it was made.
    at: Moment,
    /// Who made it: `sweeper`, `key:<id of the API key>`, `cli`.
    #[schema(example = "sweeper")]
    actor: String,
    /// What was done, such as `call.given_up` or `key.revoked`.
    #[schema(example = "call.given_up")]
    action: String,
    /// The call, account, lead or key.
    #[schema(example = "call_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    subject: String,
    /// More about it. For a call: the rule and the evidence as sentences, and what it was and became.
    #[schema(value_type = Object)]
    detail: Value,
}

impl TryFrom<AuditRow> for AuditView {
    type Error = Problem;

    fn try_from(row: AuditRow) -> Result<Self, Problem> {
        let detail = serde_json::from_str(&row.detail)
            .map_err(|e| Problem::internal(&format!("the detail of {} is corrupt: {e}", row.id)))?;
        let at = Moment(row.at_ms);
        Ok(Self { id: row.id, at, actor: row.actor, action: row.action, subject: row.subject, detail })
    }
}

/// Which decisions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The id of the call, account, lead or key they are about.
    #[param(value_type = Option<String>)]
    subject: Option<Word>,
    /// What was done, such as `call.given_up`.
    #[param(value_type = Option<String>)]
    action: Option<Word>,
    /// Made at or after, RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Moment>,
    /// Made before, RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Moment>,
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Decisions, newest first: calls that were ended without the provider's word, and why.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", security(("key" = ["read"])), params(Which), responses(
    (status = 200, description = "A page of decisions", body = Page<AuditView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(super) async fn list(
    key: Can<Read>,
    request: HttpRequest,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::filtered("audit", request.query_string());
    let before: Option<String> = list.position(which.cursor.as_deref())?;
    let filter = AuditFilter {
        subject: which.subject.map(|word| word.0),
        action: which.action.map(|word| word.0),
        since_ms: which.since.map(|moment| moment.0),
        until_ms: which.until.map(|moment| moment.0),
    };
    let rows = audit::list(&gateway.db, &key.tenant, &filter, before.as_deref(), which.limit.fetch()).await?;
    let page = list.page(which.limit, rows, |row| row.id.clone(), AuditView::try_from)?;
    Ok(HttpResponse::Ok().json(page))
}
