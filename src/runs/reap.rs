//! The reaper: ends runs that are over, and those that nobody dials any more.

use super::{Desk, RunError};

/// What one pass came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// How many runs it looked at.
    pub looked: u64,
    /// How many are completed by it.
    pub completed: u64,
    /// How many are cancelled by it.
    pub cancelled: u64,
    /// How many have failed by it.
    pub failed: u64,
    /// How many jobs are unknown by it: a dialer of the user's own never said what came of them.
    pub unknown: u64,
    /// How many runs could not be looked at, because the database refused one.
    pub troubled: u64,
}

impl Desk {
    /// One pass over all open runs. What it can do nothing about stays for the next.
    pub async fn reap(&self) -> Result<Reaped, RunError> {
        todo!()
    }
}
