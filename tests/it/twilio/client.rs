//! What the client asks, how it bears refusals, and what it makes of the answers.

use crate::support::{
    canned::{Canned, Reply},
    gateway::{START_MS, TOKEN},
    twilio::Twilio,
};
use onhook::{
    clock::ManualClock,
    domain::time::MINUTE,
    double::{Account, Fate, Order, Outage, Setup},
    twilio::client::{CallFilter, Client, ClientError, Credentials, Patience},
};
use serde_json::{Value, json};
use std::time::Duration;

const ACCOUNT: &str = "AC00000000000000000000000000000001";

fn client(base: &str) -> Client {
    client_of(base, ACCOUNT, "hush")
}

fn client_of(base: &str, sid: &str, secret: &str) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let credentials = Credentials { sid: sid.into(), secret: secret.into() };
    let patience = Patience {
        timeout: Duration::from_secs(20),
        retries: 3,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_secs(2),
    };
    Client::new(&base.parse().unwrap(), credentials, patience, 7).unwrap()
}

fn account() -> Reply {
    Reply::json(
        json!({ "sid": ACCOUNT, "friendly_name": "", "status": "active", "owner_account_sid": ACCOUNT, "new": [] }),
    )
}

#[tokio::test]
async fn an_account_is_asked_for_with_basic_authentication() {
    let server = Canned::serve(|_, _| account().with("Date", "Fri, 20 Nov 2026 10:00:00 GMT")).await;
    let told = client(&server.url).load_account(ACCOUNT).await.unwrap();
    assert_eq!((told.value.sid.as_str(), told.value.friendly_name), (ACCOUNT, None));
    assert_eq!(told.at_ms, Some(1_795_168_800_000));
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", &*format!("/2010-04-01/Accounts/{ACCOUNT}.json")));
    // base64 of AC…1:hush
    assert_eq!(seen.headers["authorization"], "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTpodXNo");
}

#[tokio::test]
async fn refusals_that_pass_are_asked_again_and_others_are_not() {
    for status in [429, 500, 503] {
        let server = Canned::serve(move |n, _| if n < 2 { Reply::status(status) } else { account() }).await;
        client(&server.url).load_account(ACCOUNT).await.unwrap();
        assert_eq!(server.seen().len(), 3, "{status}");
    }
    let refusal = |status: u16| {
        let body = json!({ "code": 20003, "message": "Authenticate", "status": status }).to_string();
        Reply { status, headers: Vec::new(), body }
    };
    let ask = async |reply: Reply| {
        let server = Canned::serve(move |_, _| reply.clone()).await;
        let error = client(&server.url).load_account(ACCOUNT).await.unwrap_err();
        (error, server.seen().len())
    };
    let (error, asked) = ask(refusal(401)).await;
    assert!(matches!(&error, ClientError::Unauthorized { message, .. } if message.contains("20003")), "{error:?}");
    assert_eq!(asked, 1);
    assert!(matches!(ask(refusal(403)).await, (ClientError::Unauthorized { .. }, 1)));
    assert!(matches!(ask(refusal(404)).await, (ClientError::NotFound { .. }, 1)));
    assert!(matches!(ask(refusal(400)).await, (ClientError::Malformed { .. }, 1)));
    assert!(matches!(ask(refusal(302)).await, (ClientError::Malformed { .. }, 1)), "a redirect is not followed");
    assert!(matches!(ask(refusal(429)).await, (ClientError::TooMany { .. }, 4)), "the retries are bounded");
    assert!(matches!(ask(refusal(502)).await, (ClientError::Unavailable { .. }, 4)));
    let html = Reply { status: 200, headers: Vec::new(), body: "<html>".into() };
    assert!(matches!(ask(html).await, (ClientError::Malformed { .. }, 1)));
    let nobody = client("http://127.0.0.1:1").load_account(ACCOUNT).await.unwrap_err();
    assert!(matches!(&nobody, ClientError::Unavailable { why, .. } if why.contains("refused")), "{nobody:?}");
    assert!(!nobody.to_string().contains("hush"));
}

#[tokio::test]
async fn retry_after_is_obeyed_up_to_a_bound() {
    let late = Canned::serve(|n, _| if n == 0 { Reply::status(429).with("Retry-After", "1") } else { account() }).await;
    // The pauses of this client are of some milliseconds; the one that Twilio asks for is not over so soon.
    let patient = client(&late.url);
    let waited = tokio::time::timeout(Duration::from_millis(200), patient.load_account(ACCOUNT)).await;
    assert!(waited.is_err(), "it did not wait: {waited:?}");
    assert_eq!(late.seen().len(), 1);
    let hour = Canned::serve(|_, _| Reply::status(429).with("Retry-After", "3600")).await;
    let error = client(&hour.url).load_account(ACCOUNT).await.unwrap_err();
    assert!(matches!(error, ClientError::TooMany { .. }), "{error:?}");
    assert_eq!(hour.seen().len(), 1, "nobody waits for an hour");
}

fn page(calls: &[u32], next: Value) -> Reply {
    let calls: Vec<Value> = calls.iter().map(|n| json!({ "sid": format!("CA{n}"), "status": "completed" })).collect();
    Reply::json(json!({ "calls": calls, "page": 0, "next_page_uri": next }))
}

#[tokio::test]
async fn pages_are_followed_as_they_are_named() {
    let server = Canned::serve(|n, _| match n {
        0 => page(&[5, 4], json!("/2010-04-01/Accounts/x/Calls.json?Page=1&PageToken=PA%3A1")),
        // The list moved on while it was read: 4 comes again.
        1 => page(&[4, 3], json!("/2010-04-01/Accounts/x/Calls.json?Page=2")),
        _ => page(&[2], Value::Null),
    })
    .await;
    let listed = client(&server.url).list_calls(ACCOUNT, &CallFilter::default(), 100).await.unwrap();
    let sids: Vec<_> = listed.entries.iter().map(|call| call.sid.as_str()).collect();
    assert_eq!((sids, listed.is_cut), (vec!["CA5", "CA4", "CA3", "CA2"], false));
    assert_eq!(server.seen()[1].target, "/2010-04-01/Accounts/x/Calls.json?Page=1&PageToken=PA%3A1");

    let cut = Canned::serve(|_, _| page(&[3, 2, 1], json!("/more"))).await;
    let listed = client(&cut.url).list_calls(ACCOUNT, &CallFilter::default(), 2).await.unwrap();
    assert_eq!((listed.entries.len(), listed.is_cut, cut.seen().len()), (2, true, 1));

    for elsewhere in ["https://evil.example/x", "//evil.example/x", "x"] {
        let server = Canned::serve(move |_, _| page(&[1], json!(elsewhere))).await;
        let error = client(&server.url).list_calls(ACCOUNT, &CallFilter::default(), 100).await.unwrap_err();
        assert!(matches!(error, ClientError::Malformed { .. }), "{elsewhere}: {error:?}");
        assert_eq!(server.seen().len(), 1);
    }
    let endless = Canned::serve(|n, _| page(&[u32::try_from(n).unwrap()], json!("/again"))).await;
    let listed = client(&endless.url).list_calls(ACCOUNT, &CallFilter::default(), 10_000).await.unwrap();
    assert_eq!((listed.entries.len(), listed.is_cut), (200, true), "a list without an end is cut");
}

#[tokio::test]
async fn filters_are_written_as_twilio_reads_them() {
    let server = Canned::serve(|_, _| page(&[], Value::Null)).await;
    let filter = CallFilter {
        status: Some("in-progress".into()),
        to: Some("+14155550100".into()),
        started_from_ms: Some(1_795_168_800_000),
        ..CallFilter::default()
    };
    client(&server.url).list_calls(ACCOUNT, &filter, 5_000).await.unwrap();
    let expected = format!(
        "/2010-04-01/Accounts/{ACCOUNT}/Calls.json?Status=in-progress&To=%2B14155550100&StartTime%3E=2026-11-20T10%3A00%3A00Z&PageSize=1000"
    );
    assert_eq!(server.seen()[0].target, expected);
    client(&server.url).load_call(ACCOUNT, "../x?y").await.unwrap_err();
    assert!(server.seen()[1].target.ends_with("/Calls/%2E%2E%2Fx%3Fy.json"), "{:?}", server.seen()[1]);
}

#[tokio::test]
async fn calls_are_read_whatever_is_missing() {
    let of = async |fields: Value| {
        let server = Canned::serve(move |_, _| Reply::json(fields.clone())).await;
        client(&server.url).load_call(ACCOUNT, "CA1").await.map(|told| told.value)
    };
    let full = of(json!({
        "sid": "CA1", "account_sid": ACCOUNT, "status": "completed", "parent_call_sid": "", "direction": "outbound-dial",
        "date_created": "Fri, 20 Nov 2026 10:00:00 +0000", "end_time": "Fri, 20 Nov 2026 10:01:00 +0000", "duration": "17",
        "price": "-0.03000", "annotation": null, "queue_time": "0",
    }))
    .await
    .unwrap();
    assert_eq!((full.duration_seconds, full.parent_call_sid.as_deref()), (Some(17), None));
    assert_eq!((full.created_ms, full.ended_ms), (Some(1_795_168_800_000), Some(1_795_168_860_000)));
    assert!(full.has_ended());
    for duration in [Value::Null, json!(""), json!("0"), json!(0)] {
        let call =
            of(json!({ "sid": "CA1", "status": "queued", "duration": duration, "date_created": null })).await.unwrap();
        assert!(call.duration_seconds.unwrap_or_default() == 0 && call.created_ms.is_none() && !call.has_ended());
    }
    let wrong = of(json!({ "sid": 7 })).await.unwrap_err();
    assert!(matches!(&wrong, ClientError::Malformed { what, .. } if what == "call CA1"), "{wrong:?}");
}

#[tokio::test]
async fn what_was_sent_for_a_call_is_read() {
    let server = Canned::serve(|_, _| {
        Reply::json(json!({ "events": [
            { "request": { "method": "POST", "url": "https://a.example/x", "parameters": {
                "call_status": "completed", "callback_source": "call-progress-events", "sequence_number": 3 } },
              "response": { "response_code": 500, "request_duration": 12 } },
            { "request": { "url": "https://a.example/y", "parameters": null }, "response": null },
        ], "next_page_uri": null }))
    })
    .await;
    let listed = client(&server.url).list_call_requests(ACCOUNT, "CA1").await.unwrap();
    let [callback, other] = &listed.entries[..] else { panic!("{listed:?}") };
    assert!(callback.is_status_callback() && !other.is_status_callback());
    assert_eq!((callback.call_status(), callback.response.response_code), (Some("completed"), Some(500)));
    assert_eq!(other.response.response_code, None);
}

const SUB: &str = "AC00000000000000000000000000000002";

/// A Twilio that acts like one: what is asked has to exist there, and what it answers is of the documented shape.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_double_is_asked_as_twilio_is() {
    let clock = ManualClock::new(START_MS);
    let twilio = Twilio::start(Setup { calls_per_second: 100, ..Setup::default() }, &clock);
    let place = |to: &str, fate| {
        twilio.with(|double| double.place(Order::new(ACCOUNT, "+14155550100", to).going(fate), START_MS))
    };
    let busy = place("+14155550101", Fate::Busy);
    let answered = place("+14155550102", Fate::Answered { talk_s: 20 });
    let silent =
        Order::new(ACCOUNT, "+14155550100", "+14155550103").telling("http://127.0.0.1:1/x").going(Fate::NoAnswer);
    let silent = twilio.with(|double| double.place(silent, START_MS));
    twilio.pass(20 * MINUTE).await;

    let client = client_of(&twilio.address, ACCOUNT, TOKEN);
    let account = client.load_account(ACCOUNT).await.unwrap().value;
    assert_eq!((account.status.as_deref(), account.sid.as_str()), (Some("active"), ACCOUNT));
    let call = client.load_call(ACCOUNT, &answered).await.unwrap().value;
    assert_eq!(
        (call.status.as_str(), call.duration_seconds, call.to.as_deref()),
        ("completed", Some(20), Some("+14155550102"))
    );
    assert!(call.created_ms.unwrap() >= START_MS && call.ended_ms.unwrap() > call.started_ms.unwrap());

    let of = async |filter: CallFilter, limit: usize| {
        let listed = client.list_calls(ACCOUNT, &filter, limit).await.unwrap();
        (listed.entries.into_iter().map(|call| call.sid).collect::<Vec<_>>(), listed.is_cut)
    };
    assert_eq!(of(CallFilter::default(), 100).await.0.len(), 3);
    assert!(of(CallFilter::default(), 2).await.1, "there are more");
    assert_eq!(of(CallFilter { status: Some("busy".into()), ..CallFilter::default() }, 100).await, (vec![busy], false));
    let to = CallFilter { to: Some("+14155550102".into()), started_from_ms: Some(START_MS), ..CallFilter::default() };
    assert_eq!(of(to, 100).await.0, [answered]);
    let later = CallFilter { started_from_ms: Some(START_MS + 60 * MINUTE), ..CallFilter::default() };
    assert_eq!(of(later, 100).await.0, Vec::<String>::new());

    let requests = client.list_call_requests(ACCOUNT, &silent).await.unwrap().entries;
    let callbacks: Vec<_> = requests.iter().filter(|request| request.is_status_callback()).collect();
    assert!(
        !callbacks.is_empty() && callbacks.iter().all(|callback| callback.response.response_code.is_none()),
        "{requests:?}"
    );
    assert_eq!(callbacks.last().unwrap().call_status(), Some("no-answer"));

    assert!(matches!(client.load_call(ACCOUNT, "CA404").await, Err(ClientError::NotFound { .. })));
    let stranger = client_of(&twilio.address, ACCOUNT, "another");
    assert!(matches!(stranger.load_account(ACCOUNT).await, Err(ClientError::Unauthorized { .. })));
    twilio.with(|double| double.add_account(Account::sub_account(SUB, "its own", ACCOUNT)));
    client.list_phone_numbers(SUB, 10).await.expect("a parent may ask for its sub-account");
    client.list_applications(SUB, 10).await.unwrap();
    twilio.with(|double| double.set_outage(Some(Outage::Status(503))));
    assert!(matches!(client.load_account(ACCOUNT).await, Err(ClientError::Unavailable { .. })));
    twilio.was_asked_well();
}
