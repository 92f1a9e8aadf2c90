//! Asking about one call, and ending one by hand.

use super::{Asked, expect_problem, key_of, keyed, request, send, wrong_fields};
use crate::support::stage::{Stage, on_both_stages};
use onhook::{
    directory::Scope,
    domain::time::{HOUR, MINUTE, rfc3339},
    double::{Fate, Outage},
    store::audit,
};
use reqwest::Method;
use serde_json::{Value, json};

on_both_stages!(
    a_call_is_asked_about_now,
    who_cannot_be_asked_is_no_failure_of_the_question,
    asking_again_and_again_gives_nothing_up,
    a_call_is_ended_by_hand,
    the_word_of_the_provider_outweighs_the_hand,
    ending_may_hang_up,
    a_wrong_ending_names_its_fields,
    others_calls_are_not_there,
);

const LONG: Fate = Fate::Answered { talk_s: 3_600 };

async fn post(stage: &Stage, sid: &str, what: &str, body: Option<Value>) -> Asked {
    let request = request(&stage.gateway, Method::POST, &format!("/v1/calls/{sid}/{what}"));
    send(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

/// A call in progress of which nothing more is heard.
async fn silent(stage: &Stage, fate: Fate) -> String {
    stage.lose(0.0);
    let sid = stage.place(fate);
    for _ in 0..60 {
        stage.pass(1_000).await;
        if stage.gateway.get("/v1/calls?status=in-progress").await["data"][0]["provider_id"] == sid.as_str() {
            stage.lose(1.0);
            return sid;
        }
    }
    panic!("{sid} is never answered");
}

#[track_caller]
fn asked(answer: &Asked) -> (&Value, &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    (&answer.body["asked"]["answer"], answer.body["asked"]["why"].as_str().unwrap())
}

async fn a_call_is_asked_about_now(stage: Stage) {
    let sid = silent(&stage, Fate::Answered { talk_s: 50 }).await;
    let alive = post(&stage, &sid, "check", None).await;
    assert_eq!(asked(&alive).0, "alive");
    assert_eq!(alive.body["call"], stage.call(&sid).await);
    stage.pass(MINUTE).await;
    let key = |body: Value| {
        let path = format!("/v1/calls/{sid}/check");
        request(&stage.gateway, Method::POST, &path).header("idempotency-key", "k").json(&body)
    };
    let ended = send(key(json!({}))).await;
    let (answer, why) = asked(&ended);
    assert_eq!(answer, "ended");
    assert!(why.contains("ended as completed at"), "{why}");
    assert_eq!(
        (&ended.body["call"]["status"], &ended.body["call"]["resolution"]),
        (&json!("completed"), &json!("reconciled"))
    );
    let heard = stage.heard(&format!("{sid}.json"));
    let replayed = send(key(json!({}))).await;
    assert_eq!((&replayed.body, replayed.headers["idempotency-replayed"].as_bytes()), (&ended.body, &b"true"[..]));
    let again = post(&stage, &sid, "check", Some(json!({}))).await;
    let (answer, why) = asked(&again);
    assert_eq!(answer, &Value::Null);
    assert!(why.contains("nobody was asked"), "{why}");
    assert_eq!(again.body["call"], ended.body["call"]);
    assert_eq!(stage.heard(&format!("{sid}.json")), heard, "nobody was");
    assert_eq!(wrong_fields(&post(&stage, &sid, "check", Some(json!({"force": true}))).await).len(), 1);
    expect_problem(&post(&stage, "CA0", "check", None).await, 404, "not-found");
}

async fn who_cannot_be_asked_is_no_failure_of_the_question(stage: Stage) {
    let sid = silent(&stage, LONG).await;
    for status in [503, 401] {
        stage.twilio.with(|double| double.set_outage(Some(Outage::Status(status))));
        let checked = post(&stage, &sid, "check", None).await;
        let (answer, why) = asked(&checked);
        assert_eq!(answer, "trouble", "{status}");
        assert!(why.contains("Nobody can say: failed to"), "{why}");
        assert_eq!(checked.body["call"]["status"], "in-progress");
    }
    stage.twilio.with(|double| double.set_outage(None));
    assert_eq!(asked(&post(&stage, &sid, "check", None).await).0, "alive", "refused credentials are tried by hand");
}

async fn asking_again_and_again_gives_nothing_up(stage: Stage) {
    // The account is known to answer for calls of ours.
    let known = silent(&stage, LONG).await;
    stage.pass(2 * MINUTE).await;
    stage.sweep().await;
    let unknown = "CA000000000000000000000000000000ff";
    let body = json!({"provider_id": unknown, "to": "+14155550101"});
    assert_eq!(stage.gateway.ask(Method::POST, "/v1/calls", Some(body)).await.0, 201);
    for _ in 0..5 {
        let checked = post(&stage, unknown, "check", None).await;
        assert_eq!(asked(&checked).0, "not-found");
        assert_eq!(checked.body["call"]["status"], "queued", "a call that was just placed may not be known yet");
    }
    // What was asked in the moment in which it was announced counts for nothing.
    for _ in 0..3 {
        stage.pass(MINUTE).await;
        post(&stage, unknown, "check", None).await;
    }
    let call = stage.call(unknown).await;
    assert_eq!((&call["status"], &call["resolution"]), (&json!("failed"), &json!("inferred")), "{call}");
    // Asked about again it stays as it is, decided when it was.
    stage.pass(HOUR).await;
    let checked = post(&stage, unknown, "check", None).await;
    let (answer, why) = asked(&checked);
    assert_eq!(answer, "not-found");
    assert!(why.contains("stays as it is"), "{why}");
    assert_eq!(checked.body["call"], call);
    assert_eq!(stage.status(&known).await, "in-progress");
}

async fn a_call_is_ended_by_hand(stage: Stage) {
    let sid = silent(&stage, LONG).await;
    let alive_at = stage.twilio.now_ms();
    stage.pass(10 * MINUTE).await;
    let ended_at = rfc3339(alive_at + MINUTE);
    let body = json!({"ended_at": ended_at, "reason": "The agent's computer crashed."});
    let ended = post(&stage, &sid, "end", Some(body)).await;
    assert_eq!(ended.status, 200, "{ended:?}");
    let call = &ended.body["call"];
    assert_eq!((&call["status"], &call["resolution"]), (&json!("completed"), &json!("manual")), "{call}");
    assert_eq!((&call["hangup_cause"], &call["ended_at"]), (&json!("manual"), &json!(ended_at)));
    assert_eq!((&call["due_at"], &ended.body["hangup"]), (&Value::Null, &Value::Null));
    let audited = audit::list_of_subject(&stage.gateway.db, "default", call["id"].as_str().unwrap(), 9).await.unwrap();
    assert_eq!((audited.len(), audited[0].action.as_str()), (1, "call.ended_by_hand"));
    assert!(audited[0].actor.starts_with("key:") && audited[0].detail.contains("computer crashed"), "{audited:?}");
    let again = post(&stage, &sid, "end", None).await;
    expect_problem(&again, 409, "call-ended");
    assert!(again.body["detail"].as_str().unwrap().contains("completed (manual)"), "{again:?}");
}

async fn the_word_of_the_provider_outweighs_the_hand(stage: Stage) {
    let sid = silent(&stage, Fate::Answered { talk_s: 1_200 }).await;
    assert_eq!(post(&stage, &sid, "end", Some(json!({}))).await.body["call"]["resolution"], "manual");
    stage.pass(2 * MINUTE).await;
    // It goes on: whoever asks hears that.
    let checked = post(&stage, &sid, "check", None).await;
    assert_eq!(asked(&checked).0, "alive");
    assert_eq!(
        (&checked.body["call"]["status"], &checked.body["call"]["resolution"]),
        (&json!("in-progress"), &Value::Null)
    );
    assert_ne!(checked.body["call"]["due_at"], Value::Null, "it is looked after again");
    assert_eq!(post(&stage, &sid, "end", None).await.status, 200);
    stage.pass(30 * MINUTE).await;
    // It is over: the provider's ending takes the place of ours.
    let checked = post(&stage, &sid, "check", None).await;
    assert_eq!(asked(&checked).0, "ended");
    let call = &checked.body["call"];
    assert_eq!((&call["resolution"], &call["talk_seconds"]), (&json!("reconciled"), &json!(1_200)), "{call}");
    expect_problem(&post(&stage, &sid, "end", None).await, 409, "call-ended");
}

async fn ending_may_hang_up(stage: Stage) {
    let sid = silent(&stage, LONG).await;
    let ended = post(&stage, &sid, "end", Some(json!({"hangup": true}))).await;
    assert_eq!((ended.status.as_u16(), &ended.body["hangup"]["done"]), (200, &json!(true)), "{ended:?}");
    let over = stage.twilio.with(|double| double.call(&sid).unwrap().truth().unwrap());
    assert!(over.ended_ms.is_some_and(|at| at <= stage.twilio.now_ms()), "the provider hung up");

    let sid = silent(&stage, LONG).await;
    stage.twilio.with(|double| double.set_outage(Some(Outage::Status(503))));
    let ended = post(&stage, &sid, "end", Some(json!({"hangup": true}))).await;
    let hangup = &ended.body["hangup"];
    assert_eq!((ended.status.as_u16(), &hangup["done"]), (200, &json!(false)), "{ended:?}");
    assert!(hangup["why"].as_str().unwrap().contains("may go on"), "{hangup}");
    assert_eq!(ended.body["call"]["resolution"], "manual", "it is ended all the same");
    stage.twilio.with(|double| double.set_outage(None));
    // Which the next list corrects.
    let other = silent(&stage, LONG).await;
    stage.pass(2 * MINUTE).await;
    stage.sweep().await;
    assert_eq!((stage.status(&sid).await, stage.status(&other).await), ("in-progress".into(), "in-progress".into()));
}

async fn a_wrong_ending_names_its_fields(stage: Stage) {
    let sid = silent(&stage, LONG).await;
    let (now_ms, created) = (stage.twilio.now_ms(), stage.call(&sid).await["created_at"].clone());
    let before = onhook::domain::time::parse_rfc3339(created.as_str().unwrap()).unwrap() - 1;
    for at in [rfc3339(now_ms + 1_000), rfc3339(before), "yesterday".to_owned()] {
        assert_eq!(
            wrong_fields(&post(&stage, &sid, "end", Some(json!({ "ended_at": at }))).await),
            ["ended_at"],
            "{at}"
        );
    }
    let body = json!({"reason": "x".repeat(501), "ended_at": "never"});
    let mut wrong = wrong_fields(&post(&stage, &sid, "end", Some(body)).await).join(" ");
    assert_eq!(wrong, "ended_at reason");
    wrong = wrong_fields(&post(&stage, &sid, "end", Some(json!({"hangup": "yes"}))).await).join(" ");
    assert_eq!(wrong, "hangup");
    assert_eq!(stage.status(&sid).await, "in-progress", "nothing was changed");
    expect_problem(&post(&stage, "CA0", "end", None).await, 404, "not-found");
}

async fn others_calls_are_not_there(stage: Stage) {
    let sid = silent(&stage, LONG).await;
    let (_, acme) = key_of(&stage.gateway, "acme", Scope::ALL, None).await;
    for path in [format!("/v1/calls/{sid}/check"), format!("/v1/calls/{sid}/end")] {
        expect_problem(&send(keyed(&stage.gateway, &acme, Method::POST, &path)).await, 404, "not-found");
    }
    assert_eq!(stage.status(&sid).await, "in-progress");
}
