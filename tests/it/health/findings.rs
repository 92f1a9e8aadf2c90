//! What the figures say, from the first callback to the sentence that names the fix.

use super::{callback, endings, follower, has_metric, health, kinds, now_ms, own_writer, settle, through, whole_call};
use crate::{
    http::{add_account, expect_problem, key_of, keyed, send, sid},
    ingest::{completed, signal},
    support::gateway::{ACCOUNT, Gateway, PUBLIC_URL, START_MS, on_both_gateways},
};
use onhook::{
    directory::Scope,
    domain::{
        signal::{Claim, Field, Signal, Weak, Witness},
        state::{HangupCause, Live, Outcome},
        time::rfc3339,
    },
    health::FindingKind,
    ingest::{Ingest, Submission, Submitted},
    twilio::door::{self, Door, Method, Parameters, Said},
};
use serde_json::{Value, json};

on_both_gateways!(
    a_story_without_faults_has_no_finding,
    repetitions_and_late_ones_are_counted,
    a_gap_is_found_unless_it_is_filled_in_time,
    what_was_refused_asks_for_something,
    legs_that_only_the_dial_action_ends_name_the_attribute,
    a_delivery_about_two_legs_counts_once,
    a_late_callback_moves_the_leg,
    what_was_found_by_asking_or_not_at_all_is_told_apart,
    calls_that_never_end_are_found,
    an_account_without_callbacks_says_so,
    somebody_is_told_once_a_day,
    only_the_account_of_the_tenant_is_shown,
    a_wrong_window_is_refused,
);

async fn a_story_without_faults_has_no_finding(gateway: Gateway) {
    for n in 1..=6 {
        whole_call(&gateway, &sid(n), "outbound-api").await;
        whole_call(&gateway, &sid(100 + n), "outbound-dial").await;
        // The number's own callback is the only one of an inbound leg.
        callback(&gateway, &sid(200 + n), "inbound", "completed", 0).await;
    }
    assert_eq!(health(&gateway).await["endings"], json!([]), "counted only when what is late has had its time");
    settle(&gateway).await;
    let shown = health(&gateway).await;
    let url = format!("{PUBLIC_URL}/webhooks/twilio/status");
    let last = rfc3339(START_MS);
    let came = json!([{"url": url, "received": 54, "repeated": 0, "late": 0, "last_received_at": last}]);
    assert_eq!(shown["callbacks"], came);
    for direction in ["outbound-api", "outbound-dial", "inbound"] {
        let expected = json!({
            "direction": direction, "called_back": 6, "not_called_back": 0, "gaps": 0, "gap_legs": 0,
            "elsewhere": 0, "reconciled": 0, "unheard": 0, "silent": 0,
        });
        assert_eq!(endings(&shown, direction), expected);
    }
    assert_eq!(shown["findings"], json!([]));
    assert_eq!((&shown["account"], &shown["window"]), (&json!(ACCOUNT), &json!("24h")));
    assert_eq!(shown["since"], "2026-01-01T03:00:00.000Z");
    assert!(has_metric(&gateway, r#"onhook_endings_total{known_by="callback"} 18"#));
    assert_eq!(follower(&gateway).judge().await.unwrap(), []);
    assert!(has_metric(&gateway, "onhook_accounts_without_ending_callbacks 0"));
}

async fn repetitions_and_late_ones_are_counted(gateway: Gateway) {
    callback(&gateway, &sid(1), "outbound-api", "completed", 1).await;
    gateway.clock.advance(5_000);
    callback(&gateway, &sid(1), "outbound-api", "ringing", 0).await;
    for _ in 0..25 {
        callback(&gateway, &sid(1), "outbound-api", "completed", 1).await;
    }
    settle(&gateway).await;
    let came = &health(&gateway).await["callbacks"][0];
    // The timeline of a call shows 20 repetitions, however many come.
    assert_eq!((&came["received"], &came["repeated"], &came["late"]), (&json!(22), &json!(20), &json!(1)), "{came}");
    assert_eq!(came["last_received_at"], rfc3339(START_MS + 5_000));
    assert_eq!(endings(&health(&gateway).await, "outbound-api")["called_back"], 1, "however often it is told");
    assert!(has_metric(&gateway, "onhook_callbacks_repeated_total 20"));
    assert!(has_metric(&gateway, "onhook_callbacks_late_total 1"));
    assert_eq!(kinds(&health(&gateway).await), ["many-repeated"]);
    assert_eq!(health(&gateway).await["findings"][0]["weight"], "note");
}

async fn a_gap_is_found_unless_it_is_filled_in_time(gateway: Gateway) {
    for n in 1..=3 {
        callback(&gateway, &sid(n), "outbound-api", "initiated", 0).await;
        callback(&gateway, &sid(n), "outbound-api", "completed", 3).await;
    }
    // These come late, but they come.
    gateway.clock.advance(59_000);
    callback(&gateway, &sid(3), "outbound-api", "in-progress", 2).await;
    callback(&gateway, &sid(3), "outbound-api", "ringing", 1).await;
    settle(&gateway).await;
    assert_eq!(endings(&health(&gateway).await, "outbound-api")["gaps"], 4);
    assert_eq!(kinds(&health(&gateway).await), Vec::<&str>::new(), "a few may be an accident");
    callback(&gateway, &sid(4), "outbound-api", "busy", 2).await;
    settle(&gateway).await;
    let shown = health(&gateway).await;
    assert_eq!(endings(&shown, "outbound-api")["gaps"], 6);
    assert_eq!(endings(&shown, "outbound-api")["gap_legs"], 3, "the third had all of its callbacks");
    assert!(shown["findings"][0]["what"].as_str().unwrap().starts_with("6 callbacks about 3 legs"), "{shown}");
    assert_eq!(kinds(&shown), ["sequence-gaps"]);
    assert!(shown["findings"][0]["fix"].as_str().unwrap().contains("#rc=5&rp=all"), "{shown}");
    assert!(has_metric(&gateway, "onhook_callback_gaps_total 6"));
}

async fn what_was_refused_asks_for_something(gateway: Gateway) {
    whole_call(&gateway, &sid(1), "outbound-api").await;
    settle(&gateway).await;
    assert_eq!(health(&gateway).await["refused"], 0);
    let body = format!("AccountSid={ACCOUNT}&CallSid={}&CallStatus=completed", sid(1));
    let request = gateway.client.post(format!("{}/webhooks/twilio/status", gateway.address));
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    let request = request.header("X-Twilio-Signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=").body(body);
    assert_eq!(request.send().await.unwrap().status(), 403);
    let mut shown = health(&gateway).await;
    while shown["refused"] == 0 {
        tokio::task::yield_now().await;
        shown = health(&gateway).await;
    }
    assert_eq!((&shown["refused"], kinds(&shown)), (&json!(1), vec!["refused"]));
    let finding = &shown["findings"][0];
    let what = format!("1 are quarantined: onhook quarantine list --account {ACCOUNT}");
    assert_eq!((&finding["what"], &finding["weight"]), (&json!(what), &json!("action")));
}

/// An inbound call that is put through. Twilio tells how the dialed leg ended to the action of `<Dial>` only, and the
/// end of the inbound leg to the number's own status callback.
async fn put_through(gateway: &Gateway, ingest: &Ingest, n: u32) {
    let (parent, child, at) = (sid(1_000 + n), sid(n), now_ms(gateway));
    let body = format!(
        "CallSid={parent}&AccountSid={ACCOUNT}&CallStatus=in-progress&Direction=inbound&DialCallSid={child}\
         &DialCallStatus=completed&DialCallDuration=4&DialBridged=true"
    );
    let parameters = Parameters::parse(Method::Post, b"", body.as_bytes()).unwrap();
    let Said { provider_id, signals, ask, .. } = door::read(Door::Dial, &parameters, at).unwrap();
    assert_eq!((provider_id.as_str(), signals.len()), (child.as_str(), 1));
    let kept = through(Door::Dial.as_str(), &signals[0], at);
    assert_eq!(ingest.submit(Submission { signals, ask, ..kept }).await.unwrap(), Submitted::Stored);
    callback(gateway, &parent, "inbound", "completed", 0).await;
}

async fn legs_that_only_the_dial_action_ends_name_the_attribute(gateway: Gateway) {
    let ingest = own_writer(&gateway);
    for n in 1..=5 {
        put_through(&gateway, &ingest, n).await;
    }
    settle(&gateway).await;
    let shown = health(&gateway).await;
    let dialed = endings(&shown, "outbound-dial");
    assert_eq!(
        (&dialed["called_back"], &dialed["not_called_back"], &dialed["elsewhere"]),
        (&json!(0), &json!(5), &json!(5))
    );
    assert_eq!(shown["callbacks"][0]["url"], format!("{PUBLIC_URL}/webhooks/twilio/dial"));
    assert_eq!(kinds(&shown), ["no-ending-callbacks"]);
    let finding = &shown["findings"][0];
    assert_eq!((&finding["weight"], &finding["direction"]), (&json!("action"), &json!("outbound-dial")));
    let fix = finding["fix"].as_str().unwrap();
    let attribute = format!("statusCallback=\"{PUBLIC_URL}/webhooks/twilio/status#rc=5&amp;rp=all\"");
    assert!(fix.contains("<Dial> has no statusCallback") && fix.contains(&attribute), "{fix}");
    assert!(has_metric(&gateway, r#"onhook_endings_total{known_by="elsewhere"} 5"#));
    // The same legs with their own callbacks within the minute are well.
    for n in 11..=30 {
        put_through(&gateway, &ingest, n).await;
        gateway.clock.advance(100);
        callback(&gateway, &sid(n), "outbound-dial", "completed", 0).await;
    }
    settle(&gateway).await;
    let shown = health(&gateway).await;
    assert_eq!(endings(&shown, "outbound-dial")["called_back"], 20);
    assert_eq!(endings(&shown, "outbound-dial")["not_called_back"], 5);
    assert_eq!(endings(&shown, "inbound")["called_back"], 25, "the legs that dialed are well");
    // 5 of 25 are 20 percent.
    assert_eq!(kinds(&shown), ["no-ending-callbacks"]);
}

/// The action of `<Dial>` speaks of the leg that dialed, under which it is kept, and of the one that was dialed.
async fn a_delivery_about_two_legs_counts_once(gateway: Gateway) {
    let ingest = own_writer(&gateway);
    let action = |child: u32| {
        let parent = signal(&sid(1), Claim::Live(Live::Answered), None, None);
        let mut submission = through("twilio/dial", &parent, START_MS);
        let mut dialed = signal(&sid(child), completed(4), None, Some(&sid(1)));
        dialed.details.insert(Field::Direction, "outbound-dial".into());
        submission.signals.push(dialed);
        submission.delivery.as_mut().unwrap().id += &child.to_string();
        submission
    };
    // The second one comes twice; of the third one only what it says of the parent is known.
    for child in [2, 3, 3, 4] {
        ingest.submit(action(child)).await.unwrap();
    }
    settle(&gateway).await;
    let shown = health(&gateway).await;
    let came = &shown["callbacks"][0];
    assert_eq!((&came["received"], &came["repeated"], &came["late"]), (&json!(4), &json!(1), &json!(0)), "{came}");
    assert_eq!(endings(&shown, "outbound-dial")["elsewhere"], 3);
}

async fn a_late_callback_moves_the_leg(gateway: Gateway) {
    let ingest = own_writer(&gateway);
    put_through(&gateway, &ingest, 1).await;
    settle(&gateway).await;
    assert_eq!(endings(&health(&gateway).await, "outbound-dial")["elsewhere"], 1);
    // Two hours later, with a number that says that one is missing.
    gateway.clock.advance(2 * 3_600_000);
    for _ in 0..2 {
        callback(&gateway, &sid(1), "outbound-dial", "completed", 1).await;
        settle(&gateway).await;
    }
    let shown = endings(&health(&gateway).await, "outbound-dial");
    let expected = json!({
        "direction": "outbound-dial", "called_back": 1, "not_called_back": 0, "gaps": 1, "gap_legs": 1,
        "elsewhere": 0, "reconciled": 0, "unheard": 0, "silent": 0,
    });
    assert_eq!(shown, expected);
    let narrow = gateway.get(&format!("/v1/accounts/{ACCOUNT}/health?window=1h")).await;
    assert_eq!(narrow["endings"], json!([]), "it counts in the hour in which it ended");
    assert!(has_metric(&gateway, "onhook_endings_corrected_total 1"));
}

fn own(signal: Signal) -> Submission {
    Submission {
        tenant: "default".into(),
        provider: "twilio",
        delivery: None,
        signals: vec![signal],
        ask: Vec::new(),
        decision: None,
    }
}

async fn what_was_found_by_asking_or_not_at_all_is_told_apart(gateway: Gateway) {
    let ingest = own_writer(&gateway);
    for n in 1..=3 {
        callback(&gateway, &sid(n), "weird", "ringing", 0).await;
    }
    gateway.clock.advance(10_000);
    let now = now_ms(&gateway);
    let asked =
        Signal { witness: Witness::Reconciled, received_ms: now, ..signal(&sid(1), completed(4), Some(now), None) };
    let weak = Weak {
        decided_ms: now,
        floor_ms: None,
        cause: HangupCause::TimeoutCleanup,
        if_answered: Outcome::Completed,
        stated_end_ms: None,
    };
    let given_up = |witness| Signal { witness, received_ms: now, ..signal(&sid(2), Claim::GivenUp(weak), None, None) };
    ingest.submit(own(asked.clone())).await.unwrap();
    ingest.submit(own(given_up(Witness::Inferred))).await.unwrap();
    // Given up in vain: a sign of life is younger.
    let void = Weak { decided_ms: START_MS - 1, ..weak };
    let third = Signal {
        claim: Claim::GivenUp(void),
        leg: signal(&sid(3), completed(1), None, None).leg,
        ..given_up(Witness::Inferred)
    };
    ingest.submit(own(third)).await.unwrap();
    settle(&gateway).await;
    let shown = health(&gateway).await;
    // Whatever word came as its direction: a row for each would be rows without end.
    let row = endings(&shown, "unknown");
    assert_eq!(
        (&row["not_called_back"], &row["reconciled"], &row["unheard"]),
        (&json!(2), &json!(1), &json!(1)),
        "{row}"
    );
    // It is reconciled after all, and told at last: one ending.
    ingest.submit(own(Signal { leg: given_up(Witness::Inferred).leg, ..asked })).await.unwrap();
    callback(&gateway, &sid(2), "weird", "completed", 1).await;
    settle(&gateway).await;
    let row = endings(&health(&gateway).await, "unknown");
    let counts = ["called_back", "not_called_back", "reconciled", "unheard"].map(|name| row[name].as_i64().unwrap());
    assert_eq!(counts, [1, 1, 1, 0], "{row}");
}

async fn calls_that_never_end_are_found(gateway: Gateway) {
    let ingest = own_writer(&gateway);
    for n in 1..=5 {
        let mut said = signal(&sid(n), Claim::Live(Live::Ringing), None, None);
        said.details.insert(Field::Direction, "inbound".into());
        ingest.submit(through("twilio/voice", &said, now_ms(&gateway))).await.unwrap();
    }
    settle(&gateway).await;
    assert_eq!(kinds(&health(&gateway).await), Vec::<&str>::new(), "they may well be talking");
    // Due after a minute and a half; an hour after that nobody would have heard nothing.
    gateway.clock.advance(2 * 3_600_000);
    let shown = health(&gateway).await;
    assert_eq!((&endings(&shown, "inbound")["silent"], kinds(&shown)), (&json!(5), vec!["no-ending-callbacks"]));
    assert!(shown["findings"][0]["fix"].as_str().unwrap().contains("Call status changes"), "{shown}");
    // One of them is heard of: four are too few to be sure.
    callback(&gateway, &sid(1), "inbound", "ringing", 0).await;
    let shown = health(&gateway).await;
    assert_eq!((&endings(&shown, "inbound")["silent"], kinds(&shown)), (&json!(4), vec![]));
}

async fn an_account_without_callbacks_says_so(gateway: Gateway) {
    let shown = health(&gateway).await;
    assert_eq!((kinds(&shown), &shown["findings"][0]["weight"]), (vec!["nothing-received"], &json!("note")));
    assert_eq!((&shown["callbacks"], &shown["endings"]), (&json!([]), &json!([])));
}

async fn somebody_is_told_once_a_day(gateway: Gateway) {
    let ingest = own_writer(&gateway);
    let more = async |from: u32| {
        for n in from..from + 5 {
            put_through(&gateway, &ingest, n).await;
        }
        settle(&gateway).await;
    };
    more(1).await;
    let mut watch = follower(&gateway);
    let said = watch.judge().await.unwrap();
    let [(suspect, finding)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((suspect.tenant.as_str(), suspect.account.as_str()), ("default", ACCOUNT));
    assert_eq!(finding.kind, FindingKind::NoEndingCallbacks);
    assert!(has_metric(&gateway, "onhook_accounts_without_ending_callbacks 1"));
    for from in [11, 21, 31] {
        gateway.clock.advance(7 * 3_600_000);
        more(from).await;
        assert_eq!(watch.judge().await.unwrap(), [], "it was said");
    }
    gateway.clock.advance(4 * 3_600_000);
    assert_eq!(watch.judge().await.unwrap().len(), 1, "a day later it is said again");
    gateway.clock.advance(25 * 3_600_000);
    assert_eq!(watch.judge().await.unwrap(), []);
    assert!(has_metric(&gateway, "onhook_accounts_without_ending_callbacks 0"), "it is over");
}

async fn only_the_account_of_the_tenant_is_shown(gateway: Gateway) {
    let theirs = "AC00000000000000000000000000000077";
    let (_, key) = key_of(&gateway, "acme", &[Scope::Admin], None).await;
    add_account(&gateway, "acme", theirs).await;
    let ask = async |key: &str, id: &str| {
        send(keyed(&gateway, key, reqwest::Method::GET, &format!("/v1/accounts/{id}/health"))).await
    };
    let shown = ask(&key, theirs).await;
    assert_eq!((shown.status.as_u16(), &shown.body["account"]), (200, &json!(theirs)));
    expect_problem(&ask(&key, ACCOUNT).await, 404, "not-found");
    assert!(has_metric(&gateway, "onhook_tenant_crossings_refused_total 1"));
    for unknown in ["AC1", "%00", "x%2Fy"] {
        expect_problem(&ask(&key, unknown).await, 404, "not-found");
    }
    // What counts for one tenant's account counts for no other.
    whole_call(&gateway, &sid(1), "outbound-api").await;
    settle(&gateway).await;
    assert_eq!(ask(&key, theirs).await.body["callbacks"], json!([]));
}

async fn a_wrong_window_is_refused(gateway: Gateway) {
    for window in ["", "24", "59m", "31d", "-1h", "%00", "24h&window=1h", "24h&days=1"] {
        let path = format!("/v1/accounts/{ACCOUNT}/health?window={window}");
        expect_problem(
            &send(keyed(&gateway, crate::support::gateway::KEY, reqwest::Method::GET, &path)).await,
            400,
            "bad-filter",
        );
    }
    let asked: Value = gateway.get(&format!("/v1/accounts/{ACCOUNT}/health?window=7d")).await;
    assert_eq!((&asked["window"], &asked["since"]), (&json!("7d"), &json!("2025-12-26T03:00:00.000Z")));
}
