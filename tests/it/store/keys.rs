//! API keys.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    StoreError,
    keys::{self, KeyRow},
    tenants::{self, TenantRow},
};

on_both! { keys_are_found_listed_and_revoked, the_snapshot_forgets_what_ended_long_ago }

fn key(id: &str, tenant: &str) -> KeyRow {
    KeyRow {
        id: id.into(),
        tenant: tenant.into(),
        name: "crm".into(),
        digest: (0..32).collect(),
        scopes: "read write".into(),
        created_ms: 3,
        expires_ms: None,
        revoked_ms: None,
    }
}

async fn with_tenants(at: &TestDatabase) {
    for tenant in ["acme", "other"] {
        commit!(at, |tx| tenants::insert(tx, &TenantRow { id: tenant.into(), name: "n".into(), created_ms: 1 }));
    }
}

async fn keys_are_found_listed_and_revoked(at: TestDatabase) {
    with_tenants(&at).await;
    for (id, tenant) in [("key_2", "acme"), ("key_1", "acme"), ("key_3", "other")] {
        commit!(at, |tx| keys::insert(tx, &key(id, tenant)));
    }
    assert_eq!(keys::find(&at.db, "acme", "key_1").await.unwrap(), Some(key("key_1", "acme")));
    assert_eq!(keys::find(&at.db, "acme", "key_3").await.unwrap(), None);
    assert!(keys::exists_elsewhere(&at.db, "acme", "key_3").await.unwrap());
    for own_or_none in ["key_1", "key_9"] {
        assert!(!keys::exists_elsewhere(&at.db, "acme", own_or_none).await.unwrap());
    }
    assert_eq!(keys::list(&at.db, "acme", "", 9).await.unwrap(), [key("key_1", "acme"), key("key_2", "acme")]);
    assert_eq!(keys::list(&at.db, "acme", "", 1).await.unwrap(), [key("key_1", "acme")]);
    assert_eq!(keys::list(&at.db, "acme", "key_1", 9).await.unwrap(), [key("key_2", "acme")]);

    assert_eq!(commit!(at, |tx| keys::revoke(tx, "acme", "key_3", 50)), 0, "another tenant's");
    assert_eq!(commit!(at, |tx| keys::revoke(tx, "acme", "key_1", 50)), 1);
    assert_eq!(commit!(at, |tx| keys::revoke(tx, "acme", "key_1", 60)), 0, "once");
    assert_eq!(keys::find(&at.db, "acme", "key_1").await.unwrap().unwrap().revoked_ms, Some(50));
    assert_eq!(keys::find(&at.db, "other", "key_3").await.unwrap().unwrap().revoked_ms, None);

    let mut tx = at.db.begin().await.unwrap();
    let error = keys::insert(&mut tx, &key("key_1", "other")).await.unwrap_err();
    assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
}

async fn the_snapshot_forgets_what_ended_long_ago(at: TestDatabase) {
    with_tenants(&at).await;
    let rows = [
        key("key_1", "acme"),
        KeyRow { expires_ms: Some(10), ..key("key_2", "acme") },
        KeyRow { expires_ms: Some(20), ..key("key_3", "other") },
        KeyRow { revoked_ms: Some(10), ..key("key_4", "acme") },
        KeyRow { revoked_ms: Some(20), expires_ms: Some(90), ..key("key_5", "acme") },
        KeyRow { revoked_ms: Some(10), expires_ms: Some(90), ..key("key_6", "acme") },
    ];
    for row in &rows {
        commit!(at, |tx| keys::insert(tx, row));
    }
    let live = |page: Vec<KeyRow>| page.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(live(keys::list_live(&at.db, 15, "", 9).await.unwrap()), ["key_1", "key_3", "key_5"]);
    assert_eq!(live(keys::list_live(&at.db, 15, "key_1", 1).await.unwrap()), ["key_3"]);
    assert_eq!(live(keys::list_live(&at.db, 0, "", 9).await.unwrap()).len(), rows.len());
    assert_eq!(keys::list_live(&at.db, 15, "key_3", 9).await.unwrap(), [rows[4].clone()]);
}
