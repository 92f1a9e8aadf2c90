//! After a call was given up: how it really ended, once its provider answers again.

use super::{follow_ups_of, history::is_clean, pass_until_over};
use crate::{
    http::{self, sid},
    support::{
        gateway::ACCOUNT,
        stage::{Stage, on_both_stages},
    },
};
use onhook::{
    double::{Fate, Outage},
    store::{
        follow_ups::{self, ENDING, HISTORY},
        outbox,
    },
};

on_both_stages!(
    a_call_that_was_given_up_gets_its_true_ending,
    a_call_that_was_given_up_and_lives_lives_again,
    trouble_of_the_account_is_no_attempt,
    what_its_provider_does_not_know_is_asked_a_few_times,
);

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn out_of_order(stage: &Stage, outage: Option<Outage>) {
    stage.twilio.with(|double| double.set_outage(outage));
}

/// A call that rings as far as the gateway knows, and is given up because its provider is away.
async fn given_up(stage: &Stage, fate: Fate) -> String {
    let sid = stage.place(fate);
    for _ in 0..30 {
        stage.pass(1_000).await;
        let (_, call) = stage.gateway.ask(reqwest::Method::GET, &format!("/v1/calls/{sid}"), None).await;
        if ["initiated", "ringing"].iter().any(|status| call["status"] == *status) {
            break;
        }
    }
    stage.lose(1.0);
    give_up(stage, &sid).await;
    sid
}

async fn give_up(stage: &Stage, sid: &str) {
    out_of_order(stage, Some(Outage::Status(503)));
    stage.pass(61 * MINUTE).await;
    stage.sweep().await;
    let call = stage.call(sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"failed".into(), &"inferred".into()), "{call}");
    assert_eq!(follow_ups_of(stage, sid).await, [ENDING]);
}

async fn effects(stage: &Stage, sid: &str) -> Vec<String> {
    let id = stage.call(sid).await["id"].as_str().unwrap().to_owned();
    let owed = outbox::list_of_subject(&stage.gateway.db, "default", &id).await.unwrap();
    owed.into_iter().map(|row| row.kind).collect()
}

async fn a_call_that_was_given_up_gets_its_true_ending(stage: Stage) {
    stage.lead("lead-1").await;
    let sid = given_up(&stage, Fate::Answered { talk_s: 90 }).await;
    out_of_order(&stage, None);
    stage.sweep_for(9).await;
    assert_eq!(stage.status(&sid).await, "failed", "not asked yet");
    stage.sweep_for(2).await;
    let call = stage.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"completed".into(), &"reconciled".into()), "{call}");
    assert_eq!(call["talk_seconds"], 90);
    assert_eq!(effects(&stage, &sid).await.last().unwrap(), "call.corrected");
    let lead = stage.gateway.get("/v1/leads/lead-1").await;
    assert_eq!((&lead["status"], &lead["contact_count"]), (&"contacted".into(), &1.into()), "{lead}");
    stage.sweep_for(1).await;
    assert_eq!(
        follow_ups_of(&stage, &sid).await,
        [] as [&str; 0],
        "its history was asked, too: the end is an hour ago"
    );
    assert_eq!(stage.heard("/Events.json"), 1);
    is_clean(&stage).await;
}

async fn a_call_that_was_given_up_and_lives_lives_again(stage: Stage) {
    let sid = given_up(&stage, Fate::Answered { talk_s: 2 * 3_600 }).await;
    out_of_order(&stage, None);
    stage.sweep_for(11).await;
    let call = stage.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"in-progress".into(), &serde_json::Value::Null), "{call}");
    assert!(!call["due_at"].is_null(), "it is looked after again");
    assert_eq!(follow_ups_of(&stage, &sid).await, [] as [&str; 0]);
    pass_until_over(&stage, &sid).await;
    stage.sweep_for(3).await;
    assert_eq!(stage.status(&sid).await, "completed");
    assert_eq!(follow_ups_of(&stage, &sid).await, [HISTORY]);
    is_clean(&stage).await;
}

async fn trouble_of_the_account_is_no_attempt(stage: Stage) {
    let sid = given_up(&stage, Fate::Busy).await;
    let row = async || {
        let mut rows = follow_ups::list_of_call(&stage.gateway.db, "default", ACCOUNT, &sid).await.unwrap();
        rows.pop().unwrap()
    };
    for outage in [Outage::Status(503), Outage::Status(429), Outage::Status(401)] {
        out_of_order(&stage, Some(outage));
        stage.pass(11 * MINUTE).await;
        stage.sweep().await;
        let row = row().await;
        let waits = row.due_ms - stage.twilio.now_ms();
        assert_eq!(row.attempts, 0, "{outage:?}");
        assert!((4 * MINUTE..=10 * MINUTE).contains(&waits), "{outage:?}: {waits}");
    }
    out_of_order(&stage, None);
    // The credentials that were refused are not tried for a while.
    stage.sweep_for(25).await;
    let call = stage.call(&sid).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"busy".into(), &"reconciled".into()), "{call}");
}

async fn what_its_provider_does_not_know_is_asked_a_few_times(stage: Stage) {
    // Twilio knows none of these two.
    for n in [1, 2] {
        http::callback(&stage.gateway, &sid(n), "ringing", "", &[]).await;
    }
    give_up(&stage, &sid(1)).await;
    out_of_order(&stage, None);
    stage.pass(6 * MINUTE).await;
    stage.sweep().await;
    let asked = || stage.heard(&format!("/Calls/{}.json", sid(1)));
    assert_eq!(asked(), 1);
    let row = follow_ups::list_of_call(&stage.gateway.db, "default", ACCOUNT, &sid(1)).await.unwrap().pop().unwrap();
    assert_eq!(row.attempts, 0, "an account that knows none of our calls says nothing by that");
    // From here on it knows others.
    for round in 0..20 {
        stage.pass(7 * HOUR).await;
        let other = stage.place(Fate::Answered { talk_s: 600 });
        stage.pass(3 * MINUTE).await;
        assert_eq!(stage.status(&other).await, "in-progress");
        stage.sweep().await;
        if follow_ups_of(&stage, &sid(1)).await.is_empty() {
            assert!((4..=10).contains(&asked()), "{round}: {}", asked());
            assert_eq!(stage.call(&sid(1)).await["resolution"], "inferred", "nothing is known of it");
            return;
        }
    }
    panic!("it is asked for ever: {} times", asked());
}
