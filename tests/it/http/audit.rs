//! What people with keys do is in the audit, without secrets.

use super::{key_of, keyed, request, send};
use crate::support::gateway::{Gateway, on_both_gateways};
use onhook::directory::Scope;
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(what_is_done_with_a_key_is_in_the_audit);

async fn what_is_done_with_a_key_is_in_the_audit(gateway: Gateway) {
    let (by, admin) = key_of(&gateway, "default", &[Scope::Admin, Scope::Write], None).await;
    let send_json = async |method: Method, path: &str, body: Value| {
        let asked = send(keyed(&gateway, &admin, method, path).json(&body)).await;
        assert!(asked.status.is_success(), "{path}: {asked:?}");
        gateway.clock.advance(1_000);
        asked.body
    };
    let forget = async |path: &str| {
        let asked = send(keyed(&gateway, &admin, Method::DELETE, path)).await;
        assert_eq!(asked.status, 204, "{path}: {asked:?}");
        gateway.clock.advance(1_000);
    };
    let sid = "AC00000000000000000000000000000002";
    let key = send_json(Method::POST, "/v1/keys", json!({"name": "crm", "scopes": ["read"]})).await;
    let id = key["id"].as_str().unwrap();
    forget(&format!("/v1/keys/{id}")).await;
    send_json(Method::POST, "/v1/accounts", json!({"sid": sid, "token": "first-secret"})).await;
    send_json(Method::PUT, &format!("/v1/accounts/{sid}/verify"), json!({"mode": "observe", "for": "24h"})).await;
    let account =
        send_json(Method::POST, &format!("/v1/accounts/{sid}/rotate"), json!({"token": "second-secret"})).await;
    let token = account["tokens"][0]["id"].as_str().unwrap();
    forget(&format!("/v1/accounts/{sid}/tokens/{token}")).await;
    send_json(Method::PUT, "/v1/voice", json!({"timeout_seconds": 9})).await;
    send_json(Method::PUT, "/v1/voice/numbers/+14155550123", json!({"timeout_seconds": 9})).await;
    forget("/v1/voice/numbers/+14155550123").await;
    send_json(Method::PUT, "/v1/leads/lead-1", json!({"name": "Ann"})).await;
    forget("/v1/leads/lead-1").await;
    // What was refused is not there.
    assert_eq!(send(keyed(&gateway, &admin, Method::DELETE, "/v1/leads/lead-1")).await.status, 404);
    assert_eq!(send(keyed(&gateway, &admin, Method::DELETE, "/v1/keys/key_none")).await.status, 404);

    let page = send(request(&gateway, Method::GET, "/v1/audit")).await.body;
    let rows = page["data"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["actor"] == format!("key:{by}")), "{page}");
    let done: Vec<(&str, &str)> =
        rows.iter().rev().map(|row| (row["action"].as_str().unwrap(), row["subject"].as_str().unwrap())).collect();
    let number = onhook::domain::phone::mask("+14155550123");
    assert_eq!(
        done,
        [
            ("key.created", id),
            ("key.revoked", id),
            ("account.added", sid),
            ("account.verify_changed", sid),
            ("account.rotated", sid),
            ("account.token_deleted", sid),
            ("voice.changed", "tenant"),
            ("voice.changed", &number),
            ("voice.forgotten", &number),
            ("lead.deleted", "lead-1"),
        ]
    );
    let text = page.to_string();
    assert!(!text.contains("secret") && !text.contains("14155550123"), "{text}");
    assert!(!text.contains(key["key"].as_str().unwrap()), "{text}");
}
