//! The doors that answer TwiML: every attribute of the answer, who is dialed and who never, and that no callback can be
//! lost or belong to nobody.

mod dialed;

use crate::{
    http::{add_account, key_of, keyed, send},
    support::{
        database::TestDatabase,
        gateway::{ACCOUNT, Gateway, PUBLIC_URL, TOKEN, on_both_gateways},
        xml::Element,
    },
};
use onhook::{
    directory::Scope,
    twilio::{
        callback_url::OVERRIDES,
        form::Form,
        lint::{self, Expect},
        signature,
    },
};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

on_both_gateways!(
    every_attribute_of_an_answer,
    an_answer_without_settings_is_spoken,
    odd_correlation_comes_back_signed,
    a_number_comes_before_its_tenant,
    what_is_not_signed_learns_nothing,
    another_tenants_settings_do_not_count,
    a_redelivered_request_gets_the_same_answer,
);

const CALL: &str = "CA00000000000000000000000000000042";
const CHILD: &str = "CA00000000000000000000000000000043";
const OURS: &str = "+14155550100";
const CALLER: &str = "+14155550199";

/// A request for TwiML, or its like.
fn parameters<'a>(direction: &'a str, from: &'a str, to: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("CallSid", CALL),
        ("AccountSid", ACCOUNT),
        ("CallStatus", if direction == "inbound" { "ringing" } else { "in-progress" }),
        ("Direction", direction),
        ("From", from),
        ("To", to),
    ]
}

/// Posts to a URL of ours, signed as Twilio would sign it.
async fn post(gateway: &Gateway, url: &str, parameters: &[(&str, &str)]) -> Response {
    let body = serde_urlencoded::to_string(parameters).unwrap();
    let signature = signature::sign(TOKEN, url, Some(&Form::parse(body.as_bytes()).unwrap()));
    post_with(gateway, url, body, &signature).await
}

async fn post_with(gateway: &Gateway, url: &str, body: String, signature: &str) -> Response {
    let path = url.strip_prefix(PUBLIC_URL).expect("a URL below the public one");
    let request = gateway.client.post(format!("{}{path}", gateway.address)).body(body);
    let request = request.header("content-type", "application/x-www-form-urlencoded; charset=UTF-8");
    request.header("x-twilio-signature", signature).send().await.unwrap()
}

fn url(door: &str, query: &str) -> String {
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{PUBLIC_URL}/webhooks/twilio/{door}{mark}{query}")
}

/// The TwiML of an answer that must be one, and such that our own linter has nothing to say.
async fn twiml(response: Response) -> Element {
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/xml; charset=utf-8");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let text = response.text().await.unwrap();
    assert_eq!(lint::twiml(&text, &Expect::default()), [], "{text}");
    let root = Element::parse(&text);
    assert_eq!((root.name.as_str(), root.attributes.len()), ("Response", 0));
    root
}

async fn voice(gateway: &Gateway, query: &str, parameters: &[(&str, &str)]) -> Element {
    twiml(post(gateway, &url("voice", query), parameters).await).await
}

async fn inbound(gateway: &Gateway) -> Element {
    voice(gateway, "", &parameters("inbound", CALLER, OURS)).await
}

async fn set(gateway: &Gateway, path: &str, settings: Value) {
    let (status, body) = gateway.ask(Method::PUT, path, Some(settings)).await;
    assert!(status.is_success(), "{path}: {body}");
}

/// Says something and hangs up; dials nobody.
#[track_caller]
fn expect_spoken(answer: &Element) {
    assert_eq!(answer.names(), ["Say", "Hangup"], "{answer:?}");
    assert!(answer.child("Say").text.len() > 10);
}

/// Who is dialed, in order.
#[track_caller]
fn dialed(answer: &Element) -> Vec<(&str, &str)> {
    let nouns = answer.child("Dial").children.iter();
    nouns.map(|noun| (noun.name.as_str(), noun.text.as_str())).collect()
}

/// A callback URL without what only Twilio reads.
#[track_caller]
fn signed_part(url: &str) -> &str {
    url.strip_suffix(OVERRIDES).unwrap_or_else(|| panic!("{url} does not ask for more tries"))
}

async fn every_attribute_of_an_answer(gateway: Gateway) {
    set(
        &gateway,
        "/v1/voice",
        json!({
            "caller_id": "+14155550111", "connect": ["+1 (415) 555-0101", "client:ann", "sip:bob@pbx.example.com;transport=tls"],
            "timeout_seconds": 20, "time_limit_seconds": 3600, "record": "record-from-answer-dual",
            "machine_detection": "Enable", "greeting": "Fish & <Chips>", "whisper": "From the web",
            "voice": "Polly.Joanna", "language": "en-US",
        }),
    )
    .await;
    let answer = inbound(&gateway).await;
    assert_eq!(answer.names(), ["Say", "Dial"]);
    let say = answer.child("Say");
    assert_eq!(say.text, "Fish & <Chips>");
    assert_eq!((say.attribute("voice"), say.attribute("language")), ("Polly.Joanna", "en-US"));
    let to = |door: &str| format!("{PUBLIC_URL}/webhooks/twilio/{door}{OVERRIDES}");
    let expect = |element: &Element, expected: Value| {
        assert_eq!(json!(element.attributes), expected, "{}", element.name);
    };
    let dial = answer.child("Dial");
    expect(
        dial,
        json!({
            "action": to("dial"), "method": "POST", "timeout": "20", "timeLimit": "3600", "callerId": "+14155550111",
            "record": "record-from-answer-dual", "recordingStatusCallback": to("recording"),
            "recordingStatusCallbackMethod": "POST", "recordingStatusCallbackEvent": "in-progress completed absent",
        }),
    );
    assert_eq!(
        dialed(&answer),
        [("Number", "+14155550101"), ("Client", "ann"), ("Sip", "sip:bob@pbx.example.com;transport=tls")]
    );
    let leg = json!({
        "statusCallback": to("status"), "statusCallbackMethod": "POST",
        "statusCallbackEvent": "initiated ringing answered completed",
        "url": format!("{PUBLIC_URL}/webhooks/twilio/whisper?number=%2B14155550100{OVERRIDES}"), "method": "POST",
    });
    let mut number = leg.clone();
    number["machineDetection"] = json!("Enable");
    number["amdStatusCallback"] = json!(to("amd"));
    number["amdStatusCallbackMethod"] = json!("POST");
    for (name, expected) in [("Number", number), ("Client", leg.clone()), ("Sip", leg)] {
        expect(dial.child(name), expected);
    }
    let call = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!(
        (call["status"].as_str(), call["direction"].as_str()),
        (Some("ringing"), Some("inbound")),
        "it is durable"
    );

    // Nothing but what must be.
    set(&gateway, "/v1/voice", json!({ "connect": ["client:ann"], "record": "do-not-record" })).await;
    let answer = inbound(&gateway).await;
    assert_eq!(answer.names(), ["Dial"]);
    let plain = json!({
        "action": to("dial"), "method": "POST", "timeout": "30", "record": "do-not-record", "answerOnBridge": "true",
    });
    expect(answer.child("Dial"), plain);
}

async fn an_answer_without_settings_is_spoken(gateway: Gateway) {
    expect_spoken(&inbound(&gateway).await);
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["status"], "ringing", "it is known all the same");
    let counted = gateway.metrics.render();
    assert!(counted.contains("onhook_voice_answers_total{outcome=\"nobody\"} 1"), "{counted}");
    expect_spoken(&voice(&gateway, "", &parameters("outbound-api", OURS, CALLER)).await);
}

async fn odd_correlation_comes_back_signed(gateway: Gateway) {
    let settings =
        json!({ "connect": ["+14155550101"], "record": "record-from-answer", "machine_detection": "Enable" });
    set(&gateway, "/v1/voice", settings).await;
    let odd = "it's \"l&éad\"=<1>+2 %41/?#;\u{1F600}";
    let pairs = [("lead_id", odd), ("user_id", "ann & co"), ("extension", "1+1"), ("job_id", "j#1"), ("attempt", "2")];
    let query = serde_urlencoded::to_string(pairs).unwrap();
    let answer = voice(&gateway, &query, &parameters("inbound", CALLER, OURS)).await;
    let (dial, number) = (answer.child("Dial"), answer.child("Dial").child("Number"));

    // What Twilio would send for the dialed leg, to exactly the URL it was given.
    let child = [
        ("CallSid", CHILD),
        ("ParentCallSid", CALL),
        ("AccountSid", ACCOUNT),
        ("Direction", "outbound-dial"),
        ("From", CALLER),
        ("To", "+14155550101"),
    ];
    let of_child = |more: &[(&'static str, &'static str)]| [&child[..], more].concat();
    let status = signed_part(number.attribute("statusCallback"));
    let taken = post(&gateway, status, &of_child(&[("CallStatus", "in-progress"), ("SequenceNumber", "2")])).await;
    assert_eq!(taken.status(), 204);
    let row = gateway.get(&format!("/v1/calls/{CHILD}")).await;
    assert_eq!(row["lead_id"], odd);
    assert_eq!((row["user_id"].as_str(), row["extension"].as_str()), (Some("ann & co"), Some("1+1")));
    assert_eq!((&row["parent_id"], &row["verified"]), (&json!(CALL), &json!(true)));
    let amd = signed_part(number.attribute("amdStatusCallback"));
    assert_eq!(post(&gateway, amd, &of_child(&[("AnsweredBy", "human")])).await.status(), 204);
    let parent = parameters("inbound", CALLER, OURS);
    let recording = signed_part(dial.attribute("recordingStatusCallback"));
    let recorded = [
        ("RecordingSid", "RE00000000000000000000000000000001"),
        ("RecordingStatus", "completed"),
        ("RecordingUrl", "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1"),
    ];
    assert_eq!(post(&gateway, recording, &[&parent[..], &recorded].concat()).await.status(), 204);
    let over = [("DialCallSid", CHILD), ("DialCallStatus", "completed"), ("DialCallDuration", "12")];
    let action = signed_part(dial.attribute("action"));
    let after = twiml(post(&gateway, action, &[&parent[..], &over].concat()).await).await;
    assert_eq!(after.names(), ["Hangup"]);
    let rows = [CALL, CHILD];
    for id in rows {
        assert_eq!(gateway.get(&format!("/v1/calls/{id}")).await["lead_id"], odd, "{id}");
    }
    // A value that is ignored on the way in is not carried on.
    let long = format!("lead_id={}&user_id=ann", "x".repeat(201));
    let answer = voice(&gateway, &long, &parameters("inbound", CALLER, OURS)).await;
    let status = answer.child("Dial").child("Number").attribute("statusCallback").to_owned();
    assert_eq!(status, url("status", &format!("user_id=ann{OVERRIDES}")));
}

async fn a_number_comes_before_its_tenant(gateway: Gateway) {
    let tenant =
        json!({ "caller_id": "+14155550111", "connect": ["client:ann"], "greeting": "Hello", "timeout_seconds": 15 });
    set(&gateway, "/v1/voice", tenant).await;
    set(
        &gateway,
        "/v1/voice/numbers/+14155550100",
        json!({ "connect": ["client:bob"], "caller_id": "caller", "greeting": "" }),
    )
    .await;
    let answer = inbound(&gateway).await;
    assert_eq!(answer.names(), ["Dial"], "an empty greeting is none");
    assert_eq!(dialed(&answer), [("Client", "bob")]);
    let dial = answer.child("Dial");
    assert_eq!(dial.attribute("timeout"), "15", "what the number does not set is the tenant's");
    assert!(!dial.attributes.contains_key("callerId"), "the caller is shown");
    let other = voice(&gateway, "", &parameters("inbound", CALLER, "+14155550102")).await;
    assert_eq!(other.names(), ["Say", "Dial"]);
    assert_eq!((dialed(&other), other.child("Dial").attribute("callerId")), (vec![("Client", "ann")], "+14155550111"));
    // A call placed from the number has its settings too.
    let placed = voice(&gateway, "connect=client:cleo", &parameters("outbound-api", OURS, CALLER)).await;
    assert_eq!(placed.child("Dial").attribute("callerId"), OURS);
    // An empty list is nobody.
    set(&gateway, "/v1/voice/numbers/+14155550100", json!({ "connect": [] })).await;
    expect_spoken(&inbound(&gateway).await);
    let (status, _) = gateway.ask(Method::DELETE, "/v1/voice/numbers/+14155550100", None).await;
    assert_eq!(status, 204);
    assert_eq!(dialed(&inbound(&gateway).await), [("Client", "ann")]);
    // A withheld caller is no number that a network would take: the number that was called is shown.
    set(&gateway, "/v1/voice", json!({ "connect": ["+14155550101"] })).await;
    for withheld in ["Anonymous", "+266696687", ""] {
        let answer = voice(&gateway, "", &parameters("inbound", withheld, OURS)).await;
        assert_eq!(answer.child("Dial").attribute("callerId"), OURS, "{withheld:?}");
    }
}

async fn what_is_not_signed_learns_nothing(gateway: Gateway) {
    set(&gateway, "/v1/voice", json!({ "connect": ["+14155550101"], "unanswered": "Secret", "whisper": "Secret" }))
        .await;
    for door in ["voice", "dial", "whisper"] {
        let body = serde_urlencoded::to_string(parameters("inbound", CALLER, OURS)).unwrap();
        let signature = signature::sign("another-token", &url(door, ""), Some(&Form::parse(body.as_bytes()).unwrap()));
        for signature in [signature.as_str(), "", "no signature"] {
            let response = post_with(&gateway, &url(door, ""), body.clone(), signature).await;
            assert_eq!(response.status(), 403, "{door}");
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            let text = response.text().await.unwrap();
            assert!(!text.contains("5550101") && !text.contains("Secret") && !text.contains("Response"), "{text}");
        }
        assert_eq!(gateway.ask(Method::GET, &format!("/v1/calls/{CALL}"), None).await.0, 404, "nothing was applied");
    }
    // A GET is signed over its URL alone, and answered the same.
    let query = serde_urlencoded::to_string(parameters("inbound", CALLER, OURS)).unwrap();
    let get = async |door: &str, signed: &str| {
        let signature = signature::sign(TOKEN, signed, None);
        let path = url(door, &format!("lead_id=lead-7&{query}"));
        let path = path.strip_prefix(PUBLIC_URL).unwrap();
        let request = gateway.client.get(format!("{}{path}", gateway.address));
        request.header("x-twilio-signature", signature).send().await.unwrap()
    };
    assert_eq!(get("voice", &url("voice", "")).await.status(), 403);
    let answer = twiml(get("voice", &url("voice", &format!("lead_id=lead-7&{query}"))).await).await;
    assert_eq!(dialed(&answer), [("Number", "+14155550101")]);
    let status = answer.child("Dial").child("Number").attribute("statusCallback").to_owned();
    assert_eq!(status, url("status", &format!("lead_id=lead-7{OVERRIDES}")));
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["lead_id"], "lead-7");
    for door in ["dial", "whisper"] {
        let answer = twiml(get(door, &url(door, &format!("lead_id=lead-7&{query}"))).await).await;
        assert_eq!(answer.child("Say").text, "Secret", "{door}");
    }
    // A probe of `onhook doctor` comes to another door: here this is a parameter that a device has added.
    let probe = [&parameters("inbound", CALLER, OURS)[..], &[("OnhookProbe", "1")]].concat();
    assert_eq!(dialed(&voice(&gateway, "", &probe).await), [("Number", "+14155550101")]);
}

async fn another_tenants_settings_do_not_count(gateway: Gateway) {
    let (_, acme) = key_of(&gateway, "acme", Scope::ALL, None).await;
    for path in ["/v1/voice", "/v1/voice/numbers/+14155550100"] {
        let request = keyed(&gateway, &acme, Method::PUT, path).json(&json!({ "connect": ["client:acme"] }));
        assert!(send(request).await.status.is_success());
    }
    expect_spoken(&inbound(&gateway).await);
    assert_eq!(gateway.get("/v1/voice").await["connect"], Value::Null);
    assert_eq!(gateway.get("/v1/voice/numbers").await["data"], json!([]));
    assert_eq!(gateway.ask(Method::GET, "/v1/voice/numbers/+14155550100", None).await.0, 404);
    assert_eq!(gateway.ask(Method::DELETE, "/v1/voice/numbers/+14155550100", None).await.0, 404);
    let own = send(keyed(&gateway, &acme, Method::GET, "/v1/voice/numbers")).await.body;
    assert_eq!(own["data"][0]["connect"], json!(["client:acme"]));
    // An account that is not this one's tenant's is refused as ever.
    add_account(&gateway, "acme", "AC00000000000000000000000000000009").await;
    let mut foreign = parameters("inbound", CALLER, OURS);
    foreign[1] = ("AccountSid", "AC00000000000000000000000000000009");
    assert_eq!(post(&gateway, &url("voice", ""), &foreign).await.status(), 403);
}

async fn a_redelivered_request_gets_the_same_answer(gateway: Gateway) {
    set(&gateway, "/v1/voice", json!({ "connect": ["client:ann"], "greeting": "Hello" })).await;
    let first = inbound(&gateway).await;
    gateway.clock.advance(2_000);
    assert_eq!(inbound(&gateway).await, first);
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["deliveries"], 1);
}

/// Twilio takes anything but a 200 as a failure and asks the fallback URL: a caller must not be put through unrecorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_stored_is_not_answered() {
    let at = TestDatabase::postgres().await;
    let gateway = Gateway::on(&at, &[]).await;
    set(&gateway, "/v1/voice", json!({ "connect": ["client:ann"] })).await;
    at.place.refuse_connections(true).await;
    for door in ["voice", "dial", "whisper"] {
        let response = post(&gateway, &url(door, ""), &parameters("inbound", CALLER, OURS)).await;
        assert_eq!(response.status(), 503, "{door}");
        assert!(response.headers().contains_key("retry-after"));
        assert!(!response.text().await.unwrap().contains("<Response"), "{door}");
    }
    at.place.refuse_connections(false).await;
    assert_eq!(dialed(&inbound(&gateway).await), [("Client", "ann")]);
}

/// Without a public URL the callbacks go where Twilio asked, over https.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_public_url_the_host_counts() {
    let at = TestDatabase::sqlite().await;
    let gateway = Gateway::on(&at, &[("ONHOOK_PUBLIC_URL", "")]).await;
    set(&gateway, "/v1/voice", json!({ "connect": ["+14155550101"] })).await;
    let origin = gateway.address.replace("http://", "https://");
    let send = async |url: &str, parameters: &[(&str, &str)]| {
        let body = serde_urlencoded::to_string(parameters).unwrap();
        let signature = signature::sign(TOKEN, url, Some(&Form::parse(body.as_bytes()).unwrap()));
        let path = url.strip_prefix(&origin).unwrap();
        let request = gateway.client.post(format!("{}{path}", gateway.address)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.header("x-twilio-signature", signature).send().await.unwrap()
    };
    let voice = format!("{origin}/webhooks/twilio/voice?lead_id=lead-7");
    let answer = twiml(send(&voice, &parameters("inbound", CALLER, OURS)).await).await;
    let status = answer.child("Dial").child("Number").attribute("statusCallback");
    assert_eq!(signed_part(status), format!("{origin}/webhooks/twilio/status?lead_id=lead-7"));
    let leg = [("CallSid", CHILD), ("ParentCallSid", CALL), ("AccountSid", ACCOUNT), ("CallStatus", "ringing")];
    assert_eq!(send(signed_part(status), &leg).await.status(), 204);
    assert_eq!(gateway.get(&format!("/v1/calls/{CHILD}")).await["lead_id"], "lead-7");
}
