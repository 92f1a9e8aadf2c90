//! The sweeper's doors: what is stuck, a sweep by hand, the sweeps there were.

mod stuck;
#[expect(clippy::module_inception, reason = "sweeps are what this folder is about; `stuck` stands beside them")]
mod sweeps;

pub(super) use stuck::{__path_list as __path_list_stuck, list as list_stuck, terms};
pub(super) use sweeps::{__path_list, __path_sweep, list, sweep};

use crate::domain::time::{MINUTE, Millis};
use std::ops::RangeInclusive;

/// A threshold in minutes as milliseconds; an error says what is allowed.
fn threshold_ms(minutes: i64) -> Result<Millis, String> {
    let (least, most) = THRESHOLD_MINUTES.into_inner();
    match THRESHOLD_MINUTES.contains(&minutes) {
        true => Ok(minutes * MINUTE),
        false => Err(format!("{minutes} is not a whole number of minutes from {least} to {most}")),
    }
}

/// Up to a week.
const THRESHOLD_MINUTES: RangeInclusive<i64> = 0..=10_080;
