//! Leads: listed, written one by one, imported, and what came of the calls with them.

use super::{
    Can, Gateway, Problem, ProblemKind, Read, Write,
    body::{Json, Query},
    filter::{Number, Word},
    idempotency::{Post, answer},
    page::{Limit, List, Page},
    time::Moment,
};
use crate::{
    audit::Act,
    fields,
    leads::{self as room, BadTable, Format, Imported, LeadText},
    store::{
        contacts::{self, ActivityRow},
        leads::{self, LeadFilter, LeadRead, Put},
    },
    transaction::{self, Done},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// A lead.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lead)]
pub(super) struct LeadView {
    /// Your own id.
    #[schema(example = "lead-42")]
    id: String,
    /// Name for people.
    #[schema(example = "Ann Example")]
    name: Option<String>,
    /// Phone number as you wrote it.
    #[schema(example = "+1 415 555 0101")]
    phone: Option<String>,
    /// Your word for its state; `contacted` where you left `new` and somebody spoke with it since.
    #[schema(example = "contacted")]
    status: String,
    /// The later of your own date and the last call that was a contact.
    last_contacted_at: Option<Moment>,
    /// How many conversations were a contact.
    #[schema(example = 1)]
    contact_count: i64,
    /// The phone number in E.164, by which calls are tied to it.
    #[schema(example = "+14155550101")]
    phone_e164: Option<String>,
    /// When it was created.
    created_at: Moment,
    /// When it was last written. Contacts do not count.
    updated_at: Moment,
    /// When the person was forgotten: name and number are gone, what was counted stays.
    forgotten_at: Option<Moment>,
}

impl From<LeadRead> for LeadView {
    fn from(read: LeadRead) -> Self {
        let (status, last_contacted_ms) = (read.status(), read.last_contacted_ms());
        Self {
            id: read.row.id,
            name: read.row.name,
            phone: read.row.phone,
            status,
            last_contacted_at: last_contacted_ms.map(Moment),
            contact_count: read.contact_count,
            phone_e164: read.row.phone_e164,
            created_at: Moment(read.row.created_ms),
            updated_at: Moment(read.row.updated_ms),
            forgotten_at: read.row.forgotten_ms.map(Moment),
        }
    }
}

/// What came of one conversation with a lead.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Activity)]
pub(super) struct ActivityView {
    /// Our id of the leg that decided.
    call_id: String,
    /// The provider's id of the conversation's root.
    conversation: String,
    /// The provider account.
    account: String,
    /// The status of the leg that decided.
    #[schema(example = "completed")]
    outcome: String,
    /// When it ended; when it was answered, if it is a contact already and not over.
    at: Moment,
    /// Seconds of conversation.
    #[schema(example = 17)]
    talk_seconds: i64,
    /// Whether the conversation is a contact.
    contact: bool,
}

impl From<ActivityRow> for ActivityView {
    fn from(row: ActivityRow) -> Self {
        let ActivityRow { call_id, conversation, account, outcome, at_ms, talk_seconds, contact, .. } = row;
        Self { call_id, conversation, account, outcome, at: Moment(at_ms), talk_seconds, contact }
    }
}

/// Which leads.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListLeads {
    /// The status as it is shown.
    #[param(value_type = Option<String>)]
    status: Option<Word>,
    /// The phone number.
    #[param(value_type = Option<String>)]
    phone: Option<Number>,
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
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

/// Leads, by id.
#[utoipa::path(get, path = "/v1/leads", tag = "leads", security(("key" = ["read"])), params(ListLeads), responses(
    (status = 200, description = "A page of leads", body = Page<LeadView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(super) async fn list(
    key: Can<Read>,
    request: HttpRequest,
    Query(query): Query<ListLeads>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::filtered("leads", request.query_string());
    let after: String = list.position(query.cursor.as_deref())?.unwrap_or_default();
    let region = gateway.config.phone_region.as_deref();
    let phone_e164 = query.phone.map(|number| fields::phone("phone", &number.0, region)).transpose();
    let phone_e164 = phone_e164.map_err(|wrong| Problem::new(ProblemKind::BadFilter, wrong.to_string()))?;
    let filter = LeadFilter { status: query.status.map(|word| word.0), phone_e164 };
    let rows = leads::list(&gateway.db, &key.tenant, &filter, &after, query.limit.fetch()).await?;
    let page = list.page(query.limit, rows, |read| read.row.id.clone(), |read| Ok(LeadView::from(read)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// Creates a lead. Calls that were tied to its id before count at once.
#[utoipa::path(post, path = "/v1/leads", tag = "leads", security(("key" = ["write"])), request_body = LeadText, responses(
    (status = 201, description = "The lead", body = LeadView),
    (status = 400, description = "`unreadable`"),
    (status = 409, description = "`already-exists`"),
    (status = 413, description = "`too-large`"),
    (status = 415, description = "`unsupported-media-type`"),
    (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
))]
pub(super) async fn create(post: Post<Write>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once_json(&gateway, async |posted, text: LeadText| {
        let write = text.read(&posted.key.tenant, gateway.config.phone_region.as_deref(), gateway.clock.now_ms())?;
        let answered = transaction::run_once(&gateway.db, posted.ticket.as_ref(), async |tx| {
            let created = room::create(tx, &write).await?;
            Ok(Done { value: answer(StatusCode::CREATED, &LeadView::from(created.value)), journal: created.journal })
        });
        Ok(answered.await?)
    })
    .await
}

/// A lead.
#[utoipa::path(get, path = "/v1/leads/{id}", tag = "leads", security(("key" = ["read"])),
    params(("id" = String, Path, description = "Your own id, percent-encoded")),
    responses((status = 200, description = "The lead", body = LeadView), (status = 404, description = "`not-found`")))]
pub(super) async fn load(key: Can<Read>, id: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let read = load_row(&gateway, &key.tenant, &id).await?;
    Ok(HttpResponse::Ok().json(LeadView::from(read)))
}

/// Creates or replaces a lead.
///
/// A status counts as written now: contacts up to this moment no longer show, later ones do if the status is `new`.
#[utoipa::path(put, path = "/v1/leads/{id}", tag = "leads", security(("key" = ["write"])), request_body = LeadText,
    params(("id" = String, Path, description = "Your own id, percent-encoded; 1 to 200 bytes without control characters")),
    responses(
        (status = 200, description = "It was replaced", body = LeadView),
        (status = 201, description = "It was created", body = LeadView),
        (status = 400, description = "`unreadable`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`"),
    ))]
pub(super) async fn put(
    key: Can<Write>,
    id: Path<String>,
    Json(text): Json<LeadText>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    if text.id.as_ref().is_some_and(|inner| *inner != id) {
        return Err(Problem::field("id", "is another one than in the path; leave it out"));
    }
    let text = LeadText { id: Some(id), ..text };
    let write = text.read(&key.tenant, gateway.config.phone_region.as_deref(), gateway.clock.now_ms())?;
    let (put, read) = room::put(&gateway.db, &write).await?;
    let mut response = match put {
        Put::Created => HttpResponse::Created(),
        Put::Updated => HttpResponse::Ok(),
    };
    Ok(response.json(LeadView::from(read)))
}

/// Deletes a lead. Its calls keep its id.
#[utoipa::path(delete, path = "/v1/leads/{id}", tag = "leads", security(("key" = ["write"])),
    params(("id" = String, Path, description = "Your own id, percent-encoded")),
    responses((status = 204, description = "It is gone"), (status = 404, description = "`not-found`")))]
pub(super) async fn delete(key: Can<Write>, id: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let known = fields::lead_id("id", &id).is_ok();
    if known && room::delete(&gateway.db, &key.tenant, &id, gateway.clock.now_ms()).await? {
        gateway.audit(&key, Act::LeadDeleted, &id, json!({})).await;
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(Problem::not_found("lead", &id))
}

/// What came of the conversations with a lead, newest first.
#[utoipa::path(get, path = "/v1/leads/{id}/activity", tag = "leads", security(("key" = ["read"])),
    params(("id" = String, Path, description = "Your own id, percent-encoded"), Which),
    responses(
        (status = 200, description = "A page of activity", body = Page<ActivityView>),
        (status = 400, description = "`bad-filter` or `bad-cursor`"),
        (status = 404, description = "`not-found`"),
    ))]
pub(super) async fn activity(
    key: Can<Read>,
    id: Path<String>,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    load_row(&gateway, &key.tenant, &id).await?;
    let list = List::of("activity", &id);
    let before = list.position(which.cursor.as_deref())?;
    let (before_ms, before_id): (i64, String) = before.unwrap_or((i64::MAX, String::new()));
    let before = (before_ms, before_id.as_str());
    let rows = contacts::list_activity(&gateway.db, &key.tenant, &id, before, which.limit.fetch()).await?;
    let position = |row: &ActivityRow| (row.at_ms, row.conversation.clone());
    let page = list.page(which.limit, rows, position, |row| Ok(ActivityView::from(row)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// Creates or updates many leads.
///
/// CSV with a header (`id`, `name`, `phone`, `status`, `last_contacted_at`) or NDJSON. A row that is wrong is left out
/// and reported; what a row leaves out stays as it is; a status never counts as written explicitly.
#[utoipa::path(post, path = "/v1/leads/import", tag = "leads", security(("key" = ["write"])),
    request_body(content((String = "text/csv", example = "id,name,phone\nlead-42,Ann Example,+14155550101\n"), (LeadText = "application/x-ndjson"))),
    responses(
        (status = 200, description = "How many were created and updated, and which rows are wrong", body = Imported),
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
        let (tenant, region) = (&posted.key.tenant, gateway.config.phone_region.as_deref());
        let answered = transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            let now_ms = gateway.clock.now_ms();
            match room::import(&gateway.db, tenant, region, now_ms, (format, &posted.body)).await? {
                Ok(imported) => Ok(answer(StatusCode::OK, &imported)),
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

async fn load_row(gateway: &Gateway, tenant: &str, id: &str) -> Result<LeadRead, Problem> {
    if fields::lead_id("id", id).is_err() {
        return Err(Problem::not_found("lead", id));
    }
    leads::find(&gateway.db, tenant, id).await?.ok_or_else(|| Problem::not_found("lead", id))
}
