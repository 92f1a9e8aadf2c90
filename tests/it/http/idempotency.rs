//! A POST with an Idempotency-Key is done once.

use super::{Asked, column, expect_problem, request, send, sid, wrong_fields};
use crate::support::{
    database::TestDatabase,
    gateway::{Gateway, START_MS, on_both_gateways},
};
use onhook::{clock::Clock, domain::time::rfc3339};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    the_same_request_gets_the_same_answer,
    another_request_is_refused,
    a_refused_request_may_be_corrected,
    what_was_done_is_not_judged_anew,
    requests_at_the_same_moment_are_done_once,
    a_secret_is_not_shown_again,
    an_answer_is_remembered_for_a_day,
    a_key_that_is_none_is_refused,
);

async fn post(gateway: &Gateway, key: &str, path: &str, body: Value) -> Asked {
    send(request(gateway, Method::POST, path).header("Idempotency-Key", key).json(&body)).await
}

fn is_replayed(asked: &Asked) -> bool {
    asked.headers.get("idempotency-replayed").is_some_and(|v| v == "true")
}

async fn the_same_request_gets_the_same_answer(gateway: Gateway) {
    let posts = [
        ("/v1/leads", json!({"id": "lead-1", "name": "Ann"})),
        ("/v1/calls", json!({"to": "+14155550101"})),
        ("/v1/calls", json!({"provider_id": sid(1)})),
        (
            "/v1/calls/import",
            json!({"calls": [{"provider_id": sid(2), "status": "queued", "created_at": "2026-01-01T00:00:00Z"}]}),
        ),
    ];
    for (n, (path, body)) in posts.into_iter().enumerate() {
        let first = post(&gateway, &format!("key-{n}"), path, body.clone()).await;
        assert!(first.status.is_success() && !is_replayed(&first), "{first:?}");
        gateway.clock.advance(1_000);
        let second = post(&gateway, &format!("key-{n}"), path, body.clone()).await;
        assert!(is_replayed(&second), "{second:?}");
        assert_eq!((first.status, &first.body), (second.status, &second.body));
        assert_eq!(second.headers["content-type"], "application/json");
    }
    let import = async || {
        let request = request(&gateway, Method::POST, "/v1/leads/import").header("Idempotency-Key", "table");
        send(request.header("content-type", "text/csv").body("id\nlead-2\n")).await
    };
    let (first, second) = (import().await, import().await);
    assert_eq!((first.body["created"].as_u64(), is_replayed(&first)), (Some(1), false));
    assert_eq!((second.body["created"].as_u64(), is_replayed(&second)), (Some(1), true));
}

async fn another_request_is_refused(gateway: Gateway) {
    assert_eq!(post(&gateway, "k", "/v1/leads", json!({"id": "lead-1"})).await.status, 201);
    for (path, body) in [
        ("/v1/leads", json!({"id": "lead-2"})),
        ("/v1/calls", json!({"to": "+14155550101"})),
        ("/v1/leads?x=1", json!({"id": "lead-1"})),
    ] {
        expect_problem(&post(&gateway, "k", path, body).await, 422, "idempotency-mismatch");
    }
    assert_eq!(column(&gateway.get("/v1/leads").await, "id"), ["lead-1"]);
}

async fn what_was_done_is_not_judged_anew(gateway: Gateway) {
    let body = json!({"name": "n", "scopes": ["read"], "expires_at": rfc3339(START_MS + 1_000)});
    assert_eq!(post(&gateway, "k", "/v1/keys", body.clone()).await.status, 201);
    gateway.clock.advance(5_000);
    let again = post(&gateway, "k", "/v1/keys", body.clone()).await;
    assert_eq!((again.status.as_u16(), is_replayed(&again)), (201, true));
    assert_eq!(wrong_fields(&post(&gateway, "new", "/v1/keys", body).await), ["expires_at"]);
}

async fn a_refused_request_may_be_corrected(gateway: Gateway) {
    assert_eq!(wrong_fields(&post(&gateway, "k", "/v1/leads", json!({"id": "lead-1", "phone": "x"})).await), ["phone"]);
    let corrected = post(&gateway, "k", "/v1/leads", json!({"id": "lead-1"})).await;
    assert_eq!((corrected.status.as_u16(), is_replayed(&corrected)), (201, false));
    expect_problem(&post(&gateway, "other", "/v1/leads", json!({"id": "lead-1"})).await, 409, "already-exists");
    send(request(&gateway, Method::DELETE, "/v1/leads/lead-1")).await;
    assert_eq!(post(&gateway, "other", "/v1/leads", json!({"id": "lead-1"})).await.status, 201, "judged anew");
}

async fn requests_at_the_same_moment_are_done_once(gateway: Gateway) {
    for (key, path, body) in [
        ("a", "/v1/leads", json!({"id": "lead-1"})),
        ("b", "/v1/keys", json!({"name": "n", "scopes": ["read"]})),
        ("c", "/v1/calls", json!({"to": "+14155550101"})),
        ("d", "/v1/calls", json!({"provider_id": sid(1)})),
    ] {
        let mut together = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let request = request(&gateway, Method::POST, path).header("Idempotency-Key", key).json(&body);
            together.spawn(send(request));
        }
        let answers = together.join_all().await;
        assert!(answers.iter().all(|a| a.status == 201), "{answers:?}");
        let new = answers.iter().filter(|a| !is_replayed(a)).count();
        assert_eq!(new, 1, "{path}: {answers:?}");
        let id = |a: &Asked| a.body.get("expected").unwrap_or(&a.body)["id"].as_str().unwrap().to_owned();
        assert!(answers.iter().all(|a| id(a) == id(&answers[0])), "{answers:?}");
    }
    assert_eq!(column(&gateway.get("/v1/keys").await, "name"), ["n"]);
}

async fn a_secret_is_not_shown_again(gateway: Gateway) {
    let body = json!({"name": "crm", "scopes": ["read"]});
    let first = post(&gateway, "k", "/v1/keys", body.clone()).await;
    let second = post(&gateway, "k", "/v1/keys", body).await;
    assert!(first.body["key"].is_string() && is_replayed(&second));
    assert_eq!((&second.body["key"], &second.body["id"]), (&Value::Null, &first.body["id"]));
}

async fn an_answer_is_remembered_for_a_day(gateway: Gateway) {
    let body = json!({"to": "+14155550101"});
    let first = post(&gateway, "k", "/v1/calls", body.clone()).await;
    gateway.clock.advance(86_400_000 - 1);
    assert!(is_replayed(&post(&gateway, "k", "/v1/calls", body.clone()).await));
    gateway.clock.advance(1);
    let later = post(&gateway, "k", "/v1/calls", body.clone()).await;
    assert!(!is_replayed(&later), "{later:?}");
    assert_ne!(later.body["expected"]["id"], first.body["expected"]["id"]);
    assert!(is_replayed(&post(&gateway, "k", "/v1/calls", body).await));
    let mut tx = gateway.db.begin().await.unwrap();
    let forgotten = onhook::transaction::forget(&mut tx, gateway.clock.now_ms() + 86_400_001).await.unwrap();
    assert_eq!(forgotten, 1);
}

async fn a_key_that_is_none_is_refused(gateway: Gateway) {
    let body = json!({"id": "lead-1"});
    for bad in ["", "a b", "\u{e9}", &"x".repeat(201)] {
        expect_problem(&post(&gateway, bad, "/v1/leads", body.clone()).await, 400, "unreadable");
    }
    let twice =
        request(&gateway, Method::POST, "/v1/leads").header("Idempotency-Key", "a").header("Idempotency-Key", "b");
    expect_problem(&send(twice.json(&body)).await, 400, "unreadable");
    assert_eq!(post(&gateway, &"~".repeat(200), "/v1/leads", body).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_do_it_once() {
    let at = TestDatabase::postgres().await;
    let nodes = [Gateway::on(&at, &[]).await, Gateway::on(&at, &[]).await];
    for n in 0..10 {
        let mut together = tokio::task::JoinSet::new();
        for node in &nodes {
            for _ in 0..2 {
                let body = json!({"id": format!("lead-{n}")});
                together.spawn(send(
                    request(node, Method::POST, "/v1/leads").header("Idempotency-Key", format!("k{n}")).json(&body),
                ));
            }
        }
        let answers = together.join_all().await;
        assert!(answers.iter().all(|a| a.status == 201), "{answers:?}");
        assert_eq!(answers.iter().filter(|a| !is_replayed(a)).count(), 1, "{answers:?}");
    }
}
