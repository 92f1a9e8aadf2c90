//! Who may speak: the provider accounts with their tokens, and the API keys.
//!
//! Every webhook and every request asks here, so the answer comes from a snapshot in memory. It is renewed when it is
//! older than [`AGE_MAX_MS`], which is how fast a revocation reaches a node, and when something is not found in it, so
//! that a new account works at once; the latter at most once per [`ASK_EVERY_MS`], so that strangers cannot hammer the
//! database. While the database is away the last snapshot stays in use.

pub mod change;
pub mod credentials;
mod key;
pub mod pbx;
mod snapshot;

pub use key::{IssuedKey, Key, KeyRefused, NewKey, Scope, issue_key};

use crate::{
    clock::SharedClock,
    config::VerifyMode,
    domain::time::{MINUTE, SECOND},
    seal::Sealer,
    store::{Db, accounts::AccountRow},
};
use arc_swap::ArcSwap;
use key::KnownKey;
use secrecy::{ExposeSecret, SecretString};
use snapshot::Snapshot;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Mutex, MutexGuard};
use url::Url;

/// A provider account that may speak.
#[derive(Clone, Debug)]
pub struct Account {
    /// The provider's id of it: a Twilio AccountSid, the name of a PBX.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Which provider.
    pub provider: String,
    /// The account it is a sub-account of. Its webhooks are signed with its own tokens all the same.
    pub parent: Option<String>,
    /// Whether it was ever given a token or a key, also one that is over or cannot be opened: then it is meant to be asked.
    pub has_secrets: bool,
    /// Its tokens; several while one is being rotated.
    pub tokens: Vec<Token>,
    /// Keys with which its provider is asked, before its tokens. They verify nothing.
    pub api_keys: Vec<ApiKey>,
    /// Where its provider is asked; `None`: where the configuration says.
    pub api_base: Option<Url>,
    /// How its webhooks are verified; `None` leaves it to the configuration. See [`Account::verify`].
    pub verify: Option<VerifyMode>,
    /// Until when that holds, in Unix milliseconds.
    pub verify_until_ms: Option<i64>,
}

/// A token of an account, opened.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its text.
    pub text: SecretString,
    /// From when on it is good for nothing, in Unix milliseconds.
    pub expires_ms: Option<i64>,
}

/// A key of the provider's API, opened.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Its sid: `SK…`.
    pub sid: String,
    /// Its secret.
    pub secret: SecretString,
}

impl From<SecretString> for Token {
    fn from(text: SecretString) -> Self {
        Self { text, expires_ms: None }
    }
}

impl Account {
    /// How its webhooks are to be verified now. What was set for a time gives way to `enforce`.
    pub fn verify(&self, now_ms: i64, default: VerifyMode) -> VerifyMode {
        let over = self.verify_until_ms.is_some_and(|until| until <= now_ms);
        if over { VerifyMode::Enforce } else { self.verify.unwrap_or(default) }
    }

    /// The tokens that are good now, as the signature needs them.
    pub fn token_bytes(&self, now_ms: i64) -> impl Iterator<Item = &[u8]> {
        let live = move |token: &&Token| token.expires_ms.is_none_or(|at| now_ms < at);
        self.tokens.iter().filter(live).map(|token| token.text.expose_secret().as_bytes())
    }

    fn of_row(row: AccountRow) -> Self {
        // A word this program does not know is the stricter one.
        let verify = row.verify.map(|word| word.parse().unwrap_or(VerifyMode::Enforce));
        let AccountRow { id, tenant, provider, verify_until_ms, parent, api_base, api_key, .. } = row;
        let (tokens, api_keys, has_secrets) = (Vec::new(), Vec::new(), api_key.is_some());
        let api_base = api_base.and_then(|base| Url::parse(&base).ok());
        Self { id, tenant, provider, parent, has_secrets, tokens, api_keys, api_base, verify, verify_until_ms }
    }

    /// Lays an account of the configuration over the stored one with its id: both have their tokens and keys, the
    /// configuration decides whose it is.
    fn over(&self, stored: Option<Self>) -> Self {
        match stored {
            // A PBX has one address and one user: those of the configuration.
            Some(stored)
                if stored.tenant == self.tenant && stored.provider == self.provider && self.api_base.is_none() =>
            {
                let tokens = self.tokens.iter().cloned().chain(stored.tokens).collect();
                let api_keys = self.api_keys.iter().cloned().chain(stored.api_keys).collect();
                Self { tokens, api_keys, has_secrets: true, ..stored }
            }
            _ => self.clone(),
        }
    }
}

/// Who may speak without being stored.
#[derive(Debug, Default)]
pub struct Overlays {
    /// The accounts of the configuration.
    pub accounts: Vec<Account>,
    /// The key of the configuration: tenant `default`, every scope.
    pub key: Option<SecretString>,
}

/// It is not known here, and the database cannot be asked. It may well exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ask the database who that is")]
pub struct Unavailable;

/// The directory of one node.
#[derive(Debug)]
pub struct Directory {
    db: Db,
    clock: SharedClock,
    sealer: Sealer,
    accounts: Vec<Account>,
    key: Option<KnownKey>,
    snapshot: ArcSwap<Snapshot>,
    /// When the database was last asked, also in vain. Whoever holds it asks.
    asked_ms: Mutex<Option<i64>>,
    /// Whether asking failed the last time.
    away: AtomicBool,
}

impl Directory {
    /// A directory that will ask the database when it is first asked itself.
    pub fn new(db: Db, clock: SharedClock, sealer: Sealer, overlays: Overlays) -> Self {
        let snapshot = ArcSwap::from_pointee(Snapshot::of_configuration(&overlays.accounts));
        let key = overlays.key.as_ref().map(KnownKey::of_configuration);
        let (asked_ms, away) = (Mutex::new(None), AtomicBool::new(false));
        Self { db, clock, sealer, accounts: overlays.accounts, key, snapshot, asked_ms, away }
    }

    /// An account by the provider's id. `None`: there is none.
    pub async fn account(&self, id: &str) -> Result<Option<Arc<Account>>, Unavailable> {
        self.look(|snapshot| snapshot.accounts.get(id).cloned()).await
    }

    /// The accounts of a tenant as far as they are known here, by id.
    pub async fn accounts_of(&self, tenant: &str) -> Vec<Arc<Account>> {
        if self.is_old() {
            // A snapshot that cannot be renewed stays in use.
            let _ = self.renew().await;
        }
        let snapshot = self.snapshot.load();
        let mut accounts: Vec<_> = snapshot.accounts.values().filter(|a| a.tenant == tenant).cloned().collect();
        accounts.sort_by(|a, b| a.id.cmp(&b.id));
        accounts
    }

    /// The accounts of a provider, of all tenants, as far as they are known here.
    pub async fn accounts_with(&self, provider: &str) -> Vec<Arc<Account>> {
        if self.is_old() {
            // A snapshot that cannot be renewed stays in use.
            let _ = self.renew().await;
            // Whoever looks here every few seconds must not keep a stranger, who may just have been added, from being asked about.
            *self.asked_ms.lock().await = None;
        }
        let snapshot = self.snapshot.load();
        snapshot.accounts.values().filter(|account| account.provider == provider).cloned().collect()
    }

    /// Who the presented text of a key stands for.
    pub async fn key(&self, presented: &str) -> Result<Arc<Key>, KeyRefused> {
        if let Some(configured) = self.key.as_ref().filter(|key| key.has_secret(presented)) {
            return configured.judge(self.clock.now_ms());
        }
        let (id, secret) = key::parse(presented).ok_or(KeyRefused::Unknown)?;
        let found = self.look(|snapshot| snapshot.keys.get(&id).cloned()).await;
        let found = found.map_err(|Unavailable| KeyRefused::Unavailable)?;
        found.filter(|key| key.has_secret(secret)).ok_or(KeyRefused::Unknown)?.judge(self.clock.now_ms())
    }

    /// Asks the database now: for whoever has just changed an account or a key on this node.
    pub async fn refresh(&self) -> Result<(), Unavailable> {
        let asked = self.asked_ms.lock().await;
        self.load(asked).await
    }

    async fn look<T>(&self, find: impl Fn(&Snapshot) -> Option<T>) -> Result<Option<T>, Unavailable> {
        if self.is_old() {
            // A snapshot that cannot be renewed stays in use.
            let _ = self.renew().await;
        }
        if let Some(found) = find(&self.snapshot.load()) {
            return Ok(Some(found));
        }
        self.renew().await?;
        Ok(find(&self.snapshot.load()))
    }

    fn is_old(&self) -> bool {
        self.snapshot.load().asked_ms.is_none_or(|asked| !self.is_within(asked, AGE_MAX_MS))
    }

    /// Asks the database, unless it was asked a moment ago.
    async fn renew(&self) -> Result<(), Unavailable> {
        let asked = if self.away.load(Ordering::Relaxed) {
            // One at a time waits for a database that is away; the others go on without it.
            self.asked_ms.try_lock().map_err(|_| Unavailable)?
        } else {
            self.asked_ms.lock().await
        };
        if asked.is_some_and(|asked| self.is_within(asked, ASK_EVERY_MS)) {
            return if self.away.load(Ordering::Relaxed) { Err(Unavailable) } else { Ok(()) };
        }
        self.load(asked).await
    }

    async fn load(&self, mut asked: MutexGuard<'_, Option<i64>>) -> Result<(), Unavailable> {
        // Counted from before the question, so that no answer is believed for longer than promised.
        let now_ms = self.clock.now_ms();
        *asked = Some(now_ms);
        let before = self.snapshot.load_full();
        let load = Snapshot::load(&self.db, &self.sealer, &self.accounts, &before, now_ms);
        let error = match tokio::time::timeout(ASK_TIMEOUT, load).await {
            Ok(Ok(snapshot)) => {
                self.snapshot.store(Arc::new(snapshot));
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("accounts and keys can be read from the database again");
                }
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("get an answer from the database within {} s", ASK_TIMEOUT.as_secs()),
        };
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!("failed to renew the accounts and keys, those known so far stay in use: failed to {error}");
        }
        Err(Unavailable)
    }

    /// Whether `ms` is less than `span_ms` ago. A clock that was set back makes everything old.
    fn is_within(&self, ms: i64, span_ms: i64) -> bool {
        (0..span_ms).contains(&self.clock.now_ms().saturating_sub(ms))
    }
}

/// How long an answer of the database is believed.
pub const AGE_MAX_MS: i64 = MINUTE;
/// How often strangers can make us ask the database.
pub const ASK_EVERY_MS: i64 = SECOND;
/// A webhook does not wait longer than this to learn who its sender is.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
