//! The desk at which runs are changed, built from a configuration: for the server, and for commands.

use crate::{
    clock::SharedClock,
    config::Config,
    directory::{Directory, Overlays},
    runs::{Desk, DeskParts, RunRules},
    seal::{SealError, Sealer},
    store::Db,
    telemetry::Metrics,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::sync::Arc;

/// Where runs are changed; what is done there is counted in `metrics`.
pub fn desk(
    config: &Config,
    db: Db,
    clock: SharedClock,
    directory: Arc<Directory>,
    rng: &mut StdRng,
    metrics: &Metrics,
) -> Desk {
    let (rng, metrics) = (StdRng::from_rng(rng), metrics.clone());
    Desk::new(DeskParts { db, clock, rng, directory, rules: rules(config), metrics })
}

/// The same for a command that changes or looks at runs that are there: it needs no account, and opens no credentials.
pub fn desk_without_accounts(config: &Config, db: Db, clock: SharedClock, rng: &mut StdRng) -> Result<Desk, SealError> {
    let key: [u8; 32] = rng.random();
    let sealer = Sealer::from_base64(&STANDARD.encode(key).into())?;
    let directory = Directory::new(db.clone(), clock.clone(), sealer, Overlays { accounts: Vec::new(), key: None });
    Ok(desk(config, db, clock, Arc::new(directory), rng, &Metrics::new()))
}

fn rules(config: &Config) -> RunRules {
    let run = &config.run;
    RunRules {
        patience: run.patience(),
        account_calls_max: run.account_calls_max.into(),
        tenant_calls_max: run.tenant_calls_max.into(),
        look_for_after_ms: run.look_for_after_ms,
        region: config.phone_region.clone(),
    }
}
