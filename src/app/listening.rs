//! Whoever listens to PBXs, built from a configuration.

use super::{Fuses, dialing::timeout};
use crate::{
    config::{AnsweredOutcome, Config},
    domain::state::Outcome,
    pbx::{Ami, Pace, Parts, PbxRules, Pbxs},
};
use rand::{SeedableRng, rngs::StdRng};

/// Whoever listens to the PBXs. It submits through `ingest`, and does nothing until it is run.
pub fn pbxs(config: &Config, fuses: Fuses, rng: &mut StdRng) -> Pbxs {
    let Fuses { db, clock, directory, ingest, metrics } = fuses;
    let ca = config.ami_url.as_ref().and(config.ami_ca.clone());
    let rules = PbxRules {
        if_answered: if_answered(config),
        region: config.phone_region.clone(),
        configured_ca: ca.map(|pem| (config.ami_name.clone(), pem)),
        place_within: timeout(config.run.stale_after_ms),
    };
    let connect = Box::new(Ami::new(clock.clone(), StdRng::from_rng(rng)));
    let (rng, pace) = (StdRng::from_rng(rng), Pace::default());
    Pbxs::new(Parts { db, clock, rng, ingest, directory, metrics, connect, rules, pace })
}

/// What an answered call is when its end is inferred.
pub(super) const fn if_answered(config: &Config) -> Outcome {
    match config.sweep.answered_outcome {
        AnsweredOutcome::Completed => Outcome::Completed,
        AnsweredOutcome::Failed => Outcome::Failed,
    }
}
