//! Placing a call at Twilio: what is posted, that it is posted once, and what each answer means.

use crate::support::{
    canned::{Canned, Reply},
    description::description,
    gateway::{ACCOUNT, TOKEN},
};
use onhook::{
    double::Heard,
    provider::{Placed, TroubleKind},
    twilio::{
        client::{Client, CreateCall, Credentials, Detection, Instructions, Pace, Patience},
        form::Form,
    },
};
use serde_json::json;
use std::{env, process::Command, time::Duration};

const CALL: &str = "CA00000000000000000000000000000001";
const TO: &str = "+14155550101";
const CALLS: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000001/Calls.json";

fn client(base: &str, timeout: Duration, retries: usize) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pause = Duration::from_millis(1);
    let patience = Patience { timeout, retries, first_pause: pause, longest_pause: pause };
    let credentials = Credentials { sid: ACCOUNT.into(), secret: TOKEN.into() };
    Client::new(&base.parse().unwrap(), credentials, patience, 7).unwrap()
}

fn order() -> CreateCall {
    CreateCall {
        to: TO.into(),
        from: "+14155550100".into(),
        instructions: Instructions::Url("https://app.example.com/twiml?a=1&b=2".into()),
        status_callback: "https://calls.example.com/status?job_id=7&attempt=1#rc=5&rp=all".into(),
        timeout_seconds: Some(20),
        time_limit_seconds: Some(600),
        detection: Some(Detection {
            mode: "Enable".into(),
            meanwhile: Some("https://calls.example.com/amd?job_id=7#rc=5&rp=all".into()),
        }),
    }
}

fn pairs(body: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Form::parse(body).unwrap().pairs().map(|(name, value)| (text(name), text(value))).collect()
}

fn created() -> Reply {
    Reply { status: 201, ..Reply::json(json!({ "sid": CALL, "account_sid": ACCOUNT, "status": "queued" })) }
}

fn refusal(status: u16, code: u32) -> Reply {
    let message = format!("The phone number you are attempting to call, {TO}, is not valid ({CALL}).");
    Reply { status, ..Reply::json(json!({ "code": code, "message": message, "status": status })) }
}

/// What is made of an answer, and how often it was asked.
async fn placed(reply: Reply) -> (Placed, usize) {
    let server = Canned::serve(move |_, _| reply.clone()).await;
    let placed = client(&server.url, Duration::from_secs(20), 3).create_call(ACCOUNT, &order()).await;
    (placed, server.seen().len())
}

#[tokio::test]
async fn everything_is_posted_as_twilio_reads_it() {
    let server = Canned::serve(|_, _| created()).await;
    let client = client(&server.url, Duration::from_secs(20), 3);
    assert_eq!(client.create_call(ACCOUNT, &order()).await, Placed::Accepted(CALL.into()));
    let by_twiml = CreateCall {
        instructions: Instructions::Twiml("<Response><Say>é & ü</Say></Response>".into()),
        timeout_seconds: None,
        time_limit_seconds: None,
        detection: Some(Detection { mode: "DetectMessageEnd".into(), meanwhile: None }),
        ..order()
    };
    client.create_call(ACCOUNT, &by_twiml).await;
    let seen = server.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), ("POST", CALLS));
    assert_eq!(seen[0].headers["content-type"], "application/x-www-form-urlencoded");
    let expected = |rest: &[(&str, &str)]| {
        let moments = ["initiated", "ringing", "answered", "completed"].map(|moment| ("StatusCallbackEvent", moment));
        let both = [
            ("To", TO),
            ("From", "+14155550100"),
            ("StatusCallback", "https://calls.example.com/status?job_id=7&attempt=1#rc=5&rp=all"),
            ("StatusCallbackMethod", "POST"),
        ];
        let mut all: Vec<_> =
            both.iter().chain(&moments).chain(rest).map(|(n, v)| ((*n).into(), (*v).into())).collect();
        all.sort();
        all
    };
    let sent = |n: usize| -> Vec<(String, String)> {
        let mut sent = pairs(&seen[n].body);
        sent.sort();
        sent
    };
    let by_url = [
        ("Url", "https://app.example.com/twiml?a=1&b=2"),
        ("Method", "POST"),
        ("Timeout", "20"),
        ("TimeLimit", "600"),
        ("MachineDetection", "Enable"),
        ("AsyncAmd", "true"),
        ("AsyncAmdStatusCallback", "https://calls.example.com/amd?job_id=7#rc=5&rp=all"),
        ("AsyncAmdStatusCallbackMethod", "POST"),
    ];
    assert_eq!(sent(0), expected(&by_url));
    let twiml = ("Twiml", "<Response><Say>é & ü</Say></Response>");
    assert_eq!(sent(1), expected(&[twiml, ("MachineDetection", "DetectMessageEnd")]));
    for request in seen {
        let form = pairs(&request.body).into_iter().map(|(name, _)| name).collect();
        description().check_request(&Heard { method: request.method, path: request.target, query: Vec::new(), form });
    }
}

/// The official SDK is told to place the same call; it must send the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sdk_posts_the_same() {
    let python = env::var("ONHOOK_TEST_PYTHON").expect(
        "there is no Python with Twilio's SDK (ONHOOK_TEST_PYTHON is not set): run scripts/test, which makes one",
    );
    let server = Canned::serve(|_, _| created()).await;
    client(&server.url, Duration::from_secs(20), 0).create_call(ACCOUNT, &order()).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/twilio_create.py");
    let mut command = Command::new(python);
    command.args([script, &server.url, ACCOUNT, TOKEN]).env("NO_PROXY", "*");
    let output = tokio::task::block_in_place(|| command.output().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), CALL);
    let [ours, theirs] = [0, 1].map(|n| {
        let seen = &server.seen()[n];
        let mut sent = pairs(&seen.body);
        sent.sort();
        (seen.method.clone(), seen.target.clone(), seen.headers["authorization"].clone(), sent)
    });
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn a_refusal_of_one_call_refuses_it_and_masks_the_number() {
    for (status, code) in [
        (400, 13223),
        (400, 13224),
        (400, 13225),
        (400, 13227),
        (400, 21211),
        (400, 21214),
        (403, 21215),
        (400, 21216),
        (400, 21217),
        (400, 21219),
        (400, 21401),
        (400, 573_005),
        (404, 21211),
        (400, 99_999),
    ] {
        let (Placed::Refused(why), 1) = placed(refusal(status, code)).await else { panic!("{status} {code}") };
        assert!(why.contains(&code.to_string()) || status == 404, "{why}");
        assert!(!why.contains("4155550101"), "{why}");
        assert!(status == 404 || (why.contains("*********01") && why.contains(CALL)), "{why}");
    }
}

#[tokio::test]
async fn a_refusal_of_all_calls_is_a_trouble_of_the_account() {
    use TroubleKind::{Blind, Malformed, Refused, TooMany};
    let code = refusal;
    for (reply, expected) in [
        (code(400, 10001), Refused),
        (code(400, 20005), Refused),
        (code(401, 20003), Refused),
        (code(403, 20008), Refused),
        (code(403, 99_999), Refused),
        (code(400, 21205), Refused),
        (code(400, 21210), Refused),
        (code(400, 21212), Refused),
        (code(400, 21213), Refused),
        (code(404, 20404), Blind),
        (code(429, 20429), TooMany),
        (code(429, 99_999), TooMany),
        (code(400, 10004), TooMany),
        (Reply::status(401), Refused),
        (Reply::status(429), TooMany),
        (Reply::status(429).with("Retry-After", "7"), TooMany),
        // None of Twilio's: each of its refusals has a code.
        (Reply::status(302), Malformed),
        (Reply::status(404), Malformed),
        (Reply::status(413), Malformed),
    ] {
        let (status, body) = (reply.status, reply.body.clone());
        let (Placed::NotNow(trouble), 1) = placed(reply).await else {
            panic!("{status} {body}: not once, or not this")
        };
        assert_eq!(trouble.kind, expected, "{status} {body}");
        assert!(!trouble.detail.contains("4155550101") && !trouble.detail.contains(TOKEN), "{trouble}");
    }
    let (Placed::NotNow(wait), _) = placed(Reply::status(429).with("Retry-After", "7")).await else { panic!() };
    assert!(wait.detail.contains("it asks to wait 7 s"), "{wait}");
}

#[tokio::test]
async fn what_may_have_been_done_is_lost_and_not_asked_again() {
    let html = Reply { status: 201, headers: Vec::new(), body: "<html>".into() };
    let other = json!({ "sid": CALL, "account_sid": "AC00000000000000000000000000000002", "status": "queued" });
    let no_sid = json!({ "sid": "CA1", "account_sid": ACCOUNT, "status": "queued" });
    for reply in [
        Reply::status(500),
        Reply::status(502),
        Reply::status(408),
        refusal(503, 20503),
        html,
        Reply { status: 201, ..Reply::json(other) },
        Reply { status: 201, ..Reply::json(no_sid) },
    ] {
        let status = reply.status;
        let answer = placed(reply).await;
        assert!(matches!(&answer, (Placed::Lost(why), 1) if !why.contains("4155550101")), "{status}: {answer:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_cut_off_is_lost_and_one_that_was_never_sent_is_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let taken = tokio::spawn(async move {
        let mut kept = Vec::new();
        let mut requests = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut chunk = [0; 4096];
            let read = tokio::io::AsyncReadExt::read(&mut stream, &mut chunk).await.unwrap_or(0);
            if chunk[..read].starts_with(b"GET") {
                return requests;
            }
            requests += 1;
            // The first request is hung up on, the others never hear anything.
            if requests > 1 {
                kept.push(stream);
            }
        }
    });
    let cut = client(&base, Duration::from_secs(20), 3).create_call(ACCOUNT, &order()).await;
    assert!(matches!(cut, Placed::Lost(_)), "{cut:?}");
    let silent = client(&base, Duration::from_millis(100), 3).create_call(ACCOUNT, &order()).await;
    assert!(matches!(&silent, Placed::Lost(why) if why.contains("in time")), "{silent:?}");
    client(&base, Duration::from_secs(20), 0).load_account(ACCOUNT).await.unwrap_err();
    assert_eq!(taken.await.unwrap(), 2, "each was sent once");

    let nobody = client("http://127.0.0.1:1", Duration::from_secs(20), 0).create_call(ACCOUNT, &order()).await;
    assert!(matches!(&nobody, Placed::NotNow(t) if t.kind == TroubleKind::Unreachable), "{nobody:?}");

    // Whoever waits for a turn has sent nothing.
    let server = Canned::serve(|_, _| created()).await;
    let slow = client(&server.url, Duration::from_millis(100), 0).at(Pace::per_second(1));
    assert_eq!(slow.create_call(ACCOUNT, &order()).await, Placed::Accepted(CALL.into()));
    let waited = slow.create_call(ACCOUNT, &order()).await;
    assert!(matches!(&waited, Placed::NotNow(t) if t.kind == TroubleKind::TooMany), "{waited:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn other_credentials_are_tried_where_the_first_are_refused() {
    let server = Canned::serve(|n, _| if n == 0 { refusal(401, 20003) } else { created() }).await;
    let other = Credentials { sid: "SK00000000000000000000000000000001".into(), secret: "newer".into() };
    let client = client(&server.url, Duration::from_secs(20), 0).or(other);
    assert_eq!(client.create_call(ACCOUNT, &order()).await, Placed::Accepted(CALL.into()));
    let [first, second] = &server.seen()[..] else { panic!() };
    assert_ne!(first.headers["authorization"], second.headers["authorization"]);
    assert_eq!(first.body, second.body);
}
