//! Takes away what is no longer needed: announcements and tokens that expired, remembered answers, old figures of callback
//! health, old refusals; and what was kept long enough (`retention`).

mod retention;

pub use retention::{Keep, PAUSE, Retention, Walk};

use crate::{
    clock::SharedClock,
    domain::time::HOUR,
    health::KEPT_MS,
    quarantine,
    store::{Db, StoreError, accounts, expected, health, quarantine as refused},
    telemetry::Metrics,
    transaction,
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Does it in the background.
#[derive(Clone, Debug)]
pub struct Housekeeping {
    /// Where it is done.
    pub db: Db,
    /// The time.
    pub clock: SharedClock,
    /// Where the size of the quarantine is shown.
    pub metrics: Metrics,
    /// How long a refused delivery is kept after it last came.
    pub keep_refused_ms: i64,
    /// How long everything else is kept.
    pub keep: Keep,
}

impl Housekeeping {
    /// Runs until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let retention = Retention {
            db: self.db.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            keep: self.keep,
            pause: PAUSE,
        };
        tokio::join!(self.clear(stop.clone()), retention.run(stop));
    }

    /// Clears away what has expired, until cancelled.
    async fn clear(self, stop: CancellationToken) {
        loop {
            match self.tick().await {
                // A full round does not wait.
                Ok(gone) if gone >= ROWS_MAX.unsigned_abs() => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "cannot clear away what has expired; trying again shortly"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// One round; answers how many rows went.
    pub async fn tick(&self) -> Result<u64, StoreError> {
        let now_ms = self.clock.now_ms();
        let mut tx = self.db.begin().await?;
        let refused = refused::delete_older(&mut tx, now_ms.saturating_sub(self.keep_refused_ms), ROWS_MAX).await?;
        let gone = refused
            + expected::delete_expired(&mut tx, now_ms, ROWS_MAX).await?
            + accounts::delete_expired_secrets(&mut tx, now_ms, ROWS_MAX).await?
            + transaction::forget(&mut tx, now_ms).await?
            + health::delete_older(&mut tx, now_ms.saturating_sub(KEPT_MS + HOUR), ROWS_MAX).await?;
        tx.commit().await?;
        self.metrics.quarantine().dropped(refused);
        quarantine::show_size(&self.metrics, &refused::size(&self.db).await?);
        Ok(gone)
    }
}

const EVERY: Duration = Duration::from_secs(60);
/// A round is one short transaction: a webhook never waits long for it.
const ROWS_MAX: i64 = 1_000;
