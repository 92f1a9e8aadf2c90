//! Numbers that no run dials.

use super::{
    Can, Gateway, Problem, ProblemKind, Read, Write,
    body::{self, Query},
    idempotency::{Post, answer},
    page::{Limit, List, Page},
    time::Moment,
};
use crate::{
    audit::Act,
    domain::phone::mask,
    fields,
    runs::do_not_call::{self as room, BadTable, DoNotCallText, Imported},
    store::do_not_call::{self, DoNotCallRow},
    table::Format,
    transaction,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path, Payload},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// A number that no run dials.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DoNotCall)]
pub(super) struct DoNotCallView {
    /// The number in E.164.
    #[schema(example = "+14155550101")]
    number: String,
    /// Why.
    #[schema(example = "asked not to be called")]
    reason: Option<String>,
    /// Since when.
    created_at: Moment,
}

impl From<DoNotCallRow> for DoNotCallView {
    fn from(row: DoNotCallRow) -> Self {
        let DoNotCallRow { phone_e164, reason, created_ms, .. } = row;
        Self { number: phone_e164, reason, created_at: Moment(created_ms) }
    }
}

/// Why a number is not to be called.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = DoNotCallReason)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonText {
    /// Why, up to 500 bytes.
    #[schema(example = "asked not to be called", max_length = 500)]
    reason: Option<String>,
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

/// Numbers that no run dials, by number.
#[utoipa::path(get, path = "/v1/do-not-call", tag = "do-not-call", security(("key" = ["read"])), params(Which), responses(
    (status = 200, description = "A page of numbers", body = Page<DoNotCallView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(super) async fn list(
    key: Can<Read>,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::of("do-not-call", "");
    let after: String = list.position(which.cursor.as_deref())?.unwrap_or_default();
    let rows = do_not_call::list(&gateway.db, &key.tenant, &after, which.limit.fetch()).await?;
    let page = list.page(which.limit, rows, |row| row.phone_e164.clone(), |row| Ok(DoNotCallView::from(row)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// Puts a number on the list, or gives it another reason. It counts from the next job that is handed out, in runs that onhook
/// dials and in those that your own dialer does; a call that is under way goes on. The body may be left out.
#[utoipa::path(put, path = "/v1/do-not-call/{number}", tag = "do-not-call", security(("key" = ["write"])),
    request_body(content = Option<ReasonText>, description = "May be left out"),
    params(("number" = String, Path, description = "The number with its country code, percent-encoded")),
    responses(
        (status = 200, description = "It was on the list", body = DoNotCallView),
        (status = 201, description = "It is new on the list", body = DoNotCallView),
        (status = 400, description = "`unreadable`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`"),
    ))]
pub(super) async fn put(
    key: Can<Write>,
    number: Path<String>,
    request: HttpRequest,
    stream: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let bytes = body::read(stream, gateway.config.limits.rest_body_bytes_max).await?;
    let ReasonText { reason } = match bytes.is_empty() {
        true => ReasonText::default(),
        false => {
            body::expect_json(&request)?;
            body::parse_json(&bytes)?
        }
    };
    let text = DoNotCallText { number: Some(number.into_inner()), reason };
    let number = text.read(gateway.config.phone_region.as_deref())?;
    let (new, row) = room::put(&gateway.db, &*gateway.clock, &key.tenant, &number).await?;
    gateway.audit(&key, Act::DoNotCallAdded, &mask(&number.e164), json!({})).await;
    let mut response = if new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(response.json(DoNotCallView::from(row)))
}

/// Takes a number off the list: runs may dial it from the next job on. Jobs that were cancelled because of it stay so.
#[utoipa::path(delete, path = "/v1/do-not-call/{number}", tag = "do-not-call", security(("key" = ["write"])),
    params(("number" = String, Path, description = "The number with its country code, percent-encoded")),
    responses((status = 204, description = "It is off the list"), (status = 404, description = "`not-found`: it was not on it")))]
pub(super) async fn delete(
    key: Can<Write>,
    number: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let missing = || Problem::not_found("number on the do-not-call list", &number);
    let region = gateway.config.phone_region.as_deref();
    let e164 = fields::phone("number", &number, region).map_err(|_| missing())?;
    if !room::remove(&gateway.db, &key.tenant, &e164).await? {
        return Err(missing());
    }
    gateway.audit(&key, Act::DoNotCallRemoved, &mask(&e164), json!({})).await;
    Ok(HttpResponse::NoContent().finish())
}

/// Puts many numbers on the list.
///
/// CSV with a header (`number`, `reason`) or NDJSON. A row that is wrong is left out and reported. Importing the same table
/// again is safe.
#[utoipa::path(post, path = "/v1/do-not-call/import", tag = "do-not-call", security(("key" = ["write"])),
    request_body(content((String = "text/csv", example = "number,reason\n+14155550101,asked not to be called\n"), (DoNotCallText = "application/x-ndjson"))),
    responses(
        (status = 200, description = "How many numbers are new, and which rows are wrong", body = Imported),
        (status = 400, description = "`unreadable`"),
        (status = 413, description = "`too-large`: too many bytes or rows"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`: a column is unknown or missing; or `idempotency-mismatch`"),
    ))]
pub(super) async fn import(post: Post<Write>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let _alone = gateway.imports.acquire().await.map_err(|e| Problem::internal(&e))?;
    post.once(&gateway, gateway.config.limits.import_bytes_max, async |posted| {
        let format = match posted.expect_media_type(&["text/csv", "application/x-ndjson"])? {
            "text/csv" => Format::Csv,
            _ => Format::Ndjson,
        };
        let to = (posted.key.tenant.as_str(), gateway.config.phone_region.as_deref());
        let answered = transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            match room::import(&gateway.db, &*gateway.clock, to, (format, &posted.body)).await? {
                Ok(imported) => {
                    let Imported { created, existing, failed, .. } = &imported;
                    let detail = json!({ "created": created, "existing": existing, "failed": failed });
                    gateway.audit(&posted.key, Act::DoNotCallImported, "import", detail).await;
                    Ok(answer(StatusCode::OK, &imported))
                }
                Err(BadTable::Header(wrong)) => Err(wrong.into()),
                Err(error @ BadTable::TooManyRows) => {
                    Err(Problem::new(ProblemKind::TooLarge, format!("failed to {error}; split it")))
                }
            }
        });
        answered.await
    })
    .await
}
