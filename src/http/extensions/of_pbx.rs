//! The extensions of one PBX: whose they are, and what it says of their phones.

use crate::{
    ami,
    audit::Act,
    directory::Account,
    fields::{self, WORD_BYTES_MAX},
    http::{
        Admin, Can, Gateway, Problem,
        account_health::account_of,
        body::{Json, Query},
        page::{Limit, List, Page},
        time::Moment,
    },
    store::extensions::{self, PbxExtension},
    transaction::{self, Done},
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// An extension as its PBX knows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PbxExtension)]
pub(in crate::http) struct PbxExtensionView {
    /// The PBX.
    #[schema(example = "pbx1")]
    pub(super) account: String,
    /// Its number or name there.
    #[schema(example = "204")]
    extension: String,
    /// Whose it is, as you said; null: nobody's.
    pub(super) user_id: Option<String>,
    /// What the PBX says of its phone: `available`, `in-use`, `ringing`, `on-hold`, `unavailable` (not registered) or
    /// `unknown`; null: it has said nothing.
    #[schema(example = "available")]
    pub(super) device: Option<String>,
    /// Since when.
    pub(super) device_at: Option<Moment>,
}

/// Whose an extension is.
#[derive(Deserialize, ToSchema)]
#[schema(as = ExtensionUser)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct UserText {
    /// Your id of the user: calls on the extension carry it from now on.
    #[schema(min_length = 1, max_length = 200, example = "ann")]
    user_id: String,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Which {
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The extensions of a PBX that somebody owns or that it has spoken of, by name.
#[utoipa::path(get, path = "/v1/accounts/{id}/extensions", operation_id = "list_extensions", tag = "accounts",
    security(("key" = ["admin"])), params(("id" = String, Path, description = "The name of the PBX"), Which),
    responses(
        (status = 200, description = "A page of extensions", body = Page<PbxExtensionView>),
        (status = 400, description = "`bad-filter` or `bad-cursor`"),
        (status = 404, description = "`not-found`: there is no such PBX, or it is another tenant's"),
    ))]
pub(in crate::http) async fn list_of_pbx(
    key: Can<Admin>,
    id: Path<String>,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let pbx = pbx_of(&gateway, &key, &id).await?;
    let list = List::of("pbx-extensions", &id);
    let after: String = list.position(which.cursor.as_deref())?.unwrap_or_default();
    let of = (pbx.tenant.as_str(), pbx.id.as_str());
    let rows = extensions::list_of_pbx(&gateway.db, of, &after, which.limit.fetch()).await?;
    let page = list.page(which.limit, rows, |row| row.extension.clone(), |row| Ok(PbxExtensionView::from(row)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// Says whose an extension of a PBX is. Calls that begin from now on carry it.
#[utoipa::path(put, path = "/v1/accounts/{id}/extensions/{extension}", operation_id = "put_extension", tag = "accounts",
    security(("key" = ["admin"])), request_body = UserText,
    params(("id" = String, Path, description = "The name of the PBX"), ("extension" = String, Path, description = "Its number or name there")),
    responses(
        (status = 200, description = "The extension", body = UserOf),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such PBX, or it is another tenant's"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`"),
    ))]
pub(in crate::http) async fn put_user(
    key: Can<Admin>,
    path: Path<(String, String)>,
    Json(text): Json<UserText>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (id, extension) = path.into_inner();
    let pbx = pbx_of(&gateway, &key, &id).await?;
    let mut wrongs = fields::Wrongs::default();
    let extension = wrongs.take(fields::line("extension", &extension, 1..=WORD_BYTES_MAX));
    let user_id = wrongs.take(fields::line("user_id", &text.user_id, 1..=WORD_BYTES_MAX));
    let (extension, user_id) = wrongs.settle(extension.zip(user_id))?;
    transaction::run(&gateway.db, async |tx| {
        extensions::put_user(tx, (&pbx.tenant, &pbx.id), &extension, Some(&user_id)).await?;
        Ok(Done { value: (), journal: Vec::new() })
    })
    .await?;
    let detail = json!({ "extension": extension, "user_id": user_id });
    gateway.audit(&key, Act::ExtensionChanged, &id, detail).await;
    Ok(HttpResponse::Ok().json(UserOf { account: id, extension, user_id }))
}

/// Whose an extension is from now on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExtensionUserOf)]
pub(in crate::http) struct UserOf {
    /// The PBX.
    account: String,
    /// Its number or name there.
    extension: String,
    /// Your id of the user.
    user_id: String,
}

/// Says that an extension of a PBX is nobody's. Calls that began before keep their user.
#[utoipa::path(delete, path = "/v1/accounts/{id}/extensions/{extension}", operation_id = "delete_extension", tag = "accounts",
    security(("key" = ["admin"])),
    params(("id" = String, Path, description = "The name of the PBX"), ("extension" = String, Path, description = "Its number or name there")),
    responses(
        (status = 204, description = "It is nobody's"),
        (status = 404, description = "`not-found`: there is no such PBX, or it was nobody's"),
    ))]
pub(in crate::http) async fn delete_user(
    key: Can<Admin>,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (id, extension) = path.into_inner();
    let pbx = pbx_of(&gateway, &key, &id).await?;
    let plain = !extension.chars().any(char::is_control);
    let gone = transaction::run(&gateway.db, async |tx| {
        let of = (pbx.tenant.as_str(), pbx.id.as_str());
        let value = if plain { extensions::delete_user(tx, of, &extension).await? } else { 0 };
        Ok(Done { value, journal: Vec::new() })
    });
    if gone.await? == 0 {
        return Err(Problem::not_found("user of the extension", &extension));
    }
    gateway.audit(&key, Act::ExtensionChanged, &id, json!({ "extension": extension, "user_id": null })).await;
    Ok(HttpResponse::NoContent().finish())
}

/// A PBX of the tenant, stored or configured.
async fn pbx_of(gateway: &Gateway, key: &Can<Admin>, id: &str) -> Result<Arc<Account>, Problem> {
    let account = account_of(gateway, key, id).await?;
    if account.provider == ami::PROVIDER { Ok(account) } else { Err(Problem::not_found("PBX", id)) }
}

impl From<PbxExtension> for PbxExtensionView {
    fn from(row: PbxExtension) -> Self {
        let PbxExtension { account, extension, user_id, device, device_ms, .. } = row;
        Self { account, extension, user_id, device, device_at: device_ms.map(Moment) }
    }
}
