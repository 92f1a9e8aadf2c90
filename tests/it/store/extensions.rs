//! Extensions, as far as calls name them.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    domain::id::new_id,
    store::{
        calls::{self, CallRow, LegKey},
        extensions::{self, ExtensionKey, Lately, PbxExtension},
    },
};

on_both! {
    live_calls_are_found_and_hastened,
    extensions_are_listed_by_name,
    the_call_that_counts_is_the_one_answered_last,
    extensions_of_a_pbx_have_users_and_phones,
    extensions_of_pbxs_are_listed_beside_those_of_calls,
}

fn call(tenant: &str, n: u32, extension: Option<&str>, due_at_ms: Option<i64>) -> CallRow {
    CallRow {
        tenant: tenant.into(),
        provider_id: format!("CA{n}"),
        account: "AC1".into(),
        id: format!("call_{n}"),
        provider: "twilio".into(),
        registers: "{}".into(),
        extension: extension.map(Into::into),
        user_id: Some(format!("user-{n}")),
        status: if due_at_ms.is_some() { "in-progress" } else { "completed" }.into(),
        resolution: due_at_ms.is_none().then(|| "callback".into()),
        answered_at_ms: Some(i64::from(n)),
        due_at_ms,
        ..CallRow::default()
    }
}

fn on(tenant: &str, extension: &str) -> ExtensionKey {
    ExtensionKey { tenant: tenant.into(), extension: extension.into() }
}

fn key(row: &CallRow) -> LegKey {
    LegKey { tenant: row.tenant.clone(), provider_id: row.provider_id.clone(), account: row.account.clone() }
}

async fn live_calls_are_found_and_hastened(at: TestDatabase) {
    let rows = [
        call("acme", 1, Some("7"), Some(900)),
        call("acme", 2, Some("7"), Some(100)),
        call("acme", 3, Some("7"), None),
        call("acme", 4, Some("8"), Some(900)),
        call("acme", 5, None, Some(900)),
        call("other", 6, Some("7"), Some(900)),
    ];
    commit!(at, |tx| calls::upsert(tx, &rows));
    let live = async |keys: &[ExtensionKey]| {
        let mut found = extensions::list_live(&at.db, keys).await.unwrap();
        found.sort();
        found.into_iter().map(|call| (call.provider_id, call.answered_at_ms)).collect::<Vec<_>>()
    };
    assert_eq!(live(&[on("acme", "7")]).await, [("CA1".to_owned(), Some(1)), ("CA2".to_owned(), Some(2))]);
    assert_eq!(live(&[on("acme", "8"), on("other", "7")]).await.len(), 2);
    assert_eq!(live(&[]).await, []);
    // One that is due already stays so, one that has ended has no deadline, and another tenant's is not touched.
    let keys: Vec<LegKey> = rows.iter().take(3).map(key).collect();
    assert_eq!(commit!(at, |tx| extensions::hasten(tx, &keys, 500)), 1);
    assert_eq!(commit!(at, |tx| extensions::hasten(tx, &[], 500)), 0);
    let mut due = Vec::new();
    for row in &rows {
        let found = calls::find(&at.db, &row.tenant, &row.id, None).await.unwrap();
        due.push(found[0].due_at_ms);
    }
    assert_eq!(due, [Some(500), Some(100), None, Some(900), Some(900), Some(900)]);
}

async fn extensions_are_listed_by_name(at: TestDatabase) {
    let known = |n: u32, at_ms: i64, extension, due| CallRow {
        id: new_id("call", at_ms, n.into()),
        ..call("acme", n, extension, due)
    };
    let rows = [
        known(1, 100, Some("7"), None),
        known(2, 200, Some("7"), None),
        known(3, 300, Some("8"), None),
        known(4, 400, None, None),
        // Too long ago, but it lives.
        known(5, 10, Some("9"), Some(1)),
        known(6, 20, Some("6"), None),
        CallRow { tenant: "other".into(), ..known(7, 300, Some("5"), Some(1)) },
    ];
    commit!(at, |tx| calls::upsert(tx, &rows));
    let list = async |calls_max, after, limit| {
        let lately = Lately { since_ms: 100, calls_max };
        let found = extensions::list(&at.db, "acme", lately, after, limit).await.unwrap();
        found.into_iter().map(|known| (known.extension, known.user_id.unwrap())).collect::<Vec<_>>()
    };
    let pair = |extension: &str, user: &str| (extension.to_owned(), user.to_owned());
    let all = [pair("7", "user-2"), pair("8", "user-3"), pair("9", "user-5")];
    assert_eq!(list(99, "", 9).await, all, "with the user of the last call");
    assert_eq!(list(99, "", 2).await, all[..2]);
    assert_eq!(list(99, "8", 9).await, all[2..]);
    assert_eq!(list(2, "", 9).await, all[1..], "of the latest two calls one names none");
}

async fn the_call_that_counts_is_the_one_answered_last(at: TestDatabase) {
    let ringing = |n| CallRow { status: "ringing".into(), answered_at_ms: None, ..call("acme", n, Some("7"), Some(1)) };
    let busy = async |extensions: &[&str]| {
        let keys: Vec<ExtensionKey> = extensions.iter().map(|extension| on("acme", extension)).collect();
        let mut found = extensions::list_busy(&at.db, &keys).await.unwrap();
        found.sort_by(|a, b| a.extension.cmp(&b.extension));
        found.into_iter().map(|busy| (busy.extension, busy.provider_id, busy.calls)).collect::<Vec<_>>()
    };
    let counts = |extension: &str, n: u32, calls: i64| (extension.to_owned(), format!("CA{n}"), calls);
    assert_eq!(busy(&[]).await, []);
    commit!(at, |tx| calls::upsert(tx, &[ringing(1), ringing(2), call("acme", 3, Some("7"), None)]));
    assert_eq!(busy(&["7", "8"]).await, [counts("7", 2, 2)], "the newest, while none is answered");
    let answered = CallRow { answered_at_ms: Some(99), ..call("acme", 0, Some("7"), Some(1)) };
    commit!(at, |tx| calls::upsert(tx, &[answered, call("acme", 4, Some("7"), Some(1)), ringing(5)]));
    commit!(at, |tx| calls::upsert(tx, &[call("acme", 6, Some("8"), Some(1)), call("other", 7, Some("8"), Some(1))]));
    assert_eq!(busy(&["7", "8", "9"]).await, [counts("7", 0, 5), counts("8", 6, 1)]);
}

async fn extensions_of_a_pbx_have_users_and_phones(at: TestDatabase) {
    let of = ("acme", "pbx1");
    let said = |extension: &str, device: &str, device_ms| PbxExtension {
        tenant: "acme".into(),
        account: "pbx1".into(),
        extension: extension.into(),
        device: Some(device.into()),
        device_ms: Some(device_ms),
        ..PbxExtension::default()
    };
    commit!(at, |tx| extensions::put_user(tx, of, "2001", Some("ada")));
    commit!(at, |tx| extensions::put_devices(tx, &[]));
    commit!(at, |tx| extensions::put_devices(tx, &[said("2001", "ringing", 5), said("2002", "in-use", 5)]));
    commit!(at, |tx| extensions::put_devices(tx, &[said("2001", "available", 4), said("2002", "available", 6)]));
    commit!(at, |tx| extensions::put_user(tx, ("acme", "pbx2"), "2002", Some("eve")));
    let ada = PbxExtension { user_id: Some("ada".into()), ..said("2001", "ringing", 5) };
    let nobody = said("2002", "available", 6);
    let list = async |after: &str, limit| extensions::list_of_pbx(&at.db, of, after, limit).await.unwrap();
    assert_eq!(list("", 9).await, [ada.clone(), nobody.clone()]);
    assert_eq!(list("", 1).await, [ada]);
    assert_eq!(list("2001", 9).await, [nobody]);
    let user = async |account, extension| extensions::find_user(&at.db, ("acme", account), extension).await.unwrap();
    assert_eq!(user("pbx1", "2001").await.as_deref(), Some("ada"));
    assert_eq!(user("pbx1", "2002").await, None);
    assert_eq!(user("pbx2", "2002").await.as_deref(), Some("eve"));
    commit!(at, |tx| extensions::put_user(tx, of, "2001", None));
    assert_eq!(user("pbx1", "2001").await, None);
    assert_eq!(commit!(at, |tx| extensions::delete(tx, ("other", "pbx1"), "2001")), 0);
    assert_eq!(commit!(at, |tx| extensions::delete(tx, of, "2001")), 1);
    assert_eq!(list("", 9).await.len(), 1);
}

async fn extensions_of_pbxs_are_listed_beside_those_of_calls(at: TestDatabase) {
    let phone = |account: &str, extension: &str| PbxExtension {
        tenant: "acme".into(),
        account: account.into(),
        extension: extension.into(),
        device: Some("available".into()),
        device_ms: Some(5),
        ..PbxExtension::default()
    };
    let row = CallRow { id: new_id("call", 200, 1), ..call("acme", 1, Some("7"), None) };
    commit!(at, |tx| calls::upsert(tx, &[row]));
    commit!(at, |tx| extensions::put_devices(tx, &[phone("pbx1", "7"), phone("pbx1", "8"), phone("pbx2", "8")]));
    commit!(at, |tx| extensions::put_user(tx, ("acme", "pbx1"), "9", Some("ada")));
    commit!(at, |tx| extensions::put_user(tx, ("other", "pbx3"), "6", Some("eve")));
    let list = async |after: &str, limit| {
        let lately = Lately { since_ms: 100, calls_max: 99 };
        let found = extensions::list(&at.db, "acme", lately, after, limit).await.unwrap();
        found.into_iter().map(|known| (known.extension, known.user_id)).collect::<Vec<_>>()
    };
    let named = |extension: &str, user: Option<&str>| (extension.to_owned(), user.map(str::to_owned));
    let all = [named("7", Some("user-1")), named("8", None), named("9", None)];
    assert_eq!(list("", 9).await, all, "one row for each name, with the user of the last call");
    assert_eq!((list("", 2).await, list("8", 9).await), (all[..2].to_vec(), all[2..].to_vec()));
    let mut phones =
        extensions::list_of_pbxs(&at.db, &[on("acme", "8"), on("acme", "9"), on("acme", "0")]).await.unwrap();
    phones.sort_by(|a, b| (&a.extension, &a.account).cmp(&(&b.extension, &b.account)));
    let said: Vec<_> = phones.iter().map(|phone| (phone.account.as_str(), phone.extension.as_str())).collect();
    assert_eq!(said, [("pbx1", "8"), ("pbx2", "8"), ("pbx1", "9")]);
    assert_eq!(extensions::list_of_pbxs(&at.db, &[]).await.unwrap(), []);
    // Of one that the PBX speaks of only the user is forgotten; of the other nothing is left.
    commit!(at, |tx| extensions::put_user(tx, ("acme", "pbx1"), "8", Some("bob")));
    for (account, extension, gone) in [("pbx1", "8", 1), ("pbx1", "8", 0), ("pbx1", "9", 1), ("pbx2", "9", 0)] {
        let deleted = commit!(at, |tx| extensions::delete_user(tx, ("acme", account), extension));
        assert_eq!(deleted, gone, "{account} {extension}");
    }
    let left = extensions::list_of_pbx(&at.db, ("acme", "pbx1"), "7", 9).await.unwrap();
    assert_eq!(left, [phone("pbx1", "8")]);
}
