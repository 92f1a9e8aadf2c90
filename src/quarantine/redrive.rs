//! Redriving: what was refused is judged again, exactly as when it came but with today's tokens, public URL and observe
//! setting, and what is good now is submitted with the time it first came.
//!
//! A row is deleted after its delivery is durable. A crash in between leaves the row; redriven again, its delivery meets
//! its own key, and nothing is counted twice.

use super::{Reason, judge::Judged};
use crate::{
    clock::SharedClock,
    config::VerifyMode,
    directory::{Directory, Unavailable},
    domain::words,
    ingest::{Ingest, Submission, SubmitError, Submitted},
    store::{
        Db, StoreError,
        quarantine::{self, QuarantineFilter, QuarantineId, QuarantineRow, Whose},
    },
    telemetry::Metrics,
};
use serde::Serialize;
use std::collections::HashMap;
use tokio::task::JoinSet;
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
}

impl Redrive<'_> {
    /// Redrives the chosen rows; in a dry run it only says what would become of them.
    pub async fn run(&self, whose: Whose<'_>, chosen: Chosen, dry_run: bool) -> Result<Redriven, RedriveError> {
        // Somebody has just mended a token, perhaps on another node.
        self.directory.refresh().await?;
        let (rows, missing, next) = self.load(whose, chosen).await?;
        let mut done = Redriven { next, ..Redriven::default() };
        let places: HashMap<String, usize> = rows.iter().enumerate().map(|(n, row)| (row.id.clone(), n)).collect();
        let (mut good, mut bad, mut aside) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            match self.judge(whose, &row).await? {
                Judged::Good(_) if dry_run => done.rows.push(report(&row, Outcome::WouldApply, None)),
                Judged::Good(found) => {
                    aside.extend(found.aside);
                    good.push((row, found.submissions));
                }
                Judged::Bad(reason, detail) => {
                    done.rows.push(report(&row, Outcome::Stays, Some((reason, &detail))));
                    bad.push((row.id, reason, detail));
                }
            }
        }
        let applied = if dry_run { Ok(Vec::new()) } else { self.apply(good, bad, &aside).await };
        done.rows.extend(applied?);
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

    /// Submits what is good, all at once so that the writer groups it, and settles every row.
    async fn apply(
        &self,
        good: Vec<(QuarantineRow, Vec<Submission>)>,
        bad: Vec<(String, Reason, String)>,
        aside: &[QuarantineRow],
    ) -> Result<Vec<RedrivenRow>, RedriveError> {
        let mut submits = JoinSet::new();
        for (row, submissions) in good {
            let ingest = self.ingest.clone();
            submits.spawn(async move { (row, submit(&ingest, submissions).await) });
        }
        let (mut rows, mut gone, mut failed) = (Vec::new(), Vec::new(), None);
        while let Some(joined) = submits.join_next().await {
            // A submission that panicked left its row where it is.
            let Ok((row, result)) = joined else { continue };
            let outcome = match result {
                Ok(outcome) => outcome,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            gone.push(QuarantineId { id: row.id.clone() });
            rows.push(report(&row, outcome, None));
        }
        let mut tx = self.db.begin().await?;
        quarantine::delete(&mut tx, &gone).await?;
        for row in aside {
            quarantine::keep(&mut tx, std::slice::from_ref(row)).await?;
        }
        for (id, reason, detail) in &bad {
            quarantine::set_reason(&mut tx, id, reason.as_str(), detail).await?;
        }
        tx.commit().await?;
        self.metrics.quarantine().redriven(gone.len());
        tracing::info!(applied = gone.len(), refused = bad.len(), "redrove refused deliveries");
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(rows),
        }
    }
}

/// Submits what one row says.
async fn submit(ingest: &Ingest, submissions: Vec<Submission>) -> Result<Outcome, SubmitError> {
    let mut outcome = Outcome::Repeated;
    for submission in submissions {
        match ingest.submit(submission).await? {
            Submitted::Stored | Submitted::Unapplied => outcome = Outcome::Applied,
            Submitted::Repeated => {}
        }
    }
    Ok(outcome)
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
