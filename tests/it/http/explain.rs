//! The story of a call.

use super::{callback, expect_problem, key_of, keyed, request, send, sid};
use crate::support::{
    gateway::{Gateway, START_MS, on_both_gateways},
    stage::{CUSTOMER, OURS, Stage, on_both_stages},
};
use onhook::{
    directory::Scope,
    domain::time::{MINUTE, rfc3339},
    double::Fate,
};
use reqwest::Method;
use serde_json::{Value, json};

on_both_gateways!(
    a_lost_callback_and_a_late_one_are_told,
    endings_that_lost_say_why,
    what_is_no_contact_says_why,
    others_stories_are_not_there,
);
on_both_stages!(a_plain_story_is_told_in_order, a_live_call_says_what_comes_next, a_repaired_call_says_who_was_asked);

async fn explain(gateway: &Gateway, call: &str) -> Value {
    gateway.get(&format!("/v1/calls/{call}/explain")).await
}

/// The kinds of the entries that are not deliveries, and all sentences.
fn told(story: &Value) -> (Vec<&str>, String) {
    let entries = story["story"].as_array().unwrap();
    let kinds = entries.iter().map(|e| e["kind"].as_str().unwrap()).filter(|kind| *kind != "delivery").collect();
    let text: Vec<_> = entries.iter().map(|e| e["what"].as_str().unwrap()).collect();
    (kinds, text.join("\n"))
}

#[track_caller]
fn says(text: &Value, words: &[&str]) {
    let text = text.as_str().unwrap_or_else(|| panic!("{text} is no sentence"));
    words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is missing in {text:?}"));
}

async fn a_plain_story_is_told_in_order(stage: Stage) {
    stage.lead("lead-1").await;
    let sid = stage.place_with(Fate::Answered { talk_s: 30 }, "lead_id=lead-1");
    stage.pass(2 * MINUTE).await;
    let story = explain(&stage.gateway, &sid).await;
    assert_eq!(story["call"], stage.call(&sid).await);
    let entries = story["story"].as_array().unwrap();
    let times: Vec<&str> = entries.iter().map(|entry| entry["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let deliveries = entries.iter().filter(|entry| entry["kind"] == "delivery").count();
    assert_eq!(json!(deliveries), story["call"]["deliveries"]);
    let (kinds, text) = told(&story);
    assert_eq!(kinds.iter().filter(|kind| **kind == "step").count(), deliveries, "{text}");
    assert_eq!(kinds[kinds.len() - 2..], ["lead", "effect"], "{text}");
    for words in
        ["twilio/status (POST); its signature was verified", "From here on the call is known", "to in-progress"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!((&story["complete"], &story["next"], &story["follow_ups"]), (&json!(true), &Value::Null, &json!([])));
    assert_eq!((&story["ending"]["resolution"], &story["ending"]["others"]), (&json!("callback"), &json!([])));
    says(&story["ending"]["why"], &["A callback told it", "completed after 30 s", "sequence number is"]);
    assert_eq!(story["lost_callbacks"], Value::Null);
    let lead = &story["lead"];
    assert_eq!(
        (&lead["lead_id"], &lead["linked_by"], &lead["contact"]),
        (&json!("lead-1"), &json!("url"), &json!(true))
    );
    assert_eq!(lead["contacted_at"], story["call"]["ended_at"]);
    says(&lead["why"], &["is a contact", "after 30 s"]);
    let mut owed: Vec<_> = story["owed"].as_array().unwrap().iter().map(|o| o["kind"].as_str().unwrap()).collect();
    owed.sort_unstable();
    assert_eq!(owed, ["call.ended", "lead.contacted"]);
    let mut sentences = story.clone();
    sentences["call"] = Value::Null;
    for number in [OURS, CUSTOMER] {
        assert!(!sentences.to_string().contains(number), "{sentences}");
    }
}

async fn a_live_call_says_what_comes_next(stage: Stage) {
    let sid = stage.place(Fate::Answered { talk_s: 7_200 });
    stage.pass(20_000).await;
    stage.lose(1.0);
    stage.pass(31 * MINUTE).await;
    let story = explain(&stage.gateway, &sid).await;
    let next = &story["next"];
    assert_eq!((&story["ending"], &next["stuck"]), (&Value::Null, &json!("warn")), "{story}");
    assert_eq!(next["due_at"], story["call"]["due_at"]);
    let give_up_at = next["give_up_at"].as_str().unwrap();
    says(&next["why"], &["in-progress since", "31 min ago", "was not asked about it yet", give_up_at]);
    says(&story["lead"]["why"], &["tied to no lead"]);
    stage.sweep().await;
    let story = explain(&stage.gateway, &sid).await;
    assert_eq!((&story["next"]["stuck"], &story["next"]["silent_seconds"]), (&Value::Null, &json!(0)));
    assert!(told(&story).1.contains("was asked at"), "{story}");
}

async fn a_repaired_call_says_who_was_asked(stage: Stage) {
    let sid = stage.place(Fate::Answered { talk_s: 600 });
    stage.pass(20_000).await;
    stage.lose(1.0);
    let body = json!({"reason": "It seemed over."});
    let ended = send(request(&stage.gateway, Method::POST, &format!("/v1/calls/{sid}/end")).json(&body)).await;
    assert_eq!(ended.status, 200, "{ended:?}");
    let story = explain(&stage.gateway, &sid).await;
    let ending = &story["ending"];
    assert!(ending["decided_by"].as_str().unwrap().starts_with("key:"), "{ending}");
    says(&ending["rule"], &["by hand"]);
    says(&ending["evidence"], &["It seemed over."]);
    assert!(told(&story).0.contains(&"decision"), "{story}");

    stage.pass(15 * MINUTE).await;
    send(request(&stage.gateway, Method::POST, &format!("/v1/calls/{sid}/check"))).await;
    let story = explain(&stage.gateway, &sid).await;
    let ending = &story["ending"];
    assert_eq!((&ending["resolution"], &ending["decided_by"]), (&json!("reconciled"), &Value::Null), "{story}");
    says(&ending["why"], &["when it was asked", "completed after 600 s", "No callback"]);
    assert_eq!(ending["others"][0]["witness"], "manual");
    says(&ending["others"][0]["why_not"], &["What the provider tells outweighs"]);
    says(&story["lost_callbacks"]["why"], &["never came"]);
    says(&story["follow_ups"][1]["why"], &["which callbacks it made"]);
    let owed: Vec<_> = story["owed"].as_array().unwrap().iter().map(|o| o["kind"].as_str().unwrap()).collect();
    assert_eq!(owed, ["call.repaired", "call.corrected"], "{story}");
}

fn at(seconds: i64) -> String {
    chrono::DateTime::from_timestamp_millis(START_MS + seconds * 1_000).unwrap().to_rfc2822()
}

async fn said(gateway: &Gateway, call: &str, status: &str, sequence: &str, seconds: i64, more: &[(&str, &str)]) {
    let at = at(seconds);
    let numbered = [("SequenceNumber", sequence), ("Timestamp", at.as_str())];
    callback(gateway, call, status, "", &[&numbered, more].concat()).await;
}

async fn a_lost_callback_and_a_late_one_are_told(gateway: Gateway) {
    let call = sid(1);
    said(&gateway, &call, "initiated", "0", 0, &[]).await;
    said(&gateway, &call, "completed", "3", 20, &[("CallDuration", "17")]).await;
    said(&gateway, &call, "ringing", "1", 1, &[]).await;
    said(&gateway, &call, "strange", "4", 30, &[]).await;
    let story = explain(&gateway, &call).await;
    let lost = &story["lost_callbacks"];
    assert_eq!((&lost["missing"], &lost["replayed"]), (&json!([2]), &json!([])), "{story}");
    says(&lost["why"], &["1 callback", "number 3"]);
    let (kinds, text) = told(&story);
    assert_eq!(kinds.iter().filter(|kind| **kind == "refused").count(), 2, "{kinds:?} {text}");
    assert!(text.contains("lies behind what was known, so it stayed completed"), "{text}");
    assert!(text.contains("a status that nobody knows"), "{text}");
}

async fn endings_that_lost_say_why(gateway: Gateway) {
    let call = sid(2);
    said(&gateway, &call, "completed", "3", 20, &[("CallDuration", "5")]).await;
    said(&gateway, &call, "busy", "2", 25, &[]).await;
    said(&gateway, &call, "failed", "3", 10, &[]).await;
    said(&gateway, &call, "no-answer", "3", 20, &[]).await;
    callback(&gateway, &call, "canceled", "", &[]).await;
    let story = explain(&gateway, &call).await;
    says(&story["ending"]["why"], &["completed after 5 s", "number is 3"]);
    let others = story["ending"]["others"].as_array().unwrap();
    let why = |word: &str| {
        let other = others.iter().find(|other| other["what"].as_str().unwrap().contains(word));
        other.unwrap_or_else(|| panic!("{word}: {others:?}"))["why_not"].clone()
    };
    says(&why("busy"), &["sequence number 2 is lower than 3"]);
    says(&why("failed"), &["earlier", &rfc3339(START_MS + 20_000)]);
    says(&why("no-answer"), &["same moment", "completed outweighs no-answer"]);
    says(&why("canceled"), &["no sequence number"]);
    assert_eq!(others.len(), 4, "{others:?}");
}

async fn what_is_no_contact_says_why(gateway: Gateway) {
    let lead = json!({"id": "lead-1", "name": "Ada", "phone": "+14155550101"});
    assert_eq!(gateway.ask(Method::POST, "/v1/leads", Some(lead)).await.0, 201);
    let ended = [("CallDuration", "17"), ("AnsweredBy", "machine_start")];
    said(&gateway, &sid(1), "in-progress", "1", 0, &[]).await;
    said(&gateway, &sid(1), "completed", "2", 20, &ended).await;
    said(&gateway, &sid(2), "busy", "1", 5, &[]).await;
    said(&gateway, &sid(3), "in-progress", "1", 5, &[]).await;
    for (n, words) in [(1, "answered by a machine"), (2, "was not answered"), (3, "goes on, and is not recorded")] {
        let lead = explain(&gateway, &sid(n)).await["lead"].clone();
        assert_eq!((&lead["linked_by"], &lead["contact"]), (&json!("number"), &json!(false)), "{lead}");
        says(&lead["why"], &["no contact", &sid(n), words]);
    }
}

async fn others_stories_are_not_there(gateway: Gateway) {
    said(&gateway, &sid(1), "busy", "1", 5, &[]).await;
    let (_, acme) = key_of(&gateway, "acme", Scope::ALL, None).await;
    let path = format!("/v1/calls/{}/explain", sid(1));
    expect_problem(&send(keyed(&gateway, &acme, Method::GET, &path)).await, 404, "not-found");
    let (_, writer) = key_of(&gateway, "default", &[Scope::Write], None).await;
    expect_problem(&send(keyed(&gateway, &writer, Method::GET, &path)).await, 403, "scope-missing");
    expect_problem(&send(request(&gateway, Method::GET, &format!("{path}?accaunt=x"))).await, 400, "bad-filter");
}
