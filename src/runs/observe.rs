//! Counts the runs of all tenants, for the metrics. It changes nothing.

use super::{Desk, RunError, show};
use crate::{
    domain::{
        run::{self, Health, RunState, Signs},
        time::Millis,
    },
    store::{
        runs::{self, RunRow},
        slots,
    },
    telemetry::{Metrics, RunCounts},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Counts in the background.
#[derive(Clone, Debug)]
pub struct RunObserver {
    desk: Desk,
    metrics: Metrics,
}

impl RunObserver {
    /// Shows what it counts in these metrics.
    pub const fn new(desk: Desk, metrics: Metrics) -> Self {
        Self { desk, metrics }
    }

    /// Runs until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.tick().await {
                tracing::warn!(%error, "cannot count runs; the last figures stand, trying again shortly");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Counts once.
    pub async fn tick(&self) -> Result<RunCounts, RunError> {
        let db = &self.desk.0.db;
        let now_ms = self.desk.now_ms().await?;
        let mut counts =
            RunCounts { slots_held: slots::count_all_held(db, COUNTED_MAX).await?, ..RunCounts::default() };
        for (state, runs) in runs::count_states(db, COUNTED_MAX).await? {
            // A word that a newer onhook wrote is none of ours.
            counts.states.extend(state.parse().ok().map(|state: RunState| (state, runs)));
        }
        let (mut tenant, mut id, mut left) = (String::new(), String::new(), LOOKED_AT_MAX);
        while left > 0 {
            let page = runs::list_open(db, (&tenant, &id), left.min(PAGE)).await?;
            let Some(last) = page.last() else { break };
            (tenant, id) = (last.tenant.clone(), last.id.clone());
            left -= i64::try_from(page.len()).unwrap_or(left);
            for row in &page {
                self.count(&mut counts, row, now_ms).await?;
            }
        }
        self.metrics.runs().show(&counts);
        Ok(counts)
    }

    /// What one run adds.
    async fn count(&self, counts: &mut RunCounts, row: &RunRow, now_ms: Millis) -> Result<(), RunError> {
        let Ok(state) = show::state(row) else { return Ok(()) };
        if state == RunState::Paused {
            return Ok(());
        }
        let rules = self.desk.rules();
        let started_ms = row.started_ms.unwrap_or(row.created_ms);
        let silent_ms = now_ms.saturating_sub(row.beat_ms.unwrap_or(started_ms).max(started_ms));
        if state == RunState::Running {
            counts.heartbeat_age_ms = counts.heartbeat_age_ms.max(silent_ms);
        }
        let is_silent = silent_ms >= rules.patience.stale_ms;
        counts.lease_without_heartbeat += i64::from(is_silent && row.holder.is_some());
        counts.stale += i64::from(self.is_stale(row, state, now_ms).await?);
        Ok(())
    }

    /// Whether somebody else may take it over. What could be placed costs questions to the database, so these are only asked
    /// where the answer changes with it.
    async fn is_stale(&self, row: &RunRow, state: RunState, now_ms: Millis) -> Result<bool, RunError> {
        let (db, rules) = (&self.desk.0.db, self.desk.rules());
        let with = |placeable_ms| Signs {
            state,
            started_ms: row.started_ms.unwrap_or(row.created_ms),
            beat_ms: row.beat_ms,
            progress_ms: row.progress_ms,
            placeable_ms,
        };
        let of = |signs| run::health(&signs, rules.patience, now_ms) != Health::Fresh;
        if of(with(None)) {
            return Ok(true);
        }
        if !of(with(Some(Millis::MIN))) {
            return Ok(false);
        }
        Ok(show::health(db, row, rules, now_ms).await?.0 != Health::Fresh)
    }
}

/// How often it is counted.
const EVERY: Duration = Duration::from_secs(10);
/// How many runs and slots are counted; the help of the metrics says so.
const COUNTED_MAX: i64 = 100_000;
/// How many open runs are looked at one by one.
const LOOKED_AT_MAX: i64 = 1_000;
const PAGE: i64 = 200;
