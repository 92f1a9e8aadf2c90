//! What a call is answered with, without a gateway around it.

use crate::support::xml::Element;
use onhook::twilio::{
    callback_url::{CallbackUrls, Correlation, OVERRIDES},
    dialing::{Outcome, Refusal, Settings, Target, VoiceRequest, answer},
    door::{self, Door, Method, Parameters},
    form::Form,
    twiml::BYTES_MAX,
};
use proptest::prelude::*;
use url::Url;

fn request(query: &[(&str, &str)], body: &[(&str, &str)]) -> VoiceRequest {
    let encoded = |pairs: &[(&str, &str)]| serde_urlencoded::to_string(pairs).unwrap();
    let (query, body) = (encoded(query), encoded(body));
    VoiceRequest::read(&Parameters::parse(Method::Post, query.as_bytes(), body.as_bytes()).unwrap())
}

/// By GET everything is in one query string: what a device added stands behind the first name of Twilio's.
#[test]
fn by_get_only_the_url_itself_names_targets_and_leads() {
    let read = |query: &str| VoiceRequest::read(&Parameters::parse(Method::Get, query.as_bytes(), b"").unwrap());
    let twilio = "AccountSid=AC1&CallSid=CA1&CallStatus=ringing&Direction=inbound&From=client%3Aann&To=x";
    let own = "connect=client:bob&connect=client:eve&user_id=7";
    let added = "connect=%2B14155550111&lead_id=lead-9&user_id=8";
    let request = read(&format!("{own}&{twilio}&{added}"));
    assert_eq!(request.connect, ["client:bob", "client:eve"]);
    assert_eq!(request.from, "client:ann");
    let alone = read(&format!("{own}&{twilio}"));
    assert_eq!(request.correlation, alone.correlation);
    assert_eq!(read(&format!("{twilio}&{added}")).connect, [] as [&str; 0]);
    let said = door::read(
        Door::Voice,
        &Parameters::parse(
            Method::Get,
            format!("CallSid=CA{0:032}&AccountSid=AC{0:032}&CallStatus=ringing&lead_id=lead-9", 1).as_bytes(),
            b"",
        )
        .unwrap(),
        0,
    );
    assert_eq!(said.unwrap().signals[0].link, None);
}

const INBOUND: [(&str, &str); 4] =
    [("From", "+14155550199"), ("To", "+14155550100"), ("Direction", "inbound"), ("CallStatus", "ringing")];

fn urls(public: &str, request: &VoiceRequest) -> CallbackUrls {
    CallbackUrls::below(&Url::parse(public).unwrap(), &request.correlation)
}

proptest! {
    /// Whatever people write, the answer has the same elements and attributes, and nobody else is dialed.
    #[test]
    fn any_text_stays_where_it_belongs(
        greeting in any::<String>(),
        whisper in any::<String>(),
        lead in any::<String>(),
        from in any::<String>(),
        to in any::<String>(),
    ) {
        let body = [("From", from.as_str()), ("To", to.as_str()), ("Direction", "inbound"), ("CallStatus", "ringing")];
        let request = request(&[("connect", "client:ann"), ("lead_id", &lead)], &body);
        let settings = Settings {
            greeting: Some(greeting),
            whisper: Some(whisper),
            connect: vec![to, from],
            ..Settings::default()
        };
        let made = answer(&request, &settings, &urls("https://calls.example.com/p", &request), None).unwrap();
        let root = Element::try_parse(&made.twiml).map_err(TestCaseError::fail)?;
        let dial = root.child("Dial");
        prop_assert_eq!(dial.names(), ["Client"]);
        let client = dial.child("Client");
        prop_assert_eq!(&client.text, "ann");
        let names: Vec<&str> = client.attributes.keys().map(String::as_str).collect();
        prop_assert_eq!(names, ["method", "statusCallback", "statusCallbackEvent", "statusCallbackMethod", "url"]);
        // And the correlation is what it was.
        let status = Url::parse(client.attribute("statusCallback")).unwrap();
        prop_assert_eq!(status.fragment(), Some("rc=5&rp=all"));
        let expected = Some(&lead).filter(|lead| (1..=200).contains(&lead.len())).map(|lead| lead.replace('\0', "\u{fffd}"));
        let carried = Form::parse(status.query().unwrap_or_default().as_bytes()).unwrap();
        prop_assert_eq!(carried.first("lead_id").map(|lead| lead.into_owned()), expected);
    }

    /// No text makes a target that is not exactly what was written.
    #[test]
    fn a_target_is_what_was_written(text in "(client:|sip:)?.{0,40}|\\+[0-9 ().-]{5,20}") {
        match Target::parse(&text, None) {
            Ok(Target::Number(number)) => {
                // Digits may be left out, such as a trunk zero; none is added, and none changes its place.
                let mut written = text.chars();
                let in_order = number.as_str().chars().all(|digit| written.any(|c| c == digit));
                prop_assert!(in_order, "{number:?} of {text:?}");
            }
            Ok(target) => prop_assert_eq!(target.to_string(), text),
            Err(_) => {}
        }
    }
}

#[test]
fn an_answer_that_grows_too_large_keeps_the_status_callbacks() {
    let long = "é".repeat(100);
    let names = ["lead_id", "job_id", "attempt", "extension", "user_id"];
    let query: Vec<(&str, &str)> = names.iter().map(|name| (*name, long.as_str())).collect();
    let request = request(&query, &INBOUND);
    let connect = (0..10).map(|n| format!("+1415555011{n}")).collect();
    let settings = Settings {
        connect,
        whisper: Some("w".into()),
        machine_detection: Some("Enable".parse().unwrap()),
        ..Settings::default()
    };
    let made = answer(&request, &settings, &urls("https://calls.example.com", &request), None).unwrap();
    assert!(made.twiml.len() < BYTES_MAX);
    let root = Element::parse(&made.twiml);
    let dial = root.child("Dial");
    assert_eq!(dial.children.len(), 10);
    for number in &dial.children {
        let status = Url::parse(number.attribute("statusCallback")).unwrap();
        assert_eq!(status.query_pairs().filter(|(_, value)| *value == long).count(), names.len());
        assert_eq!(
            number.attribute("amdStatusCallback"),
            format!("https://calls.example.com/webhooks/twilio/amd{OVERRIDES}")
        );
    }
}

#[test]
fn callback_urls_are_absolute_and_ask_for_more_tries() {
    let none = Correlation::default();
    let below = |public: &str| CallbackUrls::below(&Url::parse(public).unwrap(), &none).to("/webhooks/x");
    assert_eq!(below("https://calls.example.com"), format!("https://calls.example.com/webhooks/x{OVERRIDES}"));
    assert_eq!(
        below("https://calls.example.com:8443/a/b/"),
        format!("https://calls.example.com:8443/a/b/webhooks/x{OVERRIDES}")
    );
    assert_eq!(below("https://u:p@calls.example.com/"), format!("https://calls.example.com/webhooks/x{OVERRIDES}"));
    let host = |host: &str| CallbackUrls::of_host_header(host, &none).map(|urls| urls.to("/x"));
    assert_eq!(host("calls.example.com").unwrap(), format!("https://calls.example.com/x{OVERRIDES}"));
    assert_eq!(host("[::1]:8080").unwrap(), format!("https://[::1]:8080/x{OVERRIDES}"));
    for bad in ["", "a b", "a/b", "a?b", "a#b", "u@a", "a\"b", "a<b"] {
        assert_eq!(host(bad), None, "{bad:?}");
    }
}

#[test]
fn numbers_without_a_country_code_need_a_region() {
    let number = |text: &str, region| Target::parse(text, region).map(|target| target.to_string());
    assert_eq!(number("415 555 0199", Some("US")).unwrap(), "+14155550199");
    assert_eq!(number("415 555 0199", None), Err(Refusal::Malformed));
    for short in ["911", "112", "+1 911", "999", "0"] {
        assert_eq!(number(short, Some("US")), Err(Refusal::ShortNumber), "{short}");
    }
}

#[test]
fn an_answer_says_what_it_comes_to() {
    let made = |connect: &[&str]| {
        let request = request(&[], &INBOUND);
        let connect = connect.iter().map(|target| (*target).to_owned()).collect();
        let settings = Settings { connect, ..Settings::default() };
        let answer = answer(&request, &settings, &urls("https://calls.example.com", &request), None).unwrap();
        (answer.outcome, answer.refused.into_iter().map(|refused| refused.why).collect::<Vec<_>>())
    };
    assert_eq!(made(&[]), (Outcome::Nobody, vec![]));
    assert_eq!(made(&["client:ann"]), (Outcome::Dialed, vec![]));
    assert_eq!(made(&["+14155550100"]), (Outcome::Refused, vec![Refusal::Loop]));
    assert_eq!(made(&["client:ann", "+19005550100"]), (Outcome::Dialed, vec![Refusal::Premium]));
}

/// The answer that `docs/voice.md` shows is the one that is given.
#[test]
fn the_example_in_the_documentation_is_an_answer() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/voice.md")).unwrap();
    let example = page.split("```xml").nth(1).unwrap().split("```").next().unwrap();
    let request = request(&[("lead_id", "lead-42")], &INBOUND);
    let settings = Settings {
        caller_id: Some("+14155550100".into()),
        connect: vec!["+14155550101".into()],
        greeting: Some("Welcome to Example.".into()),
        ..Settings::default()
    };
    let made = answer(&request, &settings, &urls("https://calls.example.com", &request), None).unwrap();
    assert_eq!(trimmed(Element::parse(example)), Element::parse(&made.twiml));
}

/// Without the white space between elements.
fn trimmed(mut element: Element) -> Element {
    element.text = element.text.trim().to_owned();
    element.children = element.children.into_iter().map(trimmed).collect();
    element
}
