//! Accounts as they are shown.

use super::connection::ConnectionView;
pub(super) use super::connection::PbxView;
use crate::{
    config::VerifyMode,
    directory::Account,
    http::{Gateway, time::Moment},
    store::accounts::{AccountRow, SecretRow},
};
use serde::Serialize;
use utoipa::ToSchema;

/// A provider account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub(in crate::http) struct AccountView {
    /// The AccountSid, or the name of the PBX.
    #[schema(example = "AC00000000000000000000000000000001")]
    pub(super) id: String,
    /// Which provider.
    #[schema(example = "twilio")]
    pub(super) provider: String,
    /// The account it is a sub-account of. It signs with its own token all the same.
    pub(super) parent: Option<String>,
    /// Where Twilio is asked about it; null: where ONHOOK_TWILIO_API_BASE says. Of a PBX: where it is; null: it only pushes.
    #[schema(example = "https://api.dublin.ie1.twilio.com")]
    pub(super) api_base: Option<String>,
    /// The stored API key with which Twilio is asked before the token is tried; null: there is none. Of a PBX: the user of
    /// manager.conf. Its secret is never shown.
    #[schema(example = "SK00000000000000000000000000000001")]
    pub(super) api_key: Option<String>,
    /// How its webhooks are verified now.
    pub(super) verify: VerifyMode,
    /// Until when that holds; null: until it is changed.
    pub(super) verify_until: Option<Moment>,
    /// Whether it is the account of TWILIO_ACCOUNT_SID, with that token beside the stored ones; or the PBX of ONHOOK_AMI_URL.
    pub(super) configured: bool,
    /// When it was stored; null: it is configured only.
    pub(super) created_at: Option<Moment>,
}

/// A provider account with its tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountInFull)]
pub(in crate::http) struct AccountInFull {
    #[serde(flatten)]
    pub(super) account: AccountView,
    /// Its stored tokens, oldest first. Their texts are never shown.
    pub(super) tokens: Vec<TokenView>,
    /// What is set for a PBX; left out for a Twilio account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pbx: Option<PbxView>,
    /// How it goes with a PBX; left out for a Twilio account, and as long as no gateway has looked after the PBX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<ConnectionView>,
}

impl AccountInFull {
    pub(super) const fn of_twilio(account: AccountView, tokens: Vec<TokenView>) -> Self {
        Self { account, tokens, pbx: None, connection: None }
    }
}

/// A stored token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountToken)]
pub(in crate::http) struct TokenView {
    /// Its id.
    #[schema(example = "tok_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    pub(super) id: String,
    /// When it was added.
    pub(super) created_at: Moment,
    /// From when on it verifies nothing; null: it stays.
    pub(super) expires_at: Option<Moment>,
}

/// A stored account.
pub(super) fn stored(gateway: &Gateway, row: AccountRow) -> AccountView {
    let over = row.verify_until_ms.is_some_and(|until| until <= gateway.clock.now_ms());
    let said = row.verify.as_deref().map(|word| word.parse().unwrap_or(VerifyMode::Enforce));
    AccountView {
        configured: gateway.directory.configured(&row.id).is_some_and(|account| account.tenant == row.tenant),
        verify: if over { VerifyMode::Enforce } else { said.unwrap_or(gateway.config.verify) },
        verify_until: row.verify_until_ms.filter(|_| !over).map(Moment),
        id: row.id,
        provider: row.provider,
        parent: row.parent,
        api_base: row.api_base,
        api_key: row.api_key,
        created_at: Some(Moment(row.created_ms)),
    }
}

/// An account that is configured only.
pub(super) fn of_configuration(gateway: &Gateway, account: &Account) -> AccountView {
    AccountView {
        id: account.id.clone(),
        provider: account.provider.clone(),
        parent: None,
        api_base: account.api_base.as_ref().map(|base| base.as_str().to_owned()),
        api_key: account.api_keys.first().map(|key| key.sid.clone()),
        verify: gateway.config.verify,
        verify_until: None,
        configured: true,
        created_at: None,
    }
}

impl From<SecretRow> for TokenView {
    fn from(row: SecretRow) -> Self {
        Self { id: row.id, created_at: Moment(row.created_ms), expires_at: row.expires_ms.map(Moment) }
    }
}
