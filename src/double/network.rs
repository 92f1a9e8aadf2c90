//! What happens to callbacks on their way: lost, late, overtaken, twice, slow. By rates, drawn from the call's generator.

use crate::domain::time::{Millis, SECOND};
use rand::{Rng, RngExt};
use std::ops::{AddAssign, Range};

/// How often a callback meets which fault, each from 0 (never) to 1 (always). They are drawn independently.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// It never arrives, and is not tried again.
    pub lost: f64,
    /// It arrives 20 to 90 seconds after it should.
    pub late: f64,
    /// It is overtaken by the next one of its call. The last one of a call cannot be.
    pub reordered: f64,
    /// It arrives twice, as the same request.
    pub duplicated: f64,
    /// It is under way for 1 to 5 seconds.
    pub slow: f64,
}

/// How one callback travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journey {
    /// Whether it gets lost.
    pub lost: bool,
    /// Whether it waits until it has been overtaken.
    pub held: bool,
    /// How long it takes.
    pub delay_ms: Millis,
    /// How long after it a copy of it arrives, if one does.
    pub copy_after_ms: Option<Millis>,
    /// What it met, to be counted.
    pub met: Tally,
}

impl Journey {
    /// The same, but it gets lost.
    pub fn lost(self) -> Self {
        let met = Tally { fired: self.met.fired, lost: 1, ..Tally::default() };
        Self { lost: true, held: false, copy_after_ms: None, met, ..self }
    }
}

/// What was sent and what became of it. In callbacks; a try is a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Callbacks that Twilio would have made.
    pub fired: u64,
    /// Requests made, copies and tries included.
    pub sent: u64,
    /// Requests that were made because one before failed.
    pub retried: u64,
    /// Requests that were answered with 2xx.
    pub accepted: u64,
    /// Requests that were answered with 401 or 403.
    pub refused: u64,
    /// Requests that were answered with anything else, or not at all.
    pub failed: u64,
    /// See [`Faults`].
    pub lost: u64,
    /// See [`Faults`].
    pub late: u64,
    /// See [`Faults`].
    pub reordered: u64,
    /// See [`Faults`].
    pub duplicated: u64,
    /// See [`Faults`].
    pub slow: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.fired += other.fired;
        self.sent += other.sent;
        self.retried += other.retried;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.failed += other.failed;
        self.lost += other.lost;
        self.late += other.late;
        self.reordered += other.reordered;
        self.duplicated += other.duplicated;
        self.slow += other.slow;
    }
}

impl Faults {
    /// Draws the way of one callback. It always draws the same number of times, so that other rates do not change what
    /// else becomes of a call.
    pub fn journey(&self, more_to_come: bool, rng: &mut impl Rng) -> Journey {
        let mut meets = |rate: f64| rng.random::<f64>() < rate;
        let (lost, late, reordered) = (meets(self.lost), meets(self.late), meets(self.reordered));
        let (duplicated, slow) = (meets(self.duplicated), meets(self.slow));
        let mut draw = |range: &Range<Millis>| rng.random_range(range.clone());
        let (usual_ms, late_ms, slow_ms, copy_ms) = (draw(&USUAL_MS), draw(&LATE_MS), draw(&SLOW_MS), draw(&COPY_MS));
        let held = reordered && !lost && more_to_come;
        let (late, slow, duplicated) = (late && !lost, slow && !lost, duplicated && !lost && !held);
        let delay_ms = usual_ms + if late { late_ms } else { 0 } + if slow { slow_ms } else { 0 };
        let met = Tally {
            fired: 1,
            lost: lost.into(),
            late: late.into(),
            reordered: held.into(),
            duplicated: duplicated.into(),
            slow: slow.into(),
            ..Tally::default()
        };
        Journey { lost, held, delay_ms, copy_after_ms: duplicated.then_some(copy_ms), met }
    }
}

/// From the moment to the request.
const USUAL_MS: Range<Millis> = 20..200;
const LATE_MS: Range<Millis> = 20 * SECOND..90 * SECOND;
const SLOW_MS: Range<Millis> = SECOND..5 * SECOND;
const COPY_MS: Range<Millis> = 50..5 * SECOND;
/// How far behind the one that overtook it a held callback is.
pub const BEHIND_MS: Millis = 250;
