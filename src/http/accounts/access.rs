//! How Twilio is asked about an account: where, and with which API key in place of its token.

use super::{
    given::{secret, settle},
    in_full, pbx, refresh, require_stored,
    view::AccountInFull,
};
use crate::{
    ami,
    directory::{
        ApiKey,
        credentials::{self, Checked},
        pbx::PbxFields,
    },
    fields::{Wrong, Wrongs},
    http::{Admin, Can, Gateway, Problem, body::Json},
    seal::Owner,
    store::accounts,
    transaction::{self, Done},
    twilio::sid,
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use rand::RngExt;
use serde::Deserialize;
use url::Url;
use utoipa::ToSchema;

/// How Twilio is to be asked about an account (`api_…`), or how a PBX is reached (the others). What is left out or null is
/// taken away.
#[derive(Deserialize, ToSchema)]
#[schema(as = AccountAccess)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AccessText {
    /// `https://api.twilio.com`, or the host of the account's edge and region. Left out: where ONHOOK_TWILIO_API_BASE says.
    #[schema(example = "https://api.dublin.ie1.twilio.com")]
    api_base: Option<String>,
    /// An API key of the account, with `api_secret`: Twilio is asked with it before the token is tried. Left out: with the
    /// token only.
    #[schema(example = "SK00000000000000000000000000000001")]
    api_key: Option<String>,
    /// The secret of `api_key`. It is stored sealed and never shown.
    #[schema(min_length = 1, max_length = 512)]
    api_secret: Option<String>,
    /// Where a PBX is: `ami://host:5038`, or `amis://host:5039` with TLS. Left out: it only pushes to `/webhooks/ami`.
    #[schema(example = "amis://pbx.example.com:5039")]
    url: Option<String>,
    /// The user of its manager.conf.
    #[schema(example = "onhook")]
    user: Option<String>,
    /// The secret of that user. Left out: the stored one, if `url` and `user` are as they were.
    #[schema(min_length = 1, max_length = 512)]
    secret: Option<String>,
    /// Certificates (PEM) that its TLS is checked with. Left out: those of the system.
    ca_pem: Option<String>,
    /// The country of numbers that it dials without a country code. Left out: that of ONHOOK_PHONE_REGION.
    #[schema(example = "US")]
    region: Option<String>,
}

/// The fields of it, wherever they stand.
pub(super) struct AccessFields {
    pub(super) api_base: Option<String>,
    pub(super) api_key: Option<String>,
    pub(super) api_secret: Option<String>,
}

/// How Twilio is to be asked, read.
pub(super) struct Access {
    base: Option<Url>,
    pub(super) key: Option<ApiKey>,
}

/// Says where Twilio is asked about an account, and with which API key, if Twilio takes it there. Or how a PBX is reached, if
/// it lets the user log in. On other nodes it holds within 60 seconds.
#[utoipa::path(put, path = "/v1/accounts/{id}/access", operation_id = "access", tag = "accounts", security(("key" = ["admin"])),
    request_body = AccessText, params(("id" = String, Path, description = "The AccountSid, or the name of the PBX")),
    responses(
        (status = 200, description = "The account", body = AccountInFull),
        (status = 400, description = "`unreadable`"),
        (status = 404, description = "`not-found`"),
        (status = 413, description = "`too-large`"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`, also if Twilio refuses the key, or the account's tokens at `api_base`, or the PBX the login"),
        (status = 503, description = "`unavailable`: also if Twilio or the PBX cannot be asked; see Retry-After"),
    ))]
pub(in crate::http) async fn set_access(
    key: Can<Admin>,
    id: Path<String>,
    Json(text): Json<AccessText>,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let row = require_stored(&gateway, &key, &id).await?;
    let AccessText { api_base, api_key, api_secret, url, user, secret, ca_pem, region } = text;
    let of_twilio = [("api_base", &api_base), ("api_key", &api_key), ("api_secret", &api_secret)];
    let of_pbx = [("url", &url), ("user", &user), ("secret", &secret), ("ca_pem", &ca_pem), ("region", &region)];
    if row.provider == ami::PROVIDER {
        refuse_others(&of_twilio, "is for a Twilio account; this is a PBX")?;
        let fields = PbxFields { url, user, secret: secret.map(Into::into), ca_pem, region };
        return Ok(HttpResponse::Ok().json(pbx::set_access(&gateway, &key, &row, fields).await?));
    }
    refuse_others(&of_pbx, "is for a PBX; this is a Twilio account")?;
    let mut wrongs = Wrongs::default();
    let access = AccessFields { api_base, api_key, api_secret }.read(&gateway, &mut wrongs);
    let access = wrongs.settle(access)?;
    match (&access.key, &access.base) {
        (Some(api_key), _) => check_key(&gateway, &id, access.base(&gateway), api_key).await?,
        (None, Some(base)) => check_base(&gateway, &id, base).await?,
        (None, None) => {}
    }
    let row = access.seal(&gateway, &key.tenant, &id)?;
    transaction::run(&gateway.db, async |tx| {
        let value = accounts::set_access(tx, &key.tenant, &id, &row).await?;
        Ok(Done { value, journal: Vec::new() })
    })
    .await?;
    refresh(&gateway).await;
    tracing::info!(account = *id, by = key.id, "changed how Twilio is asked about an account");
    Ok(HttpResponse::Ok().json(in_full(&gateway, &key, &id).await?))
}

/// Fields that another provider has.
fn refuse_others(fields: &[(&str, &Option<String>)], why: &str) -> Result<(), Problem> {
    let set: Vec<Wrong> =
        fields.iter().filter(|(_, text)| text.is_some()).map(|(field, _)| Wrong::new(*field, why)).collect();
    if set.is_empty() { Ok(()) } else { Err(set.into()) }
}

impl AccessFields {
    pub(super) fn read(self, gateway: &Gateway, wrongs: &mut Wrongs) -> Option<Access> {
        let configured = &gateway.config.twilio.api_base;
        let base = self
            .api_base
            .map(|text| credentials::read_api_base(&text, configured).map_err(|why| Wrong::new("api_base", why)));
        let base = wrongs.take(base.transpose());
        let key = match (self.api_key, self.api_secret) {
            (None, None) => Some(None),
            (Some(sid), Some(text)) => {
                let shape = Wrong::new("api_key", format!("is not {}", sid::KEY.allowed));
                let sid = wrongs.take(if sid::KEY.fits(&sid) { Ok(sid) } else { Err(shape) });
                let secret = wrongs.take(secret("api_secret", &text));
                sid.zip(secret).map(|(sid, secret)| Some(ApiKey { sid, secret }))
            }
            (Some(_), None) => wrongs.take(Err(Wrong::new("api_secret", "is missing: it goes with api_key"))),
            (None, Some(_)) => wrongs.take(Err(Wrong::new("api_key", "is missing: it goes with api_secret"))),
        };
        Some(Access { base: base?, key: key? })
    }
}

impl Access {
    pub(super) fn base<'a>(&'a self, gateway: &'a Gateway) -> &'a Url {
        self.base.as_ref().unwrap_or(&gateway.config.twilio.api_base)
    }

    pub(super) fn base_text(&self) -> Option<String> {
        self.base.as_ref().map(|base| base.as_str().trim_end_matches('/').to_owned())
    }

    pub(super) fn seal(&self, gateway: &Gateway, tenant: &str, account: &str) -> Result<accounts::Access, Problem> {
        let owner = Owner { tenant, account };
        let sealed =
            gateway.with_rng(|rng| gateway.directory.seal_access(rng, owner, self.base_text(), self.key.as_ref()));
        sealed.map_err(|error| Problem::internal(&error))
    }
}

/// Twilio must let the key ask for the account's calls there.
pub(super) async fn check_key(gateway: &Gateway, sid: &str, base: &Url, key: &ApiKey) -> Result<(), Problem> {
    let seed = gateway.with_rng(|rng| rng.random());
    let refused =
        "it is not the secret of a key that may read the calls of this account, or the key is of another region";
    settle(credentials::check_key(base, sid, key, seed).await, sid, "api_secret", refused).map(drop)
}

/// Of the tokens that are good now, Twilio must take one there. An account without any may be of its parent.
async fn check_base(gateway: &Gateway, sid: &str, base: &Url) -> Result<(), Problem> {
    let known = gateway.directory.account(sid).await.map_err(|error| Problem::internal(&error))?;
    let now_ms = gateway.clock.now_ms();
    let tokens = known.iter().flat_map(|account| &account.tokens);
    let mut refusal = Ok(());
    for token in tokens.filter(|token| token.expires_ms.is_none_or(|at| now_ms < at)) {
        let seed = gateway.with_rng(|rng| rng.random());
        match credentials::check(base, sid, &token.text, seed).await {
            Checked::Good { .. } => return Ok(()),
            checked => {
                refusal = settle(checked, sid, "api_base", "none of the account's tokens is of this region").map(drop)
            }
        }
    }
    refusal
}
