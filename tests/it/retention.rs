//! What is kept how long, through the front doors: nothing that lives or waits is lost, and what comes after its time does
//! no harm.

use crate::support::{
    database::{TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, START_MS, config, on_both_gateways},
};
use onhook::{
    check::{self, Report},
    clock::ManualClock,
    domain::{
        id::Leg,
        signal::{Claim, Signal, Weak, Witness},
        state::{HangupCause, Outcome},
        time::{DAY, MINUTE, SECOND, rfc2822},
    },
    housekeeping::{Keep, Retention, Walk},
    ingest::{Ingest, Parts, Submission},
    store::{
        Db,
        calls::LegKey,
        deliveries::{self, DeliveryKey, DeliveryRow, UNAPPLIED},
        health,
        journal::{self, CALL, NewEntry},
        retention, signals,
    },
    telemetry::Metrics,
};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

on_both_gateways!(
    what_was_kept_long_enough_goes,
    a_callback_that_is_delivered_again_after_its_time_changes_nothing,
    a_late_callback_to_a_pruned_call_still_counts,
    webhooks_are_answered_while_everything_is_pruned,
    a_walk_that_is_cut_off_between_two_batches_is_taken_up_by_the_next_one,
    two_nodes_may_prune_at_once,
);
on_both!(the_journal_is_kept_until_it_is_counted);

const KEEP: Keep = Keep { deliveries_ms: 30 * DAY, journal_ms: 90 * DAY, audit_ms: 400 * DAY };

fn pruner(db: &Db, clock: &ManualClock, pause: Duration) -> Retention {
    Retention { db: db.clone(), clock: clock.shared(), metrics: Metrics::new(), keep: KEEP, pause }
}

fn of(gateway: &Gateway) -> Retention {
    pruner(&gateway.db, &gateway.clock, Duration::ZERO)
}

/// A whole walk; how many rows went.
async fn walk(retention: &Retention) -> u64 {
    let (mut walk, mut gone) = (Walk::default(), 0);
    while !walk.is_over() {
        gone += retention.advance(&mut walk).await.unwrap();
    }
    gone
}

fn sid(n: usize) -> String {
    format!("CA{n:032x}")
}

/// A callback with Twilio's own time of it.
async fn callback(gateway: &Gateway, n: usize, status: &str, sequence: &str, at_ms: i64) {
    let (sid, at) = (sid(n), rfc2822(at_ms));
    let usual = [("CallSid", sid.as_str()), ("AccountSid", ACCOUNT), ("CallStatus", status), ("Timestamp", &at)];
    let more = [("From", "+14155550100"), ("To", "+14155550101"), ("SequenceNumber", sequence), ("CallDuration", "3")];
    let parameters: Vec<_> = usual.into_iter().chain(more).collect();
    assert_eq!(gateway.callback("lead_id=lead-1", &parameters).await.status(), 204);
}

/// All callbacks of a call that began when the test did.
async fn whole_call(gateway: &Gateway, n: usize) {
    for (at, status) in (0_i32..).zip(["initiated", "ringing", "in-progress", "completed"]) {
        callback(gateway, n, status, &at.to_string(), START_MS + i64::from(at) * SECOND).await;
    }
}

async fn signals_of(gateway: &Gateway, n: usize) -> usize {
    signals::list_of_call(&gateway.db, "default", ACCOUNT, &sid(n)).await.unwrap().len()
}

async fn checked(gateway: &Gateway) -> Report {
    let rules = onhook::app::rules(&config("sqlite://nowhere.db", &[]));
    let report = check::check(&gateway.db, &rules).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    report
}

/// The call without what counts deliveries.
async fn call(gateway: &Gateway, n: usize) -> Value {
    let mut call = gateway.get(&format!("/v1/calls/{}", sid(n))).await;
    for field in ["deliveries", "last_signal_at"] {
        call.as_object_mut().unwrap().remove(field);
    }
    call
}

/// What no webhook says: that a call was given up.
async fn give_up(gateway: &Gateway, n: usize, now_ms: i64) {
    let (ingest, writer) = Ingest::new(Parts {
        db: gateway.db.clone(),
        clock: gateway.clock.shared(),
        rng: StdRng::seed_from_u64(n as u64),
        rules: onhook::app::rules(&config("sqlite://nowhere.db", &[])),
        metrics: gateway.metrics.clone(),
    });
    tokio::spawn(writer.run());
    let weak = Weak {
        decided_ms: now_ms,
        floor_ms: None,
        cause: HangupCause::ALL[0],
        if_answered: Outcome::Completed,
        stated_end_ms: None,
    };
    let signal = Signal {
        leg: Leg { provider_id: sid(n), account: ACCOUNT.into() },
        witness: Witness::Inferred,
        claim: Claim::GivenUp(weak),
        at: None,
        sequence: None,
        details: Default::default(),
        link: None,
        received_ms: now_ms,
    };
    let submission = Submission {
        tenant: "default".into(),
        provider: "twilio",
        delivery: None,
        signals: vec![signal],
        ask: Vec::new(),
        decision: None,
    };
    ingest.submit(submission).await.unwrap();
}

async fn what_was_kept_long_enough_goes(gateway: Gateway) {
    whole_call(&gateway, 1).await;
    callback(&gateway, 2, "ringing", "0", START_MS).await;
    let stuck = DeliveryRow {
        tenant: "default".into(),
        provider_id: sid(3),
        account: ACCOUNT.into(),
        id: "dlv_stuck".into(),
        source: "twilio/status".into(),
        method: "POST".into(),
        query: Vec::new(),
        body: b"?".to_vec(),
        received_ms: START_MS,
        verified: true,
        state: UNAPPLIED.into(),
        reason: Some("a trigger".into()),
        attempts: 1,
        // Not while the test runs: the gateway would try to read it.
        retry_at_ms: Some(START_MS + 9_000 * DAY),
    };
    let mut tx = gateway.db.begin().await.unwrap();
    deliveries::insert_unapplied(&mut tx, &stuck).await.unwrap();
    tx.commit().await.unwrap();
    let before = gateway.get(&format!("/v1/calls/{}", sid(1))).await;

    gateway.clock.advance(30 * DAY - MINUTE);
    assert_eq!(walk(&of(&gateway)).await, 0, "everything is younger than 30 days");
    gateway.clock.advance(2 * MINUTE);
    callback(&gateway, 4, "busy", "0", START_MS + 30 * DAY).await;
    let retention = of(&gateway);
    assert_eq!(
        walk(&retention).await,
        4 + 5,
        "four signals of the call that ended; all old deliveries that are applied"
    );
    assert_eq!(walk(&retention).await, 0);
    for line in [r#"onhook_pruned_rows_total{table="signal"} 4"#, r#"onhook_pruned_rows_total{table="delivery"} 5"#] {
        assert!(retention.metrics.render().lines().any(|found| found == line), "{line}");
    }
    assert_eq!(
        (signals_of(&gateway, 1).await, signals_of(&gateway, 2).await),
        (0, 1),
        "a live call keeps what it said"
    );
    assert_eq!(signals_of(&gateway, 4).await, 1);
    assert_eq!(deliveries::list_unapplied(&gateway.db, 9).await.unwrap(), *std::slice::from_ref(&stuck));

    assert_eq!(gateway.get(&format!("/v1/calls/{}", sid(1))).await, before);
    assert_eq!(gateway.get(&format!("/v1/calls/{}/deliveries", sid(1))).await["data"], json!([]));
    assert_eq!(gateway.get(&format!("/v1/calls/{}/timeline", sid(1))).await["data"].as_array().unwrap().len(), 4);
    assert_eq!(gateway.get(&format!("/v1/calls/{}/legs", sid(1))).await["data"].as_array().unwrap().len(), 1);
    let rules = onhook::app::rules(&config("sqlite://nowhere.db", &[]));
    let report = check::check(&gateway.db, &rules).await.unwrap();
    assert_eq!((report.pruned, report.calls, report.findings.len()), (1, 2, 1), "only what is unapplied: {report:?}");

    // The timeline, too, once its time has come and it is counted.
    let last = journal::list_after(&gateway.db, 0, 99).await.unwrap().last().unwrap().seq;
    let cursor = health::cursor(&gateway.db).await.unwrap();
    let mut tx = gateway.db.begin().await.unwrap();
    health::advance(&mut tx, cursor, last).await.unwrap();
    tx.commit().await.unwrap();
    gateway.clock.advance(61 * DAY);
    assert!(walk(&of(&gateway)).await >= 5);
    assert_eq!(gateway.get(&format!("/v1/calls/{}/timeline", sid(1))).await["data"], json!([]));
}

async fn a_callback_that_is_delivered_again_after_its_time_changes_nothing(gateway: Gateway) {
    whole_call(&gateway, 1).await;
    callback(&gateway, 2, "ringing", "0", START_MS).await;
    gateway.clock.advance(MINUTE);
    give_up(&gateway, 2, START_MS + MINUTE).await;
    let before = (call(&gateway, 1).await, call(&gateway, 2).await);
    assert_eq!((&before.0["status"], &before.1["status"]), (&json!("completed"), &json!("failed")));
    let lead = json!({"id": "lead-1"});
    assert_eq!(gateway.ask(Method::POST, "/v1/leads", Some(lead)).await.0, 201);
    let contacts = gateway.get("/v1/leads/lead-1").await["contact_count"].clone();

    gateway.clock.advance(31 * DAY);
    assert!(walk(&of(&gateway)).await > 5);
    // Twice, a moment apart, in another order; then once more after those were pruned as well.
    for days in [0, 0, 31] {
        gateway.clock.advance(days * DAY + SECOND);
        walk(&of(&gateway)).await;
        for (sequence, status) in [("3", "completed"), ("1", "ringing"), ("0", "initiated"), ("2", "in-progress")] {
            let at = START_MS + sequence.parse::<i64>().unwrap() * SECOND;
            callback(&gateway, 1, status, sequence, at).await;
        }
        callback(&gateway, 2, "ringing", "0", START_MS).await;
        assert_eq!((call(&gateway, 1).await, call(&gateway, 2).await), before, "after {days} more days");
        assert_eq!(gateway.get("/v1/leads/lead-1").await["contact_count"], contacts);
        assert_eq!(checked(&gateway).await.pruned, 2);
    }
}

async fn a_late_callback_to_a_pruned_call_still_counts(gateway: Gateway) {
    callback(&gateway, 1, "in-progress", "1", START_MS).await;
    gateway.clock.advance(MINUTE);
    give_up(&gateway, 1, START_MS + MINUTE).await;
    whole_call(&gateway, 2).await;
    gateway.clock.advance(31 * DAY);
    walk(&of(&gateway)).await;
    callback(&gateway, 1, "completed", "2", START_MS + 5 * SECOND).await;
    let told = call(&gateway, 1).await;
    assert_eq!((&told["status"], &told["resolution"]), (&json!("completed"), &json!("callback")));
    assert!(told["ended_at"].as_str().unwrap() < "2026-01-02T03:06", "it did not end a month later: {told}");
    // A fact that nobody had told before.
    let sid = sid(2);
    let usual = [("CallSid", sid.as_str()), ("AccountSid", ACCOUNT), ("CallStatus", "completed")];
    let more = [("CallbackSource", "call-progress-events"), ("SequenceNumber", "3"), ("AnsweredBy", "human")];
    let parameters: Vec<_> = usual.into_iter().chain(more).collect();
    assert_eq!(gateway.callback("", &parameters).await.status(), 204);
    assert_eq!(call(&gateway, 2).await["answered_by"], "human");
    assert_eq!(checked(&gateway).await.pruned, 2);
}

async fn webhooks_are_answered_while_everything_is_pruned(gateway: Gateway) {
    for n in 0..40 {
        whole_call(&gateway, n).await;
    }
    gateway.clock.advance(31 * DAY);
    let now_ms = START_MS + 31 * DAY;
    let retention = of(&gateway);
    let pruning = walk(&retention);
    let sending = async {
        for n in 0..40 {
            // To calls that are being pruned, and to new ones.
            callback(&gateway, n, "completed", "9", now_ms).await;
            callback(&gateway, 100 + n, "ringing", "0", now_ms).await;
        }
    };
    let (gone, ()) = tokio::join!(pruning, sending);
    assert!(gone > 0);
    checked(&gateway).await;
    for n in 0..40 {
        assert_eq!(call(&gateway, n).await["status"], "completed");
        assert_eq!(call(&gateway, 100 + n).await["status"], "ringing");
    }
}

async fn a_walk_that_is_cut_off_between_two_batches_is_taken_up_by_the_next_one(gateway: Gateway) {
    for n in 0..60 {
        whole_call(&gateway, n).await;
    }
    gateway.clock.advance(31 * DAY);
    // It pauses for longer than the test lasts after its first transaction, and is dropped there.
    let cut = pruner(&gateway.db, &gateway.clock, Duration::from_secs(3_600));
    let first = r#"onhook_pruned_rows_total{table="signal"} 0"#;
    let until_first = async {
        while cut.metrics.render().lines().any(|line| line == first) {
            tokio::task::yield_now().await;
        }
    };
    let mut place = Walk::default();
    tokio::select! {
        _ = cut.advance(&mut place) => panic!("it does not pause"),
        () = until_first => {}
    }
    assert_eq!(place, Walk::default(), "a slice that was cut off counts for nothing");
    let pruned = checked(&gateway).await.pruned;
    assert!((1..60).contains(&pruned), "{pruned}");
    walk(&of(&gateway)).await;
    assert_eq!((checked(&gateway).await.pruned, checked(&gateway).await.calls), (60, 0));
    let start = LegKey { tenant: String::new(), provider_id: String::new(), account: String::new() };
    assert_eq!(retention::list_legs(&gateway.db, &start, 9).await.unwrap(), []);
    let start =
        DeliveryKey { tenant: String::new(), provider_id: String::new(), account: String::new(), id: String::new() };
    assert_eq!(retention::list_deliveries(&gateway.db, &start, 9).await.unwrap(), []);
}

async fn two_nodes_may_prune_at_once(gateway: Gateway) {
    for n in 0..30 {
        whole_call(&gateway, n).await;
    }
    gateway.clock.advance(31 * DAY);
    let (one, other) = (of(&gateway), of(&gateway));
    let (one, other) = tokio::join!(walk(&one), walk(&other));
    assert_eq!(one + other, 30 * 8, "each row is taken away once");
    assert_eq!(checked(&gateway).await.pruned, 30);
}

async fn the_journal_is_kept_until_it_is_counted(at: TestDatabase) {
    let clock = ManualClock::new(START_MS);
    let entry = |at_ms| NewEntry { tenant: "acme".into(), kind: CALL, subject: "c".into(), at_ms, what: "{}".into() };
    // More than one slice, with entries of a clock that was years ahead among the oldest.
    let mut entries: Vec<NewEntry> = (0..150).map(|_| entry(START_MS + 4_000 * DAY)).collect();
    entries.extend((0..250).map(|_| entry(START_MS)));
    entries.extend((0..10).map(|_| entry(START_MS + 80 * DAY)));
    let mut tx = at.db.begin().await.unwrap();
    journal::append(&mut tx, &entries).await.unwrap();
    tx.commit().await.unwrap();
    clock.advance(91 * DAY);
    let retention = pruner(&at.db, &clock, Duration::ZERO);
    assert_eq!(walk(&retention).await, 0, "nothing is counted yet");
    let all = journal::list_after(&at.db, 0, 999).await.unwrap();
    let counted = all[300].seq;
    let mut tx = at.db.begin().await.unwrap();
    health::advance(&mut tx, 0, counted).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(walk(&retention).await, 151);
    let left = journal::list_after(&at.db, 0, 999).await.unwrap();
    assert_eq!((left.len(), left[150].seq), (150 + 99 + 10, counted + 1), "the follower misses nothing");
}
