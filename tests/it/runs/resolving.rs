//! Requests whose answers are lost, and what is found of their calls.

use super::scene::{LOOK_FOR_AFTER_MS, Node, RUN, Scene, on_both_runs};
use crate::support::exchange::{Fate, Way};
use onhook::{
    domain::time::{HOUR, MINUTE, SECOND},
    provider::TroubleKind,
    store::jobs,
};

on_both_runs!(
    a_call_that_was_made_is_found,
    what_nobody_knows_is_unknown_and_is_not_dialed_again,
    the_call_of_another_job_is_not_taken,
    several_that_it_could_be_are_none,
    the_only_call_of_two_jobs_is_neithers_until_it_tells,
    a_call_that_the_door_was_never_told_of_is_told,
    a_provider_in_trouble_is_asked_later_and_not_for_ever,
    what_another_process_can_ask_is_left_to_it,
    a_call_that_tells_of_itself_is_not_looked_for,
    two_that_look_at_once_do_no_harm,
);

/// A process that dials, and jobs of the run of the test whose answers are lost.
async fn lost(scene: &Scene, fates: &[Fate]) -> Node {
    let fates_of: Vec<Fate> = fates.to_vec();
    scene.script.answering(move |order| {
        let place: usize = order.job_id.rsplit('_').next().unwrap().parse().unwrap();
        fates_of[place - 1]
    });
    scene.run(fates.len()).await;
    let node = scene.dialing(1).await;
    scene.until_lost(RUN, fates.len()).await;
    node
}

async fn look(scene: &Scene, node: &Node) {
    scene.clock.advance(LOOK_FOR_AFTER_MS);
    node.dialing.resolve().await.unwrap();
}

async fn end(scene: &Scene, node: Node) {
    node.complete_all(scene).await;
    scene.until_run(RUN, "completed").await;
    node.stop().await;
    scene.is_in_order(RUN).await;
}

async fn a_call_that_was_made_is_found(scene: Scene) {
    let node = lost(&scene, &[Fate::LostWithCall, Fate::LostWithCall]).await;
    scene.clock.advance(LOOK_FOR_AFTER_MS - SECOND);
    node.dialing.resolve().await.unwrap();
    assert_eq!(scene.states(RUN).await, ["placing", "placing"], "a callback may still come");
    scene.clock.advance(SECOND);
    node.dialing.resolve().await.unwrap();
    assert_eq!(scene.states(RUN).await, ["placed", "placed"]);
    for job in scene.jobs_of(RUN).await {
        let call = scene.script.calls_of(&job.id).remove(0);
        assert_eq!(job.provider_id.as_ref(), Some(&call.provider_id));
        let row = scene.call(&call.provider_id).await.unwrap();
        assert_eq!((row.job_id.as_ref(), row.run_id.as_deref()), (Some(&job.id), Some(RUN)));
    }
    assert_eq!(scene.script.requests().len(), 2);
    end(&scene, node).await;
}

async fn what_nobody_knows_is_unknown_and_is_not_dialed_again(scene: Scene) {
    let node = lost(&scene, &[Fate::LostWithoutCall]).await;
    look(&scene, &node).await;
    let job = scene.job("job_1_1").await;
    assert_eq!((job.state.as_str(), job.error.as_deref()), ("unknown", Some("the provider has no such call")));
    scene.until_run(RUN, "completed").await;
    scene.clock.advance(HOUR);
    scene.rounds().await;
    assert_eq!(scene.script.requests().len(), 1);
    end(&scene, node).await;
}

/// Two runs call one number; of the first the call is known, of the second the request never arrived.
async fn the_call_of_another_job_is_not_taken(scene: Scene) {
    scene.run(1).await;
    let node = scene.dialing(1).await;
    scene.until_states(RUN, &["placed"]).await;
    scene.script.answering(|_| Fate::LostWithoutCall);
    let to = scene.job("job_1_1").await.to;
    scene.add_to("run_2", &to).await;
    scene.until_lost("run_2", 1).await;
    look(&scene, &node).await;
    assert_eq!(scene.job("job_2_1").await.state, "unknown");
    scene.until_run("run_2", "completed").await;
    scene.is_in_order("run_2").await;
    end(&scene, node).await;
}

async fn several_that_it_could_be_are_none(scene: Scene) {
    let node = lost(&scene, &[Fate::LostWithCall]).await;
    scene.script.add_call("CAffffffffffffffffffffffffffffffff", &scene.job("job_1_1").await.to);
    look(&scene, &node).await;
    let job = scene.job("job_1_1").await;
    assert_eq!((job.state.as_str(), job.error.as_deref()), ("unknown", Some("several calls could be it")));
    // It tells of itself after all: then it is known, and followed to its end.
    let call = scene.script.calls_of("job_1_1").remove(0);
    node.complete(&scene, &call).await;
    assert_eq!(scene.job("job_1_1").await.state, "done");
    end(&scene, node).await;
}

/// Two runs call one number, both answers are lost, and only the second request made a call.
async fn the_only_call_of_two_jobs_is_neithers_until_it_tells(scene: Scene) {
    let node = lost(&scene, &[Fate::LostWithoutCall]).await;
    scene.script.answering(|_| Fate::LostWithCall);
    scene.add_to("run_2", &scene.job("job_1_1").await.to).await;
    scene.until_lost("run_2", 1).await;
    look(&scene, &node).await;
    for id in ["job_1_1", "job_2_1"] {
        let job = scene.job(id).await;
        assert_eq!((job.state.as_str(), job.provider_id), ("unknown", None), "{id}");
        assert!(job.error.unwrap().contains("could be another job's"), "{id}");
    }
    scene.until_run(RUN, "completed").await;
    scene.is_in_order(RUN).await;
    let call = scene.script.calls_of("job_2_1").remove(0);
    node.complete(&scene, &call).await;
    assert_eq!((scene.job("job_2_1").await.state, scene.job("job_1_1").await.state), ("done".into(), "unknown".into()));
    scene.is_in_order("run_2").await;
    end(&scene, node).await;
}

/// A report that a call was placed was taken, and the process died before its call was known.
async fn a_call_that_the_door_was_never_told_of_is_told(scene: Scene) {
    let node = lost(&scene, &[Fate::LostWithCall]).await;
    let call = scene.script.calls_of("job_1_1").remove(0);
    let mut job = scene.job("job_1_1").await;
    (job.state, job.provider_id, job.lost_ms) = ("placed".into(), Some(call.provider_id.clone()), None);
    let mut tx = scene.at.db.begin().await.unwrap();
    jobs::update(&mut tx, &[job]).await.unwrap();
    tx.commit().await.unwrap();
    assert!(scene.call(&call.provider_id).await.is_none());
    look(&scene, &node).await;
    let (job, row) = (scene.job("job_1_1").await, scene.call(&call.provider_id).await.unwrap());
    assert_eq!((job.state.as_str(), job.call_id, row.run_id.as_deref()), ("placed", Some(row.id), Some(RUN)));
    assert_eq!(scene.script.finds(), 0, "its call is known: nobody is asked");
    end(&scene, node).await;
}

async fn a_provider_in_trouble_is_asked_later_and_not_for_ever(scene: Scene) {
    let node = lost(&scene, &[Fate::LostWithCall, Fate::LostWithoutCall]).await;
    scene.script.in_trouble(Some(TroubleKind::Unreachable));
    look(&scene, &node).await;
    scene.clock.advance(20 * HOUR);
    node.dialing.resolve().await.unwrap();
    assert_eq!(scene.states(RUN).await, ["placing", "placing"]);
    scene.clock.advance(5 * HOUR);
    node.dialing.resolve().await.unwrap();
    assert_eq!(scene.states(RUN).await, ["unknown", "unknown"]);
    let error = scene.job("job_1_1").await.error.unwrap();
    assert!(error.contains("nobody could be asked for a day"), "{error}");
    end(&scene, node).await;
}

async fn what_another_process_can_ask_is_left_to_it(scene: Scene) {
    let node = lost(&scene, &[Fate::LostWithCall]).await;
    let other = scene.node(2).await;
    other.lines.go(Way::Elsewhere);
    look(&scene, &other).await;
    assert_eq!(scene.states(RUN).await, ["placing"]);
    node.dialing.resolve().await.unwrap();
    assert_eq!(scene.states(RUN).await, ["placed"]);
    end(&scene, node).await;
}

async fn a_call_that_tells_of_itself_is_not_looked_for(scene: Scene) {
    let node = lost(&scene, &[Fate::LostWithCall]).await;
    node.complete_all(&scene).await;
    assert_eq!(scene.states(RUN).await, ["done"]);
    look(&scene, &node).await;
    assert_eq!((scene.states(RUN).await, scene.script.finds()), (vec!["done".to_owned()], 0));
    end(&scene, node).await;
}

async fn two_that_look_at_once_do_no_harm(scene: Scene) {
    let node = lost(&scene, &[Fate::LostWithCall, Fate::LostWithoutCall, Fate::LostWithCall]).await;
    let other = scene.node(2).await;
    scene.clock.advance(3 * MINUTE);
    let (ours, theirs) = tokio::join!(node.dialing.resolve(), other.dialing.resolve());
    ours.unwrap();
    theirs.unwrap();
    assert_eq!(scene.states(RUN).await, ["placed", "unknown", "placed"]);
    end(&scene, node).await;
}
