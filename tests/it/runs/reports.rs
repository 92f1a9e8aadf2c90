//! What came of placing a job: reports of the user's own dialer, and facts that ours tells.

use super::office::{PBX, STALE_MS, Scene, TWILIO, US, external, people, refused, sid, twilio};
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    domain::{
        signal::{Claim, Field, LinkRank, Witness},
        state::Live,
    },
    runs::{ReportText, RetryText, RunText},
};

on_both! {
    a_job_is_reserved_placing_and_placed,
    a_call_is_told_once_and_is_one,
    what_failed_is_tried_again_only_where_that_was_asked_for,
    reports_are_checked,
    facts_hold_whoever_has_the_lease,
    what_is_given_back_waits_as_if_it_had_not_been_taken,
    what_is_told_twice_does_not_meet_the_next_taking,
    what_is_given_back_to_a_run_that_is_over_is_over,
}

async fn a_job_is_reserved_placing_and_placed(at: TestDatabase) {
    let scene = Scene::on(at);
    let mut jobs = people(1);
    jobs[0].lead_id = Some("lead-1".into());
    let id = scene.create(&external(), &jobs).await.run.row.id;
    scene.desk.start(&US, &id).await.unwrap();
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    let (token, job) = (claimed.token, &claimed.jobs[0]);
    assert_eq!((job.state.as_str(), job.attempt, job.token), ("queued", 0, Some(token)));
    assert_eq!(scene.ledger(&id).await.taken, 1, "its slot is taken before anybody is asked");
    for _ in 0..2 {
        let placing = scene.report(job, token, "placing", None).await.unwrap();
        assert_eq!((placing.job.state.as_str(), placing.job.attempt), ("placing", 1));
        assert!(placing.submission.is_none());
    }
    for _ in 0..2 {
        let placed = scene.report(job, token, "placed", Some(1)).await.unwrap();
        assert_eq!((placed.job.state.as_str(), placed.job.provider_id), ("placed", Some(sid(1))));
        let submission = placed.submission.unwrap();
        assert_eq!((submission.tenant.as_str(), submission.provider), ("acme", "twilio"));
        let signal = &submission.signals[0];
        assert_eq!((signal.leg.provider_id.clone(), signal.leg.account.as_str()), (sid(1), TWILIO));
        assert_eq!((signal.witness, &signal.claim, signal.at), (Witness::Reconciled, &Claim::Live(Live::Queued), None));
        let detail = |field| signal.details.get(&field).map(String::as_str);
        assert_eq!((detail(Field::JobId), detail(Field::Attempt)), (Some(job.id.as_str()), Some("1")));
        assert_eq!((detail(Field::To), detail(Field::From)), (Some("+14155560000"), Some("+14155550100")));
        assert_eq!(detail(Field::Direction), Some("outbound-api"));
        let link = signal.link.as_ref().unwrap();
        assert_eq!((link.rank, link.lead_id.as_str()), (LinkRank::Job, "lead-1"));
    }
    assert_eq!(refused(scene.report(job, token, "placing", None).await), "run-state");
    assert_eq!(refused(scene.report(job, token, "failed", None).await), "run-state");
    scene.follow(&job.id, "done", Some("completed")).await;
    assert_eq!(scene.report(job, token, "placed", Some(1)).await.unwrap().job.state, "done", "told late, and known");
    scene.settled(&id, 1).await;
}

async fn a_call_is_told_once_and_is_one(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 2).await;
    let token = scene.claim(&id, "w", 1).await.unwrap().token;
    scene.clock.advance(100);
    let jobs = scene.claim_under(&id, "w", 2, Some(token)).await.unwrap().jobs;
    // Without `placing` before.
    let placed = scene.report(&jobs[0], token, "placed", Some(1)).await.unwrap().job;
    assert_eq!((placed.state.as_str(), placed.attempt), ("placed", 1));
    assert_eq!(refused(scene.report(&jobs[0], token, "placed", Some(2)).await), "run-state");
    assert_eq!(scene.jobs(&id).await[0].provider_id, Some(sid(1)));
    // Its callback came first.
    scene.report(&jobs[1], token, "placing", None).await.unwrap();
    scene.follow(&jobs[1].id, "live", None).await;
    assert_eq!(scene.report(&jobs[1], token, "placed", Some(900)).await.unwrap().job.state, "live");
    assert_eq!(refused(scene.report(&jobs[1], token, "placed", Some(3)).await), "run-state");
}

async fn what_failed_is_tried_again_only_where_that_was_asked_for(at: TestDatabase) {
    let scene = Scene::on(at);
    let retry = |on: &[&str]| RetryText {
        attempts: Some(2),
        on: Some(on.iter().map(|word| (*word).to_owned()).collect()),
        after_seconds: Some(60),
    };
    let never = RunText { retry: Some(retry(&["busy"])), ..external() };
    let id = scene.started(&never, 1).await;
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    let failed = scene.report(&claimed.jobs[0], claimed.token, "failed", None).await.unwrap().job;
    assert_eq!(
        (failed.state.as_str(), failed.attempt, failed.error.as_deref()),
        ("failed", 1, Some("the trunk is down"))
    );
    assert!(scene.report(&failed, claimed.token, "failed", None).await.is_ok(), "again is the same");
    assert_eq!(scene.show(&id).await.row.last_error.as_deref(), Some("the trunk is down"));
    scene.settled(&id, 1).await;

    let id = scene.started(&RunText { retry: Some(retry(&["failed"])), ..external() }, 1).await;
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    scene.report(&claimed.jobs[0], claimed.token, "placing", None).await.unwrap();
    let again = scene.report(&claimed.jobs[0], claimed.token, "failed", None).await.unwrap().job;
    assert_eq!((again.state.as_str(), again.attempt, again.due_ms), ("queued", 1, scene.now_ms() + 60_000));
    scene.settled(&id, 1).await;
    scene.clock.advance(59_999);
    assert!(scene.claim_under(&id, "w", 1, Some(claimed.token)).await.unwrap().jobs.is_empty());
    scene.clock.advance(1);
    let second = scene.claim_under(&id, "w", 1, Some(claimed.token)).await.unwrap();
    let last = scene.report(&second.jobs[0], claimed.token, "failed", None).await.unwrap().job;
    assert_eq!((last.state.as_str(), last.attempt), ("failed", 2));
    scene.settled(&id, 2).await;
}

async fn reports_are_checked(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&external(), 1).await;
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    let job = &claimed.jobs[0];
    let good =
        ReportText { token: Some(claimed.token), state: Some("placed".into()), provider_id: Some(sid(1)), error: None };
    for bad in [
        ReportText { token: None, ..good.clone() },
        ReportText { state: None, ..good.clone() },
        ReportText { state: Some("done".into()), ..good.clone() },
        ReportText { provider_id: None, ..good.clone() },
        ReportText { provider_id: Some("call-1".into()), ..good.clone() },
        ReportText { state: Some("failed".into()), error: Some("x".repeat(501)), ..good.clone() },
    ] {
        assert_eq!(refused(scene.desk.report("acme", &id, &job.id, &bad).await), "fields", "{bad:?}");
    }
    assert_eq!(refused(scene.desk.report("acme", &id, "job_none", &good).await), "not-found");
    let other = scene.started(&external(), 1).await;
    scene.claim(&other, "w", 1).await.unwrap();
    assert_eq!(refused(scene.desk.report("acme", &other, &job.id, &good).await), "not-found", "of another run");
    let ours = scene.started(&twilio(), 1).await;
    let order = scene.desk.take(&scene.hold(&ours).await, 1).await.unwrap().orders.pop().unwrap();
    assert_eq!(refused(scene.desk.report("acme", &ours, &order.job_id, &good).await), "run-state");
    assert_eq!(scene.states(&id).await, ["reserved"]);
    // A PBX names its calls as it likes.
    let pbx = RunText { worker: Some("external".into()), account: Some(PBX.into()), ..RunText::default() };
    let id = scene.started(&pbx, 1).await;
    let claimed = scene.claim(&id, "w", 1).await.unwrap();
    let named = ReportText { token: Some(claimed.token), provider_id: Some("1767.5".into()), ..good };
    let reported = scene.desk.report("acme", &id, &claimed.jobs[0].id, &named).await.unwrap();
    assert_eq!(reported.submission.unwrap().provider, "asterisk");
}

async fn facts_hold_whoever_has_the_lease(at: TestDatabase) {
    let scene = Scene::on(at);
    let desk = &scene.desk;
    let id = scene.started(&twilio(), 4).await;
    let lease = scene.hold(&id).await;
    scene.clock.advance(1_000);
    let orders = desk.take(&lease, 4).await.unwrap().orders;
    scene.clock.advance(STALE_MS);
    desk.hold("acme", &id, "node:b").await.unwrap().unwrap();
    assert_eq!(scene.states(&id).await, ["placing"; 4], "what may have a call is not taken back");
    let job = |n: usize| orders[n].job_id.as_str();
    let taken_ms = orders[0].placing_ms;
    let of = (1, taken_ms);
    let others = [(2, taken_ms), (0, taken_ms), (1, taken_ms + 1), (1, taken_ms - 1)];
    for (taking, token) in others.map(|taking| (taking, lease.token)).into_iter().chain([(of, lease.token + 1)]) {
        assert!(!desk.refuse("acme", job(0), taking, token, "no").await.unwrap(), "of another attempt");
        assert!(!desk.lose("acme", job(0), taking, token, "no").await.unwrap());
    }
    assert!(!desk.refuse("other", job(0), of, lease.token, "no").await.unwrap());
    assert!(desk.refuse("acme", job(0), of, lease.token, "21211: not a number").await.unwrap());
    assert!(!desk.refuse("acme", job(0), of, lease.token, "no").await.unwrap(), "once");
    assert!(desk.lose("acme", job(1), of, lease.token, "no answer within 10 s").await.unwrap());
    assert!(desk.give_back(&lease, job(2), of, "429").await.unwrap());
    assert_eq!(scene.states(&id).await, ["failed", "placing", "queued", "placing"]);
    let jobs = scene.jobs(&id).await;
    assert_eq!(jobs[0].error.as_deref(), Some("21211: not a number"));
    assert_eq!((jobs[1].lost_ms, jobs[2].attempt, jobs[2].token), (Some(scene.now_ms()), 0, None));
    assert!(desk.settle_unknown("acme", job(1), of, "none was found").await.unwrap());
    scene.follow(job(3), "live", None).await;
    assert!(!desk.settle_unknown("acme", job(3), of, "none was found").await.unwrap(), "its call turned up");
    assert!(!desk.lose("acme", job(3), of, lease.token, "late").await.unwrap());
    assert_eq!(scene.states(&id).await, ["failed", "unknown", "queued", "live"]);
    let ledger = scene.ledger(&id).await;
    assert_eq!((ledger.taken, ledger.released), (4, 3));
}

async fn what_is_given_back_waits_as_if_it_had_not_been_taken(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&twilio(), 1).await;
    let lease = scene.hold(&id).await;
    let order = scene.desk.take(&lease, 1).await.unwrap().orders.pop().unwrap();
    assert!(scene.desk.give_back(&lease, &order.job_id, (1, order.placing_ms), "429").await.unwrap());
    scene.settled(&id, 1).await;
    scene.clock.advance(1_000);
    let again = scene.desk.take(&lease, 1).await.unwrap().orders.pop().unwrap();
    assert_eq!((again.job_id, again.attempt), (order.job_id, 1));
    let ledger = scene.ledger(&id).await;
    assert_eq!((ledger.taken, ledger.released), (1, 0), "the same slot is held again");
}

/// The answer of the database to the first telling was late, and the job was taken again in the same millisecond.
async fn what_is_told_twice_does_not_meet_the_next_taking(at: TestDatabase) {
    let scene = Scene::on(at);
    let desk = &scene.desk;
    // So fast that what is given back can be taken at once.
    let id = scene.started(&RunText { calls_per_second: Some(50.0), ..twilio() }, 1).await;
    let lease = scene.hold(&id).await;
    scene.clock.advance(1_000);
    let old = desk.take(&lease, 1).await.unwrap().orders.pop().unwrap();
    let taking = (old.attempt, old.placing_ms);
    assert!(desk.give_back(&lease, &old.job_id, taking, "429").await.unwrap());
    let mut last_ms = old.placing_ms;
    for _ in 0..3 {
        let new = desk.take(&lease, 1).await.unwrap().orders.pop().unwrap();
        assert_eq!((&new.job_id, new.attempt), (&old.job_id, old.attempt));
        assert!(new.placing_ms > last_ms, "no two takings have the same time");
        last_ms = new.placing_ms;
        let before = scene.jobs(&id).await;
        assert!(!desk.give_back(&lease, &old.job_id, taking, "429").await.unwrap());
        assert!(!desk.refuse("acme", &old.job_id, taking, lease.token, "no").await.unwrap());
        assert!(!desk.lose("acme", &old.job_id, taking, lease.token, "no").await.unwrap());
        assert!(!desk.settle_unknown("acme", &old.job_id, taking, "no").await.unwrap());
        assert_eq!(scene.jobs(&id).await, before);
        assert!(desk.give_back(&lease, &new.job_id, (new.attempt, new.placing_ms), "429").await.unwrap());
    }
    scene.settled(&id, 1).await;
}

async fn what_is_given_back_to_a_run_that_is_over_is_over(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&twilio(), 2).await;
    let lease = scene.hold(&id).await;
    let order = scene.desk.take(&lease, 1).await.unwrap().orders.pop().unwrap();
    assert_eq!(scene.desk.cancel(&US, &id).await.unwrap().row.state, "cancelling");
    assert!(scene.desk.give_back(&lease, &order.job_id, (1, order.placing_ms), "429").await.unwrap());
    assert_eq!(scene.states(&id).await, ["cancelled", "cancelled"]);
    assert_eq!(scene.desk.reap().await.unwrap().cancelled, 1);
    scene.settled(&id, 1).await;
    let id = scene.started(&twilio(), 1).await;
    let lease = scene.hold(&id).await;
    let order = scene.desk.take(&lease, 1).await.unwrap().orders.pop().unwrap();
    scene.desk.force_cancel(&US, &id, false).await.unwrap();
    assert!(!scene.desk.give_back(&lease, &order.job_id, (1, order.placing_ms), "429").await.unwrap());
    assert!(!scene.desk.refuse("acme", &order.job_id, (1, order.placing_ms), lease.token, "no").await.unwrap());
    assert_eq!(scene.states(&id).await, ["cancelled"]);
    scene.settled(&id, 1).await;
}
