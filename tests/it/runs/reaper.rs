//! The reaper: to the millisecond, and never too soon.

use super::office::{FAIL_MS, STALE_MS, Scene, US, external, twilio};
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    runs::Reaped,
    store::{
        notices,
        notices::{Addressee, NoticeFilter},
        outbox,
    },
};

on_both! {
    a_run_that_nobody_dials_fails_at_its_millisecond,
    an_error_before_the_last_progress_is_not_why_a_run_fails,
    a_run_whose_jobs_are_over_is_completed_also_without_its_worker,
    a_run_that_waits_for_its_calls_lives,
    a_run_that_is_cancelled_and_silent_is_cancelled,
    a_job_of_which_nothing_is_said_is_unknown,
    a_paused_run_and_one_to_come_are_left_alone,
}

async fn reap(scene: &Scene) -> (u64, u64, u64) {
    let Reaped { completed, cancelled, failed, troubled, .. } = scene.desk.reap().await.unwrap();
    assert_eq!(troubled, 0);
    (completed, cancelled, failed)
}

async fn a_run_that_nobody_dials_fails_at_its_millisecond(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 4).await;
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    scene.clock.advance(100);
    let jobs = scene.claim_under(&id, "w", 3, Some(claimed.token)).await.unwrap().jobs;
    scene.report(&jobs[1], claimed.token, "placed", Some(1)).await.unwrap();
    scene.clock.advance(FAIL_MS - 1);
    assert_eq!(reap(&scene).await, (0, 0, 0));
    scene.clock.advance(1);
    assert_eq!(scene.desk.active("acme").await.unwrap(), None);
    let late = scene.claim(&id, "w", 1).await;
    assert_eq!(super::office::refused(late), "run-state", "it has failed, though nobody wrote it down yet");
    assert_eq!(reap(&scene).await, (0, 0, 1));
    let shown = scene.show(&id).await;
    assert_eq!((shown.row.state.as_str(), shown.row.ended_ms), ("failed", Some(scene.now_ms())));
    assert_eq!(shown.row.last_error.as_deref(), Some("no job was placed for 900 s, although some could have been"));
    assert_eq!(scene.states(&id).await, ["failed", "placed", "failed", "failed"]);
    let filter = NoticeFilter { to: Addressee::Everybody, unread: None };
    let notices = notices::list(&scene.at.db, "acme", filter, None, 10).await.unwrap();
    assert_eq!(notices.iter().map(|n| n.kind.as_str()).collect::<Vec<_>>(), ["run.failed"]);
    let text = format!("The run {id} has failed: no job was placed for 900 s");
    assert!(notices[0].text.starts_with(&text) && notices[0].text.contains("3 of its 4 jobs"), "{}", notices[0].text);
    let owed = outbox::list_of_subject(&scene.at.db, "acme", &id).await.unwrap();
    assert_eq!(owed.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["run.failed", "run.started"]);
    assert_eq!(reap(&scene).await, (0, 0, 0), "once");
    scene.follow(&jobs[1].id, "done", Some("completed")).await;
    scene.settled(&id, 3).await;
}

async fn an_error_before_the_last_progress_is_not_why_a_run_fails(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&twilio(), 2).await;
    let lease = scene.hold(&id).await;
    let order = scene.desk.take(&lease, 1).await.unwrap().orders.pop().unwrap();
    let taking = (order.attempt, order.placing_ms);
    assert!(scene.desk.refuse("acme", &order.job_id, taking, lease.token, "21211: not a number").await.unwrap());
    scene.clock.advance(500);
    scene.desk.beat(&lease, None).await.unwrap();
    assert_eq!(scene.show(&id).await.row.progress_ms, Some(scene.now_ms()), "its provider answers");
    scene.clock.advance(FAIL_MS * 2);
    assert_eq!(reap(&scene).await, (0, 0, 1));
    let row = scene.show(&id).await.row;
    assert_eq!(row.last_error.as_deref(), Some("no job was placed for 900 s, although some could have been"));
    assert_eq!(row.last_error_ms, Some(scene.now_ms()));
    let errors: Vec<_> = scene.jobs(&id).await.into_iter().filter_map(|job| job.error).collect();
    assert_eq!(errors[0], "21211: not a number", "that of its own job stays");
    assert!(errors[1].starts_with("its run has failed: no job was placed for 900 s"), "{errors:?}");
}

async fn a_run_whose_jobs_are_over_is_completed_also_without_its_worker(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 2).await;
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    scene.report(&claimed.jobs[0], claimed.token, "placed", Some(1)).await.unwrap();
    scene.clock.advance(100);
    let jobs = scene.claim_under(&id, "w", 1, Some(claimed.token)).await.unwrap().jobs;
    scene.report(&jobs[0], claimed.token, "failed", None).await.unwrap();
    assert_eq!(reap(&scene).await, (0, 0, 0));
    scene.clock.advance(FAIL_MS * 4);
    scene.follow(&claimed.jobs[0].id, "done", Some("no-answer")).await;
    assert_eq!(reap(&scene).await, (1, 0, 0));
    let shown = scene.show(&id).await;
    assert_eq!((shown.row.state.as_str(), shown.counts.done, shown.counts.failed), ("completed", 1, 1));
    assert_eq!((shown.outcomes.no_answer, shown.outcomes.failed, shown.is_leased()), (1, 0, false));
    scene.settled(&id, 2).await;
}

async fn a_run_that_waits_for_its_calls_lives(at: TestDatabase) {
    let scene = Scene::on(at);
    let full = onhook::runs::RunText { calls_at_once: Some(1), ..external() };
    let id = scene.started(&full, 2).await;
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    scene.report(&claimed.jobs[0], claimed.token, "placed", Some(1)).await.unwrap();
    for _ in 0..40 {
        scene.clock.advance(STALE_MS - 1);
        scene.desk.heartbeat("acme", &id, claimed.token).await.unwrap();
        assert!(!scene.show(&id).await.stale, "its only slot is taken");
        assert_eq!(reap(&scene).await, (0, 0, 0));
    }
    scene.follow(&claimed.jobs[0].id, "done", Some("completed")).await;
    let freed_ms = scene.now_ms();
    scene.clock.set(freed_ms + FAIL_MS - 1);
    assert_eq!(reap(&scene).await, (0, 0, 0));
    scene.clock.advance(1);
    assert_eq!(reap(&scene).await, (0, 0, 1), "from when the slot was free");
    scene.settled(&id, 1).await;
}

async fn a_run_that_is_cancelled_and_silent_is_cancelled(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&twilio(), 2).await;
    let lease = scene.hold(&id).await;
    let order = scene.desk.take(&lease, 1).await.unwrap().orders.pop().unwrap();
    assert_eq!(scene.desk.cancel(&US, &id).await.unwrap().row.state, "cancelling");
    scene.clock.advance(STALE_MS - 1);
    assert_eq!(reap(&scene).await, (0, 0, 0));
    scene.clock.advance(1);
    assert_eq!(reap(&scene).await, (0, 1, 0));
    assert_eq!(scene.states(&id).await, ["placing", "cancelled"], "whether it has a call is found out");
    assert!(
        scene
            .desk
            .settle_unknown("acme", &order.job_id, (order.attempt, order.placing_ms), "no call was found")
            .await
            .unwrap()
    );
    assert_eq!(scene.states(&id).await, ["unknown", "cancelled"]);
    scene.settled(&id, 1).await;
}

async fn a_job_of_which_nothing_is_said_is_unknown(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 1).await;
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    scene.report(&claimed.jobs[0], claimed.token, "placing", None).await.unwrap();
    let until_ms = scene.now_ms() + FAIL_MS;
    while scene.now_ms() < until_ms - 1 {
        scene.clock.set((scene.now_ms() + STALE_MS / 2).min(until_ms - 1));
        scene.desk.heartbeat("acme", &id, claimed.token).await.unwrap();
        assert_eq!(reap(&scene).await, (0, 0, 0));
    }
    scene.clock.advance(1);
    let Reaped { unknown, completed, .. } = scene.desk.reap().await.unwrap();
    assert_eq!((unknown, completed), (1, 1));
    let jobs = scene.jobs(&id).await;
    assert_eq!((jobs[0].state.as_str(), jobs[0].attempt), ("unknown", 1));
    assert_eq!(jobs[0].error.as_deref(), Some("its dialer never said what came of placing it"));
    scene.settled(&id, 1).await;
}

async fn a_paused_run_and_one_to_come_are_left_alone(at: TestDatabase) {
    let scene = Scene::on(at);
    let pending = scene.create(&twilio(), &super::office::people(1)).await.run.row.id;
    let paused = scene.started(&twilio(), 1).await;
    scene.desk.pause(&US, &paused).await.unwrap();
    scene.clock.advance(FAIL_MS * 10);
    assert_eq!(reap(&scene).await, (0, 0, 0));
    for (id, state) in [(&pending, "pending"), (&paused, "paused")] {
        assert_eq!(scene.show(id).await.row.state, state);
    }
    // What is due tomorrow could not be placed today.
    let mut later = super::office::people(1);
    later[0].not_before = Some(onhook::domain::time::rfc3339(scene.now_ms() + 24 * 3_600_000));
    let planned = scene.create(&twilio(), &later).await.run.row.id;
    scene.desk.start(&US, &planned).await.unwrap();
    scene.clock.advance(24 * 3_600_000 + FAIL_MS - 1);
    assert_eq!(reap(&scene).await, (0, 0, 0));
    scene.clock.advance(1);
    assert_eq!(reap(&scene).await, (0, 0, 1));
}
