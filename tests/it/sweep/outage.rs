//! Providers that are away, and credentials that are refused.

use super::scene::{Scene, TENANT, is_in_order, is_list, on_both_scenes, tell};
use crate::support::{canned::Reply, gateway::ACCOUNT, stage::INTERVAL_MS};
use onhook::{
    domain::{
        state::Outcome,
        time::{HOUR, MINUTE, SECOND},
    },
    double::{Account, Change, Fate},
    store::calls,
};
use reqwest::Method;
use serde_json::{Value, json};

on_both_scenes!(
    nothing_is_given_up_before_its_limit,
    what_is_lost_in_an_outage_is_repaired_after_it,
    what_was_given_up_is_corrected_by_a_late_callback,
    revoked_credentials_touch_no_call,
    refused_credentials_are_tried_again,
    a_call_that_cannot_be_read_stops_no_other,
    an_outage_of_many_faces_is_said_once,
);

/// Each state has its limit, and 15 minutes after the last sign of life.
async fn nothing_is_given_up_before_its_limit(scene: Scene) {
    let queued = scene.silent(Change::Queued);
    tell(&scene.gateway, &queued, "queued", "", &[]).await;
    let ringing = scene.silent(Change::Ringing);
    tell(&scene.gateway, &ringing, "ringing", "", &[]).await;
    let answered = scene.in_progress("user_id=ann").await;
    // A list shows a sign of life of it 50 minutes later; then nobody answers any more.
    let seen = scene.silent(Change::Ringing);
    tell(&scene.gateway, &seen, "ringing", "", &[]).await;
    let only = seen.clone();
    scene.pass(50 * MINUTE).await;
    scene.answering(move |asked| {
        let ringing = asked.target.contains("Status=ringing");
        let calls =
            if ringing { json!([{"sid": only, "account_sid": ACCOUNT, "status": "ringing"}]) } else { json!([]) };
        Some(if is_list(asked) {
            Reply::json(json!({ "calls": calls }))
        } else {
            Reply::status(503).with("Retry-After", "99")
        })
    });
    scene.sweep().await;
    scene.away();
    let limits = [
        (&ringing, "ringing", 10 * MINUTE),
        (&seen, "ringing", 15 * MINUTE),
        (&answered, "in-progress", 3 * HOUR + 25 * MINUTE),
        (&queued, "queued", 23 * HOUR + 10 * MINUTE),
    ];
    let start_ms = scene.twilio.now_ms();
    for (sid, live, limit_ms) in limits {
        scene.pass(start_ms + limit_ms - 1 - scene.twilio.now_ms()).await;
        scene.sweep().await;
        assert_eq!(scene.status(sid).await, live);
        scene.pass(INTERVAL_MS).await;
        scene.sweep().await;
        let call = scene.call(sid).await;
        assert_eq!(
            (&call["resolution"], &call["hangup_cause"]),
            (&"inferred".into(), &"timeout_cleanup".into()),
            "{call}"
        );
        let row = calls::find(&scene.gateway.db, TENANT, sid, None).await.unwrap().remove(0);
        assert_eq!(row.ended_at_ms, row.alive_ms, "the last sign of life");
        assert_eq!(scene.owed(sid).await, ["call.repaired"]);
        let id = call["id"].as_str().unwrap();
        let audited = scene.audited(id).await;
        assert_eq!(audited.len(), 1);
        let detail: Value = serde_json::from_str(&audited[0].detail).unwrap();
        assert!(detail["rule"].as_str().unwrap().contains("whose provider does not answer"), "{detail}");
        assert!(detail["evidence"].as_str().unwrap().contains("last sign of life"), "{detail}");
        assert_eq!(scene.noticed(id).await.len(), if *sid == answered { 2 } else { 1 });
    }
    assert_eq!((scene.status(&answered).await, scene.status(&ringing).await), ("completed".into(), "failed".into()));
    is_in_order(&scene.gateway).await;
}

async fn what_is_lost_in_an_outage_is_repaired_after_it(scene: Scene) {
    scene.lead("lead-1").await;
    let fates = [Fate::Answered { talk_s: 300 }, Fate::Answered { talk_s: 3_000 }, Fate::Busy, Fate::NoAnswer];
    let sids: Vec<String> = fates.iter().map(|fate| scene.place(*fate, "")).collect();
    let contact = scene.place(Fate::Answered { talk_s: 400 }, "lead_id=lead-1");
    scene.until(&contact, "in-progress").await;
    scene.lose(1.0);
    // For most of an hour: 503, 429, garbage, a page that is not Twilio's, a connection that ends.
    for n in 0..38 {
        let reply = move || match n % 5 {
            0 => Reply::status(503).with("Retry-After", "3600"),
            1 => Reply::status(429).with("Retry-After", "3600"),
            2 => Reply { body: "{\"calls\": [{\"sid\"".into(), ..Reply::status(200) },
            3 => Reply::json(json!({ "calls": [{"sid": "CA1", "account_sid": "AC9", "status": "completed"}] })),
            _ => Reply { body: "<html>".into(), ..Reply::status(418) },
        };
        scene.answering(move |_| Some(reply()));
        scene.pass(90 * SECOND).await;
        scene.sweep().await;
    }
    for sid in sids.iter().chain([&contact]) {
        let call = scene.call(sid).await;
        assert!(call["resolution"] != "inferred", "{call}");
    }
    scene.honest();
    scene.sweep_for(2).await;
    for sid in sids.iter().chain([&contact]) {
        let truth = scene.double(|double| double.call(sid).unwrap().truth().unwrap());
        assert_eq!(scene.status(sid).await, truth.status.as_str());
        assert_eq!(scene.owed(sid).await.len(), 1);
    }
    assert_eq!(scene.owed(&contact).await, ["call.repaired"]);
    assert_eq!(scene.owed_of("lead-1").await, ["lead.contacted"]);
    let kinds: Vec<String> = scene.noticed(ACCOUNT).await.into_iter().map(|row| row.kind).collect();
    assert_eq!(kinds, ["provider-unreachable", "account-answers-again"]);
    is_in_order(&scene.gateway).await;
}

async fn what_was_given_up_is_corrected_by_a_late_callback(scene: Scene) {
    for lead in ["answered", "ringing"] {
        scene.lead(lead).await;
    }
    let answered = scene.in_progress("lead_id=answered").await;
    let ringing = scene.silent(Change::Ringing);
    tell(&scene.gateway, &ringing, "ringing", "lead_id=ringing", &[]).await;
    scene.away();
    scene.pass(5 * HOUR).await;
    scene.sweep().await;
    let contacts = async |lead: &str| scene.gateway.get(&format!("/v1/leads/{lead}")).await["contact_count"].clone();
    assert_eq!(scene.status(&answered).await, "completed");
    assert_eq!((contacts("answered").await, contacts("ringing").await), (1.into(), 0.into()));

    // Really nobody was there in the first, and somebody in the second.
    tell(&scene.gateway, &answered, "no-answer", "lead_id=answered", &[]).await;
    tell(&scene.gateway, &ringing, "completed", "lead_id=ringing", &[("CallDuration", "33")]).await;
    assert_eq!((scene.status(&answered).await, scene.status(&ringing).await), ("no-answer".into(), "completed".into()));
    assert_eq!((contacts("answered").await, contacts("ringing").await), (0.into(), 1.into()));
    assert_eq!(scene.owed(&answered).await, ["call.repaired", "call.corrected"]);
    assert_eq!(scene.owed(&ringing).await, ["call.repaired", "call.corrected"]);
    assert_eq!(scene.owed_of("answered").await, ["lead.contacted", "lead.contact_corrected"]);
    assert_eq!(scene.owed_of("ringing").await, ["lead.contacted"]);
    is_in_order(&scene.gateway).await;
}

fn refuse(scene: &Scene, status: u16) {
    scene.answering(move |_| Some(Reply { status, ..Reply::json(json!({"code": 20003, "message": "Authenticate"})) }));
}

const SUB: &str = "AC000000000000000000000000000000aa";

async fn revoked_credentials_touch_no_call(scene: Scene) {
    scene.double(|double| double.add_account(Account::new(SUB, "first")));
    let add = json!({"sid": SUB, "token": "first"});
    assert_eq!(scene.gateway.ask(Method::POST, "/v1/accounts", Some(add)).await.0, 201);
    let sid = format!("CA{:032x}", 5);
    let body = format!("AccountSid={SUB}&CallSid={sid}&CallStatus=in-progress&Direction=outbound-api");
    assert_eq!(scene.gateway.post_signed("first", "", body.as_bytes()).await.status(), 204);
    for status in [401, 403] {
        refuse(&scene, status);
        // Longer than any limit.
        for _ in 0..30 {
            scene.pass(HOUR).await;
            scene.sweep().await;
        }
        assert_eq!(scene.status(&sid).await, "in-progress");
    }
    let alarms = scene.noticed(SUB).await;
    assert!(alarms.iter().all(|row| row.kind == "account-credentials-refused"), "{alarms:?}");
    assert_eq!(alarms.len(), 3, "once a day");
    // The same credentials are not tried for ten minutes; others are at once.
    let asked = || scene.between.seen().len();
    scene.pass(11 * MINUTE).await;
    scene.sweep().await;
    let before = asked();
    scene.sweep_for(10).await;
    assert_eq!(asked(), before);
    scene.honest();
    scene.double(|double| double.add_account(Account::new(SUB, "second")));
    let rotated = json!({"token": "second"});
    let answer = scene.gateway.ask(Method::POST, &format!("/v1/accounts/{SUB}/rotate"), Some(rotated)).await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    let before = asked();
    scene.sweep_for(1).await;
    assert!(asked() > before, "others are tried at once");
}

/// An account that was suspended and is not any more: nobody changes its token.
async fn refused_credentials_are_tried_again(scene: Scene) {
    let sid = scene.in_progress("").await;
    refuse(&scene, 401);
    scene.pass(MINUTE).await;
    scene.sweep().await;
    assert_eq!(scene.asked("/Calls.json"), 1);
    scene.sweep_for(10).await;
    assert_eq!(scene.asked("/Calls.json"), 1, "not within ten minutes");
    scene.honest();
    scene.end(&sid, Outcome::Completed);
    scene.sweep_for(11).await;
    assert_eq!(scene.call(&sid).await["resolution"], "reconciled");
    let kinds: Vec<String> = scene.noticed(ACCOUNT).await.into_iter().map(|row| row.kind).collect();
    assert_eq!(kinds, ["account-credentials-refused", "account-answers-again"]);
}

/// What is answered about one call, or is not, says nothing of the others.
async fn a_call_that_cannot_be_read_stops_no_other(scene: Scene) {
    let odd: Vec<String> = (0..2).map(|n| format!("CA{n:032x}")).collect();
    for sid in &odd {
        tell(&scene.gateway, sid, "in-progress", "", &[]).await;
    }
    let mut others = Vec::new();
    for _ in 0..12 {
        others.push(scene.in_progress("").await);
    }
    others.iter().for_each(|sid| scene.end(sid, Outcome::Completed));
    let (first, second) = (odd[0].clone(), odd[1].clone());
    scene.answering(move |seen| {
        let garbage = || Reply { body: "garbage".into(), ..Reply::status(200) };
        if seen.target.contains(&first) {
            return Some(garbage());
        }
        seen.target.contains(&second).then(|| Reply::status(500).with("Retry-After", "3600"))
    });
    scene.pass(MINUTE).await;
    scene.sweep_for(2).await;
    for sid in &others {
        assert_eq!(scene.status(sid).await, "completed");
    }
    for sid in &odd {
        assert_eq!(scene.status(sid).await, "in-progress");
    }
    assert_eq!(scene.watched().await.trouble, None);
}

async fn an_outage_of_many_faces_is_said_once(scene: Scene) {
    scene.in_progress("").await;
    scene.pass(MINUTE).await;
    for n in 0..60 {
        let status = if n % 2 == 0 { 503 } else { 429 };
        scene.answering(move |_| Some(Reply::status(status).with("Retry-After", "3600")));
        scene.pass(INTERVAL_MS).await;
        scene.sweep().await;
    }
    let kinds: Vec<String> = scene.noticed(ACCOUNT).await.into_iter().map(|row| row.kind).collect();
    assert_eq!(kinds, ["provider-unreachable"]);
}
