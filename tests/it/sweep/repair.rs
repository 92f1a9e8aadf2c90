//! What was lost is repaired with what the provider says.

use crate::support::stage::{INTERVAL_MS, Stage, on_both_stages};
use onhook::double::Fate;
use serde_json::Value;

on_both_stages!(
    a_lost_completion_is_repaired_within_two_intervals,
    a_live_call_is_never_cut,
    one_list_per_status_and_interval,
);

const ANSWERED: Fate = Fate::Answered { talk_s: 120 };

/// Passes until the call is in this status for the gateway.
async fn until(stage: &Stage, sid: &str, status: &str) {
    for _ in 0..600 {
        stage.pass(1_000).await;
        let (_, call) = stage.gateway.ask(reqwest::Method::GET, &format!("/v1/calls/{sid}"), None).await;
        if call["status"] == status {
            return;
        }
    }
    panic!("{sid} is never {status}");
}

async fn a_lost_completion_is_repaired_within_two_intervals(stage: Stage) {
    stage.lead("lead-1").await;
    let sid = stage.place_with(ANSWERED, "lead_id=lead-1");
    until(&stage, &sid, "in-progress").await;
    stage.lose(1.0);
    // Until it is over for Twilio, in intervals with a sweep each.
    stage.sweep_for(3).await;
    assert_eq!(stage.status(&sid).await, "in-progress");
    stage.pass(INTERVAL_MS).await;
    let truth = stage.twilio.with(|double| double.call(&sid).unwrap().truth().unwrap());
    assert!(truth.ended_ms.is_some_and(|at| at <= stage.twilio.now_ms()), "it is over");
    stage.sweep().await;
    if stage.status(&sid).await == "in-progress" {
        stage.sweep_for(1).await;
    }
    let call = stage.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"completed".into(), &"reconciled".into()), "{call}");
    assert_eq!((&call["talk_seconds"], &call["due_at"]), (&120.into(), &Value::Null));
    assert_eq!(call["estimated"], false, "{call}");
    let lead = stage.gateway.get("/v1/leads/lead-1").await;
    assert_eq!((&lead["status"], &lead["contact_count"]), (&"contacted".into(), &1.into()));
    stage.twilio.was_asked_well();
}

async fn a_live_call_is_never_cut(stage: Stage) {
    let sid = stage.place(Fate::Answered { talk_s: 7_200 });
    until(&stage, &sid, "in-progress").await;
    stage.lose(1.0);
    stage.sweep_for(200).await;
    let call = stage.call(&sid).await;
    assert_eq!((&call["status"], &call["stuck"]), (&"in-progress".into(), &Value::Null), "{call}");
    assert_eq!(call["deliveries"], 3, "what was asked is no delivery");
    let timeline = stage.gateway.get(&format!("/v1/calls/{sid}/timeline")).await;
    assert_eq!(timeline["data"].as_array().unwrap().len(), 3, "a sign of life leaves no step: {timeline}");
    stage.sweep_for(60).await;
    assert_eq!(stage.status(&sid).await, "completed");
}

async fn one_list_per_status_and_interval(stage: Stage) {
    let sids: Vec<_> = (0..50).map(|_| stage.place(Fate::Answered { talk_s: 3_000 })).collect();
    for sid in &sids {
        until(&stage, sid, "in-progress").await;
    }
    stage.pass(60_000).await;
    let before = stage.heard("/Calls.json");
    stage.sweep_for(10).await;
    assert_eq!(stage.heard("/Calls.json") - before, 3 * 10);
    let singles = stage.twilio.with(|double| double.heard().filter(|heard| heard.path.contains("/Calls/")).count());
    assert_eq!(singles, 0, "all were in the lists");
}
