//! What belongs to one call: its timeline, its deliveries, its legs.

use super::{
    load_row, show,
    view::{CallView, DeliveryView, TimelineView},
};
use crate::{
    http::{
        Can, Gateway, Problem, Read,
        body::Query,
        page::{Limit, List, Page},
    },
    store::{
        calls::{self, CallRow},
        deliveries as stored, journal,
    },
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which part of one call.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Part {
    /// The provider account, needed only where two share the provider's id.
    account: Option<String>,
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What every signal did to a call, in the order it was written.
#[utoipa::path(get, path = "/v1/calls/{id}/timeline", tag = "calls", security(("key" = ["read"])),
    params(("id" = String, Path, description = "Our id or the provider's"), Part),
    responses(
        (status = 200, description = "A page of the timeline", body = Page<TimelineView>),
        (status = 400, description = "`bad-filter` or `bad-cursor`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous-call`"),
    ))]
pub(in crate::http) async fn timeline(
    key: Can<Read>,
    id: Path<String>,
    Query(part): Query<Part>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let call = load_row(&gateway, &key, &id, part.account.as_deref()).await?;
    let list = List::of("timeline", &call.id);
    let after: i64 = list.position(part.cursor.as_deref())?.unwrap_or(0);
    let rows =
        journal::list_of_subject(&gateway.db, &key.tenant, journal::CALL, &call.id, after, part.limit.fetch()).await?;
    let page = list.page(part.limit, rows, |entry| entry.seq, |entry| TimelineView::new(&entry))?;
    Ok(HttpResponse::Ok().json(page))
}

/// The deliveries that spoke of a call, byte for byte, oldest first.
#[utoipa::path(get, path = "/v1/calls/{id}/deliveries", tag = "calls", security(("key" = ["read"])),
    params(("id" = String, Path, description = "Our id or the provider's"), Part),
    responses(
        (status = 200, description = "A page of deliveries", body = Page<DeliveryView>),
        (status = 400, description = "`bad-filter` or `bad-cursor`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous-call`"),
    ))]
pub(in crate::http) async fn deliveries(
    key: Can<Read>,
    id: Path<String>,
    Query(part): Query<Part>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let call = load_row(&gateway, &key, &id, part.account.as_deref()).await?;
    let list = List::of("deliveries", &call.id);
    let (after_ms, after_id): (i64, String) =
        list.position(part.cursor.as_deref())?.unwrap_or((i64::MIN, String::new()));
    let after = (after_ms, after_id.as_str());
    let (account, provider_id) = (&call.account, &call.provider_id);
    let rows = stored::list_of_call(&gateway.db, &key.tenant, account, provider_id, after, part.limit.fetch()).await?;
    let page =
        list.page(part.limit, rows, |row| (row.received_ms, row.id.clone()), |row| Ok(DeliveryView::from(row)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// The conversation of a call: the root first, then the legs that were dialed on its behalf. The same for each of them.
#[utoipa::path(get, path = "/v1/calls/{id}/legs", tag = "calls", security(("key" = ["read"])),
    params(("id" = String, Path, description = "Our id or the provider's, of the root or of a leg"), Part),
    responses(
        (status = 200, description = "A page of calls: the root, if it is known, and its legs by provider id", body = Page<CallView>),
        (status = 400, description = "`bad-filter` or `bad-cursor`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous-call`"),
    ))]
pub(in crate::http) async fn legs(
    key: Can<Read>,
    id: Path<String>,
    Query(part): Query<Part>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let call = load_row(&gateway, &key, &id, part.account.as_deref()).await?;
    let list = List::of("legs", &call.id);
    let after: Option<String> = list.position(part.cursor.as_deref())?;
    let (account, root) = (call.account.clone(), call.parent_id.clone().unwrap_or_else(|| call.provider_id.clone()));
    let mut rows = match (&after, &call.parent_id) {
        (Some(_), _) => Vec::new(),
        (None, None) => vec![call],
        // A leg may be heard of before the one that dialed it.
        (None, Some(_)) => calls::find(&gateway.db, &key.tenant, &root, Some(&account)).await?,
    };
    let after = after.unwrap_or_default();
    rows.extend(calls::list_legs(&gateway.db, &key.tenant, &account, &root, &after, part.limit.fetch()).await?);
    // The root stands before every leg, whatever its id.
    let position = |row: &CallRow| if row.provider_id == root { String::new() } else { row.provider_id.clone() };
    let page = list.page(part.limit, rows, position, |row| show(&gateway, row))?;
    Ok(HttpResponse::Ok().json(page))
}
