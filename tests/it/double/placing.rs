//! What requests to place a call meet: refused, done without an answer, cut off, late, queued, too many at once.

use crate::support::{
    gateway::{ACCOUNT, START_MS, TOKEN},
    twilio::Twilio,
};
use onhook::{
    clock::{ManualClock, Stopwatch},
    double::{Fate, PlacingFaults, Reception, Setup},
};
use reqwest::StatusCode;
use serde_json::Value;

const CUSTOMER: &str = "+14155550101";

fn twilio(setup: Setup) -> Twilio {
    Twilio::start(setup, &ManualClock::new(START_MS))
}

fn dial(to: &str) -> Vec<(&str, &str)> {
    vec![("To", to), ("From", "+14155550100"), ("Url", "https://app.example.com/twiml")]
}

fn count(twilio: &Twilio, to: &str) -> usize {
    twilio.with(|double| double.placed().get(to).copied().unwrap_or_default())
}

#[tokio::test]
async fn a_number_is_received_as_it_was_said_and_then_as_ever() {
    let twilio = twilio(Setup::default());
    let script = [
        Reception::TooMany { retry_after_s: None },
        Reception::Refused { status: 400, code: 21211 },
        Reception::Broken { status: 503, done: false },
        Reception::Broken { status: 500, done: true },
        Reception::Late { by_ms: 50 },
    ];
    twilio.with(|double| double.receive_as(CUSTOMER, script));
    let mut seen = Vec::new();
    for _ in 0..6 {
        let watch = Stopwatch::start();
        let (status, body) = twilio.post("/Calls.json", &dial(CUSTOMER)).await;
        let late = watch.seconds() >= 0.05 && status == StatusCode::CREATED;
        seen.push((status.as_u16(), body["code"].as_u64(), count(&twilio, CUSTOMER)));
        assert!(late || seen.len() != 5, "the fifth answer is late");
    }
    let expected = [
        (429, Some(20429), 0),
        (400, Some(21211), 0),
        (503, Some(20503), 0),
        (500, Some(20500), 1),
        (201, None, 2),
        (201, None, 3),
    ];
    assert_eq!(seen, expected);
    assert_eq!(twilio.post("/Calls.json", &dial("+14155550102")).await.0, StatusCode::CREATED, "others are not meant");
    twilio.was_asked_well();
}

#[tokio::test]
async fn a_connection_is_cut_and_a_wait_is_asked_for() {
    let twilio = twilio(Setup::default());
    let path = format!("{}/2010-04-01/Accounts/{ACCOUNT}/Calls.json", twilio.address);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async || client.post(&path).basic_auth(ACCOUNT, Some(TOKEN)).form(&dial(CUSTOMER)).send().await;
    for (done, there) in [(false, 0), (true, 1)] {
        twilio.with(|double| double.receive_as(CUSTOMER, [Reception::Cut { done }]));
        // Either the head of the answer was cut off, or its body.
        let read = match post().await {
            Ok(response) => response.bytes().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(read.is_err(), "{read:?}");
        assert_eq!(count(&twilio, CUSTOMER), there);
    }
    twilio.with(|double| double.receive_as(CUSTOMER, [Reception::TooMany { retry_after_s: Some(7) }]));
    let refused = post().await.unwrap();
    assert_eq!((refused.status(), refused.headers()["retry-after"].to_str().unwrap()), (429.try_into().unwrap(), "7"));
}

#[tokio::test]
async fn rates_are_met_and_the_same_seed_meets_the_same() {
    let placing = PlacingFaults { too_many: 0.2, broken: 0.2, broken_done: 0.2, ..PlacingFaults::default() };
    let run = async || {
        let twilio = twilio(Setup { placing, ..Setup::default() });
        let mut statuses = Vec::new();
        for n in 0..60 {
            statuses.push(twilio.post("/Calls.json", &dial(&format!("+1415555{n:04}"))).await.0.as_u16());
        }
        (statuses, twilio.with(|double| double.placed().len()))
    };
    let (statuses, placed) = run().await;
    let met = |status: u16| statuses.iter().filter(|seen| **seen == status).count();
    assert!(met(429) > 0 && met(500) > 0 && met(201) > 0, "{statuses:?}");
    assert!(placed > met(201) && placed < met(201) + met(500), "some of those that broke are there");
    assert_eq!(run().await, (statuses, placed));
}

#[tokio::test]
async fn an_account_has_so_many_calls_at_once_and_the_others_wait_in_the_queue() {
    let setup = Setup { calls_at_once: Some(2), fate: Some(Fate::Answered { talk_s: 10 }), ..Setup::default() };
    let twilio = twilio(setup);
    let mut placed: Vec<Value> = Vec::new();
    for expected in [201, 201, 429] {
        let (status, body) = twilio.post("/Calls.json", &dial(CUSTOMER)).await;
        assert_eq!(status.as_u16(), expected);
        placed.push(body);
    }
    assert_eq!(placed[2]["code"], 10004);
    twilio.pass(500).await;
    let status = async |n: usize| {
        let call = twilio.get(&format!("/Calls/{}.json", placed[n]["sid"].as_str().unwrap())).await.1;
        (call["status"].clone(), call["date_created"].is_null())
    };
    assert_eq!(status(0).await, ("ringing".into(), false));
    assert_eq!(status(1).await, ("queued".into(), true), "one call per second leaves the queue");
    twilio.pass(60_000).await;
    let call = twilio.get(&format!("/Calls/{}.json", placed[1]["sid"].as_str().unwrap())).await.1;
    assert_eq!((&call["status"], &call["queue_time"]), (&"completed".into(), &"1200".into()));
    assert_eq!(twilio.post("/Calls.json", &dial(CUSTOMER)).await.0, StatusCode::CREATED, "there is room again");
}
