//! A run with one job that is being placed, and what its provider says.

use crate::{
    ingest::{node, signal, submission},
    support::{
        database::TestDatabase,
        gateway::{ACCOUNT, START_MS},
    },
};
use onhook::{
    clock::ManualClock,
    domain::{
        run::{Retry, Settings},
        signal::{Claim, Field, Signal, Told, Weak},
        state::{HangupCause, Outcome},
    },
    ingest::{Ingest, Submission},
    store::{
        Db,
        calls::{self, CallRow},
        hangups::{self, HangupCount},
        jobs::{self, JobRow},
        runs::{self, RunRow},
        slots::{self, SlotRow},
    },
};
use std::collections::BTreeSet;

pub const RUN: &str = "run_01";
pub const JOB: &str = "job_01";

/// What the call of the job says.
pub fn told(call: &str, claim: Claim, attempt: &str) -> Signal {
    let mut signal = Signal { link: None, ..signal(call, claim, Some(START_MS), None) };
    let direction = (Field::Direction, "outbound-api".to_owned());
    signal.details.extend([(Field::JobId, JOB.to_owned()), (Field::Attempt, attempt.to_owned()), direction]);
    signal
}

pub fn ended(outcome: Outcome) -> Claim {
    Claim::Ended(Told { outcome, seconds: None, cause: HangupCause::Normal })
}

pub fn given_up(decided_ms: i64) -> Claim {
    let cause = HangupCause::TimeoutCleanup;
    Claim::GivenUp(Weak { decided_ms, floor_ms: None, cause, if_answered: Outcome::Completed, stated_end_ms: None })
}

/// A running run with one job that is being placed, its slot, and a door of its own.
pub struct Stage {
    db: Db,
    pub ingest: Ingest,
    pub clock: ManualClock,
    turn: usize,
    pub run: String,
    job: String,
}

impl Stage {
    pub async fn set(at: &TestDatabase, job: JobRow) -> Self {
        Self::make(at, (RUN.into(), JOB.into()), 1, job).await
    }

    /// Another run beside others.
    pub async fn set_as(at: &TestDatabase, n: usize, job: JobRow) -> Self {
        Self::make(at, (format!("run_1{n}"), format!("job_1{n}")), 10 + n as u64, job).await
    }

    async fn make(at: &TestDatabase, (run, job): (String, String), seed: u64, with: JobRow) -> Self {
        let (ingest, clock) = node(&at.db, seed);
        let on = BTreeSet::from([Outcome::Busy, Outcome::NoAnswer]);
        let settings = Settings { retry: Retry { attempts_max: 2, on, after_seconds: 60 }, ..Settings::default() };
        let run_row = RunRow {
            tenant: "default".into(),
            id: run.clone(),
            state: "running".into(),
            account: ACCOUNT.into(),
            provider: "twilio".into(),
            settings: serde_json::to_string(&settings).unwrap(),
            ..RunRow::default()
        };
        let row = JobRow {
            tenant: "default".into(),
            id: job.clone(),
            run_id: run.clone(),
            to: if with.to.is_empty() { "+14155550100".into() } else { with.to.clone() },
            state: "placing".into(),
            attempt: with.attempt.max(1),
            token: Some(1),
            placing_ms: Some(START_MS),
            ..with
        };
        let stage = Self { db: at.db.clone(), ingest, clock, turn: 0, run, job };
        let mut tx = at.db.begin().await.unwrap();
        runs::insert(&mut tx, &run_row).await.unwrap();
        jobs::insert(&mut tx, std::slice::from_ref(&row)).await.unwrap();
        slots::take(&mut tx, &[stage.slot(row.attempt)]).await.unwrap();
        tx.commit().await.unwrap();
        stage
    }

    fn slot(&self, attempt: i64) -> SlotRow {
        SlotRow {
            tenant: "default".into(),
            job_id: self.job.clone(),
            attempt,
            run_id: self.run.clone(),
            account: ACCOUNT.into(),
            taken_ms: START_MS,
            released_ms: None,
        }
    }

    pub fn now_ms(&self) -> i64 {
        onhook::clock::Clock::now_ms(&self.clock)
    }

    /// What a call of this stage's job says.
    pub fn told(&self, call: &str, claim: Claim) -> Signal {
        let mut signal = told(call, claim, "1");
        signal.details.insert(Field::JobId, self.job.clone());
        signal
    }

    pub fn next(&mut self, tenant: &str, signal: Signal) -> Submission {
        self.turn += 1;
        let mut next = Submission { tenant: tenant.into(), ..submission(signal, &self.turn.to_string()) };
        if let Some(delivery) = &mut next.delivery {
            tenant.clone_into(&mut delivery.tenant);
        }
        next
    }

    pub async fn say(&mut self, signal: Signal) {
        self.say_as("default", signal).await;
    }

    pub async fn say_as(&mut self, tenant: &str, signal: Signal) {
        let next = self.next(tenant, signal);
        self.ingest.submit(next).await.unwrap();
    }

    pub async fn job(&self) -> JobRow {
        jobs::find(&self.db, "default", &self.job).await.unwrap().unwrap()
    }

    /// What somebody else does to the job.
    pub async fn change(&self, how: impl FnOnce(&mut JobRow)) {
        let mut job = self.job().await;
        how(&mut job);
        let mut tx = self.db.begin().await.unwrap();
        jobs::update(&mut tx, &[job]).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn run_is(&self, state: &str) {
        let row = runs::find(&self.db, "default", &self.run).await.unwrap().unwrap();
        let mut tx = self.db.begin().await.unwrap();
        runs::update(&mut tx, &RunRow { state: state.into(), ..row }).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn end_placing(&self, state: &str) {
        let mut tx = self.db.begin().await.unwrap();
        let ended = jobs::end_placing(&mut tx, "default", &self.run, state, "why", START_MS).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(ended, 1);
    }

    /// The job is handed out for its next attempt, or placed.
    pub async fn hand_out(&self, state: &str) {
        let attempt = self.job().await.attempt + 1;
        let mut tx = self.db.begin().await.unwrap();
        slots::take(&mut tx, &[self.slot(attempt)]).await.unwrap();
        tx.commit().await.unwrap();
        self.change(|job| {
            job.token = Some(2);
            if state == "placing" {
                (job.state, job.attempt, job.provider_id) = (state.into(), attempt, None);
            }
        })
        .await;
    }

    pub async fn call(&self, id: &str) -> CallRow {
        calls::find(&self.db, "default", id, None).await.unwrap().remove(0)
    }

    pub async fn hangups(&self) -> HangupCount {
        hangups::count_of_run(&self.db, "default", &self.run).await.unwrap()
    }

    /// Slots taken and released.
    pub async fn ledger(&self) -> (i64, i64) {
        let ledger = slots::ledger(&self.db, "default", &self.run).await.unwrap();
        (ledger.taken, ledger.released)
    }

    /// Every slot that was taken was released, by the job's own path: a sweep over all would find nothing to release.
    pub async fn is_even(&self) {
        let (taken, released) = self.ledger().await;
        assert_eq!(taken, released);
    }

    /// State, outcome and resolution.
    pub async fn stands(&self) -> (String, Option<String>, Option<String>) {
        let job = self.job().await;
        (job.state, job.outcome, job.resolution)
    }
}
