//! A sweep by hand, and the sweeps there were.

use super::threshold_ms;
use crate::{
    domain::time::MINUTE,
    http::{
        Can, Gateway, Problem, ProblemKind, Read, Write,
        body::Query,
        idempotency::{Post, answer},
        page::{Limit, List, Page},
        time::Moment,
    },
    store::sweeps::{self, SweepRow},
    sweep::{Change, Chosen, Report, Request, Skipped, SweepError},
    transaction,
};
use actix_web::{HttpResponse, http::StatusCode, web::Data};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

/// What to sweep. Each may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Sweep)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct SweepText {
    /// Only say what would be done. The provider is asked all the same.
    #[schema(example = true)]
    dry_run: bool,
    /// Live calls without a sign of life for so many whole minutes, due or not. Left out: those that are due.
    #[schema(minimum = 0, maximum = 10_080, example = 60)]
    threshold: Option<i64>,
}

/// A sweep that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SweepMade)]
pub(in crate::http) struct SweepView {
    /// Its id.
    #[schema(example = "sweep_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    id: String,
    /// When it began.
    started_at: Moment,
    /// When it ended.
    ended_at: Moment,
    /// Who asked for it: `sweeper` (by itself), `key:…` (over REST), `cli`.
    #[schema(example = "sweeper")]
    actor: String,
    /// Whether it only looked.
    dry_run: bool,
    /// Only calls without a sign of life for so many minutes; null: those that were due.
    threshold: Option<i64>,
    /// How many calls were looked at.
    looked: i64,
    /// Of these: how many are alive, as the provider says.
    alive: i64,
    /// Of these: how many had ended, as the provider says.
    repaired: i64,
    /// Of these: how many were given up.
    given_up: i64,
    /// What was changed, or would have been; the first 200.
    changed: Vec<Change>,
    /// What was left as it was, because nobody could say; the first 200.
    skipped: Vec<Skipped>,
    /// How many of those there were.
    skipped_count: i64,
}

/// Which sweeps.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListSweeps {
    /// Rows on a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Sweeps now: asks the provider about live calls that are due, or silent for too long, and does what it says.
///
/// Calls that the provider says have ended get their ending; those that it says live are left alone; what nobody can say is
/// given up only past the configured limits. With `dry_run` the provider is asked too, but no call is changed: the answer
/// is what a sweep at this moment would do. It may take a minute. Calls that are not reached stay due.
#[utoipa::path(post, path = "/v1/sweeps", tag = "sweeps", security(("key" = ["write"])),
    request_body(content = Option<SweepText>, description = "May be left out"),
    responses(
        (status = 200, description = "What was done, or would be", body = Report),
        (status = 400, description = "`unreadable`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
        (status = 503, description = "`unavailable`: the database is away, or another sweep takes long; see Retry-After"),
    ))]
pub(in crate::http) async fn sweep(post: Post<Write>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once_json_or_nothing(&gateway, async |posted, text: SweepText| {
        let threshold_ms = text.threshold.map(threshold_ms).transpose();
        let threshold_ms = threshold_ms.map_err(|message| Problem::field("threshold", message))?;
        let request = Request {
            tenant: Some(posted.key.tenant.clone()),
            chosen: threshold_ms.map_or(Chosen::Due, Chosen::Silent),
            dry_run: text.dry_run,
            actor: format!("key:{}", posted.key.id),
        };
        transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            let sweeper = gateway.sweeper.clone();
            // A task of its own: whoever asked may go away, and accounts that are being asked must be let go all the same.
            let swept = tokio::spawn(async move { sweeper.sweep(request).await }).await;
            let report = swept.map_err(|e| Problem::internal(&e))??;
            Ok::<_, Problem>(answer(StatusCode::OK, &report))
        })
        .await
    })
    .await
}

/// Sweeps that changed something or that somebody asked for, newest first.
#[utoipa::path(get, path = "/v1/sweeps", tag = "sweeps", security(("key" = ["read"])), params(ListSweeps), responses(
    (status = 200, description = "A page of sweeps", body = Page<SweepView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(in crate::http) async fn list(
    key: Can<Read>,
    Query(query): Query<ListSweeps>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::of("sweeps", &key.tenant);
    let before: Option<String> = list.position(query.cursor.as_deref())?;
    let rows = sweeps::list(&gateway.db, &key.tenant, before.as_deref(), query.limit.fetch()).await?;
    let page = list.page(query.limit, rows, |row| row.id.clone(), SweepView::new)?;
    Ok(HttpResponse::Ok().json(page))
}

impl SweepView {
    fn new(row: SweepRow) -> Result<Self, Problem> {
        Ok(Self {
            changed: stored(&row.id, &row.changed)?,
            skipped: stored(&row.id, &row.reasons)?,
            id: row.id,
            started_at: Moment(row.started_ms),
            ended_at: Moment(row.ended_ms),
            actor: row.actor,
            dry_run: row.dry_run,
            threshold: row.threshold_ms.map(|ms| ms / MINUTE),
            looked: row.looked,
            alive: row.alive,
            repaired: row.repaired,
            given_up: row.given_up,
            skipped_count: row.skipped,
        })
    }
}

fn stored<T: DeserializeOwned>(id: &str, text: &str) -> Result<Vec<T>, Problem> {
    serde_json::from_str(text).map_err(|e| Problem::internal(&format!("the stored sweep {id} is corrupt: {e}")))
}

impl From<SweepError> for Problem {
    fn from(error: SweepError) -> Self {
        match error {
            SweepError::Store(error) => error.into(),
            // Not a conflict: nothing about the request has to be changed, it only has to come again.
            SweepError::Busy => {
                Self::new(ProblemKind::Unavailable, "another sweep is under way and takes long; try again")
            }
        }
    }
}
