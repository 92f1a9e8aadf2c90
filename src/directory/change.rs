//! Changes of provider accounts: who may add one, and how its tokens take turns.

use super::{ApiKey, Directory};
use crate::{
    domain::{id::new_id, time::Millis},
    seal::{Owner, SealError, Sealer},
    store::{
        Db, StoreError, Tx,
        accounts::{self, Access, AccountRow, SecretRow},
        pbx::{self, PbxSettingRow},
    },
};
use rand::{CryptoRng, RngExt};
use secrecy::SecretString;

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// It is stored, and so many others have an end now.
    Done {
        /// How many.
        ending: u64,
    },
    /// The tenant has no such account.
    NoAccount,
    /// It has too many tokens already.
    Full,
}

/// A token as it is stored.
pub fn seal_token(
    sealer: &Sealer,
    rng: &mut (impl CryptoRng + ?Sized),
    owner: Owner<'_>,
    token: &SecretString,
    now_ms: Millis,
) -> Result<SecretRow, SealError> {
    let sealed = sealer.seal(rng, owner, token)?;
    Ok(SecretRow {
        account: owner.account.to_owned(),
        id: new_id("tok", now_ms, rng.random()),
        sealed: sealed.bytes,
        seal_key: sealed.key_id,
        created_ms: now_ms,
        expires_ms: None,
    })
}

/// How the provider is to be asked about an account, as it is stored.
pub fn seal_access(
    sealer: &Sealer,
    rng: &mut (impl CryptoRng + ?Sized),
    owner: Owner<'_>,
    api_base: Option<String>,
    key: Option<&ApiKey>,
) -> Result<Access, SealError> {
    let Some(key) = key else { return Ok(Access { api_base, ..Access::default() }) };
    let bound = api_key_owner(owner.account, &key.sid);
    let sealed = sealer.seal(rng, Owner { account: &bound, ..owner }, &key.secret)?;
    let (api_key, api_secret, api_seal_key) = (Some(key.sid.clone()), Some(sealed.bytes), Some(sealed.key_id));
    Ok(Access { api_base, api_key, api_secret, api_seal_key })
}

/// What the secret of an API key is sealed for: it opens neither as a token nor beside another sid.
pub(super) fn api_key_owner(account: &str, sid: &str) -> String {
    format!("{account}/{sid}")
}

impl Directory {
    /// How the provider is to be asked about an account, as it is stored.
    pub fn seal_access(
        &self,
        rng: &mut (impl CryptoRng + ?Sized),
        owner: Owner<'_>,
        api_base: Option<String>,
        key: Option<&ApiKey>,
    ) -> Result<Access, SealError> {
        seal_access(&self.sealer, rng, owner, api_base, key)
    }

    /// A token as it is stored.
    pub fn seal_token(
        &self,
        rng: &mut (impl CryptoRng + ?Sized),
        owner: Owner<'_>,
        token: &SecretString,
    ) -> Result<SecretRow, SealError> {
        seal_token(&self.sealer, rng, owner, token, self.clock.now_ms())
    }

    /// The accounts of the configuration that are this tenant's.
    pub fn configured_of<'a>(&'a self, tenant: &'a str) -> impl Iterator<Item = &'a super::Account> {
        self.accounts.iter().filter(move |account| account.tenant == tenant)
    }

    /// Whether an account is one of the configuration: it is never stored by itself, and belongs to one tenant too.
    pub fn configured(&self, id: &str) -> Option<&super::Account> {
        self.accounts.iter().find(|account| account.id == id)
    }
}

/// Whether this tenant may have a sub-account of `parent`: it has that account, and it is no sub-account itself.
pub async fn is_main(db: &Db, tenant: &str, parent: &str) -> Result<bool, StoreError> {
    Ok(accounts::find(db, tenant, parent).await?.is_some_and(|account| account.parent.is_none()))
}

/// Adds an account with its token and how it is asked, in a transaction of the caller's; [`StoreError::Exists`] if some
/// tenant has it.
pub async fn add(tx: &mut Tx, row: &AccountRow, secret: &SecretRow, access: &Access) -> Result<(), StoreError> {
    accounts::insert(tx, row).await?;
    accounts::set_access(tx, &row.tenant, &row.id, access).await?;
    accounts::insert_secret(tx, secret).await
}

/// Adds a PBX and how it is reached, in a transaction of the caller's; [`StoreError::Exists`] if some tenant has the name.
pub async fn add_pbx(
    tx: &mut Tx,
    row: &AccountRow,
    access: &Access,
    setting: &PbxSettingRow,
) -> Result<(), StoreError> {
    accounts::insert(tx, row).await?;
    set_pbx(tx, &row.tenant, &row.id, access, setting).await.map(drop)
}

/// Says how a PBX is reached, in a transaction of the caller's; answers how many PBXs that were (0 or 1).
pub async fn set_pbx(
    tx: &mut Tx,
    tenant: &str,
    id: &str,
    access: &Access,
    setting: &PbxSettingRow,
) -> Result<u64, StoreError> {
    let changed = accounts::set_access(tx, tenant, id, access).await?;
    if changed > 0 {
        pbx::put_setting(tx, setting).await?;
    }
    Ok(changed)
}

/// Adds a token to an account, in a transaction of the caller's; the others end at `others_end_ms`, unless they end
/// before. `None`: they stay.
pub async fn rotate(
    tx: &mut Tx,
    tenant: &str,
    secret: &SecretRow,
    others_end_ms: Option<Millis>,
) -> Result<Rotated, StoreError> {
    let account = &secret.account;
    if accounts::find(&mut *tx, tenant, account).await?.is_none() {
        return Ok(Rotated::NoAccount);
    }
    let there = accounts::list_secrets(&mut *tx, tenant, account, TOKENS_MAX).await?.len();
    if i64::try_from(there).unwrap_or(TOKENS_MAX) >= TOKENS_MAX {
        return Ok(Rotated::Full);
    }
    Ok(Rotated::Done { ending: turn(tx, tenant, secret, others_end_ms).await? })
}

/// The same without asking whether it may be; answers how many tokens have an end now.
pub async fn turn(
    tx: &mut Tx,
    tenant: &str,
    secret: &SecretRow,
    others_end_ms: Option<Millis>,
) -> Result<u64, StoreError> {
    accounts::insert_secret(tx, secret).await?;
    match others_end_ms {
        Some(end_ms) => accounts::expire_secrets_but(tx, tenant, &secret.account, &secret.id, end_ms).await,
        None => Ok(0),
    }
}

/// Far more than anybody rotates at once; each costs a digest per URL where a signature does not verify.
pub const TOKENS_MAX: i64 = 20;
/// How long `observe` holds if nothing else is said, and at most.
pub const OBSERVE_MS: Millis = 7 * crate::domain::time::DAY;
/// The longest time for `observe`, and for old tokens after a rotation.
pub const SPAN_MAX_MS: Millis = 30 * crate::domain::time::DAY;
/// How long the old tokens stay good after a rotation if nothing else is said.
pub const KEEP_OLD_MS: Millis = crate::domain::time::DAY;
