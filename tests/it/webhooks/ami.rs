//! Events that a PBX pushes.

use crate::{
    http::{Asked, expect_problem, key_of, keyed, request, send, wrong_fields},
    support::{
        database::{TestDatabase, on_both},
        gateway::{ACCOUNT, Gateway, START_MS, on_both_gateways},
    },
};
use onhook::{directory::Scope, store::pbx};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    what_is_pushed_makes_calls,
    a_form_is_one_event,
    who_may_push_and_for_which_pbx,
    what_is_wrong_is_named_and_nothing_is_taken,
    another_gateway_has_the_pbx,
);

on_both!(a_pbx_that_is_connected_to_does_not_push);

const CALL: &str = "1767323045.10";

async fn pbx(gateway: &Gateway) {
    let body = json!({"provider": "asterisk", "id": "site-a"});
    assert_eq!(send(request(gateway, Method::POST, "/v1/accounts").json(&body)).await.status, 201);
}

async fn push(gateway: &Gateway, query: &str, body: &Value) -> Asked {
    send(request(gateway, Method::POST, &format!("/webhooks/ami{query}")).json(body)).await
}

/// A call that somebody begins.
fn newchannel() -> Value {
    json!({"Event": "Newchannel", "Timestamp": format!("{}.250000", START_MS / 1_000), "Channel": "PJSIP/2001-0000000a",
        "ChannelState": 4, "ChannelStateDesc": "Ring", "CallerIDNum": "2001", "Context": "internal", "Exten": "2002",
        "Priority": "1", "Uniqueid": CALL, "Linkedid": CALL})
}

async fn what_is_pushed_makes_calls(gateway: Gateway) {
    pbx(&gateway).await;
    let asked = push(&gateway, "?pbx=site-a", &json!([newchannel()])).await;
    assert_eq!((asked.status.as_u16(), &asked.body), (204, &Value::Null), "{asked:?}");
    let call = gateway.get(&format!("/v1/calls/{CALL}")).await;
    for (field, value) in [("provider", "asterisk"), ("account", "site-a"), ("provider_id", CALL)] {
        assert_eq!(call[field], value, "{call}");
    }
    assert_eq!(push(&gateway, "?pbx=site-a", &json!([newchannel()])).await.status, 204, "again");
    let again = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!((&again["status"], &again["id"]), (&call["status"], &call["id"]));
    let account = gateway.get("/v1/accounts/site-a").await;
    assert_eq!(account["connection"]["state"], "pushed", "{account}");
    let metrics = gateway.metrics.render();
    let line = metrics.lines().find(|line| line.contains("\"ami\"") && line.contains("stored")).unwrap();
    assert!(line.ends_with(" 2"), "{line}");
}

async fn a_form_is_one_event(gateway: Gateway) {
    pbx(&gateway).await;
    let event = newchannel();
    let mut pairs: Vec<(String, String)> = vec![("pbx".into(), "site-a".into())];
    for (name, value) in event.as_object().unwrap() {
        pairs.push((name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    let asked = send(request(&gateway, Method::POST, "/webhooks/ami").form(&pairs)).await;
    assert_eq!(asked.status, 204, "{asked:?}");
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["account"], "site-a");
}

async fn who_may_push_and_for_which_pbx(gateway: Gateway) {
    pbx(&gateway).await;
    let event = newchannel();
    let stranger = gateway.client.post(format!("{}/webhooks/ami?pbx=site-a", gateway.address)).json(&event);
    expect_problem(&send(stranger).await, 401, "unauthorized");
    let (_, reader) = key_of(&gateway, "default", &[Scope::Read, Scope::Write, Scope::Admin], None).await;
    let path = "/webhooks/ami?pbx=site-a";
    expect_problem(&send(keyed(&gateway, &reader, Method::POST, path).json(&event)).await, 403, "scope-missing");
    let (_, acme) = key_of(&gateway, "acme", &[Scope::Ingest], None).await;
    expect_problem(&send(keyed(&gateway, &acme, Method::POST, path).json(&event)).await, 404, "not-found");
    let (_, ingest) = key_of(&gateway, "default", &[Scope::Ingest], None).await;
    assert_eq!(send(keyed(&gateway, &ingest, Method::POST, path).json(&event)).await.status, 204);
    let long = format!("?pbx={}", "x".repeat(9_000));
    for unknown in ["?pbx=site-z", "?pbx=", "?pbx=%00", long.as_str()] {
        expect_problem(&push(&gateway, unknown, &event).await, 404, "not-found");
    }
    assert_eq!(wrong_fields(&push(&gateway, &format!("?pbx={ACCOUNT}"), &event).await), ["pbx"]);
    assert_eq!(wrong_fields(&push(&gateway, "", &event).await), ["pbx"]);
    expect_problem(&push(&gateway, "?pbx=site-a&x=1", &event).await, 400, "bad-filter");
    expect_problem(&send(request(&gateway, Method::GET, path)).await, 405, "method-not-allowed");
}

async fn what_is_wrong_is_named_and_nothing_is_taken(gateway: Gateway) {
    pbx(&gateway).await;
    let named = json!([newchannel(), {"Event": "Hangup", "pbx": "other"}]);
    assert_eq!(wrong_fields(&push(&gateway, "?pbx=site-a", &named).await), ["pbx"]);
    let broken = json!([newchannel(), {"Event": "Hangup", "Uniqueid": true}]);
    assert_eq!(wrong_fields(&push(&gateway, "?pbx=site-a", &broken).await), ["[1].Uniqueid"]);
    let missing = send(request(&gateway, Method::GET, &format!("/v1/calls/{CALL}"))).await;
    expect_problem(&missing, 404, "not-found");
    let raw = async |media: &str, body: Vec<u8>| {
        let post = request(&gateway, Method::POST, "/webhooks/ami?pbx=site-a").header("content-type", media);
        send(post.body(body)).await
    };
    expect_problem(&raw("application/json", b"{".to_vec()).await, 400, "unreadable");
    expect_problem(&raw("text/plain", b"Event: Hangup".to_vec()).await, 415, "unsupported-media-type");
    let large = format!("{{\"Event\":\"Hangup\",\"X\":\"{}\"}}", "x".repeat(1 << 20)).into_bytes();
    expect_problem(&raw("application/json", large).await, 413, "too-large");
    let many = json!(vec![json!({"Event": "Hangup"}); 1_001]).to_string().into_bytes();
    expect_problem(&raw("application/json", many).await, 413, "too-large");
}

async fn another_gateway_has_the_pbx(gateway: Gateway) {
    pbx(&gateway).await;
    let claim = pbx::Claim {
        tenant: "default",
        account: "site-a",
        holder: "another-process",
        lease_ms: 15_000,
        state: "pushed",
        now_ms: START_MS,
    };
    let mut tx = gateway.db.begin().await.unwrap();
    assert!(pbx::claim(&mut tx, claim).await.unwrap().is_some());
    tx.commit().await.unwrap();
    let asked = push(&gateway, "?pbx=site-a", &newchannel()).await;
    expect_problem(&asked, 503, "unavailable");
    let after: u64 = asked.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=15).contains(&after), "{after}");
}

async fn a_pbx_that_is_connected_to_does_not_push(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[("ONHOOK_AMI_URL", "ami://onhook:hush@127.0.0.1:1")]).await;
    let asked = push(&gateway, "?pbx=pbx", &newchannel()).await;
    assert_eq!(wrong_fields(&asked), ["pbx"]);
    assert!(asked.body["errors"][0]["message"].as_str().unwrap().contains("told twice"), "{asked:?}");
}
