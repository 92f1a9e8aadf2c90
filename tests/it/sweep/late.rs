//! What a provider says when it is asked, and what its callbacks say before and after.

use super::scene::{Scene, is_in_order, on_both_scenes, tell};
use crate::support::{gateway::ACCOUNT, stage::INTERVAL_MS};
use onhook::{
    domain::{
        id::Leg,
        signal::{Claim, Signal, Weak, Witness},
        state::{HangupCause, Outcome},
        time::{MINUTE, SECOND},
    },
    double::Fate,
};
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;

on_both_scenes!(
    what_lags_behind_undoes_nothing,
    a_late_callback_corrects_what_was_asked,
    a_late_callback_that_says_the_same_owes_nothing,
    what_an_operator_ended_and_is_listed_is_live_again,
);

async fn what_lags_behind_undoes_nothing(scene: Scene) {
    scene.double(|double| double.setup_mut().stale_ms = 90 * SECOND);
    let long = scene.place(Fate::Answered { talk_s: 900 }, "");
    let short = scene.place(Fate::Answered { talk_s: 100 }, "");
    scene.until(&short, "completed").await;
    let before = scene.call(&short).await;
    // For Twilio's REST the short one is in progress for another minute and a half.
    scene.pass(SECOND).await;
    scene.sweep_for(3).await;
    let after = scene.call(&short).await;
    for field in ["status", "resolution", "ended_at", "answered_at", "talk_seconds", "due_at"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    assert_eq!(scene.owed(&short).await, ["call.ended"]);
    assert_eq!(scene.status(&long).await, "in-progress");
    is_in_order(&scene.gateway).await;
}

/// A call that was repaired as completed after 40 seconds, with its lead.
async fn repaired(scene: &Scene) -> String {
    scene.lead("lead-1").await;
    let sid = scene.in_progress("lead_id=lead-1").await;
    scene.pass(40 * SECOND).await;
    scene.end(&sid, Outcome::Completed);
    scene.pass(MINUTE).await;
    scene.sweep().await;
    let call = scene.call(&sid).await;
    assert_eq!((&call["resolution"], &call["talk_seconds"]), (&"reconciled".into(), &40.into()), "{call}");
    assert_eq!(scene.owed_of("lead-1").await, ["lead.contacted"]);
    sid
}

async fn a_late_callback_corrects_what_was_asked(scene: Scene) {
    let sid = repaired(&scene).await;
    tell(&scene.gateway, &sid, "completed", "lead_id=lead-1", &[("CallDuration", "35"), ("SequenceNumber", "3")]).await;
    let call = scene.call(&sid).await;
    assert_eq!((&call["resolution"], &call["talk_seconds"]), (&"callback".into(), &35.into()), "{call}");
    assert_eq!(scene.owed(&sid).await, ["call.repaired", "call.corrected"]);
    tell(&scene.gateway, &sid, "no-answer", "lead_id=lead-1", &[("SequenceNumber", "4")]).await;
    assert_eq!(scene.status(&sid).await, "no-answer");
    assert_eq!(scene.owed(&sid).await, ["call.repaired", "call.corrected", "call.corrected"]);
    assert_eq!(scene.owed_of("lead-1").await, ["lead.contacted", "lead.contact_corrected"]);
    let lead = scene.gateway.get("/v1/leads/lead-1").await;
    assert_eq!((&lead["status"], &lead["contact_count"]), (&"new".into(), &0.into()), "{lead}");
    scene.sweep_for(4).await;
    assert_eq!(scene.status(&sid).await, "no-answer", "REST says completed, and a callback weighs more");
    is_in_order(&scene.gateway).await;
}

async fn a_late_callback_that_says_the_same_owes_nothing(scene: Scene) {
    let sid = scene.place(Fate::Answered { talk_s: 20 }, "");
    scene.until(&sid, "in-progress").await;
    // It comes only after it was asked for.
    scene.double(|double| double.setup_mut().faults.late = 1.0);
    for _ in 0..4 {
        scene.sweep_for(1).await;
    }
    scene.pass(3 * MINUTE).await;
    let call = scene.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"completed".into(), &"callback".into()), "{call}");
    let owed = scene.owed(&sid).await;
    assert!(owed == ["call.repaired"] || owed == ["call.ended"], "{owed:?}");
    is_in_order(&scene.gateway).await;
}

/// Whoever ended it was wrong: Twilio lists it.
async fn what_an_operator_ended_and_is_listed_is_live_again(scene: Scene) {
    let other = scene.in_progress("").await;
    let sid = scene.in_progress("").await;
    // As an operator ends it.
    let weak = Weak {
        decided_ms: scene.twilio.now_ms(),
        floor_ms: None,
        cause: HangupCause::Manual,
        if_answered: Outcome::Completed,
        stated_end_ms: None,
    };
    let signal = Signal {
        leg: Leg { provider_id: sid.clone(), account: ACCOUNT.into() },
        witness: Witness::Manual,
        claim: Claim::GivenUp(weak),
        at: None,
        sequence: None,
        details: BTreeMap::new(),
        link: None,
        received_ms: scene.twilio.now_ms(),
    };
    scene.submit(signal).await;
    assert_eq!(scene.call(&sid).await["resolution"], "manual");
    scene.pass(MINUTE + INTERVAL_MS).await;
    scene.sweep().await;
    let call = scene.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"in-progress".into(), &Value::Null), "{call}");
    assert!(call["due_at"].is_string(), "it is looked after again: {call}");
    assert_eq!(scene.owed(&sid).await, ["call.repaired", "call.corrected"]);
    let timeline = scene.gateway.get(&format!("/v1/calls/{sid}/timeline")).await;
    assert_eq!(timeline["data"].as_array().unwrap().iter().filter(|step| step["step"] == "corrected").count(), 1);
    scene.sweep_for(5).await;
    scene.end(&sid, Outcome::Busy);
    scene.sweep_for(3).await;
    assert_eq!((scene.status(&sid).await, scene.status(&other).await), ("busy".into(), "in-progress".into()));
    assert_eq!(
        scene.gateway.ask(Method::GET, "/v1/calls?live=true", None).await.1["data"].as_array().unwrap().len(),
        1
    );
    is_in_order(&scene.gateway).await;
}
