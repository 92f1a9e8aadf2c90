//! What is set aside of a batch: whom it may speak for, under whose name it is kept, and when the sink must send it again.

use super::{
    doors::{CALL, post},
    events::{batch, completed, send},
};
use crate::support::{
    database::TestDatabase,
    gateway::{ACCOUNT, Gateway, TOKEN, on_both_gateways},
};
use onhook::twilio::door::Door;
use serde_json::{Value, json};

on_both_gateways!(
    an_unverified_batch_speaks_only_for_accounts_in_observe,
    an_event_of_an_unknown_account_is_kept_under_its_own,
    a_body_that_is_no_batch_is_kept_if_it_verifies,
);

const OTHER: &str = "AC00000000000000000000000000000002";

/// The event of a call of another account.
fn completed_of(account: &str, call: &str) -> Value {
    let mut event = completed(call);
    event["data"]["request"]["parameters"]["AccountSid"] = json!(account);
    event
}

async fn rows(gateway: &Gateway, filter: &str) -> Vec<Value> {
    gateway.get(&format!("/v1/quarantine?{filter}")).await["data"].as_array().unwrap().clone()
}

async fn redriven(gateway: &Gateway, unverified: bool) -> Value {
    let body = json!({"all": true, "unverified": unverified});
    gateway.ask(reqwest::Method::POST, "/v1/quarantine/redrive", Some(body)).await.1
}

/// Whoever may say anything for one account that is being rolled out says nothing for the others of its tenant.
async fn an_unverified_batch_speaks_only_for_accounts_in_observe(gateway: Gateway) {
    for sid in [ACCOUNT, OTHER] {
        let account = json!({"sid": sid, "token": TOKEN});
        assert_eq!(gateway.ask(reqwest::Method::POST, "/v1/accounts", Some(account)).await.0, 201, "{sid}");
    }
    let set = async |sid: &str, mode: &str| {
        let body = json!({"mode": mode, "for": if mode == "observe" { json!("1h") } else { Value::Null }});
        let path = format!("/v1/accounts/{sid}/verify");
        assert!(gateway.ask(reqwest::Method::PUT, &path, Some(body)).await.0.is_success(), "{sid} {mode}");
    };
    set(ACCOUNT, "observe").await;
    let sid = |n: u8| format!("CA{n:032x}");
    let send = async |n: u8| {
        let events = json!([completed_of(ACCOUNT, &sid(n)), completed_of(OTHER, &sid(n + 1))]).to_string();
        let sent = post(&gateway, Door::Events, &format!("account={ACCOUNT}"), events.as_bytes(), None).await;
        sent.status().as_u16()
    };
    let known = async |n: u8| gateway.ask(reqwest::Method::GET, &format!("/v1/calls/{}", sid(n)), None).await.0 == 200;
    assert_eq!(send(1).await, 204);
    assert!(known(1).await && !known(2).await, "the other account is in enforce");
    let aside = rows(&gateway, &format!("account={OTHER}")).await;
    assert_eq!((aside.len(), &aside[0]["reason"]), (1, &json!("signature-mismatch")), "{aside:?}");
    // A whole batch that was refused and comes out of quarantine speaks for the same accounts.
    set(ACCOUNT, "enforce").await;
    assert_eq!(send(3).await, 403);
    set(ACCOUNT, "observe").await;
    let done = redriven(&gateway, true).await;
    assert_eq!((&done["applied"], &done["stayed"]), (&json!(1), &json!(1)), "{done}");
    assert!(known(3).await && !known(4).await && !known(2).await);
    let aside = rows(&gateway, &format!("account={OTHER}&reason=signature-mismatch")).await;
    assert_eq!(aside.len(), 2, "{aside:?}");
    let id = aside[0]["id"].as_str().unwrap();
    let full = gateway.get(&format!("/v1/quarantine/{id}")).await;
    assert!(full.to_string().contains(&format!("onhook accounts verify {OTHER} observe")), "{full}");
    set(OTHER, "observe").await;
    assert_eq!(redriven(&gateway, true).await["applied"], 2);
    assert_eq!(gateway.get(&format!("/v1/calls/{}", sid(4))).await["verified"], false);
}

async fn an_event_of_an_unknown_account_is_kept_under_its_own(gateway: Gateway) {
    assert_eq!(batch(&gateway, &[completed_of(OTHER, CALL)]).await, 204);
    let aside = rows(&gateway, &format!("account={OTHER}")).await;
    assert_eq!((aside.len(), &aside[0]["reason"]), (1, &json!("unknown-account")), "{aside:?}");
    let full = gateway.get(&format!("/v1/quarantine/{}", aside[0]["id"].as_str().unwrap())).await;
    assert!(full.to_string().contains(&format!("onhook accounts add --sid {OTHER}")), "{full}");
    assert_eq!(redriven(&gateway, false).await["stayed"], 1);
    let account = json!({"sid": OTHER, "token": "its-own"});
    assert_eq!(gateway.ask(reqwest::Method::POST, "/v1/accounts", Some(account)).await.0, 201);
    assert_eq!(redriven(&gateway, false).await["applied"], 1);
    let call = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!((&call["account"], &call["verified"]), (&json!(OTHER), &json!(true)), "{call}");
}

async fn a_body_that_is_no_batch_is_kept_if_it_verifies(gateway: Gateway) {
    let body = json!([completed(CALL)]).to_string();
    let cut = &body.as_bytes()[..body.len() - 20];
    assert_eq!(send(&gateway, cut).await.status(), 400);
    let kept = rows(&gateway, &format!("account={ACCOUNT}")).await;
    assert_eq!((kept.len(), &kept[0]["reason"]), (1, &json!("unreadable")), "{kept:?}");
    let full = gateway.get(&format!("/v1/quarantine/{}", kept[0]["id"].as_str().unwrap())).await;
    assert_eq!(full["body"].as_str().unwrap().as_bytes(), cut);
    assert_eq!(redriven(&gateway, false).await["stayed"], 1);
}

/// What can be taken later must not be lost: 204 is said of it only once the quarantine has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_could_be_taken_later_and_is_not_kept_is_answered_503() {
    use sqlx::Executor;
    let at = TestDatabase::postgres().await;
    let mut own = at.place.postgres_connection().await;
    own.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON onhook.quarantine FOR EACH ROW EXECUTE FUNCTION refuse();",
    )
    .await
    .unwrap();
    let gateway = Gateway::on(&at, &[]).await;
    let unreadable = json!({"specversion": "1.0", "type": 17});
    assert_eq!(batch(&gateway, std::slice::from_ref(&unreadable)).await, 204, "nobody can read it later either");
    let events = [completed(CALL), unreadable, completed_of(OTHER, "CA00000000000000000000000000000043")];
    let refused = send(&gateway, &serde_json::to_vec(&events).unwrap()).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["status"], "completed", "the rest counts at once");
    own.execute("DROP TRIGGER refuse ON onhook.quarantine").await.unwrap();
    assert_eq!(batch(&gateway, &events).await, 204);
    assert_eq!(rows(&gateway, "reason=unknown-account").await.len(), 1);
}
