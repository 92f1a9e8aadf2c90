//! Who can be asked about an account, with which credentials, and what an answer is taken for.

use super::{Asking, hasty};
use crate::support::{
    canned::{Canned, Reply},
    gateway::{ACCOUNT, START_MS, TOKEN},
    twilio::Twilio,
};
use onhook::{
    clock::ManualClock,
    domain::{
        signal::{Claim, Field, Signal, Told, Witness},
        state::{HangupCause, Live, Outcome},
        time::{MINUTE, SECOND},
    },
    double::{Account, Change, Fate, Order, Outage, Setup},
    provider::{Trouble, TroubleKind, Truth},
    sweep::TwilioSource,
    twilio::client::Patience,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const SUB: &str = "AC00000000000000000000000000000002";

fn twilio() -> Twilio {
    Twilio::start(Setup { calls_per_second: 100, ..Setup::default() }, &ManualClock::new(START_MS))
}

async fn source(asking: &Asking, account: &str) -> Arc<TwilioSource> {
    asking.sources.of("acme", "twilio", account).await.unwrap().expect("it can be asked")
}

/// An account with the token of the double.
async fn asking(base: &str) -> (Asking, Arc<TwilioSource>) {
    let asking = Asking::of(base).await;
    asking.add(ACCOUNT, "twilio", None, &[TOKEN]).await;
    let source = source(&asking, ACCOUNT).await;
    (asking, source)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_calls_are_listed_and_others_are_looked_at() {
    let twilio = twilio();
    let place = |to: &str, fate| {
        twilio.with(|double| double.place(Order::new(ACCOUNT, "+14155550100", to).going(fate), START_MS))
    };
    let busy = place("+14155550101", Fate::Busy);
    let short = place("+14155550102", Fate::Answered { talk_s: 20 });
    let long = place("+14155550103", Fate::Answered { talk_s: 900 });
    twilio.pass(5 * MINUTE).await;
    let now_ms = twilio.now_ms();
    let add = |to: &str, changes| twilio.with(|double| double.add_call(Order::new(ACCOUNT, "client:ann", to), changes));
    let queued = add("+14155550104", vec![(now_ms, Change::Queued)]);
    let ringing =
        add("+14155550105", vec![(now_ms, Change::Queued), (now_ms, Change::Initiated), (now_ms, Change::Ringing)]);

    let (asking, source) = asking(&twilio.address).await;
    asking.clock.set(now_ms + 7);
    let live = source.live().await.unwrap();
    let said = |sid: &str| live.iter().find(|signal| signal.leg.provider_id == sid).unwrap();
    assert_eq!(live.len(), 3);
    for (sid, reached) in [(&queued, Live::Queued), (&ringing, Live::Ringing), (&long, Live::Answered)] {
        let signal = said(sid);
        assert_eq!((&signal.claim, signal.at), (&Claim::Live(reached), Some(now_ms + 7)));
        assert_eq!((signal.witness, signal.leg.account.as_str()), (Witness::Reconciled, ACCOUNT));
    }
    assert_eq!(said(&queued).details[&Field::From], "client:ann");
    assert_eq!(said(&long).details[&Field::Direction], "outbound-api");

    let look = async |sid: &str| source.look(sid).await.unwrap();
    let Some(Signal { claim, at, .. }) = look(&short).await else { panic!("it is known") };
    let told = Told { outcome: Outcome::Completed, seconds: Some(20), cause: HangupCause::Normal };
    assert_eq!(claim, Claim::Ended(told));
    assert!(at.is_some_and(|at| (START_MS + 20 * SECOND..now_ms).contains(&at)), "{at:?}");
    let told = Told { outcome: Outcome::Busy, seconds: None, cause: HangupCause::Busy };
    assert_eq!(look(&busy).await.unwrap().claim, Claim::Ended(told));
    assert_eq!(look(&long).await.unwrap().claim, Claim::Live(Live::Answered));
    assert_eq!(look("CA00000000000000000000000000000404").await, None);
    twilio.was_asked_well();
    assert_eq!(source.base(), twilio.address);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_about_what_is_anothers_or_has_no_credentials() {
    let asking = Asking::of("http://127.0.0.1:1").await;
    asking.add(ACCOUNT, "twilio", None, &["token"]).await;
    asking.add(SUB, "twilio", None, &[]).await;
    asking.add("pbx", "asterisk", None, &["token"]).await;
    let is_there = async |tenant: &str, provider: &str, account: &str| {
        asking.sources.of(tenant, provider, account).await.unwrap().is_some()
    };
    let trouble = async |tenant: &str, account: &str| {
        asking.sources.of(tenant, "twilio", account).await.expect_err("somebody has to mend that").kind
    };
    assert!(is_there("acme", "twilio", ACCOUNT).await);
    assert_eq!(trouble("default", ACCOUNT).await, TroubleKind::Refused, "it is another tenant's");
    assert!(!is_there("acme", "asterisk", ACCOUNT).await);
    assert!(!is_there("acme", "asterisk", "pbx").await);
    assert_eq!(trouble("acme", "pbx").await, TroubleKind::Refused);
    assert!(!is_there("acme", "twilio", SUB).await, "it never had credentials");
    asking.clock.advance(2 * SECOND);
    assert_eq!(trouble("acme", "AC404").await, TroubleKind::Refused, "it is not known here");
    asking.at.db.close().await;
    asking.clock.advance(2 * MINUTE);
    assert!(is_there("acme", "twilio", ACCOUNT).await, "what is known stays known");
    assert_eq!(trouble("acme", "AC405").await, TroubleKind::Unreachable, "it may well exist");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_take_turns_and_a_client_is_kept_as_long_as_they_stay() {
    let twilio = twilio();
    let asking = Asking::of(&twilio.address).await;
    asking.add(ACCOUNT, "twilio", None, &["an old one"]).await;
    let old = source(&asking, ACCOUNT).await;
    assert!(Arc::ptr_eq(&old, &source(&asking, ACCOUNT).await));
    let refused = old.live().await.unwrap_err();
    assert_eq!(refused.kind, TroubleKind::Refused);
    assert!(!format!("{refused}{old:?}{}", old.fingerprint()).contains("old one"));

    asking.add_token(ACCOUNT, TOKEN, None).await;
    asking.add_token(ACCOUNT, "expired", Some(START_MS + SECOND)).await;
    let new = source(&asking, ACCOUNT).await;
    assert_ne!(new.fingerprint(), old.fingerprint());
    assert_eq!(new.live().await, Ok(Vec::new()), "one of them is good");
    asking.clock.advance(SECOND);
    let later = source(&asking, ACCOUNT).await;
    assert_ne!(later.fingerprint(), new.fingerprint(), "one has expired");
    let asked = || twilio.with(|double| double.heard().count());
    later.live().await.unwrap();
    let before = asked();
    later.live().await.unwrap();
    assert_eq!(asked() - before, 3, "what was good is tried first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sub_account_without_credentials_is_asked_about_by_its_parent() {
    let twilio = twilio();
    twilio.with(|double| double.add_account(Account::sub_account(SUB, "its own", ACCOUNT)));
    let sid = twilio.with(|double| {
        double.add_call(Order::new(SUB, "+14155550100", "+14155550101"), vec![(START_MS, Change::Queued)])
    });
    let asking = Asking::of(&twilio.address).await;
    asking.add(ACCOUNT, "twilio", None, &[TOKEN]).await;
    asking.add(SUB, "twilio", Some(ACCOUNT), &[]).await;
    let by_parent = source(&asking, SUB).await;
    let live = by_parent.live().await.unwrap();
    assert_eq!((live.len(), &live[0].leg.provider_id, live[0].leg.account.as_str()), (1, &sid, SUB));
    asking.add_token(SUB, "its own", None).await;
    let by_itself = source(&asking, SUB).await;
    assert_ne!(by_itself.fingerprint(), by_parent.fingerprint());
    assert!(by_itself.look(&sid).await.unwrap().is_some());
}

async fn both(source: &TwilioSource) -> [TroubleKind; 2] {
    let kind = |trouble: Trouble| trouble.kind;
    let look = source.look("CA00000000000000000000000000000001").await;
    [kind(source.live().await.unwrap_err()), kind(look.unwrap_err())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_taken_for_what_it_is() {
    let twilio = twilio();
    let (_asking, source) = asking(&twilio.address).await;
    let outages = [
        (503, TroubleKind::Unreachable),
        (500, TroubleKind::Unreachable),
        (429, TroubleKind::TooMany),
        (401, TroubleKind::Refused),
        (403, TroubleKind::Refused),
    ];
    for (status, kind) in outages {
        twilio.with(|double| double.set_outage(Some(Outage::Status(status))));
        assert_eq!(both(&source).await, [kind, kind], "{status}");
    }
    let (_asking, nobody) = self::asking("http://127.0.0.1:1").await;
    assert_eq!(both(&nobody).await, [TroubleKind::Unreachable; 2]);
    // Silence: one that takes the request and never answers.
    twilio.with(|double| double.set_outage(Some(Outage::Silence)));
    let brief = Patience { timeout: Duration::from_millis(300), ..hasty() };
    let silent = Asking::patiently(&twilio.address, brief).await;
    silent.add(ACCOUNT, "twilio", None, &[TOKEN]).await;
    assert_eq!(both(&*self::source(&silent, ACCOUNT).await).await, [TroubleKind::Unreachable; 2]);
    // Another region: everything is 404, so the account cannot be asked, and of the call nothing is said.
    let elsewhere =
        Canned::serve(|_, _| Reply { status: 404, ..Reply::json(json!({"code": 20404, "status": 404})) }).await;
    let (_asking, blind) = self::asking(&elsewhere.url).await;
    assert_eq!(blind.live().await.unwrap_err().kind, TroubleKind::Blind);
    assert_eq!(blind.look("CA00000000000000000000000000000001").await, Ok(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_twilios_is_nothing() {
    let call = |account: &str, sid: &str| json!({"sid": sid, "account_sid": account, "status": "ringing"});
    let sid = "CA00000000000000000000000000000001";
    let all = |one: Value| {
        let mut both = one.clone();
        both["calls"] = json!([one]);
        both.to_string()
    };
    let bodies = [
        "<html><body>Welcome to the hotel's network</body></html>".to_owned(),
        String::new(),
        "[]".to_owned(),
        json!({"calls": 7}).to_string(),
        all(call(SUB, sid)),
        all(call(ACCOUNT, "CA2")),
        format!("{{\"calls\":[],\"sid\":\"{}\"}}", "x".repeat(17 << 20)),
    ];
    for body in bodies {
        let shown: String = body.chars().take(80).collect();
        let server = Canned::serve(move |_, _| Reply { status: 200, headers: Vec::new(), body: body.clone() }).await;
        let (_asking, source) = asking(&server.url).await;
        assert_eq!(both(&source).await, [TroubleKind::Malformed; 2], "{shown}");
    }
}
