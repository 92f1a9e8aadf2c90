//! What is handed out, and when: pace, slots, due times and numbers not to call.

use super::office::{PBX, SECOND_TWILIO, STALE_MS, START_MS, Scene, US, external, people, twilio};
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    runs::{Jobs, Lease, RunText},
    store::do_not_call::{self, DoNotCallRow},
};

on_both! {
    the_pace_is_kept_for_a_minute,
    nothing_is_made_up_for_after_a_pause_or_a_take_over,
    slots_of_a_run_are_limited,
    slots_of_an_account_and_a_tenant_are_limited,
    jobs_come_when_they_are_due_and_in_order,
    numbers_not_to_call_are_not_called,
    an_order_says_all_that_is_needed,
}

/// Takes whatever may be had now, ends its calls at once, and says how many that were.
async fn dial(scene: &Scene, lease: &Lease) -> usize {
    let orders = scene.desk.take(lease, 50).await.unwrap().orders;
    for order in &orders {
        assert!(
            scene
                .desk
                .refuse("acme", &order.job_id, (order.attempt, order.placing_ms), lease.token, "no")
                .await
                .unwrap()
        );
    }
    orders.len()
}

async fn the_pace_is_kept_for_a_minute(at: TestDatabase) {
    let scene = Scene::on(at);
    let text = RunText { calls_per_second: Some(3.0), ..twilio() };
    let id = scene.started(&text, 300).await;
    let lease = scene.hold(&id).await;
    let mut placed = 0;
    // A dialer that is woken now sooner, now later, than it asked for.
    for n in 0.. {
        if scene.now_ms() >= START_MS + 60_000 {
            break;
        }
        placed += dial(&scene, &lease).await;
        scene.clock.advance([20, 333, 90, 410, 150][n % 5]);
    }
    assert!((171..=189).contains(&placed), "{placed} of 180 within a minute");
    let wait_ms = scene.desk.take(&lease, 1).await.unwrap().wait_ms;
    assert!(wait_ms.is_some_and(|ms| ms <= 334), "{wait_ms:?}");
}

async fn nothing_is_made_up_for_after_a_pause_or_a_take_over(at: TestDatabase) {
    let scene = Scene::on(at);
    let text = RunText { calls_per_second: Some(1.0), ..twilio() };
    let id = scene.started(&text, 50).await;
    let lease = scene.hold(&id).await;
    assert_eq!(dial(&scene, &lease).await, 1);
    assert_eq!(scene.desk.take(&lease, 5).await.unwrap().wait_ms, Some(1_000));
    scene.desk.pause(&US, &id).await.unwrap();
    scene.clock.advance(25_000);
    scene.desk.resume(&US, &id).await.unwrap();
    assert_eq!(dial(&scene, &lease).await, 1, "after a pause");
    scene.clock.advance(STALE_MS * 2);
    let lease = scene.desk.hold("acme", &id, "node:b").await.unwrap().unwrap();
    assert_eq!(dial(&scene, &lease).await, 1, "after a take-over");
    assert_eq!(dial(&scene, &lease).await, 0);
    scene.clock.advance(10_000);
    assert_eq!(dial(&scene, &lease).await, 2, "one interval is made up for, no more");
    let fast = scene.started(&RunText { calls_per_second: Some(50.0), ..external() }, 50).await;
    let token = scene.claim(&fast, "w", 100).await.unwrap().token;
    scene.clock.advance(20_000);
    assert_eq!(scene.claim_under(&fast, "w", 100, Some(token)).await.unwrap().jobs.len(), 5, "its slots");
}

async fn slots_of_a_run_are_limited(at: TestDatabase) {
    let scene = Scene::on(at);
    let id = scene.started(&RunText { calls_at_once: Some(3), ..twilio() }, 10).await;
    let lease = scene.hold(&id).await;
    scene.clock.advance(1_000);
    let taken = scene.desk.take(&lease, 10).await.unwrap();
    assert_eq!((taken.orders.len(), taken.wait_ms), (3, None), "that depends on calls that end");
    assert!(scene.desk.take(&lease, 10).await.unwrap().orders.is_empty());
    scene.follow(&taken.orders[1].job_id, "live", None).await;
    assert!(scene.desk.take(&lease, 10).await.unwrap().orders.is_empty(), "a live call keeps its slot");
    scene.follow(&taken.orders[1].job_id, "done", Some("busy")).await;
    assert_eq!(scene.desk.take(&lease, 10).await.unwrap().orders.len(), 1);
    let lost = &taken.orders[0];
    assert!(scene.desk.lose("acme", &lost.job_id, (1, lost.placing_ms), lease.token, "no answer").await.unwrap());
    assert!(scene.desk.take(&lease, 10).await.unwrap().orders.is_empty(), "there may be a call");
    assert!(scene.desk.settle_unknown("acme", &lost.job_id, (1, lost.placing_ms), "none was found").await.unwrap());
    assert_eq!(scene.desk.take(&lease, 10).await.unwrap().orders.len(), 1);
}

async fn slots_of_an_account_and_a_tenant_are_limited(at: TestDatabase) {
    let scene = Scene::on(at);
    let take = async |text: &RunText| {
        let id = scene.started(text, 10).await;
        let lease = scene.hold(&id).await;
        scene.clock.advance(1_000);
        scene.desk.take(&lease, 10).await.unwrap().orders.len()
    };
    assert_eq!(take(&twilio()).await, 5);
    assert_eq!(take(&twilio()).await, 1, "6 from one account");
    let other = RunText { account: Some(SECOND_TWILIO.into()), ..twilio() };
    assert_eq!(take(&other).await, 2, "8 of one tenant");
    assert_eq!(take(&other).await, 0);
}

async fn jobs_come_when_they_are_due_and_in_order(at: TestDatabase) {
    let scene = Scene::on(at);
    let mut jobs = people(3);
    jobs[0].not_before = Some(onhook::domain::time::rfc3339(START_MS + 60_000));
    let id = scene.create(&twilio(), &jobs).await.run.row.id;
    scene.desk.start(&US, &id).await.unwrap();
    let lease = scene.hold(&id).await;
    scene.clock.advance(1_000);
    let taken = scene.desk.take(&lease, 10).await.unwrap();
    let to: Vec<_> = taken.orders.iter().map(|order| order.to.as_str()).collect();
    assert_eq!((to, taken.wait_ms), (vec!["+14155560001", "+14155560002"], Some(59_000)));
    scene.clock.set(START_MS + 59_999);
    assert!(scene.desk.take(&lease, 10).await.unwrap().orders.is_empty());
    scene.clock.advance(1);
    assert_eq!(scene.desk.take(&lease, 10).await.unwrap().orders[0].to, "+14155560000");
    assert_eq!(scene.desk.take(&lease, 10).await.unwrap().wait_ms, None);
}

async fn numbers_not_to_call_are_not_called(at: TestDatabase) {
    let scene = Scene::on(at);
    let list = async |number: &str| {
        let row = DoNotCallRow { tenant: "acme".into(), phone_e164: number.into(), reason: None, created_ms: 1 };
        let mut tx = scene.at.db.begin().await.unwrap();
        do_not_call::put(&mut tx, &[row]).await.unwrap();
        tx.commit().await.unwrap();
    };
    list("+14155560001").await;
    let id = scene.create(&twilio(), &people(5)).await.run.row.id;
    let jobs = scene.jobs(&id).await;
    assert_eq!(jobs[1].error.as_deref(), Some("its number is on the do-not-call list"));
    assert_eq!(scene.states(&id).await, ["queued", "cancelled", "queued", "queued", "queued"]);
    // Listed after the import: asked again when it is its turn, and the next one comes in its place.
    list("+14155560000").await;
    list("+14155560003").await;
    scene.desk.start(&US, &id).await.unwrap();
    let lease = scene.hold(&id).await;
    scene.clock.advance(1_000);
    let orders = scene.desk.take(&lease, 2).await.unwrap().orders;
    let to: Vec<_> = orders.iter().map(|order| order.to.as_str()).collect();
    assert_eq!(to, ["+14155560002", "+14155560004"]);
    assert_eq!(scene.states(&id).await, ["cancelled", "cancelled", "placing", "cancelled", "placing"]);
    assert_eq!(scene.ledger(&id).await.taken, 2, "nobody else had a slot");
}

async fn an_order_says_all_that_is_needed(at: TestDatabase) {
    let scene = Scene::on(at);
    let text = RunText {
        account: Some(PBX.into()),
        channel: Some("PJSIP/{to}@trunk".into()),
        context: Some("from-onhook".into()),
        extension: Some("s".into()),
        timeout_seconds: Some(20),
        ..RunText::default()
    };
    let csv = b"to,lead_id,user_id\n*43,lead-1,ann\n";
    let id = scene.desk.create(&US, &text, Jobs::Table(onhook::runs::Format::Csv, csv)).await.unwrap().run.row.id;
    scene.desk.start(&US, &id).await.unwrap();
    let lease = scene.hold(&id).await;
    assert_eq!((lease.provider.as_str(), lease.account.as_str()), ("asterisk", PBX));
    let order = scene.desk.take(&lease, 1).await.unwrap().orders.pop().unwrap();
    assert_eq!((order.attempt, order.to.as_str(), order.lead_id.as_deref()), (1, "*43", Some("lead-1")));
    assert_eq!((order.user_id.as_deref(), order.placing_ms), (Some("ann"), scene.now_ms()));
    assert_eq!(
        (order.settings.channel.as_deref(), order.settings.timeout_seconds),
        (Some("PJSIP/{to}@trunk"), Some(20))
    );
    let job = scene.jobs(&id).await.pop().unwrap();
    assert_eq!((job.state.as_str(), job.token, job.placing_ms), ("placing", Some(lease.token), Some(scene.now_ms())));
    let (row, again) = scene.desk.order_of(&job).await.unwrap().unwrap();
    assert_eq!((row.id, again), (id, order));
}
