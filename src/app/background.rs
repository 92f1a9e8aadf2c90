//! What runs beside the server until the gateway stops. A part that ends by itself stops the gateway: loudly, not half.

use crate::{
    config::{Config, KeepConfig},
    health::Health,
    housekeeping::{Housekeeping, Keep},
    http::Gateway,
    ingest::Reread,
    runs::RunObserver,
};
use std::collections::HashMap;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// The parts, running.
#[derive(Debug)]
pub(super) struct Background {
    parts: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    /// Not a child of the gateway's: a part that ends because of that would look like one that died.
    stop: CancellationToken,
}

impl Background {
    /// Starts them all.
    pub(super) fn start(gateway: &Gateway) -> Self {
        let stop = CancellationToken::new();
        let mut all = Self { parts: JoinSet::new(), names: HashMap::new(), stop: stop.clone() };
        all.add("the retry of unapplied deliveries", reread(gateway).run(stop.clone()));
        all.add("housekeeping", housekeeping(gateway).run(stop.clone()));
        all.add("the count of callbacks", health(gateway).run(stop.clone()));
        all.add("the sweeper", gateway.sweeper.clone().run(stop.clone()));
        all.add("the count of live calls", gateway.sweeper.observer().run(stop.clone()));
        all.add("listening to PBXs", gateway.pbxs.clone().run(stop.clone()));
        all.add("the dialer", gateway.dialing.clone().run(stop.clone()));
        let runs = RunObserver::new(gateway.desk.clone(), gateway.metrics.clone());
        all.add("the count of runs", runs.run(stop));
        all
    }

    fn add(&mut self, what: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let id = self.parts.spawn(part).id();
        self.names.insert(id, what);
    }

    /// Waits until a part ends by itself, and says which.
    pub(super) async fn died(&mut self) -> &'static str {
        let ended = self.parts.join_next_with_id().await.map(|ended| ended.map(|(id, ())| id));
        let id = ended.map(|ended| ended.unwrap_or_else(|panic: JoinError| panic.id()));
        id.and_then(|id| self.names.get(&id).copied()).unwrap_or("everything beside the server")
    }

    /// Tells them to stop.
    pub(super) fn cancel(&self) {
        self.stop.cancel();
    }

    /// Waits until all have stopped.
    pub(super) async fn ended(&mut self) {
        while self.parts.join_next().await.is_some() {}
    }
}

fn reread(gateway: &Gateway) -> Reread {
    Reread { db: gateway.db.clone(), ingest: gateway.ingest.clone(), clock: gateway.clock.clone() }
}

fn housekeeping(gateway: &Gateway) -> Housekeeping {
    Housekeeping {
        db: gateway.db.clone(),
        clock: gateway.clock.clone(),
        metrics: gateway.metrics.clone(),
        keep_refused_ms: gateway.config.quarantine.keep_ms,
        keep: keep(&gateway.config),
    }
}

fn health(gateway: &Gateway) -> Health {
    let public_url = gateway.config.public_url.clone();
    Health::new(gateway.db.clone(), gateway.clock.clone(), gateway.metrics.clone(), public_url)
}

fn keep(config: &Config) -> Keep {
    let KeepConfig { deliveries_ms, journal_ms, audit_ms } = config.keep;
    Keep { deliveries_ms, journal_ms, audit_ms }
}
