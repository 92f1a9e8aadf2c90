//! Takes away what was kept long enough: raw deliveries, the signals of ended calls, the journal, notices, sweeps, the audit,
//! runs that have ended with their jobs and slots.
//!
//! A walk goes through `signal` and `delivery` along their primary keys. There is no index by time on them, and there will be
//! none: every webhook would have to write it. Walking the calls instead would mean to pass all calls there ever were, each
//! time, for they are kept; what is walked here is no more than what is kept. A slice is read aside and forgotten with the
//! next one, so memory is bounded. What is to go is deleted by its key in transactions of a few milliseconds with pauses in
//! between, so that a webhook never waits longer for the writer than for another webhook. After a full walk it rests.
//!
//! A walk that is cut off begins anew and finds the rest. Several nodes may walk at once: what one took away is not there for
//! the others.

use crate::{
    clock::SharedClock,
    domain::{
        call::is_replaced,
        time::{HOUR, Millis},
    },
    store::{
        Db, StoreError, Tx,
        calls::{self, LegKey},
        deliveries::{DeliveryKey, UNAPPLIED},
        hangups,
        retention::{self, EntryAge, LegAge},
    },
    telemetry::{Metrics, PrunedTable},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Raw deliveries after they came, signals after their call ended and had its last one.
    pub deliveries_ms: Millis,
    /// The journal, notices, sweeps, runs that have ended.
    pub journal_ms: Millis,
    /// The audit.
    pub audit_ms: Millis,
}

/// Prunes what was kept long enough.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Where everything is kept.
    pub db: Db,
    /// The time.
    pub clock: SharedClock,
    /// Where it is counted.
    pub metrics: Metrics,
    /// How long.
    pub keep: Keep,
    /// Between two transactions: what waits for the writer goes first.
    pub pause: Duration,
}

/// How far a walk has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Signals(LegKey),
    Deliveries(DeliveryKey),
    Journal(i64),
    /// The tables with an index by time, which need no walk.
    Aged(&'static [PrunedTable]),
}

impl Walk {
    /// Whether all was looked through.
    pub const fn is_over(&self) -> bool {
        matches!(self.0, Place::Aged([]))
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::Signals(LegKey { tenant: String::new(), provider_id: String::new(), account: String::new() })
    }
}

impl Retention {
    /// Runs until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut walk = Walk::default();
        // Not while a gateway starts: what waited for it comes first.
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
        loop {
            let rest = match self.advance(&mut walk).await {
                Ok(_) if walk.is_over() => {
                    walk = Walk::default();
                    self.metrics.retention().walked();
                    REST
                }
                Ok(_) => self.pause,
                Err(error) => {
                    tracing::warn!(%error, "cannot take away what was kept long enough; trying again shortly");
                    AGAIN
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// Looks at the next slice and takes away what is too old; answers how many rows that were. Dropped in between, what is
    /// committed is gone and the rest is found by the next walk.
    pub async fn advance(&self, walk: &mut Walk) -> Result<u64, StoreError> {
        let now_ms = self.clock.now_ms();
        let (gone, next) = match &walk.0 {
            Place::Signals(after) => self.signals(after, now_ms).await?,
            Place::Deliveries(after) => self.deliveries(after, now_ms).await?,
            Place::Journal(after) => self.journal(*after, now_ms).await?,
            Place::Aged([table, rest @ ..]) => (self.aged(*table, now_ms).await?, Place::Aged(rest)),
            Place::Aged([]) => (0, Place::Aged(&[])),
        };
        walk.0 = next;
        Ok(gone)
    }

    /// A slice of legs with signals: those of calls that are over and old go.
    async fn signals(&self, after: &LegKey, now_ms: Millis) -> Result<(u64, Place), StoreError> {
        let before_ms = now_ms.saturating_sub(self.keep.deliveries_ms);
        let legs = retention::list_legs(&self.db, after, SLICE_LEGS).await?;
        let last = legs.last().map(key_of);
        let old: Vec<LegKey> = legs.iter().filter(|leg| is_old(leg, before_ms)).map(key_of).collect();
        let mut gone = 0;
        for legs in old.chunks(TX_LEGS) {
            gone += self.repeat(Old::Signals { legs, before_ms, now_ms }).await?;
        }
        let start = || DeliveryKey {
            tenant: String::new(),
            provider_id: String::new(),
            account: String::new(),
            id: String::new(),
        };
        Ok((gone, last.map_or_else(|| Place::Deliveries(start()), Place::Signals)))
    }

    /// A slice of deliveries: those that came long ago go, unless they still wait to be applied.
    async fn deliveries(&self, after: &DeliveryKey, now_ms: Millis) -> Result<(u64, Place), StoreError> {
        let before_ms = now_ms.saturating_sub(self.keep.deliveries_ms);
        let rows = retention::list_deliveries(&self.db, after, SLICE_DELIVERIES).await?;
        let last = rows.last().map(|row| row.key.clone());
        let old = rows.into_iter().filter(|row| row.received_ms < before_ms && row.state != UNAPPLIED);
        let old: Vec<DeliveryKey> = old.map(|row| row.key).collect();
        let mut gone = 0;
        for keys in old.chunks(TX_ROWS_LEN) {
            gone += self.once(Old::Deliveries { keys, before_ms }).await?;
        }
        Ok((gone, last.map_or(Place::Journal(0), Place::Deliveries)))
    }

    /// A slice of the journal from its oldest end. It goes on while there is something old: entries are written in the order
    /// of time, but for those of a clock that was wrong, which stay until their time has come.
    async fn journal(&self, after: i64, now_ms: Millis) -> Result<(u64, Place), StoreError> {
        let before_ms = now_ms.saturating_sub(self.keep.journal_ms);
        let entries = retention::list_entries(&self.db, after, TX_ROWS).await?;
        let is_reached = |entry: &EntryAge| (before_ms..=now_ms).contains(&entry.at_ms);
        let Some(last) = entries.last().map(|entry| entry.seq) else { return Ok((0, Place::Aged(AGED))) };
        let gone = self.once(Old::Entries { between: (after, last), before_ms }).await?;
        Ok((gone, if entries.iter().any(is_reached) { Place::Aged(AGED) } else { Place::Journal(last) }))
    }

    async fn aged(&self, table: PrunedTable, now_ms: Millis) -> Result<u64, StoreError> {
        let keep_ms = match table {
            PrunedTable::Audit => self.keep.audit_ms,
            // Named by when their hour began: the last one of it has to be old.
            PrunedTable::SweepFigure => self.keep.journal_ms.saturating_add(HOUR),
            _ => self.keep.journal_ms,
        };
        self.repeat(Old::Aged { table, before_ms: now_ms.saturating_sub(keep_ms) }).await
    }

    /// Repeats a deletion until it is no longer full.
    async fn repeat(&self, old: Old<'_>) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let some = self.once(old).await?;
            gone += some;
            if some < TX_ROWS.unsigned_abs() {
                return Ok(gone);
            }
        }
    }

    /// One short transaction, then a pause: what waits for the writer goes first.
    async fn once(&self, old: Old<'_>) -> Result<u64, StoreError> {
        let mut tx = self.db.begin().await?;
        let gone = old.delete(&mut tx).await?;
        tx.commit().await?;
        self.metrics.retention().pruned(old.table(), gone);
        tokio::time::sleep(self.pause).await;
        Ok(gone)
    }
}

/// What one transaction takes away.
#[derive(Clone, Copy)]
enum Old<'a> {
    Signals { legs: &'a [LegKey], before_ms: Millis, now_ms: Millis },
    Deliveries { keys: &'a [DeliveryKey], before_ms: Millis },
    Entries { between: (i64, i64), before_ms: Millis },
    Aged { table: PrunedTable, before_ms: Millis },
}

impl Old<'_> {
    const fn table(self) -> PrunedTable {
        match self {
            Self::Signals { .. } => PrunedTable::Signal,
            Self::Deliveries { .. } => PrunedTable::Delivery,
            Self::Entries { .. } => PrunedTable::Journal,
            Self::Aged { table, .. } => table,
        }
    }

    async fn delete(self, tx: &mut Tx) -> Result<u64, StoreError> {
        match self {
            Self::Signals { legs, before_ms, now_ms } => {
                // Against a webhook that has loaded a call and is about to write it.
                calls::lock(tx, legs).await?;
                let marked = retention::mark_pruned(tx, legs, before_ms, now_ms).await?;
                retention::delete_signals(tx, &marked, TX_ROWS).await
            }
            Self::Deliveries { keys, before_ms } => retention::delete_deliveries(tx, keys, before_ms).await,
            Self::Entries { between, before_ms } => retention::delete_entries(tx, between, before_ms).await,
            Self::Aged { table, before_ms } => match table {
                PrunedTable::Notice => retention::delete_notices(tx, before_ms, TX_ROWS).await,
                PrunedTable::Sweep => retention::delete_sweeps(tx, before_ms, TX_ROWS).await,
                PrunedTable::SweepFigure => retention::delete_sweep_figures(tx, before_ms, TX_ROWS).await,
                PrunedTable::Audit => retention::delete_audit(tx, before_ms, TX_ROWS).await,
                PrunedTable::Slot => retention::delete_slots(tx, before_ms, TX_ROWS).await,
                PrunedTable::Job => retention::delete_jobs(tx, before_ms, TX_ROWS).await,
                PrunedTable::Run => retention::delete_runs(tx, before_ms, TX_ROWS).await,
                PrunedTable::Hangup => hangups::delete_settled(tx, before_ms, TX_ROWS).await,
                PrunedTable::Signal | PrunedTable::Delivery | PrunedTable::Journal => Ok(0),
            },
        }
    }
}

fn is_old(leg: &LegAge, before_ms: Millis) -> bool {
    let is_over = leg.resolution.is_some() || is_replaced(leg.merged_into.as_deref(), leg.parent_id.as_deref());
    is_over && leg.last_signal_ms < before_ms && leg.ended_at_ms.is_none_or(|at| at < before_ms)
}

fn key_of(leg: &LegAge) -> LegKey {
    LegKey { tenant: leg.tenant.clone(), provider_id: leg.provider_id.clone(), account: leg.account.clone() }
}

/// What is left when the journal is done. A run goes after its jobs and slots.
const AGED: &[PrunedTable] = &[
    PrunedTable::Notice,
    PrunedTable::Sweep,
    PrunedTable::SweepFigure,
    PrunedTable::Audit,
    PrunedTable::Slot,
    PrunedTable::Job,
    PrunedTable::Run,
    PrunedTable::Hangup,
];
/// Between two transactions and two slices.
pub const PAUSE: Duration = Duration::from_millis(25);
/// After a full walk: by so much longer than asked for things may be kept.
const REST: Duration = Duration::from_secs(6 * 60 * 60);
/// After a failure, and after the start.
const AGAIN: Duration = Duration::from_secs(60);
/// What is read aside at once.
const SLICE_LEGS: i64 = 200;
const SLICE_DELIVERIES: i64 = 500;
/// What one transaction takes away, and from how many legs at most. With 200,000 deliveries in an SQLite file, 100 of them
/// took 20 to 30 ms and the signals of 20 legs 5 to 20 ms (unoptimized, on a busy machine): a quarter of that is asked for,
/// which still is hundreds of rows a second.
const TX_ROWS: i64 = 25;
const TX_ROWS_LEN: usize = TX_ROWS as usize;
const TX_LEGS: usize = 5;
