//! The ledger of calls at once.

use super::{
    commit,
    jobs::{job, slot},
};
use crate::support::database::{TestDatabase, on_both};
use onhook::store::{
    jobs::{self, JobRow},
    slots::{self, Held, Ledger, SlotRow},
};

on_both! {
    what_is_held_is_counted,
    what_was_taken_since_is_counted,
    a_slot_is_released_once,
    a_call_that_lives_again_takes_its_slot_again,
    what_nothing_holds_is_released,
}

fn released(slot: SlotRow, at_ms: i64) -> SlotRow {
    SlotRow { released_ms: Some(at_ms), ..slot }
}

async fn what_is_held_is_counted(at: TestDatabase) {
    let held = async || slots::count_held(&at.db, "acme", "AC1", "run_1").await.unwrap();
    assert_eq!(held().await, Held::default());
    let of_run = |n, run: &str, account: &str| SlotRow { run_id: run.into(), account: account.into(), ..slot(n, 1) };
    let theirs = SlotRow { tenant: "other".into(), ..slot(9, 1) };
    let rows =
        [slot(1, 1), slot(2, 1), of_run(3, "run_2", "AC1"), of_run(4, "run_3", "AC2"), theirs, released(slot(5, 1), 9)];
    commit!(at, |tx| slots::take(tx, &rows));
    commit!(at, |tx| slots::take(tx, &[]));
    assert_eq!(held().await, Held { run: 2, account: 3, tenant: 4 });
    assert_eq!(slots::count_all_held(&at.db, 100).await.unwrap(), 5, "of all tenants");
    assert_eq!(slots::count_all_held(&at.db, 3).await.unwrap(), 3);
    assert_eq!(slots::ledger(&at.db, "acme", "run_1").await.unwrap(), Ledger { taken: 3, released: 1 });
    assert_eq!(slots::ledger(&at.db, "acme", "run_9").await.unwrap(), Ledger::default());
}

async fn what_was_taken_since_is_counted(at: TestDatabase) {
    let taken = |n, taken_ms| SlotRow { taken_ms, ..slot(n, 1) };
    let other_run = SlotRow { run_id: "run_2".into(), ..taken(4, 90) };
    commit!(at, |tx| slots::take(tx, &[taken(1, 49), released(taken(2, 50), 60), taken(3, 70), other_run]));
    assert_eq!(slots::count_taken(&at.db, "acme", "run_1", 50).await.unwrap(), 2);
    assert_eq!(slots::count_taken(&at.db, "other", "run_1", 0).await.unwrap(), 0);
}

async fn a_slot_is_released_once(at: TestDatabase) {
    commit!(at, |tx| slots::take(tx, &[slot(1, 1), slot(1, 2), slot(2, 1)]));
    assert_eq!(slots::last_released(&at.db, "acme", "run_1").await.unwrap(), None);
    let ended = [released(slot(1, 1), 50), released(slot(2, 1), 60), released(slot(7, 1), 90)];
    assert_eq!(commit!(at, |tx| slots::release(tx, &ended)), 2);
    assert_eq!(commit!(at, |tx| slots::release(tx, &[released(slot(2, 1), 99)])), 0);
    assert_eq!(commit!(at, |tx| slots::release(tx, &[])), 0);
    assert_eq!(slots::last_released(&at.db, "acme", "run_1").await.unwrap(), Some(60));
    assert_eq!(slots::ledger(&at.db, "acme", "run_1").await.unwrap(), Ledger { taken: 3, released: 2 });
}

async fn a_call_that_lives_again_takes_its_slot_again(at: TestDatabase) {
    commit!(at, |tx| slots::take(tx, &[slot(1, 1)]));
    commit!(at, |tx| slots::take(tx, &[slot(1, 1)]));
    commit!(at, |tx| slots::release(tx, &[released(slot(1, 1), 50)]));
    commit!(at, |tx| slots::take(tx, &[SlotRow { taken_ms: 70, ..slot(1, 1) }]));
    assert_eq!(slots::ledger(&at.db, "acme", "run_1").await.unwrap(), Ledger { taken: 1, released: 0 });
    assert_eq!(slots::last_released(&at.db, "acme", "run_1").await.unwrap(), None);
}

async fn what_nothing_holds_is_released(at: TestDatabase) {
    let attempt = |n, state: &str| JobRow { attempt: 1, ..job(n, state) };
    let reserved = JobRow { token: Some(1), ..attempt(1, "queued") };
    let holding = [reserved, attempt(2, "placing"), attempt(3, "placed"), attempt(4, "live")];
    let over = [
        attempt(5, "queued"),
        attempt(6, "done"),
        attempt(7, "unknown"),
        attempt(8, "cancelled"),
        attempt(9, "failed"),
    ];
    commit!(at, |tx| jobs::insert(tx, &holding));
    commit!(at, |tx| jobs::insert(tx, &over));
    let held = [slot(1, 2), slot(2, 1), slot(3, 1), slot(4, 1)];
    commit!(at, |tx| slots::take(tx, &held));
    commit!(at, |tx| slots::take(tx, &[slot(5, 2), slot(6, 1), slot(7, 1), slot(8, 1), slot(9, 1), slot(10, 1)]));
    commit!(at, |tx| slots::take(tx, &[slot(1, 1), slot(4, 2)]));
    let other_run = SlotRow { run_id: "run_2".into(), ..slot(11, 1) };
    commit!(at, |tx| slots::take(tx, &[other_run]));
    assert_eq!(commit!(at, |tx| slots::release_idle(tx, "other", None, 50)), 0);
    assert_eq!(commit!(at, |tx| slots::release_idle(tx, "acme", Some("run_1"), 50)), 8);
    assert_eq!(
        slots::count_held(&at.db, "acme", "AC1", "run_1").await.unwrap(),
        Held { run: 4, account: 5, tenant: 5 }
    );
    assert_eq!(commit!(at, |tx| slots::release_idle(tx, "acme", None, 60)), 1);
}
