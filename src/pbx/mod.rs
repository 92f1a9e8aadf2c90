//! Holds PBXs: listens to each by one process, and makes signals of what it tells.
//!
//! Every process looks now and then at the accounts that are PBXs. One that nobody listens to is claimed (`store::pbx`): a
//! lease that is renewed every few seconds. Its task (`held`) reads the line, feeds the correlator in the order of the
//! stream, and writes through the one door (`writing`). It also asks
//! for calls, and for their end (`asking`, `dialer`). When a process dies another takes its PBXs over once the leases end; one that
//! stops lets them go at once. The live calls are read back from the database, so that what ended meanwhile is known from
//! the first channel list. A PBX that only pushes what happens over HTTP is held the same way by the process that takes
//! its pushes (`push`). The sweeper asks here what became of a call (`truth`).

mod asking;
mod buffer;
mod dialer;
mod face;
mod heard;
mod hearing;
mod held;
mod keeping;
mod line;
mod push;
mod stored;
mod truth;
mod wanted;
mod writing;

pub use line::{Ami, Asking, Connect, Far, Line, LineFigures};
pub use push::{PUSHED_AT_ONCE_MAX, PushError, Pushed};

use crate::{
    ami::{PROVIDER, client::Target},
    clock::SharedClock,
    directory::{Directory, Unavailable},
    domain::{state::Outcome, words},
    ingest::Ingest,
    store::{
        Db, StoreError,
        pbx::{self, PbxRow},
    },
    telemetry::Metrics,
};
use buffer::WAITING_MAX;
use face::Face;
use heard::Key;
use held::{Doors, Held};
use push::Takers;
use rand::{RngExt, rngs::StdRng};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use wanted::{Account, list_leases, target, wanted};

words! {
    /// How it goes with a PBX.
    pub enum State {
        /// Nobody has answered yet.
        Connecting = "connecting",
        /// Logged in; the channel list is on its way.
        Syncing = "syncing",
        /// It is heard, and all its live calls are known.
        Connected = "connected",
        /// It does not take our user and secret.
        Refused = "refused",
        /// There is no connection.
        Down = "down",
        /// It pushes what happens over HTTP.
        Pushed = "pushed",
    }
}

/// What holding PBXs works with.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: SharedClock,
    /// Randomness for ids.
    pub rng: StdRng,
    /// The one door.
    pub ingest: Ingest,
    /// Which PBXs there are, and their credentials.
    pub directory: Arc<Directory>,
    /// Where it is counted how they do.
    pub metrics: Metrics,
    /// Opens the lines to them.
    pub connect: Box<dyn Connect>,
    /// By which rules.
    pub rules: PbxRules,
    /// How often what is done.
    pub pace: Pace,
}

/// The settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbxRules {
    /// What an answered call is that is found gone.
    pub if_answered: Outcome,
    /// The country of numbers without a country code, where nothing else is set for a PBX.
    pub region: Option<String>,
    /// The PBX of the configuration, and the certificates that its TLS is checked with, if they are set there.
    pub configured_ca: Option<(String, String)>,
    /// How long placing a call may take: what is not sent by then is not sent at all.
    pub place_within: Duration,
}

/// How often what is done, by a clock that nobody sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two looks at which PBXs there are.
    pub look: Duration,
    /// How long a lease lasts.
    pub lease: Duration,
    /// How often it is renewed.
    pub renew: Duration,
    /// How often it is looked what is due.
    pub beat: Duration,
    /// Until what failed is tried again.
    pub again: Duration,
    /// How much may wait to be written of one PBX.
    pub waiting_max: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(3),
            lease: Duration::from_secs(15),
            renew: Duration::from_secs(5),
            beat: Duration::from_millis(200),
            again: Duration::from_millis(500),
            waiting_max: WAITING_MAX,
        }
    }
}

impl Pace {
    /// For how long a holder trusts its lease: less than the database does.
    fn trusted(&self) -> Duration {
        self.lease / 5 * 4
    }

    fn lease_ms(&self) -> i64 {
        i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Holds PBXs. Clones share everything.
#[derive(Clone, Debug)]
pub struct Pbxs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    db: Db,
    clock: SharedClock,
    rng: Mutex<StdRng>,
    ingest: Ingest,
    directory: Arc<Directory>,
    metrics: Metrics,
    connect: Box<dyn Connect>,
    rules: PbxRules,
    pace: Pace,
    /// Names this process among all that share the database.
    holder: String,
    tasks: tokio::sync::Mutex<HashMap<Key, Task>>,
    faces: Mutex<HashMap<Key, Arc<Face>>>,
    takers: Takers,
}

/// A PBX that is held, or was until a moment ago.
#[derive(Debug)]
struct Task {
    /// Of the account and its settings, when it was taken.
    fingerprint: [u8; 32],
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Pbxs {
    /// One that holds none yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { db, clock, mut rng, ingest, directory, metrics, connect, rules, pace } = parts;
        let holder = format!("{:032x}", rng.random::<u128>());
        let (rng, tasks, faces, takers) = (Mutex::new(rng), Default::default(), Mutex::default(), Takers::default());
        Self(Arc::new(Shared {
            db,
            clock,
            rng,
            ingest,
            directory,
            metrics,
            connect,
            rules,
            pace,
            holder,
            tasks,
            faces,
            takers,
        }))
    }

    /// Holds PBXs until cancelled; then lets them go.
    pub async fn run(self, stop: CancellationToken) {
        let mut look_at = Box::pin(tokio::time::sleep(Duration::ZERO));
        // Beside the looks: what takers write may take as long as the database does.
        let takers = tokio::spawn(self.clone().tick_takers(stop.clone()));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = &mut look_at => {
                    look_at = Box::pin(tokio::time::sleep(self.0.pace.look));
                    if let Err(error) = self.look().await {
                        let seconds = self.0.pace.look.as_secs_f64();
                        tracing::warn!("failed to {error} to see which PBXs there are; it is looked again in {seconds} s");
                    }
                }
            }
        }
        if takers.await.is_err() {
            tracing::error!("what keeps PBXs that push broke; their leases end by themselves");
        }
        self.stop().await;
    }

    async fn tick_takers(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(self.0.pace.beat)).await.is_some() {
            Takers::tick(&self.0).await;
        }
    }

    /// One round of all that is done now and then.
    pub async fn tick(&self) -> Result<(), StoreError> {
        self.look().await?;
        Takers::tick(&self.0).await;
        Ok(())
    }

    /// Looks which PBXs there are, lets go those that are none or are set otherwise now, and takes those that nobody has.
    async fn look(&self) -> Result<(), StoreError> {
        let wanted = wanted(&self.0).await?;
        let mut tasks = self.0.tasks.lock().await;
        for (key, task) in tasks.iter() {
            let stays = wanted.get(key).is_some_and(|(fingerprint, _)| *fingerprint == task.fingerprint);
            if !stays {
                task.stop.cancel();
            }
        }
        self.forget_ended(&mut tasks).await;
        let leases = list_leases(&self.0.db).await?;
        for (key, (fingerprint, account)) in wanted {
            let is_free = leases.get(&key).is_none_or(|pbx| pbx.left_ms <= 0 || pbx.row.holder == self.0.holder);
            if tasks.contains_key(&key) || !is_free || tasks.len() >= HELD_MAX {
                continue;
            }
            if let Some(task) = self.claim(&key, fingerprint, account).await? {
                tasks.insert(key, task);
            }
        }
        drop(tasks);
        self.show();
        Ok(())
    }

    /// Lets all go, so that other processes take them at once.
    async fn stop(&self) {
        let mut tasks = self.0.tasks.lock().await;
        tasks.values().for_each(|task| task.stop.cancel());
        for (key, task) in tasks.drain() {
            if task.running.await.is_err() {
                tracing::error!(account = key.account, "letting a PBX go broke; its lease ends by itself");
            }
        }
        self.faces().clear();
        Takers::stop(&self.0).await;
    }

    async fn claim(&self, key: &Key, fingerprint: [u8; 32], account: Account) -> Result<Option<Task>, StoreError> {
        // Counted from before the question.
        let fence = tokio::time::sleep(self.0.pace.trusted());
        let Some(row) = claim(&self.0, key, State::Connecting).await? else { return Ok(None) };
        let Target { host, port, .. } = &account.target;
        tracing::info!(tenant = key.tenant, account = key.account, host, port, "this process listens to the PBX");
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let (requests, requested) = mpsc::channel(QUESTIONS_MAX);
        let face = Arc::new(Face::new(row.clone(), questions, requests));
        self.faces().insert(key.clone(), face.clone());
        let stop = CancellationToken::new();
        let held = Held::new(self.0.clone(), key.clone(), account, row, face, fence);
        let doors = Doors { questions: asked, requests: requested };
        let running = tokio::spawn(held.run(doors, stop.clone()));
        Ok(Some(Task { fingerprint, stop, running }))
    }

    /// Forgets the tasks that have ended, so that their PBXs can be taken again.
    async fn forget_ended(&self, tasks: &mut HashMap<Key, Task>) {
        let ended: Vec<Key> =
            tasks.iter().filter(|(_, task)| task.running.is_finished()).map(|(k, _)| k.clone()).collect();
        for key in ended {
            self.faces().remove(&key);
            let Some(task) = tasks.remove(&key) else { continue };
            if let Err(panic) = task.running.await {
                let Key { tenant, account } = &key;
                tracing::error!(tenant, account, %panic, "listening to a PBX broke; it is taken up again");
            }
        }
    }

    /// Shows how they do.
    fn show(&self) {
        let rows: Vec<PbxRow> = self.faces().values().map(|face| face.row()).collect();
        let count = |state: State| rows.iter().filter(|row| row.state == state.as_str()).count();
        let figures = self.0.metrics.pbx();
        for &state in State::ALL {
            let pushed = if state == State::Pushed { self.0.takers.count() } else { 0 };
            figures.show_state(state.as_str(), count(state).saturating_add(pushed));
        }
        let lag_ms = rows.iter().filter_map(|row| row.lag_ms).max();
        let channels = rows.iter().filter(|row| row.state == State::Connected.as_str()).filter_map(|row| row.channels);
        figures.show(count(State::Connected), lag_ms.unwrap_or(0), channels.sum());
    }

    /// Whether somebody can be connected to it, where somebody should be: `None` for one that only pushes.
    async fn is_to_be_listened_to(&self, key: &Key) -> Result<Option<bool>, Unavailable> {
        let account = self.0.directory.account(&key.account).await?;
        let account = account.filter(|account| account.tenant == key.tenant && account.provider == PROVIDER);
        let account = account.filter(|account| account.api_base.is_some());
        Ok(account.map(|account| target(&account, None).is_some()))
    }

    fn face(&self, key: &Key) -> Option<Arc<Face>> {
        self.faces().get(key).cloned()
    }

    fn faces(&self) -> MutexGuard<'_, HashMap<Key, Arc<Face>>> {
        // What is behind it is whole at any time.
        self.0.faces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn db(&self) -> &Db {
        &self.0.db
    }
}

/// Takes a PBX, if nobody else has it.
async fn claim(shared: &Shared, key: &Key, state: State) -> Result<Option<PbxRow>, StoreError> {
    let claim = pbx::Claim {
        tenant: &key.tenant,
        account: &key.account,
        holder: &shared.holder,
        lease_ms: shared.pace.lease_ms(),
        state: state.as_str(),
        now_ms: shared.clock.now_ms(),
    };
    let mut tx = shared.db.begin().await?;
    let claimed = pbx::claim(&mut tx, claim).await?;
    tx.commit().await?;
    Ok(claimed)
}

/// PBXs that one process listens to.
const HELD_MAX: usize = 500;
/// Questions that wait to be taken up by a task.
const QUESTIONS_MAX: usize = 64;
