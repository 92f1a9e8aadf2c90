//! Many jobs at once: rows that are wrong are reported and left out, the others are written some hundred a transaction.

use super::{
    By, Desk, Format, JobText, RowError, RunError,
    hand_out::refuse,
    read::{self, JobRead},
    show::state,
    turn::{Turn, repeated},
};
use crate::{
    domain::run::{JobState, RunState},
    store::{
        do_not_call,
        jobs::{self, JobRow},
        runs::{self, RunRow},
    },
    table::{self, Columns, ERRORS_MAX, Refused, Row},
    telemetry::JobEnding,
};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
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

impl Imported {
    fn refuse(&mut self, line: u64, refused: Refused) {
        self.failed += 1;
        let room = ERRORS_MAX.saturating_sub(self.errors.len());
        self.errors.extend(refused.errors(line).into_iter().take(room));
    }
}

/// Rows that are read one after the other.
pub(super) struct Rows<'a>(Box<dyn Iterator<Item = Row<JobText>> + Send + 'a>);

impl<'a> Rows<'a> {
    /// Refuses what cannot be read at all, and what is more than a run can have.
    pub fn open(jobs: Jobs<'a>) -> Result<Self, RunError> {
        let at_most = match jobs {
            Jobs::None => 0,
            Jobs::Texts(texts) => texts.len(),
            Jobs::Table(_, bytes) => table::rows_at_most(bytes).saturating_sub(1),
        };
        if at_most > JOBS_MAX {
            return Err(RunError::TooManyJobs);
        }
        match jobs {
            Jobs::None => Ok(Self(Box::new(std::iter::empty()))),
            Jobs::Texts(texts) => Ok(Self(Box::new((1..).zip(texts).map(|(n, text)| (n, Ok(text.clone())))))),
            Jobs::Table(format, bytes) => {
                let rows = table::rows(&COLUMNS, (format, bytes));
                rows.map(Self).map_err(|wrong| RunError::Fields(vec![wrong]))
            }
        }
    }
}

impl Desk {
    /// Adds jobs to a run that is pending, running or paused; those that it has already stay as they are.
    pub async fn add_jobs(&self, by: &By<'_>, run_id: &str, jobs: Jobs<'_>) -> Result<Imported, RunError> {
        let rows = Rows::open(jobs)?;
        let found = runs::find(&self.0.db, by.tenant, run_id).await?;
        let row = found.ok_or_else(|| RunError::NotFound { what: "run", id: run_id.to_owned() })?;
        if !takes_jobs(&row)? {
            return Err(takes_none(&row));
        }
        self.import(&row, rows).await
    }

    /// Writes the rows in batches, so that nobody waits for all of them.
    pub(super) async fn import(&self, row: &RunRow, rows: Rows<'_>) -> Result<Imported, RunError> {
        let region = self.0.rules.region.as_deref();
        let now_ms = self.now_ms().await?;
        let (mut imported, mut keys) = (Imported::default(), HashSet::new());
        let mut batch: Vec<(u64, JobRead)> = Vec::with_capacity(BATCH_ROWS);
        for (line, text) in rows.0 {
            let read = text.and_then(|text| read::job(&text, &row.provider, region, now_ms).map_err(Refused::Fields));
            match read {
                Err(refused) => imported.refuse(line, refused),
                // A list that names somebody twice has one job for both.
                Ok(job) if !keys.insert(job.key.clone()) => imported.existing += 1,
                Ok(job) => batch.push((line, job)),
            }
            if batch.len() >= BATCH_ROWS {
                self.write(row, &std::mem::take(&mut batch), &mut imported).await?;
            }
        }
        self.write(row, &batch, &mut imported).await?;
        Ok(imported)
    }

    async fn write(&self, row: &RunRow, batch: &[(u64, JobRead)], imported: &mut Imported) -> Result<(), RunError> {
        if batch.is_empty() {
            return Ok(());
        }
        // All of them first; where some are there already, or do not fit, once more with the others, so that places follow
        // each other and the run has no more jobs than it may.
        let mut wanted: Option<HashSet<String>> = None;
        loop {
            let chosen = |job: &JobRead| wanted.as_ref().is_none_or(|keys| keys.contains(&job.key));
            let rows: Vec<&JobRead> = batch.iter().map(|(_, job)| job).filter(|job| chosen(job)).collect();
            match repeated!(self.write_once(row, &rows))? {
                Written::All => {
                    imported.created += rows.len() as u64;
                    return Ok(());
                }
                Written::Only { keys, room } => {
                    let new = |job: &JobRead| keys.contains(&job.key);
                    imported.existing += rows.iter().filter(|job| !new(job)).count() as u64;
                    let over = batch.iter().filter(|(_, job)| chosen(job) && new(job)).skip(room);
                    for (line, _) in over {
                        let why = format!("does not fit: a run has at most {JOBS_MAX} jobs; make another run");
                        imported.refuse(*line, Refused::Row(why));
                    }
                    let fit: HashSet<String> =
                        rows.iter().filter(|job| new(job)).take(room).map(|job| job.key.clone()).collect();
                    if fit.is_empty() {
                        return Ok(());
                    }
                    wanted = Some(fit);
                }
            }
        }
    }

    /// Writes all of these jobs as new ones, or none.
    async fn write_once(&self, run: &RunRow, jobs: &[&JobRead]) -> Result<Written, RunError> {
        let mut turn = self.turn(&run.tenant).await?;
        let row = turn.load(&run.id).await?;
        let last = jobs::last_place(&mut turn.tx, &row.tenant, &row.id).await?;
        let room = usize::try_from(last).map_or(0, |last| JOBS_MAX.saturating_sub(last));
        let rows = job_rows(&mut turn, &row, jobs, last).await?;
        let added = jobs::insert(&mut turn.tx, &rows).await?;
        if !added.is_empty() && !takes_jobs(&row)? {
            return Err(takes_none(&row));
        }
        if added.len() < rows.len() || added.len() > room {
            return Ok(Written::Only { keys: added.into_iter().collect(), room });
        }
        let refused = rows.iter().filter(|row| row.ended_ms.is_some()).count();
        turn.ended(JobEnding::Cancelled, refused as u64);
        turn.commit().await?;
        Ok(Written::All)
    }
}

/// What became of a batch.
enum Written {
    All,
    /// Nothing was written: only these are new, and only so many more have room.
    Only {
        keys: HashSet<String>,
        room: usize,
    },
}

async fn job_rows(turn: &mut Turn<'_>, row: &RunRow, jobs: &[&JobRead], last: i64) -> Result<Vec<JobRow>, RunError> {
    let numbers: Vec<String> = jobs.iter().filter_map(|job| job.phone_e164.clone()).collect();
    let listed = do_not_call::list_of(&mut turn.tx, turn.tenant, &numbers).await?;
    let listed: HashSet<String> = listed.into_iter().collect();
    let now_ms = turn.now_ms;
    let made = (last + 1..).zip(jobs).map(|(place, job)| {
        let mut made = JobRow {
            tenant: row.tenant.clone(),
            id: turn.id("job"),
            run_id: row.id.clone(),
            key: job.key.clone(),
            place,
            to: job.to.clone(),
            phone_e164: job.phone_e164.clone(),
            lead_id: job.lead_id.clone(),
            user_id: job.user_id.clone(),
            state: JobState::Queued.as_str().to_owned(),
            due_ms: job.due_ms,
            created_ms: now_ms,
            updated_ms: now_ms,
            ..JobRow::default()
        };
        // It is shown with the reason, rather than left out.
        if job.phone_e164.as_ref().is_some_and(|number| listed.contains(number)) {
            refuse(&mut made, now_ms);
        }
        made
    });
    Ok(made.collect())
}

fn takes_jobs(row: &RunRow) -> Result<bool, RunError> {
    Ok(matches!(state(row)?, RunState::Pending | RunState::Running | RunState::Paused))
}

fn takes_none(row: &RunRow) -> RunError {
    RunError::State(format!("add jobs: the run {} is {}; make another run", row.id, row.state))
}

/// The columns of a table of jobs.
const COLUMNS: Columns<JobText> = Columns {
    of: "job",
    names: &["to", "lead_id", "user_id", "key", "not_before"],
    needed: &["to"],
    make: |cell| JobText {
        to: cell("to"),
        lead_id: cell("lead_id"),
        user_id: cell("user_id"),
        key: cell("key"),
        not_before: cell("not_before"),
    },
};
/// How many rows one transaction writes.
const BATCH_ROWS: usize = 500;
/// A run has at most so many jobs.
pub const JOBS_MAX: usize = 100_000;
