//! What goes wrong between a gateway and a PBX ends in a resync, and the calls end with what the channel list says.

use crate::support::{
    gateway::START_MS,
    pbx::{PbxStage, on_both_pbx_stages},
};
use onhook::{
    domain::time::SECOND,
    pbx_double::{Double, Fate, Order, Side, Truth},
};

on_both_pbx_stages!(
    a_call_that_ends_while_the_link_is_cut,
    a_stream_that_stops_in_the_middle_of_a_message,
    a_line_without_end,
    a_pbx_that_dies_in_the_middle_of_a_call,
    a_call_that_is_heard_byte_by_byte,
);

/// A call that is answered after a second, and talked on for five; the clock shows its third second.
async fn talked_on(stage: &PbxStage) -> Truth {
    let order = Order::new("2001", "2002", Fate::Answered { talk_ms: 5 * SECOND, by: Side::Caller });
    let number = stage.server.with(|double| double.call(order, START_MS)).unwrap();
    stage.turn(START_MS + 3 * SECOND).await;
    let truth = stage.server.with(|double| double.model().unwrap().truth(number).unwrap().clone());
    stage.call_until(&truth.linkedid, "the call to be answered", |call| call["status"] == "in-progress").await;
    truth
}

/// The call and its leg have ended, and nobody said so but the channel list.
async fn repaired(stage: &PbxStage, truth: &Truth, cause: &str) {
    for id in [&truth.linkedid, &truth.legs[0].uniqueid] {
        let call = stage.call_until(id, "the call to be repaired", |call| call["ended_at"].is_string()).await;
        assert_eq!((&call["status"], &call["resolution"]), (&"completed".into(), &"reconciled".into()), "{call}");
        assert_eq!((&call["estimated"], &call["hangup_cause"]), (&true.into(), &cause.into()), "{call}");
    }
}

/// The rest of the call happens while nobody can connect; then somebody can.
async fn away(stage: &PbxStage) {
    stage.server.turn(&stage.clock, START_MS + 10 * SECOND);
    stage.server.with(|double| double.faults.refuse = false);
    stage.in_sync(2).await;
}

async fn a_call_that_ends_while_the_link_is_cut(stage: PbxStage) {
    let truth = talked_on(&stage).await;
    stage.server.with(|double| {
        double.faults.refuse = true;
        double.cut();
    });
    away(&stage).await;
    repaired(&stage, &truth, "ended_while_disconnected").await;
}

async fn a_stream_that_stops_in_the_middle_of_a_message(stage: PbxStage) {
    let truth = talked_on(&stage).await;
    stage.server.with(|double| {
        double.faults.refuse = true;
        double.cut_in_next_message();
    });
    away(&stage).await;
    repaired(&stage, &truth, "ended_while_disconnected").await;
}

async fn a_line_without_end(stage: PbxStage) {
    let truth = talked_on(&stage).await;
    stage.server.with(|double| double.send_without_end(START_MS + 3 * SECOND));
    // The gateway gives it up by itself, and finds the call alive.
    stage.in_sync(2).await;
    let call = stage.call_until(&truth.linkedid, "the call", |_| true).await;
    assert_eq!(call["status"], "in-progress", "{call}");
    stage.turn(START_MS + 60 * SECOND).await;
    let call = stage.call_until(&truth.linkedid, "the call to end", |call| call["ended_at"].is_string()).await;
    assert_eq!((&call["status"], &call["resolution"]), (&"completed".into(), &"callback".into()), "{call}");
}

async fn a_pbx_that_dies_in_the_middle_of_a_call(stage: PbxStage) {
    let truth = talked_on(&stage).await;
    stage.server.with(|double: &mut Double| double.restart(START_MS + 3 * SECOND));
    stage.in_sync(2).await;
    repaired(&stage, &truth, "pbx_restart").await;
}

async fn a_call_that_is_heard_byte_by_byte(stage: PbxStage) {
    stage.server.with(|double| double.faults.piece_bytes = Some(1));
    let truth = talked_on(&stage).await;
    stage.turn(START_MS + 9 * SECOND).await;
    let call = stage.call_until(&truth.linkedid, "the call to end", |call| call["ended_at"].is_string()).await;
    assert_eq!((&call["status"], &call["talk_seconds"]), (&"completed".into(), &5.into()), "{call}");
}
