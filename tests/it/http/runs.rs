//! Runs over REST: what is shown, how a run is steered, who may, and that looking changes nothing.

use super::{Asked, add_account, column, expect_problem, key_of, keyed, request, send, wrong_fields};
use crate::support::{
    database::{TestDatabase, on_both},
    dump::dump,
    gateway::{ACCOUNT, Gateway, START_MS, on_both_gateways},
};
use onhook::{directory::Scope, domain::time::rfc3339};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Instant;

on_both_gateways!(
    a_run_is_shown_as_it_was_made,
    a_run_is_started_paused_resumed_and_cancelled,
    what_a_state_does_not_allow_is_refused,
    a_run_is_cancelled_by_force_within_a_second,
    the_active_run_is_the_newest_that_runs,
    runs_come_in_pages_and_filtered,
    jobs_come_in_pages_and_filtered,
    another_tenants_runs_and_jobs_are_not_there,
    a_key_without_the_scope_is_refused,
);

on_both!(looking_changes_nothing);

/// Makes a run of numbers; the answer's `run`.
pub async fn make(gateway: &Gateway, more: Value, jobs: usize) -> Value {
    let jobs: Vec<Value> =
        (0..jobs).map(|n| json!({"to": format!("+1415555{n:04}"), "lead_id": format!("lead-{n}")})).collect();
    let mut body = json!({"worker": "external", "calls_per_second": 100.0, "calls_at_once": 100, "jobs": jobs});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let asked = send(request(gateway, Method::POST, "/v1/runs").json(&body)).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    asked.body["run"].clone()
}

/// A POST to a run.
pub async fn tell(gateway: &Gateway, run: &Value, what: &str, body: Value) -> Asked {
    let path = format!("/v1/runs/{}/{what}", run["id"].as_str().unwrap());
    send(request(gateway, Method::POST, &path).json(&body)).await
}

/// The same; it must be answered 200.
pub async fn told(gateway: &Gateway, run: &Value, what: &str, body: Value) -> Value {
    let asked = tell(gateway, run, what, body).await;
    assert_eq!(asked.status, 200, "{what}: {asked:?}");
    asked.body
}

async fn shown(gateway: &Gateway, run: &Value) -> Value {
    gateway.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).await
}

fn counts(run: &Value) -> Value {
    let counts = run["jobs"].as_object().unwrap().iter().filter(|(_, n)| **n != json!(0));
    counts.map(|(state, n)| (state.clone(), n.clone())).collect::<serde_json::Map<_, _>>().into()
}

async fn a_run_is_shown_as_it_was_made(gateway: Gateway) {
    let more = json!({
        "key": "spring", "name": "Spring campaign", "worker": "internal", "from": "+1 415 555 0100",
        "connect": ["client:ann"], "timeout_seconds": 30, "time_limit_seconds": 3600, "machine_detection": "Enable",
        "calls_per_second": 0.5, "calls_at_once": 3,
        "retry": {"attempts": 2, "on": ["busy"], "after_seconds": 60},
    });
    let run = make(&gateway, more, 2).await;
    let nothing = Value::Null;
    let expected = json!({
        "id": run["id"], "key": "spring", "name": "Spring campaign", "state": "pending", "worker": "internal",
        "account": ACCOUNT, "from": "+14155550100", "connect": ["client:ann"], "twiml": nothing, "url": nothing,
        "channel": nothing, "context": nothing, "extension": nothing, "timeout_seconds": 30,
        "time_limit_seconds": 3600, "machine_detection": "Enable", "calls_per_second": 0.5, "calls_at_once": 3,
        "retry": {"attempts": 2, "on": ["busy"], "after_seconds": 60}, "created_at": rfc3339(START_MS),
        "started_at": nothing, "cancel_requested_at": nothing, "ended_at": nothing, "lease": nothing, "stale": false,
        "progress_at": nothing, "last_error": nothing, "last_error_at": nothing,
        "jobs": {"total": 2, "queued": 2, "placing": 0, "placed": 0, "live": 0, "done": 0, "unknown": 0,
                 "cancelled": 0, "failed": 0},
        "outcomes": {"completed": 0, "busy": 0, "no-answer": 0, "failed": 0, "canceled": 0},
    });
    assert_eq!(run, expected);
    assert_eq!(shown(&gateway, &run).await, expected);
    assert_eq!(gateway.get("/v1/runs").await, json!({"data": [expected], "next_cursor": null}));
    let path = format!("/v1/runs/{}/jobs", run["id"].as_str().unwrap());
    let jobs = gateway.get(&path).await;
    let job = &jobs["data"][1];
    let expected = json!({
        "id": job["id"], "run_id": run["id"], "key": "lead:lead-1", "to": "+14155550001", "lead_id": "lead-1",
        "user_id": nothing, "state": "queued", "attempt": 0, "due_at": rfc3339(START_MS), "provider_id": nothing,
        "call_id": nothing, "outcome": nothing, "resolution": nothing, "answered_by": nothing, "error": nothing,
        "created_at": rfc3339(START_MS), "updated_at": rfc3339(START_MS), "ended_at": nothing,
    });
    assert_eq!(*job, expected);
    assert_eq!(gateway.get(&format!("{path}/{}", job["id"].as_str().unwrap())).await, expected);
}

async fn a_run_is_started_paused_resumed_and_cancelled(gateway: Gateway) {
    let run = make(&gateway, json!({}), 3).await;
    gateway.clock.advance(1_000);
    let started = told(&gateway, &run, "start", json!({})).await;
    assert_eq!((&started["state"], &started["started_at"]), (&json!("running"), &json!(rfc3339(START_MS + 1_000))));
    assert_eq!(started["stale"], false, "its first heartbeat is not due yet");
    assert_eq!(told(&gateway, &run, "pause", json!({})).await["state"], "paused");
    gateway.clock.advance(1_000);
    let resumed = told(&gateway, &run, "resume", json!({})).await;
    assert_eq!((&resumed["state"], &resumed["started_at"]), (&json!("running"), &json!(rfc3339(START_MS + 2_000))));
    // Nobody gives a sign of life for 30 s.
    gateway.clock.advance(31_000);
    assert_eq!(shown(&gateway, &run).await["stale"], true);
    let cancelled = told(&gateway, &run, "cancel", json!({})).await;
    assert_eq!((&cancelled["state"], counts(&cancelled)), (&json!("cancelled"), json!({"total": 3, "cancelled": 3})));
    assert_eq!(cancelled["ended_at"], rfc3339(START_MS + 33_000));
    assert!(cancelled["cancel_requested_at"].is_string() && cancelled["lease"].is_null(), "{cancelled}");
    let audit = gateway.get("/v1/audit").await;
    let actions = column(&audit, "action");
    for action in ["run.created", "run.started", "run.paused", "run.resumed", "run.cancelled"] {
        assert!(actions.contains(&action), "{action} is missing in {actions:?}");
    }
}

async fn what_a_state_does_not_allow_is_refused(gateway: Gateway) {
    let run = make(&gateway, json!({}), 1).await;
    for what in ["pause", "resume"] {
        let asked = tell(&gateway, &run, what, json!({})).await;
        expect_problem(&asked, 409, "run-state");
        assert!(asked.body["detail"].as_str().unwrap().contains(run["id"].as_str().unwrap()), "{asked:?}");
    }
    told(&gateway, &run, "cancel", json!({})).await;
    for what in ["start", "pause", "resume"] {
        expect_problem(&tell(&gateway, &run, what, json!({})).await, 409, "run-state");
    }
    expect_problem(&tell(&gateway, &run, "jobs", json!({"jobs": [{"to": "+14155550199"}]})).await, 409, "run-state");
    for what in ["start", "pause", "resume", "cancel", "force-cancel"] {
        assert_eq!(wrong_fields(&tell(&gateway, &run, what, json!({"whom": 1})).await), ["whom"], "{what}");
        assert_eq!(wrong_fields(&tell(&gateway, &run, what, json!([])).await), ["body"], "{what}");
        for missing in ["run_01", "%00", "run_%0A", "x"] {
            let asked = tell(&gateway, &json!({"id": missing}), what, json!({})).await;
            expect_problem(&asked, 404, "not-found");
        }
    }
    assert_eq!(wrong_fields(&tell(&gateway, &run, "force-cancel", json!({"hangup": "yes"})).await), ["hangup"]);
    let bare = send(request(&gateway, Method::POST, &format!("/v1/runs/{}/start", run["id"].as_str().unwrap()))).await;
    expect_problem(&bare, 409, "run-state");
}

async fn a_run_is_cancelled_by_force_within_a_second(gateway: Gateway) {
    let run = make(&gateway, json!({}), 5).await;
    told(&gateway, &run, "start", json!({})).await;
    let claimed = told(&gateway, &run, "claim", json!({"worker": "dialer-1", "max": 2})).await;
    let (token, job) = (&claimed["token"], claimed["jobs"][0]["id"].as_str().unwrap());
    told(&gateway, &run, &format!("jobs/{job}"), json!({"token": token, "state": "placing"})).await;
    let since = Instant::now();
    let forced = told(&gateway, &run, "force-cancel", json!({"hangup": true})).await;
    assert!(since.elapsed().as_secs_f64() < 1.0, "{:?}", since.elapsed());
    let numbers = ["jobs_cancelled", "live_calls", "hung_up", "hangups_pending"].map(|name| forced[name].clone());
    assert_eq!(numbers, [5, 0, 0, 0].map(Value::from), "{forced}");
    assert_eq!(
        (&forced["run"]["state"], counts(&forced["run"])),
        (&json!("cancelled"), json!({"total": 5, "cancelled": 5}))
    );
    let late = tell(&gateway, &run, &format!("jobs/{job}"), json!({"token": token, "state": "failed"})).await;
    assert_eq!(late.status, 409, "whoever dialed it has lost it: {late:?}");
    let heard = told(&gateway, &run, "heartbeat", json!({"token": token})).await;
    assert_eq!(
        (&heard["cancel_requested"], &heard["state"]),
        (&json!(true), &json!("cancelled")),
        "it learns of the end"
    );
}

async fn the_active_run_is_the_newest_that_runs(gateway: Gateway) {
    let active = async || send(request(&gateway, Method::GET, "/v1/runs/active")).await;
    expect_problem(&active().await, 404, "not-found");
    let mut runs = Vec::new();
    for _ in 0..3 {
        gateway.clock.advance(1_000);
        runs.push(make(&gateway, json!({}), 1).await);
    }
    expect_problem(&active().await, 404, "not-found");
    for run in &runs {
        told(&gateway, run, "start", json!({})).await;
    }
    let found = active().await.body;
    assert_eq!((&found["id"], &found["stale"]), (&runs[2]["id"], &json!(false)));
    assert_eq!(found["also_active"].as_array().unwrap().len(), 2, "{found}");
    told(&gateway, &runs[2], "cancel", json!({})).await;
    told(&gateway, &runs[0], "pause", json!({})).await;
    gateway.clock.advance(40_000);
    let found = active().await.body;
    assert_eq!((&found["id"], &found["stale"], &found["also_active"]), (&runs[1]["id"], &json!(true), &json!([])));
    // Nobody places what could be placed for 15 minutes: it has failed, whether or not the reaper has been there.
    gateway.clock.advance(15 * 60_000);
    expect_problem(&active().await, 404, "not-found");
}

async fn runs_come_in_pages_and_filtered(gateway: Gateway) {
    let mut ids = Vec::new();
    for n in 0..5 {
        // Two of them at one moment.
        gateway.clock.advance(if n == 3 { 0 } else { 1_000 });
        ids.push(make(&gateway, json!({}), 1).await["id"].as_str().unwrap().to_owned());
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/runs?limit=2".to_owned());
    loop {
        let page = gateway.get(&path).await;
        seen.extend(column(&page, "id").into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/runs?limit=2&cursor={cursor}");
    }
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!((seen[0].clone(), seen[4].clone()), (ids[4].clone(), ids[0].clone()), "the newest first");
    assert_eq!(sorted(seen), sorted(ids.clone()));
    told(&gateway, &json!({"id": ids[1]}), "start", json!({})).await;
    assert_eq!(column(&gateway.get("/v1/runs?state=running&worker=external").await, "id"), [&ids[1]]);
    assert_eq!(gateway.get("/v1/runs?worker=internal").await["data"], json!([]));
    for bad in ["state=dialing", "worker=nobody", "limit=0", "limit=201", "status=running", "cursor=x"] {
        let asked = send(request(&gateway, Method::GET, &format!("/v1/runs?{bad}"))).await;
        expect_problem(&asked, 400, if bad.starts_with("cursor") { "bad-cursor" } else { "bad-filter" });
    }
}

async fn jobs_come_in_pages_and_filtered(gateway: Gateway) {
    let run = make(&gateway, json!({}), 7).await;
    let base = format!("/v1/runs/{}/jobs", run["id"].as_str().unwrap());
    let (mut seen, mut path) = (Vec::new(), format!("{base}?limit=3"));
    loop {
        let page = gateway.get(&path).await;
        seen.extend(column(&page, "lead_id").into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{base}?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, (0..7).map(|n| format!("lead-{n}")).collect::<Vec<_>>(), "in the order of the list");
    assert_eq!(column(&gateway.get(&format!("{base}?lead_id=lead-4&state=queued")).await, "to"), ["+14155550004"]);
    assert_eq!(gateway.get(&format!("{base}?outcome=busy")).await["data"], json!([]));
    for bad in ["state=dialed", "outcome=no_answer", "lead_id=%00", "lead=1", "limit=x"] {
        expect_problem(&send(request(&gateway, Method::GET, &format!("{base}?{bad}"))).await, 400, "bad-filter");
    }
    let cursor = gateway.get(&format!("{base}?limit=3")).await["next_cursor"].as_str().unwrap().to_owned();
    let other = make(&gateway, json!({}), 7).await;
    let elsewhere = format!("/v1/runs/{}/jobs?limit=3&cursor={cursor}", other["id"].as_str().unwrap());
    expect_problem(&send(request(&gateway, Method::GET, &elsewhere)).await, 400, "bad-cursor");
    let theirs = gateway.get(&base).await["data"][0]["id"].as_str().unwrap().to_owned();
    let crossed = format!("/v1/runs/{}/jobs/{theirs}", other["id"].as_str().unwrap());
    expect_problem(&send(request(&gateway, Method::GET, &crossed)).await, 404, "not-found");
}

/// Every path of a run, with a body that it would take.
fn paths(run: &str, job: &str) -> Vec<(Method, String, Value)> {
    let post = |what: &str, body: Value| (Method::POST, format!("/v1/runs/{run}/{what}"), body);
    let get = |what: &str| (Method::GET, format!("/v1/runs/{run}{what}"), json!(null));
    vec![
        get(""),
        get("/jobs"),
        get(&format!("/jobs/{job}")),
        post("jobs", json!({"jobs": [{"to": "+14155550177"}]})),
        post("start", json!({})),
        post("pause", json!({})),
        post("resume", json!({})),
        post("cancel", json!({})),
        post("force-cancel", json!({"hangup": true})),
        post("claim", json!({"worker": "dialer-2", "max": 1})),
        post("heartbeat", json!({"token": 1})),
        post(&format!("jobs/{job}"), json!({"token": 1, "state": "placing"})),
    ]
}

async fn another_tenants_runs_and_jobs_are_not_there(gateway: Gateway) {
    let run = make(&gateway, json!({"key": "spring"}), 2).await;
    told(&gateway, &run, "start", json!({})).await;
    let claimed = told(&gateway, &run, "claim", json!({"worker": "dialer-1", "max": 1})).await;
    let (id, job) = (run["id"].as_str().unwrap(), claimed["jobs"][0]["id"].as_str().unwrap());
    let (_, key) = key_of(&gateway, "acme", &[Scope::Read, Scope::Write], None).await;
    let (before, crossings) = (shown(&gateway, &run).await, crossings(&gateway));
    let paths = paths(id, job);
    for (method, path, body) in &paths {
        let mut request = keyed(&gateway, &key, method.clone(), path);
        if *method == Method::POST {
            request = request.json(body);
        }
        expect_problem(&send(request).await, 404, "not-found");
    }
    assert_eq!(self::crossings(&gateway) - crossings, paths.len() as u64, "each was counted");
    let lists = [("/v1/runs", "data"), ("/v1/do-not-call", "data")];
    for (path, field) in lists {
        assert_eq!(send(keyed(&gateway, &key, Method::GET, path)).await.body[field], json!([]));
    }
    expect_problem(&send(keyed(&gateway, &key, Method::GET, "/v1/runs/active")).await, 404, "not-found");
    // A run of one's own does not open another tenant's job.
    add_account(&gateway, "acme", "AC00000000000000000000000000000009").await;
    let body = json!({"key": "spring", "worker": "external", "jobs": []});
    let own = send(keyed(&gateway, &key, Method::POST, "/v1/runs").json(&body)).await;
    assert_eq!(own.status, 201, "a key is taken in its own tenant only: {own:?}");
    let own = own.body["run"]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/runs/{own}/jobs/{job}");
    expect_problem(&send(keyed(&gateway, &key, Method::GET, &path)).await, 404, "not-found");
    assert_eq!(self::crossings(&gateway) - crossings, paths.len() as u64 + 1);
    expect_problem(&send(keyed(&gateway, &key, Method::GET, "/v1/runs/run_0")).await, 404, "not-found");
    assert_eq!(self::crossings(&gateway) - crossings, paths.len() as u64 + 1, "what nobody has is no crossing");
    assert_eq!(shown(&gateway, &run).await["jobs"], before["jobs"], "nothing was done to it");
}

fn crossings(gateway: &Gateway) -> u64 {
    let text = gateway.metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix("onhook_tenant_crossings_refused_total "));
    line.unwrap().parse().unwrap()
}

async fn a_key_without_the_scope_is_refused(gateway: Gateway) {
    let run = make(&gateway, json!({}), 1).await;
    let mut all = paths(run["id"].as_str().unwrap(), "job_0");
    all.push((Method::GET, "/v1/runs".into(), json!(null)));
    all.push((Method::GET, "/v1/runs/active".into(), json!(null)));
    all.push((Method::POST, "/v1/runs".into(), json!({"worker": "external", "jobs": []})));
    all.push((Method::GET, "/v1/do-not-call".into(), json!(null)));
    all.push((Method::PUT, "/v1/do-not-call/+14155550101".into(), json!({})));
    all.push((Method::DELETE, "/v1/do-not-call/+14155550101".into(), json!(null)));
    all.push((Method::POST, "/v1/do-not-call/import".into(), json!({})));
    for scope in [Scope::Read, Scope::Write, Scope::Ingest, Scope::Admin] {
        let (_, key) = key_of(&gateway, "default", &[scope], None).await;
        for (method, path, body) in &all {
            let needed = if *method == Method::GET { Scope::Read } else { Scope::Write };
            if needed == scope {
                continue;
            }
            let mut request = keyed(&gateway, &key, method.clone(), path);
            if !body.is_null() {
                request = request.json(body);
            }
            let asked = send(request).await;
            expect_problem(&asked, 403, "scope-missing");
            assert!(asked.body["detail"].as_str().unwrap().contains(needed.as_str()), "{method} {path}: {asked:?}");
        }
    }
    assert_eq!(shown(&gateway, &run).await, run);
}

async fn looking_changes_nothing(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let run = make(&gateway, json!({}), 3).await;
    told(&gateway, &run, "start", json!({})).await;
    let claimed = told(&gateway, &run, "claim", json!({"worker": "dialer-1", "max": 1})).await;
    let job = claimed["jobs"][0]["id"].as_str().unwrap().to_owned();
    send(request(&gateway, Method::PUT, "/v1/do-not-call/+14155550101")).await;
    let pending = make(&gateway, json!({}), 1).await;
    // Stale: the state in which somebody might be tempted to mend it. (A dead run is ended by the reaper, at any moment.)
    for (advance_ms, stale) in [(1_000, false), (60_000, true), (10 * 60_000, true)] {
        gateway.clock.advance(advance_ms);
        let before = dump(&at.place).await;
        assert_eq!(shown(&gateway, &run).await["stale"], stale);
        let (id, other) = (run["id"].as_str().unwrap(), pending["id"].as_str().unwrap());
        let gets = ["/v1/runs?limit=1".into(), "/v1/runs/active".into(), format!("/v1/runs/{other}")];
        let more = [format!("/v1/runs/{id}/jobs"), format!("/v1/runs/{id}/jobs/{job}"), "/v1/do-not-call".into()];
        for path in gets.into_iter().chain(more) {
            let status = send(request(&gateway, Method::GET, &path)).await.status.as_u16();
            assert!(status == 200 || (status == 404 && path.ends_with("active")), "{path}: {status}");
        }
        // What loops do by themselves is no doing of a GET.
        let own = |row: &&String| {
            ["run: ", "job: ", "slot: ", "hangup: ", "do_not_call: "].iter().any(|t| row.starts_with(t))
        };
        let rows = |dump: &[String]| {
            let mut rows: Vec<String> = dump.iter().filter(own).cloned().collect();
            rows.sort();
            rows
        };
        assert!(rows(&before).len() > 6, "{before:?}");
        assert_eq!(rows(&dump(&at.place).await), rows(&before));
    }
}
