//! Verification that can be rolled out: observe for a time, tokens that take turns, sub-accounts, proxies.

use crate::support::{
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, START_MS, TOKEN},
};
use onhook::{
    domain::time::rfc3339,
    twilio::{form::Form, signature},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

on_both!(
    observe_lets_in_and_marks_until_its_time_is_over,
    a_probe_is_refused_in_observe_when_it_does_not_verify,
    a_rotated_token_is_good_until_its_end,
    a_sub_account_signs_with_its_own_token,
    only_trusted_proxies_say_who_the_client_is,
);

const SUB: &str = "AC000000000000000000000000000000bb";

fn body(account: &str, n: usize) -> String {
    format!("AccountSid={account}&CallSid=CA{n:032}&CallStatus=ringing")
}

async fn ask(gateway: &Gateway, method: Method, path: &str, body: Value) -> Value {
    let (status, body) = gateway.ask(method, path, Some(body)).await;
    assert!(status.is_success(), "{path}: {status} {body}");
    body
}

async fn observe_lets_in_and_marks_until_its_time_is_over(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    ask(&gateway, Method::POST, "/v1/accounts", json!({"sid": SUB, "token": "right"})).await;
    let send = async |n| gateway.post_signed("wrong", "", body(SUB, n).as_bytes()).await.status();
    assert_eq!(send(1).await, StatusCode::FORBIDDEN);
    let set =
        ask(&gateway, Method::PUT, &format!("/v1/accounts/{SUB}/verify"), json!({"mode": "observe", "for": "1h"}))
            .await;
    assert_eq!((&set["verify"], &set["verify_until"]), (&json!("observe"), &json!(rfc3339(START_MS + 3_600_000))));
    assert_eq!(send(2).await, StatusCode::NO_CONTENT);
    let path = |n: usize| format!("/v1/calls/CA{n:032}");
    assert_eq!(gateway.get(&path(2)).await["verified"], false);
    // What was refused before is let in only if that is asked for, and is marked then.
    let redrive = async |body| ask(&gateway, Method::POST, "/v1/quarantine/redrive", body).await;
    let done = redrive(json!({"account": SUB})).await;
    assert_eq!((&done["applied"], &done["stayed"]), (&json!(0), &json!(1)), "{done}");
    let id = done["rows"][0]["id"].as_str().unwrap();
    let explained = gateway.get(&format!("/v1/quarantine/{id}")).await;
    assert!(explained["explain"]["next"].as_str().unwrap().contains("--unverified"), "{explained}");
    let done = redrive(json!({"account": SUB, "unverified": true})).await;
    assert_eq!(done["applied"], 1, "{done}");
    assert_eq!(gateway.get(&path(1)).await["verified"], false);
    gateway.clock.set(START_MS + 3_600_000);
    let late = async || redrive(json!({"account": SUB, "unverified": true})).await;
    assert_eq!(send(3).await, StatusCode::FORBIDDEN, "by the clock");
    assert_eq!(gateway.get(&format!("/v1/accounts/{SUB}")).await["verify"], "enforce");
    assert_eq!(late().await["stayed"], 1, "in enforce nothing is waved through");
}

async fn a_probe_is_refused_in_observe_when_it_does_not_verify(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[("ONHOOK_VERIFY", "observe")]).await;
    let probe = format!("AccountSid={ACCOUNT}&OnhookProbe=1");
    assert_eq!(gateway.post_signed(TOKEN, "", probe.as_bytes()).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(gateway.post_signed("wrong", "", probe.as_bytes()).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(gateway.post_raw("", probe.as_bytes(), None).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(gateway.post_signed("wrong", "", body(ACCOUNT, 1).as_bytes()).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(gateway.get(&format!("/v1/calls/CA{:032}", 1)).await["verified"], false);
    assert_eq!(gateway.get("/v1/calls").await["data"].as_array().unwrap().len(), 1, "a probe leaves nothing");
    assert_eq!(gateway.get("/v1/quarantine").await["data"], json!([]), "not here either");
}

async fn a_rotated_token_is_good_until_its_end(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    ask(&gateway, Method::POST, "/v1/accounts", json!({"sid": SUB, "token": "old"})).await;
    let send = async |token: &str, n| gateway.post_signed(token, "", body(SUB, n).as_bytes()).await.status();
    assert_eq!(send("new", 1).await, StatusCode::FORBIDDEN);
    let rotated =
        ask(&gateway, Method::POST, &format!("/v1/accounts/{SUB}/rotate"), json!({"token": "new", "keep_old": "2h"}))
            .await;
    let tokens = rotated["tokens"].as_array().unwrap();
    assert_eq!(tokens.iter().filter(|token| token["expires_at"] == json!(rfc3339(START_MS + 7_200_000))).count(), 1);
    assert!(
        !rotated.to_string().contains("\"old\"") && !rotated.to_string().contains("\"new\""),
        "texts are not shown"
    );
    for n in 2..6 {
        let token = if n % 2 == 0 { "old" } else { "new" };
        assert_eq!(send(token, n).await, StatusCode::NO_CONTENT, "both, in a mix: {token}");
    }
    // The snapshot is a moment old when the time is over: the clock decides, not the next look into the database.
    gateway.clock.set(START_MS + 7_200_000 - 1);
    assert_eq!(send("old", 7).await, StatusCode::NO_CONTENT);
    gateway.clock.set(START_MS + 7_200_000);
    assert_eq!(send("old", 8).await, StatusCode::FORBIDDEN);
    assert_eq!(send("new", 8).await, StatusCode::NO_CONTENT);
}

async fn a_sub_account_signs_with_its_own_token(at: TestDatabase) {
    let gateway = Gateway::on(&at, &[]).await;
    let (status, refused) =
        gateway.ask(Method::POST, "/v1/accounts", Some(json!({"sid": SUB, "token": "own", "parent": SUB}))).await;
    assert_eq!((status.as_u16(), &refused["errors"][0]["field"]), (422, &json!("parent")), "{refused}");
    let sub = ask(&gateway, Method::POST, "/v1/accounts", json!({"sid": SUB, "token": "own", "parent": ACCOUNT})).await;
    assert_eq!(sub["parent"], ACCOUNT);
    assert_eq!(gateway.post_signed("own", "", body(SUB, 1).as_bytes()).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(gateway.post_signed(TOKEN, "", body(SUB, 2).as_bytes()).await.status(), StatusCode::FORBIDDEN);
    let below = "AC000000000000000000000000000000cc";
    let (status, _) =
        gateway.ask(Method::POST, "/v1/accounts", Some(json!({"sid": below, "token": "x", "parent": SUB}))).await;
    assert_eq!(status.as_u16(), 422, "a sub-account has none");
}

async fn only_trusted_proxies_say_who_the_client_is(at: TestDatabase) {
    let from = async |gateway: &Gateway, n: usize| {
        let spoofed = [
            ("x-forwarded-for", "203.0.113.66, 198.51.100.9"),
            ("x-forwarded-host", "calls.example.com"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "host=calls.example.com;proto=https"),
        ];
        let body = body(ACCOUNT, n);
        // Signed for what the headers claim: were they believed, it would verify.
        let form = Form::parse(body.as_bytes()).unwrap();
        let signed = signature::sign(TOKEN, "https://calls.example.com/webhooks/twilio/status", Some(&form));
        let mut request = gateway.client.post(format!("{}/webhooks/twilio/status", gateway.address)).body(body);
        request =
            request.header("content-type", "application/x-www-form-urlencoded").header("x-twilio-signature", signed);
        for (name, value) in spoofed {
            request = request.header(name, value);
        }
        assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN);
        gateway.get("/v1/quarantine").await["data"][0]["client"].as_str().unwrap().to_owned()
    };
    let other = "https://elsewhere.example.com";
    let alone = Gateway::on(&at, &[("ONHOOK_PUBLIC_URL", other)]).await;
    assert_eq!(from(&alone, 1).await, "127.0.0.1");
    alone.stop().await;
    let clock = onhook::clock::ManualClock::new(START_MS + 1);
    let settings = [("ONHOOK_PUBLIC_URL", ""), ("ONHOOK_HTTP_TRUSTED_PROXIES", "127.0.0.0/8, 2001:db8::1")];
    let behind = Gateway::with_clock(&at.place, &settings, clock).await;
    assert_eq!(from(&behind, 2).await, "198.51.100.9", "what the proxy itself saw, not what it was told");
}
