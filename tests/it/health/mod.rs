//! Callback health through the front doors: signed callbacks in, figures and findings out.

mod findings;
mod passes;

use crate::support::gateway::{ACCOUNT, Gateway, PUBLIC_URL, config};
use onhook::{
    clock::Clock,
    domain::signal::Signal,
    health::{Health, LAG_MS, Pass},
    ingest::{Ingest, Parts, Received, Submission},
};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::StatusCode;
use serde_json::Value;

/// Counts what is in the journal by now, a little more than a minute later.
async fn settle(gateway: &Gateway) {
    gateway.clock.advance(LAG_MS);
    count_now(gateway).await;
}

/// Counts what is old enough. The gateway has a follower of its own that may be faster.
async fn count_now(gateway: &Gateway) {
    while follower(gateway).tick().await.unwrap() != Pass::Nothing {}
}

fn follower(gateway: &Gateway) -> Health {
    let public_url = Some(PUBLIC_URL.parse().unwrap());
    Health::new(gateway.db.clone(), gateway.clock.shared(), gateway.metrics.clone(), public_url)
}

async fn health(gateway: &Gateway) -> Value {
    gateway.get(&format!("/v1/accounts/{ACCOUNT}/health")).await
}

/// The endings of one direction.
fn endings(health: &Value, direction: &str) -> Value {
    let found = health["endings"].as_array().unwrap().iter().find(|row| row["direction"] == direction);
    found.unwrap_or_else(|| panic!("no {direction} in {health}")).clone()
}

/// The kinds of the findings.
fn kinds(health: &Value) -> Vec<&str> {
    health["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

/// A callback of a leg, with its number.
async fn callback(gateway: &Gateway, call: &str, direction: &str, status: &str, number: u32) {
    let number = number.to_string();
    let usual = [("CallSid", call), ("AccountSid", ACCOUNT), ("CallStatus", status), ("Direction", direction)];
    let more = [("From", "+14155550100"), ("To", "+14155550101"), ("SequenceNumber", number.as_str())];
    let parameters: Vec<_> = usual.into_iter().chain(more).collect();
    assert_eq!(gateway.callback("", &parameters).await.status(), StatusCode::NO_CONTENT);
}

/// A call as Twilio tells it with all four callbacks.
async fn whole_call(gateway: &Gateway, call: &str, direction: &str) {
    for (number, status) in (0..).zip(["initiated", "ringing", "in-progress", "completed"]) {
        callback(gateway, call, direction, status, number).await;
    }
}

/// A door with a writer of its own, for what no webhook can say yet; its time is that of the gateway. One for
/// each test: it draws the same ids again.
fn own_writer(gateway: &Gateway) -> Ingest {
    let (ingest, writer) = Ingest::new(Parts {
        db: gateway.db.clone(),
        clock: gateway.clock.shared(),
        rng: StdRng::seed_from_u64(1),
        rules: onhook::app::rules(&config("sqlite://nowhere.db", &[])),
        metrics: gateway.metrics.clone(),
    });
    tokio::spawn(writer.run());
    ingest
}

/// What came through another door than that of status callbacks.
fn through(source: &str, signal: &Signal, now_ms: i64) -> Submission {
    let body = format!("{source} {now_ms} {}", signal.leg.provider_id);
    let received = Received {
        tenant: "default",
        account: ACCOUNT,
        provider_id: &signal.leg.provider_id,
        source,
        method: "POST",
        query: b"",
        body: body.as_bytes(),
        parameters: body.as_bytes(),
        received_ms: now_ms,
        verified: true,
    };
    let signals = vec![Signal { received_ms: now_ms, ..signal.clone() }];
    Submission {
        tenant: "default".into(),
        provider: "twilio",
        delivery: Some(received.row()),
        signals,
        ask: Vec::new(),
        decision: None,
    }
}

/// A line of the metrics.
fn has_metric(gateway: &Gateway, line: &str) -> bool {
    gateway.metrics.render().lines().any(|found| found == line)
}

fn now_ms(gateway: &Gateway) -> i64 {
    gateway.clock.now_ms()
}
