//! The writer under trouble: duplicates within a batch, two nodes, a trigger that raises, a database that goes away.

use crate::support::{
    database::{Place, TestDatabase, on_both},
    gateway::{ACCOUNT, Gateway, START_MS},
};
use onhook::{
    clock::ManualClock,
    domain::{
        deadline::Limits,
        id::Leg,
        lead::ContactPolicy,
        signal::{Claim, Field, Link, LinkRank, Signal, Told, Witness},
        state::{HangupCause, Live, Outcome},
    },
    ingest::{AT_ONCE_MAX, Ingest, Parts, Received, Reread, Rules, Submission, SubmitError, Submitted},
    store::{Db, calls, contacts, deliveries, outbox, signals},
    telemetry::Metrics,
};
use rand::{SeedableRng, rngs::StdRng};
use sqlx::Executor;
use std::{collections::BTreeMap, time::Duration};

on_both!(
    copies_within_one_batch_count_once,
    a_copy_received_earlier_folds_the_call_anew,
    of_copies_in_one_batch_the_earliest_counts,
    two_nodes_converge_on_one_conversation,
    a_corrected_conversation_alternates_its_effects,
    an_announcement_is_used_up_by_the_call_it_announced,
    every_live_call_is_due,
);

pub const CALL: &str = "CA00000000000000000000000000000042";

/// One request waits once, however much it brings.
#[tokio::test]
async fn submissions_of_one_request_have_one_deadline() {
    let at = TestDatabase::sqlite().await;
    let (ingest, _never_runs) = Ingest::new(Parts {
        db: at.db.clone(),
        clock: ManualClock::new(START_MS).shared(),
        rng: StdRng::seed_from_u64(1),
        rules: rules(),
        metrics: Metrics::new(),
    });
    let nothing = || Submission {
        tenant: "default".into(),
        provider: "twilio",
        delivery: None,
        signals: Vec::new(),
        ask: Vec::new(),
        decision: None,
    };
    let results = ingest.submit_all((0..600).map(|_| nothing()).collect(), Duration::from_millis(100)).await;
    assert_eq!(results.len(), 600);
    assert!(results.iter().all(|result| matches!(result, Err(SubmitError::Unavailable(_)))), "{results:?}");
    assert_eq!(ingest.waiting(), AT_ONCE_MAX, "what had to wait for the first ones is not queued up any more");
}

/// A door with a writer of its own, as another node would have.
pub fn node(db: &Db, seed: u64) -> (Ingest, ManualClock) {
    let clock = ManualClock::new(START_MS);
    let (ingest, writer) = Ingest::new(Parts {
        db: db.clone(),
        clock: clock.shared(),
        rng: StdRng::seed_from_u64(seed),
        rules: rules(),
        metrics: Metrics::new(),
    });
    tokio::spawn(writer.run());
    (ingest, clock)
}

fn rules() -> Rules {
    let hour = 3_600_000;
    let limits = Limits {
        check_queued_ms: hour,
        check_ringing_ms: hour,
        check_answered_ms: hour,
        stuck_warn_ms: hour,
        stuck_critical_ms: hour,
        stuck_ringing_warn_ms: hour,
        stuck_ringing_critical_ms: hour,
        give_up_queued_ms: hour,
        give_up_ringing_ms: hour,
        give_up_answered_ms: hour,
        timeout_ringing_ms: hour,
        timeout_answered_ms: hour,
    };
    Rules { limits, contact: ContactPolicy::default() }
}

pub fn signal(call: &str, claim: Claim, at: Option<i64>, parent: Option<&str>) -> Signal {
    let mut details = BTreeMap::from([(Field::Direction, "outbound-api".to_owned())]);
    if let Some(parent) = parent {
        details.insert(Field::ParentId, parent.to_owned());
    }
    Signal {
        leg: Leg { provider_id: call.to_owned(), account: ACCOUNT.to_owned() },
        witness: Witness::Callback,
        claim,
        at,
        sequence: None,
        details,
        link: Some(Link { rank: LinkRank::Url, lead_id: "lead-1".to_owned() }),
        received_ms: START_MS,
    }
}

pub fn completed(seconds: i64) -> Claim {
    Claim::Ended(Told { outcome: Outcome::Completed, seconds: Some(seconds), cause: HangupCause::Normal })
}

pub fn submission(signal: Signal, body: &str) -> Submission {
    let received = Received {
        tenant: "default",
        account: ACCOUNT,
        provider_id: &signal.leg.provider_id,
        source: "twilio/status",
        method: "POST",
        query: b"",
        body: body.as_bytes(),
        parameters: body.as_bytes(),
        received_ms: signal.received_ms,
        verified: true,
    };
    Submission {
        tenant: "default".into(),
        provider: "twilio",
        delivery: Some(received.row()),
        signals: vec![signal],
        ask: Vec::new(),
        decision: None,
    }
}

async fn the_call(db: &Db, id: &str) -> calls::CallRow {
    calls::find(db, "default", id, None).await.unwrap().remove(0)
}

async fn copies_within_one_batch_count_once(at: TestDatabase) {
    let (ingest, _) = node(&at.db, 1);
    let one = submission(signal(CALL, Claim::Live(Live::Ringing), None, None), "a");
    let results = futures(&ingest, vec![one.clone(), one.clone(), one.clone()]).await;
    assert_eq!(results.iter().filter(|r| **r == Submitted::Stored).count(), 1, "{results:?}");
    assert_eq!(results.iter().filter(|r| **r == Submitted::Repeated).count(), 2);
    // Other bytes that say the same: another delivery, the same signal.
    ingest.submit(submission(signal(CALL, Claim::Live(Live::Ringing), None, None), "b")).await.unwrap();
    let row = the_call(&at.db, CALL).await;
    assert_eq!((row.deliveries, row.repeats), (2, 3));
    assert_eq!(signals::list_of_call(&at.db, "default", ACCOUNT, CALL).await.unwrap().len(), 1);
}

async fn futures(ingest: &Ingest, submissions: Vec<Submission>) -> Vec<Submitted> {
    let tasks: Vec<_> = submissions
        .into_iter()
        .map(|s| {
            let ingest = ingest.clone();
            tokio::spawn(async move { ingest.submit(s).await.unwrap() })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// Untold times count from the receipt, so a copy that was received earlier (redriven, spooled) changes them.
async fn a_copy_received_earlier_folds_the_call_anew(at: TestDatabase) {
    let (ingest, _) = node(&at.db, 1);
    let late = Signal { received_ms: START_MS + 9_000, ..signal(CALL, completed(4), None, None) };
    let early = Signal { received_ms: START_MS + 5_000, ..late.clone() };
    ingest.submit(submission(late, "late")).await.unwrap();
    assert_eq!(the_call(&at.db, CALL).await.ended_at_ms, Some(START_MS + 9_000));
    ingest.submit(submission(early, "early")).await.unwrap();
    let row = the_call(&at.db, CALL).await;
    assert_eq!((row.ended_at_ms, row.created_at_ms), (Some(START_MS + 5_000), START_MS + 5_000));
    assert_eq!(row.answered_at_ms, Some(START_MS + 1_000));
}

/// Requests are queued in another order than they were received in: the row must be what its stored signals fold to.
async fn of_copies_in_one_batch_the_earliest_counts(at: TestDatabase) {
    let (ingest, writer) = Ingest::new(Parts {
        db: at.db.clone(),
        clock: ManualClock::new(START_MS).shared(),
        rng: StdRng::seed_from_u64(1),
        rules: rules(),
        metrics: Metrics::new(),
    });
    let late = Signal { received_ms: START_MS + 9_000, ..signal(CALL, completed(4), None, None) };
    let early = Signal { received_ms: START_MS + 5_000, ..late.clone() };
    let mut waiting = Vec::new();
    for (place, signal) in [late, early].into_iter().enumerate() {
        let door = ingest.clone();
        waiting.push(tokio::spawn(async move { door.submit(submission(signal, &place.to_string())).await.unwrap() }));
        while ingest.waiting() <= place {
            tokio::task::yield_now().await;
        }
    }
    // Only now is there a writer: it takes both in one batch, the late one first.
    tokio::spawn(writer.run());
    for submitted in waiting {
        assert_eq!(submitted.await.unwrap(), Submitted::Stored);
    }
    let row = the_call(&at.db, CALL).await;
    assert_eq!((row.ended_at_ms, row.created_at_ms), (Some(START_MS + 5_000), START_MS + 5_000));
    let report = onhook::check::check(&at.db, &rules()).await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}

async fn two_nodes_converge_on_one_conversation(at: TestDatabase) {
    let other = at.another_node().await;
    let nodes = [node(&at.db, 1).0, node(&other, 2).0];
    let parent = |n: usize| format!("CA{n:032x}");
    let child = |n: usize| format!("CA{:032x}", n + 1_000);
    let mut tasks = Vec::new();
    for n in 0..40 {
        let (p, c) = (parent(n), child(n));
        let said = [
            signal(&p, Claim::Live(Live::Answered), Some(START_MS), None),
            signal(&c, Claim::Live(Live::Ringing), Some(START_MS), Some(&p)),
            signal(&c, Claim::Live(Live::Answered), Some(START_MS + 1_000), Some(&p)),
            signal(&c, completed(7), Some(START_MS + 8_000), Some(&p)),
            signal(&p, completed(9), Some(START_MS + 9_000), None),
        ];
        for (turn, signal) in said.into_iter().enumerate() {
            let ingest = nodes[(n + turn) % 2].clone();
            let body = format!("{n}/{turn}");
            tasks.push(tokio::spawn(async move { ingest.submit(submission(signal, &body)).await.unwrap() }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    for n in 0..40 {
        let row = the_call(&at.db, &child(n)).await;
        assert_eq!((row.status.as_str(), row.talk_seconds), ("completed", Some(7)));
        assert_eq!(row.parent_id, Some(parent(n)));
    }
    let contacts = contacts::of_lead(&at.db, "default", "lead-1").await.unwrap();
    assert_eq!(contacts.count, 40, "one contact per conversation, whichever node saw which leg");
    let owed = outbox::list_of_subject(&at.db, "default", "lead-1").await.unwrap();
    let last = owed.iter().filter(|e| e.kind == "lead.contacted").count() as i64
        - owed.iter().filter(|e| e.kind == "lead.contact_corrected").count() as i64;
    assert_eq!(last, 40, "effects alternate and the last one equals the net state");
}

/// A root that is taken for a contact until its dialed leg turns up: the dialed legs are the evidence then.
async fn a_corrected_conversation_alternates_its_effects(at: TestDatabase) {
    let (ingest, _) = node(&at.db, 1);
    let child = "CA00000000000000000000000000000043";
    let said = [
        signal(CALL, completed(9), Some(START_MS + 9_000), None),
        signal(child, Claim::Live(Live::Ringing), Some(START_MS), Some(CALL)),
        signal(child, completed(7), Some(START_MS + 8_000), Some(CALL)),
    ];
    for (turn, signal) in said.into_iter().enumerate() {
        ingest.submit(submission(signal, &turn.to_string())).await.unwrap();
    }
    let owed = outbox::list_of_subject(&at.db, "default", "lead-1").await.unwrap();
    let kinds: Vec<&str> = owed.iter().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["lead.contacted", "lead.contact_corrected", "lead.contacted"]);
    let rows = contacts::list_of_lead(&at.db, "default", "lead-1").await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].active, rows[0].contacted_ms, rows[0].flips), (true, START_MS + 8_000, 3));
    let activity = contacts::list_activity(&at.db, "default", "lead-1", (i64::MAX, ""), 10).await.unwrap();
    assert_eq!(activity.len(), 1);
    assert_eq!((activity[0].outcome.as_str(), activity[0].talk_seconds, activity[0].contact), ("completed", 7, true));
}

/// The user's own trigger refuses one lead: that delivery is kept as unapplied, its neighbours are applied, and it is
/// applied by itself once the trigger is mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_raises_makes_a_delivery_unapplied() {
    let at = TestDatabase::postgres().await;
    let mut own = at.place.postgres_connection().await;
    own.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF new.lead_id = 'lead-13' THEN RAISE EXCEPTION 'no such lead in the CRM'; END IF; RETURN new;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON onhook.contact FOR EACH ROW EXECUTE FUNCTION refuse();",
    )
    .await
    .unwrap();
    let gateway = Gateway::on(&at, &[]).await;
    let end = |call: &str| {
        vec![
            ("CallSid", call.to_owned()),
            ("AccountSid", ACCOUNT.into()),
            ("CallStatus", "completed".into()),
            ("CallDuration", "5".into()),
            ("Direction", "outbound-api".into()),
        ]
    };
    let (bad, good) = (CALL, "CA00000000000000000000000000000043");
    let body = serde_urlencoded::to_string(end(bad)).unwrap();
    let good_body = serde_urlencoded::to_string(end(good)).unwrap();
    let (one, two) = tokio::join!(
        gateway.post_signed(crate::support::gateway::TOKEN, "lead_id=lead-13", body.as_bytes()),
        gateway.post_signed(crate::support::gateway::TOKEN, "lead_id=lead-14", good_body.as_bytes()),
    );
    assert_eq!((one.status().as_u16(), two.status().as_u16()), (204, 204), "a retry would mend nothing");
    let kept = deliveries::list_unapplied(&at.db, 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].reason.as_ref().unwrap().contains("no such lead in the CRM"), "{:?}", kept[0].reason);
    assert_eq!(contacts::of_lead(&at.db, "default", "lead-14").await.unwrap().count, 1);
    assert_eq!(contacts::of_lead(&at.db, "default", "lead-13").await.unwrap().count, 0);

    let (ingest, _) = node(&at.db, 3);
    let reread = Reread { db: at.db.clone(), ingest, clock: gateway.clock.shared() };
    assert_eq!(reread.tick().await.unwrap().looked, 0, "its retry is not due yet");
    gateway.clock.advance(60_000);
    let tried = reread.tick().await.unwrap();
    assert_eq!((tried.looked, tried.applied), (1, 0), "still refused");
    assert_eq!(deliveries::list_unapplied(&at.db, 10).await.unwrap()[0].attempts, 2);
    own.execute("DROP TRIGGER refuse ON onhook.contact").await.unwrap();
    gateway.clock.advance(3_600_000);
    let tried = reread.tick().await.unwrap();
    assert_eq!((tried.looked, tried.applied), (1, 1));
    assert!(deliveries::list_unapplied(&at.db, 10).await.unwrap().is_empty());
    assert_eq!(contacts::of_lead(&at.db, "default", "lead-13").await.unwrap().count, 1);
    assert_eq!(the_call(&at.db, bad).await.deliveries, 1);
}

/// The server goes away while running: 503 with Retry-After, `/readyz` says why, and it recovers by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_is_503_and_comes_back() {
    let place = Place::postgres().await;
    let gateway = Gateway::at(&place, &[]).await;
    let parameters = [("CallSid", CALL), ("AccountSid", ACCOUNT), ("CallStatus", "ringing")];
    assert_eq!(gateway.callback("", &parameters).await.status(), 204);
    place.refuse_connections(true).await;
    let refused = gateway.callback("x=1", &parameters).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let ready = gateway.client.get(format!("{}/readyz", gateway.address)).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    let why: serde_json::Value = ready.json().await.unwrap();
    assert!(why["database"].as_str().unwrap().contains("cannot be reached"), "{why}");
    let alive = gateway.client.get(format!("{}/healthz", gateway.address)).send().await.unwrap();
    assert_eq!(alive.status(), 200, "the process itself is well");
    place.refuse_connections(false).await;
    assert_eq!(gateway.callback("x=1", &parameters).await.status(), 204, "it recovers by itself");
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["deliveries"], 2);
}

/// An announcement belongs to the call that comes next, also when that call names its lead itself.
async fn an_announcement_is_used_up_by_the_call_it_announced(at: TestDatabase) {
    let (ingest, _) = node(&at.db, 1);
    let announce = |id: &str, user: &str| onhook::store::expected::ExpectedRow {
        tenant: "default".into(),
        id: id.into(),
        account: ACCOUNT.into(),
        to: "+14155550101".into(),
        from: None,
        lead_id: Some("lead-announced".into()),
        user_id: Some(user.into()),
        extension: None,
        created_ms: START_MS,
        expires_ms: START_MS + 600_000,
        matched: None,
    };
    let mut tx = at.db.begin().await.unwrap();
    onhook::store::expected::insert(&mut tx, &announce("exp_1", "ann")).await.unwrap();
    onhook::store::expected::insert(&mut tx, &announce("exp_2", "bob")).await.unwrap();
    tx.commit().await.unwrap();
    let other = "CA00000000000000000000000000000043";
    for (turn, call) in [CALL, other].into_iter().enumerate() {
        let mut ringing = signal(call, Claim::Live(Live::Ringing), None, None);
        ringing.details.insert(Field::To, "+14155550101".into());
        ingest.submit(submission(ringing, &turn.to_string())).await.unwrap();
    }
    let (first, second) = (the_call(&at.db, CALL).await, the_call(&at.db, other).await);
    assert_eq!((first.user_id.as_deref(), second.user_id.as_deref()), (Some("ann"), Some("bob")));
    assert_eq!(first.lead_id.as_deref(), Some("lead-1"), "the URL's lead outranks the announced one");
}

/// A call of which only a word nobody knows was heard lives all the same: it has a due time.
async fn every_live_call_is_due(at: TestDatabase) {
    let (ingest, _) = node(&at.db, 1);
    ingest.submit(submission(signal(CALL, Claim::Unknown("teleported".into()), None, None), "1")).await.unwrap();
    let row = the_call(&at.db, CALL).await;
    assert_eq!((row.status.as_str(), row.due_at_ms), ("queued", Some(START_MS + 3_600_000)));
    let later = Signal { received_ms: START_MS + 5, ..signal(CALL, Claim::Live(Live::Ringing), Some(START_MS), None) };
    ingest.submit(submission(later.clone(), "2")).await.unwrap();
    assert_eq!(the_call(&at.db, CALL).await.due_at_ms, Some(START_MS + 3_600_005), "counted from its new state");
    let late = Signal { received_ms: START_MS + 9, ..signal(CALL, Claim::Live(Live::Initiated), Some(START_MS), None) };
    ingest.submit(submission(late, "3")).await.unwrap();
    assert_eq!(the_call(&at.db, CALL).await.due_at_ms, Some(START_MS + 3_600_005), "a late signal does not move it");
    ingest.submit(submission(signal(CALL, completed(1), None, None), "4")).await.unwrap();
    assert_eq!(the_call(&at.db, CALL).await.due_at_ms, None);
}
