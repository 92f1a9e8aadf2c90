//! Between what is heard and what is stored: what is submitted, and what a correlator goes on with.

use super::{
    Shared,
    heard::{self, Key, Users},
};
use crate::{
    ami::correlator::{Known, Rules},
    domain::state::{Live, Status},
    ingest::{Submission, SubmitError, Submitted},
    store::{StoreError, calls::CallRow, due},
};
use std::time::Duration;

/// Submits in order; answers what is not durable and is to be tried again.
pub(super) async fn submit(
    shared: &Shared,
    key: &Key,
    batch: Vec<Submission>,
    users: &Users,
    region: Option<&str>,
) -> Vec<Submission> {
    let completed: Vec<Submission> = batch
        .iter()
        .cloned()
        .map(|mut one| {
            one.signals.iter_mut().for_each(|signal| heard::complete(signal, users, region));
            one
        })
        .collect();
    let results = shared.ingest.submit_all(completed, SUBMIT_WITHIN).await;
    let mut left = Vec::new();
    for (one, result) in batch.into_iter().zip(results) {
        match result {
            Ok(Submitted::Stored | Submitted::Repeated | Submitted::Unapplied) => {}
            Err(SubmitError::Full | SubmitError::Unavailable(_) | SubmitError::Stopped) => left.push(one),
            Err(error @ SubmitError::Refused(_)) => {
                // It would be refused again. A later channel list says the same by other words.
                let leg = one.signals.first().map(|signal| signal.leg.provider_id.as_str()).unwrap_or_default();
                tracing::error!(tenant = key.tenant, account = key.account, leg, "failed to {error}; it is dropped");
            }
        }
    }
    left
}

/// The live rows of a PBX, as its correlator goes on with them.
pub(super) async fn load_known(shared: &Shared, key: &Key) -> Result<Vec<Known>, StoreError> {
    let mut known = Vec::new();
    let mut after = String::new();
    while known.len() < KNOWN_MAX {
        let page = due::list_live(&shared.db, (&key.tenant, &key.account), &after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.provider_id);
        known.extend(page.into_iter().filter_map(of_row));
    }
    Ok(known)
}

fn of_row(row: CallRow) -> Option<Known> {
    let live = match row.status.parse::<Status>().ok()? {
        Status::Queued => Live::Queued,
        Status::Initiated => Live::Initiated,
        Status::Ringing => Live::Ringing,
        Status::InProgress => Live::Answered,
        Status::Completed | Status::Busy | Status::NoAnswer | Status::Canceled | Status::Failed => return None,
    };
    let direction = row.direction.and_then(|direction| direction.parse().ok());
    let CallRow { provider_id, parent_id, answered_at_ms: answered_ms, created_at_ms: created_ms, .. } = row;
    Some(Known { provider_id, parent_id, direction, live, answered_ms, created_ms })
}

pub(super) fn rules(shared: &Shared, key: &Key) -> Rules {
    Rules { account: key.account.clone(), if_answered: shared.rules.if_answered }
}

/// How long what was heard may take to be written.
const SUBMIT_WITHIN: Duration = Duration::from_secs(10);
/// Rows a correlator goes on with: more calls than one Asterisk can have.
const KNOWN_MAX: usize = 50_000;
const PAGE_ROWS: i64 = 500;
