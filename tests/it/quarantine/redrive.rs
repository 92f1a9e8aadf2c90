//! What was refused for a day is applied as if it had come in time.

use crate::support::{
    database::{Place, TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, START_MS, TOKEN},
};
use onhook::clock::ManualClock;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

on_both!(
    after_a_day_everything_is_as_if_it_had_come_in_time,
    what_still_does_not_verify_stays,
    a_crash_in_between_doubles_nothing
);

const DAY: i64 = 86_400_000;

/// A callback of the story: when it came, its query, its parameters.
struct Told {
    at_ms: i64,
    query: String,
    parameters: Vec<(&'static str, String)>,
}

fn call(n: usize) -> String {
    format!("CA{n:032}")
}

/// Ten calls with three callbacks each: answered, busy and unanswered, tied by URL, by number and not at all.
fn story() -> Vec<Told> {
    let mut told = Vec::new();
    for n in 0..10 {
        let statuses = match n % 3 {
            0 => ["ringing", "in-progress", "completed"],
            1 => ["initiated", "ringing", "busy"],
            _ => ["initiated", "ringing", "no-answer"],
        };
        for (step, status) in statuses.into_iter().enumerate() {
            let at_ms = START_MS + (n * 60_000 + step * 7_000 + 500) as i64;
            let mut parameters = vec![
                ("AccountSid", ACCOUNT.to_owned()),
                ("CallSid", call(n)),
                ("CallStatus", status.to_owned()),
                ("Direction", "outbound-api".to_owned()),
                ("From", "+14155550100".to_owned()),
                ("To", format!("+141555501{:02}", n % 4)),
                ("SequenceNumber", step.to_string()),
            ];
            if status == "completed" {
                parameters.push(("CallDuration", "7".to_owned()));
            }
            let query = if n % 2 == 0 { format!("lead_id=lead-{}", n % 4) } else { String::new() };
            told.push(Told { at_ms, query, parameters });
        }
    }
    told
}

async fn with_leads(gateway: &Gateway) {
    for n in 0..4 {
        let lead = json!({"name": format!("Lead {n}"), "phone": format!("+141555501{n:02}")});
        let (status, _) = gateway.ask(Method::PUT, &format!("/v1/leads/lead-{n}"), Some(lead)).await;
        assert_eq!(status, StatusCode::CREATED);
    }
}

async fn tell(gateway: &Gateway, told: &Told) -> StatusCode {
    gateway.clock.set(told.at_ms);
    let parameters: Vec<(&str, &str)> = told.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    gateway.callback(&told.query, &parameters).await.status()
}

/// Everything that is known of calls and leads, but for ids of ours, and for what says when it was written.
async fn known(gateway: &Gateway) -> Value {
    let mut calls = gateway.get("/v1/calls?limit=200").await["data"].as_array().unwrap().clone();
    for call in &mut calls {
        // What it is tied to by its number is looked up when it is applied, which is a signal of its own.
        call.as_object_mut().unwrap().retain(|name, _| !["id", "last_signal_at"].contains(&name.as_str()));
    }
    calls.sort_by_key(|call| call["provider_id"].to_string());
    let mut activity = Vec::new();
    for n in 0..4 {
        let rows = gateway.get(&format!("/v1/leads/lead-{n}/activity")).await["data"].as_array().unwrap().clone();
        activity.extend(rows.into_iter().map(|mut row| {
            row.as_object_mut().unwrap().retain(|name, _| !name.ends_with("call_id"));
            row
        }));
    }
    json!({"calls": calls, "leads": gateway.get("/v1/leads").await["data"], "activity": activity})
}

/// A gateway with the wrong token, then another one on the same database with the right one.
async fn mended(at: &TestDatabase, clock: &ManualClock, refused: &[&Told]) -> Gateway {
    let wrong = Gateway::with_clock(&at.place, &[("TWILIO_AUTH_TOKEN", "of-last-year")], clock.clone()).await;
    with_leads(&wrong).await;
    for told in refused {
        assert_eq!(tell(&wrong, told).await, StatusCode::FORBIDDEN);
    }
    assert_eq!(wrong.get("/v1/calls").await["data"], json!([]));
    wrong.stop().await;
    Gateway::with_clock(&at.place, &[], clock.clone()).await
}

async fn redrive(gateway: &Gateway, what: Value) -> Value {
    let (status, body) = gateway.ask(Method::POST, "/v1/quarantine/redrive", Some(what)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

async fn another(at: &TestDatabase) -> TestDatabase {
    match at.place {
        Place { ref url, .. } if url.starts_with("sqlite") => TestDatabase::sqlite().await,
        _ => TestDatabase::postgres().await,
    }
}

async fn after_a_day_everything_is_as_if_it_had_come_in_time(at: TestDatabase) {
    let story = story();
    assert_eq!(story.len(), 30);
    let (last, refused) = story.split_last().unwrap();

    let in_time_at = another(&at).await;
    let in_time = Gateway::on(&in_time_at, &[]).await;
    with_leads(&in_time).await;
    for told in &story {
        assert_eq!(tell(&in_time, told).await, StatusCode::NO_CONTENT);
    }
    in_time.clock.set(START_MS + DAY);

    // In disorder, some twice; the last one arrives normally before anything is redriven.
    let clock = ManualClock::new(START_MS);
    let mut disorder: Vec<&Told> = refused.iter().rev().collect();
    disorder.swap(3, 17);
    let gateway = mended(&at, &clock, &disorder).await;
    assert_eq!(tell(&gateway, last).await, StatusCode::NO_CONTENT);
    gateway.clock.set(START_MS + DAY);
    assert_ne!(known(&gateway).await, known(&in_time).await);

    let listed = gateway.get("/v1/quarantine?limit=200").await["data"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 29);
    assert!(listed.iter().all(|row| row["reason"] == "signature-mismatch" && row["account"] == ACCOUNT));
    let dry = redrive(&gateway, json!({"all": true, "dry_run": true})).await;
    assert_eq!((&dry["applied"], &dry["stayed"]), (&json!(29), &json!(0)));
    assert_eq!(gateway.get("/v1/calls").await["data"].as_array().unwrap().len(), 1, "a dry run changes nothing");

    let done = redrive(&gateway, json!({"account": ACCOUNT})).await;
    assert_eq!((&done["looked"], &done["applied"], &done["stayed"]), (&json!(29), &json!(29), &json!(0)), "{done}");
    assert_eq!(done["next_cursor"], Value::Null);
    let (now, expected) = (known(&gateway).await, known(&in_time).await);
    assert_eq!(now, expected);
    assert!(now["calls"].as_array().unwrap().iter().all(|call| call["verified"] == json!(true)));
    assert_eq!(now["leads"].as_array().unwrap().iter().filter(|lead| lead["status"] == "contacted").count(), 4);
    assert_eq!(gateway.get("/v1/quarantine").await["data"], json!([]));
    assert_eq!(redrive(&gateway, json!({"all": true})).await["looked"], 0);
    assert!(gateway.metrics.render().contains("onhook_quarantine_redriven_total 29"));
}

async fn what_still_does_not_verify_stays(at: TestDatabase) {
    let story = story();
    let clock = ManualClock::new(START_MS);
    let gateway = mended(&at, &clock, &story.iter().take(3).collect::<Vec<_>>()).await;
    let body = format!("AccountSid={ACCOUNT}&CallSid={}&CallStatus=busy", call(77));
    assert_eq!(gateway.post_signed("forged", "", body.as_bytes()).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(gateway.post_raw("", body.as_bytes(), None).await.status(), StatusCode::FORBIDDEN);
    let unreadable = format!("AccountSid={ACCOUNT}&CallSid=wrong&CallStatus=busy");
    assert_eq!(gateway.post_signed(TOKEN, "", unreadable.as_bytes()).await.status(), StatusCode::BAD_REQUEST);
    let done = redrive(&gateway, json!({"all": true})).await;
    assert_eq!((&done["applied"], &done["stayed"]), (&json!(3), &json!(3)), "{done}");
    let left = gateway.get("/v1/quarantine").await;
    let mut reasons: Vec<&str> =
        left["data"].as_array().unwrap().iter().map(|row| row["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["signature-mismatch", "signature-missing", "unreadable"]);
    // By reason and by id; what is not there is said.
    let done = redrive(&gateway, json!({"reason": "signature-missing"})).await;
    assert_eq!((&done["looked"], &done["rows"][0]["outcome"]), (&json!(1), &json!("stays")));
    let id = left["data"][0]["id"].as_str().unwrap();
    let done = redrive(&gateway, json!({"ids": [id, "qua_0"]})).await;
    assert_eq!((&done["looked"], &done["rows"][1]["outcome"]), (&json!(1), &json!("not-found")), "{done}");
    assert_eq!(gateway.get("/v1/calls").await["data"].as_array().unwrap().len(), 1, "only the first call is known");
}

async fn a_crash_in_between_doubles_nothing(at: TestDatabase) {
    let story = story();
    let clock = ManualClock::new(START_MS);
    let refused: Vec<&Told> = story.iter().take(3).collect();
    let gateway = mended(&at, &clock, &refused).await;
    // The same deliveries came once more and were taken: what a crash after the first commit leaves behind.
    for told in &refused {
        assert_eq!(tell(&gateway, told).await, StatusCode::NO_CONTENT);
    }
    let before = known(&gateway).await;
    let done = redrive(&gateway, json!({"all": true})).await;
    assert_eq!((&done["repeated"], &done["applied"]), (&json!(3), &json!(0)), "{done}");
    assert_eq!(known(&gateway).await["leads"], before["leads"]);
    assert_eq!(known(&gateway).await["calls"][0]["deliveries"], 3);
    assert_eq!(gateway.get("/v1/quarantine").await["data"], json!([]));
}
