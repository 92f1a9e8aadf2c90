//! Our own dialer: takes runs, and places their calls.
//!
//! Every process looks each second for internal runs that nobody holds and that it can dial. It holds each under a lease
//! with a fencing token and dials it in a task of its own (`held`): a heartbeat that waits for nothing else, jobs taken as
//! the desk hands them out, and requests at once. A job is marked as being placed, durably, before its provider is asked, and
//! a request is sent only while the lease certainly lasts longer than the request can (`fence`). So nobody else places the
//! same job, whenever this process dies or stands still. What the provider answered is a fact about the job and is written
//! whoever has the lease by then (`settling`). An answer that is lost is looked for (`resolving`), and never asked for again.
//!
//! ```text
//! take (placing, slot) ─▶ fence ─▶ place ─▶ accepted: a signal through ingest      not now: queued again, the run waits
//!                          │                refused: the job has failed           lost: looked for after two minutes
//!                          └▶ too late: queued again, nothing was sent
//! ```

mod fence;
mod grip;
mod held;
mod looking;
mod placing;
mod resolving;
mod settling;
mod temper;

use super::{
    Desk, RunError,
    hanging_up::{HangUpParts, HangingUp},
};
use crate::{
    clock::SharedClock,
    ingest::Ingest,
    provider::Exchange,
    store::{Db, StoreError, hangups::HangupCount},
    telemetry::Metrics,
};
use looking::Looking;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// What dialing works with.
#[derive(Debug)]
pub struct DialingParts {
    /// Where runs are changed.
    pub desk: Desk,
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: SharedClock,
    /// The one door.
    pub ingest: Ingest,
    /// Who can place calls.
    pub exchange: Arc<dyn Exchange>,
    /// Where it is counted.
    pub metrics: Metrics,
    /// Randomness for ids and pauses.
    pub rng: StdRng,
    /// Whether this process places calls; if not, that is left to others.
    pub dials: bool,
    /// How often what is done.
    pub pace: DialingPace,
}

/// How often what is done, by a clock that nobody sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialingPace {
    /// Between two looks for runs, and for jobs of a run.
    pub look: Duration,
    /// Between two heartbeats, if leases are not too short for it.
    pub beat: Duration,
    /// Between two rounds of the reaper.
    pub reap: Duration,
    /// Between two looks for answers that were lost.
    pub resolve: Duration,
    /// Between two looks for calls to be hung up.
    pub hang_up: Duration,
    /// The first pause after something failed; it doubles.
    pub again: Duration,
    /// For how long what is under way may go on when the gateway stops.
    pub finish: Duration,
}

impl Default for DialingPace {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(1),
            beat: Duration::from_secs(2),
            reap: Duration::from_secs(5),
            resolve: Duration::from_secs(5),
            hang_up: Duration::from_secs(1),
            again: Duration::from_secs(1),
            finish: Duration::from_secs(15),
        }
    }
}

/// Dials runs. Clones share everything.
#[derive(Clone, Debug)]
pub struct Dialing(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    desk: Desk,
    db: Db,
    clock: SharedClock,
    ingest: Ingest,
    exchange: Arc<dyn Exchange>,
    metrics: Metrics,
    rng: Mutex<StdRng>,
    dials: bool,
    pace: DialingPace,
    /// Names this process among all that share the database.
    holder: String,
    /// Requests to providers, of all runs, until what they came to is durable.
    permits: Arc<Semaphore>,
    bell: watch::Sender<()>,
    hanging_up: HangingUp,
}

impl Dialing {
    /// One that holds no run yet.
    pub fn new(parts: DialingParts) -> Self {
        let DialingParts { desk, db, clock, ingest, exchange, metrics, mut rng, dials, pace } = parts;
        let hanging_up = HangingUp::new(HangUpParts {
            db: db.clone(),
            clock: clock.clone(),
            exchange: exchange.clone(),
            rng: StdRng::from_rng(&mut rng),
            every: pace.hang_up,
        });
        let holder = format!("onhook-{:016x}", rng.random::<u64>());
        let (rng, permits, bell) = (Mutex::new(rng), Arc::new(Semaphore::new(REQUESTS_MAX)), watch::Sender::new(()));
        let shared =
            Shared { desk, db, clock, ingest, exchange, metrics, rng, dials, pace, holder, permits, bell, hanging_up };
        Self(Arc::new(shared))
    }

    /// Dials until cancelled; then finishes what is under way and lets its runs go. Returns earlier only if a part breaks.
    pub async fn run(self, stop: CancellationToken) {
        // What died while nobody was here is buried before anything is dialed.
        let mut reap_fails = false;
        self.reap(&mut reap_fails).await;
        let mut parts = JoinSet::new();
        // Not a child of `stop`: if one part breaks the others stop softly, too.
        let end = CancellationToken::new();
        let _end = end.clone().drop_guard();
        parts.spawn(self.clone().keep_reaping(reap_fails, end.clone()));
        parts.spawn(self.0.hanging_up.clone().run(end.clone()));
        // Also jobs of dialers of the user's own, which no process of ours may be dialing for.
        parts.spawn(self.clone().keep_resolving(end.clone()));
        if self.0.dials {
            parts.spawn(Looking::new(self.0.clone()).run(end.clone()));
        }
        tokio::select! {
            () = stop.cancelled() => {}
            ended = parts.join_next() => {
                if let Some(Err(panic)) = ended {
                    tracing::error!(%panic, "a part of the dialer broke");
                }
            }
        }
        end.cancel();
        while parts.join_next().await.is_some() {}
    }

    /// Looks for runs and jobs at once, not only when the time comes.
    pub fn ring(&self) {
        self.0.bell.send_replace(());
    }

    /// Who holds the runs that this process dials.
    pub fn holder(&self) -> &str {
        &self.0.holder
    }

    /// Looks once for the requests whose answers are lost for long enough.
    pub async fn resolve(&self) -> Result<(), StoreError> {
        resolving::resolve(&self.0).await
    }

    /// Hangs up once what is due.
    pub async fn hang_up(&self) -> Result<usize, RunError> {
        self.0.hanging_up.tick().await
    }

    /// Hangs up what is to be hung up of a run, for as long as `within`, and says what came of it.
    pub async fn hang_up_of_run(&self, tenant: &str, run_id: &str, within: Duration) -> Result<HangupCount, RunError> {
        self.0.hanging_up.of_run(tenant, run_id, within).await
    }

    async fn keep_reaping(self, mut fails: bool, stop: CancellationToken) {
        while self.0.pause(self.0.pace.reap, &stop).await {
            self.reap(&mut fails).await;
        }
    }

    async fn reap(&self, fails: &mut bool) {
        match self.0.desk.reap().await {
            Ok(_) => *fails = false,
            Err(error) => {
                if !std::mem::replace(fails, true) {
                    tracing::warn!("failed to {error} to end runs that nobody dials; it is tried again");
                }
            }
        }
    }

    async fn keep_resolving(self, stop: CancellationToken) {
        let mut fails = false;
        while self.0.pause(self.0.pace.resolve, &stop).await {
            match self.resolve().await {
                Ok(()) => fails = false,
                Err(error) => {
                    if !std::mem::replace(&mut fails, true) {
                        tracing::warn!("failed to {error} to look for lost answers of providers; it is tried again");
                    }
                }
            }
        }
    }
}

impl Shared {
    /// A pause that no two processes make in step. `false`: stopped.
    async fn pause(&self, about: Duration, stop: &CancellationToken) -> bool {
        let pause = about.mul_f64(1.0 - self.jitter() / 5.0);
        stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some()
    }

    fn jitter(&self) -> f64 {
        // A panic while drawing leaves the generator usable.
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}

/// Requests that a process has under way, and answers that it has not made durable yet.
const REQUESTS_MAX: usize = 256;
/// How long the database, or whoever knows where an account is dialed from, may take for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
