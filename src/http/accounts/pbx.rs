//! PBXs among the accounts: added and changed only if they take the user and the secret.

use super::{
    configured_all, in_full, refresh,
    view::{AccountInFull, PbxView, stored},
};
use crate::{
    ami::{self, address},
    audit::Act,
    directory::{
        ApiKey, change,
        pbx::{self, Field, Line, PbxFields, PbxSettings, Tried},
    },
    fields::{Wrong, Wrongs},
    http::{
        Admin, Gateway, Problem, ProblemKind, body,
        idempotency::{Posted, answer},
    },
    seal::Owner,
    store::{
        StoreError,
        accounts::{self, AccountRow},
        pbx::PbxSettingRow,
    },
    transaction::{self, Answered, Done},
};
use actix_web::http::StatusCode;
use rand::{SeedableRng, rngs::StdRng};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

/// A PBX to add. Without `url` it is not connected to: it only pushes to `/webhooks/ami`.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewPbx)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PbxText {
    /// `asterisk`.
    #[schema(example = "asterisk")]
    #[expect(dead_code, reason = "it is what made this a PBX")]
    provider: String,
    /// Its name: the `account` of its calls. 1 to 64 of the characters A-Z, a-z, 0-9, `.`, `_` and `-`. It is taken for all
    /// tenants.
    #[schema(example = "pbx1")]
    id: String,
    /// Where it is: `ami://host:5038`, or `amis://host:5039` with TLS.
    #[schema(example = "amis://pbx.example.com:5039")]
    url: Option<String>,
    /// The user of manager.conf.
    #[schema(example = "onhook")]
    user: Option<String>,
    /// Its secret. It is stored sealed and never shown.
    #[schema(min_length = 1, max_length = 512)]
    secret: Option<String>,
    /// Certificates (PEM) that its TLS is checked with, in place of the system's.
    ca_pem: Option<String>,
    /// The country of numbers that are dialed without a country code; left out: that of ONHOOK_PHONE_REGION.
    #[schema(example = "US")]
    region: Option<String>,
}

/// Adds one.
pub(super) async fn create(gateway: &Gateway, posted: Posted<Admin>) -> Result<Answered, Problem> {
    let (key, now_ms) = (&posted.key, gateway.clock.now_ms());
    let PbxText { id, url, user, secret, ca_pem, region, .. } = body::parse_json(&posted.body)?;
    let mut wrongs = Wrongs::default();
    let name = address::check_name(&id).map_err(|allowed| Wrong::new("id", format!("is not {allowed}")));
    let name = wrongs.take(name);
    let fields = PbxFields { url, user, secret: secret.map(SecretString::from), ca_pem, region };
    let settings = fields.read(None, &mut wrongs);
    let ((), settings) = wrongs.settle(name.zip(settings))?;
    let taken = || Problem::new(ProblemKind::AlreadyExists, format!("the account {id} is taken"));
    // The configuration's PBX has its own settings; stored ones beside it would count for nothing.
    if gateway.directory.configured(&id).is_some() {
        return Err(taken());
    }
    try_login(gateway, &id, &settings).await?;
    let row = AccountRow {
        id: id.clone(),
        tenant: key.tenant.clone(),
        provider: ami::PROVIDER.to_owned(),
        verify: None,
        verify_until_ms: None,
        created_ms: now_ms,
        parent: None,
        api_base: settings.line.as_ref().map(|line| line.address.to_string()),
        api_key: settings.line.as_ref().map(|line| line.user.clone()),
    };
    let access = seal(gateway, &key.tenant, &id, &settings)?;
    let setting = setting_row(&key.tenant, &id, &settings, now_ms);
    let answered = transaction::run_once(&gateway.db, posted.ticket.as_ref(), async |tx| {
        change::add_pbx(tx, &row, &access, &setting).await?;
        let account = AccountInFull {
            account: stored(gateway, row.clone()),
            tokens: Vec::new(),
            pbx: Some(PbxView::of(&setting)),
            connection: None,
        };
        Ok(Done { value: answer(StatusCode::CREATED, &account), journal: Vec::new() })
    });
    let answered = answered.await.map_err(|error| match error {
        StoreError::Exists(_) => taken(),
        error => error.into(),
    })?;
    refresh(gateway).await;
    gateway.audit(key, Act::AccountAdded, &id, json!({ "provider": row.provider, "url": row.api_base })).await;
    tracing::info!(account = id, tenant = row.tenant, by = key.id, "added a PBX");
    Ok(answered)
}

/// Says how one is reached.
pub(super) async fn set_access(
    gateway: &Gateway,
    key: &crate::directory::Key,
    row: &AccountRow,
    fields: PbxFields,
) -> Result<AccountInFull, Problem> {
    let before = line_of(gateway, row).await?;
    let mut wrongs = Wrongs::default();
    let settings = fields.read(before.as_ref(), &mut wrongs);
    let settings = wrongs.settle(settings)?;
    try_login(gateway, &row.id, &settings).await?;
    let access = seal(gateway, &key.tenant, &row.id, &settings)?;
    let setting = setting_row(&key.tenant, &row.id, &settings, gateway.clock.now_ms());
    transaction::run(&gateway.db, async |tx| {
        let value = change::set_pbx(tx, &key.tenant, &row.id, &access, &setting).await?;
        Ok(Done { value, journal: Vec::new() })
    })
    .await?;
    changed(gateway, key, &row.id, &access).await;
    in_full(gateway, key, &row.id).await
}

/// Gives one a new secret. There is no old one that stays good: a PBX has one.
pub(super) async fn rotate(
    gateway: &Gateway,
    posted: &Posted<Admin>,
    row: &AccountRow,
    secret: Option<String>,
) -> Result<Answered, Problem> {
    let key = &posted.key;
    let Some(before) = line_of(gateway, row).await? else {
        let why = "is for a PBX that is connected to; this one only pushes, with a key of the scope ingest";
        return Err(Problem::field("secret", why));
    };
    let secret = SecretString::from(secret.ok_or_else(|| Problem::field("secret", "is missing: the new one"))?);
    pbx::check_secret(&secret)?;
    let line = before.with_secret(secret);
    let settings = PbxSettings { line: Some(line), region: None };
    try_login(gateway, &row.id, &settings).await?;
    let access = seal(gateway, &key.tenant, &row.id, &settings)?;
    let view = in_full(gateway, key, &row.id).await?;
    let answered = transaction::run_once(&gateway.db, posted.ticket.as_ref(), async |tx| {
        accounts::set_access(tx, &key.tenant, &row.id, &access).await?;
        Ok(Done { value: answer(StatusCode::OK, &view), journal: Vec::new() })
    });
    let answered = answered.await?;
    changed(gateway, key, &row.id, &access).await;
    Ok(answered)
}

async fn changed(gateway: &Gateway, key: &crate::directory::Key, id: &str, access: &accounts::Access) {
    refresh(gateway).await;
    let detail = json!({ "url": access.api_base, "user": access.api_key });
    gateway.audit(key, Act::AccountAccessChanged, id, detail).await;
    tracing::info!(account = id, by = key.id, "changed how a PBX is reached");
}

/// How a stored PBX is reached now.
async fn line_of(gateway: &Gateway, row: &AccountRow) -> Result<Option<Line>, Problem> {
    let known = gateway.directory.account(&row.id).await.map_err(|error| Problem::internal(&error))?;
    let setting = crate::store::pbx::find_setting(&gateway.db, &row.tenant, &row.id).await?;
    let key: Option<ApiKey> = known.and_then(|account| account.api_keys.first().cloned());
    let address = row.api_base.as_deref().and_then(|base| address::Address::parse(base).ok());
    let line = key.zip(address).map(|(key, address)| Line {
        address,
        user: key.sid,
        secret: key.secret,
        ca_pem: setting.and_then(|setting| setting.ca_pem),
    });
    Ok(line)
}

/// What cannot work must not be stored. What only pushes is asked nothing: its key says whose it is.
async fn try_login(gateway: &Gateway, id: &str, settings: &PbxSettings) -> Result<(), Problem> {
    let Some(line) = &settings.line else { return Ok(()) };
    let rng = gateway.with_rng(StdRng::from_rng);
    match pbx::try_login(line, gateway.clock.clone(), rng).await {
        Tried::Good(up) => {
            tracing::info!(account = id, ami_version = up.ami_version, "a PBX takes the login");
            Ok(())
        }
        Tried::Wrong { field, why } => {
            tracing::warn!(account = id, %field, "refused a PBX, nothing was changed: failed to {why}");
            Err(Problem::field(field.as_str(), wrong(field)))
        }
        Tried::Unavailable(why) => {
            tracing::warn!(account = id, "a PBX was not stored, and its request was answered 503: failed to {why}");
            let detail =
                "the PBX at url does not answer; see that it runs, that its port is open from here, and try again";
            Err(Problem::new(ProblemKind::Unavailable, detail))
        }
    }
}

const fn wrong(field: Field) -> &'static str {
    match field {
        Field::Url => "is not where Asterisk answers: what is there speaks no AMI",
        Field::Secret => {
            "is refused by the PBX: user or secret are wrong, or permit= of the user does not name the address of this gateway"
        }
        Field::Certificates => {
            "does not make TLS work: the certificate of the PBX is not trusted, or not for its name in url"
        }
    }
}

fn seal(gateway: &Gateway, tenant: &str, account: &str, settings: &PbxSettings) -> Result<accounts::Access, Problem> {
    let (base, key) = match &settings.line {
        Some(line) => (Some(line.address.to_string()), Some(line.key())),
        None => (None, None),
    };
    let owner = Owner { tenant, account };
    let sealed = gateway.with_rng(|rng| gateway.directory.seal_access(rng, owner, base, key.as_ref()));
    sealed.map_err(|error| Problem::internal(&error))
}

fn setting_row(tenant: &str, account: &str, settings: &PbxSettings, now_ms: i64) -> PbxSettingRow {
    PbxSettingRow {
        tenant: tenant.to_owned(),
        account: account.to_owned(),
        ca_pem: settings.line.as_ref().and_then(|line| line.ca_pem.clone()),
        region: settings.region.clone(),
        updated_ms: now_ms,
    }
}

/// Whether the PBX is the configuration's: then nothing of it is stored.
pub(super) fn is_configured(gateway: &Gateway, key: &crate::directory::Key, id: &str) -> bool {
    configured_all(gateway, key).any(|account| account.id == id && account.provider == ami::PROVIDER)
}
