//! Many jobs at once: rows that are wrong are reported and left out, the others are written some hundred a transaction.

use super::{By, Desk, Format, JobText, RowError, RunError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Jobs as they come.
#[derive(Clone, Copy, Debug)]
pub enum Jobs<'a> {
    /// None now.
    None,
    /// One by one.
    Texts(&'a [JobText]),
    /// A table: CSV with a header, or NDJSON.
    Table(Format, &'a [u8]),
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ImportedJobs)]
pub struct Imported {
    /// How many jobs are new.
    pub created: u64,
    /// How many were there already, by their keys: they stay as they are.
    pub existing: u64,
    /// How many rows were left out because something was wrong with them.
    pub failed: u64,
    /// What was wrong; the first 100. `line` counts jobs of a JSON body from 1.
    pub errors: Vec<RowError>,
}

impl Desk {
    /// Adds jobs to a run that is pending, running or paused; those that it has already stay as they are.
    pub async fn add_jobs(&self, _by: &By<'_>, _run_id: &str, _jobs: Jobs<'_>) -> Result<Imported, RunError> {
        todo!()
    }
}

/// A run has at most so many jobs.
pub const JOBS_MAX: usize = 100_000;
