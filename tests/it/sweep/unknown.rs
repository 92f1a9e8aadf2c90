//! Calls that the provider does not know, and providers that know none.

use super::scene::{LEASE_MS, Scene, TENANT, is_in_order, is_list, not_found, on_both_scenes, tell};
use crate::support::{canned::Reply, gateway::ACCOUNT, stage::INTERVAL_MS};
use onhook::{
    domain::{
        state::Outcome,
        time::{HOUR, MINUTE},
    },
    double::Change,
    store::calls,
};
use serde_json::{Value, json};

on_both_scenes!(
    a_fresh_call_may_not_be_known_yet,
    a_call_that_others_of_its_account_are_known_beside_is_given_up,
    what_could_not_be_asked_is_not_what_is_not_known,
    an_account_that_knows_no_call_touches_none,
    one_known_call_is_enough_beside_three_that_are_not,
);

fn lost(n: u32) -> String {
    format!("CA{n:032x}")
}

async fn a_fresh_call_may_not_be_known_yet(scene: Scene) {
    let known = scene.in_progress("").await;
    scene.pass(90 * 1_000).await;
    // Twilio's REST lags behind its callbacks.
    scene.double(|double| double.setup_mut().stale_ms = 2 * MINUTE);
    let fresh = scene.in_progress("").await;
    scene.pass(MINUTE).await;
    scene.sweep().await;
    assert_eq!(scene.asked(&format!("{fresh}.json")), 1, "it was not in the list");
    assert_eq!(scene.status(&fresh).await, "in-progress");
    scene.sweep_for(20).await;
    assert_eq!((scene.status(&fresh).await, scene.status(&known).await), ("in-progress".into(), "in-progress".into()));
    scene.end(&fresh, Outcome::Completed);
    scene.sweep_for(8).await;
    assert_eq!(scene.call(&fresh).await["resolution"], "reconciled");
    assert_eq!(scene.owed(&fresh).await, ["call.repaired"]);
    is_in_order(&scene.gateway).await;
}

async fn a_call_that_others_of_its_account_are_known_beside_is_given_up(scene: Scene) {
    scene.lead("lead-1").await;
    let known = scene.in_progress("").await;
    let sid = lost(404);
    tell(&scene.gateway, &sid, "ringing", "lead_id=lead-1&user_id=ann", &[]).await;
    let mut after_ms = 0;
    while scene.status(&sid).await == "ringing" {
        scene.sweep_for(1).await;
        after_ms += INTERVAL_MS;
        assert!(after_ms < 20 * MINUTE, "it is given up at last");
    }
    assert!(after_ms >= 95 * 1_000 + 3 * MINUTE, "over minutes: {after_ms}");
    assert_eq!(scene.asked(&format!("{sid}.json")), 3);
    assert_eq!(scene.status(&known).await, "in-progress");
    let call = scene.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"failed".into(), &"inferred".into()), "{call}");
    assert_eq!((&call["hangup_cause"], &call["ended_at"]), (&"timeout_cleanup".into(), &call["ringing_at"]), "{call}");
    assert_eq!(scene.owed(&sid).await, ["call.repaired"]);
    let id = call["id"].as_str().unwrap();
    let audited = scene.audited(id).await;
    assert_eq!((audited.len(), audited[0].action.as_str(), audited[0].actor.as_str()), (1, "call.given_up", "sweeper"));
    let detail: Value = serde_json::from_str(&audited[0].detail).unwrap();
    assert!(detail["rule"].as_str().unwrap().contains("does not know after 3 asks"), "{detail}");
    assert!(detail["evidence"].as_str().unwrap().contains("404, asked 3 times"), "{detail}");
    let told: Vec<_> = scene.noticed(id).await.into_iter().map(|row| (row.user_id, row.kind)).collect();
    let kind = "call.given_up".to_owned();
    assert_eq!(told, [(None, kind.clone()), (Some("ann".to_owned()), kind)]);
    let lead = scene.gateway.get("/v1/leads/lead-1").await;
    assert_eq!(lead["contact_count"], 0, "nobody said that it was answered");
    is_in_order(&scene.gateway).await;
}

/// Two asks that failed and one 404 are not three 404s.
async fn what_could_not_be_asked_is_not_what_is_not_known(scene: Scene) {
    let known = scene.in_progress("").await;
    let sid = lost(404);
    tell(&scene.gateway, &sid, "in-progress", "", &[]).await;
    scene.answering(|seen| (!is_list(seen)).then(|| Reply::status(503).with("Retry-After", "3600")));
    scene.pass(MINUTE).await;
    scene.sweep_for(8).await;
    assert!(scene.asked(&format!("{sid}.json")) >= 3);
    scene.honest();
    let before = scene.asked(&format!("{sid}.json"));
    while scene.asked(&format!("{sid}.json")) == before {
        scene.sweep_for(1).await;
    }
    assert_eq!(scene.status(&sid).await, "in-progress");
    scene.sweep_for(10).await;
    assert_eq!((scene.status(&sid).await, scene.status(&known).await), ("completed".into(), "in-progress".into()));
    assert_eq!(scene.asked(&format!("{sid}.json")) - before, 3);
}

/// As in a wrong region: lists are empty, no call is known.
fn blind(scene: &Scene) {
    scene.answering(|seen| Some(if is_list(seen) { Reply::json(json!({ "calls": [] })) } else { not_found() }));
}

async fn an_account_that_knows_no_call_touches_none(scene: Scene) {
    blind(&scene);
    let sids = [scene.in_progress("").await, scene.in_progress("").await];
    // For two days, every 20 minutes; a new call now and then.
    let mut fresh = Vec::new();
    for n in 0..(48 * 3) {
        scene.pass(20 * MINUTE).await;
        if n % 20 == 0 {
            fresh.push(scene.in_progress("").await);
        }
        scene.sweep().await;
    }
    for sid in sids.iter().chain(&fresh) {
        assert_eq!(scene.status(sid).await, "in-progress");
        assert_eq!(scene.owed(sid).await, Vec::<String>::new());
    }
    let kinds: Vec<String> = scene.noticed(ACCOUNT).await.into_iter().map(|row| row.kind).collect();
    assert_eq!(kinds, ["account-cannot-see-its-calls"; 2], "once a day");
    assert_eq!(scene.audited(ACCOUNT).await.len(), 2);
    let watched = scene.watched().await;
    assert_eq!(watched.trouble.as_deref(), Some("blind"));
    // Asked at the right place it recovers by itself.
    scene.honest();
    sids.iter().for_each(|sid| scene.end(sid, Outcome::Completed));
    scene.pass(15 * MINUTE).await;
    scene.sweep_for(4).await;
    for sid in &sids {
        assert_eq!(scene.call(sid).await["resolution"], "reconciled");
        assert_eq!(scene.owed(sid).await, ["call.repaired"]);
    }
    assert_eq!(scene.watched().await.trouble, None);
    let last = scene.noticed(ACCOUNT).await.pop().unwrap();
    assert_eq!(last.kind, "account-answers-again");
    is_in_order(&scene.gateway).await;
}

/// The first ones that are asked about are not known; one behind them is. Then the account is not blind.
async fn one_known_call_is_enough_beside_three_that_are_not(scene: Scene) {
    for n in 1..=6 {
        tell(&scene.gateway, &lost(n), "in-progress", "", &[]).await;
    }
    let known = scene.silent(Change::Ringing);
    tell(&scene.gateway, &known, "in-progress", "", &[]).await;
    scene.end(&known, Outcome::Busy);
    scene.answering(|seen| is_list(seen).then(|| Reply::json(json!({ "calls": [] }))));
    for _ in 0..40 {
        scene.sweep_for(1).await;
    }
    let kinds: Vec<String> = scene.noticed(ACCOUNT).await.into_iter().map(|row| row.kind).collect();
    assert_eq!(kinds, Vec::<String>::new());
    for n in 1..=6 {
        assert_eq!(scene.call(&lost(n)).await["resolution"], "inferred");
    }
    assert_eq!(scene.status(&known).await, "busy");
    scene.pass(HOUR + LEASE_MS).await;
    assert_eq!(calls::find(&scene.gateway.db, TENANT, &known, None).await.unwrap()[0].due_at_ms, None);
}
