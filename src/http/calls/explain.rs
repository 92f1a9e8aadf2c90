//! The story of one call.

use super::{Which, load_row, show, view::CallView};
use crate::{
    explain::story::{Story, Teller},
    http::{Can, Gateway, Problem, Read, body::Query, sweeps::terms},
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use serde::Serialize;
use utoipa::ToSchema;

/// A call with its story.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExplainedCall)]
pub(in crate::http) struct ExplainedView {
    /// The call.
    call: CallView,
    #[serde(flatten)]
    story: Story,
}

/// The whole story of a call in sentences: what was heard and done, what decided the ending and why other endings lost, which
/// callbacks were lost, what it means for the lead and why, what is owed, and what comes next.
///
/// It is read from what is stored; nobody is asked. Sentences mask numbers; the call shows them.
#[utoipa::path(get, path = "/v1/calls/{id}/explain", tag = "calls", security(("key" = ["read"])),
    params(("id" = String, Path, description = "Our id or the provider's"), Which),
    responses(
        (status = 200, description = "The call and its story", body = ExplainedView),
        (status = 400, description = "`bad-filter`"),
        (status = 404, description = "`not-found`"),
        (status = 409, description = "`ambiguous-call`"),
    ))]
pub(in crate::http) async fn explain(
    key: Can<Read>,
    id: Path<String>,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let row = load_row(&gateway, &key, &id, which.account.as_deref()).await?;
    let contact = gateway.config.contact.policy();
    let story = Teller { db: &gateway.db, terms: terms(&gateway), contact }.tell(&row).await?;
    Ok(HttpResponse::Ok().json(ExplainedView { call: show(&gateway, row)?, story }))
}
