//! The desk at which runs are changed, built from a configuration: for the server, and for commands.

use crate::{
    clock::SharedClock,
    config::Config,
    directory::Directory,
    domain::run::{LOOK_FOR_AFTER_MS, Patience},
    runs::{Desk, DeskParts, RunRules},
    store::Db,
};
use rand::{SeedableRng, rngs::StdRng};
use std::sync::Arc;

/// Where runs are changed.
pub fn desk(config: &Config, db: Db, clock: SharedClock, directory: Arc<Directory>, rng: &mut StdRng) -> Desk {
    let rng = StdRng::from_rng(rng);
    Desk::new(DeskParts { db, clock, rng, directory, rules: rules(config) })
}

fn rules(config: &Config) -> RunRules {
    RunRules {
        patience: Patience { stale_ms: config.run.stale_after_ms, fail_ms: config.run.fail_after_ms },
        account_calls_max: 100,
        tenant_calls_max: 200,
        look_for_after_ms: LOOK_FOR_AFTER_MS,
        region: config.phone_region.clone(),
    }
}
