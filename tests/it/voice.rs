//! The doors that answer TwiML: every attribute of the answer, who is dialed and who never, and that no callback can be
//! lost or belong to nobody.

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
    devices_dial_within_bounds,
    devices_do_not_choose_foreign_sip_hosts,
    the_url_names_the_other_party,
    numbers_that_lead_back_are_not_dialed,
    refused_targets_are_told_and_counted,
    a_missed_dial_is_told,
    a_called_party_is_whispered_to,
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

async fn devices_dial_within_bounds(gateway: Gateway) {
    let dial = async |from: &str, to: &str| voice(&gateway, "", &parameters("inbound", from, to)).await;
    expect_spoken(&dial("client:ann", CALLER).await);
    assert!(gateway.metrics.render().contains("onhook_dials_refused_total{reason=\"no_caller_id\"} 1"));
    assert_eq!(dialed(&dial("client:ann", "client:bob").await), [("Client", "bob")], "nobody's number is shown");

    set(&gateway, "/v1/voice", json!({ "caller_id": OURS, "connect": ["client:desk"] })).await;
    let mut asked = parameters("inbound", "client:ann", CALLER);
    asked.extend([("CallerId", "+14155550177"), ("callerId", "+14155550177"), ("Caller", "+14155550177")]);
    let answer = voice(&gateway, "", &asked).await;
    assert_eq!((dialed(&answer), answer.child("Dial").attribute("callerId")), (vec![("Number", CALLER)], OURS));
    // A SIP telephone sends what it dialed as the user of its own domain.
    let sip = "sip:ann@acme.sip.twilio.com";
    let answer = dial(sip, "sip:+14155550199@acme.sip.twilio.com:5060;transport=udp").await;
    assert_eq!(dialed(&answer), [("Number", CALLER)]);
    let answer = dial(sip, "sip:bob@acme.sip.twilio.com").await;
    assert_eq!(dialed(&answer), [("Sip", "sip:bob@acme.sip.twilio.com")]);
    for short in ["sip:911@acme.sip.twilio.com", "sip:112@acme.sip.twilio.com"] {
        expect_spoken(&dial(sip, short).await);
    }
    for itself in ["sip:ann@ACME.sip.twilio.com", "sip:ann@acme.sip.twilio.com:5060;transport=tls"] {
        expect_spoken(&dial(sip, itself).await);
    }
    // To nobody, and to itself.
    for to in ["", "client:", "client:ann"] {
        expect_spoken(&dial("client:ann", to).await);
    }
}

/// Behind a host that a device chooses there may be a network that bills us.
async fn devices_do_not_choose_foreign_sip_hosts(gateway: Gateway) {
    set(&gateway, "/v1/voice", json!({ "caller_id": OURS })).await;
    let telephone = "sip:ann@acme.sip.twilio.com";
    let dial = async |from: &str, to: &str| voice(&gateway, "", &parameters("inbound", from, to)).await;
    for from in ["client:ann", telephone] {
        for to in ["sip:+19005550100@any.example.com", "sip:bob@any.example.com", "sip:bob@acme.sip.twilio.com.example"]
        {
            expect_spoken(&dial(from, to).await);
        }
    }
    expect_spoken(&dial("client:ann", "sip:bob@acme.sip.twilio.com").await);
    assert!(gateway.metrics.render().contains("onhook_dials_refused_total{reason=\"sip_host\"} 6"));
    assert_eq!(dialed(&dial(telephone, "sip:bob@acme.sip.twilio.com").await).len(), 1, "its own domain");

    let listed = json!({ "caller_id": OURS, "sip_hosts": ["pbx.example.com"], "only_prefixes": ["+1"] });
    set(&gateway, "/v1/voice", listed).await;
    for user in [
        "+19005550100",
        "19005550100",
        "%2B19005550100",
        "+1-900-555-0100",
        "01119005550100",
        "0019005550100",
        "+442079460958",
        "911",
        "4155550199",
    ] {
        let to = format!("sip:{user}@pbx.example.com");
        expect_spoken(&dial("client:ann", &to).await);
    }
    for user in ["+14155550199", "14155550199", "bob", "bob7"] {
        let to = format!("sip:{user}@pbx.example.com");
        assert_eq!(dialed(&dial("client:ann", &to).await), [("Sip", to.as_str())]);
    }
    // What we name: any host where none is listed, extensions too; what costs is refused all the same.
    set(&gateway, "/v1/voice", json!({ "caller_id": OURS })).await;
    for user in ["101", "5550101", "+14155550199"] {
        let answer = voice(
            &gateway,
            &format!("connect=sip:{}@pbx.example.com", user.replace('+', "%2B")),
            &parameters("inbound", CALLER, OURS),
        )
        .await;
        assert_eq!(dialed(&answer)[0].1, format!("sip:{user}@pbx.example.com"));
    }
    for user in ["%2B19005550100", "19005550100", "0019005550100", "%2B999123456789"] {
        let answer =
            voice(&gateway, &format!("connect=sip:{user}@pbx.example.com"), &parameters("inbound", CALLER, OURS)).await;
        expect_spoken(&answer);
    }
}

async fn the_url_names_the_other_party(gateway: Gateway) {
    set(&gateway, "/v1/voice", json!({ "connect": ["client:desk"], "caller_id": "+14155550111" })).await;
    let placed = parameters("outbound-api", OURS, "+14155550150");
    // An unescaped + is a space to a form, and was meant as it stands.
    for query in ["connect=%2B14155550199", "connect=+14155550199", "connect=%2B14155550199,%2B14155550199"] {
        let answer = voice(&gateway, query, &placed).await;
        assert_eq!(dialed(&answer), [("Number", CALLER)], "{query}");
        assert_eq!(answer.child("Dial").attribute("callerId"), "+14155550111");
        assert!(!answer.child("Dial").attributes.contains_key("answerOnBridge"), "it was answered already");
    }
    let several = "connect=client:ann&connect=client:bob,sip:cleo@pbx.example.com";
    let answer = voice(&gateway, several, &placed).await;
    assert_eq!(dialed(&answer), [("Client", "ann"), ("Client", "bob"), ("Sip", "sip:cleo@pbx.example.com")]);
    // Of an inbound call it counts before the settings.
    let answer = voice(&gateway, "connect=client:ann", &parameters("inbound", CALLER, OURS)).await;
    assert_eq!(dialed(&answer), [("Client", "ann")]);
    // Nobody is called by the call he is part of.
    for party in ["%2B14155550100", "%2B14155550150"] {
        expect_spoken(&voice(&gateway, &format!("connect={party}"), &placed).await);
    }
    let loops =
        voice(&gateway, "connect=%2B14155550100,%2B14155550199,client:ann", &parameters("inbound", CALLER, OURS)).await;
    assert_eq!(dialed(&loops), [("Client", "ann")], "neither the number that was called nor the caller");
    let many: Vec<String> = (0..12).map(|n| format!("client:agent{n}")).collect();
    let answer = voice(&gateway, &format!("connect={}", many.join(",")), &placed).await;
    assert_eq!(dialed(&answer).len(), 10);
    assert!(gateway.metrics.render().contains("onhook_dials_refused_total{reason=\"too_many\"} 2"));
}

/// A number without settings of its own is put through as the tenant has it, and only its call tells that it is ours.
async fn numbers_that_lead_back_are_not_dialed(gateway: Gateway) {
    let (second, third, far) = ("+14155550102", "+14155550103", "+14155550150");
    set(&gateway, &format!("/v1/voice/numbers/{second}"), json!({ "connect": [third, far] })).await;
    set(&gateway, &format!("/v1/voice/numbers/{third}"), json!({ "connect": [OURS] })).await;
    set(&gateway, "/v1/voice", json!({ "connect": [second, "client:ann"] })).await;
    assert_eq!(dialed(&inbound(&gateway).await), [("Client", "ann")], "{OURS} > {second} > {third} > {OURS}");
    assert!(gateway.metrics.render().contains("onhook_dials_refused_total{reason=\"loop\"} 1"));
    let to = async |number: &str| voice(&gateway, "", &parameters("inbound", CALLER, number)).await;
    assert_eq!(dialed(&to(far).await), [("Client", "ann")], "and {far} > {second} > {far}");
    assert_eq!(dialed(&to("+14155550151").await), [("Number", second), ("Client", "ann")]);
    assert_eq!(dialed(&to(second).await), [("Number", third), ("Number", far)]);
    // The URL is no way around it.
    let answer = voice(&gateway, "connect=%2B14155550103,client:bob", &parameters("inbound", CALLER, OURS)).await;
    assert_eq!(dialed(&answer), [("Client", "bob")]);
}

async fn refused_targets_are_told_and_counted(gateway: Gateway) {
    set(&gateway, "/v1/voice", json!({ "caller_id": OURS })).await;
    let table = [
        ("premium", "+19005550100"),
        ("premium", "+449061234567"),
        ("shared_cost", "+4918012345"),
        ("personal_number", "+447012345678"),
        ("pager", "+447640123456"),
        ("global_service", "+979123456789"),
        ("global_service", "+881612345678"),
        ("global_service", "+88213300655"),
        ("no_such_number", "+19115550100"),
        ("short_number", "911"),
        ("short_number", "+112"),
        ("malformed", "4155550199"),
        ("malformed", "+1415555019x"),
        ("malformed", "+141555501991234567"),
        ("malformed", "tel:+14155550199"),
        ("malformed", "client:ann bob"),
        ("malformed", "client:a\nb"),
        ("malformed", "sip:ann"),
        ("malformed", "sip:ann@pbx.example.com?X-Caller=1"),
        ("malformed", "sip:ann:secret@pbx.example.com"),
        ("malformed", "sip:ann@pbx example.com"),
        ("malformed", "<Dial>"),
    ];
    for (n, (reason, target)) in table.iter().enumerate() {
        let counted = || {
            let (text, name) = (gateway.metrics.render(), format!("reason=\"{reason}\"}} "));
            let line = text.lines().find(|line| line.contains("onhook_dials_refused_total") && line.contains(&name));
            line.unwrap().rsplit(' ').next().unwrap().parse::<u32>().unwrap()
        };
        let before = counted();
        expect_spoken(&voice(&gateway, "", &parameters("inbound", "client:ann", target)).await);
        assert_eq!(counted(), before + 1, "{reason} {target}");
        let counted = gateway.metrics.render();
        assert!(counted.contains(&format!("onhook_voice_answers_total{{outcome=\"refused\"}} {}", n + 1)), "{counted}");
    }
    // What the tenant allows and restricts.
    let dial = async |to: &str| voice(&gateway, "", &parameters("inbound", "client:ann", to)).await;
    set(
        &gateway,
        "/v1/voice",
        json!({ "caller_id": OURS, "allow_prefixes": ["+1900555"], "sip_hosts": ["PBX.example.com"] }),
    )
    .await;
    assert_eq!(dialed(&dial("+19005550100").await), [("Number", "+19005550100")]);
    expect_spoken(&dial("+19006660100").await);
    assert_eq!(dialed(&dial("sip:a@pbx.EXAMPLE.com:5080").await), [("Sip", "sip:a@pbx.EXAMPLE.com:5080")]);
    for host in ["sip:a@other.example.com", "sip:a@pbx.example.com.evil.example", "sip:a@[::1]"] {
        expect_spoken(&dial(host).await);
    }
    set(&gateway, "/v1/voice", json!({ "caller_id": OURS, "only_prefixes": ["+44", "+1900"] })).await;
    expect_spoken(&dial(CALLER).await);
    expect_spoken(&dial("+19005550100").await);
    assert_eq!(dialed(&dial("+442079460958").await), [("Number", "+442079460958")]);
    // One who is refused does not keep the others from being called.
    let answer = voice(&gateway, "connect=%2B19005550100,client:bob", &parameters("inbound", CALLER, OURS)).await;
    assert_eq!(dialed(&answer), [("Client", "bob")]);
}

async fn a_missed_dial_is_told(gateway: Gateway) {
    let after = async |more: &[(&str, &str)]| {
        let parameters = [&parameters("inbound", CALLER, OURS)[..], more].concat();
        twiml(post(&gateway, &url("dial", ""), &parameters).await).await
    };
    assert_eq!(after(&[("DialCallStatus", "busy")]).await.names(), ["Hangup"], "nothing is set");
    set(&gateway, "/v1/voice", json!({ "unanswered": "Not now", "language": "en-GB" })).await;
    for missed in [
        &[("DialCallStatus", "busy")][..],
        &[("DialCallStatus", "no-answer")],
        &[("DialCallStatus", "failed")],
        &[("DialCallStatus", "canceled")],
        &[("DialCallStatus", "teleported")],
        &[("DialCallStatus", "completed"), ("DialBridged", "false")],
    ] {
        let answer = after(missed).await;
        assert_eq!(answer.names(), ["Say", "Hangup"], "{missed:?}");
        let say = answer.child("Say");
        assert_eq!((say.text.as_str(), say.attribute("language")), ("Not now", "en-GB"));
    }
    for taken in [
        &[("DialCallStatus", "completed")][..],
        &[("DialCallStatus", "completed"), ("DialBridged", "true")],
        &[("DialCallStatus", "answered")],
    ] {
        assert_eq!(after(taken).await.names(), ["Hangup"], "{taken:?}");
    }
}

async fn a_called_party_is_whispered_to(gateway: Gateway) {
    let leg = [("ParentCallSid", CALL), ("CallSid", CHILD), ("AccountSid", ACCOUNT), ("CallStatus", "in-progress")];
    let whisper = async |query: &str| twiml(post(&gateway, &url("whisper", query), &leg).await).await;
    assert!(whisper("").await.children.is_empty(), "nothing is set: the parties are connected at once");
    set(&gateway, "/v1/voice", json!({ "whisper": "A call", "voice": "alice" })).await;
    set(&gateway, "/v1/voice/numbers/+14155550100", json!({ "whisper": "A call for sales" })).await;
    let said = whisper("").await;
    assert_eq!((said.names(), said.child("Say").text.as_str()), (vec!["Say"], "A call"));
    let said = whisper("number=%2B14155550100").await;
    assert_eq!((said.child("Say").text.as_str(), said.child("Say").attribute("voice")), ("A call for sales", "alice"));
    let row = gateway.get(&format!("/v1/calls/{CHILD}")).await;
    assert_eq!((&row["status"], &row["parent_id"]), (&json!("in-progress"), &json!(CALL)), "it is a sign of the leg");
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
