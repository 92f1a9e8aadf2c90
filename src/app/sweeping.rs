//! The sweeper, built from a configuration: for the server, and for commands that sweep by themselves.

use crate::{
    clock::SharedClock,
    config::{AnsweredOutcome, Config},
    directory::Directory,
    domain::state::Outcome,
    ingest::Ingest,
    store::Db,
    sweep::{self, SourceParts, Sources, SweepRules, Sweeper},
    telemetry::Metrics,
    twilio::client::{ClientError, Patience},
};
use rand::{SeedableRng, rngs::StdRng};
use std::{sync::Arc, time::Duration};

/// The sweeper of a configuration. It submits through `ingest`.
pub fn sweeper(config: &Config, with: SweepWith<'_>) -> Result<Sweeper, ClientError> {
    let SweepWith { db, clock, directory, ingest, metrics, rng } = with;
    let sweep = &config.sweep;
    let if_answered = match sweep.answered_outcome {
        AnsweredOutcome::Completed => Outcome::Completed,
        AnsweredOutcome::Failed => Outcome::Failed,
    };
    let rules =
        SweepRules { limits: sweep.limits(), if_answered, interval_ms: sweep.interval_ms, supersede: sweep.supersede };
    let sources = Sources::new(SourceParts {
        directory,
        clock: clock.clone(),
        twilio_base: config.twilio.api_base.clone(),
        twilio_requests_per_second: config.twilio.requests_per_second,
        patience: SWEEP_PATIENCE,
        metrics: metrics.clone(),
        rng: StdRng::from_rng(rng),
    })?;
    let (rng, public_url) = (StdRng::from_rng(rng), config.public_url.clone());
    Ok(Sweeper::new(sweep::Parts { db, clock, rng, ingest, sources, metrics, rules, public_url }))
}

/// What a sweeper needs beside its configuration.
#[derive(Debug)]
#[expect(missing_docs, reason = "the parts of `sweep::Parts`")]
pub struct SweepWith<'a> {
    pub db: Db,
    pub clock: SharedClock,
    pub directory: Arc<Directory>,
    pub ingest: Ingest,
    pub metrics: Metrics,
    pub rng: &'a mut StdRng,
}

/// One account that does not answer must not hold up the next round for all.
const SWEEP_PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(10),
    retries: 1,
    first_pause: Duration::from_millis(300),
    longest_pause: Duration::from_secs(5),
};
