//! After the end: callbacks that were lost are told again from what Twilio says that it sent.

use super::{follow_ups_of, pass_until_over};
use crate::{
    http,
    support::{
        gateway::{ACCOUNT, config},
        stage::{INTERVAL_MS, Stage, on_both_stages},
    },
};
use onhook::{
    double::Fate,
    health::{Health, LAG_MS},
    store::follow_ups::{self, FollowUpRow, HISTORY},
};
use serde_json::{Value, json};

on_both_stages!(
    a_lead_that_only_lost_callbacks_named_is_linked_and_contacted,
    why_it_failed_is_told_again,
    a_gap_is_filled_after_the_call,
    what_came_is_not_told_again,
    what_died_before_it_noted_the_question_is_asked_all_the_same,
);

const MINUTE: i64 = 60_000;

async fn timeline(stage: &Stage, sid: &str) -> Vec<Value> {
    let page = stage.gateway.get(&format!("/v1/calls/{sid}/timeline")).await;
    page["data"].as_array().unwrap().clone()
}

/// Every call is what its signals say.
pub async fn is_clean(stage: &Stage) {
    let rules = onhook::app::rules(&config("sqlite://nowhere.db", &[]));
    let report = onhook::check::check(&stage.gateway.db, &rules).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

/// Counts what is in the journal.
pub async fn tally(stage: &Stage) {
    let gateway = &stage.gateway;
    let health = Health::new(gateway.db.clone(), gateway.clock.shared(), gateway.metrics.clone(), None);
    while health.tick().await.unwrap() != onhook::health::Pass::Nothing {}
}

async fn ask_again(stage: &Stage, sid: &str) {
    let row = FollowUpRow {
        tenant: "default".into(),
        provider_id: sid.into(),
        account: ACCOUNT.into(),
        kind: HISTORY.into(),
        due_ms: stage.twilio.now_ms(),
        attempts: 0,
        created_ms: stage.twilio.now_ms(),
    };
    let mut tx = stage.gateway.db.begin().await.unwrap();
    follow_ups::insert(&mut tx, &[row]).await.unwrap();
    tx.commit().await.unwrap();
    stage.sweep().await;
    assert_eq!(follow_ups_of(stage, sid).await, [] as [&str; 0]);
}

async fn a_lead_that_only_lost_callbacks_named_is_linked_and_contacted(stage: Stage) {
    // Another number than the one that is called: nothing but the URL ties the call to it.
    let lead = json!({ "id": "lead-1", "name": "Ada", "phone": "+14155550177" });
    assert_eq!(stage.gateway.ask(reqwest::Method::POST, "/v1/leads", Some(lead)).await.0, 201);
    stage.lose(1.0);
    let sid = stage.place_with(Fate::Answered { talk_s: 120 }, "lead_id=lead-1&user_id=ann&extension=100");
    // A webhook at another URL is all that came of it.
    http::callback(&stage.gateway, &sid, "ringing", "", &[]).await;
    pass_until_over(&stage, &sid).await;
    stage.sweep_for(4).await;
    let call = stage.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"completed".into(), &"reconciled".into()), "{call}");
    assert_eq!((&call["lead_id"], &call["user_id"]), (&Value::Null, &Value::Null));
    let before = timeline(&stage, &sid).await;

    stage.sweep_for(20).await;
    assert_eq!(stage.heard("/Events.json"), 0, "Twilio does not show it yet");
    assert_eq!(follow_ups_of(&stage, &sid).await, [HISTORY]);
    stage.sweep_for(12).await;
    assert_eq!(stage.heard("/Events.json"), 1);
    let call = stage.call(&sid).await;
    assert_eq!(
        (&call["lead_id"], &call["user_id"], &call["extension"]),
        (&"lead-1".into(), &"ann".into(), &"100".into())
    );
    assert_eq!((&call["status"], &call["resolution"]), (&"completed".into(), &"reconciled".into()), "{call}");
    assert_eq!((&call["talk_seconds"], &call["deliveries"]), (&120.into(), &1.into()), "{call}");
    assert_eq!(call["initiated_at"], Value::Null, "only a callback that came tells that");
    let lead = stage.gateway.get("/v1/leads/lead-1").await;
    assert_eq!((&lead["status"], &lead["contact_count"]), (&"contacted".into(), &1.into()), "{lead}");

    let after = timeline(&stage, &sid).await;
    assert_eq!(after[..before.len()], before, "what was known stands where it stood");
    let new = &after[before.len()..];
    assert!(new.iter().all(|step| step["witness"] == "reconciled"), "{new:?}");
    let claims: Vec<_> = new.iter().map(|step| step["claim"].as_str().unwrap()).collect();
    assert_eq!(claims, ["initiated", "ringing", "answered", "ended"]);
    is_clean(&stage).await;

    ask_again(&stage, &sid).await;
    assert_eq!(stage.heard("/Events.json"), 2);
    assert_eq!(stage.call(&sid).await, call, "nothing is told twice");
    assert_eq!(timeline(&stage, &sid).await, after);
    is_clean(&stage).await;
    stage.twilio.was_asked_well();
}

async fn why_it_failed_is_told_again(stage: Stage) {
    stage.lose(1.0);
    let sid = stage.place_with(Fate::Failed { sip: 603 }, "lead_id=lead-9");
    http::callback(&stage.gateway, &sid, "initiated", "", &[]).await;
    stage.pass(2 * MINUTE).await;
    stage.sweep().await;
    assert_eq!(stage.call(&sid).await["hangup_cause"], "failed", "REST does not say more");
    stage.pass(16 * MINUTE).await;
    stage.sweep().await;
    let call = stage.call(&sid).await;
    assert_eq!((&call["hangup_cause"], &call["status"]), (&"rejected".into(), &"failed".into()), "{call}");
    assert_eq!(call["lead_id"], "lead-9", "kept, although nobody knows that lead");
    is_clean(&stage).await;
}

async fn a_gap_is_filled_after_the_call(stage: Stage) {
    let sid = stage.place_with(Fate::Answered { talk_s: 30 }, "user_id=ann");
    stage.lose(1.0);
    stage.pass(250).await;
    assert_eq!(stage.twilio.with(|double| double.call(&sid).unwrap().fired), 1, "it is being dialed");
    stage.lose(0.0);
    pass_until_over(&stage, &sid).await;
    let call = stage.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"completed".into(), &"callback".into()), "{call}");
    assert_eq!(follow_ups_of(&stage, &sid).await, [] as [&str; 0], "nobody has looked for gaps yet");

    stage.pass(LAG_MS).await;
    tally(&stage).await;
    assert_eq!(follow_ups_of(&stage, &sid).await, [HISTORY]);
    let steps = timeline(&stage, &sid).await.len();
    stage.pass(13 * MINUTE).await;
    stage.sweep().await;
    assert_eq!(stage.heard("/Events.json"), 0, "not before 15 minutes after the end");
    stage.pass(2 * MINUTE).await;
    stage.sweep().await;
    assert_eq!(stage.heard("/Events.json"), 1);
    let timeline = timeline(&stage, &sid).await;
    let told: Vec<_> = timeline[steps..].iter().map(|step| (&step["claim"], &step["step"])).collect();
    assert_eq!(told, [(&json!("initiated"), &json!("late"))], "only the one that was lost");
    assert_eq!(stage.call(&sid).await["resolution"], "callback");
    is_clean(&stage).await;
}

async fn what_came_is_not_told_again(stage: Stage) {
    let sid = stage.place(Fate::Answered { talk_s: 30 });
    pass_until_over(&stage, &sid).await;
    stage.pass(20 * MINUTE).await;
    let before = timeline(&stage, &sid).await;
    ask_again(&stage, &sid).await;
    assert_eq!(stage.heard("/Events.json"), 1);
    assert_eq!(timeline(&stage, &sid).await, before);
    // Of a live call nothing is asked: what there is comes with its end.
    let live = stage.place(Fate::Answered { talk_s: 600 });
    stage.pass(INTERVAL_MS).await;
    ask_again(&stage, &live).await;
    assert_eq!(stage.heard("/Events.json"), 1);
}

/// The ending was submitted, and the process ended before it noted that there is a history to ask for.
async fn what_died_before_it_noted_the_question_is_asked_all_the_same(stage: Stage) {
    let answered = async || {
        let sid = stage.place(Fate::Answered { talk_s: 30 });
        stage.pass(5_000).await;
        stage.lose(1.0);
        pass_until_over(&stage, &sid).await;
        stage.sweep_for(6).await;
        stage.lose(0.0);
        assert_eq!(stage.call(&sid).await["resolution"], "reconciled");
        sid
    };
    let sid = answered().await;
    let noted = follow_ups::list_of_call(&stage.gateway.db, "default", ACCOUNT, &sid).await.unwrap();
    assert_eq!(noted.len(), 1);
    let mut tx = stage.gateway.db.begin().await.unwrap();
    follow_ups::delete(&mut tx, &noted).await.unwrap();
    tx.commit().await.unwrap();

    stage.pass(LAG_MS).await;
    tally(&stage).await;
    let again = follow_ups::list_of_call(&stage.gateway.db, "default", ACCOUNT, &sid).await.unwrap();
    assert_eq!((again.len(), again[0].due_ms), (1, noted[0].due_ms), "15 minutes after the end");
    let steps = timeline(&stage, &sid).await.len();
    stage.pass(16 * MINUTE).await;
    stage.sweep().await;
    assert!(timeline(&stage, &sid).await.len() > steps, "the lost callbacks are told");
    assert_eq!(stage.heard("/Events.json"), 1);

    // What was asked before anybody counted is not asked again.
    let sid = answered().await;
    stage.pass(16 * MINUTE).await;
    stage.sweep().await;
    assert_eq!(stage.heard("/Events.json"), 2);
    tally(&stage).await;
    assert_eq!(follow_ups_of(&stage, &sid).await, [] as [&str; 0]);
    is_clean(&stage).await;
}
