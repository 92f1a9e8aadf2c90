//! Who may dial: one at a time, to the millisecond, and whoever lost the lease does no harm at any step of a job.

use super::office::{FAIL_MS, STALE_MS, Scene, US, desk_on, external, kind, refused, twilio};
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    runs::{ClaimText, RunError, RunText},
    store::slots::Ledger,
};

on_both! {
    one_worker_has_the_lease,
    the_same_worker_starts_again,
    a_lease_ends_at_its_millisecond,

    a_fresh_run_is_not_stale_before_its_first_heartbeat_is_due,
    whoever_beats_without_progress_is_stale_too,
    whoever_lost_the_lease_does_no_harm_at_any_step,
    our_dialer_holds_beats_and_lets_go,
    trouble_with_the_provider_is_no_progress,
    a_troubled_run_that_waits_for_its_calls_lives,
    what_is_claimed_is_checked,
    two_desks_at_once_give_one_lease,
}

async fn one_worker_has_the_lease(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.create(&external(), &super::office::people(3)).await.run.row.id;
    assert_eq!(refused(scene.claim(&id, "w", 1).await), "run-state", "it is not started");
    scene.desk.start(&US, &id).await.unwrap();
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    assert_eq!((claimed.token, claimed.lease_ms, claimed.lease_until_ms), (1, STALE_MS, scene.now_ms() + STALE_MS));
    scene.clock.advance(10_000);
    match scene.claim(&id, "v", 1).await.unwrap_err() {
        RunError::LeaseHeld { holder, left_ms } => assert_eq!((holder.as_str(), left_ms), ("w", 20_000)),
        other => panic!("{other}"),
    }
    let shown = scene.show(&id).await;
    assert!(shown.is_leased());
    assert_eq!((shown.row.holder.as_deref(), shown.row.beat_ms), (Some("w"), Some(scene.now_ms() - 10_000)));
    let beat = scene.desk.heartbeat("acme", &id, 1).await.unwrap();
    assert_eq!((beat.cancel_requested, beat.paused, beat.lease_until_ms), (false, false, scene.now_ms() + STALE_MS));
    for token in [0, 2, -1] {
        assert_eq!(refused(scene.desk.heartbeat("acme", &id, token).await), "lease-lost");
        assert_eq!(refused(scene.claim_under(&id, "w", 1, Some(token)).await), "lease-lost");
    }
    scene.desk.pause(&US, &id).await.unwrap();
    assert!(scene.desk.heartbeat("acme", &id, 1).await.unwrap().paused);
    assert!(scene.claim_under(&id, "w", 5, Some(1)).await.unwrap().jobs.is_empty());
    scene.settled(&id, 1).await;
}

async fn the_same_worker_starts_again(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 3).await;
    let first = scene.claim(&id, "w", 1).await.unwrap();
    let again = scene.claim(&id, "w", 1).await.unwrap();
    assert_eq!(again.token, first.token + 1);
    assert_eq!(refused(scene.report(&first.jobs[0], first.token, "placing", None).await), "lease-lost");
    assert_eq!(scene.ledger(&id).await.taken - scene.ledger(&id).await.released, again.jobs.len() as i64);
}

async fn a_lease_ends_at_its_millisecond(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 2).await;
    let claimed = scene.claim(&id, "w", 0).await.unwrap();
    scene.clock.advance(STALE_MS - 1);
    assert_eq!(kind(&scene.claim(&id, "v", 1).await.unwrap_err()), "lease-held");
    assert!(!scene.show(&id).await.stale);
    scene.clock.advance(1);
    assert!(scene.show(&id).await.stale);
    let taken = scene.claim(&id, "v", 1).await.unwrap();
    assert_eq!(taken.token, claimed.token + 1);
    assert_eq!(refused(scene.desk.heartbeat("acme", &id, claimed.token).await), "lease-lost");
    // Nobody took it: whoever comes back goes on.
    scene.clock.advance(STALE_MS * 3);
    assert_eq!(scene.desk.heartbeat("acme", &id, taken.token).await.unwrap().lease_until_ms, scene.now_ms() + STALE_MS);
}

async fn a_fresh_run_is_not_stale_before_its_first_heartbeat_is_due(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.create(&external(), &super::office::people(1)).await.run.row.id;
    scene.clock.advance(STALE_MS * 5);
    scene.desk.start(&US, &id).await.unwrap();
    scene.clock.advance(STALE_MS - 1);
    assert!(!scene.show(&id).await.stale);
    scene.clock.advance(1);
    assert!(scene.show(&id).await.stale);
}

async fn whoever_beats_without_progress_is_stale_too(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 3).await;
    let token = scene.claim(&id, "w", 1).await.unwrap().token;
    let last_ms = scene.now_ms();
    for _ in 0..10 {
        scene.clock.advance(2_999);
        scene.desk.heartbeat("acme", &id, token).await.unwrap();
    }
    scene.clock.set(last_ms + STALE_MS - 1);
    assert!(!scene.show(&id).await.stale);
    assert_eq!(kind(&scene.claim(&id, "v", 1).await.unwrap_err()), "lease-held");
    scene.clock.advance(1);
    assert!(scene.show(&id).await.stale, "it holds a job that it does not place");
    let taken = scene.claim(&id, "v", 0).await.unwrap();
    assert_eq!(taken.token, token + 1);
    // The new one has as long to make some progress: it is not taken back at once.
    scene.clock.advance(STALE_MS - 1);
    scene.desk.heartbeat("acme", &id, taken.token).await.unwrap();
    assert_eq!(kind(&scene.claim(&id, "w", 1).await.unwrap_err()), "lease-held");
    scene.clock.advance(1);
    assert_eq!(scene.claim(&id, "w", 0).await.unwrap().token, token + 2);
    scene.settled(&id, 1).await;
}

async fn whoever_lost_the_lease_does_no_harm_at_any_step(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 3).await;
    let old = scene.claim(&id, "w", 1).await.unwrap().token;
    scene.clock.advance(1_000);
    let jobs = scene.claim_under(&id, "w", 3, Some(old)).await.unwrap().jobs;
    scene.report(&jobs[1], old, "placing", None).await.unwrap();
    scene.report(&jobs[2], old, "placed", Some(1)).await.unwrap();
    scene.clock.advance(STALE_MS);
    let new = scene.claim(&id, "v", 1).await.unwrap();
    assert_eq!(new.jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), [&jobs[0].id], "what was not placed yet");
    assert_eq!(scene.states(&id).await, ["reserved", "placing", "placed"], "what may have a call is not taken back");
    let before = scene.jobs(&id).await;
    for job in &jobs {
        for (state, call) in [("placing", None), ("placed", Some(7)), ("failed", None)] {
            assert_eq!(refused(scene.report(job, old, state, call).await), "lease-lost", "{state}");
        }
        // Whoever has the lease now has not asked the provider for these.
        let mine = job.id == jobs[0].id;
        let placing = scene.report(job, new.token, "placing", None).await;
        assert_eq!(placing.is_ok(), mine, "{placing:?}");
    }
    assert_eq!(refused(scene.claim_under(&id, "w", 3, Some(old)).await), "lease-lost");
    let after = scene.jobs(&id).await;
    assert_eq!(after[1..], before[1..]);
    assert_eq!(scene.ledger(&id).await, Ledger { taken: 3, released: 0 });
}

async fn our_dialer_holds_beats_and_lets_go(at: TestDatabase) {
    let scene = Scene::on(at);
    let desk = &scene.desk;
    let id = scene.started(&twilio(), 2).await;
    assert_eq!(refused(scene.claim(&id, "w", 1).await), "run-state", "it is dialed by us");
    let lease = scene.hold(&id).await;
    assert_eq!((lease.token, lease.until_ms, lease.lease_ms), (1, scene.now_ms() + STALE_MS, STALE_MS));
    assert_eq!(desk.hold("acme", &id, "node:b").await.unwrap(), None);
    scene.clock.advance(2_000);
    assert_eq!(desk.beat(&lease, None).await.unwrap().lease_until_ms, scene.now_ms() + STALE_MS);
    desk.let_go(&lease).await.unwrap();
    let taken = desk.hold("acme", &id, "node:b").await.unwrap().unwrap();
    assert_eq!(taken.token, 2);
    assert_eq!(refused(desk.beat(&lease, None).await), "lease-lost");
    assert_eq!(refused(desk.take(&lease, 1).await), "lease-lost");
    desk.let_go(&lease).await.unwrap();
    assert_eq!(desk.hold("acme", &id, "node:a").await.unwrap(), None, "an old lease gives nothing back");
    desk.pause(&US, &id).await.unwrap();
    assert!(desk.beat(&taken, None).await.unwrap().paused);
    assert!(desk.take(&taken, 5).await.unwrap().orders.is_empty());
    desk.cancel(&US, &id).await.unwrap();
    assert!(desk.beat(&taken, None).await.unwrap().cancel_requested);
    assert_eq!(desk.hold("acme", &id, "node:c").await.unwrap(), None);
    assert!(desk.take(&taken, 5).await.unwrap().orders.is_empty());
}

async fn trouble_with_the_provider_is_no_progress(at: TestDatabase) {
    let scene = Scene::on(at);
    let desk = &scene.desk;
    let slow = RunText { calls_per_second: Some(0.1), ..twilio() };
    let id = scene.started(&slow, 3).await;
    let lease = scene.hold(&id).await;
    let begin_ms = scene.now_ms();
    // Every 10 s it tries, and is told: not now.
    while scene.now_ms() < begin_ms + FAIL_MS {
        if let Some(order) = desk.take(&lease, 1).await.unwrap().orders.pop() {
            assert!(
                desk.give_back(&lease, &order.job_id, (order.attempt, order.placing_ms), "429: too many")
                    .await
                    .unwrap()
            );
        }
        assert_eq!(desk.reap().await.unwrap().failed, 0);
        scene.clock.advance(2_000);
        desk.beat(&lease, Some("429: too many")).await.unwrap();
    }
    assert_eq!(desk.reap().await.unwrap().failed, 1);
    let shown = scene.show(&id).await;
    assert_eq!((shown.row.last_error.as_deref(), shown.counts.failed), (Some("429: too many"), 3));
    assert_eq!(refused(desk.beat(&lease, None).await), "run-state");
    let ledger = scene.ledger(&id).await;
    assert_eq!(ledger.taken, ledger.released);
}

/// One answer is lost, its call turns up and lasts: the only slot is not free for a try.
async fn a_troubled_run_that_waits_for_its_calls_lives(at: TestDatabase) {
    let scene = Scene::on(at);
    let desk = &scene.desk;
    let id = scene.started(&RunText { calls_at_once: Some(1), ..twilio() }, 2).await;
    let lease = scene.hold(&id).await;
    let order = desk.take(&lease, 1).await.unwrap().orders.pop().unwrap();
    assert!(desk.lose("acme", &order.job_id, (1, order.placing_ms), lease.token, "no answer in time").await.unwrap());
    let begin_ms = scene.now_ms();
    scene.clock.advance(2_000);
    desk.beat(&lease, Some("no answer in time")).await.unwrap();
    assert_eq!(scene.show(&id).await.row.progress_ms, Some(begin_ms), "a try in vain is no progress");
    scene.follow(&order.job_id, "live", None).await;
    while scene.now_ms() < begin_ms + 2 * FAIL_MS {
        scene.clock.advance(STALE_MS / 2);
        desk.beat(&lease, Some("no answer in time")).await.unwrap();
        assert_eq!(desk.reap().await.unwrap().failed, 0);
    }
    scene.follow(&order.job_id, "done", Some("completed")).await;
    let ended_ms = scene.now_ms();
    assert_eq!(desk.reap().await.unwrap().failed, 0, "now it can be tried again");
    while scene.now_ms() < ended_ms + FAIL_MS {
        assert_eq!(desk.reap().await.unwrap().failed, 0);
        scene.clock.advance(STALE_MS / 2);
        desk.beat(&lease, Some("no answer in time")).await.unwrap();
    }
    assert_eq!(desk.reap().await.unwrap().failed, 1, "and was not");
}

async fn what_is_claimed_is_checked(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 1).await;
    for (worker, max) in
        [(None, None), (Some(""), None), (Some("a\nb"), None), (Some("w"), Some(-1)), (Some("w"), Some(101))]
    {
        let text = ClaimText { worker: worker.map(str::to_owned), max, token: None };
        assert_eq!(refused(scene.desk.claim("acme", &id, &text).await), "fields", "{text:?}");
    }
    assert_eq!(refused(scene.claim("run_none", "w", 1).await), "not-found");
}

async fn two_desks_at_once_give_one_lease(at: TestDatabase) {
    let scene = Scene::on(at);
    let node = scene.at.another_node().await;
    let other = desk_on(&node, &scene.clock, 2);
    for _ in 0..5 {
        let id = scene.started(&external(), 3).await;
        let text = |name: &str| ClaimText { worker: Some(name.into()), max: Some(3), token: None };
        let (one, two) = (text("one"), text("two"));
        let (a, b) = tokio::join!(scene.desk.claim("acme", &id, &one), other.claim("acme", &id, &two));
        let refusals: Vec<_> = [&a, &b].into_iter().filter_map(|claimed| claimed.as_ref().err().map(kind)).collect();
        assert_eq!(refusals, ["lease-held"], "{a:?} {b:?}");
        assert_eq!(scene.show(&id).await.row.token, 1);
        scene.desk.force_cancel(&US, &id, false).await.unwrap();
        scene.settled(&id, 1).await;
    }
    let id = scene.started(&twilio(), 3).await;
    let (a, b) = tokio::join!(scene.desk.hold("acme", &id, "node:a"), other.hold("acme", &id, "node:b"));
    assert_eq!([a.unwrap(), b.unwrap()].into_iter().flatten().count(), 1);
    node.close().await;
}
