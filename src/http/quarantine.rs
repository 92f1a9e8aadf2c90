//! Refused deliveries of a tenant, for those who manage its accounts; of unknown accounts only operators see them.

use super::{
    Admin, Can, Gateway, Problem, ProblemKind,
    body::Query,
    filter::Word,
    idempotency::{Post, answer},
    page::{Limit, List, Page},
    time::Moment,
};
use crate::{
    audit::Act,
    directory::{Key, Scope},
    fields::{self, Wrong, Wrongs},
    quarantine::{Chosen, Explanation, How, Outcome, ROWS_MAX, Reason, Redrive, RedriveError, Redriven, RedrivenRow},
    store::quarantine::{self, QuarantineFilter, QuarantineId, QuarantineRow, Whose},
    transaction::{self, Done},
    twilio::door::Door,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

/// A refused delivery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RefusedDelivery)]
pub(super) struct RefusedView {
    /// Its id: a digest of its content.
    #[schema(example = "qua_5f2b8c0e9d7a41f3b6c8d0e1f2a3b4c5")]
    id: String,
    /// The account it claims to be of. Nothing is proved by it.
    account: Option<String>,
    /// Whether somebody here had that account when it came.
    account_known: bool,
    /// The door it came to.
    #[schema(example = "twilio/status")]
    source: String,
    /// `POST` or `GET`.
    method: String,
    /// Path and query, raw.
    path_and_query: String,
    /// The `Host` header.
    host: Option<String>,
    /// The address it came from.
    client: Option<String>,
    /// Why it was refused the last time.
    reason: String,
    /// The same, for people.
    detail: String,
    /// When it first came.
    received_at: Moment,
    /// When it last came.
    last_at: Moment,
    /// How often it came.
    times: i64,
}

impl From<&QuarantineRow> for RefusedView {
    fn from(row: &QuarantineRow) -> Self {
        Self {
            id: row.id.clone(),
            account: row.account.clone(),
            account_known: row.tenant.is_some(),
            source: row.source.clone(),
            method: row.method.clone(),
            path_and_query: row.path_and_query.clone(),
            host: row.host.clone(),
            client: row.client.clone(),
            reason: row.reason.clone(),
            detail: row.detail.clone(),
            received_at: Moment(row.received_ms),
            last_at: Moment(row.last_ms),
            times: row.times,
        }
    }
}

/// A refused delivery with all of it, and why it is refused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RefusedDeliveryInFull)]
pub(super) struct RefusedInFull {
    #[serde(flatten)]
    row: RefusedView,
    /// The `Content-Type` header.
    content_type: Option<String>,
    /// The signature header.
    signature: Option<String>,
    /// The body as text; bytes that are no text are replaced.
    body: String,
    /// Why it is refused, with today's tokens and settings.
    explain: Explanation,
}

/// Which refused deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListRefused {
    /// The claimed account.
    #[param(value_type = Option<String>)]
    account: Option<Word>,
    /// Why they were refused.
    reason: Option<Reason>,
    /// The door they came to.
    #[param(inline)]
    source: Option<Door>,
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What to redrive: `ids`, or else any of `account`, `reason` and `source`, or else `all`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Redrive)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RedriveText {
    /// These rows, at most 200.
    #[schema(max_items = 200)]
    ids: Vec<String>,
    /// Those that claim to be of this account.
    account: Option<String>,
    /// Those that were refused for this reason.
    reason: Option<Reason>,
    /// Those that came to this door.
    #[schema(inline)]
    source: Option<Door>,
    /// Every one.
    all: bool,
    /// Also apply what does not verify, marked, where the account is in `observe` today. Else only what verifies is.
    unverified: bool,
    /// Only say what would become of them.
    dry_run: bool,
    /// `next_cursor` of the answer before.
    cursor: Option<String>,
}

/// What a redrive came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Redriven)]
pub(super) struct RedrivenView {
    /// Whether nothing was changed.
    dry_run: bool,
    /// How many rows were looked at.
    looked: usize,
    /// How many were applied, or would be.
    applied: usize,
    /// How many had come in another way meanwhile.
    repeated: usize,
    /// How many are still refused.
    stayed: usize,
    /// Each of them, oldest first.
    rows: Vec<RedrivenRow>,
    /// Send it as `cursor` with the same choice to go on; null: nothing is left. At most 200 rows are taken at once, and no
    /// further one after 2,000 events; of `ids` the others are `later`: send them again.
    next_cursor: Option<String>,
}

/// Deliveries that were refused, newest first. They are kept for a while, within bounds.
#[utoipa::path(get, path = "/v1/quarantine", tag = "quarantine", security(("key" = ["admin"])), params(ListRefused), responses(
    (status = 200, description = "A page of refused deliveries", body = Page<RefusedView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(super) async fn list(
    key: Can<Admin>,
    request: HttpRequest,
    Query(query): Query<ListRefused>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::filtered("quarantine", request.query_string());
    let (ms, id): (i64, String) = list.position(query.cursor.as_deref())?.unwrap_or((i64::MAX, String::new()));
    let filter = QuarantineFilter {
        account: query.account.map(|Word(account)| account),
        reason: query.reason.map(|reason| reason.as_str().to_owned()),
        source: query.source.map(|door| door.as_str().to_owned()),
    };
    let rows = quarantine::list(&gateway.db, whose(&key), &filter, (ms, &id), query.limit.fetch()).await?;
    let page =
        list.page(query.limit, rows, |row| (row.received_ms, row.id.clone()), |row| Ok(RefusedView::from(&row)))?;
    Ok(HttpResponse::Ok().json(page))
}

/// One of them in full, with why it is refused and what to do.
#[utoipa::path(get, path = "/v1/quarantine/{id}", tag = "quarantine", security(("key" = ["admin"])),
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "The delivery", body = RefusedInFull), (status = 404, description = "`not-found`")))]
pub(super) async fn load(key: Can<Admin>, id: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let row = load_row(&gateway, &key, &id).await?;
    let explain = redrive_of(&gateway).explain(whose(&key), &row).await.map_err(|error| unavailable(&error))?;
    let full = RefusedInFull {
        body: String::from_utf8_lossy(&row.body).into_owned(),
        row: RefusedView::from(&row),
        content_type: row.content_type,
        signature: row.signature,
        explain,
    };
    Ok(HttpResponse::Ok().json(full))
}

/// Judges refused deliveries again with today's tokens and settings, and applies those that are good now, with their own
/// times. Redriving again is safe.
#[utoipa::path(post, path = "/v1/quarantine/redrive", tag = "quarantine", security(("key" = ["admin"])), request_body = RedriveText, responses(
    (status = 200, description = "What became of each", body = RedrivenView),
    (status = 400, description = "`unreadable` or `bad-cursor`"),
    (status = 413, description = "`too-large`"),
    (status = 415, description = "`unsupported-media-type`"),
    (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
))]
pub(super) async fn redrive(post: Post<Admin>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once_json(&gateway, async |posted, text: RedriveText| {
        let how = How { dry_run: text.dry_run, unverified: text.unverified };
        let list = text.list();
        let chosen = text.read(&list)?;
        let ticket = posted.ticket.as_ref();
        transaction::run_then_keep(&gateway.db, ticket, async || {
            let done = redrive_of(&gateway).run(whose(&posted.key), chosen, how).await.map_err(Problem::from)?;
            if !how.dry_run && done.count(Outcome::Applied) > 0 {
                let detail = json!({ "looked": done.looked(), "applied": done.count(Outcome::Applied) });
                gateway.audit(&posted.key, Act::QuarantineRedriven, "quarantine", detail).await;
            }
            Ok::<_, Problem>(answer(StatusCode::OK, &view(done, how.dry_run, &list)))
        })
        .await
    })
    .await
}

/// Drops a refused delivery for good.
#[utoipa::path(delete, path = "/v1/quarantine/{id}", tag = "quarantine", security(("key" = ["admin"])),
    params(("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is gone"), (status = 404, description = "`not-found`")))]
pub(super) async fn drop(key: Can<Admin>, id: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let row = load_row(&gateway, &key, &id).await?;
    let gone = transaction::run(&gateway.db, async |tx| {
        let value = quarantine::delete(tx, &[QuarantineId { id: row.id.clone() }]).await?;
        Ok(Done { value, journal: Vec::new() })
    });
    gateway.metrics.quarantine().dropped(gone.await?);
    gateway.audit(&key, Act::QuarantineDropped, &row.id, json!({ "account": row.account })).await;
    tracing::info!(id = row.id, by = key.id, "dropped a refused delivery");
    Ok(HttpResponse::NoContent().finish())
}

async fn load_row(gateway: &Gateway, key: &Can<Admin>, id: &str) -> Result<QuarantineRow, Problem> {
    let (plain, whose) = (!id.chars().any(char::is_control), whose(key));
    let found = if plain { quarantine::find(&gateway.db, whose, id).await? } else { None };
    if let Some(found) = found {
        return Ok(found);
    }
    if plain && quarantine::exists_elsewhere(&gateway.db, whose, id).await? {
        gateway.metrics.tenant_crossing_refused();
        tracing::warn!(id, tenant = key.tenant, key = key.id, "refused a look at another's refused delivery");
    }
    Err(Problem::not_found("refused delivery", id))
}

fn whose(key: &Key) -> Whose<'_> {
    if key.may(Scope::Operator) { Whose::Operator(&key.tenant) } else { Whose::Tenant(&key.tenant) }
}

fn redrive_of(gateway: &Gateway) -> Redrive<'_> {
    Redrive {
        db: &gateway.db,
        clock: &gateway.clock,
        directory: &gateway.directory,
        ingest: &gateway.ingest,
        metrics: &gateway.metrics,
        public_url: gateway.config.public_url.as_ref(),
        verify: gateway.config.verify,
        bounds: crate::quarantine::bounds(&gateway.config.quarantine),
    }
}

fn view(done: Redriven, dry_run: bool, list: &List) -> RedrivenView {
    let good = if dry_run { Outcome::WouldApply } else { Outcome::Applied };
    RedrivenView {
        dry_run,
        looked: done.looked(),
        applied: done.count(good),
        repeated: done.count(Outcome::Repeated),
        stayed: done.count(Outcome::Stays),
        next_cursor: done.next.as_ref().map(|next| list.cursor(next)),
        rows: done.rows,
    }
}

impl RedriveText {
    /// Where a cursor of this choice belongs.
    fn list(&self) -> List {
        let (account, reason) = (self.account.as_deref(), self.reason.map(Reason::as_str));
        let [account, reason, source] = [account, reason, self.source.map(Door::as_str)].map(Option::unwrap_or_default);
        List::of("redrive", &format!("{account} {reason} {source} {}", self.all))
    }

    fn read(self, list: &List) -> Result<Chosen, Problem> {
        let mut wrongs = Wrongs::default();
        let narrowed = self.account.is_some() || self.reason.is_some() || self.source.is_some();
        let choices = [!self.ids.is_empty(), narrowed, self.all];
        if choices.into_iter().filter(|chosen| *chosen).count() != 1 {
            let message = "give exactly one of: ids; any of account, reason and source; all";
            wrongs.take::<()>(Err(Wrong::new("ids", message)));
        }
        if self.ids.len() > ROWS_MAX {
            let message = format!("has {} entries; up to {ROWS_MAX} are allowed", self.ids.len());
            wrongs.take::<()>(Err(Wrong::new("ids", message)));
        }
        for (n, id) in self.ids.iter().enumerate() {
            wrongs.take(fields::line(&format!("ids[{n}]"), id, 1..=ID_BYTES_MAX));
        }
        let account = self.account.as_deref().map(|text| fields::line("account", text, 1..=ACCOUNT_BYTES_MAX));
        wrongs.take(account.transpose());
        wrongs.settle(Some(()))?;
        if !self.ids.is_empty() {
            return Ok(Chosen::Ids(self.ids));
        }
        let reason = self.reason.map(|reason| reason.as_str().to_owned());
        let filter = QuarantineFilter {
            account: self.account,
            reason,
            source: self.source.map(|door| door.as_str().to_owned()),
        };
        Ok(Chosen::Fitting(filter, list.position(self.cursor.as_deref())?))
    }
}

impl From<RedriveError> for Problem {
    fn from(error: RedriveError) -> Self {
        match error {
            RedriveError::Store(error) => error.into(),
            RedriveError::Submit(error) => error.into(),
            RedriveError::Accounts(error) => unavailable(&error),
        }
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!("failed to {error}; a request was answered 503");
    Problem::new(ProblemKind::Unavailable, "the accounts cannot be read now; try again shortly")
}

const ID_BYTES_MAX: usize = 60;
const ACCOUNT_BYTES_MAX: usize = 100;
