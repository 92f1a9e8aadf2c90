//! Redriving: what was refused is judged again, as when it came but with today's tokens and public URL, and what verifies
//! now is submitted with the time it first came. `observe` lets in what does not verify only if that is asked for:
//! whoever mends a token does not mean what strangers sent meanwhile.
//!
//! A row is deleted after its delivery is durable. A crash in between leaves the row; redriven again, its delivery meets
//! its own key, and nothing is counted twice.

use super::{
    Reason,
    judge::{Good, Judged},
    keeper,
};
use crate::{
    clock::SharedClock,
    config::VerifyMode,
    directory::{Directory, Unavailable},
    domain::words,
    ingest::{Ingest, SubmitError, Submitted},
    store::{
        Db, StoreError,
        quarantine::{self, Bounds, QuarantineFilter, QuarantineId, QuarantineRow, Whose},
    },
    telemetry::Metrics,
};
use serde::Serialize;
use std::{collections::HashMap, time::Duration};
use url::Url;

words! {
    /// What became of a refused delivery when it was redriven.
    pub enum Outcome {
        /// It is applied now.
        Applied = "applied",
        /// It had come in another way meanwhile; nothing changed.
        Repeated = "repeated",
        /// It would be applied: this was a dry run.
        WouldApply = "would-apply",
        /// It is still refused.
        Stays = "stays",
        /// It was not looked at: one redrive does so much at most. Redrive it again.
        Later = "later",
        /// There is no such row.
        NotFound = "not-found",
    }
}

/// Which rows are to be redriven.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// These, at most [`ROWS_MAX`].
    Ids(Vec<String>),
    /// Those that fit, oldest first, after `(received_ms, id)`; at most [`ROWS_MAX`] at once.
    Fitting(QuarantineFilter, Option<(i64, String)>),
}

/// How rows are redriven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// Only say what would become of them.
    pub dry_run: bool,
    /// Also let in what does not verify, marked, where the account is in `observe` today.
    pub unverified: bool,
}

/// What a redrive came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Each row, oldest first.
    pub rows: Vec<RedrivenRow>,
    /// Where to go on; `None`: nothing is left.
    pub next: Option<(i64, String)>,
}

/// What became of one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RedrivenRow {
    /// The row.
    pub id: String,
    /// The account it claims to be of.
    pub account: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it stays.
    pub reason: Option<Reason>,
    /// The same, for people.
    pub detail: Option<String>,
}

impl Redriven {
    /// How many rows were looked at.
    pub fn looked(&self) -> usize {
        self.rows.len() - self.count(Outcome::NotFound) - self.count(Outcome::Later)
    }

    /// How many rows had this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }
}

/// Why a redrive broke off. What was applied before is applied, and its rows are gone.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The accounts cannot be read.
    #[error(transparent)]
    Accounts(#[from] Unavailable),
    /// A delivery could not be made durable.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// What redriving works with.
#[derive(Clone, Copy, Debug)]
pub struct Redrive<'a> {
    /// Where the rows are.
    pub db: &'a Db,
    /// The time.
    pub clock: &'a SharedClock,
    /// Who may speak.
    pub directory: &'a Directory,
    /// The door for what is good now.
    pub ingest: &'a Ingest,
    /// Where it is counted.
    pub metrics: &'a Metrics,
    /// What the provider was told.
    pub public_url: Option<&'a Url>,
    /// How accounts that say nothing else are verified.
    pub verify: VerifyMode,
    /// How much may be kept in all.
    pub bounds: Bounds,
}

impl Redrive<'_> {
    /// Redrives the chosen rows; in a dry run it only says what would become of them.
    pub async fn run(&self, whose: Whose<'_>, chosen: Chosen, how: How) -> Result<Redriven, RedriveError> {
        // Somebody has just mended a token, perhaps on another node.
        self.directory.refresh().await?;
        let by_id = matches!(chosen, Chosen::Ids(_));
        let (rows, missing, next) = self.load(whose, chosen).await?;
        let mut done = Redriven { next, ..Redriven::default() };
        let places: HashMap<String, usize> = rows.iter().enumerate().map(|(n, row)| (row.id.clone(), n)).collect();
        let (mut good, mut bad, mut events, mut last) = (Vec::new(), Vec::new(), 0, None);
        for row in rows {
            if events >= EVENTS_MAX {
                if !by_id {
                    done.next = last;
                    break;
                }
                done.rows.push(report(&row, Outcome::Later, None));
                continue;
            }
            last = Some((row.received_ms, row.id.clone()));
            match self.judge(whose, &row, how.unverified).await? {
                Judged::Good(found) => {
                    events += found.events();
                    match how.dry_run {
                        true => done.rows.push(report(&row, Outcome::WouldApply, None)),
                        false => good.push((row, found)),
                    }
                }
                Judged::Bad(reason, detail) => {
                    done.rows.push(report(&row, Outcome::Stays, Some((reason, &detail))));
                    bad.push((row.id, reason, detail));
                }
            }
        }
        let applied = if how.dry_run { Vec::new() } else { self.apply(good, bad).await? };
        done.rows.extend(applied);
        done.rows.sort_by_key(|row| places.get(&row.id).copied());
        done.rows.extend(missing.into_iter().map(|id| RedrivenRow {
            id,
            account: None,
            outcome: Outcome::NotFound,
            reason: None,
            detail: None,
        }));
        Ok(done)
    }

    async fn load(
        &self,
        whose: Whose<'_>,
        chosen: Chosen,
    ) -> Result<(Vec<QuarantineRow>, Vec<String>, Option<(i64, String)>), StoreError> {
        match chosen {
            Chosen::Ids(mut ids) => {
                let wanted: Vec<_> = ids.iter().map(|id| QuarantineId { id: id.clone() }).collect();
                let rows = quarantine::list_by_ids(self.db, whose, &wanted).await?;
                ids.retain(|id| !rows.iter().any(|row| row.id == *id));
                Ok((rows, ids, None))
            }
            Chosen::Fitting(filter, after) => {
                let after = after.unwrap_or((i64::MIN, String::new()));
                let limit = i64::try_from(ROWS_MAX).unwrap_or(i64::MAX);
                let after = (after.0, after.1.as_str());
                let rows = quarantine::list_to_redrive(self.db, whose, &filter, after, limit).await?;
                let last = rows.last().map(|row| (row.received_ms, row.id.clone()));
                let next = last.filter(|_| rows.len() == ROWS_MAX);
                Ok((rows, Vec::new(), next))
            }
        }
    }

    /// Submits what is good, in the order in which it came, and settles every row.
    async fn apply(
        &self,
        good: Vec<(QuarantineRow, Good)>,
        bad: Vec<(String, Reason, String)>,
    ) -> Result<Vec<RedrivenRow>, RedriveError> {
        let (mut waiting, mut submissions, mut aside) = (Vec::new(), Vec::new(), Vec::new());
        for (row, found) in good {
            waiting.push((row, found.submissions.len()));
            submissions.extend(found.submissions);
            aside.extend(found.aside);
        }
        let mut results = self.ingest.submit_all(submissions, SUBMIT_WITHIN).await.into_iter();
        let (mut rows, mut gone, mut failed) = (Vec::new(), Vec::new(), None);
        for (row, count) in waiting {
            match outcome(results.by_ref().take(count)) {
                Ok(outcome) => {
                    gone.push(QuarantineId { id: row.id.clone() });
                    rows.push(report(&row, outcome, None));
                }
                Err(error) => failed = Some(error),
            }
        }
        let mut tx = self.db.begin().await?;
        quarantine::delete(&mut tx, &gone).await?;
        for (id, reason, detail) in &bad {
            quarantine::set_reason(&mut tx, id, reason.as_str(), detail).await?;
        }
        // After a failure the batch is still there, and is redriven with its bad entries once more.
        let (size, dropped) = keeper::keep_within(&mut tx, self.bounds, &keeper::by_id(aside)).await?;
        tx.commit().await?;
        keeper::show_size(self.metrics, &size);
        self.metrics.quarantine().redriven(gone.len());
        self.metrics.quarantine().dropped(dropped);
        tracing::info!(applied = gone.len(), refused = bad.len(), "redrove refused deliveries");
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(rows),
        }
    }
}

/// What became of a row with these submissions. All are looked at, also after a failure: the next row has the next ones.
fn outcome(results: impl Iterator<Item = Result<Submitted, SubmitError>>) -> Result<Outcome, SubmitError> {
    let (mut outcome, mut failed) = (Outcome::Repeated, None);
    for result in results {
        match result {
            Ok(Submitted::Stored | Submitted::Unapplied) => outcome = Outcome::Applied,
            Ok(Submitted::Repeated) => {}
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(outcome), Err)
}

fn report(row: &QuarantineRow, outcome: Outcome, why: Option<(Reason, &str)>) -> RedrivenRow {
    RedrivenRow {
        id: row.id.clone(),
        account: row.account.clone(),
        outcome,
        reason: why.map(|(reason, _)| reason),
        detail: why.map(|(_, detail)| detail.to_owned()),
    }
}

/// How many rows one redrive takes: less than a second of the writer's time.
pub const ROWS_MAX: usize = 200;
/// After so many events it takes no further row: a batch has up to 1,000.
pub const EVENTS_MAX: usize = 2_000;
/// What has no answer by then stays in the quarantine, and meets its own key when it is redriven again.
const SUBMIT_WITHIN: Duration = Duration::from_secs(30);
