//! A desk with accounts of two tenants, a clock turned by hand, and what the tests ask of it.

use crate::support::database::TestDatabase;
use onhook::{
    clock::ManualClock,
    directory::{Account, Directory, Overlays},
    domain::run::Patience,
    runs::{
        By, ClaimText, Claimed, Created, Desk, DeskParts, JobText, Jobs, Lease, ReportText, Reported, RunError,
        RunRules, RunText, Shown,
    },
    seal::Sealer,
    store::{
        Db,
        jobs::{self, JobFilter, JobRow},
        slots::{self, Ledger},
    },
};
use rand::{SeedableRng, rngs::StdRng};
use std::sync::Arc;

pub const START_MS: i64 = 1_800_000_000_000;
pub const STALE_MS: i64 = 30_000;
pub const FAIL_MS: i64 = 900_000;
pub const TWILIO: &str = "AC00000000000000000000000000000001";
pub const SECOND_TWILIO: &str = "AC00000000000000000000000000000002";
pub const PBX: &str = "pbx";
pub const US: By<'static> = By { tenant: "acme", actor: "key:1" };

pub struct Scene {
    pub desk: Desk,
    pub clock: ManualClock,
    pub at: TestDatabase,
}

fn account(id: &str, tenant: &str, provider: &str) -> Account {
    Account {
        id: id.into(),
        tenant: tenant.into(),
        provider: provider.into(),
        parent: None,
        has_secrets: false,
        tokens: Vec::new(),
        api_keys: Vec::new(),
        api_base: None,
        verify: None,
        verify_until_ms: None,
    }
}

/// Another node: the same database, the same time.
pub fn desk_on(db: &Db, clock: &ManualClock, seed: u64) -> Desk {
    let accounts = vec![
        account(TWILIO, "acme", "twilio"),
        account(SECOND_TWILIO, "acme", "twilio"),
        account(PBX, "acme", "asterisk"),
        account("AC00000000000000000000000000000009", "other", "twilio"),
    ];
    let sealer = Sealer::from_base64(&format!("{}=", "A".repeat(43)).into()).unwrap();
    let directory = Directory::new(db.clone(), clock.shared(), sealer, Overlays { accounts, key: None });
    let rules = RunRules {
        patience: Patience { stale_ms: STALE_MS, fail_ms: FAIL_MS },
        account_calls_max: 6,
        tenant_calls_max: 8,
        look_for_after_ms: 120_000,
        region: Some("US".into()),
    };
    let (db, clock, rng) = (db.clone(), clock.shared(), StdRng::seed_from_u64(seed));
    let metrics = onhook::telemetry::Metrics::new();
    Desk::new(DeskParts { db, clock, rng, directory: Arc::new(directory), rules, metrics })
}

/// A run that our own dialer dials from Twilio.
pub fn twilio() -> RunText {
    RunText {
        account: Some(TWILIO.into()),
        from: Some("+14155550100".into()),
        twiml: Some("<Response/>".into()),
        calls_per_second: Some(100.0),
        calls_at_once: Some(5),
        ..RunText::default()
    }
}

/// The same, dialed by the user's own.
pub fn external() -> RunText {
    RunText { worker: Some("external".into()), ..twilio() }
}

/// So many people to call.
pub fn people(count: u32) -> Vec<JobText> {
    (0..count).map(|n| JobText { to: Some(format!("+1415556{n:04}")), ..JobText::default() }).collect()
}

/// The sid of a call.
pub fn sid(n: u32) -> String {
    format!("CA{n:032}")
}

impl Scene {
    pub fn on(at: TestDatabase) -> Self {
        let clock = ManualClock::new(START_MS);
        Self { desk: desk_on(&at.db, &clock, 1), clock, at }
    }

    pub async fn create(&self, text: &RunText, jobs: &[JobText]) -> Created {
        self.desk.create(&US, text, Jobs::Texts(jobs)).await.unwrap()
    }

    /// A run that was started, with so many jobs; its id.
    pub async fn started(&self, text: &RunText, jobs: u32) -> String {
        let id = self.create(text, &people(jobs)).await.run.row.id;
        assert_eq!(self.desk.start(&US, &id).await.unwrap().row.state, "running");
        id
    }

    pub async fn show(&self, id: &str) -> Shown {
        self.desk.show("acme", id).await.unwrap()
    }

    pub async fn claim(&self, id: &str, worker: &str, max: i64) -> Result<Claimed, RunError> {
        self.claim_under(id, worker, max, None).await
    }

    pub async fn claim_under(&self, id: &str, worker: &str, max: i64, token: Option<i64>) -> Result<Claimed, RunError> {
        let text = ClaimText { worker: Some(worker.into()), max: Some(max), token };
        self.desk.claim("acme", id, &text).await
    }

    pub async fn hold(&self, id: &str) -> Lease {
        self.desk.hold("acme", id, "node:a").await.unwrap().unwrap()
    }

    pub async fn report(&self, job: &JobRow, token: i64, state: &str, call: Option<u32>) -> Result<Reported, RunError> {
        let text = ReportText {
            token: Some(token),
            state: Some(state.into()),
            provider_id: call.map(sid),
            error: (state == "failed").then(|| "the trunk is down".into()),
        };
        self.desk.report("acme", &job.run_id, &job.id, &text).await
    }

    /// All jobs of a run, in the order of the list.
    pub async fn jobs(&self, id: &str) -> Vec<JobRow> {
        jobs::list(&self.at.db, "acme", id, &JobFilter::default(), 0, 1_000).await.unwrap()
    }

    /// The states of all jobs, with what was handed out and is not being placed marked.
    pub async fn states(&self, id: &str) -> Vec<String> {
        let mark = |job: JobRow| match (job.state.as_str(), job.token) {
            ("queued", Some(_)) => "reserved".to_owned(),
            _ => job.state,
        };
        self.jobs(id).await.into_iter().map(mark).collect()
    }

    pub async fn ledger(&self, id: &str) -> Ledger {
        slots::ledger(&self.at.db, "acme", id).await.unwrap()
    }

    /// No slot is held, and so many were.
    pub async fn settled(&self, id: &str, taken: i64) {
        assert_eq!(self.ledger(id).await, Ledger { taken, released: taken });
    }

    /// What the call of a job does to it in `ingest`: here by hand.
    pub async fn follow(&self, id: &str, state: &str, outcome: Option<&str>) {
        let mut tx = self.at.db.begin().await.unwrap();
        let key = jobs::JobKey { tenant: "acme".into(), id: id.into() };
        let mut job = jobs::load_locked(&mut tx, &[key]).await.unwrap().pop().unwrap();
        job.state = state.into();
        job.outcome = outcome.map(str::to_owned);
        job.provider_id = job.provider_id.or(Some(sid(900)));
        jobs::update(&mut tx, std::slice::from_ref(&job)).await.unwrap();
        if outcome.is_some() {
            let slot = slots::SlotRow {
                tenant: "acme".into(),
                job_id: job.id.clone(),
                attempt: job.attempt,
                released_ms: Some(self.now_ms()),
                ..slots::SlotRow::default()
            };
            assert_eq!(slots::release(&mut tx, &[slot]).await.unwrap(), 1);
        }
        tx.commit().await.unwrap();
    }

    pub fn now_ms(&self) -> i64 {
        onhook::clock::Clock::now_ms(&self.clock)
    }
}

/// The word of a refusal, as a door tells it.
pub fn kind(error: &RunError) -> &'static str {
    match error {
        RunError::Store(_) => "store",
        RunError::NotFound { .. } => "not-found",
        RunError::Fields(_) => "fields",
        RunError::TooManyJobs => "too-many-jobs",
        RunError::LeaseHeld { .. } => "lease-held",
        RunError::LeaseLost => "lease-lost",
        RunError::State(_) => "run-state",
        RunError::Away => "away",
    }
}

/// The word of a refusal that must be one.
pub fn refused<T: std::fmt::Debug>(result: Result<T, RunError>) -> &'static str {
    kind(&result.unwrap_err())
}
