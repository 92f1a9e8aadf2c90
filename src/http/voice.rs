//! How calls are answered: the settings of the tenant and of its numbers.

use super::{
    Admin, Can, Gateway, Problem, Read,
    body::{Json, Query},
    page::{Limit, List, Page},
    time::Moment,
};
use crate::{
    audit::Act,
    domain::phone::mask,
    fields,
    store::voice::{self, VoiceRow},
    voice::{self as room, Put, VoiceText},
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// What is set for the tenant, or for one of its numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VoiceSettingsOf)]
pub(super) struct VoiceView {
    /// The number in E.164; null: the tenant as a whole.
    #[schema(example = "+14155550100")]
    number: Option<String>,
    /// What is set.
    #[serde(flatten)]
    settings: VoiceText,
    /// When it was written; null: nothing is set.
    updated_at: Option<Moment>,
}

impl From<VoiceRow> for VoiceView {
    fn from(row: VoiceRow) -> Self {
        let number = Some(row.number.clone()).filter(|number| !number.is_empty());
        let updated_at = Some(Moment(row.updated_ms));
        Self { number, settings: row.into(), updated_at }
    }
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

/// How the tenant's calls are answered where their number has no settings of its own.
#[utoipa::path(get, path = "/v1/voice", tag = "voice", security(("key" = ["read"])),
    responses((status = 200, description = "What is set", body = VoiceView)))]
pub(super) async fn load(key: Can<Read>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let row = voice::find(&gateway.db, &key.tenant, "").await?;
    let unset = || VoiceView { number: None, settings: VoiceText::default(), updated_at: None };
    Ok(HttpResponse::Ok().json(row.map_or_else(unset, VoiceView::from)))
}

/// Replaces how the tenant's calls are answered. What is left out is not set any more. It counts from the next call on.
#[utoipa::path(put, path = "/v1/voice", tag = "voice", security(("key" = ["admin"])), request_body = VoiceText, responses(
    (status = 200, description = "What is set now", body = VoiceView),
    (status = 400, description = "`unreadable`"),
    (status = 413, description = "`too-large`"),
    (status = 415, description = "`unsupported-media-type`"),
    (status = 422, description = "`invalid-fields`"),
))]
pub(super) async fn put(
    key: Can<Admin>,
    Json(text): Json<VoiceText>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let region = gateway.config.phone_region.as_deref();
    let row = text.read(&key.tenant, "", region, gateway.clock.now_ms())?;
    put_row(&gateway, &row).await?;
    gateway.audit(&key, Act::VoiceChanged, "tenant", json!({})).await;
    tracing::info!(by = key.id, tenant = key.tenant, "changed the voice settings of a tenant");
    Ok(HttpResponse::Ok().json(VoiceView::from(row)))
}

/// The numbers that have settings of their own.
#[utoipa::path(get, path = "/v1/voice/numbers", tag = "voice", security(("key" = ["read"])), params(Which), responses(
    (status = 200, description = "A page of numbers", body = Page<VoiceView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(super) async fn list_numbers(
    key: Can<Read>,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::of("voice", "");
    let after: String = list.position(which.cursor.as_deref())?.unwrap_or_default();
    let rows = voice::list(&gateway.db, &key.tenant, &after, which.limit.fetch()).await?;
    let page = list.page(which.limit, rows, |row| row.number.clone(), |row| Ok(VoiceView::from(row)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// What is set for a number of its own.
#[utoipa::path(get, path = "/v1/voice/numbers/{number}", tag = "voice", security(("key" = ["read"])),
    params(("number" = String, Path, description = "The number with its country code")),
    responses((status = 200, description = "What is set", body = VoiceView), (status = 404, description = "`not-found`")))]
pub(super) async fn load_number(
    key: Can<Read>,
    number: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let missing = || Problem::not_found("voice setting of the number", &number);
    let e164 = e164(&gateway, &number).map_err(|_| missing())?;
    let row = voice::find(&gateway.db, &key.tenant, &e164).await?.ok_or_else(missing)?;
    Ok(HttpResponse::Ok().json(VoiceView::from(row)))
}

/// Replaces what is set for a number of its own. What is left out is as the tenant has it. It counts from the next call
/// on.
#[utoipa::path(put, path = "/v1/voice/numbers/{number}", tag = "voice", security(("key" = ["admin"])),
    request_body = VoiceText,
    params(("number" = String, Path, description = "The number with its country code")),
    responses(
        (status = 200, description = "It was replaced", body = VoiceView),
        (status = 201, description = "It was created", body = VoiceView),
        (status = 400, description = "`unreadable`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`"),
    ))]
pub(super) async fn put_number(
    key: Can<Admin>,
    number: Path<String>,
    Json(text): Json<VoiceText>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let number = e164(&gateway, &number)?;
    let region = gateway.config.phone_region.as_deref();
    let row = text.read(&key.tenant, &number, region, gateway.clock.now_ms())?;
    let new = put_row(&gateway, &row).await?;
    gateway.audit(&key, Act::VoiceChanged, &mask(&number), json!({})).await;
    tracing::info!(number = mask(&number), by = key.id, tenant = key.tenant, "changed the voice settings of a number");
    let mut response = if new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(VoiceView::from(row)))
}

/// Forgets what is set for a number of its own: from the next call on it is answered as the tenant has it.
#[utoipa::path(delete, path = "/v1/voice/numbers/{number}", tag = "voice", security(("key" = ["admin"])),
    params(("number" = String, Path, description = "The number with its country code")),
    responses((status = 204, description = "It is gone"), (status = 404, description = "`not-found`")))]
pub(super) async fn delete_number(
    key: Can<Admin>,
    number: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let missing = || Problem::not_found("voice setting of the number", &number);
    let e164 = e164(&gateway, &number).map_err(|_| missing())?;
    if !room::delete(&gateway.db, &key.tenant, &e164).await? {
        return Err(missing());
    }
    gateway.audit(&key, Act::VoiceForgotten, &mask(&e164), json!({})).await;
    tracing::info!(number = mask(&e164), by = key.id, tenant = key.tenant, "removed the voice settings of a number");
    Ok(HttpResponse::NoContent().finish())
}

/// `true`: nothing was set before.
async fn put_row(gateway: &Gateway, row: &VoiceRow) -> Result<bool, Problem> {
    match room::put(&gateway.db, row).await? {
        Put::New => Ok(true),
        Put::Replaced => Ok(false),
        Put::Refused(wrongs) => Err(wrongs.into()),
    }
}

fn e164(gateway: &Gateway, number: &str) -> Result<String, Problem> {
    Ok(fields::phone("number", number, gateway.config.phone_region.as_deref())?)
}
