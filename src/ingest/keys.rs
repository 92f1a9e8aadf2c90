//! Which legs and deliveries a batch speaks of.

use super::{Submission, ask};
use crate::{
    domain::signal::{Field, Signal},
    store::{
        calls::LegKey,
        deliveries::{DeliveryKey, DeliveryRow},
    },
};
use std::collections::BTreeSet;

/// The legs a batch speaks of and their parents, sorted, each once.
pub(super) fn keys_of(submissions: &[Submission]) -> Vec<LegKey> {
    let mut keys = BTreeSet::new();
    for submission in submissions {
        keys.extend(ask::keys(submission));
        for signal in &submission.signals {
            let key = |id: &str| LegKey {
                tenant: submission.tenant.clone(),
                provider_id: id.to_owned(),
                account: signal.leg.account.clone(),
            };
            keys.insert(key(&signal.leg.provider_id));
            if let Some(parent) = signal.details.get(&Field::ParentId) {
                keys.insert(key(parent));
            }
        }
    }
    keys.into_iter().collect()
}

pub(super) fn delivery_key(row: &DeliveryRow) -> DeliveryKey {
    DeliveryKey {
        tenant: row.tenant.clone(),
        provider_id: row.provider_id.clone(),
        account: row.account.clone(),
        id: row.id.clone(),
    }
}

pub(super) fn leg_key(tenant: &str, signal: &Signal) -> LegKey {
    LegKey {
        tenant: tenant.to_owned(),
        provider_id: signal.leg.provider_id.clone(),
        account: signal.leg.account.clone(),
    }
}
