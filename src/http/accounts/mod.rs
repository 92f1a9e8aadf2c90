//! Provider accounts of a tenant: which there are, how their webhooks are verified, and their tokens, whose texts are
//! never shown.

mod access;
mod connection;
mod given;
mod pbx;
mod text;
mod view;

pub(super) use access::{__path_set_access, set_access};

use super::{
    Admin, Can, Gateway, Problem, ProblemKind,
    body::{Json, Query, parse_json},
    idempotency::{Post, answer},
    page::{Limit, List, Page},
};
use crate::{
    ami,
    audit::Act,
    config::VerifyMode,
    directory::{
        Account, Key,
        change::{self, KEEP_OLD_MS, OBSERVE_MS, TOKENS_MAX},
    },
    domain::time::{MINUTE, Millis, rfc3339},
    fields::{Wrong, Wrongs},
    seal::Owner,
    store::{
        StoreError,
        accounts::{self, AccountRow, SecretRow},
    },
    transaction::{self, Done},
};
use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use given::{AccountText, Given, NewAccount};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use text::span;
use utoipa::{IntoParams, ToSchema};
use view::{AccountInFull, AccountView, TokenView, of_configuration, stored};

/// How webhooks of an account are to be verified.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AccountVerify)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyText {
    /// `enforce`, or `observe`: what does not verify is let in and marked.
    mode: VerifyMode,
    /// How long `observe` holds, such as `24h`; `7d` if it is left out, at most `30d`.
    #[schema(example = "24h")]
    r#for: Option<String>,
}

/// A token of Twilio's, or the secret of a PBX, to go on with.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewToken)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenText {
    /// The new auth token of a Twilio account.
    #[schema(min_length = 1, max_length = 512)]
    token: Option<String>,
    /// How long the other stored tokens stay good, such as `24h`, which it is if left out; `0s` to `30d`.
    #[schema(example = "24h")]
    keep_old: Option<String>,
    /// The new secret of the user of a PBX. There is no old one that stays good: a PBX takes one.
    #[schema(min_length = 1, max_length = 512)]
    secret: Option<String>,
}

impl TokenText {
    fn of_twilio(self) -> Result<(SecretString, Millis), Problem> {
        let mut wrongs = Wrongs::default();
        let text = self.token.ok_or_else(|| Wrong::new("token", "is missing: the new auth token"));
        let token = wrongs.take(text.and_then(|text| given::secret("token", &text)));
        let keep_ms = wrongs.take(span("keep_old", self.keep_old.as_deref(), KEEP_OLD_MS, 0));
        if self.secret.is_some() {
            wrongs.take::<()>(Err(Wrong::new("secret", "is for a PBX; a Twilio account has a token")));
        }
        Ok(wrongs.settle(token.zip(keep_ms))?)
    }

    fn of_pbx(self) -> Result<Option<String>, Problem> {
        let others = [("token", self.token.is_some()), ("keep_old", self.keep_old.is_some())];
        match others.into_iter().find(|(_, is_set)| *is_set) {
            Some((field, _)) => Err(Problem::field(field, "is for a Twilio account; a PBX has a secret")),
            None => Ok(self.secret),
        }
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

/// The tenant's provider accounts, by id.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts", security(("key" = ["admin"])), params(Which), responses(
    (status = 200, description = "A page of accounts", body = Page<AccountView>),
    (status = 400, description = "`bad-filter` or `bad-cursor`"),
))]
pub(super) async fn list(
    key: Can<Admin>,
    Query(which): Query<Which>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let list = List::of("accounts", "");
    let after: String = list.position(which.cursor.as_deref())?.unwrap_or_default();
    let rows = accounts::list(&gateway.db, &key.tenant, &after, which.limit.fetch()).await?;
    let mut views: Vec<AccountView> = rows.into_iter().map(|row| stored(&gateway, row)).collect();
    // Where one is beyond this page, the page is cut before it, and the next one has it.
    for configured in configured_all(&gateway, &key).filter(|account| account.id > after) {
        if !views.iter().any(|view| view.id == configured.id) {
            views.push(of_configuration(&gateway, configured));
        }
    }
    views.sort_by(|a, b| a.id.cmp(&b.id));
    let page = list.page(which.limit, views, |view| view.id.clone(), Ok)?;
    Ok(HttpResponse::Ok().json(page))
}

/// Adds a provider account. A Twilio account with its auth token, and with an API key if one is given, if Twilio takes them:
/// its webhooks are taken at once. Or (`"provider": "asterisk"`) a PBX, if it lets the user log in with the secret.
///
/// Any host may be named as the `url` of a PBX, also one in a private network.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", security(("key" = ["admin"])), request_body = NewAccount, responses(
    (status = 201, description = "The account", body = AccountInFull),
    (status = 400, description = "`unreadable`"),
    (status = 409, description = "`already-exists`: you or somebody else has it"),
    (status = 413, description = "`too-large`"),
    (status = 415, description = "`unsupported-media-type`"),
    (status = 422, description = "`invalid-fields`, also if Twilio refuses the token or the key, or the PBX the login, or `idempotency-mismatch`"),
    (status = 503, description = "`unavailable`: also if Twilio or the PBX cannot be asked; see Retry-After"),
))]
pub(super) async fn create(post: Post<Admin>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    post.once(&gateway, gateway.config.limits.rest_body_bytes_max, async |posted| {
        posted.expect_media_type(&["application/json"])?;
        if NewAccount::is_pbx(&posted.body)? {
            return pbx::create(&gateway, posted).await;
        }
        let text: AccountText = parse_json(&posted.body)?;
        let (key, now_ms) = (&posted.key, gateway.clock.now_ms());
        let Given { row, token, access } = text.read(&gateway, &key.tenant, now_ms)?;
        let taken = || Problem::new(ProblemKind::AlreadyExists, format!("the account {} is taken", row.id));
        if gateway.directory.configured(&row.id).is_some_and(|account| account.tenant != key.tenant) {
            return Err(taken());
        }
        let parent = configured(&gateway, key).map(|account| account.id.as_str()).filter(|id| *id != row.id);
        if let Some(wanted) = row.parent.as_deref().filter(|wanted| Some(*wanted) != parent)
            && !change::is_main(&gateway.db, &key.tenant, wanted).await?
        {
            return Err(Problem::field("parent", "is no main account of yours; add it first"));
        }
        let owner = given::check(&gateway, &row, &token).await?;
        if row.parent.is_some() && owner.is_some() && row.parent != owner {
            return Err(Problem::field("parent", "is not the account that Twilio names as its owner"));
        }
        if let Some(key) = &access.key {
            access::check_key(&gateway, &row.id, access.base(&gateway), key).await?;
        }
        let secret = seal(&gateway, &row.tenant, &row.id, &token)?;
        let access = access.seal(&gateway, &row.tenant, &row.id)?;
        let answered = transaction::run_once(&gateway.db, posted.ticket.as_ref(), async |tx| {
            change::add(tx, &row, &secret, &access).await?;
            let account =
                AccountInFull::of_twilio(stored(&gateway, row.clone()), vec![TokenView::from(secret.clone())]);
            Ok(Done { value: answer(StatusCode::CREATED, &account), journal: Vec::new() })
        });
        let answered = answered.await.map_err(|error| match error {
            StoreError::Exists(_) => taken(),
            error => error.into(),
        })?;
        refresh(&gateway).await;
        gateway.audit(key, Act::AccountAdded, &row.id, json!({ "parent": row.parent, "token": secret.id })).await;
        tracing::info!(account = row.id, tenant = row.tenant, by = key.id, "added a provider account");
        Ok(answered)
    })
    .await
}

/// One account, with its tokens.
#[utoipa::path(get, path = "/v1/accounts/{id}", operation_id = "get", tag = "accounts", security(("key" = ["admin"])),
    params(("id" = String, Path, description = "The AccountSid, or the name of the PBX")),
    responses((status = 200, description = "The account", body = AccountInFull), (status = 404, description = "`not-found`")))]
pub(super) async fn load(key: Can<Admin>, id: Path<String>, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(in_full(&gateway, &key, &id).await?))
}

/// Says what happens to webhooks of an account that do not verify. On other nodes it holds within 60 seconds.
#[utoipa::path(put, path = "/v1/accounts/{id}/verify", tag = "accounts", security(("key" = ["admin"])), request_body = VerifyText,
    params(("id" = String, Path, description = "The AccountSid, or the name of the PBX")),
    responses(
        (status = 200, description = "The account", body = AccountInFull),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`"),
    ))]
pub(super) async fn verify(
    key: Can<Admin>,
    id: Path<String>,
    Json(text): Json<VerifyText>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    if require_stored(&gateway, &key, &id).await?.provider == ami::PROVIDER {
        let why = "is for webhooks that are signed; a PBX pushes with a key of the scope ingest";
        return Err(Problem::field("mode", why));
    }
    let given = text.r#for.as_deref();
    let until_ms = match text.mode {
        VerifyMode::Observe => {
            Some(gateway.clock.now_ms() + span("for", given, OBSERVE_MS, MINUTE).map_err(Problem::from)?)
        }
        VerifyMode::Enforce if given.is_some() => return Err(Problem::field("for", "is for observe only")),
        VerifyMode::Enforce => None,
    };
    transaction::run(&gateway.db, async |tx| {
        let value = accounts::set_verify(tx, &key.tenant, &id, Some(text.mode.as_str()), until_ms).await?;
        Ok(Done { value, journal: Vec::new() })
    })
    .await?;
    refresh(&gateway).await;
    let detail = json!({ "mode": text.mode, "until": until_ms.map(rfc3339) });
    gateway.audit(&key, Act::AccountVerifyChanged, &id, detail).await;
    tracing::info!(account = *id, mode = text.mode.as_str(), by = key.id, "changed how webhooks are verified");
    Ok(HttpResponse::Ok().json(in_full(&gateway, &key, &id).await?))
}

/// Gives a Twilio account a new token, which verifies at once, if Twilio takes it; the others stay good for a while. Or a PBX
/// a new secret, if it takes it.
#[utoipa::path(post, path = "/v1/accounts/{id}/rotate", tag = "accounts", security(("key" = ["admin"])), request_body = TokenText,
    params(("id" = String, Path, description = "The AccountSid, or the name of the PBX")),
    responses(
        (status = 200, description = "The account", body = AccountInFull),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`, also if Twilio refuses the token, or the PBX the secret, or `idempotency-mismatch`"),
        (status = 503, description = "`unavailable`: also if Twilio cannot be asked; see Retry-After"),
    ))]
pub(super) async fn rotate(
    post: Post<Admin>,
    id: Path<String>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    post.once_json(&gateway, async |posted, text: TokenText| {
        let key = &posted.key;
        let row = require_stored(&gateway, key, &id).await?;
        if row.provider == ami::PROVIDER {
            return pbx::rotate(&gateway, &posted, &row, text.of_pbx()?).await;
        }
        let (token, keep_ms) = text.of_twilio()?;
        let there = accounts::list_secrets(&gateway.db, &key.tenant, &id, TOKENS_LISTED).await?.len();
        if i64::try_from(there).unwrap_or(TOKENS_MAX) >= TOKENS_MAX {
            let message = format!("would be one more than the {TOKENS_MAX} an account may have; delete one");
            return Err(Problem::field("token", message));
        }
        // A wrong token must not put an end on those that are good.
        given::check(&gateway, &row, &token).await?;
        let secret = seal(&gateway, &key.tenant, &id, &token)?;
        let until_ms = gateway.clock.now_ms() + keep_ms;
        let rotated = transaction::run_once(&gateway.db, posted.ticket.as_ref(), async |tx| {
            change::turn(tx, &key.tenant, &secret, Some(until_ms)).await?;
            let tokens = accounts::list_secrets(&mut *tx, &key.tenant, &id, TOKENS_LISTED).await?;
            let tokens = tokens.into_iter().map(TokenView::from).collect();
            let account = AccountInFull::of_twilio(stored(&gateway, row.clone()), tokens);
            Ok(Done { value: answer(StatusCode::OK, &account), journal: Vec::new() })
        });
        let rotated = rotated.await?;
        refresh(&gateway).await;
        let detail = json!({ "token": secret.id, "old_until": rfc3339(until_ms) });
        gateway.audit(key, Act::AccountRotated, &id, detail).await;
        tracing::info!(account = *id, token = secret.id, by = key.id, "gave an account a new token");
        Ok(rotated)
    })
    .await
}

/// Deletes a stored token. On other nodes it verifies nothing within 60 seconds.
#[utoipa::path(delete, path = "/v1/accounts/{id}/tokens/{token}", tag = "accounts", security(("key" = ["admin"])),
    params(("id" = String, Path, description = "The AccountSid, or the name of the PBX"), ("token" = String, Path, description = "The token's id")),
    responses((status = 204, description = "It is gone"), (status = 404, description = "`not-found`")))]
pub(super) async fn delete_token(
    key: Can<Admin>,
    path: Path<(String, String)>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (id, token) = path.into_inner();
    require_stored(&gateway, &key, &id).await?;
    let plain = !token.chars().any(char::is_control);
    let gone = transaction::run(&gateway.db, async |tx| {
        let value = if plain { accounts::delete_secret(tx, &key.tenant, &id, &token).await? } else { 0 };
        Ok(Done { value, journal: Vec::new() })
    });
    if gone.await? == 0 {
        return Err(Problem::not_found("token", &token));
    }
    refresh(&gateway).await;
    gateway.audit(&key, Act::TokenDeleted, &id, json!({ "token": token })).await;
    tracing::info!(account = id, token, by = key.id, "deleted a token");
    Ok(HttpResponse::NoContent().finish())
}

/// The accounts of the configuration that are this tenant's.
fn configured_all<'a>(gateway: &'a Gateway, key: &'a Key) -> impl Iterator<Item = &'a Account> {
    gateway.directory.configured_of(&key.tenant)
}

/// The Twilio account of the configuration, if it is this tenant's.
fn configured<'a>(gateway: &'a Gateway, key: &Key) -> Option<&'a Account> {
    let sid = gateway.config.twilio.account_sid.as_deref()?;
    gateway.directory.configured(sid).filter(|account| account.tenant == key.tenant)
}

async fn find(gateway: &Gateway, key: &Key, id: &str) -> Result<Option<AccountRow>, Problem> {
    if id.chars().any(char::is_control) {
        return Ok(None);
    }
    Ok(accounts::find(&gateway.db, &key.tenant, id).await?)
}

async fn require_stored(gateway: &Gateway, key: &Key, id: &str) -> Result<AccountRow, Problem> {
    if let Some(row) = find(gateway, key, id).await? {
        return Ok(row);
    }
    if pbx::is_configured(gateway, key, id) {
        let detail = format!("{id} is configured by ONHOOK_AMI_URL and not stored; change it there and restart");
        return Err(Problem::new(ProblemKind::NotFound, detail));
    }
    if configured(gateway, key).is_some_and(|account| account.id == id) {
        let detail =
            format!("{id} is configured by TWILIO_ACCOUNT_SID and not stored; POST /v1/accounts stores it too");
        return Err(Problem::new(ProblemKind::NotFound, detail));
    }
    Err(Problem::not_found("account", id))
}

async fn in_full(gateway: &Gateway, key: &Key, id: &str) -> Result<AccountInFull, Problem> {
    let configured = configured_all(gateway, key).find(|account| account.id == id);
    let mut shown = match (find(gateway, key, id).await?, configured) {
        // A PBX of the configuration is as it is configured, whatever is stored of it.
        (_, Some(account)) if account.provider == ami::PROVIDER => {
            AccountInFull::of_twilio(of_configuration(gateway, account), Vec::new())
        }
        (Some(row), _) => {
            let tokens = accounts::list_secrets(&gateway.db, &key.tenant, id, TOKENS_LISTED).await?;
            AccountInFull::of_twilio(stored(gateway, row), tokens.into_iter().map(TokenView::from).collect())
        }
        (None, Some(account)) => AccountInFull::of_twilio(of_configuration(gateway, account), Vec::new()),
        (None, None) => return Err(Problem::not_found("account", id)),
    };
    if shown.account.provider == ami::PROVIDER {
        shown.pbx = Some(connection::settings(gateway, key, id, configured.is_some()).await?);
        shown.connection = connection::load(gateway, key, id).await?;
    }
    Ok(shown)
}

fn seal(gateway: &Gateway, tenant: &str, account: &str, token: &SecretString) -> Result<SecretRow, Problem> {
    let sealed = gateway.with_rng(|rng| gateway.directory.seal_token(rng, Owner { tenant, account }, token));
    sealed.map_err(|error| Problem::internal(&error))
}

/// A node that cannot read what it has just written finds it within the age of its snapshot.
async fn refresh(gateway: &Gateway) {
    if let Err(error) = gateway.directory.refresh().await {
        tracing::warn!("a change of the accounts takes effect within 60 s: failed to {error}");
    }
}

/// More than an account may have.
const TOKENS_LISTED: i64 = 1_000;
