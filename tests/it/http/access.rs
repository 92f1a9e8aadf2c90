//! How Twilio is asked about an account, over REST: where, and with which API key.

use super::{expect_problem, key_of, keyed, request, send, wrong_fields};
use crate::support::{
    canned::{Canned, Reply},
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, on_both_gateways},
};
use onhook::directory::Scope;
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    a_key_is_taken_if_twilio_takes_it_and_verifies_nothing,
    what_cannot_be_is_named,
    another_tenants_account_is_not_there,
);
on_both!(the_account_is_asked_where_it_says);

const SID: &str = "AC000000000000000000000000000000aa";
const KEY: &str = "SK000000000000000000000000000000bb";

async fn add(gateway: &Gateway, body: Value) -> super::Asked {
    send(request(gateway, Method::POST, "/v1/accounts").json(&body)).await
}

async fn set(gateway: &Gateway, body: Value) -> super::Asked {
    send(request(gateway, Method::PUT, &format!("/v1/accounts/{SID}/access")).json(&body)).await
}

async fn a_key_is_taken_if_twilio_takes_it_and_verifies_nothing(gateway: Gateway) {
    let body = json!({"sid": SID, "token": "hush-token", "api_key": KEY, "api_secret": "hush-secret"});
    let added = add(&gateway, body).await;
    assert_eq!(added.status, 201, "{added:?}");
    assert_eq!((&added.body["api_key"], &added.body["api_base"]), (&json!(KEY), &Value::Null));
    assert!(!added.body.to_string().contains("hush"));
    assert_eq!(gateway.get(&format!("/v1/accounts/{SID}")).await, added.body);
    assert_eq!(gateway.get("/v1/accounts").await["data"][1]["api_key"], KEY);
    let body = format!("AccountSid={SID}&CallSid=CA{:032}&CallStatus=ringing", 1);
    assert_eq!(gateway.post_signed("hush-token", "", body.as_bytes()).await.status(), 204);
    assert_eq!(gateway.post_signed("hush-secret", "", body.as_bytes()).await.status(), 403);

    assert_eq!(wrong_fields(&set(&gateway, json!({"api_key": KEY, "api_secret": "refused"})).await), ["api_secret"]);
    expect_problem(&set(&gateway, json!({"api_key": KEY, "api_secret": "away"})).await, 503, "unavailable");
    assert_eq!(gateway.get(&format!("/v1/accounts/{SID}")).await["api_key"], KEY, "nothing was changed");
    let none = set(&gateway, json!({})).await;
    assert_eq!((none.status.as_u16(), &none.body["api_key"]), (200, &Value::Null), "{none:?}");
    let again = set(&gateway, json!({"api_key": KEY, "api_secret": "other", "api_base": null})).await;
    assert_eq!((again.status.as_u16(), &again.body["api_key"]), (200, &json!(KEY)), "{again:?}");
    assert_eq!(again.body["tokens"].as_array().unwrap().len(), 1);
}

async fn what_cannot_be_is_named(gateway: Gateway) {
    let good = json!({"sid": SID, "token": "t"});
    let with = |more: Value| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let wrong = [
        (json!({"api_key": KEY}), vec!["api_secret"]),
        (json!({"api_secret": "s"}), vec!["api_key"]),
        (json!({"api_key": "AC12", "api_secret": "with space"}), vec!["api_key", "api_secret"]),
        (json!({"api_base": "http://169.254.169.254/"}), vec!["api_base"]),
        (json!({"api_base": "https://api.ie1.twilio.com"}), vec!["api_base"]),
        (json!({"api_base": "nowhere"}), vec!["api_base"]),
        (json!({"api_key": KEY, "api_secret": "refused"}), vec!["api_secret"]),
    ];
    for (body, fields) in &wrong {
        assert_eq!(&wrong_fields(&add(&gateway, with(body.clone())).await), fields, "{body}");
    }
    assert_eq!(gateway.get("/v1/accounts").await["data"].as_array().unwrap().len(), 1, "nothing was added");
    expect_problem(&set(&gateway, json!({})).await, 404, "not-found");
    assert_eq!(add(&gateway, good.clone()).await.status, 201);
    for (body, fields) in &wrong {
        let asked = set(&gateway, body.clone()).await;
        assert_eq!(&wrong_fields(&asked), fields, "{body}");
        assert!(!asked.body.to_string().contains("with space"), "no secret in a message");
    }
    let elsewhere = set(&gateway, json!({"api_base": "http://169.254.169.254/"})).await;
    assert!(elsewhere.body.to_string().contains("api.dublin.ie1.twilio.com"), "what is allowed: {elsewhere:?}");
    assert_eq!(wrong_fields(&set(&gateway, json!({"token": "t"})).await), ["token"]);
    let configured = send(request(&gateway, Method::PUT, &format!("/v1/accounts/{ACCOUNT}/access")).json(&json!({})));
    expect_problem(&configured.await, 404, "not-found");
}

async fn another_tenants_account_is_not_there(gateway: Gateway) {
    let (_, acme) = key_of(&gateway, "acme", &[Scope::Admin], None).await;
    assert_eq!(add(&gateway, json!({"sid": SID, "token": "t"})).await.status, 201);
    let theirs = async |key: &str| {
        let path = format!("/v1/accounts/{SID}/access");
        send(keyed(&gateway, key, Method::PUT, &path).json(&json!({"api_key": KEY, "api_secret": "s"}))).await
    };
    expect_problem(&theirs(&acme).await, 404, "not-found");
    let (_, writer) = key_of(&gateway, "default", &[Scope::Read, Scope::Write], None).await;
    expect_problem(&theirs(&writer).await, 403, "scope-missing");
    assert_eq!(gateway.get(&format!("/v1/accounts/{SID}")).await["api_key"], Value::Null);
}

/// The place of the configuration may be named too: the only one a test can have.
async fn the_account_is_asked_where_it_says(at: TestDatabase) {
    let region = Canned::serve(|n, _| match n {
        0 | 2 => Reply::json(json!({"sid": SID})),
        // Another region: it has never heard of the account.
        _ => Reply { status: 404, ..Reply::json(json!({"code": 20404, "status": 404})) },
    })
    .await;
    let gateway = Gateway::on(&at, &[("ONHOOK_TWILIO_API_BASE", &region.url)]).await;
    let added = add(&gateway, json!({"sid": SID, "token": "t", "api_base": region.url})).await;
    assert_eq!((added.status.as_u16(), &added.body["api_base"]), (201, &json!(region.url)), "{added:?}");
    assert_eq!(wrong_fields(&set(&gateway, json!({"api_base": region.url})).await), ["api_base"]);
    assert_eq!(set(&gateway, json!({"api_base": region.url})).await.status, 200);
    let key = set(&gateway, json!({"api_base": region.url, "api_key": KEY, "api_secret": "s"})).await;
    assert_eq!(wrong_fields(&key), ["api_secret"]);
    assert_eq!(set(&gateway, json!({})).await.body["api_base"], Value::Null, "nobody is asked to take it away");
    assert_eq!(region.seen().len(), 4);
    gateway.stop().await;
}
