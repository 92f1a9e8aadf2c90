//! What people should know: notices to users and to everybody of the tenant.

use super::{
    Can, Gateway, Problem, Read, Write,
    body::Query,
    filter::Word,
    idempotency::{Post, answer},
    page::{Limit, List, Page},
    time::Moment,
};
use crate::{
    directory::Key,
    store::notices::{self, Addressee, NoticeFilter, NoticeRow},
    transaction::{self, Done},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Something that somebody should know.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Notification)]
pub(super) struct NoticeView {
    /// Its id.
    #[schema(example = "note_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    id: String,
    /// For whom; null: for everybody of the tenant.
    user_id: Option<String>,
    /// What it is about, such as `call.given_up`.
    #[schema(example = "call.given_up")]
    kind: String,
    /// The call or the account it is about.
    #[schema(example = "call_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    subject: String,
    /// What happened, what it means, what to do; phone numbers are masked.
    text: String,
    /// When it was made.
    created_at: Moment,
    /// When somebody first read it; null: nobody has.
    read_at: Option<Moment>,
}

impl From<NoticeRow> for NoticeView {
    fn from(row: NoticeRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            kind: row.kind,
            subject: row.subject,
            text: row.text,
            created_at: Moment(row.created_ms),
            read_at: row.read_ms.map(Moment),
        }
    }
}

/// Which notices.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Those for this user; left empty (`user_id=`): those for everybody; left out: all of the tenant's. What a call's user
    /// is told, everybody is told too, in a notice of its own.
    #[param(value_type = Option<String>)]
    user_id: Option<Word>,
    /// `true`: those that nobody has read; `false`: those that somebody has.
    unread: Option<bool>,
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Notices, newest first.
#[utoipa::path(get, path = "/v1/notifications", tag = "notifications", security(("key" = ["read"])), params(Which), responses(
    (status = 200, description = "A page of notices", body = Page<NoticeView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(super) async fn list(
    key: Can<Read>,
    request: HttpRequest,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::filtered("notifications", request.query_string());
    let before: Option<String> = list.position(which.cursor.as_deref())?;
    let to = match &which.user_id {
        None => Addressee::Anybody,
        Some(Word(user)) if user.is_empty() => Addressee::Everybody,
        Some(Word(user)) => Addressee::User(user),
    };
    let filter = NoticeFilter { to, unread: which.unread };
    let rows = notices::list(&gateway.db, &key.tenant, filter, before.as_deref(), which.limit.fetch()).await?;
    let page = list.page(which.limit, rows, |row| row.id.clone(), |row| Ok(NoticeView::from(row)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// Notes that a notice was read. The body is not looked at. Reading it again changes nothing: `read_at` is the first time.
#[utoipa::path(post, path = "/v1/notifications/{id}/read", tag = "notifications", security(("key" = ["write"])),
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The notice", body = NoticeView),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`: there is no such notice, or it is another tenant's"),
        (status = 413, description = "`too-large`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(super) async fn read(post: Post<Write>, id: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(&gateway, gateway.config.limits.rest_body_bytes_max, async |posted| {
        let now_ms = gateway.clock.now_ms();
        let done = transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            let plain = !id.chars().any(char::is_control);
            let read = transaction::run(&gateway.db, async |tx| {
                let value = if plain { notices::set_read(tx, &posted.key.tenant, &id, now_ms).await? } else { None };
                Ok(Done { value, journal: Vec::new() })
            });
            match read.await? {
                Some(row) => Ok(answer(StatusCode::OK, &NoticeView::from(row))),
                None => Err(missing(&gateway, &posted.key, &id).await?),
            }
        });
        done.await
    })
    .await
}

async fn missing(gateway: &Gateway, key: &Key, id: &str) -> Result<Problem, Problem> {
    let plain = !id.chars().any(char::is_control);
    if plain && notices::exists_elsewhere(&gateway.db, &key.tenant, id).await? {
        gateway.metrics.tenant_crossing_refused();
        tracing::warn!(id, tenant = key.tenant, key = key.id, "refused to mark a notice of another tenant as read");
    }
    Ok(Problem::not_found("notification", id))
}
