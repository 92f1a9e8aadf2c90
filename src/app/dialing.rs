//! Who places calls from which account, built from a configuration: at Twilio with the account's credentials, at a PBX by
//! whoever listens to it.

use super::Fuses;
use crate::{
    ami,
    clock::SharedClock,
    config::Config,
    domain::time::{Millis, SECOND},
    pbx::Pbxs,
    provider::{Asked, Exchange, Reach, Trouble, TroubleKind},
    runs::{Desk, Dialing, DialingPace, DialingParts, TwilioDialer, TwilioParts},
    sweep::{SourceParts, Sources},
    twilio::client::{ClientError, Patience},
};
use rand::{SeedableRng, rngs::StdRng};
use std::{sync::Arc, time::Duration};
use url::Url;

/// All accounts.
#[derive(Debug)]
struct Lines {
    sources: Sources,
    pbxs: Pbxs,
    clock: SharedClock,
    public_url: Option<Url>,
    timeout: Duration,
}

/// Who knows how to dial from which account, by a configuration.
pub fn exchange(config: &Config, fuses: Fuses, pbxs: Pbxs, rng: &mut StdRng) -> Result<Arc<dyn Exchange>, ClientError> {
    let Fuses { clock, directory, metrics, .. } = fuses;
    let timeout = timeout(config.run.stale_after_ms);
    let sources = Sources::new(SourceParts {
        directory,
        clock: clock.clone(),
        twilio_base: config.twilio.api_base.clone(),
        twilio_requests_per_second: config.twilio.requests_per_second,
        // Whoever dials, looks for a call or hangs one up does it again by themselves, and knows when.
        patience: Patience { timeout, retries: 0, first_pause: PAUSE, longest_pause: PAUSE },
        switchboard: Arc::new(pbxs.clone()),
        metrics,
        rng: StdRng::from_rng(rng),
    })?;
    Ok(Arc::new(Lines { sources, pbxs, clock, public_url: config.public_url.clone(), timeout }))
}

impl Lines {
    async fn find(&self, tenant: &str, provider: &str, account: &str) -> Result<Reach, Trouble> {
        if provider == ami::PROVIDER {
            return self.pbxs.reach(tenant, account).await;
        }
        let source = self.sources.of(tenant, provider, account).await?.ok_or_else(|| Trouble {
            kind: TroubleKind::Refused,
            detail: format!("find credentials of {account}: it was never given any: `onhook accounts rotate`"),
        })?;
        let parts = TwilioParts {
            account: account.to_owned(),
            client: Arc::clone(source.client()),
            clock: self.clock.clone(),
            public_url: self.public_url.clone(),
            timeout: self.timeout,
        };
        Ok(Reach::Here(Arc::new(TwilioDialer::new(parts))))
    }
}

impl Exchange for Lines {
    fn reach<'a>(&'a self, tenant: &'a str, provider: &'a str, account: &'a str) -> Asked<'a, Reach> {
        Box::pin(self.find(tenant, provider, account))
    }
}

/// Whoever dials the runs of this gateway.
pub fn dialing(config: &Config, fuses: Fuses, desk: Desk, exchange: Arc<dyn Exchange>, rng: &mut StdRng) -> Dialing {
    let Fuses { db, clock, ingest, metrics, .. } = fuses;
    let (rng, dials, pace) = (StdRng::from_rng(rng), config.run.dial, DialingPace::default());
    Dialing::new(DialingParts { desk, db, clock, ingest, exchange, metrics, rng, dials, pace })
}

/// A request must have its answer while the lease that it is sent under still lives.
pub(super) fn timeout(stale_after_ms: Millis) -> Duration {
    Duration::from_millis((stale_after_ms / 3).clamp(1, TIMEOUT_MAX_MS).unsigned_abs())
}

const TIMEOUT_MAX_MS: Millis = 10 * SECOND;
/// There are no retries to pause between.
const PAUSE: Duration = Duration::from_millis(300);
