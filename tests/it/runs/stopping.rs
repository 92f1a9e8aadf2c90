//! Runs that are paused and cancelled while they are dialed, at every step of a job.

use super::scene::{BY, RUN, STALE_MS, Scene, TENANT, ended, on_both_runs};
use crate::support::{exchange::Fate, patience::until};
use onhook::{
    domain::{
        signal::Claim,
        state::{Live, Outcome},
        time::MINUTE,
    },
    store::hangups,
};

on_both_runs!(
    a_paused_run_places_nothing_and_goes_on_when_resumed,
    a_cancelled_run_ends_with_what_is_under_way,
    a_run_cancelled_while_it_is_refused_is_over,
    a_run_cancelled_by_force_is_over_at_once_at_every_step,
    a_run_whose_dialer_died_is_cancelled_at_once,
);

async fn a_paused_run_places_nothing_and_goes_on_when_resumed(scene: Scene) {
    scene.add(RUN, 4, |run| run.calls_max = 1).await;
    let node = scene.dialing(1).await;
    scene.until_requests(1).await;
    node.desk.pause(&BY, RUN).await.unwrap();
    scene.rounds().await;
    node.complete_all(&scene).await;
    scene.rounds().await;
    assert_eq!(scene.states(RUN).await, ["done", "queued", "queued", "queued"]);
    scene.clock.advance(60 * MINUTE);
    scene.rounds().await;
    assert_eq!(scene.row(RUN).await.state, "paused", "however long it is paused");
    node.desk.resume(&BY, RUN).await.unwrap();
    for made in 2..=4 {
        scene.until_requests(made).await;
        until("it is placed", async || {
            let states = scene.states(RUN).await;
            if states.iter().any(|state| state == "placed") { Ok(()) } else { Err(format!("{states:?}")) }
        })
        .await;
        node.complete_all(&scene).await;
    }
    scene.until_run(RUN, "completed").await;
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn a_cancelled_run_ends_with_what_is_under_way(scene: Scene) {
    scene.script.answering(|order| if order.job_id == "job_1_2" { Fate::Slow } else { Fate::Accepted });
    scene.add(RUN, 5, |run| run.calls_max = 2).await;
    let node = scene.dialing(1).await;
    scene.until_states(RUN, &["placed", "placing", "queued", "queued", "queued"]).await;
    node.desk.cancel(&BY, RUN).await.unwrap();
    assert_eq!(scene.row(RUN).await.state, "cancelling");
    assert_eq!(scene.states(RUN).await, ["placed", "placing", "cancelled", "cancelled", "cancelled"]);
    // Its dialer still beats: it is not stale, and ends with its calls.
    for _ in 0..5 {
        scene.rounds().await;
        scene.clock.advance(STALE_MS / 2);
    }
    scene.script.open();
    scene.until_job("job_1_2", "placed").await;
    assert_eq!(scene.row(RUN).await.state, "cancelling");
    node.complete_all(&scene).await;
    scene.until_run(RUN, "cancelled").await;
    assert_eq!(scene.states(RUN).await, ["done", "done", "cancelled", "cancelled", "cancelled"]);
    assert_eq!(scene.script.requests().len(), 2);
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn a_run_cancelled_while_it_is_refused_is_over(scene: Scene) {
    scene.script.answering(|_| Fate::SlowNotNow);
    scene.run(2).await;
    let node = scene.dialing(1).await;
    scene.until_requests(2).await;
    node.desk.cancel(&BY, RUN).await.unwrap();
    scene.script.open();
    scene.until_run(RUN, "cancelled").await;
    assert_eq!(scene.states(RUN).await, ["cancelled", "cancelled"]);
    scene.rounds().await;
    assert_eq!(scene.script.requests().len(), 2);
    node.stop().await;
    scene.is_in_order(RUN).await;
}

/// Jobs that are queued, being placed (with a call and without), placed, live, and over.
async fn a_run_cancelled_by_force_is_over_at_once_at_every_step(scene: Scene) {
    scene.script.answering(|order| match order.job_id.as_str() {
        "job_1_1" => Fate::Slow,
        "job_1_2" => Fate::SlowRefused,
        "job_1_3" => Fate::SlowNotNow,
        "job_1_7" => Fate::LostWithCall,
        _ => Fate::Accepted,
    });
    scene.add(RUN, 9, |run| run.calls_max = 7).await;
    let node = scene.dialing(1).await;
    scene.until_requests(7).await;
    for id in ["job_1_4", "job_1_5", "job_1_6"] {
        scene.until_job(id, "placed").await;
    }
    scene.until_lost(RUN, 1).await;
    let of = |id: &str| scene.script.calls_of(id).remove(0);
    node.tell(&of("job_1_5"), Claim::Live(Live::Answered), scene.now_ms()).await;
    let answer = node.desk.force_cancel(&BY, RUN, true).await.unwrap();
    assert_eq!((answer.jobs_cancelled, answer.live_calls), (6, 3));
    let run = scene.row(RUN).await;
    assert_eq!((run.state.as_str(), run.ended_ms), ("cancelled", Some(scene.now_ms())));
    let cancelled = ["cancelled"; 3];
    let expected: Vec<_> = cancelled.into_iter().chain(["placed", "live", "placed"]).chain(cancelled).collect();
    assert_eq!(scene.states(RUN).await, expected);
    // What was under way is answered: the jobs stay cancelled, and the call that was made is a stray.
    scene.script.open();
    until("the stray is known", async || {
        scene.call(&of("job_1_1").provider_id).await.map(drop).ok_or_else(String::new)
    })
    .await;
    node.tell(&of("job_1_7"), Claim::Live(Live::Ringing), scene.now_ms()).await;
    scene.rounds().await;
    assert_eq!(scene.states(RUN).await, expected);
    let within = std::time::Duration::from_secs(10);
    let count = node.dialing.hang_up_of_run(TENANT, RUN, within).await.unwrap();
    node.dialing.hang_up().await.unwrap();
    assert!(count.hung_up >= 3, "{count:?}");
    assert!(scene.script.calls().iter().all(|call| call.hung_up >= 1), "{:?}", scene.script.calls());
    assert_eq!(hangups::count_of_run(&scene.at.db, TENANT, RUN).await.unwrap().pending, 0);
    for call in scene.script.calls() {
        node.tell(&call, ended(Outcome::Canceled), scene.now_ms()).await;
    }
    let expected: Vec<_> = cancelled.into_iter().chain(["done"; 3]).chain(cancelled).collect();
    assert_eq!(scene.states(RUN).await, expected);
    assert_eq!(scene.script.requests().len(), 7);
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn a_run_whose_dialer_died_is_cancelled_at_once(scene: Scene) {
    scene.add(RUN, 3, |run| run.calls_max = 1).await;
    let first = scene.dialing(1).await;
    scene.until_states(RUN, &["placed", "queued", "queued"]).await;
    first.kill().await;
    scene.clock.advance(STALE_MS);
    let other = scene.node(2).await;
    other.desk.cancel(&BY, RUN).await.unwrap();
    assert_eq!(scene.row(RUN).await.state, "cancelled");
    assert_eq!(scene.states(RUN).await, ["placed", "cancelled", "cancelled"]);
    other.complete_all(&scene).await;
    assert_eq!(scene.states(RUN).await, ["done", "cancelled", "cancelled"]);
    scene.is_in_order(RUN).await;
}
