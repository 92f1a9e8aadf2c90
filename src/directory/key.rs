//! API keys: their text, their scopes, and whether one may still be used.
//!
//! The text is `ohk_<id>_<secret>`: the id finds the row, the secret is 32 random bytes. Only a digest of the secret is
//! stored; it needs no salt and no slow hash, since nobody guesses 256 bits.

use crate::{
    domain::{id, words},
    store::keys::KeyRow,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::CryptoRng;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, sync::Arc};
use subtle::ConstantTimeEq;

words! {
    /// What a key may do.
    pub enum Scope {
        /// Look at everything of its tenant but credentials.
        Read = "read",
        /// Change leads and calls.
        Write = "write",
        /// Deliver what a PBX reports.
        Ingest = "ingest",
        /// Manage the keys and accounts of its tenant.
        Admin = "admin",
        /// Manage the tenants.
        Operator = "operator",
    }
}

impl Scope {
    /// The scopes that a key may be given by those who have [`Scope::Admin`].
    pub const GRANTABLE: &'static [Self] = &[Self::Read, Self::Write, Self::Ingest, Self::Admin];
}

/// Who a presented key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Whose it is.
    pub tenant: String,
    /// Its id; public.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
}

impl Key {
    /// Whether it has this scope. No scope includes another.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// Why a presented key opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// It is no key, or not one of ours.
    #[error("find the key")]
    Unknown,
    /// It was revoked.
    #[error("accept a key that was revoked")]
    Revoked,
    /// Its time is over.
    #[error("accept a key that has expired")]
    Expired,
    /// It is none of those we know, and the database cannot be asked for others.
    #[error("look up a key while the database is away")]
    Unavailable,
}

/// A key to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Whose it will be.
    pub tenant: String,
    /// What people will call it.
    pub name: String,
    /// What it may do. [`Scope::Operator`] counts in keys of the tenant `default` only.
    pub scopes: BTreeSet<Scope>,
    /// From when on it is refused, in Unix milliseconds.
    pub expires_ms: Option<i64>,
}

/// A key as it is issued.
#[derive(Debug)]
pub struct IssuedKey {
    /// What is stored.
    pub row: KeyRow,
    /// What its owner is shown, once.
    pub text: SecretString,
}

/// Makes a key. It works once its row is stored.
pub fn issue_key(new: NewKey, now_ms: i64, rng: &mut (impl CryptoRng + ?Sized)) -> IssuedKey {
    let randomness = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    let id = id::new_id(ID_PREFIX, now_ms, randomness);
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    rng.fill_bytes(secret.as_mut_slice());
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
    let text = format!("{TEXT_PREFIX}{}_{}", id.trim_start_matches(ID_PREFIX).trim_start_matches('_'), secret.as_str());
    let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.as_str()).collect();
    let row = KeyRow {
        digest: digest(&secret).to_vec(),
        id,
        tenant: new.tenant,
        name: new.name,
        scopes: scopes.join(" "),
        created_ms: now_ms,
        expires_ms: new.expires_ms,
        revoked_ms: None,
    };
    IssuedKey { row, text: text.into() }
}

/// A key as the directory keeps it.
#[derive(Clone, Debug)]
pub(super) struct KnownKey {
    key: Arc<Key>,
    digest: [u8; DIGEST_BYTES],
    expires_ms: Option<i64>,
    revoked_ms: Option<i64>,
}

impl KnownKey {
    /// The key of the configuration: it may do everything, and its text has any form.
    pub(super) fn of_configuration(text: &SecretString) -> Self {
        let key = Key {
            tenant: id::DEFAULT_TENANT.into(),
            id: format!("{ID_PREFIX}_configured"),
            name: "ONHOOK_API_KEY".into(),
            scopes: Scope::ALL.iter().copied().collect(),
        };
        Self { key: Arc::new(key), digest: digest(text.expose_secret()), expires_ms: None, revoked_ms: None }
    }

    /// A stored key. A scope this program does not know is none. `None` if the digest is not one.
    pub(super) fn of_row(row: KeyRow) -> Option<Self> {
        let digest = row.digest.try_into().ok()?;
        let mut scopes: BTreeSet<Scope> = row.scopes.split(' ').filter_map(|word| word.parse().ok()).collect();
        if row.tenant != id::DEFAULT_TENANT {
            scopes.remove(&Scope::Operator);
        }
        let key = Arc::new(Key { tenant: row.tenant, id: row.id, name: row.name, scopes });
        Some(Self { key, digest, expires_ms: row.expires_ms, revoked_ms: row.revoked_ms })
    }

    pub(super) fn id(&self) -> &str {
        &self.key.id
    }

    /// Whether this is its secret. Takes as long for a wrong one as for the right one.
    pub(super) fn has_secret(&self, secret: &str) -> bool {
        self.digest.ct_eq(&digest(secret)).into()
    }

    /// To be asked after [`KnownKey::has_secret`], so that only the owner learns what became of a key.
    pub(super) fn judge(&self, now_ms: i64) -> Result<Arc<Key>, KeyRefused> {
        if self.revoked_ms.is_some() {
            return Err(KeyRefused::Revoked);
        }
        if self.expires_ms.is_some_and(|at| at <= now_ms) {
            return Err(KeyRefused::Expired);
        }
        Ok(Arc::clone(&self.key))
    }
}

/// Reads the text of a key: the id of its row, and the secret.
pub(super) fn parse(text: &str) -> Option<(String, &str)> {
    let (ulid, secret) = text.strip_prefix(TEXT_PREFIX)?.split_once('_')?;
    let plausible = ulid.len() == ULID_CHARS && secret.len() == SECRET_CHARS;
    plausible.then(|| (format!("{ID_PREFIX}_{ulid}"), secret))
}

fn digest(secret: &str) -> [u8; DIGEST_BYTES] {
    Sha256::digest(secret).into()
}

const TEXT_PREFIX: &str = "ohk_";
const ID_PREFIX: &str = "key";
const ULID_CHARS: usize = 26;
const SECRET_BYTES: usize = 32;
const SECRET_CHARS: usize = (SECRET_BYTES * 4).div_ceil(3);
const DIGEST_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn issue(tenant: &str, scopes: &[Scope], expires_ms: Option<i64>) -> IssuedKey {
        let new =
            NewKey { tenant: tenant.into(), name: "crm".into(), scopes: scopes.iter().copied().collect(), expires_ms };
        issue_key(new, 1_000, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn the_text_finds_the_row_and_only_its_digest_is_kept() {
        let issued = issue("acme", &[Scope::Write, Scope::Read], None);
        let text = issued.text.expose_secret();
        let (id, secret) = parse(text).unwrap();
        assert_eq!(id, issued.row.id);
        assert_eq!(secret.len(), 43);
        assert_eq!(issued.row.scopes, "read write");
        assert!(!format!("{issued:?}").contains(secret));

        let known = KnownKey::of_row(issued.row).unwrap();
        assert!(known.has_secret(secret));
        for wrong in ["", &secret[1..], &format!("{secret}A"), &secret.to_lowercase()] {
            assert!(!known.has_secret(wrong), "{wrong}");
        }
        let key = known.judge(1_000).unwrap();
        assert_eq!((key.tenant.as_str(), key.may(Scope::Read), key.may(Scope::Admin)), ("acme", true, false));
    }

    #[test]
    fn two_keys_share_nothing() {
        let mut rng = StdRng::seed_from_u64(1);
        let new = NewKey { tenant: "a".into(), name: "n".into(), scopes: BTreeSet::new(), expires_ms: None };
        let (one, two) = (issue_key(new.clone(), 1, &mut rng), issue_key(new, 1, &mut rng));
        assert_ne!(one.row.id, two.row.id);
        assert_ne!(one.row.digest, two.row.digest);
        assert_ne!(one.text.expose_secret(), two.text.expose_secret());
    }

    #[test]
    fn a_text_of_another_form_is_no_key() {
        let text = issue("acme", &[], None).text;
        let text = text.expose_secret();
        for bad in
            ["", "ohk_", "ohk__", &text[1..], &text[..text.len() - 1], &format!("{text}A"), &text.replace('_', "-")]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_ends_by_time_or_by_hand() {
        let mut row = issue("acme", &[], Some(5_000)).row;
        let judge = |row: &KeyRow, now_ms| KnownKey::of_row(row.clone()).unwrap().judge(now_ms).map(drop);
        assert_eq!(judge(&row, 4_999), Ok(()));
        assert_eq!(judge(&row, 5_000), Err(KeyRefused::Expired));
        row.revoked_ms = Some(2_000);
        assert_eq!(judge(&row, 4_999), Err(KeyRefused::Revoked));
        assert_eq!(judge(&row, 5_000), Err(KeyRefused::Revoked));
    }

    #[test]
    fn nobody_but_the_default_tenant_operates_and_unknown_scopes_are_none() {
        let scopes = |tenant: &str, words: &str| {
            let row = KeyRow { scopes: words.into(), ..issue(tenant, &[], None).row };
            KnownKey::of_row(row).unwrap().judge(0).unwrap().scopes.clone()
        };
        assert!(scopes("default", "read operator").contains(&Scope::Operator));
        assert_eq!(scopes("acme", "read operator"), BTreeSet::from([Scope::Read]));
        assert_eq!(scopes("acme", "fly  read"), BTreeSet::from([Scope::Read]));
        assert_eq!(scopes("acme", ""), BTreeSet::new());
        assert!(!Scope::GRANTABLE.contains(&Scope::Operator));
        assert_eq!(Scope::GRANTABLE.len() + 1, Scope::ALL.len());
    }
}
