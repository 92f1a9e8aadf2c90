//! Deliveries that could not be applied are read again from their raw bytes and submitted anew, with backoff.

use super::{Ingest, Submission, Submitted};
use crate::{
    clock::SharedClock,
    store::{Db, StoreError, deliveries::{self, APPLIED, DeliveryRow}},
    twilio::{form::Form, signal::{Method, read_status}},
};
use std::time::Duration;
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
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
            if let Err(error) = self.tick().await {
                tracing::warn!(%error, "cannot look for unapplied deliveries; trying again in {} s", POLL.as_secs());
            }
        }
    }

    /// One pass over what is due.
    pub async fn tick(&self) -> Result<Retry, StoreError> {
        let due = deliveries::list_due_unapplied(&self.db, self.clock.now_ms(), PASS_MAX).await?;
        let mut retry = Retry { looked: due.len(), applied: 0 };
        for row in due {
            let (id, call) = (row.id.clone(), row.provider_id.clone());
            match read(row) {
                Ok(submission) => match self.ingest.submit(submission).await {
                    Ok(Submitted::Stored | Submitted::Repeated) => retry.applied += 1,
                    Ok(Submitted::Unapplied) => {}
                    Err(error) => tracing::warn!(%error, delivery = id, call, "an unapplied delivery has to wait"),
                },
                Err(error) => tracing::error!(error, delivery = id, call, "an unapplied delivery cannot be read any more"),
            }
        }
        Ok(retry)
    }
}

/// Reads a stored delivery again.
fn read(row: DeliveryRow) -> Result<Submission, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let method: Method = row.method.parse()?;
    let query = Form::parse(&row.query).map_err(|e| text(&e))?;
    let body = Form::parse(&row.body).map_err(|e| text(&e))?;
    let read = read_status(method, &query, &body, row.received_ms).map_err(|e| text(&e))?;
    let delivery = DeliveryRow { state: APPLIED.to_owned(), reason: None, retry_at_ms: None, ..row };
    Ok(Submission { tenant: delivery.tenant.clone(), provider: "twilio", delivery: Some(delivery), signals: vec![read.signal] })
}

const POLL: Duration = Duration::from_secs(5);
/// How many deliveries one pass takes.
const PASS_MAX: i64 = 200;
