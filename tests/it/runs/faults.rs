//! Dialers that die, hang, or come back too late, and a database that goes away: nobody is called twice, and every job ends.

use super::scene::{Node, RUN, STALE_MS, Scene, on_both_runs};
use crate::support::{database::TestDatabase, exchange::Fate, patience::until};
use onhook::domain::{
    signal::Claim,
    state::Live,
    time::{MINUTE, SECOND},
};
use std::time::Duration;

on_both_runs!(
    a_dialer_killed_during_its_requests_is_followed_by_another,
    a_dialer_killed_at_any_moment_leaves_nothing_undone,
    a_dialer_that_hung_is_fenced,
    what_a_fenced_dialer_was_answered_is_still_true,
    a_callback_may_come_before_the_answer,
    an_answer_may_come_after_the_time_out,
    a_request_that_could_outlast_the_lease_is_not_sent,
    a_dialer_whose_heartbeats_fail_places_nothing,
    runs_are_taken_over_from_the_dead_and_not_from_the_living,
);

async fn end(scene: &Scene, node: Node) {
    scene.clock.advance(2 * MINUTE);
    for _ in 0..50 {
        node.dialing.resolve().await.unwrap();
        node.complete_all(scene).await;
        scene.rounds().await;
        if scene.row(RUN).await.state != "running" {
            break;
        }
    }
    scene.until_run(RUN, "completed").await;
    node.stop().await;
    scene.is_in_order(RUN).await;
}

/// One with a call whose answer nobody heard, one without a call, one whose call has told of itself.
async fn a_dialer_killed_during_its_requests_is_followed_by_another(scene: Scene) {
    scene.script.answering(|order| match order.job_id.as_str() {
        "job_1_1" | "job_1_3" => Fate::NeverWithCall,
        "job_1_2" => Fate::Never,
        _ => Fate::Accepted,
    });
    scene.run(6).await;
    let first = scene.dialing(1).await;
    scene.until_states(RUN, &["placing", "placing", "placing", "placed", "placed", "placed"]).await;
    first.kill().await;
    let second = scene.dialing(2).await;
    scene.rounds().await;
    assert_eq!(scene.row(RUN).await.token, 1, "the lease of the dead one lasts");
    let told = scene.script.calls_of("job_1_3").remove(0);
    second.tell(&told, Claim::Live(Live::Ringing), scene.now_ms()).await;
    assert_eq!(scene.job("job_1_3").await.state, "live");
    scene.clock.advance(STALE_MS);
    scene.until_token(RUN, 2).await;
    scene.rounds().await;
    assert_eq!(scene.script.requests().len(), 6, "what another token has in hand is not placed again");
    scene.clock.advance(2 * MINUTE);
    second.dialing.resolve().await.unwrap();
    assert_eq!(scene.states(RUN).await, ["placed", "unknown", "live", "placed", "placed", "placed"]);
    end(&scene, second).await;
    assert_eq!(scene.states(RUN).await, ["done", "unknown", "done", "done", "done", "done"]);
}

async fn a_dialer_killed_at_any_moment_leaves_nothing_undone(scene: Scene) {
    const JOBS: usize = 60;
    scene.script.answering(|order| match order.job_id.len() % 2 {
        0 => Fate::Accepted,
        _ => Fate::LostWithCall,
    });
    scene.add(RUN, JOBS, |run| run.calls_max = 4).await;
    for round in 0..12 {
        let node = scene.dialing(10 + round).await;
        tokio::time::sleep(Duration::from_millis(15 + round * 9)).await;
        node.kill().await;
        let between = scene.node(100 + round).await;
        scene.clock.advance(STALE_MS);
        between.complete_all(&scene).await;
    }
    let last = scene.dialing(1).await;
    // Slowly, as far as the dialer has time: a run that places nothing for long fails.
    for _ in 0..400 {
        scene.clock.advance(10 * SECOND);
        scene.rounds().await;
        last.dialing.resolve().await.unwrap();
        last.complete_all(&scene).await;
        if scene.row(RUN).await.state != "running" {
            break;
        }
    }
    scene.until_run(RUN, "completed").await;
    let jobs = scene.jobs_of(RUN).await;
    for job in &jobs {
        let calls = scene.script.calls_of(&job.id);
        // Unknown are those that were marked by a process that died before it asked.
        let expected = if calls.is_empty() { "unknown" } else { "done" };
        assert_eq!((job.state.as_str(), calls.len() <= 1), (expected, true), "{job:?} {calls:?}");
    }
    assert!(jobs.iter().filter(|job| job.state == "done").count() > JOBS / 2, "{:?}", scene.states(RUN).await);
    last.stop().await;
    scene.is_in_order(RUN).await;
}

/// It stands still in the middle of its requests (as after SIGSTOP), and goes on when another one has its run.
async fn a_dialer_that_hung_is_fenced(scene: Scene) {
    scene.script.answering(|_| Fate::Slow);
    scene.add(RUN, 6, |run| run.calls_max = 2).await;
    let first = scene.dialing(1).await;
    scene.until_requests(2).await;
    // Nothing of it reaches the database: another one takes the run.
    let second = scene.node(2).await;
    scene.clock.advance(STALE_MS);
    let lease = second.take_over(&scene).await;
    assert!(lease.token > 1, "{lease:?}");
    let before = scene.script.requests().len();
    scene.script.open();
    scene.until_states(RUN, &["placed", "placed", "queued", "queued", "queued", "queued"]).await;
    second.complete_all(&scene).await;
    scene.rounds().await;
    assert_eq!(scene.script.requests().len(), before, "the fenced one places nothing more");
    assert_eq!(scene.states(RUN).await, ["done", "done", "queued", "queued", "queued", "queued"]);
    assert_eq!(scene.row(RUN).await.token, lease.token);
    second.desk.let_go(&lease).await.unwrap();
    scene.until_requests(4).await;
    for _ in 0..3 {
        scene.rounds().await;
        first.complete_all(&scene).await;
    }
    end(&scene, first).await;
}

/// Each answer, when another one has the run by then.
async fn what_a_fenced_dialer_was_answered_is_still_true(scene: Scene) {
    scene.script.answering(|order| match order.job_id.as_str() {
        "job_1_1" => Fate::Slow,
        "job_1_2" => Fate::SlowRefused,
        "job_1_3" => Fate::SlowNotNow,
        _ => Fate::NeverWithCall,
    });
    scene.script.time_out_after(Duration::from_secs(4));
    scene.run(4).await;
    let first = scene.dialing(1).await;
    scene.until_requests(4).await;
    let second = scene.node(2).await;
    scene.clock.advance(STALE_MS);
    let lease = second.take_over(&scene).await;
    scene.script.open();
    scene.until_states(RUN, &["placed", "failed", "queued", "placing"]).await;
    scene.until_lost(RUN, 1).await;
    let given_back = scene.job("job_1_3").await;
    assert_eq!((given_back.attempt, given_back.token), (0, None));
    assert_eq!(scene.row(RUN).await.token, lease.token);
    // Who has it now can place what was given back, once.
    scene.script.answering(|_| Fate::Accepted);
    second.desk.let_go(&lease).await.unwrap();
    scene.clock.advance(MINUTE);
    scene.until_job("job_1_3", "placed").await;
    end(&scene, first).await;
    assert_eq!(scene.states(RUN).await, ["done", "failed", "done", "done"]);
}

async fn a_callback_may_come_before_the_answer(scene: Scene) {
    scene.script.answering(|_| Fate::Slow);
    scene.run(2).await;
    let node = scene.dialing(1).await;
    scene.until_requests(2).await;
    let [ringing, over] = &scene.script.calls()[..] else { panic!("two calls") };
    node.tell(ringing, Claim::Live(Live::Ringing), scene.now_ms()).await;
    node.complete(&scene, over).await;
    assert_eq!(scene.job(&ringing.job_id).await.state, "live");
    assert_eq!(scene.job(&over.job_id).await.state, "done");
    scene.script.open();
    scene.rounds().await;
    assert_eq!(scene.job(&ringing.job_id).await.state, "live", "the answer says less");
    assert_eq!(scene.job(&over.job_id).await.state, "done");
    assert_eq!(scene.script.requests().len(), 2);
    end(&scene, node).await;
}

async fn an_answer_may_come_after_the_time_out(scene: Scene) {
    scene.script.answering(|_| Fate::NeverWithCall);
    scene.script.time_out_after(Duration::from_millis(20));
    scene.run(1).await;
    let node = scene.dialing(1).await;
    scene.until_lost(RUN, 1).await;
    assert_eq!(scene.job("job_1_1").await.error.as_deref(), Some("no answer in time"));
    node.tell(&scene.script.calls()[0], Claim::Live(Live::Queued), scene.now_ms()).await;
    let job = scene.until_job("job_1_1", "placed").await;
    assert_eq!(job.provider_id.as_ref(), Some(&scene.script.calls()[0].provider_id));
    end(&scene, node).await;
}

async fn a_request_that_could_outlast_the_lease_is_not_sent(scene: Scene) {
    // Of 30 seconds five are kept free.
    scene.script.time_out_after(Duration::from_millis(25_500));
    scene.run(1).await;
    let node = scene.dialing(1).await;
    scene.until_token(RUN, 1).await;
    scene.rounds().await;
    assert_eq!((scene.states(RUN).await, scene.script.requests().len()), (vec!["queued".to_owned()], 0));
    scene.script.time_out_after(Duration::from_secs(24));
    scene.until_job("job_1_1", "placed").await;
    end(&scene, node).await;
}

/// The time of its lease is over and no heartbeat comes through: what it could still take is not sent.
async fn a_dialer_whose_heartbeats_fail_places_nothing(scene: Scene) {
    scene.run(3).await;
    let mut node = scene.node(1).await;
    // A heartbeat that never comes: each is due an hour from now.
    node.beat_never();
    node.start();
    scene.until_states(RUN, &["placed"; 3]).await;
    scene.clock.advance(STALE_MS / 2 + 3 * SECOND);
    scene.rounds().await;
    scene.more(RUN, 2).await;
    scene.rounds().await;
    assert_eq!(scene.script.requests().len(), 3, "eight seconds and five are more than the twelve that are left");
    assert_eq!(scene.states(RUN).await[3..], ["queued", "queued"]);
    // Another one takes the run when the lease is over.
    scene.clock.advance(STALE_MS / 2);
    let second = scene.dialing(2).await;
    scene.until_requests(5).await;
    assert!(scene.row(RUN).await.token >= 2);
    node.kill().await;
    end(&scene, second).await;
}

async fn runs_are_taken_over_from_the_dead_and_not_from_the_living(scene: Scene) {
    for n in 1..=4 {
        scene.add(&format!("run_{n}"), 6, |run| run.calls_max = 2).await;
    }
    let (first, second) = (scene.dialing(1).await, scene.dialing(2).await);
    scene.until_requests(8).await;
    scene.rounds().await;
    let (dead, alive) = (first.dialing.holder().to_owned(), second.dialing.holder().to_owned());
    let mut of_the_living = Vec::new();
    for n in 1..=4 {
        let run = scene.row(&format!("run_{n}")).await;
        assert!([&dead, &alive].contains(&run.holder.as_ref().unwrap()));
        of_the_living.push(run.holder.as_deref() == Some(&alive));
    }
    first.kill().await;
    // Time passes as it does: the living one beats.
    for _ in 0..8 {
        scene.clock.advance(STALE_MS / 4);
        scene.rounds().await;
    }
    for (n, was_the_living_s) in (1..=4).zip(of_the_living) {
        let id = format!("run_{n}");
        let run = scene.until_token(&id, if was_the_living_s { 1 } else { 2 }).await;
        assert_eq!((run.holder.as_deref(), run.token), (Some(&*alive), if was_the_living_s { 1 } else { 2 }));
    }
    for _ in 0..4 {
        second.complete_all(&scene).await;
        scene.rounds().await;
    }
    for n in 2..=4 {
        scene.until_run(&format!("run_{n}"), "completed").await;
        scene.is_in_order(&format!("run_{n}")).await;
    }
    end(&scene, second).await;
}

/// Calls are accepted while nobody can write that down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_while_the_database_is_away_is_written_when_it_is_back() {
    let scene = Scene::on(TestDatabase::postgres().await).await;
    scene.script.answering(|_| Fate::Slow);
    scene.add(RUN, 6, |run| run.calls_max = 3).await;
    let node = scene.dialing(1).await;
    scene.until_requests(3).await;
    scene.at.place.refuse_connections(true).await;
    scene.script.open();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.script.requests().len(), 3);
    scene.at.place.refuse_connections(false).await;
    scene.until_states(RUN, &["placed", "placed", "placed", "queued", "queued", "queued"]).await;
    node.complete_all(&scene).await;
    scene.until_requests(6).await;
    end(&scene, node).await;
    assert_eq!(scene.states(RUN).await, ["done"; 6]);
}

/// Away again and again, while jobs are taken, placed and settled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_comes_and_goes_leaves_every_job_true() {
    let scene = Scene::on(TestDatabase::postgres().await).await;
    scene.add(RUN, 60, |run| run.calls_max = 5).await;
    let node = scene.dialing(1).await;
    for round in 0..5 {
        tokio::time::sleep(Duration::from_millis(40 + 17 * round)).await;
        scene.at.place.refuse_connections(true).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        scene.at.place.refuse_connections(false).await;
        until("it can be asked again", async || {
            let row = onhook::store::runs::find(&scene.at.db, "default", RUN).await;
            row.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let _ = node.try_complete_all(&scene).await;
    }
    for _ in 0..200 {
        scene.rounds().await;
        let _ = node.try_complete_all(&scene).await;
        scene.clock.advance(10 * SECOND);
        node.dialing.resolve().await.unwrap();
        if scene.row(RUN).await.state != "running" {
            break;
        }
    }
    scene.until_run(RUN, "completed").await;
    for job in scene.jobs_of(RUN).await {
        assert_eq!((job.state.as_str(), scene.script.calls_of(&job.id).len()), ("done", 1), "{job:?}");
    }
    node.stop().await;
    scene.is_in_order(RUN).await;
}
