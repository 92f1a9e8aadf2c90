//! Asking a provider about calls: who can be asked, what is made of the answers, and of none.

mod access;
mod source;

use crate::support::{database::TestDatabase, gateway::START_MS, stage::NoPbx};
use onhook::{
    clock::ManualClock,
    directory::{Directory, Overlays},
    seal::{Owner, Sealer},
    store::{
        accounts::{self, AccountRow, SecretRow},
        tenants::{self, TenantRow},
    },
    sweep::{SourceParts, Sources},
    twilio::client::Patience,
};
use rand::{SeedableRng, rngs::StdRng};
use std::{sync::Arc, time::Duration};

/// Sources on a database of their own, with a clock turned by hand.
pub struct Asking {
    pub at: TestDatabase,
    pub clock: ManualClock,
    pub directory: Arc<Directory>,
    pub sources: Sources,
}

fn sealer() -> Sealer {
    Sealer::from_base64(&format!("{}=", "A".repeat(43)).into()).unwrap()
}

/// Tries once, so that nobody waits for a Twilio that is meant to be away.
pub fn hasty() -> Patience {
    let (timeout, pause) = (Duration::from_secs(5), Duration::from_millis(1));
    Patience { timeout, retries: 0, first_pause: pause, longest_pause: pause }
}

impl Asking {
    pub async fn of(base: &str) -> Self {
        Self::patiently(base, hasty()).await
    }

    pub async fn patiently(base: &str, patience: Patience) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let at = TestDatabase::sqlite().await;
        let mut tx = at.db.begin().await.unwrap();
        tenants::ensure_default(&mut tx, 1).await.unwrap();
        tenants::insert(&mut tx, &TenantRow { id: "acme".into(), name: "Acme".into(), created_ms: 1 }).await.unwrap();
        tx.commit().await.unwrap();
        let clock = ManualClock::new(START_MS);
        let directory = Arc::new(Directory::new(at.db.clone(), clock.shared(), sealer(), Overlays::default()));
        let sources = Sources::new(SourceParts {
            directory: directory.clone(),
            clock: clock.shared(),
            twilio_base: base.parse().unwrap(),
            twilio_requests_per_second: 1_000,
            patience,
            switchboard: Arc::new(NoPbx),
            metrics: onhook::telemetry::Metrics::new(),
            rng: StdRng::seed_from_u64(1),
        });
        Self { at, clock, directory, sources: sources.unwrap() }
    }

    /// Stores an account of Acme's with these tokens.
    pub async fn add(&self, id: &str, provider: &str, parent: Option<&str>, tokens: &[&str]) {
        let row = AccountRow {
            id: id.into(),
            tenant: "acme".into(),
            provider: provider.into(),
            verify: None,
            verify_until_ms: None,
            created_ms: START_MS,
            parent: parent.map(str::to_owned),
            api_base: None,
            api_key: None,
        };
        let mut tx = self.at.db.begin().await.unwrap();
        accounts::insert(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
        for token in tokens {
            self.add_token(id, token, None).await;
        }
        self.directory.refresh().await.unwrap();
    }

    /// Adds a token to an account; it is named like its text.
    pub async fn add_token(&self, account: &str, token: &str, expires_ms: Option<i64>) {
        let owner = Owner { tenant: "acme", account };
        let sealed = sealer().seal(&mut StdRng::seed_from_u64(2), owner, &token.into()).unwrap();
        let row = SecretRow {
            account: account.into(),
            id: token.into(),
            sealed: sealed.bytes,
            seal_key: sealed.key_id,
            created_ms: START_MS,
            expires_ms,
        };
        let mut tx = self.at.db.begin().await.unwrap();
        accounts::insert_secret(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
        self.directory.refresh().await.unwrap();
    }
}
