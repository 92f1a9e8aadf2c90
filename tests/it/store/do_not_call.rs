//! Numbers that no run dials.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::do_not_call::{self, DoNotCallRow};

on_both! {
    numbers_are_put_and_taken_off,
    many_are_looked_up_at_once,
}

fn row(number: &str, reason: Option<&str>, created_ms: i64) -> DoNotCallRow {
    DoNotCallRow { tenant: "acme".into(), phone_e164: number.into(), reason: reason.map(Into::into), created_ms }
}

async fn numbers_are_put_and_taken_off(at: TestDatabase) {
    let rows = [row("+492", None, 5), row("+491", Some("it's \"no\""), 5), row("+492", Some("twice"), 6)];
    assert_eq!(commit!(at, |tx| do_not_call::put(tx, &rows)), 2);
    assert_eq!(commit!(at, |tx| do_not_call::put(tx, &[row("+491", Some("asked"), 9), row("+493", None, 9)])), 1);
    assert_eq!(commit!(at, |tx| do_not_call::put(tx, &[])), 0);
    let theirs = DoNotCallRow { tenant: "other".into(), ..row("+491", None, 1) };
    assert_eq!(commit!(at, |tx| do_not_call::put(tx, std::slice::from_ref(&theirs))), 1);
    let first = row("+491", Some("asked"), 5);
    assert_eq!(do_not_call::find(&at.db, "acme", "+491").await.unwrap(), Some(first.clone()), "since it came first");
    assert_eq!(do_not_call::find(&at.db, "acme", "+499").await.unwrap(), None);
    let second = row("+492", Some("twice"), 6);
    assert_eq!(do_not_call::list(&at.db, "acme", "", 2).await.unwrap(), [first, second]);
    assert_eq!(do_not_call::list(&at.db, "acme", "+492", 2).await.unwrap(), [row("+493", None, 9)]);
    assert_eq!(commit!(at, |tx| do_not_call::delete(tx, "acme", "+491")), 1);
    assert_eq!(commit!(at, |tx| do_not_call::delete(tx, "acme", "+491")), 0);
    assert_eq!(do_not_call::find(&at.db, "other", "+491").await.unwrap(), Some(theirs));
}

async fn many_are_looked_up_at_once(at: TestDatabase) {
    let rows = [row("+491", None, 1), row("+492", None, 1), row("+493", None, 1)];
    commit!(at, |tx| do_not_call::put(tx, &rows));
    let numbers = ["+493", "+499", "+491"].map(str::to_owned);
    let mut listed = do_not_call::list_of(&at.db, "acme", &numbers).await.unwrap();
    listed.sort();
    assert_eq!(listed, ["+491", "+493"]);
    assert_eq!(do_not_call::list_of(&at.db, "other", &numbers).await.unwrap(), [""; 0]);
    assert_eq!(do_not_call::list_of(&at.db, "acme", &[]).await.unwrap(), [""; 0]);
}
