//! What is still to be learned of calls that have ended.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::store::follow_ups::{self, ENDING, FollowUpRow, HISTORY};

on_both! { it_is_added_once, a_lease_is_taken_once, it_is_put_off_and_deleted, all_of_an_account_is_put_off }

fn row(n: u32, kind: &str, due_ms: i64) -> FollowUpRow {
    FollowUpRow {
        tenant: "acme".into(),
        provider_id: format!("CA{n}"),
        account: "AC1".into(),
        kind: kind.into(),
        due_ms,
        attempts: 0,
        created_ms: 7,
    }
}

async fn of_call(at: &TestDatabase, n: u32) -> Vec<FollowUpRow> {
    follow_ups::list_of_call(&at.db, "acme", "AC1", &format!("CA{n}")).await.unwrap()
}

async fn it_is_added_once(at: TestDatabase) {
    commit!(at, |tx| follow_ups::insert(tx, &[]));
    commit!(at, |tx| follow_ups::insert(tx, &[row(1, HISTORY, 10), row(1, ENDING, 20), row(2, HISTORY, 30)]));
    commit!(at, |tx| follow_ups::insert(tx, &[row(1, HISTORY, 99)]));
    assert_eq!(of_call(&at, 1).await, [row(1, ENDING, 20), row(1, HISTORY, 10)]);
    assert_eq!(follow_ups::list_of_call(&at.db, "other", "AC1", "CA1").await.unwrap(), []);
    assert_eq!(follow_ups::list_of_call(&at.db, "acme", "AC2", "CA1").await.unwrap(), []);
}

async fn a_lease_is_taken_once(at: TestDatabase) {
    let rows =
        [row(1, HISTORY, 10), row(2, HISTORY, 11), row(3, HISTORY, 101), row(4, HISTORY, 100), row(5, ENDING, 5)];
    commit!(at, |tx| follow_ups::insert(tx, &rows));
    let leased = commit!(at, |tx| follow_ups::lease(tx, 10, 100, 50, 1));
    assert_eq!(leased, [row(5, ENDING, 50)], "what waits longest comes first");
    let mut leased = commit!(at, |tx| follow_ups::lease(tx, 10, 100, 50, 9));
    leased.sort();
    assert_eq!(leased, [row(1, HISTORY, 50), row(3, HISTORY, 50)], "one from a wrong clock comes, too");
    assert_eq!(commit!(at, |tx| follow_ups::lease(tx, 10, 100, 50, 9)), []);
    assert_eq!(commit!(at, |tx| follow_ups::lease(tx, 50, 150, 90, 9)).len(), 4, "whoever had them must be dead");
}

async fn it_is_put_off_and_deleted(at: TestDatabase) {
    commit!(at, |tx| follow_ups::insert(tx, &[row(1, HISTORY, 10), row(1, ENDING, 20), row(2, HISTORY, 30)]));
    commit!(at, |tx| follow_ups::put_off(tx, &[]));
    let later = FollowUpRow { attempts: 3, ..row(1, HISTORY, 60) };
    commit!(at, |tx| follow_ups::put_off(tx, std::slice::from_ref(&later)));
    assert_eq!(of_call(&at, 1).await, [row(1, ENDING, 20), later.clone()]);
    commit!(at, |tx| follow_ups::put_off(tx, &[row(3, HISTORY, 60)]));
    assert_eq!(of_call(&at, 3).await, [], "what was deleted meanwhile stays so");
    commit!(at, |tx| follow_ups::delete(tx, &[]));
    commit!(at, |tx| follow_ups::delete(tx, &[later, row(3, ENDING, 1)]));
    assert_eq!(of_call(&at, 1).await, [row(1, ENDING, 20)]);
    assert_eq!(of_call(&at, 2).await, [row(2, HISTORY, 30)]);
}

async fn all_of_an_account_is_put_off(at: TestDatabase) {
    let other = FollowUpRow { account: "AC2".into(), ..row(1, HISTORY, 5) };
    let others = FollowUpRow { tenant: "other".into(), ..row(1, HISTORY, 5) };
    let rows = [row(1, HISTORY, 5), row(1, ENDING, 6), row(2, HISTORY, 500), other.clone(), others.clone()];
    commit!(at, |tx| follow_ups::insert(tx, &rows));
    commit!(at, |tx| follow_ups::put_off_account(tx, ("acme", "AC1"), 100, 9));
    assert_eq!(of_call(&at, 1).await, [row(1, ENDING, 100), row(1, HISTORY, 100)]);
    assert_eq!(of_call(&at, 2).await, [row(2, HISTORY, 500)], "later than that already");
    commit!(at, |tx| follow_ups::insert(tx, &[row(3, HISTORY, 7), row(4, HISTORY, 6)]));
    commit!(at, |tx| follow_ups::put_off_account(tx, ("acme", "AC1"), 200, 1));
    assert_eq!(of_call(&at, 4).await, [row(4, HISTORY, 200)], "what waits longest");
    assert_eq!(of_call(&at, 3).await, [row(3, HISTORY, 7)], "the others with the next round");
    for row in [other, others] {
        let found = follow_ups::list_of_call(&at.db, &row.tenant, &row.account, "CA1").await.unwrap();
        assert_eq!(found, [row]);
    }
}
