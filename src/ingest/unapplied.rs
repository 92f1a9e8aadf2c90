//! Deliveries that could not be applied are read again from their raw bytes and submitted anew, with backoff.

use super::{Ingest, Submission, Submitted};
use crate::{
    clock::SharedClock,
    domain::time::{MINUTE, Millis},
    store::{
        Db, StoreError,
        deliveries::{self, APPLIED, DeliveryRow},
    },
    twilio::door::{self, Door, Method},
};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Deliveries that were due.
    pub looked: usize,
    /// Those that are applied now.
    pub applied: usize,
}

/// Retries what is due, in the background.
#[derive(Clone, Debug)]
pub struct Reread {
    /// Where deliveries are.
    pub db: Db,
    /// The door.
    pub ingest: Ingest,
    /// The time.
    pub clock: SharedClock,
}

impl Reread {
    /// Runs until cancelled.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            match self.tick().await {
                // A full pass does not wait.
                Ok(retry) if retry.looked == PASS_MAX => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "cannot look for unapplied deliveries; trying again shortly"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// One pass over what is due. What is looked at is claimed, so other nodes leave it alone, and what cannot be read
    /// does not stand in the way of the rest.
    pub async fn tick(&self) -> Result<Retry, StoreError> {
        let now_ms = self.clock.now_ms();
        let mut tx = self.db.begin().await?;
        let due = deliveries::claim_unapplied(&mut tx, now_ms, now_ms + LEASE_MS, PASS_MAX as i64).await?;
        tx.commit().await?;
        let mut retry = Retry { looked: due.len(), applied: 0 };
        let mut tries = JoinSet::new();
        for row in due {
            tries.spawn(again(self.ingest.clone(), row));
        }
        while let Some(applied) = tries.join_next().await {
            retry.applied += usize::from(applied.unwrap_or(false));
        }
        Ok(retry)
    }
}

/// Submits a delivery again; whether it is applied now.
async fn again(ingest: Ingest, row: DeliveryRow) -> bool {
    let (delivery, call) = (row.id.clone(), row.provider_id.clone());
    let submission = match read(row) {
        Ok(submission) => submission,
        Err(error) => {
            tracing::error!(
                error,
                delivery,
                call,
                "an unapplied delivery cannot be read any more; `onhook check` lists it"
            );
            return false;
        }
    };
    match ingest.submit(submission).await {
        Ok(Submitted::Stored | Submitted::Repeated) => true,
        Ok(Submitted::Unapplied) => false,
        Err(error) => {
            tracing::warn!(%error, delivery, call, "an unapplied delivery has to wait");
            false
        }
    }
}

/// Reads a stored delivery again.
fn read(row: DeliveryRow) -> Result<Submission, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let (door, method): (Door, Method) = (row.source.parse()?, row.method.parse()?);
    let said = door::read_stored(door, method, &row.query, &row.body, row.received_ms).map_err(|e| text(&e))?;
    let delivery = DeliveryRow { state: APPLIED.to_owned(), reason: None, retry_at_ms: None, ..row };
    let tenant = delivery.tenant.clone();
    Ok(Submission {
        tenant,
        provider: "twilio",
        delivery: Some(delivery),
        signals: said.signals,
        ask: said.ask,
        decision: None,
    })
}

const POLL: Duration = Duration::from_secs(5);
/// How many deliveries one pass takes.
const PASS_MAX: usize = 200;
/// How long a claimed delivery is left alone, unless its failure sets another time.
const LEASE_MS: Millis = 10 * MINUTE;
