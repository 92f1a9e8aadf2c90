//! A run against a real Asterisk, with the gateway killed in the middle of it.

use super::{
    gateway::Gateway,
    line::now_ms,
    pbx::Pbx,
    phone::{Phone, Policy, never_answers, refuses, talks_for},
};
use crate::support::database::Place;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{sleep, timeout};

/// Every job has a phone of its own, but for those that call nobody.
const JOBS: u32 = 50;
/// Numbers that no phone has registered.
const NOBODY: [u32; 3] = [2010, 2027, 2044];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_gateway_is_killed_calls_everybody_once_on_sqlite() {
    killed_in_the_middle(Place::sqlite(), "run-sqlite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_gateway_is_killed_calls_everybody_once_on_postgres() {
    killed_in_the_middle(Place::postgres().await, "run-postgres").await;
}

/// What a phone does, by its number.
fn policy(number: u32) -> Policy {
    match number % 5 {
        0 => refuses("486 Busy Here"),
        1 => refuses("603 Decline"),
        2 => never_answers(),
        _ => talks_for(400, 1_500),
    }
}

/// How a call of this number ends when we are told; where we were away as it ended, nobody knows more than that it did.
fn told(number: u32) -> &'static str {
    match number % 5 {
        _ if NOBODY.contains(&number) => "failed",
        0 => "busy",
        1 => "failed",
        2 => "no-answer",
        _ => "completed",
    }
}

async fn killed_in_the_middle(place: Place, name: &str) {
    let pbx = Pbx::start(name).await;
    let mut gateway = Gateway::start(place, &pbx).await;
    gateway.until_in_step().await;
    let mut phones = BTreeMap::new();
    for number in (2001..2001 + JOBS).filter(|number| !NOBODY.contains(number)) {
        phones.insert(number, Phone::register(pbx.sip, &number.to_string(), policy(number)).await);
    }
    let run = start(&gateway).await;
    until(&gateway, &run, "a third of it to be done", |run| count(run, "done") >= 16).await;
    gateway.kill();
    let killed_ms = now_ms();
    gateway.start_again().await;
    let ended = until(&gateway, &run, "the run to end", |run| run["ended_at"].is_string()).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    for state in ["queued", "placing", "placed", "live"] {
        assert_eq!(count(&ended, state), 0, "{state}: {ended}");
    }
    compare(&gateway, &run, &phones, killed_ms).await;
    let (status, body) = gateway.try_ask(reqwest::Method::GET, "/v1/runs/active", None).await.unwrap();
    assert_eq!(status, 404, "no run is active: {body}");
    assert_eq!(gateway.slots_held().await, 0);
    gateway.assert_checked();
}

/// Makes and starts it; its id.
async fn start(gateway: &Gateway) -> String {
    let jobs: Vec<Value> = (2001..2001 + JOBS).map(|number| json!({ "to": number.to_string() })).collect();
    let run = json!({
        "name": "fifty", "account": "pbx", "from": "+14155550100", "channel": "PJSIP/{to}", "context": "nobody",
        "extension": "wait", "timeout_seconds": 5, "calls_per_second": 6.0, "calls_at_once": 12, "jobs": jobs,
    });
    let (status, made) = gateway.try_ask(reqwest::Method::POST, "/v1/runs", Some(run)).await.unwrap();
    assert_eq!(status, 201, "{made}");
    let id = made["run"]["id"].as_str().unwrap().to_owned();
    let (status, started) =
        gateway.try_ask(reqwest::Method::POST, &format!("/v1/runs/{id}/start"), None).await.unwrap();
    assert_eq!(status, 200, "{started}");
    id
}

fn count(run: &Value, state: &str) -> i64 {
    run["jobs"][state].as_i64().unwrap_or_else(|| panic!("{run}"))
}

async fn until(gateway: &Gateway, run: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut shown = Value::Null;
    let waited = timeout(RUN_WITHIN, async {
        loop {
            shown = gateway.get(&format!("/v1/runs/{run}")).await;
            if is(&shown) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited for {what}: {shown}\n{}", gateway.log());
    shown
}

/// What became of every job, and what its phone saw.
async fn compare(gateway: &Gateway, run: &str, phones: &BTreeMap<u32, Phone>, killed_ms: i64) {
    let page = gateway.get(&format!("/v1/runs/{run}/jobs?limit=200")).await;
    let jobs = page["data"].as_array().unwrap();
    assert_eq!(jobs.len(), JOBS as usize);
    let mut wrong = Vec::new();
    let mut known = 0;
    for job in jobs {
        let number: u32 = job["to"].as_str().unwrap().parse().unwrap();
        let rung = phones.get(&number).map_or(0, Phone::times_rung);
        let most = if NOBODY.contains(&number) { 0 } else { 1 };
        let is_told = job["resolution"] == "callback";
        known += i64::from(is_told);
        let is_right = match job["state"].as_str().unwrap() {
            "done" if is_told => rung == most && job["outcome"] == told(number),
            // It ended while nobody listened.
            "done" => rung == most && job["resolution"] == "reconciled",
            // Its request was under way as the gateway was killed; nobody can say, and nobody calls again.
            "unknown" => rung <= most && job["attempt"] == 1,
            _ => false,
        };
        if !is_right || job["attempt"] != 1 {
            wrong.push(format!("rung {rung} times: {job}"));
        }
    }
    assert!(wrong.is_empty(), "killed at {killed_ms}:\n{}\n{}", wrong.join("\n"), gateway.log());
    assert!(known >= i64::from(JOBS) / 2, "only {known} endings were told");
}

/// The lease of the killed one, the look for answers that were lost, and some.
const RUN_WITHIN: Duration = Duration::from_secs(150);
