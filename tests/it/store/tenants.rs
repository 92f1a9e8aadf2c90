//! Tenants.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    StoreError,
    tenants::{self, TenantRow},
};

on_both! { tenants_are_found_and_listed, the_default_tenant_is_made_once, nothing_is_kept_of_a_transaction_that_is_dropped }

fn row(id: &str) -> TenantRow {
    TenantRow { id: id.into(), name: format!("The {id}s"), created_ms: 7 }
}

async fn tenants_are_found_and_listed(at: TestDatabase) {
    for id in ["b", "a", "Z", "ä"] {
        commit!(at, |tx| tenants::insert(tx, &row(id)));
    }
    assert_eq!(tenants::find(&at.db, "a").await.unwrap(), Some(row("a")));
    assert_eq!(tenants::find(&at.db, "A").await.unwrap(), None);
    assert_eq!(tenants::list(&at.db, "", 3).await.unwrap(), [row("Z"), row("a"), row("b")]);
    assert_eq!(tenants::list(&at.db, "b", 3).await.unwrap(), [row("ä")]);

    let mut tx = at.db.begin().await.unwrap();
    let error = tenants::insert(&mut tx, &row("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
}

async fn the_default_tenant_is_made_once(at: TestDatabase) {
    commit!(at, |tx| tenants::ensure_default(tx, 1));
    commit!(at, |tx| tenants::ensure_default(tx, 2));
    let found = tenants::find(&at.db, "default").await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.created_ms), ("default", 1));
}

async fn nothing_is_kept_of_a_transaction_that_is_dropped(at: TestDatabase) {
    let mut tx = at.db.begin().await.unwrap();
    tenants::insert(&mut tx, &row("a")).await.unwrap();
    assert!(tenants::find(&mut tx, "a").await.unwrap().is_some());
    assert!(tenants::find(&at.db, "a").await.unwrap().is_none(), "not visible to others before the commit");
    drop(tx);
    assert!(tenants::find(&at.db, "a").await.unwrap().is_none());
}
