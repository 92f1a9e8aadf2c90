//! Calls of a PBX that somebody ends by hand, and has hung up there.

use crate::support::{
    database::TestDatabase,
    gateway::{Gateway, START_MS},
    pbx::{PBX, PbxStage, on_both_pbx_stages},
};
use onhook::{
    domain::time::SECOND,
    pbx_double::{Fate, Order, Side},
};
use reqwest::Method;
use serde_json::{Value, json};

on_both_pbx_stages!(a_call_is_hung_up_at_its_pbx, who_must_not_is_said_so);

/// A call that is talked on; its Linkedid.
async fn talked_on(stage: &PbxStage, fate: Fate) -> String {
    let order = Order::new("2001", "2002", fate);
    let number = stage.server.with(|double| double.call(order, START_MS)).unwrap();
    stage.turn(START_MS + 3 * SECOND).await;
    let id = stage.server.with(|double| double.model().unwrap().truth(number).unwrap().linkedid.clone());
    stage.call_until(&id, "the call to be answered", |call| call["status"] == "in-progress").await;
    id
}

fn answered() -> Fate {
    Fate::Answered { talk_ms: 60 * SECOND, by: Side::Caller }
}

async fn end(gateway: &Gateway, id: &str) -> Value {
    let (status, answer) =
        gateway.ask(Method::POST, &format!("/v1/calls/{id}/end"), Some(json!({ "hangup": true }))).await;
    assert_eq!(status, 200, "{answer}");
    answer["hangup"].clone()
}

async fn a_call_is_hung_up_at_its_pbx(stage: PbxStage) {
    let id = talked_on(&stage, answered()).await;
    assert_eq!(end(&stage.gateway, &id).await, json!({ "done": true, "why": "The PBX hung it up." }));
    assert_eq!(stage.server.with(|double| double.channels().len()), 0);
    stage.turn(START_MS + 4 * SECOND).await;
    // Its ending is held back for two seconds.
    stage.turn(START_MS + 7 * SECOND).await;
    let call = stage.call_until(&id, "the PBX to say so", |call| call["resolution"] == "callback").await;
    assert_eq!((&call["status"], &call["estimated"]), (&"completed".into(), &false.into()), "{call}");
}

async fn who_must_not_is_said_so(stage: PbxStage) {
    let id = talked_on(&stage, answered()).await;
    stage.server.with(|double| double.forbid("onhook"));
    let hangup = end(&stage.gateway, &id).await;
    assert_eq!(hangup["done"], false);
    let why = hangup["why"].as_str().unwrap();
    assert!(why.contains("It may go on at the PBX") && why.contains("Permission denied"), "{why}");
    assert_eq!(stage.server.with(|double| double.channels().len()), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_says_who_can() {
    let at = TestDatabase::sqlite().await;
    let stage = PbxStage::on(&at, &[]).await;
    let id = talked_on(&stage, answered()).await;
    let other = PbxStage::node(&at.place, &[], &stage.server, &stage.clock, 8).await;
    let hangup = end(&other, &id).await;
    assert_eq!(hangup["done"], false);
    let why = hangup["why"].as_str().unwrap();
    assert!(why.starts_with("Another process of onhook listens to this PBX"), "{why}");
    assert_eq!(stage.server.with(|double| double.channels().len()), 2, "{PBX} was left alone");
}
