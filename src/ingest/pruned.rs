//! What comes to a call whose signals are no longer kept. It cannot be known whether such a signal is a repetition, and it
//! must not matter.
//!
//! A callback that is delivered again after weeks comes without a time: its own is too old to be believed
//! (`domain::signal::believable`). Taken as received now, an ending would move to today, and a ring would bring a call back to
//! life that was given up. So it counts for the last moment at which it can have been true. There it loses against the copy
//! that the registers hold already, and one that is really new still adds what it says.

use super::batch::{Batch, Leg};
use crate::{
    domain::{
        call::Step,
        signal::{Claim, Signal},
        time::{MINUTE, Millis},
    },
    ingest::Submission,
    store::{
        StoreError, Tx,
        calls::{CallRow, LegKey},
        retention,
    },
};
use std::collections::{BTreeSet, HashSet};

impl Batch {
    /// The legs among those spoken of whose signals were pruned. A batch that tells of nothing but live calls and fresh
    /// endings asks nobody.
    pub(super) async fn pruned(
        &self,
        tx: &mut Tx,
        said: &[(&Submission, &Signal)],
    ) -> Result<HashSet<LegKey>, StoreError> {
        let key = |submission: &Submission, signal: &Signal| LegKey {
            tenant: submission.tenant.clone(),
            provider_id: signal.leg.provider_id.clone(),
            account: signal.leg.account.clone(),
        };
        let over: BTreeSet<LegKey> = said
            .iter()
            .map(|(submission, signal)| (key(submission, signal), signal.received_ms))
            .filter(|(key, at)| {
                self.legs.get(key).is_some_and(|leg| leg.before.is_some() && is_long_over(&leg.row, *at))
            })
            .map(|(key, _)| key)
            .collect();
        let over: Vec<LegKey> = over.into_iter().collect();
        Ok(retention::list_pruned(tx, &over).await?.into_iter().collect())
    }
}

impl Leg {
    /// Absorbs a signal that may be one of those that were pruned.
    pub(super) fn absorb_pruned(&mut self, signal: &Signal) -> Step {
        let received_ms = heard_ms(&self.row, signal);
        let step = self.call.absorb(&Signal { received_ms, ..signal.clone() });
        self.row.last_signal_ms = self.row.last_signal_ms.max(signal.received_ms);
        if matches!(step, Step::Moved | Step::Corrected) {
            self.entered_ms = Some(signal.received_ms);
        }
        step
    }

    /// Whether its signals were pruned: then the registers know more than the signals that are left.
    pub(super) async fn is_pruned(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        Ok(!retention::list_pruned(tx, &[self.key()]).await?.is_empty())
    }
}

fn is_long_over(row: &CallRow, received_ms: Millis) -> bool {
    let over_ms = row.ended_at_ms.or(row.is_replaced().then_some(row.last_signal_ms));
    over_ms.is_some_and(|at| received_ms > at.saturating_add(MINUTE))
}

/// When a signal without a time of its own counts as received. Registers that keep the greatest time (the ending, the sign of
/// life) get one that is no later than theirs; those that keep the smallest (facts) get one that is no earlier.
fn heard_ms(row: &CallRow, signal: &Signal) -> Millis {
    if signal.at.is_some() {
        return signal.received_ms;
    }
    let alive_ms = row.alive_ms.unwrap_or(row.created_at_ms);
    let at = match signal.claim {
        Claim::Live(_) | Claim::Alive | Claim::Unknown(_) => alive_ms,
        Claim::Ended(_) | Claim::GivenUp(_) => row.ended_at_ms.unwrap_or(alive_ms),
        Claim::Recording | Claim::AnsweredBy | Claim::Link => row.last_signal_ms,
    };
    at.min(signal.received_ms)
}
