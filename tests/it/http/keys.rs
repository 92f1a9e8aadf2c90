//! API keys: issued, used, revoked; and what a request without the right one is answered.

use super::{Asked, column, expect_problem, key_of, keyed, request, send, wrong_fields};
use crate::support::gateway::{Gateway, KEY, START_MS, on_both_gateways};
use onhook::{directory::Scope, domain::time::rfc3339};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    an_issued_key_works_at_once_and_is_shown_once,
    a_revoked_key_is_refused_at_once,
    an_expired_key_is_refused,
    a_key_opens_only_what_its_scopes_say,
    a_header_that_is_no_key_is_refused,
    a_wrong_key_request_names_its_fields,
);

async fn issue(gateway: &Gateway, body: Value) -> Asked {
    send(request(gateway, Method::POST, "/v1/keys").json(&body)).await
}

async fn an_issued_key_works_at_once_and_is_shown_once(gateway: Gateway) {
    let asked = issue(
        &gateway,
        json!({"name": "crm", "scopes": ["write", "read", "read"], "expires_at": "2026-02-01T00:00:00Z"}),
    )
    .await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let text = asked.body["key"].as_str().unwrap();
    assert!(text.starts_with("ohk_"));
    assert_eq!(asked.body["scopes"], json!(["read", "write"]));
    assert_eq!(
        (&asked.body["created_at"], &asked.body["expires_at"]),
        (&json!(rfc3339(START_MS)), &json!("2026-02-01T00:00:00.000Z"))
    );
    assert_eq!(send(keyed(&gateway, text, Method::GET, "/v1/calls")).await.status, 200);
    let listed = gateway.get("/v1/keys").await;
    assert_eq!(column(&listed, "name"), ["crm"]);
    let row = &listed["data"][0];
    assert!(row.get("key").is_none() && !listed.to_string().contains(text));
    assert_eq!((&row["id"], &row["revoked_at"]), (&asked.body["id"], &Value::Null));
}

async fn a_revoked_key_is_refused_at_once(gateway: Gateway) {
    let issued = issue(&gateway, json!({"name": "crm", "scopes": ["read"]})).await.body;
    let (text, path) = (issued["key"].as_str().unwrap(), format!("/v1/keys/{}", issued["id"].as_str().unwrap()));
    assert_eq!(send(keyed(&gateway, text, Method::GET, "/v1/leads")).await.status, 200);
    for _ in 0..2 {
        assert_eq!(send(request(&gateway, Method::DELETE, &path)).await.status, 204, "revoked for good, however often");
    }
    let asked = send(keyed(&gateway, text, Method::GET, "/v1/leads")).await;
    expect_problem(&asked, 401, "unauthorized");
    assert!(asked.body["detail"].as_str().unwrap().contains("revoked"));
    assert_eq!(gateway.get("/v1/keys").await["data"][0]["revoked_at"], rfc3339(START_MS));
    for missing in ["key_0", "%00", "key_%0A"] {
        expect_problem(
            &send(request(&gateway, Method::DELETE, &format!("/v1/keys/{missing}"))).await,
            404,
            "not-found",
        );
    }
}

async fn an_expired_key_is_refused(gateway: Gateway) {
    let (_, text) = key_of(&gateway, "default", &[Scope::Read], Some(START_MS + 5_000)).await;
    assert_eq!(send(keyed(&gateway, &text, Method::GET, "/v1/leads")).await.status, 200);
    gateway.clock.set(START_MS + 5_000);
    let asked = send(keyed(&gateway, &text, Method::GET, "/v1/leads")).await;
    expect_problem(&asked, 401, "unauthorized");
    assert!(asked.body["detail"].as_str().unwrap().contains("expired"));
}

async fn a_key_opens_only_what_its_scopes_say(gateway: Gateway) {
    let wanted = [
        (Method::GET, "/v1/calls", Scope::Read),
        (Method::GET, "/v1/leads/lead-1", Scope::Read),
        (Method::GET, "/metrics", Scope::Read),
        (Method::POST, "/v1/calls", Scope::Write),
        (Method::POST, "/v1/calls/import", Scope::Write),
        (Method::POST, "/v1/leads", Scope::Write),
        (Method::PUT, "/v1/leads/lead-1", Scope::Write),
        (Method::DELETE, "/v1/leads/lead-1", Scope::Write),
        (Method::GET, "/v1/keys", Scope::Admin),
        (Method::POST, "/v1/keys", Scope::Admin),
        (Method::DELETE, "/v1/keys/key_1", Scope::Admin),
        (Method::GET, "/v1/accounts/AC1/health", Scope::Admin),
        (Method::GET, "/v1/voice", Scope::Read),
        (Method::PUT, "/v1/voice", Scope::Admin),
        (Method::GET, "/v1/voice/numbers", Scope::Read),
        (Method::GET, "/v1/voice/numbers/x", Scope::Read),
        (Method::PUT, "/v1/voice/numbers/x", Scope::Admin),
        (Method::DELETE, "/v1/voice/numbers/x", Scope::Admin),
    ];
    for scope in Scope::ALL {
        let (_, text) = key_of(&gateway, "default", &[*scope], None).await;
        for (method, path, needed) in &wanted {
            let asked = send(keyed(&gateway, &text, method.clone(), path)).await;
            if needed == scope {
                assert!(![401, 403].contains(&asked.status.as_u16()), "{scope} {method} {path}: {asked:?}");
            } else {
                expect_problem(&asked, 403, "scope-missing");
                let detail = asked.body["detail"].as_str().unwrap();
                assert!(detail.contains(needed.as_str()) && detail.contains(scope.as_str()), "{detail}");
            }
        }
    }
}

async fn a_header_that_is_no_key_is_refused(gateway: Gateway) {
    let path = format!("{}/v1/calls", gateway.address);
    for header in [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer ohk_1_2"),
        Some("Basic eDp5"),
        Some(KEY),
        Some("Bearer \u{e9}"),
    ] {
        let mut request = gateway.client.get(&path);
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let asked = send(request).await;
        expect_problem(&asked, 401, "unauthorized");
        assert_eq!(asked.headers["www-authenticate"], "Bearer", "{header:?}");
    }
    assert_eq!(send(gateway.client.get(&path).header("authorization", format!("bearer  {KEY}"))).await.status, 200);
}

async fn a_wrong_key_request_names_its_fields(gateway: Gateway) {
    for (body, fields) in [
        (json!({"scopes": ["read"]}), vec!["name"]),
        (json!({"name": "", "scopes": ["read"]}), vec!["name"]),
        (json!({"name": "n".repeat(101), "scopes": ["read"]}), vec!["name"]),
        (json!({"name": "n", "scopes": []}), vec!["scopes"]),
        (json!({"name": "n", "scopes": ["operator"]}), vec!["scopes"]),
        (json!({"name": "n", "scopes": ["read", "fly"]}), vec!["scopes[1]"]),
        (json!({"name": "n", "scopes": ["read"], "expires_at": rfc3339(START_MS)}), vec!["expires_at"]),
        (json!({"name": "n", "scopes": ["read"], "expires_at": "soon"}), vec!["expires_at"]),
        (json!({"name": "\n", "scopes": ["operator"], "expires_at": "soon"}), vec!["name", "scopes", "expires_at"]),
        (json!({"name": "n", "scopes": ["read"], "tenant": "acme"}), vec!["tenant"]),
    ] {
        assert_eq!(wrong_fields(&issue(&gateway, body.clone()).await), fields, "{body}");
    }
    assert_eq!(gateway.get("/v1/keys").await["data"], json!([]));
}
