//! Notices: what people should know, and what they have read.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::notices::{self, Addressee, NoticeFilter, NoticeRow};

on_both! { notices_are_listed_by_addressee_newest_first, notices_are_counted_by_kind, a_notice_is_read_once }

fn row(tenant: &str, id: &str, user_id: Option<&str>) -> NoticeRow {
    NoticeRow {
        tenant: tenant.into(),
        id: id.into(),
        user_id: user_id.map(Into::into),
        kind: "call.given_up".into(),
        subject: "call_1".into(),
        text: "it's \"é\"".into(),
        created_ms: 7,
        read_ms: None,
    }
}

async fn notices_are_listed_by_addressee_newest_first(at: TestDatabase) {
    let rows = [
        row("acme", "note_1", None),
        row("acme", "note_2", Some("ann")),
        row("acme", "note_3", Some("bob")),
        row("acme", "note_4", None),
        row("other", "note_5", Some("ann")),
    ];
    commit!(at, |tx| notices::insert(tx, &rows));
    commit!(at, |tx| notices::insert(tx, &[NoticeRow { text: "another".into(), ..row("acme", "note_1", None) }]));
    commit!(at, |tx| notices::set_read(tx, "acme", "note_4", 9));
    let ids = async |to, unread, before, limit| {
        let filter = NoticeFilter { to, unread };
        let found = notices::list(&at.db, "acme", filter, before, limit).await.unwrap();
        found.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(Addressee::Anybody, None, None, 9).await, ["note_4", "note_3", "note_2", "note_1"]);
    assert_eq!(ids(Addressee::Anybody, None, Some("note_4"), 2).await, ["note_3", "note_2"]);
    assert_eq!(ids(Addressee::Everybody, None, None, 9).await, ["note_4", "note_1"]);
    assert_eq!(ids(Addressee::Everybody, Some(true), None, 9).await, ["note_1"]);
    assert_eq!(ids(Addressee::Anybody, Some(false), None, 9).await, ["note_4"]);
    assert_eq!(ids(Addressee::User("ann"), None, None, 9).await, ["note_2"]);
    assert_eq!(ids(Addressee::User("ann"), Some(false), None, 9).await, [""; 0]);
    assert_eq!(ids(Addressee::User("cid"), None, None, 9).await, [""; 0]);
    let about = notices::list_of_subject(&at.db, "acme", "call_1", 1).await.unwrap();
    assert_eq!(about, [NoticeRow { read_ms: Some(9), ..row("acme", "note_4", None) }]);
}

async fn notices_are_counted_by_kind(at: TestDatabase) {
    let made = |tenant: &str, at_ms: i64, kind: &str, user_id| NoticeRow {
        kind: kind.into(),
        ..row(tenant, &onhook::domain::id::new_id("note", at_ms, u128::from(kind.len() as u64)), user_id)
    };
    let rows = [
        made("acme", 10, "call.given_up", None),
        made("acme", 19, "call.given_up", None),
        made("acme", 11, "account.refused", None),
        // What a user is told is told to everybody too.
        made("acme", 12, "call.superseded", Some("ann")),
        made("acme", 20, "call.given_up", None),
        made("other", 12, "call.given_up", None),
    ];
    commit!(at, |tx| notices::insert(tx, &rows));
    let counted = notices::count(&at.db, "acme", (10, 20)).await.unwrap();
    assert_eq!(counted, [("account.refused".to_owned(), 1), ("call.given_up".to_owned(), 2)]);
}

async fn a_notice_is_read_once(at: TestDatabase) {
    commit!(at, |tx| notices::insert(tx, &[row("acme", "note_1", Some("ann"))]));
    let read = NoticeRow { read_ms: Some(8), ..row("acme", "note_1", Some("ann")) };
    assert_eq!(commit!(at, |tx| notices::set_read(tx, "acme", "note_1", 8)), Some(read.clone()));
    assert_eq!(commit!(at, |tx| notices::set_read(tx, "acme", "note_1", 9)), Some(read), "the first time stands");
    assert_eq!(commit!(at, |tx| notices::set_read(tx, "other", "note_1", 9)), None);
    assert_eq!(commit!(at, |tx| notices::set_read(tx, "acme", "note_2", 9)), None);
    // Another tenant has to be one.
    let tenant = |id: &str| onhook::store::tenants::TenantRow { id: id.into(), name: id.into(), created_ms: 1 };
    commit!(at, |tx| onhook::store::tenants::insert(tx, &tenant("acme")));
    assert!(notices::exists_elsewhere(&at.db, "other", "note_1").await.unwrap());
    assert!(!notices::exists_elsewhere(&at.db, "acme", "note_1").await.unwrap());
}
