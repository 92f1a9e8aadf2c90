//! The one that writes what was refused: many in one transaction, a pause between two, and never more than the bounds.

use super::{Job, KNOWN_WAITING_MAX, Kept};
use crate::{
    config::QuarantineConfig,
    store::{
        Db, StoreError, Tx,
        quarantine::{self, Bounds, QuarantineRow, Size},
    },
    telemetry::Metrics,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::mpsc::Receiver;

/// What the keeper works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where it keeps.
    pub db: Db,
    /// Where it counts.
    pub metrics: Metrics,
    /// How much may be kept in all. A tenth is for unknown accounts, the rest for known ones.
    pub bounds: Bounds,
    /// How long it waits after each transaction, so that the writer of calls is hardly disturbed.
    pub pause: Duration,
}

/// Keeps what was refused. Made by [`super::Quarantine::new`].
#[derive(Debug)]
pub struct Keeper {
    known: Receiver<Job>,
    unknown: Receiver<Job>,
    parts: Parts,
}

impl Keeper {
    pub(super) const fn new(known: Receiver<Job>, unknown: Receiver<Job>, parts: Parts) -> Self {
        Self { known, unknown, parts }
    }

    /// Runs until every way in is dropped and what was waiting is kept.
    pub async fn run(mut self) {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        while self.take(&mut jobs).await {
            self.keep(std::mem::take(&mut jobs)).await;
            tokio::time::sleep(self.parts.pause).await;
        }
    }

    /// Takes what is waiting, of known accounts first; `false` once every way in is dropped and nothing is left.
    async fn take(&mut self, jobs: &mut Vec<Job>) -> bool {
        let first = tokio::select! {
            biased;
            Some(job) = self.known.recv() => job,
            Some(job) = self.unknown.recv() => job,
            else => return false,
        };
        let mut bytes = first.refused.body.len();
        jobs.push(first);
        for queue in [&mut self.known, &mut self.unknown] {
            while jobs.len() < BATCH_MAX
                && bytes < BATCH_BYTES
                && let Ok(job) = queue.try_recv()
            {
                bytes += job.refused.body.len();
                jobs.push(job);
            }
        }
        true
    }

    async fn keep(&self, jobs: Vec<Job>) {
        let (refused, waiting): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.refused, job.waiter)).unzip();
        let count = refused.len();
        let rows: Vec<QuarantineRow> = refused.into_iter().map(super::Refused::row).collect();
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let rows = by_id(rows);
        let result = tokio::time::timeout(COMMIT_WITHIN, self.commit(&rows)).await;
        let durable = matches!(result, Ok(Ok(_)));
        match result {
            Ok(Ok((size, gone))) => {
                show_size(&self.parts.metrics, &size);
                self.parts.metrics.quarantine().dropped(gone);
            }
            failed => {
                self.parts.metrics.quarantine().not_kept(count);
                let why = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("get an answer within {} s", COMMIT_WITHIN.as_secs()),
                };
                tracing::warn!(count, "refused deliveries were not kept and cannot be redriven: failed to {why}");
            }
        }
        for (waiter, id) in waiting.into_iter().zip(ids) {
            // Whoever gave up waiting has answered already.
            let _ = waiter.kept.send(if durable { Kept::Durable(id) } else { Kept::Lost });
        }
    }

    /// Keeps rows, repeating it where another writer was in the way.
    async fn commit(&self, rows: &[QuarantineRow]) -> Result<(Size, u64), StoreError> {
        let mut left = REPEATS_MAX;
        loop {
            match self.try_commit(rows).await {
                Err(StoreError::Again(_)) if left > 0 => left -= 1,
                result => return result,
            }
        }
    }

    async fn try_commit(&self, rows: &[QuarantineRow]) -> Result<(Size, u64), StoreError> {
        let mut tx = self.parts.db.begin().await?;
        let kept = keep_within(&mut tx, self.parts.bounds, rows).await?;
        tx.commit().await?;
        Ok(kept)
    }
}

/// Keeps rows, no two with the same id, and takes away what is over the bounds then; answers how much there is, and how
/// many rows went.
pub(super) async fn keep_within(
    tx: &mut Tx,
    bounds: Bounds,
    rows: &[QuarantineRow],
) -> Result<(Size, u64), StoreError> {
    let Bounds { rows: rows_max, bytes: bytes_max } = bounds;
    let unknown = Bounds { rows: rows_max / UNKNOWN_SHARE, bytes: bytes_max / UNKNOWN_SHARE };
    let known = Bounds { rows: rows_max - unknown.rows, bytes: bytes_max - unknown.bytes };
    quarantine::keep(tx, rows).await?;
    let mut size = quarantine::size(&mut *tx).await?;
    let mut gone = 0;
    if size.known_rows > known.rows || size.known_bytes > known.bytes {
        gone += quarantine::trim_known(tx, known.with_room()).await?;
    }
    if size.unknown_rows > unknown.rows || size.unknown_bytes > unknown.bytes {
        gone += quarantine::trim_unknown(tx, unknown.with_room()).await?;
    }
    if gone > 0 {
        size = quarantine::size(tx).await?;
    }
    Ok((size, gone))
}

/// Rows by their ids, each once. In that order two nodes that write the same rows do not wait for each other in a circle.
pub(super) fn by_id(all: impl IntoIterator<Item = QuarantineRow>) -> Vec<QuarantineRow> {
    let mut rows: BTreeMap<String, QuarantineRow> = BTreeMap::new();
    for row in all {
        match rows.get_mut(&row.id) {
            Some(known) => repeat(known, row),
            None => drop(rows.insert(row.id.clone(), row)),
        }
    }
    rows.into_values().collect()
}

/// How much is kept of deliveries that were refused, by the configuration.
pub fn bounds(config: &QuarantineConfig) -> Bounds {
    Bounds { rows: config.rows_max.into(), bytes: i64::try_from(config.bytes_max).unwrap_or(i64::MAX) }
}

impl Bounds {
    /// A little less, so that a flood is not trimmed with every transaction.
    const fn with_room(self) -> Self {
        Self { rows: self.rows - self.rows / ROOM, bytes: self.bytes - self.bytes / ROOM }
    }
}

/// The same delivery came twice within one transaction.
fn repeat(known: &mut QuarantineRow, again: QuarantineRow) {
    let (received_ms, last_ms) = (known.received_ms.min(again.received_ms), known.last_ms.max(again.last_ms));
    let times = known.times + again.times;
    *known = QuarantineRow { received_ms, last_ms, times, tenant: known.tenant.take().or(again.tenant), ..again };
}

/// Sets the gauges.
pub fn show_size(metrics: &Metrics, size: &Size) {
    metrics.quarantine().size((size.known_rows, size.known_bytes), (size.unknown_rows, size.unknown_bytes));
}

/// How many are written at once.
const BATCH_MAX: usize = 256;
/// And no further one when their bodies have so many bytes: on SQLite nobody else writes meanwhile.
const BATCH_BYTES: usize = 1024 * 1024;
/// How often a transaction is repeated when another writer was in the way.
const REPEATS_MAX: u32 = 5;
/// The share of unknown accounts: one part in so many.
const UNKNOWN_SHARE: i64 = 10;
/// Trimming makes room for one part in so many.
const ROOM: i64 = 20;
/// A peer that vanished without a word must not keep the others waiting for ever.
const COMMIT_WITHIN: Duration = Duration::from_secs(8);
const _: () = assert!(BATCH_MAX <= KNOWN_WAITING_MAX);
