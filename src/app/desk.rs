//! The desk of outbound runs, built from a configuration: for the server, and for commands that work by themselves.

use super::Fuses;
use crate::{
    config::Config,
    runs::{Desk, DeskParts, RunRules},
};
use rand::{SeedableRng, rngs::StdRng};

/// The desk of a configuration.
pub fn desk(config: &Config, fuses: &Fuses, rng: &mut StdRng) -> Desk {
    let run = &config.run;
    let rules = RunRules {
        patience: run.patience(),
        account_calls_max: run.account_calls_max.into(),
        tenant_calls_max: run.tenant_calls_max.into(),
        look_for_after_ms: run.look_for_after_ms,
        region: config.phone_region.clone(),
    };
    let Fuses { db, clock, directory, .. } = fuses.clone();
    Desk::new(DeskParts { db, clock, rng: StdRng::from_rng(rng), directory, rules })
}
