//! Calls that are to be hung up, and are.

use super::scene::{BY, Node, RUN, Scene, TENANT, on_both_runs};
use crate::support::exchange::{Fate, Way};
use onhook::{
    domain::{
        signal::Claim,
        state::Live,
        time::{DAY, HOUR, SECOND},
    },
    provider::TroubleKind,
    store::{audit, hangups, notices},
};
use std::time::Duration;

on_both_runs!(
    calls_of_a_run_are_hung_up_while_somebody_waits,
    what_has_ended_meanwhile_is_counted_as_that,
    what_cannot_be_done_in_time_is_done_in_the_background,
    what_cannot_be_done_at_all_is_said,
    a_call_of_a_pbx_is_hung_up_by_whoever_listens_to_it,
    a_call_that_turns_up_for_a_cancelled_job_is_hung_up,
);

/// Time enough for whatever answers.
const WITHIN: Duration = Duration::from_secs(10);

async fn cancelled(scene: &Scene, jobs: usize) -> Node {
    scene.run(jobs).await;
    let node = scene.dialing(1).await;
    scene.until_states(RUN, &vec!["placed"; jobs]).await;
    let answer = node.desk.force_cancel(&BY, RUN, true).await.unwrap();
    assert_eq!((answer.jobs_cancelled, answer.live_calls), (0, i64::try_from(jobs).unwrap()));
    node
}

/// The calls end as the provider tells it, and all is in order.
async fn end(scene: &Scene, node: Node) {
    for call in scene.script.calls() {
        node.tell(&call, super::scene::ended(onhook::domain::state::Outcome::Completed), scene.now_ms()).await;
    }
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn calls_of_a_run_are_hung_up_while_somebody_waits(scene: Scene) {
    let node = cancelled(&scene, 40).await;
    let count = node.dialing.hang_up_of_run(TENANT, RUN, WITHIN).await.unwrap();
    assert_eq!((count.hung_up, count.pending, count.other), (40, 0, 0));
    assert!(scene.script.calls().iter().all(|call| call.hung_up == 1 && call.is_over));
    // Once is enough.
    scene.clock.advance(HOUR);
    assert_eq!(node.dialing.hang_up().await.unwrap(), 0);
    assert_eq!(scene.states(RUN).await, vec!["placed"; 40], "they end when the provider says so");
    end(&scene, node).await;
    assert_eq!(scene.states(RUN).await, vec!["done"; 40]);
}

async fn what_has_ended_meanwhile_is_counted_as_that(scene: Scene) {
    let node = cancelled(&scene, 3).await;
    let first = scene.script.calls().remove(0);
    scene.script.end(&first.provider_id);
    let count = node.dialing.hang_up_of_run(TENANT, RUN, WITHIN).await.unwrap();
    assert_eq!((count.hung_up, count.pending, count.other), (2, 0, 1));
    end(&scene, node).await;
}

async fn what_cannot_be_done_in_time_is_done_in_the_background(scene: Scene) {
    let node = cancelled(&scene, 2).await;
    scene.script.in_trouble(Some(TroubleKind::Unreachable));
    let count = node.dialing.hang_up_of_run(TENANT, RUN, WITHIN).await.unwrap();
    assert_eq!((count.hung_up, count.pending, count.other), (0, 2, 0));
    scene.script.in_trouble(None);
    assert_eq!(node.dialing.hang_up().await.unwrap(), 0, "not at once");
    scene.clock.advance(SECOND);
    assert_eq!(node.dialing.hang_up().await.unwrap(), 2);
    let count = hangups::count_of_run(&scene.at.db, TENANT, RUN).await.unwrap();
    assert_eq!((count.hung_up, count.pending), (2, 0));
    end(&scene, node).await;
}

async fn what_cannot_be_done_at_all_is_said(scene: Scene) {
    let node = cancelled(&scene, 1).await;
    scene.script.in_trouble(Some(TroubleKind::Refused));
    for _ in 0..100 {
        scene.clock.advance(10 * 60 * SECOND);
        node.dialing.hang_up().await.unwrap();
    }
    assert_eq!(scene.script.hangups(), 30, "and then no more");
    let count = hangups::count_of_run(&scene.at.db, TENANT, RUN).await.unwrap();
    assert_eq!((count.hung_up, count.pending, count.other), (0, 0, 1));
    let call = scene.call(&scene.script.calls()[0].provider_id).await.unwrap();
    let told = notices::list_of_subject(&scene.at.db, TENANT, &call.id, 9).await.unwrap();
    assert_eq!(told.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["hangup-given-up"]);
    assert!(told[0].text.contains("failed to place calls: refused"), "{}", told[0].text);
    let decided = audit::list_of_subject(&scene.at.db, TENANT, &call.id, 9).await.unwrap();
    assert!(decided.iter().any(|row| row.action == "call.hangup_given_up"), "{decided:?}");
    end(&scene, node).await;
}

async fn a_call_of_a_pbx_is_hung_up_by_whoever_listens_to_it(scene: Scene) {
    let far = cancelled(&scene, 1).await;
    far.lines.go(Way::Elsewhere);
    for _ in 0..50 {
        scene.clock.advance(2 * SECOND);
        assert_eq!(far.dialing.hang_up().await.unwrap(), 1);
    }
    let near = scene.node(2).await;
    scene.clock.advance(2 * SECOND);
    near.dialing.hang_up().await.unwrap();
    let count = hangups::count_of_run(&scene.at.db, TENANT, RUN).await.unwrap();
    assert_eq!((count.hung_up, count.pending), (1, 0));
    scene.clock.advance(DAY);
    assert_eq!(far.dialing.hang_up().await.unwrap(), 0);
    end(&scene, far).await;
}

/// The request was under way when the run was cancelled by force; its call is made all the same.
async fn a_call_that_turns_up_for_a_cancelled_job_is_hung_up(scene: Scene) {
    scene.script.answering(|_| Fate::Slow);
    scene.run(1).await;
    let node = scene.dialing(1).await;
    scene.until_requests(1).await;
    let answer = node.desk.force_cancel(&BY, RUN, false).await.unwrap();
    assert_eq!((answer.jobs_cancelled, answer.live_calls), (1, 0));
    scene.script.open();
    let call = scene.script.calls().remove(0);
    crate::support::patience::until("the answer is written", async || {
        scene.call(&call.provider_id).await.map(drop).ok_or_else(String::new)
    })
    .await;
    node.tell(&call, Claim::Live(Live::Ringing), scene.now_ms()).await;
    assert_eq!(scene.states(RUN).await, ["cancelled"]);
    node.dialing.hang_up().await.unwrap();
    assert_eq!(scene.script.calls()[0].hung_up, 1);
    end(&scene, node).await;
    assert_eq!(scene.states(RUN).await, ["cancelled"]);
}
