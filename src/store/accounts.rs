//! Provider accounts and their sealed tokens. An account belongs to one tenant and is found before that is known.

use super::{
    On, StoreError, Tx,
    sql::{columns, hex_column, statements},
};
use serde::Serialize;
use sqlx::FromRow;

/// A provider account: a Twilio AccountSid or the name of a PBX.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct AccountRow {
    /// The provider's id of it.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Which provider.
    pub provider: String,
    /// `enforce` or `observe`; `None` leaves it to the configuration.
    pub verify: Option<String>,
    /// Until when `observe` holds, in Unix milliseconds.
    pub verify_until_ms: Option<i64>,
    /// When it was added.
    pub created_ms: i64,
    /// The account it is a sub-account of.
    pub parent: Option<String>,
    /// Where its provider is asked about it; `None`: where the configuration says.
    pub api_base: Option<String>,
    /// The sid of the API key with which it is asked. Its secret: [`Access`].
    pub api_key: Option<String>,
}

/// How the provider is asked about an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// See [`AccountRow::api_base`].
    pub api_base: Option<String>,
    /// See [`AccountRow::api_key`].
    pub api_key: Option<String>,
    /// The secret of that key, sealed.
    pub api_secret: Option<Vec<u8>>,
    /// Which key sealed it.
    pub api_seal_key: Option<String>,
}

/// A live token of an account, sealed (see `crate::seal`). Several while one is being rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct SecretRow {
    /// The account.
    pub account: String,
    /// Names the token among those of the account.
    pub id: String,
    /// The sealed token.
    #[serde(serialize_with = "hex_column::serialize")]
    pub sealed: Vec<u8>,
    /// Which key sealed it.
    pub seal_key: String,
    /// When it was added, in Unix milliseconds.
    pub created_ms: i64,
    /// From when on it verifies nothing; `None`: it stays.
    pub expires_ms: Option<i64>,
}

/// An account with one of its tokens, or with none.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct AccountSecret {
    /// The account; it comes once per token.
    #[sqlx(flatten)]
    pub account: AccountRow,
    /// See [`SecretRow::id`]; empty if the account has no token.
    pub secret_id: String,
    /// See [`SecretRow::sealed`].
    pub sealed: Option<Vec<u8>>,
    /// See [`SecretRow::seal_key`].
    pub seal_key: Option<String>,
    /// See [`SecretRow::expires_ms`].
    pub expires_ms: Option<i64>,
    /// See [`Access::api_secret`].
    pub api_secret: Option<Vec<u8>>,
    /// See [`Access::api_seal_key`].
    pub api_seal_key: Option<String>,
}

/// Adds an account; [`StoreError::Exists`] if any tenant has it.
pub async fn insert(tx: &mut Tx, row: &AccountRow) -> Result<(), StoreError> {
    INSERT.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// An account of this tenant.
pub async fn find(on: impl Into<On<'_>>, tenant: &str, id: &str) -> Result<Option<AccountRow>, StoreError> {
    FIND.query().bind(tenant).bind(id).fetch_optional(on).await
}

/// A page of the tenant's accounts by id, after `after`.
pub async fn list(on: impl Into<On<'_>>, tenant: &str, after: &str, limit: i64) -> Result<Vec<AccountRow>, StoreError> {
    LIST.query().bind(tenant).bind(after).bind(limit).fetch_all(on).await
}

/// A page of the accounts of all tenants with their tokens, after `(account id, token id)`: what webhooks are checked with.
pub async fn list_all(
    on: impl Into<On<'_>>,
    after: (&str, &str),
    limit: i64,
) -> Result<Vec<AccountSecret>, StoreError> {
    LIST_ALL.query().bind(after.0).bind(after.1).bind(limit).fetch_all(on).await
}

/// Decides whether unsigned webhooks of this account are let in, and until when; answers how many accounts that were (0 or 1).
pub async fn set_verify(
    tx: &mut Tx,
    tenant: &str,
    id: &str,
    verify: Option<&str>,
    until_ms: Option<i64>,
) -> Result<u64, StoreError> {
    SET_VERIFY.query().bind(tenant).bind(id).bind(verify).bind(until_ms).execute(tx).await
}

/// Decides how the provider is asked about this account; answers how many accounts that were (0 or 1).
pub async fn set_access(tx: &mut Tx, tenant: &str, id: &str, access: &Access) -> Result<u64, StoreError> {
    let Access { api_base, api_key, api_secret, api_seal_key } = access;
    let query = SET_ACCESS.query().bind(tenant).bind(id).bind(api_base.as_deref()).bind(api_key.as_deref());
    query.bind(api_secret.clone()).bind(api_seal_key.as_deref()).execute(tx).await
}

/// Adds a token; [`StoreError::Exists`] if the account has one with this id.
pub async fn insert_secret(tx: &mut Tx, row: &SecretRow) -> Result<(), StoreError> {
    INSERT_SECRET.over(std::slice::from_ref(row)).execute(tx).await.map(drop)
}

/// The tokens of an account of this tenant, oldest first.
pub async fn list_secrets(
    on: impl Into<On<'_>>,
    tenant: &str,
    account: &str,
    limit: i64,
) -> Result<Vec<SecretRow>, StoreError> {
    LIST_SECRETS.query().bind(tenant).bind(account).bind(limit).fetch_all(on).await
}

/// Removes a token of an account of this tenant; answers how many that were (0 or 1).
pub async fn delete_secret(tx: &mut Tx, tenant: &str, account: &str, id: &str) -> Result<u64, StoreError> {
    DELETE_SECRET.query().bind(tenant).bind(account).bind(id).execute(tx).await
}

/// Lets the other tokens of an account of this tenant end at `expires_ms`, unless they end before; answers how many.
pub async fn expire_secrets_but(
    tx: &mut Tx,
    tenant: &str,
    account: &str,
    id: &str,
    expires_ms: i64,
) -> Result<u64, StoreError> {
    EXPIRE_SECRETS_BUT.query().bind(tenant).bind(account).bind(id).bind(expires_ms).execute(tx).await
}

/// Forgets at most `limit` tokens whose time is over; answers how many.
pub async fn delete_expired_secrets(tx: &mut Tx, now_ms: i64, limit: i64) -> Result<u64, StoreError> {
    DELETE_EXPIRED_SECRETS.query().bind(now_ms).bind(limit).execute(tx).await
}

columns!(account_columns of AccountRow { id text, tenant text, provider text, verify text, verify_until_ms int, created_ms int, parent text,
    api_base text, api_key text });
columns!(secret_columns of SecretRow { account text, id text, sealed bytes, seal_key text, created_ms int, expires_ms int });

statements! {
    INSERT = insert(account_columns into "account": "");
    FIND = both("SELECT ", account_columns!(names), " FROM account WHERE tenant = $1 AND id = $2");
    LIST = both("SELECT ", account_columns!(names), " FROM account WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3");
    LIST_ALL = both(
        "SELECT a.id, a.tenant, a.provider, a.verify, a.verify_until_ms, a.created_ms, a.parent, a.api_base, a.api_key,
                a.api_secret, a.api_seal_key, coalesce(s.id, '') AS secret_id, s.sealed, s.seal_key, s.expires_ms
           FROM account a LEFT JOIN account_secret s ON s.account = a.id
          WHERE a.id >= $1 AND (a.id, coalesce(s.id, '')) > ($1, $2) ORDER BY a.id, coalesce(s.id, '') LIMIT $3");
    SET_VERIFY = both("UPDATE account SET verify = $3, verify_until_ms = $4 WHERE tenant = $1 AND id = $2");
    SET_ACCESS = both("UPDATE account SET api_base = $3, api_key = $4, api_secret = $5, api_seal_key = $6
        WHERE tenant = $1 AND id = $2");
    INSERT_SECRET = insert(secret_columns into "account_secret": "");
    LIST_SECRETS = both("SELECT ", secret_columns!(names), " FROM account_secret
        WHERE account = (SELECT a.id FROM account a WHERE a.tenant = $1 AND a.id = $2) ORDER BY created_ms, id LIMIT $3");
    EXPIRE_SECRETS_BUT = both("UPDATE account_secret SET expires_ms = $4
        WHERE account = (SELECT a.id FROM account a WHERE a.tenant = $1 AND a.id = $2) AND id <> $3
            AND (expires_ms IS NULL OR expires_ms > $4)");
    DELETE_EXPIRED_SECRETS = both("DELETE FROM account_secret WHERE (account, id) IN
        (SELECT s.account, s.id FROM account_secret s WHERE s.expires_ms <= $1 LIMIT $2)");
    DELETE_SECRET = both("DELETE FROM account_secret
        WHERE account = (SELECT a.id FROM account a WHERE a.tenant = $1 AND a.id = $2) AND id = $3");
}
