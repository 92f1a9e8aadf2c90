//! Who is dialed, who never, and what is said to both ends.

use super::*;

on_both_gateways!(
    devices_dial_within_bounds,
    devices_do_not_choose_foreign_sip_hosts,
    the_url_names_the_other_party,
    numbers_that_lead_back_are_not_dialed,
    refused_targets_are_told_and_counted,
    a_missed_dial_is_told,
    a_called_party_is_whispered_to,
);

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
