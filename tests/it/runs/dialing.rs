//! Runs that our own dialer dials.

use super::scene::{FAIL_MS, RUN, STALE_MS, Scene, TENANT, ended, on_both_runs, retrying};
use crate::support::{
    exchange::{Fate, Way},
    patience::until,
};
use onhook::{
    domain::{
        signal::Claim,
        state::{Live, Outcome},
        time::{MINUTE, SECOND},
    },
    provider::TroubleKind,
    store::notices,
};

on_both_runs!(
    a_run_is_dialed_to_its_end,
    each_answer_of_a_provider_leads_to_what_it_says,
    a_busy_line_is_called_again_and_no_other,
    a_storm_of_refusals_is_waited_out,
    a_provider_that_takes_nothing_fails_the_run_in_the_end,
    what_nobody_can_reach_says_so,
    what_others_can_reach_is_left_to_them,
    no_more_calls_at_once_than_the_run_may_have,
    a_stopped_process_lets_its_runs_go_at_once,
    two_processes_share_runs_and_place_each_job_once,
    what_breaks_is_the_run_s_own_failure,
);

async fn a_run_is_dialed_to_its_end(scene: Scene) {
    scene.run(5).await;
    let node = scene.dialing(1).await;
    scene.until_states(RUN, &["placed"; 5]).await;
    assert_eq!(scene.row(RUN).await.holder.as_deref(), Some(node.dialing.holder()));
    let calls = scene.script.calls();
    node.tell(&calls[0], Claim::Live(Live::Ringing), scene.now_ms()).await;
    let live = scene.until_job(&calls[0].job_id, "live").await;
    assert_eq!(live.provider_id.as_ref(), Some(&calls[0].provider_id));
    node.complete_all(&scene).await;
    scene.until_states(RUN, &["done"; 5]).await;
    let run = scene.until_run(RUN, "completed").await;
    assert_eq!((run.last_error, run.ended_ms), (None, Some(scene.now_ms())));
    assert_eq!(scene.script.requests().len(), 5);
    let call = scene.call(&calls[0].provider_id).await.unwrap();
    assert_eq!((call.run_id.as_deref(), call.status.as_str()), (Some(RUN), "completed"));
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn each_answer_of_a_provider_leads_to_what_it_says(scene: Scene) {
    scene.script.answering(|order| match order.to.chars().last() {
        Some('2') => Fate::Refused,
        Some('3') => Fate::LostWithCall,
        Some('4') => Fate::LostWithoutCall,
        _ => Fate::Accepted,
    });
    scene.run(4).await;
    let node = scene.dialing(1).await;
    scene.until_states(RUN, &["placed", "failed", "placing", "placing"]).await;
    assert_eq!(scene.job("job_1_2").await.error.as_deref(), Some("the number is not valid"));
    until("both are known to be lost", async || {
        let lost = scene.jobs_of(RUN).await.iter().filter(|job| job.lost_ms.is_some()).count();
        if lost == 2 { Ok(()) } else { Err(format!("{lost}")) }
    })
    .await;
    // Nothing is asked again while it may be under way.
    scene.rounds().await;
    assert_eq!(scene.script.requests().len(), 4);
    node.complete_all(&scene).await;
    scene.until_states(RUN, &["done", "failed", "done", "placing"]).await;
    scene.clock.advance(2 * MINUTE);
    node.dialing.resolve().await.unwrap();
    scene.until_states(RUN, &["done", "failed", "done", "unknown"]).await;
    scene.until_run(RUN, "completed").await;
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn a_busy_line_is_called_again_and_no_other(scene: Scene) {
    scene.add(RUN, 2, |run| run.settings = retrying(2)).await;
    let node = scene.dialing(1).await;
    scene.until_states(RUN, &["placed", "placed"]).await;
    let busy = scene.script.calls_of("job_1_1").remove(0);
    node.tell(&busy, ended(Outcome::Busy), scene.now_ms()).await;
    scene.script.end(&busy.provider_id);
    node.complete_all(&scene).await;
    scene.until_states(RUN, &["queued", "done"]).await;
    scene.rounds().await;
    assert_eq!(scene.script.requests().len(), 2, "not before its time");
    scene.clock.advance(MINUTE);
    let again = scene.until_job("job_1_1", "placed").await;
    assert_eq!(again.attempt, 2);
    node.tell(&scene.script.calls_of("job_1_1")[1], ended(Outcome::Busy), scene.now_ms()).await;
    scene.until_run(RUN, "completed").await;
    assert_eq!(scene.job("job_1_1").await.outcome.as_deref(), Some("busy"));
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn a_storm_of_refusals_is_waited_out(scene: Scene) {
    scene.script.answering(|_| Fate::NotNow(TroubleKind::TooMany));
    scene.run(20).await;
    let node = scene.dialing(1).await;
    let run = until("it is said", async || {
        let run = scene.row(RUN).await;
        if run.last_error.is_some() { Ok(run) } else { Err(format!("{run:?}")) }
    })
    .await;
    assert_eq!(run.last_error.as_deref(), Some("failed to place calls: too-many"));
    // One request at a time, ever more seldom.
    scene.until_requests(3).await;
    scene.rounds().await;
    assert!(scene.script.requests().len() < 20, "{} requests", scene.script.requests().len());
    assert!(scene.states(RUN).await.iter().filter(|state| *state != "queued").count() <= 1);
    scene.script.answering(|_| Fate::Accepted);
    scene.clock.advance(MINUTE);
    scene.until_states(RUN, &["placed"; 20]).await;
    for job in scene.jobs_of(RUN).await {
        assert_eq!(job.attempt, 1, "what was never placed was no attempt");
    }
    node.complete_all(&scene).await;
    scene.until_run(RUN, "completed").await;
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn a_provider_that_takes_nothing_fails_the_run_in_the_end(scene: Scene) {
    scene.script.answering(|_| Fate::NotNow(TroubleKind::Refused));
    scene.run(3).await;
    let node = scene.dialing(1).await;
    scene.until_requests(1).await;
    // In steps that leave the lease long enough for a request.
    for _ in 0..100 {
        scene.rounds().await;
        if scene.row(RUN).await.state != "running" {
            break;
        }
        scene.clock.advance(12 * SECOND);
        node.desk.reap().await.unwrap();
    }
    let run = scene.until_run(RUN, "failed").await;
    assert!(run.ended_ms.unwrap() >= run.created_ms + FAIL_MS, "{run:?}");
    assert!(run.ended_ms.unwrap() <= run.created_ms + FAIL_MS + 2 * MINUTE, "{run:?}");
    assert_eq!(run.last_error.as_deref(), Some("failed to place calls: refused"));
    scene.until_states(RUN, &["failed"; 3]).await;
    let told = notices::list_of_subject(&scene.at.db, TENANT, RUN, 9).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn what_nobody_can_reach_says_so(scene: Scene) {
    let mut node = scene.node(1).await;
    node.lines.go(Way::Trouble(TroubleKind::Unreachable));
    scene.run(1).await;
    node.start();
    until("it is said", async || {
        let run = scene.row(RUN).await;
        if run.last_error.is_some() { Ok(()) } else { Err(format!("{run:?}")) }
    })
    .await;
    assert_eq!(scene.states(RUN).await, ["queued"], "nothing is taken that cannot be placed");
    node.lines.go(Way::Here);
    scene.clock.advance(5 * MINUTE);
    scene.until_states(RUN, &["placed"]).await;
    node.complete_all(&scene).await;
    scene.until_run(RUN, "completed").await;
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn what_others_can_reach_is_left_to_them(scene: Scene) {
    let mut far = scene.node(1).await;
    far.lines.go(Way::Elsewhere);
    scene.run(1).await;
    far.start();
    scene.rounds().await;
    assert_eq!(scene.row(RUN).await.token, 0);
    let near = scene.dialing(2).await;
    scene.until_states(RUN, &["placed"]).await;
    // The line moves to the other process, and the run with it.
    far.lines.go(Way::Here);
    near.lines.go(Way::Elsewhere);
    scene.until_token(RUN, 2).await;
    assert_eq!(scene.row(RUN).await.holder.as_deref(), Some(far.dialing.holder()));
    far.complete_all(&scene).await;
    scene.until_run(RUN, "completed").await;
    far.stop().await;
    near.stop().await;
    scene.is_in_order(RUN).await;
}

async fn no_more_calls_at_once_than_the_run_may_have(scene: Scene) {
    scene.add(RUN, 7, |run| run.calls_max = 3).await;
    let node = scene.dialing(1).await;
    for round in 0..3 {
        let made = (3 * (round + 1)).min(7);
        scene.until_requests(made).await;
        scene.rounds().await;
        let live = scene.script.calls().iter().filter(|call| !call.is_over).count();
        assert_eq!((scene.script.requests().len(), live <= 3), (made, true));
        // Waiting for a free slot is no standstill.
        scene.clock.advance(STALE_MS);
        scene.rounds().await;
        node.complete_all(&scene).await;
    }
    let run = scene.until_run(RUN, "completed").await;
    assert_eq!(run.token, 1);
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn a_stopped_process_lets_its_runs_go_at_once(scene: Scene) {
    scene.script.answering(|_| Fate::Slow);
    scene.add(RUN, 4, |run| run.calls_max = 2).await;
    let first = scene.dialing(1).await;
    scene.until_requests(2).await;
    let (stop, script) = (first.stop.clone(), scene.script.clone());
    let stopping = tokio::spawn(first.stop());
    stop.cancelled().await;
    // What is under way is waited for and written.
    scene.rounds().await;
    assert!(!stopping.is_finished());
    script.open();
    stopping.await.unwrap();
    assert_eq!(scene.states(RUN).await, ["placed", "placed", "queued", "queued"]);
    let second = scene.dialing(2).await;
    scene.until_token(RUN, 2).await;
    second.complete_all(&scene).await;
    scene.until_states(RUN, &["done", "done", "placed", "placed"]).await;
    second.complete_all(&scene).await;
    scene.until_run(RUN, "completed").await;
    assert_eq!(scene.now_ms(), scene.row(RUN).await.created_ms, "nobody waited for a lease to end");
    second.stop().await;
    scene.is_in_order(RUN).await;
}

async fn two_processes_share_runs_and_place_each_job_once(scene: Scene) {
    let (first, second) = (scene.dialing(1).await, scene.dialing(2).await);
    for n in 1..=6 {
        scene.add(&format!("run_{n}"), 12, |_| {}).await;
    }
    for n in 1..=6 {
        scene.until_states(&format!("run_{n}"), &["placed"; 12]).await;
    }
    assert_eq!(scene.script.requests().len(), 72);
    second.complete_all(&scene).await;
    for n in 1..=6 {
        let run = scene.until_run(&format!("run_{n}"), "completed").await;
        assert_eq!(run.token, 1, "nobody took it over: {run:?}");
    }
    first.stop().await;
    second.stop().await;
    for n in 1..=6 {
        scene.is_in_order(&format!("run_{n}")).await;
    }
}

async fn what_breaks_is_the_run_s_own_failure(scene: Scene) {
    scene.script.answering(|order| if order.job_id == "job_1_1" { Fate::Panics } else { Fate::Accepted });
    scene.add(RUN, 3, |run| run.calls_max = 1).await;
    scene.add("run_2", 3, |_| {}).await;
    let node = scene.dialing(1).await;
    scene.until_states("run_2", &["placed"; 3]).await;
    // The run goes on under another token; whether there was a call of the job that broke is looked for.
    scene.until_token(RUN, 2).await;
    scene.clock.advance(2 * MINUTE);
    node.dialing.resolve().await.unwrap();
    scene.until_job("job_1_1", "unknown").await;
    scene.until_job("job_1_2", "placed").await;
    node.complete_all(&scene).await;
    scene.until_job("job_1_3", "placed").await;
    node.complete_all(&scene).await;
    for run in [RUN, "run_2"] {
        scene.until_run(run, "completed").await;
    }
    node.stop().await;
    scene.is_in_order(RUN).await;
}
