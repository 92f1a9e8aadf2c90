//! What becomes of the jobs of a lead that is deleted or forgotten, and of runs that ended long ago.

use super::stage::{JOB, RUN, Stage, ended, told};
use crate::support::{
    database::{TestDatabase, on_both},
    dump::{dump, with},
    gateway::{Gateway, START_MS},
};
use onhook::{
    clock::ManualClock,
    domain::{
        signal::Claim,
        state::{Live, Outcome},
        time::DAY,
    },
    housekeeping::{Keep, Retention, Walk},
    leads::{self, Forget},
    store::{
        hangups::{self, HangupRow},
        jobs::{self, JobRow},
        runs::{self, RunRow},
        slots::{self, Ledger},
    },
    telemetry::Metrics,
};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

on_both! {
    the_jobs_of_a_lead_that_is_deleted_are_cancelled,
    the_jobs_of_a_person_that_is_forgotten_show_nothing_of_it,
    runs_that_ended_long_ago_go,
}

const DIGITS: &str = "14155550142";

fn job(n: u32, state: &str) -> JobRow {
    JobRow {
        tenant: "default".into(),
        id: format!("job_2{n}"),
        run_id: RUN.into(),
        key: format!("k{n}"),
        place: i64::from(n),
        to: "+14155550199".into(),
        state: state.into(),
        ..JobRow::default()
    }
}

async fn add(at: &TestDatabase, rows: &[JobRow]) {
    let mut tx = at.db.begin().await.unwrap();
    jobs::insert(&mut tx, rows).await.unwrap();
    tx.commit().await.unwrap();
}

async fn state(at: &TestDatabase, n: u32) -> String {
    jobs::find(&at.db, "default", &format!("job_2{n}")).await.unwrap().unwrap().state
}

async fn the_jobs_of_a_lead_that_is_deleted_are_cancelled(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let lead = json!({"id": "lead-42", "phone": "+14155550142"});
    assert_eq!(gateway.ask(Method::POST, "/v1/leads", Some(lead)).await.0, 201);
    let of = |row: JobRow| JobRow { lead_id: Some("lead-42".into()), ..row };
    let unknown = JobRow { lead_id: Some("lead-9".into()), ..job(3, "queued") };
    add(&at, &[of(job(1, "queued")), of(job(2, "live")), unknown, job(4, "queued")]).await;
    assert_eq!(gateway.ask(Method::DELETE, "/v1/leads/lead-42", None).await.0, 204);
    let states = [state(&at, 1).await, state(&at, 2).await, state(&at, 3).await, state(&at, 4).await];
    assert_eq!(states, ["cancelled", "live", "queued", "queued"]);
    assert_eq!(gateway.ask(Method::DELETE, "/v1/leads/lead-9", None).await.0, 404);
    assert_eq!(state(&at, 3).await, "queued", "nobody deleted that one: it was never there");
}

async fn the_jobs_of_a_person_that_is_forgotten_show_nothing_of_it(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let lead = json!({"id": "lead-42", "name": "Ann", "phone": "+1 (415) 555-0142"});
    assert_eq!(gateway.ask(Method::POST, "/v1/leads", Some(lead)).await.0, 201);
    let to = format!("+{DIGITS}");
    let ann = JobRow {
        to: to.clone(),
        phone_e164: Some(to.clone()),
        lead_id: Some("lead-42".into()),
        user_id: Some("ann".into()),
        ..JobRow::default()
    };
    let mut stage = Stage::set(&at, ann).await;
    let by_number = JobRow { to: format!("PJSIP/00{DIGITS}@trunk"), key: to, ..job(1, "queued") };
    let by_lead = JobRow { lead_id: Some("lead-42".into()), ..job(2, "queued") };
    add(&at, &[by_number, by_lead, job(3, "queued")]).await;
    let how = Forget { dry_run: true, sees_unknown: false, actor: "cli".into(), now_ms: START_MS, randomness: 7 };
    let would = leads::forget(&at.db, "default", "lead-42", &how).await.unwrap().unwrap();
    assert_eq!((would.erased.jobs, would.kept.placing_jobs), (2, 1));
    assert_eq!(state(&at, 1).await, "queued", "it only looked");
    stage.say(told("CA1", Claim::Live(Live::Ringing), "1")).await;
    let how = Forget { dry_run: false, ..how };
    let done = leads::forget(&at.db, "default", "lead-42", &how).await.unwrap().unwrap();
    assert_eq!((done.erased.jobs, done.kept.placing_jobs), (3, 0));
    let jobs_left = async || {
        let rows = dump(&at.place).await;
        with(&rows, DIGITS).into_iter().filter(|row| row.starts_with("job:")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(jobs_left().await, [""; 0]);
    assert_eq!([state(&at, 1).await, state(&at, 2).await, state(&at, 3).await], ["cancelled", "cancelled", "queued"]);
    let by_lead = jobs::find(&at.db, "default", "job_22").await.unwrap().unwrap();
    assert_eq!((by_lead.key.as_str(), by_lead.lead_id), ("k2", None), "a list that comes again meets its key");
    let again = leads::forget(&at.db, "default", "lead-42", &how).await.unwrap().unwrap();
    assert_eq!(again.erased.jobs, 0);
    stage.say(told("CA1", ended(Outcome::Busy), "1")).await;
    assert_eq!(stage.job().await.state, "done", "there is nobody left to try again");
    stage.is_even().await;
}

async fn runs_that_ended_long_ago_go(at: TestDatabase) {
    let mut stage = Stage::set(&at, JobRow::default()).await;
    stage.say(told("CA1", ended(Outcome::Failed), "1")).await;
    let mut tx = at.db.begin().await.unwrap();
    let row = runs::find(&mut tx, "default", RUN).await.unwrap().unwrap();
    runs::update(&mut tx, &RunRow { state: "completed".into(), ended_ms: Some(START_MS), ..row }).await.unwrap();
    let hangup = HangupRow {
        tenant: "default".into(),
        provider_id: "CA9".into(),
        run_id: Some(RUN.into()),
        settled_ms: Some(START_MS),
        ..HangupRow::default()
    };
    hangups::insert(&mut tx, &[hangup]).await.unwrap();
    tx.commit().await.unwrap();
    let walk = async |days: i64| {
        let keep = Keep { deliveries_ms: 999 * DAY, journal_ms: 90 * DAY, audit_ms: 999 * DAY };
        let (clock, metrics) = (ManualClock::new(START_MS + days * DAY + 1), Metrics::new());
        let pruner = Retention { db: at.db.clone(), clock: clock.shared(), metrics, keep, pause: Duration::ZERO };
        let mut walk = Walk::default();
        while !walk.is_over() {
            pruner.advance(&mut walk).await.unwrap();
        }
    };
    walk(89).await;
    assert!(jobs::find(&at.db, "default", JOB).await.unwrap().is_some());
    assert_eq!(stage.hangups().await.other, 1);
    walk(90).await;
    assert_eq!(runs::find(&at.db, "default", RUN).await.unwrap(), None);
    assert_eq!(jobs::find(&at.db, "default", JOB).await.unwrap(), None);
    assert_eq!(slots::ledger(&at.db, "default", RUN).await.unwrap(), Ledger::default());
    assert_eq!(stage.hangups().await.other, 0);
    assert_eq!(stage.call("CA1").await.run_id.as_deref(), Some(RUN), "its calls stay");
}
