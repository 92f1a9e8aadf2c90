//! Ending a call at Twilio: what is posted, when it is repeated, and when it must not be.

use crate::support::{
    canned::{Canned, Reply},
    gateway::{ACCOUNT, START_MS, TOKEN},
    twilio::Twilio,
};
use onhook::{
    clock::ManualClock,
    domain::{
        state::Status,
        time::{MINUTE, SECOND},
    },
    double::{Fate, Order, Outage, Setup},
    twilio::client::{Client, ClientError, Credentials, HangUp, HungUp, Pace, Patience},
};
use serde_json::json;
use std::time::Duration;

const CALL: &str = "CA00000000000000000000000000000001";

fn client(base: &str) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let patience = Patience {
        timeout: Duration::from_secs(20),
        retries: 3,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_secs(2),
    };
    let credentials = Credentials { sid: ACCOUNT.into(), secret: TOKEN.into() };
    Client::new(&base.parse().unwrap(), credentials, patience, 7).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_ended_whatever_it_does_or_only_unanswered() {
    let clock = ManualClock::new(START_MS);
    let twilio = Twilio::start(Setup { calls_per_second: 100, ..Setup::default() }, &clock);
    let place = |fate| {
        let order = Order::new(ACCOUNT, "+14155550100", "+14155550101").going(fate);
        twilio.with(|double| double.place(order, twilio.now_ms()))
    };
    let status = |sid: &str| twilio.with(|double| double.call(sid).unwrap().status());
    let client = client(&twilio.address);
    let hang_up = async |sid: &str, which| client.hang_up(ACCOUNT, sid, which).await;

    let [one, two] = [place(Fate::NoAnswer), place(Fate::NoAnswer)];
    twilio.pass(5 * SECOND).await;
    assert_eq!((status(&one), status(&two)), (Status::Ringing, Status::Ringing));
    assert_eq!(hang_up(&one, HangUp::Any).await, Ok(HungUp::Done));
    assert_eq!(hang_up(&two, HangUp::Unanswered).await, Ok(HungUp::Done));
    let long = place(Fate::Answered { talk_s: 3_000 });
    let queued = place(Fate::NoAnswer);
    assert_eq!(hang_up(&queued, HangUp::Unanswered).await, Ok(HungUp::Done));
    twilio.pass(2 * MINUTE).await;
    for sid in [&one, &two, &queued] {
        assert_eq!(status(sid), Status::Canceled);
        assert_eq!(hang_up(sid, HangUp::Any).await, Ok(HungUp::EndedAlready));
        assert_eq!(hang_up(sid, HangUp::Unanswered).await, Ok(HungUp::EndedAlready));
    }
    assert_eq!(status(&long), Status::InProgress);
    assert_eq!(hang_up(&long, HangUp::Unanswered).await, Ok(HungUp::Answered));
    assert_eq!(status(&long), Status::InProgress, "it goes on");
    assert_eq!(hang_up(&long, HangUp::Any).await, Ok(HungUp::Done));
    twilio.pass(SECOND).await;
    assert_eq!(status(&long), Status::Completed);
    assert!(matches!(hang_up(CALL, HangUp::Any).await, Err(ClientError::NotFound { .. })));
    twilio.was_asked_well();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_asked_again_only_if_nothing_was_done() {
    let twilio = Twilio::start(Setup::default(), &ManualClock::new(START_MS));
    let heard = async |status: u16| {
        twilio.with(|double| double.set_outage(Some(Outage::Status(status))));
        let before = twilio.with(|double| double.heard().count());
        let error = client(&twilio.address).hang_up(ACCOUNT, CALL, HangUp::Any).await.unwrap_err();
        (error, twilio.with(|double| double.heard().count()) - before)
    };
    assert!(matches!(heard(429).await, (ClientError::TooMany { .. }, 4)), "it was not processed");
    assert!(matches!(heard(503).await, (ClientError::Unavailable { .. }, 1)), "it may have been");
    assert!(matches!(heard(500).await, (ClientError::Unavailable { .. }, 1)));
    assert!(matches!(heard(401).await, (ClientError::Unauthorized { .. }, 1)));

    let answer = || Reply::json(json!({"sid": CALL, "status": "in-progress"}));
    let later = Canned::serve(move |n, _| if n < 2 { Reply::status(429) } else { answer() }).await;
    assert_eq!(client(&later.url).hang_up(ACCOUNT, CALL, HangUp::Any).await, Ok(HungUp::Done));
    let seen = later.seen();
    assert_eq!((seen.len(), seen[2].method.as_str(), seen[2].body.as_slice()), (3, "POST", &b"Status=completed"[..]));
    assert_eq!(seen[2].target, format!("/2010-04-01/Accounts/{ACCOUNT}/Calls/{CALL}.json"));

    let other = json!({"code": 21218, "message": "Invalid", "status": 400});
    let other = Canned::serve(move |_, _| Reply { status: 400, ..Reply::json(other.clone()) }).await;
    let error = client(&other.url).hang_up(ACCOUNT, CALL, HangUp::Any).await.unwrap_err();
    assert!(matches!(&error, ClientError::Malformed { why, .. } if why.contains("21218")), "{error:?}");
    // Nobody listens, so nothing is sent, however often it is tried.
    let nobody = client("http://127.0.0.1:1").hang_up(ACCOUNT, CALL, HangUp::Any).await.unwrap_err();
    assert!(matches!(nobody, ClientError::Unavailable { .. }), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_is_cut_off_is_not_sent_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let cut = tokio::spawn(async move {
        let mut taken = 0;
        loop {
            // It hears the request, and hangs up on it.
            let Ok((mut stream, _)) = listener.accept().await else { return taken };
            let mut chunk = [0; 1024];
            let read = tokio::io::AsyncReadExt::read(&mut stream, &mut chunk).await.unwrap_or(0);
            taken += 1;
            if chunk[..read].starts_with(b"GET") {
                return taken;
            }
        }
    });
    let client = client(&base);
    let error = client.hang_up(ACCOUNT, CALL, HangUp::Any).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error:?}");
    client.load_account(ACCOUNT).await.unwrap_err();
    assert_eq!(cut.await.unwrap(), 2, "one POST, then the GET that ends it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_fast_waits_also_for_others_of_the_account() {
    let server = Canned::serve(|_, _| Reply::json(json!({"sid": ACCOUNT}))).await;
    let pace = Pace::per_second(1);
    let (one, two) = (client(&server.url).at(pace.clone()), client(&server.url).at(pace));
    one.load_account(ACCOUNT).await.unwrap();
    let second = two.load_account(ACCOUNT);
    let waited = tokio::time::timeout(Duration::from_millis(200), second).await;
    assert!(waited.is_err(), "it did not wait: {waited:?}");
    assert_eq!(server.seen().len(), 1);
    two.load_account(ACCOUNT).await.expect("waiting is no failure");

    let burst = client(&server.url).at(Pace::per_second(50));
    for _ in 0..50 {
        burst.load_account(ACCOUNT).await.unwrap();
    }
}
