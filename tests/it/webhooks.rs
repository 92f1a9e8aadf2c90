//! Bad input at the webhook door: each is answered well, nothing is lost, nothing panics.

mod ami;
mod aside;
mod debugger;
pub mod doors;
mod events;

use crate::support::gateway::{ACCOUNT, Gateway, PUBLIC_URL, START_MS, TOKEN, on_both_gateways};
use onhook::{
    domain::time::rfc3339,
    twilio::{form::Form, signature},
};
use reqwest::{Method, StatusCode};
use serde_json::json;

on_both_gateways!(
    signatures_that_do_not_verify_are_refused,
    bodies_that_cannot_be_read_are_refused,
    odd_values_are_taken_for_what_they_are,
    unknown_words_are_stored_and_move_nothing,
    correlation_is_taken_from_the_signed_url,
    raw_bytes_are_kept,
    announced_calls_are_matched_once,
    numbers_find_their_lead,
    repeated_deliveries_are_bounded_in_the_timeline,
    a_probe_says_whether_it_verifies_and_leaves_nothing,
);

const CALL: &str = "CA00000000000000000000000000000042";

fn callback<'a>(call: &'a str, status: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("CallSid", call),
        ("AccountSid", ACCOUNT),
        ("CallStatus", status),
        ("Direction", "outbound-api"),
        ("From", "+14155550100"),
        ("To", "+14155550199"),
    ]
}

fn encoded(parameters: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(parameters).unwrap()
}

async fn signatures_that_do_not_verify_are_refused(gateway: Gateway) {
    let body = encoded(&callback(CALL, "ringing"));
    let form = Form::parse(body.as_bytes()).unwrap();
    let right = signature::sign(TOKEN, &format!("{PUBLIC_URL}/webhooks/twilio/status"), Some(&form));
    for wrong in
        [None, Some(""), Some("%%%"), Some("c2hvcnQ="), Some(&right[..20]), Some("0000000000000000000000000000")]
    {
        let response = gateway.post_raw("", body.as_bytes(), wrong).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{wrong:?}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: serde_json::Value = response.json().await.unwrap();
        assert_eq!(problem["type"], "/problems/signature-refused");
    }
    let changed = body.replace("ringing", "ringinh");
    assert_eq!(gateway.post_raw("", changed.as_bytes(), Some(&right)).await.status(), 403, "one byte of the body");
    assert_eq!(gateway.post_raw("lead_id=x", body.as_bytes(), Some(&right)).await.status(), 403, "another URL");
    assert_eq!(gateway.post_signed("another-token", "", body.as_bytes()).await.status(), 403, "another token");
    let stranger = body.replace(ACCOUNT, "AC99999999999999999999999999999999");
    assert_eq!(gateway.post_signed(TOKEN, "", stranger.as_bytes()).await.status(), 403, "unknown account");
    assert_eq!(gateway.ask(Method::GET, &format!("/v1/calls/{CALL}"), None).await.0, 404, "nothing was applied");
    assert_eq!(gateway.post_raw("", body.as_bytes(), Some(&right)).await.status(), 204, "the right one verifies");
}

async fn bodies_that_cannot_be_read_are_refused(gateway: Gateway) {
    assert_eq!(gateway.post_signed(TOKEN, "", b"").await.status(), 403, "an empty body names no account");
    let huge = format!("{}&Pad={}", encoded(&callback(CALL, "ringing")), "x".repeat(64 * 1024));
    assert_eq!(gateway.post_signed(TOKEN, "", huge.as_bytes()).await.status(), 413);
    let many = format!("{}{}", encoded(&callback(CALL, "ringing")), "&a=b".repeat(10_000));
    let response = gateway.post_signed(TOKEN, "", many.as_bytes()).await;
    assert_eq!(response.status(), 400);
    assert!(response.text().await.unwrap().contains("parameters"));
    for (call, account, why) in [
        ("CA123", ACCOUNT, "a short CallSid"),
        ("", ACCOUNT, "an empty CallSid"),
        ("XX00000000000000000000000000000042", ACCOUNT, "another kind of SID"),
    ] {
        let body = encoded(&[("CallSid", call), ("AccountSid", account), ("CallStatus", "ringing")]);
        let response = gateway.post_signed(TOKEN, "", body.as_bytes()).await;
        assert_eq!(response.status(), 400, "{why}");
        assert!(response.text().await.unwrap().contains("CallSid"), "{why}: the answer names the field");
    }
    let json = gateway
        .client
        .post(format!("{}/webhooks/twilio/status", gateway.address))
        .json(&json!({"CallSid": CALL}))
        .send()
        .await
        .unwrap();
    assert_eq!(json.status(), 400, "not a form");
    assert!(json.text().await.unwrap().contains("application/x-www-form-urlencoded"));
    let put = gateway.client.put(format!("{}/webhooks/twilio/status", gateway.address)).send().await.unwrap();
    assert_eq!(put.status(), 405);
    assert_eq!(put.headers()["content-type"], "application/problem+json");
}

async fn odd_values_are_taken_for_what_they_are(gateway: Gateway) {
    for (turn, (name, value)) in [
        ("Timestamp", "Fri, 31 Dec 9999 23:59:59 +0000"),
        ("Timestamp", "Thu, 01 Jan 1970 00:00:00 +0000"),
        ("Timestamp", "never"),
        ("CallDuration", "-1"),
        ("CallDuration", "1000000000000"),
        ("CallDuration", "NaN"),
        ("SequenceNumber", "99999999999999999999"),
        ("From", "a\0b"),
        ("To", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let call = format!("CA{turn:032x}");
        let mut parameters = callback(&call, "completed");
        parameters.retain(|(n, _)| *n != name);
        parameters.push((name, value));
        assert_eq!(gateway.callback("", &parameters).await.status(), 204, "{name}={value:?}");
        let row = gateway.get(&format!("/v1/calls/{call}")).await;
        assert_eq!(row["status"], "completed", "{name}={value:?}");
        assert_eq!(row["ended_at"], rfc3339(START_MS), "{name}={value:?}: the time counts as untold");
        assert_eq!(row["talk_seconds"], 0);
    }
    let bytes =
        [encoded(&callback(CALL, "ringing")).as_bytes(), b"&CallerName=%FF%FE%zz%&CallerName=again&x=%00"].concat();
    assert_eq!(
        gateway.post_signed(TOKEN, "", &bytes).await.status(),
        204,
        "invalid UTF-8, stray percents, repeated names"
    );
    assert_eq!(gateway.post_signed(TOKEN, "", &bytes).await.status(), 204, "and again");
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["deliveries"], 1);
}

async fn unknown_words_are_stored_and_move_nothing(gateway: Gateway) {
    assert_eq!(gateway.callback("", &callback(CALL, "ringing")).await.status(), 204);
    assert_eq!(gateway.callback("", &callback(CALL, "teleported")).await.status(), 204);
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["status"], "ringing");
    let timeline = gateway.get(&format!("/v1/calls/{CALL}/timeline")).await;
    assert_eq!(timeline["data"][1]["step"], "refused");
    assert!(timeline["data"][1]["claim"].is_null());
    let counted = gateway.metrics.render();
    let line = counted.lines().find(|l| l.contains("refused") && l.contains("status") && l.ends_with(" 1"));
    assert!(line.is_some(), "{counted}");
}

async fn correlation_is_taken_from_the_signed_url(gateway: Gateway) {
    let odd = "it's \"l%C3%A9ad\"%0Aline";
    let query = format!(
        "lead_id={}&user_id=ann&extension=101&job_id=job-1",
        odd.replace(' ', "%20").replace('"', "%22").replace('\'', "%27")
    );
    assert_eq!(gateway.callback(&query, &callback(CALL, "ringing")).await.status(), 204);
    let row = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!(row["lead_id"], "it's \"léad\"\nline");
    assert_eq!((row["user_id"].as_str(), row["extension"].as_str()), (Some("ann"), Some("101")));
    let other = "CA00000000000000000000000000000043";
    let long = format!("lead_id={}", "x".repeat(10_000));
    assert_eq!(gateway.callback(&long, &callback(other, "ringing")).await.status(), 204);
    assert!(gateway.get(&format!("/v1/calls/{other}")).await["lead_id"].is_null(), "over 200 bytes: ignored");
}

async fn raw_bytes_are_kept(gateway: Gateway) {
    let body = format!("{}&Odd=%zz+%20&Empty=", encoded(&callback(CALL, "ringing")));
    assert_eq!(gateway.post_signed(TOKEN, "lead_id=a%2Bb&x=1&x=2", body.as_bytes()).await.status(), 204);
    let delivery = &gateway.get(&format!("/v1/calls/{CALL}/deliveries")).await["data"][0];
    assert_eq!(delivery["body"], body);
    assert_eq!(delivery["query"], "lead_id=a%2Bb&x=1&x=2");
    assert_eq!(delivery["verified"], true);
}

async fn announced_calls_are_matched_once(gateway: Gateway) {
    let announcement = json!({"account": ACCOUNT, "to": "+14155550199", "lead_id": "lead-7", "user_id": "ann"});
    let (status, answer) = gateway.ask(Method::POST, "/v1/calls", Some(announcement)).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(answer["expected"]["lead_id"], "lead-7");
    let second = "CA00000000000000000000000000000043";
    gateway.callback("", &callback(CALL, "initiated")).await;
    gateway.callback("", &callback(second, "initiated")).await;
    let row = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!((row["lead_id"].as_str(), row["user_id"].as_str()), (Some("lead-7"), Some("ann")));
    assert!(gateway.get(&format!("/v1/calls/{second}")).await["lead_id"].is_null(), "matched once, first come");
    let timeline = gateway.get(&format!("/v1/calls/{CALL}/timeline")).await;
    assert_eq!(timeline["data"][1]["claim"], "link");
    assert_eq!(timeline["data"][1]["step"], "noted");
}

async fn numbers_find_their_lead(gateway: Gateway) {
    let lead = json!({"id": "lead-9", "name": "Nine", "phone": "+1 (415) 555-0199"});
    assert_eq!(gateway.ask(Method::POST, "/v1/leads", Some(lead)).await.0, 201);
    gateway.callback("", &callback(CALL, "in-progress")).await;
    let mut end = callback(CALL, "completed");
    end.push(("CallDuration", "12"));
    gateway.callback("", &end).await;
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["lead_id"], "lead-9");
    let lead = gateway.get("/v1/leads/lead-9").await;
    assert_eq!((lead["status"].as_str(), lead["contact_count"].as_i64()), (Some("contacted"), Some(1)));
    let activity = gateway.get("/v1/leads/lead-9/activity").await;
    assert_eq!(activity["data"].as_array().unwrap().len(), 1);
    assert_eq!(activity["data"][0]["outcome"], "completed");
}

async fn repeated_deliveries_are_bounded_in_the_timeline(gateway: Gateway) {
    for _ in 0..40 {
        assert_eq!(gateway.callback("", &callback(CALL, "ringing")).await.status(), 204);
    }
    let row = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!(row["deliveries"], 1);
    let timeline = gateway.get(&format!("/v1/calls/{CALL}/timeline?limit=200")).await;
    assert_eq!(timeline["data"].as_array().unwrap().len(), 21, "one step and twenty repetitions");
}

/// What `onhook doctor` asks through the public URL.
async fn a_probe_says_whether_it_verifies_and_leaves_nothing(gateway: Gateway) {
    let probe = format!("AccountSid={ACCOUNT}&CallStatus=ringing&OnhookProbe=1");
    assert_eq!(gateway.post_signed(TOKEN, "", probe.as_bytes()).await.status(), 204);
    assert_eq!(gateway.post_signed("another-token", "", probe.as_bytes()).await.status(), 403);
    let stranger = probe.replace(ACCOUNT, "AC99999999999999999999999999999999");
    assert_eq!(gateway.post_signed(TOKEN, "", stranger.as_bytes()).await.status(), 403);
    assert_eq!(gateway.get("/v1/calls").await["data"], json!([]), "nothing was stored");
    assert_eq!(gateway.get("/v1/quarantine").await["data"], json!([]), "nor quarantined");
    // A device may add parameters to what Twilio sends: what names a call is a callback.
    let callback = format!("{probe}&CallSid={CALL}");
    assert_eq!(gateway.post_signed("another-token", "", callback.as_bytes()).await.status(), 403);
    assert_eq!(gateway.get("/v1/quarantine").await["data"].as_array().unwrap().len(), 1);
    assert_eq!(gateway.post_signed(TOKEN, "", callback.as_bytes()).await.status(), 204);
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["status"], "ringing");
}
