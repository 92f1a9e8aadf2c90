//! A dialer of the user's own, by hand: claim, placing, placed, callbacks; and what it is told when it has lost its lease.

use super::{
    callback, column, expect_problem, request,
    runs::{make, tell, told},
    send, sid, wrong_fields,
};
use crate::support::gateway::{Gateway, START_MS, on_both_gateways};
use onhook::domain::time::rfc3339;
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    a_list_is_dialed_from_claim_to_done,
    a_lease_is_one_dialers_until_it_ends,
    a_dialer_that_lost_its_lease_is_told_at_every_step,
    a_heartbeat_makes_the_lease_last_and_tells_of_the_end,
    a_job_is_reported_in_order,
    a_report_or_claim_that_is_wrong_names_its_fields,
    what_onhook_dials_is_not_claimed,
);

async fn started(gateway: &Gateway, jobs: usize) -> Value {
    let run = make(gateway, json!({}), jobs).await;
    told(gateway, &run, "start", json!({})).await;
    run
}

async fn claim(gateway: &Gateway, run: &Value, worker: &str, max: i64) -> Value {
    told(gateway, run, "claim", json!({"worker": worker, "max": max})).await
}

fn report_path(job: &Value) -> String {
    format!("jobs/{}", job["id"].as_str().unwrap())
}

async fn job(gateway: &Gateway, run: &Value, job: &Value) -> Value {
    gateway.get(&format!("/v1/runs/{}/{}", run["id"].as_str().unwrap(), report_path(job))).await
}

async fn a_list_is_dialed_from_claim_to_done(gateway: Gateway) {
    let run = started(&gateway, 2).await;
    let claimed = claim(&gateway, &run, "dialer-1", 10).await;
    let token = &claimed["token"];
    assert_eq!((&claimed["state"], &claimed["lease_ms"]), (&json!("running"), &json!(30_000)), "{claimed}");
    assert_eq!(claimed["lease_until"], rfc3339(START_MS + 30_000));
    assert!(token.as_i64().unwrap() > 0);
    let mut handed: Vec<Value> = claimed["jobs"].as_array().unwrap().clone();
    // The pace: 100 a second, so the second comes 10 ms later.
    while handed.len() < 2 {
        gateway.clock.advance(10);
        let more = told(&gateway, &run, "claim", json!({"worker": "dialer-1", "token": token, "max": 10})).await;
        handed = more["jobs"].as_array().unwrap().clone();
    }
    for (n, handed) in (1_u32..).zip(&handed) {
        assert_eq!((&handed["state"], &handed["attempt"]), (&json!("queued"), &json!(0)));
        let placing = told(&gateway, &run, &report_path(handed), json!({"token": token, "state": "placing"})).await;
        assert_eq!((&placing["state"], &placing["attempt"]), (&json!("placing"), &json!(1)));
        let body = json!({"token": token, "state": "placed", "provider_id": sid(n)});
        let placed = told(&gateway, &run, &report_path(handed), body.clone()).await;
        assert_eq!((&placed["state"], &placed["provider_id"]), (&json!("placed"), &json!(sid(n))), "{placed}");
        let again = told(&gateway, &run, &report_path(handed), body).await;
        assert_eq!(again["state"], "placed", "the same report may be sent again");
        let call = gateway.get(&format!("/v1/calls/{}", sid(n))).await;
        assert_eq!((&call["run_id"], &call["lead_id"]), (&run["id"], &handed["lead_id"]), "its call is known: {call}");
    }
    let query = |job: &Value| format!("job_id={}&attempt=1", job["id"].as_str().unwrap());
    callback(&gateway, &sid(1), "ringing", &query(&handed[0]), &[]).await;
    assert_eq!(job(&gateway, &run, &handed[0]).await["state"], "live");
    callback(&gateway, &sid(1), "in-progress", &query(&handed[0]), &[]).await;
    callback(&gateway, &sid(1), "completed", &query(&handed[0]), &[("CallDuration", "9")]).await;
    callback(&gateway, &sid(2), "busy", &query(&handed[1]), &[]).await;
    let done = job(&gateway, &run, &handed[0]).await;
    assert_eq!(
        (&done["state"], &done["outcome"], &done["resolution"]),
        (&json!("done"), &json!("completed"), &json!("callback"))
    );
    assert!(done["ended_at"].is_string() && done["call_id"].as_str().unwrap().starts_with("call_"), "{done}");
    let shown = gateway.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).await;
    assert_eq!(
        (&shown["jobs"]["done"], &shown["outcomes"]["completed"], &shown["outcomes"]["busy"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let by_outcome = gateway.get(&format!("/v1/runs/{}/jobs?outcome=busy", run["id"].as_str().unwrap())).await;
    assert_eq!(column(&by_outcome, "id"), [handed[1]["id"].as_str().unwrap()]);
}

async fn a_lease_is_one_dialers_until_it_ends(gateway: Gateway) {
    let run = started(&gateway, 3).await;
    let first = claim(&gateway, &run, "dialer-1", 1).await;
    gateway.clock.advance(10_000);
    let held = tell(&gateway, &run, "claim", json!({"worker": "dialer-2", "max": 1})).await;
    expect_problem(&held, 409, "lease-held");
    let detail = held.body["detail"].as_str().unwrap();
    assert!(detail.contains("dialer-1") && detail.contains("20000 ms"), "who, and for how long: {detail}");
    // The same worker after a restart: a new token, and its jobs are taken back.
    let restarted = claim(&gateway, &run, "dialer-1", 1).await;
    assert!(restarted["token"].as_i64() > first["token"].as_i64());
    let lost = tell(&gateway, &run, "heartbeat", json!({"token": first["token"]})).await;
    expect_problem(&lost, 409, "lease-lost");
    let shown = gateway.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).await;
    assert_eq!(
        (&shown["lease"]["worker"], &shown["lease"]["until"]),
        (&json!("dialer-1"), &json!(rfc3339(START_MS + 40_000)))
    );
    gateway.clock.advance(30_001);
    let taken = claim(&gateway, &run, "dialer-2", 3).await;
    assert!(taken["token"].as_i64() > restarted["token"].as_i64());
    assert_eq!(taken["jobs"][0]["id"], first["jobs"][0]["id"], "what nobody placed is handed out again");
}

async fn a_dialer_that_lost_its_lease_is_told_at_every_step(gateway: Gateway) {
    let run = started(&gateway, 3).await;
    let mut handed = claim(&gateway, &run, "dialer-1", 1).await;
    let token = handed["token"].clone();
    while handed["jobs"].as_array().unwrap().len() < 2 {
        gateway.clock.advance(10);
        handed = told(&gateway, &run, "claim", json!({"worker": "dialer-1", "token": token, "max": 2})).await;
    }
    let (placing, queued) = (&handed["jobs"][0], &handed["jobs"][1]);
    told(&gateway, &run, &report_path(placing), json!({"token": token, "state": "placing"})).await;
    gateway.clock.advance(31_000);
    claim(&gateway, &run, "dialer-2", 0).await;
    for body in [
        json!({"worker": "dialer-1", "max": 1, "token": token}),
        json!({"worker": "dialer-1", "max": 0, "token": token}),
    ] {
        expect_problem(&tell(&gateway, &run, "claim", body).await, 409, "lease-lost");
    }
    expect_problem(&tell(&gateway, &run, "heartbeat", json!({"token": token})).await, 409, "lease-lost");
    let asked = tell(&gateway, &run, &report_path(queued), json!({"token": token, "state": "placing"})).await;
    expect_problem(&asked, 409, "lease-lost");
    assert_eq!(job(&gateway, &run, queued).await["state"], "queued", "it did no harm");
    assert_eq!(job(&gateway, &run, placing).await["state"], "placing", "nobody places it a second time");
}

async fn a_heartbeat_makes_the_lease_last_and_tells_of_the_end(gateway: Gateway) {
    let run = started(&gateway, 3).await;
    let claimed = claim(&gateway, &run, "dialer-1", 1).await;
    let beat = async || told(&gateway, &run, "heartbeat", json!({"token": claimed["token"]})).await;
    let handed = &claimed["jobs"][0];
    told(&gateway, &run, &report_path(handed), json!({"token": claimed["token"], "state": "placing"})).await;
    let body = json!({"token": claimed["token"], "state": "placed", "provider_id": sid(1)});
    told(&gateway, &run, &report_path(handed), body).await;
    for n in 1..=4 {
        gateway.clock.advance(20_000);
        let heard = beat().await;
        assert_eq!(heard["lease_until"], rfc3339(START_MS + n * 20_000 + 30_000));
        let plain = (&heard["cancel_requested"], &heard["paused"], &heard["state"], &heard["lease_ms"]);
        assert_eq!(plain, (&json!(false), &json!(false), &json!("running"), &json!(30_000)));
    }
    told(&gateway, &run, "pause", json!({})).await;
    assert_eq!(beat().await["paused"], true);
    told(&gateway, &run, "resume", json!({})).await;
    assert_eq!(beat().await["paused"], false);
    let cancelling = told(&gateway, &run, "cancel", json!({})).await;
    assert_eq!(cancelling["state"], "cancelling", "its call is under way: {cancelling}");
    assert_eq!(beat().await["cancel_requested"], true);
}

async fn a_job_is_reported_in_order(gateway: Gateway) {
    let run = started(&gateway, 2).await;
    let claimed = claim(&gateway, &run, "dialer-1", 1).await;
    let (token, handed) = (&claimed["token"], &claimed["jobs"][0]);
    let path = report_path(handed);
    told(&gateway, &run, &path, json!({"token": token, "state": "placing"})).await;
    let failed = json!({"token": token, "state": "failed", "error": "the trunk is down"});
    let failed = told(&gateway, &run, &path, failed).await;
    assert_eq!((&failed["state"], &failed["error"]), (&json!("failed"), &json!("the trunk is down")), "{failed}");
    for late in
        [json!({"token": token, "state": "placing"}), json!({"token": token, "state": "placed", "provider_id": sid(1)})]
    {
        expect_problem(&tell(&gateway, &run, &path, late).await, 409, "job-state");
    }
    assert_eq!(job(&gateway, &run, handed).await["state"], "failed");
    let unhanded = gateway.get(&format!("/v1/runs/{}/jobs?state=queued", run["id"].as_str().unwrap())).await;
    let asked =
        tell(&gateway, &run, &report_path(&unhanded["data"][0]), json!({"token": token, "state": "placing"})).await;
    expect_problem(&asked, 409, "job-state");
}

async fn a_report_or_claim_that_is_wrong_names_its_fields(gateway: Gateway) {
    let run = started(&gateway, 1).await;
    for (body, field) in [
        (json!({}), "worker"),
        (json!({"worker": ""}), "worker"),
        (json!({"worker": "x".repeat(201)}), "worker"),
        (json!({"worker": "a\nb"}), "worker"),
        (json!({"worker": "d", "max": -1}), "max"),
        (json!({"worker": "d", "max": 101}), "max"),
        (json!({"worker": "d", "max": "one"}), "max"),
        (json!({"worker": "d", "token": "x"}), "token"),
        (json!({"worker": "d", "jobs": 1}), "jobs"),
    ] {
        assert_eq!(wrong_fields(&tell(&gateway, &run, "claim", body.clone()).await), [field], "{body}");
    }
    for (body, field) in [(json!({}), "token"), (json!({"token": "x"}), "token"), (json!({"token": 1, "at": 1}), "at")]
    {
        assert_eq!(wrong_fields(&tell(&gateway, &run, "heartbeat", body.clone()).await), [field], "{body}");
    }
    let claimed = claim(&gateway, &run, "dialer-1", 1).await;
    let (token, path) = (&claimed["token"], report_path(&claimed["jobs"][0]));
    for (body, field) in [
        (json!({"state": "placing"}), "token"),
        (json!({"token": token}), "state"),
        (json!({"token": token, "state": "done"}), "state"),
        (json!({"token": token, "state": "placed"}), "provider_id"),
        (json!({"token": token, "state": "placed", "provider_id": "x".repeat(201)}), "provider_id"),
        (json!({"token": token, "state": "failed", "error": "x".repeat(501)}), "error"),
        (json!({"token": token, "state": "placing", "sid": "x"}), "sid"),
    ] {
        let asked = tell(&gateway, &run, &path, body.clone()).await;
        assert_eq!(wrong_fields(&asked)[0], field, "{body}");
        if field == "state" && body.get("state").is_some() {
            let message = asked.body["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains("done") && message.contains("placing"), "{message}");
        }
    }
    let unknown = tell(&gateway, &run, "jobs/job_0", json!({"token": token, "state": "placing"})).await;
    expect_problem(&unknown, 404, "not-found");
    let bad = request(&gateway, Method::POST, &format!("/v1/runs/{}/claim", run["id"].as_str().unwrap()));
    expect_problem(&send(bad.body("{}")).await, 415, "unsupported-media-type");
}

async fn what_onhook_dials_is_not_claimed(gateway: Gateway) {
    let more = json!({"worker": "internal", "from": "+14155550100", "connect": ["client:ann"]});
    let run = make(&gateway, more, 1).await;
    let asked = tell(&gateway, &run, "claim", json!({"worker": "dialer-1", "max": 1})).await;
    expect_problem(&asked, 409, "run-state");
    let external = make(&gateway, json!({}), 1).await;
    let asked = tell(&gateway, &external, "claim", json!({"worker": "dialer-1", "max": 1})).await;
    expect_problem(&asked, 409, "run-state");
    assert!(asked.body["detail"].as_str().unwrap().contains("start it first"), "it is not started: {asked:?}");
}
