//! The database's clock.

use crate::support::database::{TestDatabase, on_both};
use onhook::store::now;
use std::time::{SystemTime, UNIX_EPOCH};

on_both! { the_clock_is_read_in_milliseconds }

async fn the_clock_is_read_in_milliseconds(at: TestDatabase) {
    let told = now::load(&at.db).await.unwrap();
    let ours = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    assert!((ours - told).abs() < 60_000, "{told} is not near {ours}");
}
