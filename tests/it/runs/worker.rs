//! `examples/worker/worker.py` dials: as a process, with the standard library only, at a Twilio double. What it can meet is
//! met: refusals, an answer that is lost, its own death, a cancel.

use crate::support::{
    gateway::{ACCOUNT, KEY, PUBLIC_URL, TOKEN},
    patience::until,
    stage::{OURS, Stage, on_both_stages},
};
use onhook::double::{Fate, Reception};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    env,
    process::{Child, Command, Stdio},
};
use url::Url;

on_both_stages! {
    a_list_is_dialed,
    one_that_dies_is_started_again,
    nothing_more_is_dialed_once_the_run_is_cancelled,
    a_second_one_stands_by,
}

async fn a_list_is_dialed(stage: Stage) {
    let numbers = numbers(6);
    let run = make(&stage, &numbers).await;
    stage.twilio.with(|double| {
        double.expect_fate(&numbers[1], Fate::Busy);
        double.receive_as(&numbers[2], [Reception::Refused { status: 400, code: 21211 }]);
        double.receive_as(&numbers[3], [Reception::Broken { status: 500, done: true }]);
        double.receive_as(&numbers[4], [Reception::TooMany { retry_after_s: None }]);
    });
    let mut worker = Worker::start(&stage, &run, "w1");
    ended(&stage, &run, "completed").await;
    assert!(worker.0.wait().unwrap().success(), "it ends with the run");

    let jobs = jobs(&stage, &run).await;
    let of = |n: usize| jobs.iter().find(|job| job["to"] == numbers[n].as_str()).unwrap();
    assert_eq!((&of(0)["state"], &of(0)["outcome"]), (&json!("done"), &json!("completed")), "{}", of(0));
    assert_eq!((&of(1)["state"], &of(1)["outcome"]), (&json!("done"), &json!("busy")), "{}", of(1));
    assert_eq!(of(2)["state"], "failed", "{}", of(2));
    assert!(of(2)["error"].as_str().unwrap().contains("21211"), "{}", of(2));
    assert_eq!(of(3)["state"], "done", "its answer was lost, and its callbacks tell of it: {}", of(3));
    assert_eq!(of(4)["state"], "done", "429 is no loss: {}", of(4));
    assert_eq!(called(&stage), [0, 1, 3, 4, 5].map(|n: usize| (numbers[n].clone(), 1)));
    // What the callback URL says of a call is how its job knows it.
    let leads: Vec<&Value> = jobs.iter().map(|job| &job["lead_id"]).collect();
    let call = stage.call(of(0)["provider_id"].as_str().unwrap()).await;
    assert!(leads.contains(&&call["lead_id"]) && call["run_id"] == run.as_str(), "{call}");
    stage.twilio.was_asked_well();
}

async fn one_that_dies_is_started_again(stage: Stage) {
    let numbers = numbers(8);
    let run = make(&stage, &numbers).await;
    let worker = Worker::start(&stage, &run, "w1");
    until("some calls", || async { while_time_passes(&stage, called(&stage).len() >= 3).await }).await;
    // SIGKILL, wherever it is.
    drop(worker);
    let mut again = Worker::start(&stage, &run, "w1");
    // What was being placed when it died is not dialed again; that is found out after a while.
    ended(&stage, &run, "completed").await;
    assert!(again.0.wait().unwrap().success());
    let (called, jobs) = (called(&stage), jobs(&stage, &run).await);
    assert!(called.iter().all(|(_, times)| *times == 1), "somebody was called twice: {called:?}");
    let unknown = jobs.iter().filter(|job| job["state"] == "unknown").count();
    let done = jobs.iter().filter(|job| job["state"] == "done").count();
    assert!(unknown <= 1 && done + unknown == 8 && called.len() == done, "{jobs:?}");
}

async fn nothing_more_is_dialed_once_the_run_is_cancelled(stage: Stage) {
    let run = make(&stage, &numbers(50)).await;
    let mut worker = Worker::start(&stage, &run, "w1");
    until("some calls", || async { while_time_passes(&stage, called(&stage).len() >= 2).await }).await;
    let (status, cancelled) = stage.gateway.ask(Method::POST, &format!("/v1/runs/{run}/cancel"), None).await;
    assert_eq!(status, 200, "{cancelled}");
    let under_way = called(&stage).len();
    ended(&stage, &run, "cancelled").await;
    assert!(worker.0.wait().unwrap().success());
    // A request that was on its way may still have been taken.
    assert!(called(&stage).len() <= under_way + 1, "{} after {under_way}", called(&stage).len());
    let jobs = jobs(&stage, &run).await;
    let open = ["queued", "placing", "placed", "live"];
    assert!(jobs.iter().all(|job| !open.contains(&job["state"].as_str().unwrap())), "{jobs:?}");
}

async fn a_second_one_stands_by(stage: Stage) {
    let numbers = numbers(10);
    let run = make(&stage, &numbers).await;
    let first = Worker::start(&stage, &run, "w1");
    until("a call", || async { while_time_passes(&stage, !called(&stage).is_empty()).await }).await;
    let mut second = Worker::start(&stage, &run, "w2");
    drop(first);
    // 30 s of the gateway's clock later the lease of the first is over.
    ended(&stage, &run, "completed").await;
    assert!(second.0.wait().unwrap().success());
    let called = called(&stage);
    assert!(called.iter().all(|(_, times)| *times == 1), "somebody was called twice: {called:?}");
    assert!(called.len() >= numbers.len() - 1, "{called:?}");
}

/// The example, running. Killed with the value.
struct Worker(Child);

impl Worker {
    fn start(stage: &Stage, run: &str, name: &str) -> Self {
        let python = env::var_os("ONHOOK_TEST_PYTHON").expect("ONHOOK_TEST_PYTHON is not set: run scripts/test");
        let mut command = Command::new(python);
        command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/examples/worker/worker.py"), run, "--worker", name]);
        command.env_clear().envs([
            ("GATEWAY_URL", stage.gateway.address.as_str()),
            ("ONHOOK_API_KEY", KEY),
            ("ONHOOK_PUBLIC_URL", PUBLIC_URL),
            ("TWILIO_ACCOUNT_SID", ACCOUNT),
            ("TWILIO_AUTH_TOKEN", TOKEN),
            ("TWILIO_API_BASE", stage.twilio.address.as_str()),
        ]);
        Self(command.stdin(Stdio::null()).spawn().expect("Python runs"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("+1415555{:04}", 1_000 + n)).collect()
}

/// Makes a run for a dialer of one's own, and starts it.
async fn make(stage: &Stage, numbers: &[String]) -> String {
    stage.twilio.with(|double| numbers.iter().for_each(|to| double.expect_fate(to, Fate::Answered { talk_s: 5 })));
    let jobs: Vec<Value> =
        numbers.iter().enumerate().map(|(n, to)| json!({ "to": to, "lead_id": format!("lead-{n}") })).collect();
    let body = json!({
        "worker": "external", "account": ACCOUNT, "from": OURS, "url": "https://example.com/twiml",
        "calls_per_second": 2, "calls_at_once": 20, "jobs": jobs,
    });
    let (status, made) = stage.gateway.ask(Method::POST, "/v1/runs", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let id = made["run"]["id"].as_str().unwrap().to_owned();
    let (status, started) = stage.gateway.ask(Method::POST, &format!("/v1/runs/{id}/start"), None).await;
    assert_eq!(status, 200, "{started}");
    id
}

/// A moment of the gateway's and Twilio's time; whether it is so by now.
async fn while_time_passes(stage: &Stage, is_so: bool) -> Result<(), String> {
    if !is_so {
        // Slow enough for a heartbeat of real time to keep the lease: two real seconds are some ten of these.
        stage.pass(20).await;
    }
    is_so.then_some(()).ok_or_else(|| format!("calls: {:?}", called(stage)))
}

/// Lets time pass until the run has ended so. The gateway looks after its calls meanwhile.
async fn ended(stage: &Stage, run: &str, state: &str) {
    let shown = until("the end of the run", || async {
        stage.pass(40).await;
        let shown = stage.gateway.get(&format!("/v1/runs/{run}")).await;
        let is_over = ["completed", "cancelled", "failed"].contains(&shown["state"].as_str().unwrap());
        if is_over { Ok(shown) } else { Err(shown.to_string()) }
    });
    let shown = shown.await;
    assert_eq!(shown["state"], state, "{shown}");
}

async fn jobs(stage: &Stage, run: &str) -> Vec<Value> {
    let page = stage.gateway.get(&format!("/v1/runs/{run}/jobs?limit=200")).await;
    page["data"].as_array().unwrap().clone()
}

/// How often each number was called, as the double knows; every call names its own job.
fn called(stage: &Stage) -> Vec<(String, usize)> {
    stage.twilio.with(|double| {
        for call in double.calls() {
            let url: Url = call.callback.as_ref().unwrap().hook.url.parse().unwrap();
            assert!(url.query_pairs().any(|(name, value)| name == "job_id" && value.starts_with("job_")), "{url}");
        }
        double.placed().into_iter().map(|(to, times)| (to.to_owned(), times)).collect()
    })
}
