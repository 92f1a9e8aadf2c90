//! How calls are answered, over REST.

use super::{Asked, column, expect_problem, request, send, wrong_fields};
use crate::support::gateway::{Gateway, START_MS, on_both_gateways};
use onhook::domain::time::rfc3339;
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    settings_are_shown_as_they_were_written,
    numbers_are_listed_and_forgotten,
    wrong_settings_name_their_field
);

async fn put(gateway: &Gateway, path: &str, body: Value) -> Asked {
    send(request(gateway, Method::PUT, path).json(&body)).await
}

async fn settings_are_shown_as_they_were_written(gateway: Gateway) {
    let unset = gateway.get("/v1/voice").await;
    assert!(unset.as_object().unwrap().values().all(Value::is_null), "{unset}");
    let full = json!({
        "caller_id": "+1 (415) 555-0100", "connect": ["client:ann", "+1 415 555 0101", "client:ann"],
        "timeout_seconds": 5, "time_limit_seconds": 86400, "record": "record-from-ringing-dual",
        "machine_detection": "DetectMessageEnd", "greeting": "é".repeat(2048), "whisper": "", "voice": "Google.en-US-A",
        "language": "en-US", "unanswered": "No <one>", "allow_prefixes": ["+1900"], "only_prefixes": [],
        "sip_hosts": ["PBX.example.com", "[::1]"],
    });
    let written = put(&gateway, "/v1/voice", full.clone()).await;
    assert_eq!(written.status, 200, "{written:?}");
    let mut expected = full;
    expected["caller_id"] = json!("+14155550100");
    expected["connect"] = json!(["client:ann", "+14155550101"]);
    expected["sip_hosts"] = json!(["pbx.example.com", "[::1]"]);
    expected["number"] = Value::Null;
    expected["updated_at"] = json!(rfc3339(START_MS));
    assert_eq!(written.body, expected);
    assert_eq!(gateway.get("/v1/voice").await, expected);
    // It is replaced as a whole.
    let written = put(&gateway, "/v1/voice", json!({ "caller_id": "caller" })).await;
    assert_eq!((&written.body["caller_id"], &written.body["connect"]), (&json!("caller"), &Value::Null));
}

async fn numbers_are_listed_and_forgotten(gateway: Gateway) {
    put(&gateway, "/v1/voice", json!({ "connect": ["client:ann"] })).await;
    for number in ["+14155550103", "+14155550101", "+14155550102"] {
        let path = format!("/v1/voice/numbers/{number}");
        let created = put(&gateway, &path, json!({ "timeout_seconds": 9 })).await;
        assert_eq!((created.status.as_u16(), &created.body["number"]), (201, &json!(number)));
        assert_eq!(gateway.get(&path).await, created.body);
        assert_eq!(put(&gateway, &path, json!({})).await.status, 200, "it was there");
    }
    let page = gateway.get("/v1/voice/numbers?limit=2").await;
    assert_eq!(column(&page, "number"), ["+14155550101", "+14155550102"]);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = gateway.get(&format!("/v1/voice/numbers?cursor={cursor}")).await;
    assert_eq!(column(&rest, "number"), ["+14155550103"]);
    assert!(rest["next_cursor"].is_null());
    // However it is written, it is the same number.
    let spelled = "/v1/voice/numbers/%2B1%20(415)%20555-0101";
    assert_eq!(gateway.get(spelled).await["number"], "+14155550101");
    let forget = || request(&gateway, Method::DELETE, spelled);
    assert_eq!(send(forget()).await.status, 204);
    expect_problem(&send(forget()).await, 404, "not-found");
    expect_problem(&send(request(&gateway, Method::GET, spelled)).await, 404, "not-found");
    for nothing in ["/v1/voice/numbers/ann", "/v1/voice/numbers/%00"] {
        expect_problem(&send(request(&gateway, Method::GET, nothing)).await, 404, "not-found");
        expect_problem(&send(request(&gateway, Method::DELETE, nothing)).await, 404, "not-found");
        assert_eq!(wrong_fields(&put(&gateway, nothing, json!({})).await), ["number"]);
    }
    assert_eq!(gateway.get("/v1/voice").await["connect"], json!(["client:ann"]));
}

async fn wrong_settings_name_their_field(gateway: Gateway) {
    let path = "/v1/voice/numbers/+14155550100";
    for (body, fields) in [
        (json!({ "caller_id": "ann" }), vec!["caller_id"]),
        (json!({ "caller_id": "client:ann" }), vec!["caller_id"]),
        (json!({ "connect": ["client:ann", "911", "+19"] }), vec!["connect[1]", "connect[2]"]),
        (json!({ "connect": ["client:a b", "sip:a", "sip:a@b?x=y"] }), vec!["connect[0]", "connect[1]", "connect[2]"]),
        (json!({ "connect": ["client:a,client:b"] }), vec!["connect[0]"]),
        (json!({ "connect": ["+14155550100"] }), vec!["connect[0]"]),
        (json!({ "connect": (0..11).map(|n| format!("client:a{n}")).collect::<Vec<_>>() }), vec!["connect"]),
        (json!({ "connect": "client:ann" }), vec!["connect"]),
        (json!({ "timeout_seconds": 4, "time_limit_seconds": 86401 }), vec!["timeout_seconds", "time_limit_seconds"]),
        (json!({ "timeout_seconds": 601 }), vec!["timeout_seconds"]),
        (json!({ "timeout_seconds": -1, "time_limit_seconds": 0 }), vec!["timeout_seconds", "time_limit_seconds"]),
        (json!({ "record": "yes", "machine_detection": "enable" }), vec!["record", "machine_detection"]),
        (json!({ "greeting": "a\nb", "whisper": "\0" }), vec!["greeting", "whisper"]),
        (json!({ "unanswered": "x".repeat(4097) }), vec!["unanswered"]),
        (json!({ "voice": "al ice", "language": "en_US" }), vec!["voice", "language"]),
        (json!({ "allow_prefixes": ["1900"], "only_prefixes": ["+"] }), vec!["allow_prefixes[0]", "only_prefixes[0]"]),
        (json!({ "only_prefixes": ["+1234567890123456"] }), vec!["only_prefixes[0]"]),
        (
            json!({ "sip_hosts": ["a b", "sip:a", "a:5060", ""] }),
            vec!["sip_hosts[0]", "sip_hosts[1]", "sip_hosts[2]", "sip_hosts[3]"],
        ),
        (json!({ "sip_hosts": vec!["a"; 101] }), vec!["sip_hosts"]),
        (json!({ "statusCallback": "https://x" }), vec!["statusCallback"]),
    ] {
        assert_eq!(wrong_fields(&put(&gateway, path, body.clone()).await), fields, "{body}");
    }
    let asked = put(&gateway, path, json!({ "record": "yes" })).await;
    let message = asked.body["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("yes") && message.contains("record-from-answer"), "{message}");
    expect_problem(&put(&gateway, path, json!([])).await, 422, "invalid-fields");
    assert_eq!(gateway.get("/v1/voice/numbers").await["data"], json!([]), "nothing was written");
}
