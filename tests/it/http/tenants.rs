//! What belongs to another tenant does not exist.

use super::{add_account, column, expect_problem, key_of, keyed, request, send, sid};
use crate::support::gateway::{Gateway, KEY, on_both_gateways};
use onhook::directory::Scope;
use reqwest::Method;
use serde_json::json;

on_both_gateways!(a_tenant_sees_nothing_of_another);

async fn a_tenant_sees_nothing_of_another(gateway: Gateway) {
    let (key_id, acme) = key_of(&gateway, "acme", Scope::ALL, None).await;
    let account = "AC000000000000000000000000000acme0";
    add_account(&gateway, "acme", account).await;
    let body = json!({"provider_id": sid(1), "to": "+14155550101"});
    let call = send(keyed(&gateway, &acme, Method::POST, "/v1/calls").json(&body)).await;
    assert_eq!((call.status.as_u16(), &call.body["account"]), (201, &json!(account)), "{call:?}");
    let lead = send(keyed(&gateway, &acme, Method::PUT, "/v1/leads/lead-1").json(&json!({"name": "Ann"}))).await;
    assert_eq!(lead.status, 201);
    let id = call.body["id"].as_str().unwrap();

    let crossings = |text: &str| -> f64 {
        let line = text.lines().find(|l| l.contains("tenant_crossing") && !l.starts_with('#'));
        line.and_then(|l| l.rsplit(' ').next()).unwrap().parse().unwrap()
    };
    let before = crossings(&gateway.metrics.render());
    let looks = [id.to_owned(), sid(1)]
        .into_iter()
        .flat_map(|id| ["", "/timeline", "/deliveries", "/legs"].map(|part| format!("/v1/calls/{id}{part}")));
    let mut looked = 0;
    for path in looks {
        expect_problem(&send(request(&gateway, Method::GET, &path)).await, 404, "not-found");
        looked += 1;
    }
    let after = crossings(&gateway.metrics.render());
    assert!((after - before - f64::from(looked)).abs() < 0.1, "each is counted: {before} {after}");

    for (method, path) in [
        (Method::GET, "/v1/leads/lead-1".to_owned()),
        (Method::GET, "/v1/leads/lead-1/activity".to_owned()),
        (Method::DELETE, "/v1/leads/lead-1".to_owned()),
        (Method::DELETE, format!("/v1/keys/{key_id}")),
    ] {
        expect_problem(&send(request(&gateway, method, &path)).await, 404, "not-found");
    }
    let with_key = crossings(&gateway.metrics.render());
    assert!((with_key - after - 1.0).abs() < 0.1, "so is the key; ids of leads are everybody's own");
    for list in ["/v1/calls", "/v1/leads", "/v1/keys"] {
        assert_eq!(gateway.get(list).await["data"], json!([]), "{list}");
        let own = send(keyed(&gateway, &acme, Method::GET, list)).await.body;
        assert_eq!(column(&own, "id").len(), 1, "{list}");
    }
    let foreign = json!({"provider_id": sid(2), "account": account});
    let asked = send(request(&gateway, Method::POST, "/v1/calls").json(&foreign)).await;
    assert_eq!(super::wrong_fields(&asked), ["account"], "another tenant's account is none of yours");
    assert!(!asked.body["errors"][0]["message"].as_str().unwrap().contains("acme"));
    // The same ids are free for others.
    for key in [KEY, &acme] {
        let lead = send(keyed(&gateway, key, Method::PUT, "/v1/leads/lead-2").json(&json!({"name": key}))).await;
        assert_eq!(lead.status, 201);
    }
    let idempotent = async |key: &str| {
        send(
            keyed(&gateway, key, Method::POST, "/v1/leads")
                .header("idempotency-key", "k")
                .json(&json!({"id": "lead-3"})),
        )
        .await
    };
    for key in [KEY, &acme] {
        let asked = idempotent(key).await;
        assert_eq!((asked.status.as_u16(), asked.headers.get("idempotency-replayed")), (201, None));
    }
}
