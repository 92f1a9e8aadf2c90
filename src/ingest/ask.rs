//! What a submission says without a signal: that a call is to be asked about now, because what it did meanwhile may
//! never be told; or nothing but that there was a delivery. Neither moves a call or gets a place in its timeline.

use super::{
    Submission,
    batch::{Batch, Leg},
};
use crate::{
    domain::{id, time::Millis},
    store::{calls::LegKey, deliveries::DeliveryRow},
};

/// The legs that a submission speaks of without a signal. None, for all that plain callbacks say.
pub(super) fn keys(submission: &Submission) -> impl Iterator<Item = LegKey> {
    let asked = submission.ask.iter().map(|leg| asked_key(submission, leg));
    asked.chain(silent(submission).map(filed_key))
}

impl Batch {
    /// Takes what new submissions say without a signal to the calls it is about.
    pub(super) fn hear(&mut self, news: &[&Submission]) {
        for submission in news {
            for key in submission.ask.iter().map(|leg| asked_key(submission, leg)) {
                match self.legs.get_mut(&key) {
                    Some(leg) => (leg.ask, leg.touched) = (true, true),
                    None => self.tally.unknown.push(key),
                }
            }
            let filed = silent(submission).and_then(|row| Some((row, self.legs.get_mut(&filed_key(row))?)));
            if let Some((row, leg)) = filed {
                leg.row.deliveries += 1;
                leg.row.verified &= row.verified;
                leg.touched = true;
            }
        }
    }
}

impl Leg {
    /// Makes a live call due that is to be asked about; one that is due already stays so.
    pub(super) fn ask_now(&mut self, now: Millis) {
        let live = !self.status().is_ended() && !self.row.is_replaced();
        if self.ask && live {
            self.row.due_at_ms = Some(self.row.due_at_ms.map_or(now, |due| due.min(now)));
        }
    }
}

/// The delivery of a submission without signals.
fn silent(submission: &Submission) -> Option<&DeliveryRow> {
    submission.delivery.as_ref().filter(|_| submission.signals.is_empty())
}

fn asked_key(submission: &Submission, leg: &id::Leg) -> LegKey {
    LegKey { tenant: submission.tenant.clone(), provider_id: leg.provider_id.clone(), account: leg.account.clone() }
}

fn filed_key(row: &DeliveryRow) -> LegKey {
    LegKey { tenant: row.tenant.clone(), provider_id: row.provider_id.clone(), account: row.account.clone() }
}
