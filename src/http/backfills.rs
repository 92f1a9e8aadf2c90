//! Calls that nobody told us of, looked for at the provider.

use super::{
    Gateway, Problem, ProblemKind, Write,
    idempotency::{Post, answer},
};
use crate::{
    directory::Key,
    fields::{self, Wrong, Wrongs},
    sweep::{self, Backfill, BackfillError, BackfillReport},
    transaction,
};
use actix_web::{HttpResponse, http::StatusCode, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;

/// What is to be looked for.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Backfill)]
#[serde(deny_unknown_fields)]
pub(super) struct BackfillText {
    /// Calls that started from then on: a duration ago, such as `24h`, or RFC 3339. At most 400 days ago.
    #[schema(example = "24h")]
    since: String,
    /// … and before then, written likewise; without it until now.
    #[serde(default)]
    until: Option<String>,
    /// A provider account of the tenant: a Twilio AccountSid. Without it all of them.
    #[serde(default)]
    account: Option<String>,
    /// Only say what would be written.
    #[serde(default)]
    dry_run: bool,
}

/// Asks the provider which calls there were, and writes those that nobody told us of, with their endings. Known calls that
/// lack the ending they have there get it.
///
/// Of each account at most 10,000 calls are listed, the latest first; `cut_at` says where to go on. An account that cannot be
/// asked has a `trouble`, and the others are asked all the same. Doing it again is safe: it finds nothing.
#[utoipa::path(post, path = "/v1/backfills", tag = "calls", security(("key" = ["write"])), request_body = BackfillText, responses(
    (status = 200, description = "What was found, account by account", body = BackfillReport),
    (status = 400, description = "`unreadable`"),
    (status = 404, description = "`not-found`: the tenant has no such Twilio account"),
    (status = 413, description = "`too-large`"),
    (status = 415, description = "`unsupported-media-type`"),
    (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    (status = 503, description = "`unavailable`: another backfill is under way, or the database is away"),
))]
pub(super) async fn create(post: Post<Write>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once_json(&gateway, async |posted, text: BackfillText| {
        let wanted = text.read(&posted.key, gateway.clock.now_ms())?;
        transaction::run_then_keep(&gateway.db, posted.ticket.as_ref(), async || {
            let done = match gateway.sweeper.backfill(wanted).await {
                Ok(done) => done,
                Err(error) => return Err(refusal(&gateway, &posted.key, error).await),
            };
            Ok::<_, Problem>(answer(StatusCode::OK, &done))
        })
        .await
    })
    .await
}

impl BackfillText {
    fn read(self, key: &Key, now_ms: i64) -> Result<Backfill, Problem> {
        let mut wrongs = Wrongs::default();
        let moment =
            |field: &str, text: &str| sweep::moment(text, now_ms).map_err(|message| Wrong::new(field, message));
        let since_ms = wrongs.take(moment("since", &self.since));
        let until_ms = wrongs.take(self.until.as_deref().map(|text| moment("until", text)).transpose());
        let account = self.account.as_deref().map(|text| fields::line("account", text, 1..=ACCOUNT_BYTES_MAX));
        let account = wrongs.take(account.transpose());
        if let (Some(since), Some(Some(until))) = (since_ms, until_ms)
            && until <= since
        {
            wrongs.take::<()>(Err(Wrong::new("until", "is not after since")));
        }
        let (tenant, actor, dry_run) = (key.tenant.clone(), format!("key:{}", key.id), self.dry_run);
        let wanted = since_ms.zip(until_ms).zip(account).map(|((since_ms, until_ms), account)| Backfill {
            tenant,
            account,
            since_ms,
            until_ms,
            dry_run,
            actor,
        });
        Ok(wrongs.settle(wanted)?)
    }
}

async fn refusal(gateway: &Gateway, key: &Key, error: BackfillError) -> Problem {
    match error {
        BackfillError::Store(error) => error.into(),
        BackfillError::UnknownAccount(id) => {
            let anybodys = gateway.directory.account(&id).await.ok().flatten();
            if anybodys.is_some_and(|account| account.tenant != key.tenant) {
                gateway.metrics.tenant_crossing_refused();
                tracing::warn!(
                    account = id,
                    tenant = key.tenant,
                    key = key.id,
                    "refused to backfill another tenant's account"
                );
            }
            Problem::not_found("account", &id)
        }
        BackfillError::Accounts(_) => {
            Problem::new(ProblemKind::Unavailable, "the accounts cannot be read: the database cannot be reached")
        }
        BackfillError::Busy => {
            Problem::new(ProblemKind::Unavailable, "another backfill is under way on this node; try again later")
        }
    }
}

/// The longest account that is looked up.
const ACCOUNT_BYTES_MAX: usize = 100;
