//! The database's clock.

use crate::support::database::{TestDatabase, on_both};
use onhook::{
    clock::{ManualClock, SystemClock},
    store::now,
};
use std::time::{SystemTime, UNIX_EPOCH};

on_both! {
    the_clock_is_read_in_milliseconds,
    leases_go_by_the_database_unless_a_clock_is_turned_by_hand,
}

async fn the_clock_is_read_in_milliseconds(at: TestDatabase) {
    let told = now::load(&at.db).await.unwrap();
    let ours = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    assert!((ours - told).abs() < 60_000, "{told} is not near {ours}");
}

async fn leases_go_by_the_database_unless_a_clock_is_turned_by_hand(at: TestDatabase) {
    assert_eq!(now::for_leases(&at.db, &ManualClock::new(7)).await.unwrap(), 7);
    let before = now::load(&at.db).await.unwrap();
    assert!(now::for_leases(&at.db, &SystemClock).await.unwrap() >= before);
}
