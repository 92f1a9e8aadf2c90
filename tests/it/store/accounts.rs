//! Accounts and their sealed tokens.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    StoreError,
    accounts::{self, Access, AccountRow, SecretRow},
    tenants::{self, TenantRow},
};

on_both! {
    an_account_belongs_to_one_tenant,
    accounts_come_in_pages,
    tokens_are_kept_byte_for_byte,
    the_snapshot_has_every_account_and_token,
    verification_can_be_set,
    how_it_is_asked_can_be_set,
    the_other_tokens_end_and_are_forgotten,
}

fn account(id: &str, tenant: &str) -> AccountRow {
    AccountRow {
        id: id.into(),
        tenant: tenant.into(),
        provider: "twilio".into(),
        verify: None,
        verify_until_ms: None,
        created_ms: 5,
        parent: None,
        api_base: None,
        api_key: None,
    }
}

fn secret(account: &str, id: &str, created_ms: i64) -> SecretRow {
    SecretRow {
        account: account.into(),
        id: id.into(),
        sealed: vec![0, 255, b'\'', b'\\', 10],
        seal_key: "k1".into(),
        created_ms,
        expires_ms: None,
    }
}

async fn with_accounts(at: &TestDatabase, ids: &[(&str, &str)]) {
    for tenant in ["acme", "other"] {
        commit!(at, |tx| tenants::insert(tx, &TenantRow { id: tenant.into(), name: "n".into(), created_ms: 1 }));
    }
    for (id, tenant) in ids {
        commit!(at, |tx| accounts::insert(tx, &account(id, tenant)));
    }
}

async fn an_account_belongs_to_one_tenant(at: TestDatabase) {
    with_accounts(&at, &[("AC1", "acme")]).await;
    assert_eq!(accounts::find(&at.db, "acme", "AC1").await.unwrap(), Some(account("AC1", "acme")));
    assert_eq!(accounts::find(&at.db, "other", "AC1").await.unwrap(), None);

    let mut tx = at.db.begin().await.unwrap();
    let error = accounts::insert(&mut tx, &account("AC1", "other")).await.unwrap_err();
    assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
}

async fn accounts_come_in_pages(at: TestDatabase) {
    with_accounts(&at, &[("AC3", "acme"), ("AC1", "acme"), ("AC2", "other"), ("AC4", "acme")]).await;
    let ids = |page: Vec<AccountRow>| page.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(accounts::list(&at.db, "acme", "", 2).await.unwrap()), ["AC1", "AC3"]);
    assert_eq!(ids(accounts::list(&at.db, "acme", "AC3", 2).await.unwrap()), ["AC4"]);
}

async fn tokens_are_kept_byte_for_byte(at: TestDatabase) {
    with_accounts(&at, &[("AC1", "acme")]).await;
    let (old, new) = (secret("AC1", "z", 1), secret("AC1", "a", 2));
    commit!(at, |tx| accounts::insert_secret(tx, &new));
    commit!(at, |tx| accounts::insert_secret(tx, &old));
    assert_eq!(accounts::list_secrets(&at.db, "acme", "AC1", 9).await.unwrap(), [old, new.clone()]);
    assert_eq!(accounts::list_secrets(&at.db, "acme", "AC1", 1).await.unwrap().len(), 1);
    assert_eq!(accounts::list_secrets(&at.db, "other", "AC1", 9).await.unwrap(), []);

    assert_eq!(commit!(at, |tx| accounts::delete_secret(tx, "other", "AC1", "z")), 0);
    assert_eq!(commit!(at, |tx| accounts::delete_secret(tx, "acme", "AC1", "nothing")), 0);
    assert_eq!(commit!(at, |tx| accounts::delete_secret(tx, "acme", "AC1", "z")), 1);
    assert_eq!(accounts::list_secrets(&at.db, "acme", "AC1", 9).await.unwrap(), std::slice::from_ref(&new));

    let mut tx = at.db.begin().await.unwrap();
    let error = accounts::insert_secret(&mut tx, &new).await.unwrap_err();
    assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
}

async fn the_snapshot_has_every_account_and_token(at: TestDatabase) {
    with_accounts(&at, &[("AC1", "acme"), ("AC2", "other"), ("AC3", "acme")]).await;
    for (account, id) in [("AC1", "s1"), ("AC1", "s2"), ("AC3", "s1")] {
        commit!(at, |tx| accounts::insert_secret(tx, &secret(account, id, 1)));
    }
    let mut seen = Vec::new();
    let mut after = (String::new(), String::new());
    // One row per page: every boundary is tried, also between the tokens of one account.
    loop {
        let page = accounts::list_all(&at.db, (&after.0, &after.1), 1).await.unwrap();
        let Some(row) = page.into_iter().next() else { break };
        assert_eq!(row.account, account(&row.account.id, if row.account.id == "AC2" { "other" } else { "acme" }));
        let has_token = !row.secret_id.is_empty();
        assert_eq!(row.sealed, has_token.then(|| secret("", "", 0).sealed));
        assert_eq!(row.seal_key.as_deref(), has_token.then_some("k1"));
        after = (row.account.id, row.secret_id);
        seen.push(after.clone());
    }
    let seen: Vec<(&str, &str)> = seen.iter().map(|(a, s)| (a.as_str(), s.as_str())).collect();
    assert_eq!(seen, [("AC1", "s1"), ("AC1", "s2"), ("AC2", ""), ("AC3", "s1")]);
    assert_eq!(accounts::list_all(&at.db, ("", ""), 9).await.unwrap().len(), 4);
}

async fn verification_can_be_set(at: TestDatabase) {
    with_accounts(&at, &[("AC1", "acme")]).await;
    assert_eq!(commit!(at, |tx| accounts::set_verify(tx, "other", "AC1", Some("observe"), Some(9))), 0);
    assert_eq!(accounts::find(&at.db, "acme", "AC1").await.unwrap().unwrap().verify, None);
    assert_eq!(commit!(at, |tx| accounts::set_verify(tx, "acme", "AC1", Some("observe"), Some(9))), 1);
    let found = accounts::find(&at.db, "acme", "AC1").await.unwrap().unwrap();
    assert_eq!((found.verify.as_deref(), found.verify_until_ms), (Some("observe"), Some(9)));
    assert_eq!(commit!(at, |tx| accounts::set_verify(tx, "acme", "AC1", None, None)), 1);
    assert_eq!(accounts::find(&at.db, "acme", "AC1").await.unwrap(), Some(account("AC1", "acme")));
}

async fn how_it_is_asked_can_be_set(at: TestDatabase) {
    with_accounts(&at, &[("AC1", "acme"), ("AC2", "acme")]).await;
    let access = Access {
        api_base: Some("https://api.dublin.ie1.twilio.com".into()),
        api_key: Some("SK1".into()),
        api_secret: Some(vec![0, 255, b'\'']),
        api_seal_key: Some("k1".into()),
    };
    assert_eq!(commit!(at, |tx| accounts::set_access(tx, "other", "AC1", &access)), 0);
    assert_eq!(commit!(at, |tx| accounts::set_access(tx, "acme", "AC1", &access)), 1);
    commit!(at, |tx| accounts::insert_secret(tx, &secret("AC1", "s1", 1)));
    let expected =
        AccountRow { api_base: access.api_base.clone(), api_key: access.api_key.clone(), ..account("AC1", "acme") };
    assert_eq!(accounts::find(&at.db, "acme", "AC1").await.unwrap().unwrap(), expected);
    let all = accounts::list_all(&at.db, ("", ""), 9).await.unwrap();
    let secrets: Vec<_> = all.iter().map(|row| (row.api_secret.as_deref(), row.api_seal_key.as_deref())).collect();
    assert_eq!(secrets, [(access.api_secret.as_deref(), Some("k1")), (None, None)]);
    assert_eq!(all[0].account, expected);
    assert_eq!(commit!(at, |tx| accounts::set_access(tx, "acme", "AC1", &Access::default())), 1);
    assert_eq!(accounts::find(&at.db, "acme", "AC1").await.unwrap(), Some(account("AC1", "acme")));
    assert_eq!(accounts::list_all(&at.db, ("", ""), 1).await.unwrap()[0].api_secret, None);
}

async fn the_other_tokens_end_and_are_forgotten(at: TestDatabase) {
    with_accounts(&at, &[("AC1", "acme"), ("AC2", "acme")]).await;
    for (account, id) in [("AC1", "old"), ("AC1", "older"), ("AC1", "new"), ("AC2", "old")] {
        commit!(at, |tx| accounts::insert_secret(tx, &secret(account, id, 1)));
    }
    assert_eq!(commit!(at, |tx| accounts::expire_secrets_but(tx, "other", "AC1", "new", 50)), 0);
    assert_eq!(commit!(at, |tx| accounts::expire_secrets_but(tx, "acme", "AC1", "new", 50)), 2);
    assert_eq!(commit!(at, |tx| accounts::expire_secrets_but(tx, "acme", "AC1", "new", 60)), 0, "never later");
    let ends = async |account| {
        let rows = accounts::list_secrets(&at.db, "acme", account, 9).await.unwrap();
        rows.into_iter().map(|row| (row.id, row.expires_ms)).collect::<Vec<_>>()
    };
    let expected = [("new".into(), None), ("old".into(), Some(50)), ("older".into(), Some(50))];
    assert_eq!(ends("AC1").await, expected);
    assert_eq!(ends("AC2").await, [("old".into(), None)]);
    let snapshot = accounts::list_all(&at.db, ("", ""), 9).await.unwrap();
    assert_eq!(snapshot.iter().map(|row| row.expires_ms).collect::<Vec<_>>(), [None, Some(50), Some(50), None]);
    assert_eq!(commit!(at, |tx| accounts::delete_expired_secrets(tx, 49, 9)), 0);
    assert_eq!(commit!(at, |tx| accounts::delete_expired_secrets(tx, 50, 1)), 1);
    assert_eq!(commit!(at, |tx| accounts::delete_expired_secrets(tx, 50, 9)), 1);
    assert_eq!(ends("AC1").await, [("new".into(), None)]);
}
