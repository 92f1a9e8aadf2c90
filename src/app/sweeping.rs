//! The sweeper, built from a configuration: for the server, and for commands that sweep by themselves.

use super::{Fuses, listening::if_answered};
use crate::{
    config::Config,
    pbx::Pbxs,
    sweep::{self, SourceParts, Sources, SweepRules, Sweeper},
    twilio::client::{ClientError, Patience},
};
use rand::{SeedableRng, rngs::StdRng};
use std::{sync::Arc, time::Duration};

/// The sweeper of a configuration. It submits through `ingest`.
pub fn sweeper(config: &Config, fuses: Fuses, pbxs: Pbxs, rng: &mut StdRng) -> Result<Sweeper, ClientError> {
    let Fuses { db, clock, directory, ingest, metrics } = fuses;
    let sweep = &config.sweep;
    let if_answered = if_answered(config);
    let rules =
        SweepRules { limits: sweep.limits(), if_answered, interval_ms: sweep.interval_ms, supersede: sweep.supersede };
    let sources = Sources::new(SourceParts {
        directory,
        clock: clock.clone(),
        twilio_base: config.twilio.api_base.clone(),
        twilio_requests_per_second: config.twilio.requests_per_second,
        patience: SWEEP_PATIENCE,
        switchboard: Arc::new(pbxs),
        metrics: metrics.clone(),
        rng: StdRng::from_rng(rng),
    })?;
    let (rng, public_url) = (StdRng::from_rng(rng), config.public_url.clone());
    Ok(Sweeper::new(sweep::Parts { db, clock, rng, ingest, sources, metrics, rules, public_url }))
}

/// One account that does not answer must not hold up the next round for all.
const SWEEP_PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(10),
    retries: 1,
    first_pause: Duration::from_millis(300),
    longest_pause: Duration::from_secs(5),
};
