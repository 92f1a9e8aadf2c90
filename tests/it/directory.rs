//! Who may speak: what the directory knows, how soon it knows better, and what it does without a database.

use crate::support::database::{TestDatabase, on_both};
use onhook::{
    clock::ManualClock,
    config::VerifyMode,
    directory::{
        AGE_MAX_MS, ASK_EVERY_MS, Account, Directory, IssuedKey, KeyRefused, NewKey, Overlays, Scope, Unavailable,
        issue_key,
    },
    seal::{Owner, Sealer},
    store::{
        accounts::{self, AccountRow, SecretRow},
        keys,
        tenants::{self, TenantRow},
    },
};
use rand::{SeedableRng, rngs::StdRng};
use secrecy::{ExposeSecret, SecretString};

on_both! {
    a_stored_account_speaks_with_all_its_tokens,
    a_new_account_works_at_once_and_strangers_do_not_hammer,
    a_revocation_arrives_within_the_promised_time,
    a_key_expires_by_the_clock,
    a_wrong_secret_learns_nothing,
    the_configuration_speaks_without_being_stored,
    without_a_database_the_last_answer_stands,
}

const START_MS: i64 = 1_800_000_000_000;

/// A directory with what it stands on.
struct House {
    at: TestDatabase,
    clock: ManualClock,
    rng: StdRng,
    directory: Directory,
}

fn sealer(letter: char) -> Sealer {
    Sealer::from_base64(&format!("{}=", letter.to_string().repeat(43)).into()).unwrap()
}

async fn house(at: TestDatabase, overlays: Overlays) -> House {
    let mut tx = at.db.begin().await.unwrap();
    tenants::ensure_default(&mut tx, 1).await.unwrap();
    tenants::insert(&mut tx, &TenantRow { id: "acme".into(), name: "Acme".into(), created_ms: 1 }).await.unwrap();
    tx.commit().await.unwrap();
    let clock = ManualClock::new(START_MS);
    let directory = Directory::new(at.db.clone(), clock.shared(), sealer('A'), overlays);
    House { at, clock, rng: StdRng::seed_from_u64(1), directory }
}

impl House {
    async fn add_account(&mut self, id: &str, tenant: &str, tokens: &[(&str, &Sealer)]) {
        let account = AccountRow {
            id: id.into(),
            tenant: tenant.into(),
            provider: "twilio".into(),
            verify: Some("observe".into()),
            verify_until_ms: Some(START_MS + 10),
            created_ms: START_MS,
            parent: None,
            api_base: None,
            api_key: None,
        };
        let mut tx = self.at.db.begin().await.unwrap();
        accounts::insert(&mut tx, &account).await.unwrap();
        for (n, (token, sealer)) in tokens.iter().enumerate() {
            let sealed = sealer.seal(&mut self.rng, Owner { tenant, account: id }, &(*token).into()).unwrap();
            let row = SecretRow {
                account: id.into(),
                id: format!("token_{n}"),
                sealed: sealed.bytes,
                seal_key: sealed.key_id,
                created_ms: START_MS,
                expires_ms: None,
            };
            accounts::insert_secret(&mut tx, &row).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn add_key(&mut self, scopes: &[Scope], expires_ms: Option<i64>) -> IssuedKey {
        let scopes = scopes.iter().copied().collect();
        let new = NewKey { tenant: "acme".into(), name: "crm".into(), scopes, expires_ms };
        let issued = issue_key(new, START_MS, &mut self.rng);
        let mut tx = self.at.db.begin().await.unwrap();
        keys::insert(&mut tx, &issued.row).await.unwrap();
        tx.commit().await.unwrap();
        issued
    }

    async fn revoke(&self, key: &IssuedKey) {
        let mut tx = self.at.db.begin().await.unwrap();
        assert_eq!(keys::revoke(&mut tx, &key.row.tenant, &key.row.id, START_MS).await.unwrap(), 1);
        tx.commit().await.unwrap();
    }

    async fn judge(&self, key: &IssuedKey) -> Result<(), KeyRefused> {
        self.directory.key(key.text.expose_secret()).await.map(drop)
    }

    async fn knows(&self, account: &str) -> Result<bool, Unavailable> {
        self.directory.account(account).await.map(|found| found.is_some())
    }
}

fn tokens(account: &Account) -> Vec<&str> {
    account.tokens.iter().map(|token| token.text.expose_secret()).collect()
}

async fn a_stored_account_speaks_with_all_its_tokens(at: TestDatabase) {
    let mut house = house(at, Overlays::default()).await;
    let (ours, theirs) = (sealer('A'), sealer('E'));
    house.add_account("AC1", "acme", &[("old", &ours), ("foreign", &theirs), ("new", &ours)]).await;
    house.add_account("AC2", "default", &[]).await;
    let account = house.directory.account("AC1").await.unwrap().unwrap();
    assert_eq!((account.tenant.as_str(), account.provider.as_str()), ("acme", "twilio"));
    assert_eq!(tokens(&account), ["old", "new"], "what another key sealed is left out, the rest works");
    assert_eq!(account.token_bytes(START_MS).collect::<Vec<_>>(), [b"old", b"new"]);
    assert!(!format!("{account:?}").contains("old"));
    assert!(house.directory.account("AC2").await.unwrap().unwrap().tokens.is_empty());
    assert!(house.directory.account("AC3").await.unwrap().is_none());

    let verify = |now_ms| account.verify(now_ms, VerifyMode::Observe);
    assert_eq!(verify(START_MS + 9), VerifyMode::Observe);
    assert_eq!(verify(START_MS + 10), VerifyMode::Enforce, "observing ends by itself");
}

async fn a_new_account_works_at_once_and_strangers_do_not_hammer(at: TestDatabase) {
    let mut house = house(at, Overlays::default()).await;
    assert!(!house.knows("AC1").await.unwrap());
    house.add_account("AC1", "acme", &[]).await;
    house.clock.advance(ASK_EVERY_MS - 1);
    assert!(!house.knows("AC1").await.unwrap(), "asked less than a second ago");
    house.clock.advance(1);
    assert!(house.knows("AC1").await.unwrap());

    house.add_account("AC2", "acme", &[]).await;
    assert!(!house.knows("AC2").await.unwrap());
    house.directory.refresh().await.unwrap();
    assert!(house.knows("AC2").await.unwrap(), "whoever adds it here says so");
}

async fn a_revocation_arrives_within_the_promised_time(at: TestDatabase) {
    let mut house = house(at, Overlays::default()).await;
    let issued = house.add_key(&[Scope::Read], None).await;
    let key = house.directory.key(issued.text.expose_secret()).await.unwrap();
    assert_eq!((key.tenant.as_str(), key.id.as_str(), key.name.as_str()), ("acme", issued.row.id.as_str(), "crm"));
    assert!(key.may(Scope::Read) && !key.may(Scope::Write));

    house.revoke(&issued).await;
    house.clock.advance(AGE_MAX_MS - 1);
    assert_eq!(house.judge(&issued).await, Ok(()));
    house.clock.advance(1);
    assert_eq!(house.judge(&issued).await, Err(KeyRefused::Revoked));

    // A clock that is set back must not make an old answer young.
    let other = house.add_key(&[], None).await;
    house.directory.refresh().await.unwrap();
    house.revoke(&other).await;
    house.clock.set(START_MS - 5);
    assert_eq!(house.judge(&other).await, Err(KeyRefused::Revoked));
}

async fn a_key_expires_by_the_clock(at: TestDatabase) {
    let mut house = house(at, Overlays::default()).await;
    let issued = house.add_key(&[], Some(START_MS + 100)).await;
    assert_eq!(house.judge(&issued).await, Ok(()));
    house.clock.advance(99);
    assert_eq!(house.judge(&issued).await, Ok(()));
    house.clock.advance(1);
    assert_eq!(house.judge(&issued).await, Err(KeyRefused::Expired));
}

async fn a_wrong_secret_learns_nothing(at: TestDatabase) {
    let mut house = house(at, Overlays::default()).await;
    let (one, two) = (house.add_key(&[], None).await, house.add_key(&[], None).await);
    house.revoke(&one).await;
    house.revoke(&two).await;
    let (one, two) = (one.text.expose_secret(), two.text.expose_secret());
    let id_of = |text: &str| text[..31].to_owned();
    let secret_of = |text: &str| text[31..].to_owned();
    for presented in ["", "ohk_", "Bearer", &format!("{}{}", id_of(one), secret_of(two)), &format!("{one}x")] {
        let refused = house.directory.key(presented).await.map(drop);
        assert_eq!(refused, Err(KeyRefused::Unknown), "{presented}");
    }
    assert_eq!(house.directory.key(one).await.map(drop), Err(KeyRefused::Revoked), "its owner is told");
}

fn overlays(tenant: &str) -> Overlays {
    let account = Account {
        id: "AC1".into(),
        tenant: tenant.into(),
        provider: "twilio".into(),
        parent: None,
        has_secrets: true,
        tokens: vec![SecretString::from("configured").into()],
        api_keys: Vec::new(),
        api_base: None,
        verify: None,
        verify_until_ms: None,
    };
    Overlays { accounts: vec![account], key: Some(SecretString::from("a key of any form")) }
}

async fn the_configuration_speaks_without_being_stored(at: TestDatabase) {
    let mut house = house(at, overlays("default")).await;
    let key = house.directory.key("a key of any form").await.unwrap();
    assert_eq!(key.tenant, "default");
    assert!(Scope::ALL.iter().all(|scope| key.may(*scope)));
    let account = house.directory.account("AC1").await.unwrap().unwrap();
    assert_eq!((account.tenant.as_str(), tokens(&account)), ("default", vec!["configured"]));
    assert_eq!(account.verify(START_MS, VerifyMode::Observe), VerifyMode::Observe);
    assert!(accounts::find(&house.at.db, "default", "AC1").await.unwrap().is_none());

    // Stored as well: while a token is rotated both hold.
    house.add_account("AC1", "default", &[("stored", &sealer('A'))]).await;
    house.directory.refresh().await.unwrap();
    let account = house.directory.account("AC1").await.unwrap().unwrap();
    assert_eq!(tokens(&account), ["configured", "stored"]);

    // Stored for somebody else: the configuration decides, and their token opens nothing.
    let mut tx = house.at.db.begin().await.unwrap();
    accounts::delete_secret(&mut tx, "default", "AC1", "token_0").await.unwrap();
    tx.commit().await.unwrap();
    let theirs = Directory::new(house.at.db.clone(), house.clock.shared(), sealer('A'), overlays("acme"));
    let account = theirs.account("AC1").await.unwrap().unwrap();
    assert_eq!((account.tenant.as_str(), tokens(&account)), ("acme", vec!["configured"]));
}

async fn without_a_database_the_last_answer_stands(at: TestDatabase) {
    let mut house = house(at, overlays("default")).await;
    house.add_account("AC2", "acme", &[("token", &sealer('A'))]).await;
    let issued = house.add_key(&[], None).await;
    assert_eq!(house.judge(&issued).await, Ok(()));
    house.at.db.close().await;

    house.clock.advance(AGE_MAX_MS * 100);
    assert_eq!(house.judge(&issued).await, Ok(()));
    assert!(house.knows("AC1").await.unwrap() && house.knows("AC2").await.unwrap());
    assert!(house.directory.key("a key of any form").await.is_ok());
    assert_eq!(house.directory.key("no key").await, Err(KeyRefused::Unknown));

    // What is not known may exist all the same: that is another answer than no.
    assert_eq!(house.knows("AC3").await, Err(Unavailable));
    let new = NewKey { tenant: "acme".into(), name: "n".into(), scopes: [].into(), expires_ms: None };
    let unknown = issue_key(new, START_MS, &mut house.rng);
    assert_eq!(house.judge(&unknown).await, Err(KeyRefused::Unavailable));
    assert_eq!(house.directory.refresh().await, Err(Unavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_comes_back_is_asked_again() {
    let mut house = house(TestDatabase::postgres().await, Overlays::default()).await;
    house.add_account("AC1", "acme", &[]).await;
    assert!(house.knows("AC1").await.unwrap());
    house.add_account("AC2", "acme", &[]).await;
    house.at.place.refuse_connections(true).await;
    house.clock.advance(AGE_MAX_MS);
    assert_eq!(house.knows("AC2").await, Err(Unavailable));
    assert!(house.knows("AC1").await.unwrap());
    house.at.place.refuse_connections(false).await;
    house.clock.advance(ASK_EVERY_MS);
    assert!(house.knows("AC2").await.unwrap());
}
