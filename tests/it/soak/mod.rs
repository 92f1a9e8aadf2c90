//! A list is dialed by real processes, which are killed every few seconds, frozen for longer than their lease, and cut off
//! from their database, at a Twilio that fails, loses and answers too late. In the end every job is what its calls were.
//!
//! `ONHOOK_SOAK_JOBS=1000` makes it the long one; `ONHOOK_SOAK_LOG=FOLDER` keeps what the processes log.

mod chaos;
mod exchange;
mod nodes;
mod verdict;

use crate::support::{
    database::Place,
    gateway::{ACCOUNT, KEY},
};
use chaos::Chaos;
use exchange::Exchange;
use nodes::Nodes;
use onhook::store;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::{
    env,
    time::{Duration, Instant},
};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_postgres() {
    dial(Place::postgres().await, 2, 11).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_on_sqlite() {
    dial(Place::sqlite(), 1, 12).await;
}

/// Who calls.
const OURS: &str = "+14155550100";
/// What is tried again, and how often.
const RETRIED: [&str; 2] = ["busy", "no-answer"];
const ATTEMPTS_MAX: i64 = 2;
/// How many jobs where nothing else is said.
const JOBS: usize = 300;
const CALLS_PER_SECOND: u32 = 10;
const CALLS_AT_ONCE: u32 = 80;

async fn dial(place: Place, processes: usize, seed: u64) {
    let jobs: usize = env::var("ONHOOK_SOAK_JOBS").map_or(JOBS, |text| text.parse().expect("a number of jobs"));
    let exchange = Exchange::start(jobs, seed);
    let mut nodes = Nodes::start(&place, &exchange.address, processes, seed).await;
    let callbacks = exchange.tell(&nodes.address);
    let api = Api::new(&nodes.address);

    let run = api.create(&exchange.numbers).await;
    let began = Instant::now();
    let mut chaos = Chaos::new(&place, seed);
    let patience = Duration::from_secs(120) + Duration::from_millis(jobs as u64 * 800);
    let last = loop {
        chaos.turn(&mut nodes).await;
        let Some(shown) = api.find(&format!("/v1/runs/{run}")).await else { continue };
        if ["completed", "cancelled", "failed"].contains(&shown["state"].as_str().unwrap()) {
            break shown;
        }
        assert!(began.elapsed() < patience, "the run has not ended after {:?}: {shown}\n{chaos:?}", began.elapsed());
        sleep(Duration::from_millis(100)).await;
    };
    chaos.calm_down(&mut nodes).await;
    println!("{jobs} jobs in {:?}: {}; {chaos:?}", began.elapsed(), last["jobs"]);
    assert_eq!(last["state"], "completed", "{last}");
    assert!(chaos.kills >= 5 && chaos.freezes == 1, "too little happened for this to mean anything: {chaos:?}");

    callbacks.until_silent().await;
    let db = store::open(&place.url).await.unwrap();
    verdict::assert_true(&api, &exchange, &db, &run).await;
    let (status, active) = api.ask(Method::GET, "/v1/runs/active", None).await.unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND, "{active}");
}

/// The gateway, whichever process answers; one that dies meanwhile is asked again.
struct Api {
    client: Client,
    base: String,
}

impl Api {
    fn new(base: &str) -> Self {
        let client = Client::builder().timeout(Duration::from_secs(3)).pool_max_idle_per_host(0).build().unwrap();
        Self { client, base: base.to_owned() }
    }

    /// `None`: nobody answered.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Option<(StatusCode, Value)> {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(KEY);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status();
        (!status.is_server_error()).then_some(())?;
        Some((status, serde_json::from_slice(&response.bytes().await.ok()?).unwrap_or(Value::Null)))
    }

    /// `None`: nobody answered. What is asked for must be there.
    async fn find(&self, path: &str) -> Option<Value> {
        let (status, body) = self.ask(Method::GET, path, None).await?;
        assert_eq!(status, StatusCode::OK, "GET {path}: {body}");
        Some(body)
    }

    async fn get(&self, path: &str) -> Value {
        self.again(|| self.find(path)).await
    }

    async fn again<T, F: Future<Output = Option<T>>>(&self, ask: impl Fn() -> F) -> T {
        for _ in 0..200 {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("no process of the gateway answers");
    }

    /// Makes the run and starts it. That is done twice: a list that is imported again adds nothing.
    async fn create(&self, numbers: &[String]) -> String {
        let jobs: Vec<Value> = numbers.iter().map(|to| json!({ "to": to })).collect();
        let body = json!({
            "key": "soak", "account": ACCOUNT, "from": OURS, "twiml": "<Response><Pause length=\"3\"/></Response>",
            "timeout_seconds": 5, "calls_per_second": CALLS_PER_SECOND, "calls_at_once": CALLS_AT_ONCE,
            "retry": { "attempts": ATTEMPTS_MAX, "on": RETRIED, "after_seconds": 1 }, "jobs": jobs,
        });
        let (_, made) = self.again(|| self.ask(Method::POST, "/v1/runs", Some(&body))).await;
        let (status, again) = self.again(|| self.ask(Method::POST, "/v1/runs", Some(&body))).await;
        assert_eq!(status, StatusCode::OK, "{again}");
        assert_eq!(again["imported"]["existing"], json!(numbers.len()), "{again}");
        let id = made["run"]["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        let start = format!("/v1/runs/{id}/start");
        let (status, started) = self.again(|| self.ask(Method::POST, &start, None)).await;
        assert_eq!(status, StatusCode::OK, "{started}");
        id
    }
}
