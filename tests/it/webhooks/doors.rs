//! What every door has in common, and the doors for recordings and for who answered.

use crate::support::gateway::{ACCOUNT, Gateway, PUBLIC_URL, START_MS, TOKEN, on_both_gateways};
use onhook::{
    domain::time::{DAY, rfc2822, rfc3339},
    twilio::{
        door::{Carries, Door},
        form::Form,
        signature,
    },
};
use reqwest::Response;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

on_both_gateways!(
    what_is_not_signed_right_is_refused_at_every_door,
    another_content_type_is_refused_at_every_door,
    a_recording_is_filed_with_its_call,
    a_recording_that_is_not_there_is_stored_all_the_same,
    a_recording_is_only_where_twilio_keeps_it,
    who_answered_is_noted_in_any_word,
    a_dial_ends_the_leg_it_names,
    a_callback_a_day_late_ends_the_call_when_it_ended,
    a_conversation_is_shown_whole_from_each_of_its_legs,
);

pub const CALL: &str = "CA00000000000000000000000000000042";

/// The query of a sink that sends this body.
pub fn sink_query(body: &[u8]) -> String {
    format!("account={ACCOUNT}&bodySHA256={}", hex::encode(Sha256::digest(body)))
}

/// Any body at any door, with any signature.
pub async fn post(gateway: &Gateway, door: Door, query: &str, body: &[u8], signature: Option<&str>) -> Response {
    let media = match door.carries() {
        Carries::Form => "application/x-www-form-urlencoded; charset=UTF-8",
        Carries::Events => "application/json",
    };
    let mut request = gateway
        .client
        .post(format!("{}{}?{query}", gateway.address, door.path()))
        .header("content-type", media)
        .body(body.to_vec());
    if let Some(signature) = signature {
        request = request.header("x-twilio-signature", signature);
    }
    request.send().await.unwrap()
}

/// The signature Twilio would send.
pub fn sign(token: &str, door: Door, query: &str, body: &[u8]) -> String {
    let form = if door.carries() == Carries::Form { Form::parse(body).ok() } else { None };
    signature::sign(token, &format!("{PUBLIC_URL}{}?{query}", door.path()), form.as_ref())
}

/// A form at a door, signed; the status of the answer.
pub async fn told(gateway: &Gateway, door: Door, parameters: &[(&str, &str)]) -> u16 {
    let body = serde_urlencoded::to_string(parameters).unwrap();
    let signature = sign(TOKEN, door, "lead_id=lead-1", body.as_bytes());
    post(gateway, door, "lead_id=lead-1", body.as_bytes(), Some(&signature)).await.status().as_u16()
}

/// A status callback of an outbound call.
pub async fn status(gateway: &Gateway, call: &str, word: &str, more: &[(&str, &str)]) {
    let usual = [("CallSid", call), ("AccountSid", ACCOUNT), ("CallStatus", word), ("Direction", "outbound-api")];
    let parameters: Vec<_> = usual.into_iter().chain(more.iter().copied()).collect();
    assert_eq!(told(gateway, Door::Status, &parameters).await, 204);
}

async fn sources(gateway: &Gateway, call: &str) -> Vec<Value> {
    let deliveries = gateway.get(&format!("/v1/calls/{call}/deliveries")).await;
    deliveries["data"].as_array().unwrap().iter().map(|row| row["source"].clone()).collect()
}

/// Something that each door takes.
fn sample(door: Door) -> (String, Vec<u8>) {
    let form = format!(
        "CallSid={CALL}&AccountSid={ACCOUNT}&CallStatus=ringing&RecordingStatus=completed&AnsweredBy=human\
         &RecordingUrl=https%3A%2F%2Fapi.twilio.com%2FRE1&Sid=NO00000000000000000000000000000001"
    );
    match door.carries() {
        Carries::Form => (String::new(), form.into_bytes()),
        Carries::Events => (sink_query(b"[]"), b"[]".to_vec()),
    }
}

async fn what_is_not_signed_right_is_refused_at_every_door(gateway: Gateway) {
    for door in Door::ALL.iter().copied() {
        let (query, body) = sample(door);
        let other = sign("another-token", door, &query, &body);
        let elsewhere = sign(TOKEN, if door == Door::Amd { Door::Status } else { Door::Amd }, &query, &body);
        for wrong in [None, Some("c2hvcnQ="), Some(other.as_str()), Some(elsewhere.as_str())] {
            let refused = post(&gateway, door, &query, &body, wrong).await;
            assert_eq!(refused.status(), 403, "{door} {wrong:?}");
            let problem: Value = refused.json().await.unwrap();
            assert_eq!(problem["type"], "/problems/signature-refused");
        }
        assert_eq!(gateway.ask(reqwest::Method::GET, &format!("/v1/calls/{CALL}"), None).await.0, 404, "{door}");
    }
    for door in Door::ALL.iter().copied() {
        let (query, body) = sample(door);
        let right = sign(TOKEN, door, &query, &body);
        let answer = if matches!(door, Door::Voice | Door::Whisper | Door::Dial) { 200 } else { 204 };
        assert_eq!(post(&gateway, door, &query, &body, Some(&right)).await.status(), answer, "{door}");
    }
    let counted = gateway.metrics.render();
    for door in Door::ALL.iter().copied() {
        let endpoint = door.as_str().replace('/', "_");
        let line = counted.lines().find(|l| l.contains(&endpoint) && l.contains("refused_signature"));
        assert!(line.is_some_and(|l| l.ends_with(" 4")), "{door}: {line:?}");
    }
}

async fn another_content_type_is_refused_at_every_door(gateway: Gateway) {
    for door in Door::ALL.iter().copied() {
        let (query, body) = sample(door);
        let (media, usual) = match door.carries() {
            Carries::Form => ("application/json", "application/x-www-form-urlencoded"),
            Carries::Events => ("application/x-www-form-urlencoded", "application/json"),
        };
        let url = format!("{}{}?{query}", gateway.address, door.path());
        let sent = gateway.client.post(url).header("content-type", media).body(body).send().await.unwrap();
        assert_eq!(sent.status(), 400, "{door}");
        let text = sent.text().await.unwrap();
        assert!(text.contains(usual), "{door}: the answer says what is sent here");
        assert!(text.contains(&format!("the content type is {media};")), "{door}: plainly: {text}");
    }
}

async fn a_recording_is_filed_with_its_call(gateway: Gateway) {
    status(&gateway, CALL, "completed", &[("CallDuration", "20"), ("SequenceNumber", "0")]).await;
    let before = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!(before["recording"], Value::Null);
    gateway.clock.advance(60_000);
    let started = rfc2822(START_MS - 20_000);
    let recording = [
        ("CallSid", CALL),
        ("AccountSid", ACCOUNT),
        ("RecordingStatus", "completed"),
        ("RecordingDuration", "19"),
        ("RecordingStartTime", started.as_str()),
        ("RecordingUrl", "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1"),
    ];
    for _ in 0..2 {
        assert_eq!(told(&gateway, Door::Recording, &recording).await, 204);
    }
    let row = gateway.get(&format!("/v1/calls/{CALL}")).await;
    let url = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1";
    assert_eq!(row["recording"], json!({"url": url, "duration_seconds": 19}));
    assert_eq!((&row["status"], &row["ended_at"]), (&before["status"], &before["ended_at"]), "it moves nothing");
    assert_eq!(row["deliveries"], 2, "the second copy is none");
    let timeline = gateway.get(&format!("/v1/calls/{CALL}/timeline")).await;
    assert_eq!((&timeline["data"][1]["claim"], &timeline["data"][1]["step"]), (&json!("recording"), &json!("noted")));
    assert_eq!(timeline["data"][1]["at"], rfc3339(START_MS - 20_000));
}

async fn a_recording_that_is_not_there_is_stored_all_the_same(gateway: Gateway) {
    let absent = [("CallSid", CALL), ("AccountSid", ACCOUNT), ("RecordingStatus", "absent"), ("ErrorCode", "31001")];
    let failed = [("CallSid", CALL), ("AccountSid", ACCOUNT), ("RecordingStatus", "failed"), ("ErrorCode", "31001")];
    // Of a call that was never announced: stored, and no call is made of it.
    assert_eq!(told(&gateway, Door::Recording, &absent).await, 204);
    assert_eq!(gateway.ask(reqwest::Method::GET, &format!("/v1/calls/{CALL}"), None).await.0, 404);
    gateway.clock.advance(1_000);
    status(&gateway, CALL, "in-progress", &[]).await;
    gateway.clock.advance(1_000);
    for _ in 0..2 {
        assert_eq!(told(&gateway, Door::Recording, &absent).await, 204);
        assert_eq!(told(&gateway, Door::Recording, &failed).await, 204);
    }
    assert_eq!(sources(&gateway, CALL).await, ["twilio/recording", "twilio/status", "twilio/recording"]);
    let row = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!((&row["recording"], &row["deliveries"]), (&Value::Null, &json!(2)), "{row}");
    let timeline = gateway.get(&format!("/v1/calls/{CALL}/timeline")).await;
    assert_eq!(timeline["data"].as_array().unwrap().len(), 1, "nothing happened to the call");
}

async fn a_recording_is_only_where_twilio_keeps_it(gateway: Gateway) {
    let call = [("CallSid", CALL), ("AccountSid", ACCOUNT)];
    let elsewhere = ("RecordingUrl", "https://recordings.example.com/RE1");
    status(&gateway, CALL, "completed", &[("CallDuration", "20"), elsewhere]).await;
    let recording: Vec<_> = call.into_iter().chain([("RecordingStatus", "completed"), elsewhere]).collect();
    assert_eq!(told(&gateway, Door::Recording, &recording).await, 204, "answered as if nothing were wrong");
    let row = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!((&row["recording"], &row["deliveries"]), (&Value::Null, &json!(2)));
    assert_eq!(row["status"], "completed");
}

async fn who_answered_is_noted_in_any_word(gateway: Gateway) {
    let amd = |word: &'static str| {
        [("CallSid", CALL), ("AccountSid", ACCOUNT), ("AnsweredBy", word), ("MachineDetectionDuration", "4200")]
    };
    // The first word about a call that nobody announced: it lives, and nothing is known of how far it is.
    assert_eq!(told(&gateway, Door::Amd, &amd("a_word_of_2030")).await, 204);
    let row = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!((&row["answered_by"], &row["status"]), (&json!("a_word_of_2030"), &json!("queued")));
    assert_eq!(row["lead_id"], "lead-1", "the URL names the lead here too");
    let missing = [("CallSid", CALL), ("AccountSid", ACCOUNT)];
    assert_eq!(told(&gateway, Door::Amd, &missing).await, 400);
    let long = "x".repeat(51);
    let long = [("CallSid", CALL), ("AccountSid", ACCOUNT), ("AnsweredBy", long.as_str())];
    assert_eq!(told(&gateway, Door::Amd, &long).await, 204, "left out, and stored");
    assert_eq!(sources(&gateway, CALL).await, ["twilio/amd", "twilio/amd"]);
    assert_eq!(gateway.get(&format!("/v1/calls/{CALL}")).await["answered_by"], "a_word_of_2030");
}

/// Without a callback of its own the dialed leg is known by the action alone; a word nobody knows moves nothing.
async fn a_dial_ends_the_leg_it_names(gateway: Gateway) {
    let (winner, odd) = ("CAffffffffffffffffffffffffffffffff", "CAeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
    let dial = |child: &'static str, word: &'static str| {
        [
            ("CallSid", CALL),
            ("AccountSid", ACCOUNT),
            ("CallStatus", "in-progress"),
            ("Direction", "inbound"),
            ("DialCallSid", child),
            ("DialCallStatus", word),
            ("DialCallDuration", "12"),
            ("DialBridged", "true"),
        ]
    };
    assert_eq!(told(&gateway, Door::Dial, &dial(winner, "completed")).await, 200);
    assert_eq!(told(&gateway, Door::Dial, &dial(winner, "completed")).await, 200, "and again");
    assert_eq!(told(&gateway, Door::Dial, &dial(odd, "teleported")).await, 200);
    let row = gateway.get(&format!("/v1/calls/{winner}")).await;
    assert_eq!(
        (&row["status"], &row["talk_seconds"], &row["parent_id"]),
        (&json!("completed"), &json!(12), &json!(CALL))
    );
    assert_eq!((&row["estimated"], &row["deliveries"]), (&json!(true), &json!(1)), "nobody said when");
    let timeline = gateway.get(&format!("/v1/calls/{odd}/timeline")).await;
    assert_eq!((&timeline["data"][0]["step"], &timeline["data"][0]["to"]), (&json!("refused"), &json!("queued")));
    assert_eq!(sources(&gateway, winner).await, ["twilio/dial"]);
    let legs = gateway.get(&format!("/v1/calls/{odd}/legs")).await;
    assert_eq!(legs["data"].as_array().unwrap().len(), 2, "the two it tells of: {legs}");
}

async fn a_callback_a_day_late_ends_the_call_when_it_ended(gateway: Gateway) {
    status(&gateway, CALL, "in-progress", &[("Timestamp", &rfc2822(START_MS)), ("SequenceNumber", "0")]).await;
    gateway.clock.advance(DAY);
    let ended = rfc2822(START_MS + 30_000);
    status(&gateway, CALL, "completed", &[("Timestamp", &ended), ("SequenceNumber", "1"), ("CallDuration", "30")])
        .await;
    let row = gateway.get(&format!("/v1/calls/{CALL}")).await;
    assert_eq!((&row["ended_at"], &row["estimated"]), (&json!(rfc3339(START_MS + 30_000)), &json!(false)));
    assert_eq!((&row["talk_seconds"], &row["last_signal_at"]), (&json!(30), &json!(rfc3339(START_MS + DAY))));
}

/// Also while the root was not heard of.
async fn a_conversation_is_shown_whole_from_each_of_its_legs(gateway: Gateway) {
    let (parent, other) = ("CAffffffffffffffffffffffffffffffff", "CA00000000000000000000000000000043");
    let legs = async |call: &str| {
        let page = gateway.get(&format!("/v1/calls/{call}/legs")).await;
        let ids = |row: &Value| row["provider_id"].as_str().unwrap().to_owned();
        page["data"].as_array().unwrap().iter().map(ids).collect::<Vec<_>>()
    };
    for child in [other, CALL] {
        status(&gateway, child, "ringing", &[("ParentCallSid", parent)]).await;
    }
    assert_eq!(legs(CALL).await, [CALL, other], "the dialed legs are heard of before the one that dialed them");
    status(&gateway, parent, "in-progress", &[]).await;
    for leg in [parent, CALL, other] {
        assert_eq!(legs(leg).await, [parent, CALL, other], "of {leg}");
    }
    // One after the other: the root does not come twice, nor hide the legs with smaller ids.
    let (mut seen, mut path) = (Vec::new(), format!("/v1/calls/{CALL}/legs?limit=1"));
    loop {
        let page = gateway.get(&path).await;
        seen.push(page["data"][0]["provider_id"].as_str().unwrap().to_owned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/calls/{CALL}/legs?limit=1&cursor={next}");
    }
    assert_eq!(seen, [parent, CALL, other]);
}
