//! Webhooks that arrive while their call is swept: they win.

use super::scene::{Scene, is_in_order, is_list, meanwhile, not_found, on_both_scenes, tell};
use crate::support::{
    canned::Reply,
    gateway::{ACCOUNT, TOKEN},
    stage::INTERVAL_MS,
};
use onhook::{
    domain::{
        state::Outcome,
        time::{HOUR, MINUTE},
    },
    double::Change,
    twilio::{form::Form, signature},
};
use serde_json::{Value, json};

on_both_scenes!(
    it_ended_between_the_question_and_the_answer,
    it_moved_between_the_question_and_an_older_answer,
    it_ended_while_it_was_given_up,
    it_moved_while_it_was_given_up,
    it_moved_while_its_account_was_away,
);

/// Posts a callback from within an answer: the gateway is not at hand there.
fn post(address: &str, sid: &str, status: &str, more: &[(&str, &str)]) {
    let usual = [("CallSid", sid), ("AccountSid", ACCOUNT), ("CallStatus", status), ("Direction", "outbound-api")];
    let all: Vec<_> = usual.into_iter().chain(more.iter().copied()).collect();
    let body = serde_urlencoded::to_string(&all).unwrap();
    let url = "https://calls.example.com/hook/webhooks/twilio/status";
    let signature = signature::sign(TOKEN, url, Form::parse(body.as_bytes()).ok().as_ref());
    let request = reqwest::Client::new()
        .post(format!("{address}/webhooks/twilio/status"))
        .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
        .header("x-twilio-signature", signature)
        .body(body);
    assert!(meanwhile(request.send()).unwrap().status().is_success());
}

fn said(sid: &str, status: &str, more: Value) -> Reply {
    let mut body = json!({ "sid": sid, "account_sid": ACCOUNT, "status": status });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Reply::json(body)
}

async fn it_ended_between_the_question_and_the_answer(scene: Scene) {
    let sid = scene.in_progress("").await;
    scene.end(&sid, Outcome::Completed);
    let (address, call) = (scene.gateway.address.clone(), sid.clone());
    scene.answering(move |seen| {
        if is_list(seen) {
            return None;
        }
        post(&address, &call, "completed", &[("CallDuration", "7")]);
        Some(said(&call, "in-progress", json!({})))
    });
    scene.pass(2 * MINUTE).await;
    scene.sweep().await;
    let call = scene.call(&sid).await;
    assert_eq!(
        (&call["status"], &call["resolution"], &call["talk_seconds"]),
        (&"completed".into(), &"callback".into(), &7.into())
    );
    assert_eq!((&call["due_at"], scene.owed(&sid).await), (&Value::Null, vec!["call.ended".to_owned()]));
    is_in_order(&scene.gateway).await;
}

async fn it_moved_between_the_question_and_an_older_answer(scene: Scene) {
    let sid = scene.silent(Change::Ringing);
    tell(&scene.gateway, &sid, "ringing", "", &[]).await;
    let (address, call) = (scene.gateway.address.clone(), sid.clone());
    scene.answering(move |seen| {
        if is_list(seen) {
            return Some(Reply::json(json!({ "calls": [] })));
        }
        post(&address, &call, "in-progress", &[]);
        Some(said(&call, "ringing", json!({})))
    });
    scene.pass(2 * MINUTE).await;
    scene.sweep().await;
    let call = scene.call(&sid).await;
    assert_eq!((&call["status"], &call["deliveries"]), (&"in-progress".into(), &2.into()), "{call}");
    scene.honest();
    scene.end(&sid, Outcome::Completed);
    scene.sweep_for(4).await;
    assert_eq!(scene.status(&sid).await, "completed");
    assert_eq!(scene.owed(&sid).await, ["call.repaired"]);
    is_in_order(&scene.gateway).await;
}

/// A call that its provider did not know twice and is about to be given up, beside one that it knows.
async fn about_to_be_given_up(scene: &Scene) -> String {
    let sid = format!("CA{:032x}", 404);
    tell(&scene.gateway, &sid, "ringing", "", &[]).await;
    scene.in_progress("").await;
    scene.pass(2 * MINUTE).await;
    scene.sweep().await;
    scene.pass(MINUTE + INTERVAL_MS).await;
    scene.sweep().await;
    assert_eq!((scene.status(&sid).await.as_str(), scene.asked(&format!("{sid}.json"))), ("ringing", 2));
    scene.pass(2 * MINUTE + INTERVAL_MS).await;
    sid
}

async fn it_ended_while_it_was_given_up(scene: Scene) {
    let sid = about_to_be_given_up(&scene).await;
    let (address, call) = (scene.gateway.address.clone(), sid.clone());
    scene.answering(move |seen| {
        if is_list(seen) {
            return None;
        }
        post(&address, &call, "busy", &[]);
        Some(not_found())
    });
    scene.sweep().await;
    let call = scene.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"busy".into(), &"callback".into()), "{call}");
    assert_eq!(scene.owed(&sid).await, ["call.ended"]);
    let id = call["id"].as_str().unwrap();
    assert_eq!((scene.audited(id).await, scene.noticed(id).await), (vec![], vec![]), "nothing was decided");
    is_in_order(&scene.gateway).await;
}

async fn it_moved_while_it_was_given_up(scene: Scene) {
    let sid = about_to_be_given_up(&scene).await;
    let (address, call) = (scene.gateway.address.clone(), sid.clone());
    scene.answering(move |seen| {
        if is_list(seen) {
            return None;
        }
        post(&address, &call, "in-progress", &[]);
        Some(not_found())
    });
    // The webhook comes some time after the sweep began; as Twilio's times are whole seconds, it may look older.
    scene.sweep().await;
    let call = scene.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"in-progress".into(), &Value::Null), "{call}");
    let id = call["id"].as_str().unwrap().to_owned();
    assert_eq!((scene.audited(&id).await, scene.noticed(&id).await), (vec![], vec![]));
    assert_eq!(scene.owed(&sid).await, Vec::<String>::new());
    // What was not known before it showed that it lives does not count: three more asks.
    scene.answering(|seen| (!is_list(seen)).then(not_found));
    let before = scene.asked(&format!("{sid}.json"));
    for _ in 0..30 {
        scene.sweep_for(1).await;
        if scene.status(&sid).await != "in-progress" {
            break;
        }
    }
    assert_eq!(scene.status(&sid).await, "completed");
    assert_eq!(scene.asked(&format!("{sid}.json")) - before, 3);
    assert_eq!(scene.audited(&id).await.len(), 1);
    is_in_order(&scene.gateway).await;
}

/// The limit of a ringing call is over when it is answered, in the very sweep that gives it up.
async fn it_moved_while_its_account_was_away(scene: Scene) {
    let sid = scene.silent(Change::Ringing);
    tell(&scene.gateway, &sid, "ringing", "", &[]).await;
    let (address, call) = (scene.gateway.address.clone(), sid.clone());
    scene.pass(HOUR + MINUTE).await;
    scene.answering(move |_| {
        post(&address, &call, "in-progress", &[]);
        Some(Reply::status(503).with("Retry-After", "3600"))
    });
    scene.sweep().await;
    assert_eq!(scene.status(&sid).await, "in-progress");
    scene.away();
    scene.pass(HOUR).await;
    scene.sweep().await;
    assert_eq!(scene.status(&sid).await, "in-progress", "its limit is another one now");
    is_in_order(&scene.gateway).await;
}
