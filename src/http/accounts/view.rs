//! Accounts as they are shown.

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
    /// The AccountSid.
    #[schema(example = "AC00000000000000000000000000000001")]
    pub(super) id: String,
    /// Which provider.
    #[schema(example = "twilio")]
    pub(super) provider: String,
    /// The account it is a sub-account of. It signs with its own token all the same.
    pub(super) parent: Option<String>,
    /// Where Twilio is asked about it; null: where ONHOOK_TWILIO_API_BASE says.
    #[schema(example = "https://api.dublin.ie1.twilio.com")]
    pub(super) api_base: Option<String>,
    /// The stored API key with which Twilio is asked before the token is tried; null: there is none. Its secret is never shown.
    #[schema(example = "SK00000000000000000000000000000001")]
    pub(super) api_key: Option<String>,
    /// How its webhooks are verified now.
    pub(super) verify: VerifyMode,
    /// Until when that holds; null: until it is changed.
    pub(super) verify_until: Option<Moment>,
    /// Whether it is the account of TWILIO_ACCOUNT_SID, with that token beside the stored ones.
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
        api_base: None,
        api_key: gateway.config.twilio.api_key.clone(),
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
