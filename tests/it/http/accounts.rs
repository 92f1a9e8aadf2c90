//! Provider accounts over REST.

use super::{column, expect_problem, key_of, keyed, request, send, wrong_fields};
use crate::support::gateway::{ACCOUNT, Gateway, START_MS, on_both_gateways};
use onhook::{directory::Scope, domain::time::rfc3339};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    an_account_is_added_and_its_token_never_shown,
    the_configured_account_is_listed_where_it_belongs,
    an_account_belongs_to_one_tenant,
    tokens_take_turns_and_are_deleted,
    wrong_fields_are_named,
    a_wrong_token_puts_no_end_on_a_good_one,
);

const SID: &str = "AC000000000000000000000000000000aa";

async fn add(gateway: &Gateway, body: Value) -> super::Asked {
    send(request(gateway, Method::POST, "/v1/accounts").json(&body)).await
}

async fn an_account_is_added_and_its_token_never_shown(gateway: Gateway) {
    let asked = send(
        request(&gateway, Method::POST, "/v1/accounts")
            .header("idempotency-key", "once")
            .json(&json!({"sid": SID, "token": "hush-token"})),
    )
    .await;
    assert_eq!(asked.status, 201, "{asked:?}");
    assert_eq!(asked.body["created_at"], rfc3339(START_MS));
    assert_eq!((&asked.body["verify"], &asked.body["configured"]), (&json!("enforce"), &json!(false)));
    let again = send(
        request(&gateway, Method::POST, "/v1/accounts")
            .header("idempotency-key", "once")
            .json(&json!({"sid": SID, "token": "hush-token"})),
    )
    .await;
    assert_eq!((again.status, &again.body), (asked.status, &asked.body), "done once");
    let loaded = gateway.get(&format!("/v1/accounts/{SID}")).await;
    assert_eq!(loaded, asked.body);
    assert_eq!(loaded["tokens"][0]["expires_at"], Value::Null);
    assert!(!loaded.to_string().contains("hush"));
    let body = format!("AccountSid={SID}&CallSid=CA{:032}&CallStatus=ringing", 1);
    assert_eq!(gateway.post_signed("hush-token", "", body.as_bytes()).await.status(), 204, "at once");
}

async fn the_configured_account_is_listed_where_it_belongs(gateway: Gateway) {
    for sid in ["AC00000000000000000000000000000000", SID] {
        assert_eq!(add(&gateway, json!({"sid": sid, "token": "t"})).await.status, 201);
    }
    let all = gateway.get("/v1/accounts").await;
    assert_eq!(column(&all, "id"), ["AC00000000000000000000000000000000", ACCOUNT, SID]);
    assert_eq!((&all["data"][1]["configured"], &all["data"][1]["created_at"]), (&json!(true), &Value::Null));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = gateway.get(&format!("/v1/accounts?limit=1{cursor}")).await;
        seen.extend(page["data"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(json!(seen), all["data"], "page by page the same");
    let path = format!("/v1/accounts/{ACCOUNT}");
    assert_eq!(gateway.get(&path).await["tokens"], json!([]));
    let verify =
        send(request(&gateway, Method::PUT, &format!("{path}/verify")).json(&json!({"mode": "observe"}))).await;
    expect_problem(&verify, 404, "not-found");
    assert!(verify.body["detail"].as_str().unwrap().contains("TWILIO_ACCOUNT_SID"), "{verify:?}");
    assert_eq!(add(&gateway, json!({"sid": ACCOUNT, "token": "t"})).await.status, 201, "it may be stored too");
    let both = gateway.get(&path).await;
    assert_eq!((&both["configured"], both["tokens"].as_array().unwrap().len()), (&json!(true), 1));
    assert_eq!(gateway.get("/v1/accounts").await["data"].as_array().unwrap().len(), 3);
}

async fn an_account_belongs_to_one_tenant(gateway: Gateway) {
    let (_, acme) = key_of(&gateway, "acme", &[Scope::Admin], None).await;
    let by_acme = async |sid: &str| {
        send(keyed(&gateway, &acme, Method::POST, "/v1/accounts").json(&json!({"sid": sid, "token": "t"}))).await
    };
    assert_eq!(by_acme(SID).await.status, 201);
    let (ours, theirs) = (add(&gateway, json!({"sid": SID, "token": "t"})).await, by_acme(SID).await);
    expect_problem(&ours, 409, "already-exists");
    assert_eq!(ours.body["detail"], theirs.body["detail"], "whose it is is not said");
    expect_problem(&by_acme(ACCOUNT).await, 409, "already-exists");
    for (method, path) in [
        (Method::GET, format!("/v1/accounts/{SID}")),
        (Method::PUT, format!("/v1/accounts/{SID}/verify")),
        (Method::POST, format!("/v1/accounts/{SID}/rotate")),
        (Method::DELETE, format!("/v1/accounts/{SID}/tokens/tok_1")),
        (Method::GET, "/v1/accounts/%00".into()),
    ] {
        let body = if path.ends_with("rotate") { json!({"token": "x"}) } else { json!({"mode": "enforce"}) };
        expect_problem(&send(request(&gateway, method.clone(), &path).json(&body)).await, 404, "not-found");
    }
    assert_eq!(column(&send(keyed(&gateway, &acme, Method::GET, "/v1/accounts")).await.body, "id"), [SID]);
    let (_, writer) = key_of(&gateway, "acme", &[Scope::Read, Scope::Write], None).await;
    expect_problem(&send(keyed(&gateway, &writer, Method::GET, "/v1/accounts")).await, 403, "scope-missing");
}

async fn tokens_take_turns_and_are_deleted(gateway: Gateway) {
    assert_eq!(add(&gateway, json!({"sid": SID, "token": "first"})).await.status, 201);
    let rotate = async |body: Value| {
        send(request(&gateway, Method::POST, &format!("/v1/accounts/{SID}/rotate")).json(&body)).await
    };
    let asked = rotate(json!({"token": "second"})).await;
    assert_eq!(asked.status, 200, "{asked:?}");
    let ends: Vec<&Value> = asked.body["tokens"].as_array().unwrap().iter().map(|token| &token["expires_at"]).collect();
    assert!(ends.contains(&&Value::Null) && ends.contains(&&json!(rfc3339(START_MS + 86_400_000))), "a day: {ends:?}");
    let old = asked.body["tokens"].as_array().unwrap().iter().find(|token| token["expires_at"] != Value::Null).unwrap();
    let path = format!("/v1/accounts/{SID}/tokens/{}", old["id"].as_str().unwrap());
    let body = format!("AccountSid={SID}&CallSid=CA{:032}&CallStatus=ringing", 1);
    assert_eq!(gateway.post_signed("first", "", body.as_bytes()).await.status(), 204);
    assert_eq!(send(request(&gateway, Method::DELETE, &path)).await.status, 204);
    expect_problem(&send(request(&gateway, Method::DELETE, &path)).await, 404, "not-found");
    assert_eq!(gateway.post_signed("first", "", body.as_bytes()).await.status(), 403, "at once");
    for n in 0..19 {
        gateway.clock.advance(1);
        assert_eq!(rotate(json!({"token": format!("t{n}"), "keep_old": "30d"})).await.status, 200);
    }
    assert_eq!(wrong_fields(&rotate(json!({"token": "one-more"})).await), ["token"]);
}

async fn a_wrong_token_puts_no_end_on_a_good_one(gateway: Gateway) {
    assert_eq!(add(&gateway, json!({"sid": SID, "token": "first"})).await.status, 201);
    let rotate = async |token: &str| {
        let body = json!({"token": token, "keep_old": "0s"});
        send(request(&gateway, Method::POST, &format!("/v1/accounts/{SID}/rotate")).json(&body)).await
    };
    assert_eq!(wrong_fields(&rotate("refused").await), ["token"]);
    expect_problem(&rotate("away").await, 503, "unavailable");
    let account = gateway.get(&format!("/v1/accounts/{SID}")).await;
    let tokens = account["tokens"].as_array().unwrap();
    assert_eq!((tokens.len(), &tokens[0]["expires_at"]), (1, &Value::Null), "{account}");
    let body = format!("AccountSid={SID}&CallSid=CA{:032}&CallStatus=ringing", 1);
    assert_eq!(gateway.post_signed("first", "", body.as_bytes()).await.status(), 204);
}

async fn wrong_fields_are_named(gateway: Gateway) {
    for (body, fields) in [
        (json!({"token": "t"}), vec!["sid"]),
        (json!({"sid": SID}), vec!["token"]),
        (json!({"sid": "AC12", "token": ""}), vec!["sid", "token"]),
        (json!({"sid": SID, "token": "with space"}), vec!["token"]),
        (json!({"sid": SID, "token": "t".repeat(513)}), vec!["token"]),
        (json!({"sid": SID, "token": "t", "parent": "SK12"}), vec!["parent"]),
        (json!({"sid": SID, "token": "t", "parent": "AC00000000000000000000000000000077"}), vec!["parent"]),
        (json!({"sid": SID, "token": "t", "tenant": "acme"}), vec!["tenant"]),
        (json!({"sid": SID, "token": "refused"}), vec!["token"]),
        (json!({"sid": SID, "token": "owned", "parent": ACCOUNT}), vec!["parent"]),
    ] {
        let asked = add(&gateway, body.clone()).await;
        assert_eq!(wrong_fields(&asked), fields, "{body}");
        assert!(!asked.body.to_string().contains("with space"), "no token in a message");
    }
    let away = add(&gateway, json!({"sid": SID, "token": "away"})).await;
    expect_problem(&away, 503, "unavailable");
    assert!(away.body["detail"].as_str().unwrap().contains("Twilio"), "{away:?}");
    assert_eq!(gateway.get("/v1/accounts").await["data"].as_array().unwrap().len(), 1, "nothing was added");
    assert_eq!(add(&gateway, json!({"sid": SID, "token": "t"})).await.status, 201);
    for (body, fields) in [
        (json!({"mode": "off"}), vec!["mode"]),
        (json!({"mode": "observe", "for": "31d"}), vec!["for"]),
        (json!({"mode": "observe", "for": "1s"}), vec!["for"]),
        (json!({"mode": "observe", "for": "soon"}), vec!["for"]),
        (json!({"mode": "enforce", "for": "1h"}), vec!["for"]),
    ] {
        let path = format!("/v1/accounts/{SID}/verify");
        assert_eq!(wrong_fields(&send(request(&gateway, Method::PUT, &path).json(&body)).await), fields, "{body}");
    }
    for (body, fields) in
        [(json!({"token": ""}), vec!["token"]), (json!({"token": "", "keep_old": "31d"}), vec!["token", "keep_old"])]
    {
        let path = format!("/v1/accounts/{SID}/rotate");
        assert_eq!(wrong_fields(&send(request(&gateway, Method::POST, &path).json(&body)).await), fields, "{body}");
    }
}
