//! The desk at which runs are changed, built from a configuration: for the server, and for commands.

use crate::{
    clock::SharedClock,
    config::Config,
    directory::{Directory, Overlays},
    domain::run::{LOOK_FOR_AFTER_MS, Patience},
    runs::{Desk, DeskParts, RunRules},
    seal::{SealError, Sealer},
    store::Db,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::sync::Arc;

/// Where runs are changed.
pub fn desk(config: &Config, db: Db, clock: SharedClock, directory: Arc<Directory>, rng: &mut StdRng) -> Desk {
    let rng = StdRng::from_rng(rng);
    Desk::new(DeskParts { db, clock, rng, directory, rules: rules(config) })
}

/// The same for a command that changes or looks at runs that are there: it needs no account, and opens no credentials.
pub fn desk_without_accounts(config: &Config, db: Db, clock: SharedClock, rng: &mut StdRng) -> Result<Desk, SealError> {
    let key: [u8; 32] = rng.random();
    let sealer = Sealer::from_base64(&STANDARD.encode(key).into())?;
    let directory = Directory::new(db.clone(), clock.clone(), sealer, Overlays { accounts: Vec::new(), key: None });
    Ok(desk(config, db, clock, Arc::new(directory), rng))
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
