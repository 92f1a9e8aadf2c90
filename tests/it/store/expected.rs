//! Announced calls.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    StoreError,
    expected::{self, Candidate, ExpectedRow, Match},
};

on_both! { an_announcement_fits_by_numbers_and_time, an_announcement_is_taken_once, expired_announcements_go }

fn announced(id: &str, created_ms: i64) -> ExpectedRow {
    ExpectedRow {
        tenant: "acme".into(),
        id: id.into(),
        account: "AC1".into(),
        to: "+14155550101".into(),
        from: None,
        lead_id: Some("lead".into()),
        user_id: None,
        extension: Some("100".into()),
        created_ms,
        expires_ms: 100,
        matched: None,
    }
}

fn candidate() -> Candidate {
    Candidate {
        tenant: "acme".into(),
        account: "AC1".into(),
        provider_id: "CA1".into(),
        to: "+14155550101".into(),
        from: Some("+14155550109".into()),
        now_ms: 50,
    }
}

async fn an_announcement_fits_by_numbers_and_time(at: TestDatabase) {
    let rows = [
        announced("b", 2),
        ExpectedRow { from: Some("+14155550109".into()), ..announced("a", 1) },
        ExpectedRow { from: Some("+14155550108".into()), ..announced("another caller", 1) },
        ExpectedRow { to: "+14155550102".into(), ..announced("another callee", 1) },
        ExpectedRow { account: "AC2".into(), ..announced("another account", 1) },
        ExpectedRow { tenant: "other".into(), ..announced("another tenant", 1) },
        ExpectedRow { expires_ms: 50, ..announced("too late", 1) },
        ExpectedRow { matched: Some("CA9".into()), ..announced("taken", 1) },
    ];
    for row in &rows {
        commit!(at, |tx| expected::insert(tx, row));
    }
    let open = commit!(at, |tx| expected::list_open(tx, &[candidate(), candidate()]));
    assert_eq!(open, [rows[1].clone(), rows[0].clone()]);
    let unknown = Candidate { from: None, ..candidate() };
    assert_eq!(commit!(at, |tx| expected::list_open(tx, &[unknown])), [rows[0].clone()]);
    assert_eq!(commit!(at, |tx| expected::list_open(tx, &[])), []);

    assert_eq!(expected::find(&at.db, "acme", "a").await.unwrap(), Some(rows[1].clone()));
    assert_eq!(expected::find(&at.db, "other", "a").await.unwrap(), None);
    let mut tx = at.db.begin().await.unwrap();
    let error = expected::insert(&mut tx, &announced("a", 1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
}

async fn an_announcement_is_taken_once(at: TestDatabase) {
    for id in ["a", "b"] {
        commit!(at, |tx| expected::insert(tx, &announced(id, 1)));
    }
    let taking = |id: &str, call: &str| Match { tenant: "acme".into(), id: id.into(), matched: call.into() };
    let theirs = Match { tenant: "other".into(), ..taking("b", "CA1") };
    assert_eq!(commit!(at, |tx| expected::take(tx, &[taking("a", "CA1"), theirs])), ["a"]);
    assert_eq!(commit!(at, |tx| expected::take(tx, &[taking("a", "CA2"), taking("b", "CA2")])), ["b"]);
    let matched = expected::find(&at.db, "acme", "a").await.unwrap().unwrap().matched;
    assert_eq!(matched.as_deref(), Some("CA1"));
    assert_eq!(commit!(at, |tx| expected::list_open(tx, &[candidate()])), []);
}

async fn expired_announcements_go(at: TestDatabase) {
    for (id, expires_ms) in [("a", 10), ("b", 20), ("c", 30)] {
        commit!(at, |tx| expected::insert(tx, &ExpectedRow { expires_ms, ..announced(id, 1) }));
    }
    assert_eq!(commit!(at, |tx| expected::delete_expired(tx, 20, 100)), 2);
    assert_eq!(expected::find(&at.db, "acme", "b").await.unwrap(), None);
    assert!(expected::find(&at.db, "acme", "c").await.unwrap().is_some());
}
