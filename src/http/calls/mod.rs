//! Calls: listed, looked up with all that belongs to them, announced and imported.

mod announce;
mod check;
mod end;
mod explain;
mod import;
mod list;
mod parts;
mod view;

pub(super) use announce::{__path_announce, announce};
pub(super) use check::{__path_check, check};
pub(super) use end::{__path_end, end};
pub(super) use explain::{__path_explain, explain};
pub(super) use import::{__path_import, import};
pub(super) use list::{__path_list, list};
pub(super) use parts::{__path_deliveries, __path_legs, __path_timeline, deliveries, legs, timeline};

use super::{Can, Gateway, Problem, ProblemKind, Read, body::Query};
use crate::{
    directory::{Account, Key},
    fields::Wrong,
    store::calls::{self, CallRow},
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
pub(super) use view::CallView;

/// Which of two calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The provider account, needed only where two share the provider's id.
    account: Option<String>,
}

/// A call.
#[utoipa::path(get, path = "/v1/calls/{id}", tag = "calls", security(("key" = ["read"])),
    params(("id" = String, Path, description = "Our id or the provider's"), Which),
    responses(
        (status = 200, description = "The call", body = CallView),
        (status = 400, description = "`bad-filter`"),
        (status = 404, description = "`not-found`: there is no such call, or it is another tenant's"),
        (status = 409, description = "`ambiguous-call`: two accounts share this provider id; say `?account=`"),
    ))]
pub(super) async fn load(
    key: Can<Read>,
    id: Path<String>,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let row = load_row(&gateway, &key, &id, which.account.as_deref()).await?;
    Ok(HttpResponse::Ok().json(show(&gateway, row)?))
}

/// The call with this id of ours or the provider's.
async fn load_row(gateway: &Gateway, key: &Key, id: &str, account: Option<&str>) -> Result<CallRow, Problem> {
    if [id, account.unwrap_or_default()].iter().any(|text| text.chars().any(char::is_control)) {
        return Err(Problem::not_found("call", id));
    }
    let mut rows = calls::find(&gateway.db, &key.tenant, id, account).await?.into_iter();
    match (rows.next(), rows.next()) {
        (Some(row), None) => Ok(row),
        (Some(row), Some(other)) => {
            let detail = format!("{:?} and {:?} have a call {id:?}; say ?account=", row.account, other.account);
            Err(Problem::new(ProblemKind::AmbiguousCall, detail))
        }
        (None, _) => {
            if calls::exists_elsewhere(&gateway.db, &key.tenant, id).await? {
                gateway.metrics.tenant_crossing_refused();
                tracing::warn!(
                    call = id,
                    tenant = key.tenant,
                    key = key.id,
                    "refused a look at a call of another tenant"
                );
            }
            Err(Problem::not_found("call", id))
        }
    }
}

/// The same call as it is now.
async fn reload(gateway: &Gateway, row: &CallRow) -> Result<CallRow, Problem> {
    let found = calls::find(&gateway.db, &row.tenant, &row.provider_id, Some(&row.account)).await?.pop();
    found.ok_or_else(|| Problem::not_found("call", &row.id))
}

pub(super) fn show(gateway: &Gateway, row: CallRow) -> Result<CallView, Problem> {
    CallView::new(row, &gateway.config.sweep.limits(), gateway.clock.now_ms())
}

/// The accounts of a tenant, to find the one that a request names or means by leaving it out.
struct Accounts(Vec<Arc<Account>>);

impl Accounts {
    async fn of(gateway: &Gateway, key: &Key) -> Self {
        Self(gateway.directory.accounts_of(&key.tenant).await)
    }

    fn find(&self, named: Option<&str>) -> Result<&Account, Wrong> {
        let ids = || self.0.iter().take(ACCOUNTS_SHOWN_MAX).map(|a| a.id.as_str()).collect::<Vec<_>>().join(", ");
        match (named, self.0.as_slice()) {
            (Some(id), accounts) => accounts
                .iter()
                .find(|a| a.id == id)
                .map(AsRef::as_ref)
                .ok_or_else(|| Wrong::new("account", format!("is none of yours; those are: {}", ids()))),
            (None, [only]) => Ok(only),
            (None, []) => Err(Wrong::new("account", "is missing, and no provider account is known; add one first")),
            (None, _) => Err(Wrong::new("account", format!("is missing, and there are several: {}", ids()))),
        }
    }
}

/// The provider of an account as the door of ingest knows it.
fn provider(account: &Account) -> &'static str {
    if account.provider == "twilio" { "twilio" } else { "asterisk" }
}

const ACCOUNTS_SHOWN_MAX: usize = 10;
