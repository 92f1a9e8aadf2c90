//! Whether the callbacks of an account arrive.

use super::{Admin, Can, Gateway, Problem, ProblemKind, body::Query};
use crate::{
    ami,
    directory::{Account, Key, Unavailable},
    health::{AccountHealth, Window, report},
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// How far back.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// A duration from `1h` to `30d`.
    #[serde(default)]
    #[param(value_type = Option<String>, default = "24h", example = "7d")]
    window: Window,
}

/// Whether the callbacks of an account arrive, and what to change if they do not.
///
/// The figures are counted a little more than a minute after the fact. A leg counts in the hour in which it ended first,
/// by what had been said a minute later; a status callback that comes after that moves it to `called_back`. Of one call
/// the first 20 repetitions are counted. `received` counts deliveries that left a step in a call's timeline; those that say
/// nothing of a call's state are not in it. `refused` is what is in quarantine now.
#[utoipa::path(get, path = "/v1/accounts/{id}/health", tag = "accounts", security(("key" = ["admin"])),
    params(("id" = String, Path, description = "The provider account: a Twilio AccountSid"), Asked),
    responses(
        (status = 200, description = "Figures and findings", body = AccountHealth),
        (status = 400, description = "`bad-filter`"),
        (status = 404, description = "`not-found`: there is no such account, or it is another tenant's, or it is a PBX, which has no callbacks"),
    ))]
pub(super) async fn load(
    key: Can<Admin>,
    id: Path<String>,
    Query(asked): Query<Asked>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let account = account_of(&gateway, &key, &id).await?;
    if account.provider == ami::PROVIDER {
        // Figures of callbacks would say that all is well.
        let detail = format!("{0} is a PBX: how it goes with it is the connection of GET /v1/accounts/{0}", account.id);
        return Err(Problem::new(ProblemKind::NotFound, detail));
    }
    let of = (account.tenant.as_str(), account.id.as_str());
    let public_url = gateway.config.public_url.as_ref();
    let report = report(&gateway.db, of, &asked.window, gateway.clock.now_ms(), public_url).await?;
    Ok(HttpResponse::Ok().json(report))
}

/// The account with this id, if it is of the key's tenant.
pub(super) async fn account_of(gateway: &Gateway, key: &Key, id: &str) -> Result<Arc<Account>, Problem> {
    let found = gateway.directory.account(id).await.map_err(|Unavailable| {
        Problem::new(ProblemKind::Unavailable, "the account cannot be looked up: the database cannot be reached")
    })?;
    match found {
        Some(account) if account.tenant == key.tenant => Ok(account),
        Some(_) => {
            gateway.metrics.tenant_crossing_refused();
            tracing::warn!(
                account = id,
                tenant = key.tenant,
                key = key.id,
                "refused a look at another tenant's account"
            );
            Err(Problem::not_found("account", id))
        }
        None => Err(Problem::not_found("account", id)),
    }
}
