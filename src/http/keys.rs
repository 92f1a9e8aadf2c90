//! API keys of a tenant, for those who may manage them.

use super::{
    Admin, Can, Gateway, Problem,
    body::Query,
    idempotency::{Post, answer},
    page::{Limit, List, Page},
    time::Moment,
};
use crate::{
    audit::Act,
    directory::{NewKey, Scope, issue_key},
    domain::time::{Millis, rfc3339},
    fields::{self, Wrong, Wrongs},
    store::keys::{self, KeyRow},
    transaction::{self, Done},
};
use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};

/// An API key.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(super) struct KeyView {
    /// Its id; public.
    #[schema(example = "key_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    id: String,
    /// What people call it.
    #[schema(example = "crm")]
    name: String,
    /// What it may do.
    #[schema(example = json!(["read", "write"]))]
    scopes: Vec<String>,
    /// When it was issued.
    created_at: Moment,
    /// From when on it is refused; null: never by itself.
    expires_at: Option<Moment>,
    /// When it was revoked.
    revoked_at: Option<Moment>,
}

impl From<KeyRow> for KeyView {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            scopes: row.scopes.split_whitespace().map(str::to_owned).collect(),
            created_at: Moment(row.created_ms),
            expires_at: row.expires_ms.map(Moment),
            revoked_at: row.revoked_ms.map(Moment),
        }
    }
}

/// A key as it is issued.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedKey)]
pub(super) struct IssuedView {
    /// The key as it is shown from now on.
    #[serde(flatten)]
    row: KeyView,
    /// Its text, for the header `Authorization: Bearer …`. Shown this once: null when the answer is given again.
    #[schema(example = "ohk_01KAGY3S2M8Q4V5W6X7Y8Z9ABC_…")]
    key: Option<String>,
}

/// A key to issue.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewKey)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyText {
    /// What people will call it, 1 to 100 bytes.
    #[schema(example = "crm", min_length = 1, max_length = 100)]
    name: String,
    /// What it may do: any of `read`, `write`, `ingest`, `admin`.
    #[schema(example = json!(["read", "write"]), min_items = 1)]
    scopes: Vec<Scope>,
    /// From when on it is refused, RFC 3339. Left out: never by itself.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The tenant's keys, oldest first, expired and revoked ones too.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", security(("key" = ["admin"])), params(Which), responses(
    (status = 200, description = "A page of keys", body = Page<KeyView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(super) async fn list(
    key: Can<Admin>,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::of("keys", "");
    let after: String = list.position(which.cursor.as_deref())?.unwrap_or_default();
    let rows = keys::list(&gateway.db, &key.tenant, &after, which.limit.fetch()).await?;
    let page = list.page(which.limit, rows, |row| row.id.clone(), |row| Ok(KeyView::from(row)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// Issues a key. It works at once on this node and within 60 seconds on all.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", security(("key" = ["admin"])), request_body = KeyText, responses(
    (status = 201, description = "The key, with its text", body = IssuedView),
    (status = 400, description = "`unreadable`"),
    (status = 413, description = "`too-large`"),
    (status = 415, description = "`unsupported-media-type`"),
    (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
))]
pub(super) async fn create(post: Post<Admin>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once_json(&gateway, async |posted, text: KeyText| {
        let now_ms = gateway.clock.now_ms();
        let new = text.read(&posted.key.tenant, now_ms)?;
        let issued = gateway.with_rng(|rng| issue_key(new, now_ms, rng));
        let answered = transaction::run_once(&gateway.db, posted.ticket.as_ref(), async |tx| {
            keys::insert(tx, &issued.row).await?;
            let row = KeyView::from(issued.row.clone());
            let shown = IssuedView { row: row.clone(), key: Some(issued.text.expose_secret().to_owned()) };
            let mut value = answer(StatusCode::CREATED, &shown);
            value.kept_body = Some(answer(StatusCode::CREATED, &IssuedView { row, key: None }).body);
            Ok(Done { value, journal: Vec::new() })
        });
        let answered = answered.await?;
        refresh(&gateway).await;
        let row = &issued.row;
        let detail = json!({ "name": row.name, "scopes": row.scopes, "expires_at": row.expires_ms.map(rfc3339) });
        gateway.audit(&posted.key, Act::KeyCreated, &row.id, detail).await;
        tracing::info!(key = issued.row.id, by = posted.key.id, tenant = posted.key.tenant, "issued an API key");
        Ok(answered)
    })
    .await
}

/// Revokes a key for good. It is refused at once on this node and within 60 seconds on all.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", security(("key" = ["admin"])),
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 204, description = "It is revoked"), (status = 404, description = "`not-found`")))]
pub(super) async fn revoke(key: Can<Admin>, id: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let plain = !id.chars().any(char::is_control);
    if !plain || keys::find(&gateway.db, &key.tenant, &id).await?.is_none() {
        if plain && keys::exists_elsewhere(&gateway.db, &key.tenant, &id).await? {
            gateway.metrics.tenant_crossing_refused();
            tracing::warn!(id = *id, tenant = key.tenant, key = key.id, "refused to revoke a key of another tenant");
        }
        return Err(Problem::not_found("key", &id));
    }
    let now_ms = gateway.clock.now_ms();
    transaction::run(&gateway.db, async |tx| {
        let value = keys::revoke(tx, &key.tenant, &id, now_ms).await?;
        Ok(Done { value, journal: Vec::new() })
    })
    .await?;
    refresh(&gateway).await;
    gateway.audit(&key, Act::KeyRevoked, &id, json!({})).await;
    tracing::info!(key = *id, by = key.id, tenant = key.tenant, "revoked an API key");
    Ok(HttpResponse::NoContent().finish())
}

/// A node that cannot read what it has just written finds it within the age of its snapshot.
async fn refresh(gateway: &Gateway) {
    if let Err(error) = gateway.directory.refresh().await {
        tracing::warn!("a change of the keys takes effect within 60 s: failed to {error}");
    }
}

impl KeyText {
    fn read(self, tenant: &str, now_ms: Millis) -> Result<NewKey, Vec<Wrong>> {
        let mut wrongs = Wrongs::default();
        let name = wrongs.take(fields::line("name", &self.name, 1..=NAME_BYTES_MAX));
        let scopes: BTreeSet<Scope> = self.scopes.into_iter().collect();
        let grantable: Vec<&str> = Scope::GRANTABLE.iter().map(|scope| scope.as_str()).collect();
        if scopes.is_empty() {
            wrongs.take::<()>(Err(Wrong::new("scopes", format!("is empty; allowed are: {}", grantable.join(", ")))));
        }
        if let Some(scope) = scopes.iter().find(|scope| !Scope::GRANTABLE.contains(scope)) {
            let message = format!("{:?} cannot be granted; allowed are: {}", scope.as_str(), grantable.join(", "));
            wrongs.take::<()>(Err(Wrong::new("scopes", message)));
        }
        let expires = self.expires_at.as_deref().map(|text| fields::moment("expires_at", text));
        let expires = wrongs.take(expires.transpose());
        if expires.flatten().is_some_and(|at| at <= now_ms) {
            wrongs.take::<()>(Err(Wrong::new("expires_at", "is not in the future")));
        }
        let made =
            name.zip(expires).map(|(name, expires_ms)| NewKey { tenant: tenant.to_owned(), name, scopes, expires_ms });
        wrongs.settle(made)
    }
}

const NAME_BYTES_MAX: usize = 100;
