//! Announcing a call: whose it will be, before the provider speaks of it.

use super::{
    Accounts, provider, show,
    view::{CallView, ExpectedView},
};
use crate::{
    directory::Account,
    domain::{
        id::Leg,
        state::Live,
        time::{MINUTE, Millis},
    },
    fields::{self, Wrong, Wrongs},
    http::{
        Can, Gateway, Problem, Write,
        idempotency::{Post, answer},
    },
    ingest::import::{self, Stated},
    store::{
        calls,
        expected::{self, ExpectedRow},
    },
    transaction::{self, Answer, Answered, Done, Ticket},
};
use actix_web::{HttpResponse, http::StatusCode, web::Data};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A call that will come, or that was just placed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Announcement {
    /// The provider's id, if it is known already.
    #[schema(example = "CA0123456789abcdef0123456789abcdef")]
    provider_id: Option<String>,
    /// The provider account. Left out: the tenant's only account.
    #[schema(example = "AC0123456789abcdef0123456789abcdef")]
    account: Option<String>,
    /// The called party: E.164, `client:…` or `sip:…`. Needed without `provider_id`.
    #[schema(example = "+14155550101")]
    to: Option<String>,
    /// The caller: E.164, `client:…` or `sip:…`. Without it any caller fits.
    #[schema(example = "+14155550100")]
    from: Option<String>,
    /// Your own id of the lead, 1 to 200 bytes.
    #[schema(example = "lead-42")]
    lead_id: Option<String>,
    /// The user it belongs to, up to 200 bytes.
    user_id: Option<String>,
    /// The extension it belongs to, up to 200 bytes.
    extension: Option<String>,
}

/// What an announcement came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum Announced {
    /// The call, where its provider id was given.
    Call(Box<CallView>),
    /// What is expected now.
    Expected {
        /// Matched once, first come, for ten minutes.
        expected: ExpectedView,
    },
}

/// Announces a call.
///
/// With `provider_id` the call is known from now on. Without, the next new call of the account to (and from) these
/// numbers within ten minutes is taken for it.
#[utoipa::path(post, path = "/v1/calls", tag = "calls", security(("key" = ["write"])), request_body = Announcement,
    responses(
        (status = 201, description = "The call, or what is expected", body = Announced),
        (status = 400, description = "`unreadable`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields` or `idempotency-mismatch`"),
    ))]
pub(in crate::http) async fn announce(post: Post<Write>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once_json(&gateway, async |posted, announcement: Announcement| {
        let accounts = Accounts::of(&gateway, &posted.key).await;
        let account = accounts.find(announcement.account.as_deref()).map_err(Problem::from)?;
        let region = gateway.config.phone_region.as_deref();
        let read = announcement.read(account, region, gateway.clock.now_ms()).map_err(Problem::from)?;
        let (key, ticket) = (&posted.key, posted.ticket.as_ref());
        match read {
            Announces::Known(call) => known(&gateway, key, ticket, provider(account), call).await,
            Announces::Coming(row) => coming(&gateway, key, ticket, row).await,
        }
    })
    .await
}

/// The two kinds of announcements.
enum Announces {
    /// Of a call with its provider id.
    Known(Stated),
    /// Of one without.
    Coming(Coming),
}

/// A call to expect.
struct Coming {
    account: String,
    to: String,
    from: Option<String>,
    lead_id: Option<String>,
    user_id: Option<String>,
    extension: Option<String>,
}

impl Announcement {
    fn read(&self, account: &Account, region: Option<&str>, now_ms: Millis) -> Result<Announces, Vec<Wrong>> {
        let mut wrongs = Wrongs::default();
        let word =
            |name: &str, text: &Option<String>| fields::optional_line(name, text.as_deref(), fields::WORD_BYTES_MAX);
        let address =
            |name: &str, text: &Option<String>| text.as_deref().map(|t| fields::address(name, t, region)).transpose();
        let provider_id = self.provider_id.as_deref().map(|id| import::provider_id("provider_id", id));
        let provider_id = wrongs.take(provider_id.transpose());
        let (to, from) = (wrongs.take(address("to", &self.to)), wrongs.take(address("from", &self.from)));
        if self.to.is_none() && self.provider_id.is_none() {
            wrongs.take::<()>(Err(Wrong::new("to", "is missing; without provider_id it says which call is meant")));
        }
        let lead_id = wrongs.take(self.lead_id.as_deref().map(|id| fields::lead_id("lead_id", id)).transpose());
        let user_id = wrongs.take(word("user_id", &self.user_id));
        let extension = wrongs.take(word("extension", &self.extension));
        let made = (|| {
            let account = account.id.clone();
            let (to, from, lead_id, user_id, extension) = (to?, from?, lead_id?, user_id?, extension?);
            Some(match provider_id? {
                Some(provider_id) => {
                    let leg = Leg { provider_id, account };
                    Announces::Known(Stated {
                        leg,
                        live: Live::Queued,
                        since_ms: now_ms,
                        from,
                        to,
                        lead_id,
                        user_id,
                        extension,
                    })
                }
                None => Announces::Coming(Coming { account, to: to?, from, lead_id, user_id, extension }),
            })
        })();
        wrongs.settle(made)
    }
}

async fn known(
    gateway: &Gateway,
    key: &Can<Write>,
    ticket: Option<&Ticket>,
    provider: &'static str,
    call: Stated,
) -> Result<Answered, Problem> {
    transaction::run_then_keep(&gateway.db, ticket, async || {
        let Leg { provider_id, account } = call.leg.clone();
        let refused = import::submit(&gateway.ingest, &key.tenant, provider, vec![call]).await?;
        if let Some((_, why)) = refused.first() {
            return Err(Problem::internal(&format!("the database refused an announced call: {why}")));
        }
        let row = calls::find(&gateway.db, &key.tenant, &provider_id, Some(&account)).await?.pop();
        let row = row.ok_or_else(|| Problem::internal(&"an announced call is not there"))?;
        Ok(answer(StatusCode::CREATED, &Announced::Call(Box::new(show(gateway, row)?))))
    })
    .await
}

async fn coming(
    gateway: &Gateway,
    key: &Can<Write>,
    ticket: Option<&Ticket>,
    coming: Coming,
) -> Result<Answered, Problem> {
    let created_ms = gateway.clock.now_ms();
    let row = ExpectedRow {
        tenant: key.tenant.clone(),
        id: gateway.new_id("exp"),
        account: coming.account,
        to: coming.to,
        from: coming.from,
        lead_id: coming.lead_id,
        user_id: coming.user_id,
        extension: coming.extension,
        created_ms,
        expires_ms: created_ms + EXPECTED_FOR_MS,
        matched: None,
    };
    let answered = transaction::run_once(&gateway.db, ticket, async |tx| {
        expected::insert(tx, &row).await?;
        let value: Answer = answer(StatusCode::CREATED, &Announced::Expected { expected: row.clone().into() });
        Ok(Done { value, journal: Vec::new() })
    });
    Ok(answered.await?)
}

/// How long an announced call may take to come.
const EXPECTED_FOR_MS: Millis = 10 * MINUTE;
