//! What people do to a run: every transition, every refusal, and what everybody is told of it.

use super::office::{FAIL_MS, STALE_MS, START_MS, Scene, TWILIO, US, external, people, refused, sid, twilio};
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    runs::{Jobs, RunText, RunTold},
    store::{
        audit::{self, AuditFilter},
        hangups,
        journal::{self, RUN},
        outbox,
    },
};

on_both! {
    a_run_is_made_started_paused_resumed_and_cancelled,
    what_cannot_be_done_is_refused,
    a_run_is_made_once,
    cancel_takes_what_is_queued_and_leaves_what_is_under_way,
    cancel_of_a_silent_run_is_at_once,
    force_cancel_takes_all_but_what_has_a_call,
    force_cancel_counts_truly_and_asks_for_hangups,
    the_active_run_is_one_that_lives,
    looking_changes_nothing,
    runs_of_others_are_not_there,
}

async fn told(scene: &Scene, id: &str) -> Vec<String> {
    let entries = journal::list_of_subject(&scene.at.db, "acme", RUN, id, 0, 100).await.unwrap();
    entries.iter().map(|e| serde_json::from_str::<RunTold>(&e.what).unwrap().change.to_string()).collect()
}

async fn owed(scene: &Scene, id: &str) -> Vec<String> {
    let rows = outbox::list_of_subject(&scene.at.db, "acme", id).await.unwrap();
    rows.into_iter().map(|row| row.kind).collect()
}

async fn audited(scene: &Scene) -> Vec<(String, String)> {
    let rows = audit::list(&scene.at.db, "acme", &AuditFilter::default(), None, 100).await.unwrap();
    let mut acts: Vec<_> = rows.into_iter().map(|row| (row.actor, row.action)).collect();
    acts.sort();
    acts
}

async fn a_run_is_made_started_paused_resumed_and_cancelled(at: TestDatabase) {
    let scene = Scene::on(at);
    let made = scene.create(&twilio(), &people(3)).await;
    let (id, counts) = (made.run.row.id.clone(), made.run.counts);
    assert_eq!((made.is_new, made.run.row.state.as_str(), counts.total, counts.queued), (true, "pending", 3, 3));
    assert_eq!((made.run.stale, made.run.calls_per_second(), made.run.is_leased()), (false, 100.0, false));
    scene.clock.advance(1_000);
    let started = scene.desk.start(&US, &id).await.unwrap();
    assert_eq!((started.row.state.as_str(), started.row.started_ms), ("running", Some(START_MS + 1_000)));
    assert_eq!(scene.desk.start(&US, &id).await.unwrap(), started, "again is the same");
    scene.clock.advance(1_000);
    let paused = scene.desk.pause(&US, &id).await.unwrap();
    assert_eq!(paused.row.state, "paused");
    assert_eq!(scene.desk.pause(&US, &id).await.unwrap(), paused);
    scene.clock.advance(FAIL_MS * 2);
    assert!(!scene.show(&id).await.stale, "a paused run is not waited for");
    let resumed = scene.desk.resume(&US, &id).await.unwrap();
    assert_eq!((resumed.row.state.as_str(), resumed.row.started_ms), ("running", Some(scene.now_ms())));
    assert_eq!(scene.desk.resume(&US, &id).await.unwrap(), resumed);
    let cancelled = scene.desk.cancel(&US, &id).await.unwrap();
    assert_eq!((cancelled.row.state.as_str(), cancelled.counts.cancelled), ("cancelled", 3));
    assert_eq!((cancelled.row.ended_ms, cancelled.row.cancel_ms), (Some(scene.now_ms()), Some(scene.now_ms())));
    assert_eq!(scene.desk.cancel(&US, &id).await.unwrap(), cancelled);
    let steps = ["run.created", "run.started", "run.paused", "run.resumed", "run.cancelled"];
    assert_eq!(told(&scene, &id).await, steps);
    let mut acts = steps.map(|act| ("key:1".to_owned(), act.to_owned()));
    acts.sort();
    assert_eq!(audited(&scene).await, acts);
    assert_eq!(owed(&scene, &id).await, ["run.cancelled", "run.started"]);
}

async fn what_cannot_be_done_is_refused(at: TestDatabase) {
    let scene = Scene::on(at);
    let desk = &scene.desk;
    let id = scene.create(&twilio(), &[]).await.run.row.id;
    assert_eq!(refused(desk.start(&US, &id).await), "run-state", "it has no jobs");
    assert_eq!(refused(desk.pause(&US, &id).await), "run-state");
    assert_eq!(refused(desk.resume(&US, &id).await), "run-state");
    desk.add_jobs(&US, &id, Jobs::Texts(&people(1))).await.unwrap();
    desk.start(&US, &id).await.unwrap();
    desk.pause(&US, &id).await.unwrap();
    assert_eq!(refused(desk.start(&US, &id).await), "run-state", "it is to be resumed");
    desk.cancel(&US, &id).await.unwrap();
    for done in [desk.start(&US, &id).await, desk.pause(&US, &id).await, desk.resume(&US, &id).await] {
        assert_eq!(refused(done), "run-state");
    }
    assert_eq!(refused(desk.add_jobs(&US, &id, Jobs::Texts(&people(2))).await), "run-state");
    let again = desk.force_cancel(&US, &id, true).await.unwrap();
    assert_eq!((again.jobs_cancelled, again.live_calls, again.run.row.state.as_str()), (0, 0, "cancelled"));
    let done = scene.started(&twilio(), 1).await;
    let order = desk.take(&scene.hold(&done).await, 1).await.unwrap().orders.pop().unwrap();
    scene.follow(&order.job_id, "done", Some("completed")).await;
    assert_eq!(desk.reap().await.unwrap().completed, 1);
    for ended in [desk.cancel(&US, &done).await, desk.start(&US, &done).await] {
        assert_eq!(refused(ended), "run-state");
    }
    assert_eq!(refused(desk.force_cancel(&US, &done, true).await), "run-state");
    scene.settled(&done, 1).await;
}

async fn a_run_is_made_once(at: TestDatabase) {
    let scene = Scene::on(at);
    let text = RunText { key: Some("spring".into()), ..twilio() };
    let first = scene.create(&text, &people(2)).await;
    let second = scene.create(&text, &people(3)).await;
    assert_eq!((second.is_new, &second.run.row.id), (false, &first.run.row.id));
    assert_eq!((second.imported.created, second.imported.existing, second.run.counts.total), (1, 2, 3));
    for other in [
        RunText { calls_per_second: Some(2.0), ..text.clone() },
        RunText { account: Some(super::office::SECOND_TWILIO.into()), ..text.clone() },
        RunText { twiml: Some("<Response><Hangup/></Response>".into()), ..text.clone() },
        RunText { worker: Some("external".into()), ..text.clone() },
    ] {
        assert_eq!(refused(scene.desk.create(&US, &other, Jobs::None).await), "run-state");
    }
    scene.desk.cancel(&US, &first.run.row.id).await.unwrap();
    let known = scene.create(&text, &people(3)).await;
    assert_eq!((known.imported.created, known.imported.existing), (0, 3), "all are there, so nothing is wrong");
    assert_eq!(refused(scene.desk.create(&US, &text, Jobs::Texts(&people(4))).await), "run-state");
}

async fn cancel_takes_what_is_queued_and_leaves_what_is_under_way(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 5).await;
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    let token = claimed.token;
    let mut jobs = claimed.jobs;
    for _ in 0..3 {
        scene.clock.advance(1_000);
        jobs = scene.claim_under(&id, "w", 10, Some(token)).await.unwrap().jobs;
    }
    scene.report(&jobs[1], token, "placing", None).await.unwrap();
    scene.report(&jobs[2], token, "placed", Some(1)).await.unwrap();
    assert_eq!(scene.states(&id).await, ["reserved", "placing", "placed", "reserved", "reserved"]);
    let cancelled = scene.desk.cancel(&US, &id).await.unwrap();
    assert_eq!(cancelled.row.state, "cancelling");
    assert_eq!(scene.states(&id).await, ["cancelled", "placing", "placed", "cancelled", "cancelled"]);
    let beat = scene.desk.heartbeat("acme", &id, token).await.unwrap();
    assert!(beat.cancel_requested && !beat.paused);
    assert_eq!(refused(scene.report(&jobs[0], token, "placing", None).await), "run-state");
    assert!(scene.claim_under(&id, "w", 5, Some(token)).await.unwrap().jobs.is_empty());
    assert_eq!(refused(scene.claim(&id, "v", 5).await), "run-state");
    assert_eq!(scene.desk.reap().await.unwrap().cancelled, 0, "calls are under way");
    scene.report(&jobs[1], token, "failed", None).await.unwrap();
    scene.follow(&jobs[2].id, "done", Some("busy")).await;
    assert_eq!(scene.desk.reap().await.unwrap().cancelled, 1);
    assert!(scene.desk.heartbeat("acme", &id, token).await.unwrap().cancel_requested);
    assert_eq!(told(&scene, &id).await, ["run.created", "run.started", "run.cancelling", "run.cancelled"]);
    let acts: Vec<String> = audited(&scene).await.into_iter().map(|(_, act)| act).collect();
    assert_eq!(acts, ["run.cancelled", "run.created", "run.started"], "the deed is audited once");
    scene.settled(&id, 5).await;
}

async fn cancel_of_a_silent_run_is_at_once(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 2).await;
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    scene.report(&claimed.jobs[0], claimed.token, "placed", Some(1)).await.unwrap();
    scene.clock.advance(STALE_MS);
    assert_eq!(scene.desk.cancel(&US, &id).await.unwrap().row.state, "cancelled");
    assert_eq!(scene.states(&id).await, ["placed", "cancelled"], "its call is followed to the end");
    scene.follow(&claimed.jobs[0].id, "done", Some("completed")).await;
    scene.settled(&id, 1).await;
}

async fn force_cancel_takes_all_but_what_has_a_call(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 4).await;
    let token = scene.claim(&id, "w", 1).await.unwrap().token;
    scene.clock.advance(100);
    let jobs = scene.claim_under(&id, "w", 3, Some(token)).await.unwrap().jobs;
    assert_eq!(scene.states(&id).await, ["reserved", "reserved", "reserved", "queued"]);
    scene.report(&jobs[0], token, "placing", None).await.unwrap();
    scene.report(&jobs[1], token, "placed", Some(1)).await.unwrap();
    let forced = scene.desk.force_cancel(&US, &id, false).await.unwrap();
    assert_eq!((forced.jobs_cancelled, forced.live_calls, forced.run.row.state.as_str()), (3, 1, "cancelled"));
    assert_eq!(scene.states(&id).await, ["cancelled", "placed", "cancelled", "cancelled"]);
    assert_eq!(hangups::count_of_run(&scene.at.db, "acme", &id).await.unwrap().pending, 0);
    // The worker placed it all the same: the call must not be.
    assert_eq!(refused(scene.report(&jobs[0], token, "placed", Some(2)).await), "run-state");
    assert_eq!(hangups::count_of_run(&scene.at.db, "acme", &id).await.unwrap().pending, 1);
    assert_eq!(told(&scene, &id).await.last().unwrap(), "run.force_cancelled");
    assert_eq!(owed(&scene, &id).await, ["run.cancelled", "run.started"]);
    scene.follow(&jobs[1].id, "done", Some("completed")).await;
    scene.settled(&id, 3).await;
}

async fn force_cancel_counts_truly_and_asks_for_hangups(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 3).await;
    let token = scene.claim(&id, "w", 1).await.unwrap().token;
    scene.clock.advance(100);
    let jobs = scene.claim_under(&id, "w", 3, Some(token)).await.unwrap().jobs;
    scene.report(&jobs[0], token, "placed", Some(1)).await.unwrap();
    scene.report(&jobs[1], token, "placed", Some(2)).await.unwrap();
    scene.follow(&jobs[1].id, "live", None).await;
    let forced = scene.desk.force_cancel(&US, &id, true).await.unwrap();
    assert_eq!((forced.jobs_cancelled, forced.live_calls), (1, 2));
    let mut tx = scene.at.db.begin().await.unwrap();
    let asked = hangups::claim_of_run(&mut tx, "acme", &id, scene.now_ms(), 1_000, 10).await.unwrap();
    let mut asked: Vec<_> = asked.into_iter().map(|row| (row.provider_id, row.account, row.reason)).collect();
    asked.sort();
    let why = hangups::FORCE_CANCELLED.to_owned();
    assert_eq!(asked, [1, 2].map(|n| (sid(n), TWILIO.to_owned(), why.clone())));
    drop(tx);
    let again = scene.desk.force_cancel(&US, &id, true).await.unwrap();
    assert_eq!((again.jobs_cancelled, again.live_calls), (0, 2), "its calls go on until they end");
    assert_eq!(told(&scene, &id).await.len(), 3);
}

async fn the_active_run_is_one_that_lives(at: TestDatabase) {
    let scene = Scene::on(at);
    let active = async || scene.desk.active("acme").await.unwrap().map(|a| (a.run.row.id, a.run.stale, a.also_active));
    assert_eq!(active().await, None);
    let first = scene.started(&external(), 2).await;
    scene.clock.advance(10);
    let second = scene.started(&external(), 2).await;
    assert_eq!(active().await, Some((second.clone(), false, vec![first.clone()])));
    scene.clock.advance(STALE_MS);
    assert_eq!(active().await, Some((second.clone(), true, vec![first.clone()])));
    scene.desk.pause(&US, &second).await.unwrap();
    assert_eq!(active().await, Some((first.clone(), true, vec![])));
    scene.clock.set(START_MS + FAIL_MS - 1);
    assert_eq!(active().await, Some((first.clone(), true, vec![])));
    scene.clock.advance(1);
    assert_eq!(active().await, None, "it has failed, whether the reaper came or not");
    assert_eq!(scene.show(&first).await.row.state, "running");
    scene.desk.resume(&US, &second).await.unwrap();
    scene.desk.cancel(&US, &second).await.unwrap();
    assert_eq!(active().await, None);
}

async fn looking_changes_nothing(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 2).await;
    scene.claim(&id, "w", 2).await.unwrap();
    let (row, jobs) = (scene.show(&id).await.row, scene.jobs(&id).await);
    scene.clock.advance(FAIL_MS * 3);
    for _ in 0..3 {
        scene.show(&id).await;
        scene.desk.active("acme").await.unwrap();
        scene.desk.list("acme", &Default::default(), (i64::MAX, ""), 50).await.unwrap();
    }
    assert_eq!((scene.show(&id).await.row, scene.jobs(&id).await), (row, jobs));
}

async fn runs_of_others_are_not_there(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 1).await;
    let other = onhook::runs::By { tenant: "other", actor: "key:2" };
    let desk = &scene.desk;
    assert_eq!(refused(desk.show("other", &id).await), "not-found");
    for done in [desk.start(&other, &id).await, desk.pause(&other, &id).await, desk.cancel(&other, &id).await] {
        assert_eq!(refused(done), "not-found");
    }
    assert_eq!(refused(desk.force_cancel(&other, &id, true).await), "not-found");
    assert_eq!(refused(desk.heartbeat("other", &id, 1).await), "not-found");
    assert_eq!(refused(desk.add_jobs(&other, &id, Jobs::None).await), "not-found");
    assert_eq!(desk.active("other").await.unwrap(), None);
    assert_eq!(desk.hold("acme", &id, "node:a").await.unwrap(), None, "it is dialed by its external worker");
    assert_eq!(scene.show(&id).await.row.state, "running");
}
