//! REST v1 through its own door: a running gateway, asked over HTTP.

mod access;
mod accounts;
mod audit;
mod by_hand;
mod calls;
mod explain;
mod extensions;
mod filters;
mod idempotency;
mod imports;
mod keys;
mod leads;
mod notifications;
mod openapi;
mod pbxs;
mod problems;
mod quarantine;
mod runs;
mod runs_made;
mod runs_not_called;
mod runs_worker;
mod stats;
mod sweeps;
mod tenants;
mod voice;

use crate::support::gateway::{ACCOUNT, Gateway, KEY};
use onhook::{
    clock::Clock,
    directory::{NewKey, Scope, issue_key},
    store,
};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::{Method, RequestBuilder, StatusCode, header::HeaderMap};
use secrecy::ExposeSecret;
use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct Asked {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

/// A request with a key.
pub fn keyed(gateway: &Gateway, key: &str, method: Method, path: &str) -> RequestBuilder {
    gateway.client.request(method, format!("{}{path}", gateway.address)).bearer_auth(key)
}

/// A request with the key of every scope.
pub fn request(gateway: &Gateway, method: Method, path: &str) -> RequestBuilder {
    keyed(gateway, KEY, method, path)
}

pub async fn send(request: RequestBuilder) -> Asked {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
    Asked { status, headers, body }
}

/// The answer is this problem, told in full.
#[track_caller]
pub fn expect_problem(asked: &Asked, status: u16, kind: &str) {
    assert_eq!(
        (asked.status.as_u16(), asked.body["type"].as_str()),
        (status, Some(&*format!("/problems/{kind}"))),
        "{asked:?}"
    );
    assert_eq!(asked.headers["content-type"], "application/problem+json");
    assert_eq!(asked.body["status"], status);
    assert!(asked.headers.contains_key("x-request-id"));
    for text in ["title", "detail"] {
        assert!(asked.body[text].as_str().is_some_and(|t| t.len() > 3), "{asked:?}");
    }
}

/// The fields that a 422 names.
pub fn wrong_fields(asked: &Asked) -> Vec<&str> {
    expect_problem(asked, 422, "invalid-fields");
    let errors = asked.body["errors"].as_array().unwrap();
    assert!(errors.iter().all(|e| e["message"].as_str().is_some_and(|m| m.len() > 3)), "{asked:?}");
    errors.iter().map(|e| e["field"].as_str().unwrap()).collect()
}

/// A key of a tenant, which is made if it is not there.
pub async fn key_of(gateway: &Gateway, tenant: &str, scopes: &[Scope], expires_ms: Option<i64>) -> (String, String) {
    let now_ms = gateway.clock.now_ms();
    let new = NewKey {
        tenant: tenant.into(),
        name: "of a test".into(),
        scopes: scopes.iter().copied().collect(),
        expires_ms,
    };
    // The time turns with each key, so that no two of a test are alike.
    let issued = issue_key(new, now_ms, &mut StdRng::seed_from_u64(now_ms.unsigned_abs()));
    let mut tx = gateway.db.begin().await.unwrap();
    if store::tenants::find(&mut tx, tenant).await.unwrap().is_none() {
        let row = store::tenants::TenantRow { id: tenant.into(), name: tenant.into(), created_ms: now_ms };
        store::tenants::insert(&mut tx, &row).await.unwrap();
    }
    store::keys::insert(&mut tx, &issued.row).await.unwrap();
    tx.commit().await.unwrap();
    // Strangers make the directory ask once a second.
    gateway.clock.advance(1_000);
    (issued.row.id, issued.text.expose_secret().to_owned())
}

/// A provider account of a tenant.
pub async fn add_account(gateway: &Gateway, tenant: &str, id: &str) {
    let row = store::accounts::AccountRow {
        id: id.into(),
        tenant: tenant.into(),
        provider: "twilio".into(),
        verify: None,
        verify_until_ms: None,
        created_ms: gateway.clock.now_ms(),
        parent: None,
        api_base: None,
        api_key: None,
    };
    let mut tx = gateway.db.begin().await.unwrap();
    store::accounts::insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    // What is known of accounts is believed for a minute.
    gateway.clock.advance(60_000);
}

/// A CallSid.
pub fn sid(n: u32) -> String {
    format!("CA{n:032x}")
}

/// A callback about a call, which must be taken.
pub async fn callback(gateway: &Gateway, call: &str, status: &str, query: &str, more: &[(&str, &str)]) {
    let usual = [("CallSid", call), ("AccountSid", ACCOUNT), ("CallStatus", status), ("Direction", "outbound-api")];
    let ends = [("From", "+14155550100"), ("To", "+14155550101")];
    let parameters: Vec<(&str, &str)> = usual.into_iter().chain(ends).chain(more.iter().copied()).collect();
    assert_eq!(gateway.callback(query, &parameters).await.status(), StatusCode::NO_CONTENT);
}

/// The values of one field over a page.
pub fn column<'a>(page: &'a Value, field: &str) -> Vec<&'a str> {
    page["data"].as_array().unwrap().iter().map(|row| row[field].as_str().unwrap()).collect()
}
