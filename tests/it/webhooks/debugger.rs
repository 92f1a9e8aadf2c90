//! The Debugger's door: nothing moves, and a call whose callbacks may have been lost is due at once.

use super::doors::{CALL, status, told};
use crate::support::gateway::{ACCOUNT, Gateway, START_MS, on_both_gateways};
use onhook::{domain::time::rfc3339, twilio::door::Door};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    a_lost_callback_makes_its_call_due_once,
    only_codes_that_lose_callbacks_make_a_call_due,
    a_call_that_is_over_or_unknown_stays_as_it_is,
    a_payload_that_cannot_be_read_is_stored,
);

const ALERT: &str = "NO00000000000000000000000000000001";

async fn report(gateway: &Gateway, alert: &str, payload: &str) -> u16 {
    let parameters = [
        ("Sid", alert),
        ("AccountSid", ACCOUNT),
        ("Timestamp", "2026-01-02T03:04:05.000Z"),
        ("Level", "Warning"),
        ("PayloadType", "application/json"),
        ("Payload", payload),
    ];
    told(gateway, Door::Debugger, &parameters).await
}

fn payload(resource: &str, code: &Value) -> String {
    json!({
        "resource_sid": resource, "service_sid": null, "error_code": code, "more_info": {"Msg": "x"},
        "webhook": {
            "type": "application/json",
            "request": {
                "url": "https://ann:secret@calls.example.com/hook/webhooks/twilio/status?lead_id=lead-1",
                "method": "POST", "headers": {}, "parameters": {"CallSid": CALL},
            },
            "response": {"status_code": 502, "headers": {}, "body": ""},
        },
    })
    .to_string()
}

async fn due(gateway: &Gateway) -> Value {
    gateway.get(&format!("/v1/calls/{CALL}")).await["due_at"].clone()
}

async fn a_lost_callback_makes_its_call_due_once(gateway: Gateway) {
    status(&gateway, CALL, "in-progress", &[]).await;
    let usual = due(&gateway).await;
    gateway.clock.advance(10_000);
    assert_eq!(report(&gateway, ALERT, &payload(CALL, &json!("15003"))).await, 204);
    let now = json!(rfc3339(START_MS + 10_000));
    assert!(usual.as_str() > now.as_str(), "it would have been due later: {usual}");
    assert_eq!(due(&gateway).await, now);

    gateway.clock.advance(10_000);
    assert_eq!(report(&gateway, ALERT, &payload(CALL, &json!("15003"))).await, 204, "the same once more");
    assert_eq!(due(&gateway).await, now);
    let other = "NO00000000000000000000000000000002";
    assert_eq!(report(&gateway, other, &payload(CALL, &json!(11200))).await, 204, "another one, and it is due already");
    assert_eq!(due(&gateway).await, now);

    let row = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!((&row["status"], &row["deliveries"]), (&json!("in-progress"), &json!(3)));
    let timeline = gateway.get(&format!("/v1/calls/{CALL}/timeline")).await;
    assert_eq!(timeline["data"].as_array().unwrap().len(), 1, "nothing happened to the call: {timeline}");
    let deliveries = gateway.get(&format!("/v1/calls/{CALL}/deliveries")).await;
    assert_eq!(deliveries["data"][1]["source"], "twilio/debugger");
}

async fn only_codes_that_lose_callbacks_make_a_call_due(gateway: Gateway) {
    status(&gateway, CALL, "ringing", &[]).await;
    let usual = due(&gateway).await;
    let about = |turn: usize| format!("NO{turn:032x}");
    for (turn, code) in
        [json!(12200), json!("13224"), json!(null), json!("none"), json!(-1), json!(1e99)].iter().enumerate()
    {
        assert_eq!(report(&gateway, &about(turn), &payload(CALL, code)).await, 204, "{code}");
        assert_eq!(due(&gateway).await, usual, "{code}");
    }
    gateway.clock.advance(1_000);
    // The resource may be another one; then the request says which call it was about.
    let number = "PN00000000000000000000000000000001";
    assert_eq!(report(&gateway, &about(99), &payload(number, &json!("11217"))).await, 204);
    assert_eq!(due(&gateway).await, rfc3339(START_MS + 1_000));
}

async fn a_call_that_is_over_or_unknown_stays_as_it_is(gateway: Gateway) {
    assert_eq!(report(&gateway, ALERT, &payload(CALL, &json!("15002"))).await, 204);
    assert_eq!(gateway.ask(Method::GET, &format!("/v1/calls/{CALL}"), None).await.0, 404, "no call is made of it");
    status(&gateway, CALL, "completed", &[("CallDuration", "7")]).await;
    let other = "NO00000000000000000000000000000002";
    assert_eq!(report(&gateway, other, &payload(CALL, &json!("15002"))).await, 204);
    assert_eq!(due(&gateway).await, Value::Null);
    let deliveries = gateway.get(&format!("/v1/calls/{CALL}/deliveries")).await;
    assert_eq!(deliveries["data"].as_array().unwrap().len(), 3, "what came before the call is with it: {deliveries}");
}

async fn a_payload_that_cannot_be_read_is_stored(gateway: Gateway) {
    for (turn, broken) in ["", "{\"resource_sid\":\"CA", "[]", "null", "7", &"[".repeat(5_000)].iter().enumerate() {
        let alert = format!("NO{turn:032x}");
        assert_eq!(report(&gateway, &alert, broken).await, 204, "{turn}");
    }
    let parameters = [("AccountSid", ACCOUNT), ("Sid", "NO1"), ("Payload", "{}")];
    assert_eq!(told(&gateway, Door::Debugger, &parameters).await, 400, "a Sid of no shape Twilio sends");
    let stored = onhook::store::deliveries::list_of_call(
        &gateway.db,
        "default",
        ACCOUNT,
        "NO00000000000000000000000000000001",
        (0, ""),
        10,
    );
    assert_eq!(stored.await.unwrap().len(), 1, "filed under the report where there is no call");
}
