//! Whom to ask about an account. Clients are kept from sweep to sweep, for the sake of their connections and their pace.

use super::twilio::TwilioSource;
use crate::{
    ami::PROVIDER,
    clock::SharedClock,
    directory::{Account, Directory, Unavailable},
    domain::signal::Signal,
    provider::{PbxTruth, Standing, Switchboard, Trouble, TroubleKind, Truth},
    telemetry::Metrics,
    twilio::client::{Client, ClientError, Connections, Credentials, Pace, Patience},
};
use rand::{Rng, rngs::StdRng};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use url::Url;

/// What [`Sources`] are made of.
#[derive(Debug)]
pub struct SourceParts {
    /// Knows the accounts and their credentials.
    pub directory: Arc<Directory>,
    /// Says when something was asked, and which tokens are good.
    pub clock: SharedClock,
    /// Where Twilio is asked about accounts that say nothing else.
    pub twilio_base: Url,
    /// At most so many requests per second are sent to Twilio for one account.
    pub twilio_requests_per_second: u32,
    /// How long one question is tried.
    pub patience: Patience,
    /// Knows which PBX is listened to where.
    pub switchboard: Arc<dyn Switchboard>,
    /// Where it is counted how they answer.
    pub metrics: Metrics,
    /// Makes pauses irregular.
    pub rng: StdRng,
}

/// Whoever can be asked about calls.
#[derive(Debug)]
pub struct Sources {
    directory: Arc<Directory>,
    clock: SharedClock,
    base: Url,
    requests_per_second: u32,
    patience: Patience,
    switchboard: Arc<dyn Switchboard>,
    metrics: Metrics,
    connections: Connections,
    rng: Mutex<StdRng>,
    kept: Mutex<Kept>,
}

/// Who can be asked about the calls of an account.
#[derive(Clone, Debug)]
pub enum Whom {
    /// They can be asked.
    Asked(Asked),
    /// Another process looks after these calls.
    Elsewhere,
    /// Nobody: the provider only ever pushes, or the account was never given credentials.
    Nobody,
}

/// Somebody who knows what became of the calls of an account.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Twilio's REST API.
    Twilio(Arc<TwilioSource>),
    /// A PBX that this process listens to.
    Pbx(Arc<dyn PbxTruth>),
}

impl Asked {
    /// Where it is asked; what was learned at another place is forgotten.
    pub(super) fn base(&self) -> &str {
        match self {
            Self::Twilio(twilio) => twilio.base(),
            Self::Pbx(_) => PROVIDER,
        }
    }

    /// A digest of the credentials; empty where they are not ours to check.
    pub(super) fn fingerprint(&self) -> &str {
        match self {
            Self::Twilio(twilio) => twilio.fingerprint(),
            Self::Pbx(_) => "",
        }
    }
}

impl Truth for Asked {
    async fn live(&self) -> Result<Vec<Signal>, Trouble> {
        match self {
            Self::Twilio(twilio) => twilio.live().await,
            Self::Pbx(pbx) => pbx.live().await,
        }
    }

    async fn look(&self, provider_id: &str) -> Result<Option<Signal>, Trouble> {
        match self {
            Self::Twilio(twilio) => twilio.look(provider_id).await,
            Self::Pbx(pbx) => pbx.look(provider_id).await,
        }
    }
}

/// Clients by account, and in which turn each was last asked for.
#[derive(Debug, Default)]
struct Kept {
    sources: HashMap<String, One>,
    turn: u64,
}

#[derive(Debug)]
struct One {
    turn: u64,
    source: Arc<TwilioSource>,
    /// Stays the account's when its credentials change.
    pace: Pace,
}

impl Sources {
    /// Nobody has been asked yet. Fails only if TLS cannot be set up.
    pub fn new(parts: SourceParts) -> Result<Self, ClientError> {
        let SourceParts { directory, clock, twilio_base: base, patience, switchboard, metrics, rng, .. } = parts;
        let requests_per_second = parts.twilio_requests_per_second;
        let (connections, rng, kept) = (Connections::open_for(&patience)?, Mutex::new(rng), Mutex::default());
        Ok(Self { directory, clock, base, requests_per_second, patience, switchboard, metrics, connections, rng, kept })
    }

    /// Who can be asked about the calls of an account.
    pub async fn whom(&self, tenant: &str, provider: &str, account: &str) -> Result<Whom, Trouble> {
        if provider == PROVIDER {
            return Ok(match self.switchboard.standing(tenant, account).await? {
                Standing::Here(pbx) => Whom::Asked(Asked::Pbx(pbx)),
                Standing::Elsewhere => Whom::Elsewhere,
                Standing::Nowhere => Whom::Nobody,
            });
        }
        let twilio = self.of(tenant, provider, account).await?;
        Ok(twilio.map_or(Whom::Nobody, |twilio| Whom::Asked(Asked::Twilio(twilio))))
    }

    /// Twilio, asked about the calls of an account. `None`: nobody can be asked, because the account is none of Twilio's or
    /// was never given credentials. One that has lost its credentials, or that is not known here, is another matter:
    /// somebody has to mend that, and could ask then.
    pub async fn of(&self, tenant: &str, provider: &str, account: &str) -> Result<Option<Arc<TwilioSource>>, Trouble> {
        if provider != TWILIO {
            return Ok(None);
        }
        let known = self.directory.account(account).await.map_err(away)?;
        let known = known.filter(|known| known.tenant == tenant && known.provider == provider);
        let Some(known) = known else { return Err(locked(account, "it is not known here: `onhook accounts add`")) };
        let (mut credentials, mut base) = (self.credentials(&known), known.api_base.clone());
        if credentials.is_empty()
            && let Some(parent) = self.parent(&known).await.map_err(away)?
        {
            credentials = self.credentials(&parent);
            base = base.or_else(|| parent.api_base.clone());
        }
        match self.kept(&known.id, base.as_ref().unwrap_or(&self.base), credentials) {
            None if known.has_secrets || known.parent.is_some() => {
                Err(locked(account, "none of its tokens and keys is good now: `onhook accounts rotate`"))
            }
            source => Ok(source),
        }
    }

    /// The Twilio accounts of a tenant by id: all of them, or the one that is named.
    pub(super) async fn accounts(&self, tenant: &str, named: Option<&str>) -> Result<Vec<String>, Unavailable> {
        let accounts = match named {
            Some(id) => self.directory.account(id).await?.into_iter().collect(),
            None => self.directory.accounts_of(tenant).await,
        };
        let ours = accounts.iter().filter(|account| account.tenant == tenant && account.provider == TWILIO);
        Ok(ours.map(|account| account.id.clone()).collect())
    }

    /// Those of the account itself that are good now: its keys, then its tokens.
    fn credentials(&self, account: &Account) -> Vec<Credentials> {
        let now_ms = self.clock.now_ms();
        let live = account.tokens.iter().filter(|token| token.expires_ms.is_none_or(|at| now_ms < at));
        let tokens = live.map(|token| Credentials { sid: account.id.clone(), secret: token.text.clone() });
        let keys = account.api_keys.iter();
        keys.map(|key| Credentials { sid: key.sid.clone(), secret: key.secret.clone() }).chain(tokens).collect()
    }

    /// The account that a sub-account belongs to: Twilio lets it ask for that.
    async fn parent(&self, account: &Account) -> Result<Option<Arc<Account>>, Unavailable> {
        let Some(parent) = &account.parent else { return Ok(None) };
        let parent = self.directory.account(parent).await?;
        Ok(parent.filter(|parent| parent.tenant == account.tenant && parent.provider == account.provider))
    }

    /// The client that was made before, if place and credentials are still the same; else a new one.
    fn kept(&self, account: &str, base: &Url, credentials: Vec<Credentials>) -> Option<Arc<TwilioSource>> {
        let fingerprint = fingerprint(&credentials);
        let mut kept = lock(&self.kept);
        kept.turn = kept.turn.saturating_add(1);
        let turn = kept.turn;
        let at = base.as_str().trim_end_matches('/');
        let is_same = |one: &&mut One| one.source.fingerprint() == fingerprint && one.source.base() == at;
        if let Some(one) = kept.sources.get_mut(account).filter(is_same) {
            one.turn = turn;
            return Some(Arc::clone(&one.source));
        }
        let pace = kept.sources.get(account).map(|one| one.pace.clone());
        let pace = pace.unwrap_or_else(|| Pace::per_second(self.requests_per_second));
        let client = self.client(base, credentials)?.at(pace.clone());
        let source = Arc::new(TwilioSource::new(
            account.to_owned(),
            fingerprint,
            client,
            self.clock.clone(),
            self.metrics.clone(),
        ));
        if kept.sources.len() >= KEPT_MAX && !kept.sources.contains_key(account) {
            let oldest = kept.sources.iter().min_by_key(|(_, one)| one.turn).map(|(id, _)| id.clone());
            oldest.and_then(|oldest| kept.sources.remove(&oldest));
        }
        kept.sources.insert(account.to_owned(), One { turn, source: Arc::clone(&source), pace });
        Some(source)
    }

    /// `None`: there are no credentials.
    fn client(&self, base: &Url, credentials: Vec<Credentials>) -> Option<Client> {
        let mut credentials = credentials.into_iter();
        let seed = lock(&self.rng).next_u64();
        let client = Client::over(&self.connections, base, credentials.next()?, self.patience, seed);
        Some(credentials.fold(client, Client::or))
    }
}

/// A digest of credentials, in any order. A secret is drawn at random and too long to be guessed from it.
fn fingerprint(credentials: &[Credentials]) -> String {
    let each = |one: &Credentials| {
        let secret = Sha256::digest(one.secret.expose_secret());
        Sha256::new_with_prefix("onhook credentials")
            .chain_update(&one.sid)
            .chain_update([0])
            .chain_update(secret)
            .finalize()
    };
    let mut digests: Vec<_> = credentials.iter().map(each).collect();
    digests.sort_unstable();
    let all = digests.iter().fold(Sha256::new(), |all, digest| all.chain_update(digest)).finalize();
    hex::encode(all.get(..FINGERPRINT_BYTES).unwrap_or_default())
}

/// What is behind it is whole at any time, whoever panicked while holding it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn away(error: Unavailable) -> Trouble {
    Trouble { kind: TroubleKind::Unreachable, detail: error.to_string() }
}

fn locked(account: &str, why: &str) -> Trouble {
    Trouble { kind: TroubleKind::Refused, detail: format!("find credentials of {account}: {why}") }
}

pub(super) const TWILIO: &str = "twilio";
/// So many clients are kept; the one that was not needed for longest makes room.
const KEPT_MAX: usize = 1_000;
const FINGERPRINT_BYTES: usize = 16;
