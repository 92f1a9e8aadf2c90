//! Takes away what is no longer needed: announcements that expired, remembered answers, old figures of callback health.

use crate::{
    clock::SharedClock,
    domain::time::HOUR,
    health::KEPT_MS,
    store::{Db, StoreError, expected, health},
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
}

impl Housekeeping {
    /// Runs until cancelled.
    pub async fn run(self, stop: CancellationToken) {
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
        let gone = expected::delete_expired(&mut tx, now_ms, ROWS_MAX).await?
            + transaction::forget(&mut tx, now_ms).await?
            + health::delete_older(&mut tx, now_ms.saturating_sub(KEPT_MS + HOUR), ROWS_MAX).await?;
        tx.commit().await?;
        Ok(gone)
    }
}

const EVERY: Duration = Duration::from_secs(60);
/// A round is one short transaction: a webhook never waits long for it.
const ROWS_MAX: i64 = 1_000;
