//! Processes that dial runs at a provider whose answers the test decides.

use crate::support::{
    database::{Place, TestDatabase},
    exchange::{ACCOUNT, Lines, Script},
    gateway::{START_MS, config},
    patience::until,
};
use onhook::{
    app,
    clock::ManualClock,
    directory::{Directory, Overlays},
    domain::{
        run::{JobState, Patience, RunState, Settings},
        time::{MINUTE, SECOND},
    },
    ingest::{self, Ingest},
    runs::{By, Desk, DeskParts, Dialing, DialingPace, DialingParts, Lease, RunRules},
    seal::Sealer,
    store::{
        Db,
        calls::{self, CallRow},
        jobs::{self, JobFilter, JobRow},
        runs::{self, RunRow},
        slots, tenants,
    },
    telemetry::Metrics,
};
use rand::{SeedableRng, rngs::StdRng};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use super::said::{ended, retrying};

pub const TENANT: &str = "default";
pub const RUN: &str = "run_1";
pub const STALE_MS: i64 = 30 * SECOND;
pub const FAIL_MS: i64 = 15 * MINUTE;
pub const LOOK_FOR_AFTER_MS: i64 = 2 * MINUTE;
pub const BY: By<'static> = By { tenant: TENANT, actor: "key:test" };

/// Fast, so that no test waits. Leases go by the clock that the test turns.
const PACE: DialingPace = DialingPace {
    look: Duration::from_millis(20),
    beat: Duration::from_millis(15),
    reap: Duration::from_millis(20),
    // Tests look for lost answers, and hang up, when they want to.
    resolve: Duration::from_secs(600),
    hang_up: Duration::from_secs(600),
    again: Duration::from_millis(10),
    finish: Duration::from_secs(5),
};

/// A database, a provider and a clock that the processes of a test share.
pub struct Scene {
    pub at: TestDatabase,
    pub clock: ManualClock,
    pub script: Script,
}

/// A process.
pub struct Node {
    pub dialing: Dialing,
    pub desk: Desk,
    pub db: Db,
    pub ingest: Ingest,
    pub lines: Lines,
    clock: ManualClock,
    pub stop: CancellationToken,
    writer: JoinHandle<()>,
    running: Option<JoinHandle<()>>,
}

/// Makes of each async function that takes a [`Scene`] two tests: `name::sqlite` and `name::postgres`.
macro_rules! on_both_runs {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let at = $crate::support::database::TestDatabase::sqlite().await;
                super::$name($crate::runs::scene::Scene::on(at).await).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let at = $crate::support::database::TestDatabase::postgres().await;
                super::$name($crate::runs::scene::Scene::on(at).await).await;
            }
        }
    )+};
}
pub(crate) use on_both_runs;

impl Scene {
    pub async fn on(at: TestDatabase) -> Self {
        let mut tx = at.db.begin().await.unwrap();
        tenants::ensure_default(&mut tx, START_MS).await.unwrap();
        tx.commit().await.unwrap();
        Self { at, clock: ManualClock::new(START_MS), script: Script::default() }
    }

    /// A process that does nothing by itself yet; `seed` makes it another one.
    pub async fn node(&self, seed: u64) -> Node {
        Node::on(&self.at.place, seed, &self.clock, Lines::to(&self.script), PACE).await
    }

    /// A process that dials.
    pub async fn dialing(&self, seed: u64) -> Node {
        let mut node = self.node(seed).await;
        node.start();
        node
    }

    /// A running run of so many jobs, `job_1_1` and so on.
    pub async fn run(&self, jobs: usize) {
        self.add(RUN, jobs, |_| {}).await;
    }

    /// Another one, with what the test wants to be different.
    pub async fn add(&self, id: &str, count: usize, change: impl FnOnce(&mut RunRow)) {
        let number = id.trim_start_matches("run_");
        let numbers: Vec<String> = (1..=count).map(|n| format!("+1415555{number:0>2}{n:02}")).collect();
        self.insert(id, &numbers, change).await;
    }

    async fn insert(&self, id: &str, numbers: &[String], change: impl FnOnce(&mut RunRow)) {
        let now_ms = self.now_ms();
        let mut run = RunRow {
            tenant: TENANT.into(),
            id: id.into(),
            state: RunState::Running.as_str().into(),
            worker: "internal".into(),
            account: ACCOUNT.into(),
            provider: "twilio".into(),
            settings: serde_json::to_string(&Settings { from: Some("+14155550100".into()), ..Settings::default() })
                .unwrap(),
            // The clock stands still, and the pace goes by it.
            place_every_us: 0,
            place_next_us: 0,
            calls_max: 50,
            created_ms: now_ms,
            started_ms: Some(now_ms),
            ..RunRow::default()
        };
        change(&mut run);
        let number = id.trim_start_matches("run_");
        let rows: Vec<JobRow> = (1_i64..)
            .zip(numbers)
            .map(|(n, to)| JobRow {
                tenant: TENANT.into(),
                id: format!("job_{number}_{n}"),
                run_id: id.into(),
                key: format!("{n}"),
                place: n,
                to: to.clone(),
                phone_e164: Some(to.clone()),
                state: JobState::Queued.as_str().into(),
                due_ms: now_ms,
                created_ms: now_ms,
                updated_ms: now_ms,
                ..JobRow::default()
            })
            .collect();
        let mut tx = self.at.db.begin().await.unwrap();
        runs::insert(&mut tx, &run).await.unwrap();
        jobs::insert(&mut tx, &rows).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// More jobs for a run.
    pub async fn more(&self, id: &str, count: usize) {
        let jobs = self.jobs_of(id).await;
        let last = jobs.last().unwrap();
        let rows: Vec<JobRow> = (last.place + 1..)
            .take(count)
            .map(|place| JobRow {
                id: format!("job_{}_{place}", id.trim_start_matches("run_")),
                key: place.to_string(),
                place,
                state: JobState::Queued.as_str().into(),
                attempt: 0,
                token: None,
                placing_ms: None,
                provider_id: None,
                call_id: None,
                ..last.clone()
            })
            .collect();
        let mut tx = self.at.db.begin().await.unwrap();
        jobs::insert(&mut tx, &rows).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Another run, of one job, to this number.
    pub async fn add_to(&self, id: &str, to: &str) {
        self.insert(id, &[to.to_owned()], |_| {}).await;
    }

    /// Waits until so many jobs of a run are known to have lost their answer.
    pub async fn until_lost(&self, id: &str, count: usize) {
        until("answers to be lost", async || {
            let lost = self.jobs_of(id).await.iter().filter(|job| job.lost_ms.is_some()).count();
            if lost == count { Ok(()) } else { Err(format!("{lost}: {:?}", self.states(id).await)) }
        })
        .await;
    }

    pub fn now_ms(&self) -> i64 {
        use onhook::clock::Clock;
        self.clock.now_ms()
    }

    pub async fn row(&self, id: &str) -> RunRow {
        runs::find(&self.at.db, TENANT, id).await.unwrap().unwrap()
    }

    pub async fn jobs_of(&self, id: &str) -> Vec<JobRow> {
        jobs::list(&self.at.db, TENANT, id, &JobFilter::default(), 0, 1_000).await.unwrap()
    }

    pub async fn job(&self, id: &str) -> JobRow {
        jobs::find(&self.at.db, TENANT, id).await.unwrap().unwrap()
    }

    /// The states of the jobs of a run, in the order of the list.
    pub async fn states(&self, id: &str) -> Vec<String> {
        self.jobs_of(id).await.into_iter().map(|job| job.state).collect()
    }

    /// Waits until all jobs of the run of the test are so.
    pub async fn until_states(&self, id: &str, states: &[&str]) {
        until(&format!("jobs of {id} to be {states:?}"), async || {
            let now = self.states(id).await;
            if now == states { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
    }

    /// Waits until a job is so.
    pub async fn until_job(&self, id: &str, state: &str) -> JobRow {
        until(&format!("{id} to be {state}"), async || {
            let job = self.job(id).await;
            if job.state == state { Ok(job) } else { Err(format!("{job:?}")) }
        })
        .await
    }

    /// Waits until a run is so.
    pub async fn until_run(&self, id: &str, state: &str) -> RunRow {
        until(&format!("{id} to be {state}"), async || {
            let run = self.row(id).await;
            if run.state == state { Ok(run) } else { Err(format!("{run:?}; jobs {:?}", self.states(id).await)) }
        })
        .await
    }

    /// Waits until so many requests reached the provider.
    pub async fn until_requests(&self, count: usize) {
        until(&format!("{count} requests"), async || {
            let now = self.script.requests().len();
            if now >= count { Ok(()) } else { Err(format!("{now}")) }
        })
        .await;
    }

    /// Waits until the run has been held under this token.
    pub async fn until_token(&self, id: &str, token: i64) -> RunRow {
        until(&format!("{id} under token {token}"), async || {
            let run = self.row(id).await;
            if run.token >= token { Ok(run) } else { Err(format!("{run:?}")) }
        })
        .await
    }

    /// Waits until whoever holds the run has beaten, and looked, a few times from here on.
    pub async fn rounds(&self) {
        tokio::time::sleep(PACE.look * 8).await;
    }

    pub async fn call(&self, provider_id: &str) -> Option<CallRow> {
        calls::find(&self.at.db, TENANT, provider_id, None).await.unwrap().into_iter().next()
    }

    /// What must be so of a run in the end, whatever happened: each slot that was taken is released, and nobody was
    /// called twice for one attempt.
    pub async fn is_in_order(&self, id: &str) {
        let ledger = slots::ledger(&self.at.db, TENANT, id).await.unwrap();
        assert_eq!(ledger.taken, ledger.released, "{ledger:?}; jobs {:?}", self.states(id).await);
        self.script.never_twice();
    }
}

impl Node {
    async fn on(place: &Place, seed: u64, clock: &ManualClock, lines: Lines, pace: DialingPace) -> Self {
        let db = place.open().await.unwrap();
        let metrics = Metrics::new();
        let rng = || StdRng::seed_from_u64(seed);
        let rules = app::rules(&config("sqlite://nowhere.db", &[]));
        let parts =
            ingest::Parts { db: db.clone(), clock: clock.shared(), rng: rng(), rules, metrics: metrics.clone() };
        let (ingest, writer) = Ingest::new(parts);
        let writer = tokio::spawn(writer.run());
        let sealer = Sealer::from_base64(&format!("{}=", "A".repeat(43)).into()).unwrap();
        let overlays = Overlays { accounts: Vec::new(), key: None };
        let directory = Arc::new(Directory::new(db.clone(), clock.shared(), sealer, overlays));
        let desk = Desk::new(DeskParts {
            db: db.clone(),
            clock: clock.shared(),
            rng: rng(),
            directory,
            rules: RULES,
            metrics: metrics.clone(),
        });
        let dialing = dialing(desk.clone(), db.clone(), ingest.clone(), clock, lines.clone(), seed, pace);
        let (clock, stop) = (clock.clone(), CancellationToken::new());
        Self { dialing, desk, db, ingest, lines, clock, stop, writer, running: None }
    }

    /// Lets it dial by itself.
    pub fn start(&mut self) {
        self.running = Some(tokio::spawn(self.dialing.clone().run(self.stop.clone())));
    }

    /// Stops softly and waits for the end.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.running.take().expect("it was started").await.unwrap();
    }

    /// Its heartbeats are not due within a test.
    pub fn beat_never(&mut self) {
        let (clock, lines, pace) = (self.clock.clone(), self.lines.clone(), DialingPace { beat: HOUR_LONG, ..PACE });
        self.dialing = dialing(self.desk.clone(), self.db.clone(), self.ingest.clone(), &clock, lines, 9, pace);
    }

    /// Takes the run of the test over, as a process that dials nothing; again and again, until the other one has lost it.
    pub async fn take_over(&self, scene: &Scene) -> Lease {
        until("the run can be had", async || {
            let held = self.desk.hold(TENANT, RUN, "another").await.unwrap();
            if held.is_none() {
                scene.clock.advance(STALE_MS);
            }
            held.ok_or_else(|| "it is held".to_owned())
        })
        .await
    }

    /// As if it were killed: nothing of it goes on from here, and nothing is let go.
    pub async fn kill(mut self) {
        let running = self.running.take().expect("it was started");
        running.abort();
        self.writer.abort();
        let _ = running.await;
        self.db.close().await;
    }
}

fn dialing(
    desk: Desk,
    db: Db,
    ingest: Ingest,
    clock: &ManualClock,
    lines: Lines,
    seed: u64,
    pace: DialingPace,
) -> Dialing {
    let (clock, exchange) = (clock.shared(), Arc::new(lines));
    let rng = StdRng::seed_from_u64(seed + 1_000);
    let (metrics, dials) = (Metrics::new(), true);
    Dialing::new(DialingParts { desk, db, clock, ingest, exchange, metrics, rng, dials, pace })
}

const HOUR_LONG: Duration = Duration::from_secs(3_600);

const RULES: RunRules = RunRules {
    patience: Patience { stale_ms: STALE_MS, fail_ms: FAIL_MS },
    account_calls_max: 100,
    tenant_calls_max: 200,
    look_for_after_ms: LOOK_FOR_AFTER_MS,
    region: None,
};
