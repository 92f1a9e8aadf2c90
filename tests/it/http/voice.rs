//! How calls are answered, over REST.

use super::{Asked, column, expect_problem, key_of, keyed, request, send, wrong_fields};
use crate::support::gateway::{Gateway, START_MS, on_both_gateways};
use onhook::{directory::Scope, domain::time::rfc3339};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    settings_are_shown_as_they_were_written,
    numbers_are_listed_and_forgotten,
    wrong_settings_name_their_field,
    what_is_never_dialed_is_not_written,
    circles_are_not_written,
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

async fn what_is_never_dialed_is_not_written(gateway: Gateway) {
    let path = "/v1/voice/numbers/+14155550100";
    let refused = put(&gateway, path, json!({ "connect": ["client:ann", "+19005550100"] })).await;
    assert_eq!(wrong_fields(&refused), ["connect[1]"]);
    let message = refused.body["errors"][0]["message"].as_str().unwrap();
    for word in ["+19005550100", "premium", "allow_prefixes"] {
        assert!(message.contains(word), "{message}");
    }
    // What the tenant allows counts for its numbers, and what it restricts.
    put(&gateway, "/v1/voice", json!({ "allow_prefixes": ["+1900"], "sip_hosts": ["pbx.example.com"] })).await;
    assert_eq!(put(&gateway, path, json!({ "connect": ["+19005550100"] })).await.status, 201);
    let elsewhere = put(&gateway, path, json!({ "connect": ["sip:a@other.example.com"] })).await;
    assert_eq!(wrong_fields(&elsewhere), ["connect[0]"]);
    assert!(elsewhere.body["errors"][0]["message"].as_str().unwrap().contains("sip_hosts"), "{elsewhere:?}");
    assert_eq!(gateway.get(path).await["connect"], json!(["+19005550100"]), "what was set stays");
}

async fn circles_are_not_written(gateway: Gateway) {
    let number = |n: u32| format!("+1415555{n:04}");
    let connect = async |of: u32, to: &[u32]| {
        let to: Vec<String> = to.iter().map(|n| number(*n)).collect();
        put(&gateway, &format!("/v1/voice/numbers/{}", number(of)), json!({ "connect": to })).await
    };
    let expect_circle = |asked: &Asked, chain: &[u32]| {
        assert_eq!(wrong_fields(asked), ["connect"], "{asked:?}");
        let chain: Vec<String> = chain.iter().map(|n| number(*n)).collect();
        let message = asked.body["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(&chain.join(" > ")), "{message}");
    };
    for (of, to) in [(101, &[150, 102][..]), (102, &[103, 151])] {
        assert_eq!(connect(of, to).await.status, 201);
    }
    expect_circle(&connect(103, &[152, 101]).await, &[103, 101, 102, 103]);
    // A number that leaves `connect` to the tenant is put through as the tenant has it.
    assert_eq!(put(&gateway, &format!("/v1/voice/numbers/{}", number(103)), json!({})).await.status, 201);
    expect_circle(&put(&gateway, "/v1/voice", json!({ "connect": [number(101)] })).await, &[101, 102, 103, 101]);
    assert_eq!(gateway.get("/v1/voice").await["connect"], Value::Null, "nothing was written");
    assert_eq!(connect(103, &[152]).await.status, 200);
    assert_eq!(put(&gateway, "/v1/voice", json!({ "connect": [number(101)] })).await.status, 200);
    expect_circle(
        &put(&gateway, &format!("/v1/voice/numbers/{}", number(103)), json!({})).await,
        &[103, 101, 102, 103],
    );
    // Two of two tenants do not meet.
    let (_, acme) = key_of(&gateway, "acme", Scope::ALL, None).await;
    let path = format!("/v1/voice/numbers/{}", number(103));
    let other = keyed(&gateway, &acme, Method::PUT, &path).json(&json!({ "connect": [number(101)] }));
    assert_eq!(send(other).await.status, 201);
    // The work is bounded: whoever is put through that often is refused.
    for n in 200..302 {
        connect(n, &[n + 1]).await;
    }
    let long = connect(199, &[200]).await;
    assert_eq!(wrong_fields(&long), ["connect"]);
    assert!(long.body["errors"][0]["message"].as_str().unwrap().contains("more than 100"), "{long:?}");
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
        (json!({ "voice": "<b>", "language": "english" }), vec!["voice", "language"]),
        (json!({ "language": "e" }), vec!["language"]),
        (json!({ "language": "en--US" }), vec!["language"]),
        (json!({ "language": "en-abcdefghi" }), vec!["language"]),
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
