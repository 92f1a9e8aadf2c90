//! What people fill in for an account, and whether Twilio takes the token.

use super::{
    access::{Access, AccessFields},
    pbx::PbxText,
};
use crate::{
    ami,
    directory::credentials::{self, Checked},
    domain::time::Millis,
    fields::{self, Wrong, Wrongs},
    http::{Gateway, Problem, ProblemKind},
    store::accounts::AccountRow,
    twilio::sid,
};
use rand::RngExt;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

/// An account to add.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewAccount)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AccountText {
    /// `twilio`, which it is if left out.
    #[schema(example = "twilio")]
    #[expect(dead_code, reason = "it is what made this a Twilio account")]
    provider: Option<String>,
    /// The AccountSid.
    #[schema(example = "AC00000000000000000000000000000001")]
    sid: String,
    /// Its auth token. It is stored sealed and never shown.
    #[schema(min_length = 1, max_length = 512)]
    token: String,
    /// The account it is a sub-account of: one of yours.
    parent: Option<String>,
    /// Where Twilio is asked about it: `https://api.twilio.com`, or the host of its edge and region. Left out: where
    /// ONHOOK_TWILIO_API_BASE says.
    #[schema(example = "https://api.dublin.ie1.twilio.com")]
    api_base: Option<String>,
    /// An API key of the account, with `api_secret`: Twilio is asked with it before the token is tried. Webhooks are verified
    /// with the token all the same.
    #[schema(example = "SK00000000000000000000000000000001")]
    api_key: Option<String>,
    /// The secret of `api_key`. It is stored sealed and never shown.
    #[schema(min_length = 1, max_length = 512)]
    api_secret: Option<String>,
}

/// What `POST /v1/accounts` takes.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is described only; what is sent is read by its provider")]
pub(in crate::http) enum NewAccount {
    /// A Twilio account.
    Twilio(AccountText),
    /// A PBX.
    Asterisk(PbxText),
}

impl NewAccount {
    /// Whether it is a PBX that is to be added.
    pub(super) fn is_pbx(body: &[u8]) -> Result<bool, Problem> {
        // What is no object is refused by whoever reads it whole.
        let named: Option<Named> = serde_json::from_slice(body).ok();
        match named.and_then(|named| named.provider).as_deref() {
            None | Some("twilio") => Ok(false),
            Some(ami::PROVIDER) => Ok(true),
            Some(_) => Err(Problem::field("provider", "is none of: twilio, asterisk")),
        }
    }
}

/// Which provider is named.
#[derive(Deserialize)]
struct Named {
    provider: Option<String>,
}

/// An account to add, read.
pub(super) struct Given {
    pub(super) row: AccountRow,
    pub(super) token: SecretString,
    pub(super) access: Access,
}

impl AccountText {
    pub(super) fn read(self, gateway: &Gateway, tenant: &str, now_ms: Millis) -> Result<Given, Vec<Wrong>> {
        let mut wrongs = Wrongs::default();
        let shape = |field: &str, text: String| match sid::ACCOUNT.fits(&text) {
            true => Ok(text),
            false => Err(Wrong::new(field, format!("is not {}", sid::ACCOUNT.allowed))),
        };
        let id = wrongs.take(shape("sid", self.sid));
        let parent = wrongs.take(self.parent.map(|parent| shape("parent", parent)).transpose());
        let token = wrongs.take(secret("token", &self.token));
        let Self { api_base, api_key, api_secret, .. } = self;
        let access = AccessFields { api_base, api_key, api_secret }.read(gateway, &mut wrongs);
        let made = (|| {
            let access = access?;
            let row = AccountRow {
                id: id?,
                tenant: tenant.to_owned(),
                provider: "twilio".to_owned(),
                verify: None,
                verify_until_ms: None,
                created_ms: now_ms,
                parent: parent?,
                api_base: access.base_text(),
                api_key: access.key.as_ref().map(|key| key.sid.clone()),
            };
            Some(Given { row, token: token?, access })
        })();
        wrongs.settle(made)
    }
}

/// A token, or the secret of a key. The value is never in the message.
pub(super) fn secret(field: &str, text: &str) -> Result<SecretString, Wrong> {
    fields::line(field, text, 1..=SECRET_BYTES_MAX)?;
    match text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text.into()),
        false => Err(Wrong::new(field, "has other characters than visible ASCII without spaces")),
    }
}

/// Twilio must take the token: else anybody could claim an account whose sid he has seen, or put an end on good tokens
/// with a wrong one. Answers whose sub-account it is, as far as Twilio says so.
pub(super) async fn check(
    gateway: &Gateway,
    row: &AccountRow,
    token: &SecretString,
) -> Result<Option<String>, Problem> {
    let (sid, seed) = (&row.id, gateway.with_rng(|rng| rng.random()));
    let own = row.api_base.as_deref().and_then(|base| base.parse().ok());
    let base = own.as_ref().unwrap_or(&gateway.config.twilio.api_base);
    settle(credentials::check(base, sid, token, seed).await, sid, "token", "it is not an auth token of this account")
}

/// What Twilio's answer means for the field that holds the secret.
pub(super) fn settle(checked: Checked, sid: &str, field: &str, refused: &str) -> Result<Option<String>, Problem> {
    match checked {
        Checked::Good { owner } => Ok(owner),
        Checked::Refused(why) => {
            tracing::warn!(account = sid, field, "refused credentials, nothing was changed: failed to {why}");
            Err(Problem::field(field, format!("is refused by Twilio: {refused}")))
        }
        Checked::Unavailable(why) => {
            tracing::error!(
                account = sid,
                field,
                "credentials were not stored, and their request was answered 503: failed to {why}"
            );
            Err(Problem::new(
                ProblemKind::Unavailable,
                "Twilio cannot be asked about the account now; try again shortly",
            ))
        }
    }
}

const SECRET_BYTES_MAX: usize = 512;
