//! Refused deliveries over REST: whose they are, what is said about them, and what may be asked.

use super::{add_account, column, expect_problem, key_of, keyed, request, send, sid, wrong_fields};
use crate::support::gateway::{ACCOUNT, Gateway, PUBLIC_URL, TOKEN, on_both_gateways};
use onhook::{
    directory::Scope,
    twilio::{form::Form, signature},
};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    everybody_sees_his_own_and_the_operator_the_unknown,
    it_says_why_and_what_to_do,
    it_goes_in_pages_and_by_filters,
    the_mistake_is_named,
    a_wrong_redrive_names_its_fields,
    what_came_before_its_account_can_be_redriven,
);

const STRANGER: &str = "AC00000000000000000000000000000099";

fn body(account: &str, n: u32) -> String {
    format!("AccountSid={account}&CallSid={}&CallStatus=ringing", sid(n))
}

async fn refuse(gateway: &Gateway, account: &str, n: u32) {
    assert_eq!(gateway.post_signed("wrong", "lead_id=a%20b", body(account, n).as_bytes()).await.status(), 403);
}

async fn everybody_sees_his_own_and_the_operator_the_unknown(gateway: Gateway) {
    let (_, acme) = key_of(&gateway, "acme", Scope::ALL, None).await;
    add_account(&gateway, "acme", "AC00000000000000000000000000000acc").await;
    for (n, account) in [(1, ACCOUNT), (2, "AC00000000000000000000000000000acc"), (3, STRANGER)] {
        refuse(&gateway, account, n).await;
        gateway.clock.advance(1_000);
    }
    let ours = gateway.get("/v1/quarantine").await;
    assert_eq!(column(&ours, "account"), [STRANGER, ACCOUNT], "newest first");
    assert_eq!(column(&ours, "reason"), ["unknown-account", "signature-mismatch"]);
    assert_eq!((&ours["data"][0]["account_known"], &ours["data"][1]["account_known"]), (&json!(false), &json!(true)));
    let theirs = send(keyed(&gateway, &acme, Method::GET, "/v1/quarantine")).await.body;
    assert_eq!(
        column(&theirs, "account"),
        ["AC00000000000000000000000000000acc"],
        "operator or not, acme is another tenant"
    );
    let hidden = [&ours["data"][0]["id"], &ours["data"][1]["id"]].map(|id| id.as_str().unwrap().to_owned());
    for id in hidden.iter().map(String::as_str).chain(["qua_0", "%00"]) {
        let path = format!("/v1/quarantine/{id}");
        for method in [Method::GET, Method::DELETE] {
            expect_problem(&send(keyed(&gateway, &acme, method, &path)).await, 404, "not-found");
        }
    }
    let asked =
        send(keyed(&gateway, &acme, Method::POST, "/v1/quarantine/redrive").json(&json!({"ids": hidden}))).await;
    assert_eq!(asked.body["rows"].as_array().unwrap().iter().filter(|r| r["outcome"] == "not-found").count(), 2);
    let (_, reader) = key_of(&gateway, "default", &[Scope::Read, Scope::Write], None).await;
    expect_problem(&send(keyed(&gateway, &reader, Method::GET, "/v1/quarantine")).await, 403, "scope-missing");

    let path = format!("/v1/quarantine/{}", hidden[0]);
    assert_eq!(send(request(&gateway, Method::DELETE, &path)).await.status, 204);
    expect_problem(&send(request(&gateway, Method::GET, &path)).await, 404, "not-found");
    assert!(gateway.metrics.render().contains("onhook_quarantine_dropped_total 1"));
}

async fn it_says_why_and_what_to_do(gateway: Gateway) {
    for _ in 0..3 {
        refuse(&gateway, ACCOUNT, 1).await;
    }
    let row = gateway.get("/v1/quarantine").await["data"][0].clone();
    assert_eq!(row["times"], 3, "the same one only counts");
    let full = gateway.get(&format!("/v1/quarantine/{}", row["id"].as_str().unwrap())).await;
    assert_eq!(full["body"], body(ACCOUNT, 1));
    assert_eq!(full["path_and_query"], "/webhooks/twilio/status?lead_id=a%20b", "raw");
    assert_eq!(full["explain"]["reason"], "signature-mismatch");
    let tried: Vec<&str> =
        full["explain"]["tried"].as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
    assert!(tried.contains(&&*format!("{PUBLIC_URL}/webhooks/twilio/status?lead_id=a%20b")), "{tried:?}");
    assert!(full["explain"]["next"].as_str().unwrap().contains("ONHOOK_PUBLIC_URL"), "{full}");
    assert_eq!(full["explain"]["diagnosis"]["answer"], "unexplained");
    // It would be let in now, and says so.
    let account = json!({"sid": ACCOUNT, "token": "wrong"});
    assert_eq!(send(request(&gateway, Method::POST, "/v1/accounts").json(&account)).await.status, 201);
    let full = gateway.get(&format!("/v1/quarantine/{}", row["id"].as_str().unwrap())).await;
    assert_eq!(full["explain"]["reason"], Value::Null, "{full}");
    assert!(full["explain"]["next"].as_str().unwrap().contains("redrive"), "{full}");
}

async fn it_goes_in_pages_and_by_filters(gateway: Gateway) {
    for n in 0..5 {
        refuse(&gateway, if n == 4 { STRANGER } else { ACCOUNT }, n).await;
        gateway.clock.advance(1_000);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = gateway.get(&format!("/v1/quarantine?limit=2{cursor}")).await;
        seen.extend(column(&page, "id").into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, column(&gateway.get("/v1/quarantine").await, "id"));
    assert_eq!(seen.len(), 5);
    for (filter, count) in [
        (format!("account={ACCOUNT}"), 4),
        ("reason=unknown-account".into(), 1),
        ("reason=signature-mismatch&source=twilio/status".into(), 4),
        ("reason=unreadable".into(), 0),
    ] {
        let page = gateway.get(&format!("/v1/quarantine?{filter}")).await;
        assert_eq!(page["data"].as_array().unwrap().len(), count, "{filter}");
    }
    for wrong in ["reason=ugly", "source=twilio/fax", "limit=0", "tenant=acme", "account=%00"] {
        expect_problem(
            &send(request(&gateway, Method::GET, &format!("/v1/quarantine?{wrong}"))).await,
            400,
            "bad-filter",
        );
    }
    expect_problem(&send(request(&gateway, Method::GET, "/v1/quarantine?cursor=x")).await, 400, "bad-cursor");
}

async fn a_wrong_redrive_names_its_fields(gateway: Gateway) {
    let many: Vec<String> = (0..201).map(|n| format!("qua_{n}")).collect();
    for (body, fields) in [
        (json!({}), vec!["ids"]),
        (json!({"ids": []}), vec!["ids"]),
        (json!({"ids": ["a"], "all": true}), vec!["ids"]),
        (json!({"account": "AC1", "all": true}), vec!["ids"]),
        (json!({"ids": many}), vec!["ids"]),
        (json!({"ids": ["a", "\0"]}), vec!["ids[1]"]),
        (json!({"account": "\n"}), vec!["account"]),
        (json!({"reason": "ugly"}), vec!["reason"]),
        (json!({"all": "yes"}), vec!["all"]),
        (json!({"tenant": "acme"}), vec!["tenant"]),
    ] {
        let asked = send(request(&gateway, Method::POST, "/v1/quarantine/redrive").json(&body)).await;
        assert_eq!(wrong_fields(&asked), fields, "{body}");
    }
    let by = json!({"source": "twilio/fax"});
    let asked = send(request(&gateway, Method::POST, "/v1/quarantine/redrive").json(&by)).await;
    assert_eq!(wrong_fields(&asked), ["source"]);
    refuse(&gateway, ACCOUNT, 1).await;
    for (source, looked) in [("twilio/status", 1), ("twilio/amd", 0)] {
        let by = json!({"source": source, "dry_run": true});
        let asked = send(request(&gateway, Method::POST, "/v1/quarantine/redrive").json(&by)).await;
        assert_eq!((asked.status.as_u16(), &asked.body["looked"]), (200, &json!(looked)), "{asked:?}");
    }
    let wrong = json!({"all": true, "cursor": "x"});
    expect_problem(
        &send(request(&gateway, Method::POST, "/v1/quarantine/redrive").json(&wrong)).await,
        400,
        "bad-cursor",
    );
}

async fn what_came_before_its_account_can_be_redriven(gateway: Gateway) {
    let (_, acme) = key_of(&gateway, "acme", &[Scope::Admin], None).await;
    assert_eq!(gateway.post_signed("theirs", "", body(STRANGER, 1).as_bytes()).await.status(), 403);
    assert_eq!(gateway.post_signed("forged", "", body(STRANGER, 2).as_bytes()).await.status(), 403);
    let redrive = async |key: &str| {
        send(keyed(&gateway, key, Method::POST, "/v1/quarantine/redrive").json(&json!({"all": true}))).await.body
    };
    assert_eq!(redrive(&acme).await["looked"], 0, "nobody has the account");
    let add = json!({"sid": STRANGER, "token": "theirs"});
    assert_eq!(send(keyed(&gateway, &acme, Method::POST, "/v1/accounts").json(&add)).await.status, 201);
    let done = redrive(&acme).await;
    assert_eq!((&done["applied"], &done["stayed"]), (&json!(1), &json!(1)), "the signature says whose it is: {done}");
    assert_eq!(gateway.get("/v1/quarantine").await["data"].as_array().unwrap().len(), 1);
    let theirs = send(keyed(&gateway, &acme, Method::GET, "/v1/quarantine")).await.body;
    assert_eq!(theirs["data"], json!([]), "what did not verify stays with the operator");
}

/// Signed for another address, and signed with the parent's token.
async fn the_mistake_is_named(gateway: Gateway) {
    let sub = "AC000000000000000000000000000000bb";
    let add = json!({"sid": sub, "token": "own", "parent": ACCOUNT});
    assert_eq!(send(request(&gateway, Method::POST, "/v1/accounts").json(&add)).await.status, 201);
    let told = body(ACCOUNT, 1);
    let form = Form::parse(told.as_bytes()).unwrap();
    let elsewhere = signature::sign(TOKEN, "https://127.0.0.1/webhooks/twilio/status", Some(&form));
    assert_eq!(gateway.post_raw("", told.as_bytes(), Some(&elsewhere)).await.status(), 403);
    gateway.clock.advance(1_000);
    assert_eq!(gateway.post_signed(TOKEN, "", body(sub, 2).as_bytes()).await.status(), 403);
    let mut kinds = Vec::new();
    for id in column(&gateway.get("/v1/quarantine").await, "id") {
        let full = gateway.get(&format!("/v1/quarantine/{id}")).await;
        let diagnosis = &full["explain"]["diagnosis"];
        assert_eq!(diagnosis["answer"], "explained", "{full}");
        let what = diagnosis["mistakes"][0]["what"].as_str().unwrap();
        assert!(full["explain"]["what"].as_str().unwrap().starts_with(what), "{full}");
        assert!(!full.to_string().contains(TOKEN));
        kinds.push(diagnosis["mistakes"][0]["kind"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds[0], "parent_token");
    assert!(["host", "origin"].contains(&kinds[1].as_str()), "{kinds:?}");
}
