//! Each way to lose a callback is found, at its place, with what to put there; what loses none is left alone.

mod account;

use super::form;
use onhook::twilio::{
    lint::{self, Expect, Finding, Level, Rule, TWIML_BYTES_MAX},
    rest::{Application, Call, CallRequest, PhoneNumber},
};
use serde_json::{Value, json};

const PUT: &str = "https://calls.example.com/webhooks/twilio/status#rc=5&rp=all";
/// What is good, as attributes of a noun.
const GOOD: &str = r#"statusCallback="https://calls.example.com/webhooks/twilio/status?lead_id=1#rc=5&amp;rp=all" statusCallbackEvent="initiated ringing answered completed""#;

fn expect() -> Expect {
    Expect { public_url: Some("https://calls.example.com".parse().unwrap()) }
}

fn dial(inside: &str) -> Vec<Finding> {
    lint::twiml(&format!("<Response>\n  <Dial action=\"/next\">\n    {inside}\n  </Dial>\n</Response>"), &expect())
}

fn rules(found: &[Finding]) -> Vec<Rule> {
    found.iter().map(|finding| finding.rule).collect()
}

/// A noun with a status callback to this URL.
fn url(url: &str) -> Vec<Finding> {
    let url = url.replace('&', "&amp;");
    dial(&format!(r#"<Number statusCallback="{url}" statusCallbackEvent="answered completed">+14155550100</Number>"#))
}

#[test]
fn what_loses_nothing_is_left_alone() {
    for noun in ["Number", "Client", "Sip", "WhatsApp"] {
        assert_eq!(dial(&format!("<{noun} {GOOD}>x</{noun}>")), []);
    }
    let others = "<?xml version=\"1.0\"?><!-- x --><Response><Say>Hello</Say><Pause/><Enqueue>q</Enqueue><Number>1</Number></Response>";
    assert_eq!(lint::twiml(others, &expect()), []);
    assert_eq!(
        dial("<Conference statusCallback=\"https://x.example/c\" statusCallbackEvent=\"start end\">room</Conference>"),
        []
    );
    assert_eq!(dial("<Queue url=\"/wait\">support</Queue>"), []);
}

#[test]
fn a_status_callback_on_dial_is_found_with_its_line() {
    let text = "<Response>\n  <Dial action=\"/a\"\n        statusCallback=\"https://calls.example.com/x\" statusCallbackEvent=\"completed\">\n\
                    <Number>+14155550100</Number>\n  </Dial>\n</Response>";
    let found = lint::twiml(text, &expect());
    assert_eq!(rules(&found), [Rule::StatusCallbackOnDial, Rule::StatusCallbackOnDial, Rule::StatusCallbackMissing]);
    assert_eq!((found[0].line, found[0].column), (Some(3), Some(9)));
    assert!(
        found[0].put.contains("<Number statusCallback=") && found[0].put.contains("#rc=5&amp;rp=all"),
        "{found:#?}"
    );
    assert!(found[0].why.contains("12200") && found[0].why.contains("voice/twiml/dial"));
    assert_eq!((found[2].line, found[2].subject.as_str()), (Some(4), "<Number>"));
}

#[test]
fn a_noun_without_a_status_callback_is_found() {
    for noun in ["Number", "Client", "Sip", "WhatsApp", "Application"] {
        let found = dial(&format!("<{noun}>x</{noun}>"));
        assert_eq!(rules(&found), [Rule::StatusCallbackMissing], "{noun}");
        assert_eq!((found[0].line, found[0].column), (Some(3), Some(5)));
        assert!(found[0].put.contains(&PUT.replace('&', "&amp;")), "{found:#?}");
    }
    let bare = dial("+14155550100");
    assert_eq!((rules(&bare), bare[0].line, bare[0].column), (vec![Rule::StatusCallbackMissing], Some(3), Some(5)));
    assert!(
        bare[0].put.starts_with("<Number statusCallback=") && bare[0].put.ends_with(">+14155550100</Number>"),
        "{bare:#?}"
    );
    let unset = lint::twiml("<Response><Dial action=\"/a\"><Sip>sip:a@b</Sip></Dial></Response>", &Expect::default());
    assert!(unset[0].put.contains("https://calls.example.com/webhooks"), "an example stands in: {unset:#?}");
}

#[test]
fn events_that_twilio_does_not_read_are_found() {
    let events = |text: &str| {
        let good = PUT.replace('&', "&amp;");
        dial(&format!(r#"<Number statusCallback="{good}" statusCallbackEvent="{text}">1</Number>"#))
    };
    assert_eq!(rules(&events("initiated,ringing,answered,completed")), [Rule::EventsJoined]);
    assert_eq!(rules(&events("answered, completed")), [Rule::EventsJoined]);
    assert_eq!(rules(&events("answered,completed")), [Rule::EventsJoined]);
    assert_eq!(rules(&events("initiated ringing answered")), [Rule::NoCompleted]);
    assert_eq!(rules(&events("in-progress completed")), [Rule::EventUnknown]);
    assert_eq!(rules(&events("busy")), [Rule::EventUnknown, Rule::NoCompleted]);
    assert_eq!(rules(&events("")), [Rule::NoCompleted]);
    assert_eq!(rules(&events(" completed\n answered ")), []);
    assert_eq!(events("answered,completed")[0].put, r#"statusCallbackEvent="initiated ringing answered completed""#);
    assert!(events("in-progress completed")[0].what.contains("answered"));
    let alone = dial(r#"<Number statusCallbackEvent="completed">1</Number>"#);
    assert_eq!(rules(&alone), [Rule::StatusCallbackMissing, Rule::EventsWithoutCallback]);
    let default = dial(&format!(r#"<Number statusCallback="{}">1</Number>"#, PUT.replace('&', "&amp;")));
    assert_eq!((rules(&default), default[0].level), (vec![Rule::EventsDefault], Level::Note));
}

#[test]
fn urls_that_twilio_cannot_or_should_not_call_are_found() {
    let http = url("http://calls.example.com/x#rc=5&rp=all");
    assert_eq!(rules(&http), [Rule::UrlHttp, Rule::UrlForeign]);
    for finding in &http {
        assert_eq!(finding.put, format!(r#"statusCallback="{}""#, PUT.replace('&', "&amp;")), "one text for all of it");
    }
    let underscore = url("https://my_calls.example.com/x#rc=5&rp=all");
    assert_eq!(rules(&underscore), [Rule::UrlUnderscore, Rule::UrlForeign]);
    assert_eq!(rules(&url("https://calls.example.com:8443/x#rc=5&rp=all")), [Rule::UrlForeign]);
    assert_eq!(rules(&url("https://calls.example.com:443/webhooks/twilio/status#rc=5&rp=all")), []);
    assert_eq!(rules(&url("https://CALLS.example.com/webhooks/twilio/status#rc=5&rp=all")), []);
    let relative = url("/webhooks/status#rc=5&rp=all");
    assert_eq!((rules(&relative), relative[0].level), (vec![Rule::UrlRelative], Level::Note));
    for malformed in ["", "not a url", "ftp://calls.example.com/x", "https://"] {
        assert!(rules(&url(malformed)).contains(&Rule::UrlMalformed), "{malformed:?}: {:#?}", url(malformed));
    }
    let prefixed = Expect { public_url: Some("https://calls.example.com/hook".parse().unwrap()) };
    let at = |path: &str| {
        let text = format!(
            r#"<Response><Dial action="/a"><Number statusCallback="https://calls.example.com{path}#rc=5&amp;rp=all" statusCallbackEvent="completed">1</Number></Dial></Response>"#
        );
        rules(&lint::twiml(&text, &prefixed))
    };
    assert_eq!(at("/hook/webhooks/twilio/status"), []);
    assert_eq!(at("/hook/x"), [Rule::UrlOtherDoor]);
    assert_eq!((at("/hooks/x"), at("/x")), (vec![Rule::UrlForeign], vec![Rule::UrlForeign]));
    let other = dial(&format!(r#"<Number {GOOD} amdStatusCallback="http://calls.example.com/amd">1</Number>"#));
    assert_eq!(rules(&other), [Rule::UrlHttp]);
}

#[test]
fn overrides_are_read_as_twilio_reads_them() {
    let with = |fragment: &str| rules(&url(&format!("https://calls.example.com/webhooks/twilio/status{fragment}")));
    for good in [
        "#rc=5&rp=all",
        "#rp=all&rc=2",
        "#rc=3&rp=5xx,ct,rt",
        "#ct=100&rt=15000&tt=15000&rc=5&rp=4xx,all&sni=y&e=ashburn,dublin",
    ] {
        assert_eq!(with(good), [], "{good}");
    }
    for none in ["", "#"] {
        assert_eq!(with(none), [Rule::NoOverrides], "{none}");
    }
    for weak in ["#rc=1&rp=all", "#rc=5", "#rp=all", "#rc=5&rp=ct", "#rc=5&rp=4xx", "#ct=2000"] {
        assert_eq!(with(weak), [Rule::OverridesWeak], "{weak}");
    }
    for malformed in [
        "#rc=6&rp=all",
        "#rc=-1&rp=all",
        "#rc=five&rp=all",
        "#rc=5&rp=always",
        "#rc=5&rp=",
        "#ct=99",
        "#ct=10001",
        "#rt=15001",
        "#tt=99",
        "#rc=5,rp=all",
        "#rc=5;rp=all",
        "#sni=yes",
        "#e=",
        "#top",
        "#rc=5&rc=4&rp=all",
        "#rc=",
        "#rc=5&rp=all&",
        "#rc=+5&rp=all",
    ] {
        assert!(with(malformed).contains(&Rule::OverridesMalformed), "{malformed}: {:?}", with(malformed));
    }
    for path in ["/webhooks/twilio/status", "/x"] {
        for finding in url(&format!("https://calls.example.com{path}?a=1&b=2#rc=9")) {
            let put =
                r#"statusCallback="https://calls.example.com/webhooks/twilio/status?a=1&amp;b=2#rc=5&amp;rp=all""#;
            assert_eq!(finding.put, put, "{path}");
        }
    }
}

#[test]
fn attributes_that_do_not_exist_are_found_with_the_nearest_one() {
    let found = dial(&format!(r#"<Number {GOOD} statuscallbackmethod="POST">1</Number>"#));
    assert_eq!(
        (rules(&found), found[0].put.as_str()),
        (vec![Rule::AttributeUnknown], r#"statusCallbackMethod="POST""#)
    );
    let client = dial(&format!(r#"<Client {GOOD} machineDetection="Enable">ann</Client>"#));
    assert_eq!((rules(&client), client[0].put.as_str()), (vec![Rule::AttributeUnknown], ""));
    let text =
        r#"<Response><Dial action="/a" timeOut="20" StatusCallback="x"><Conference>r</Conference></Dial></Response>"#;
    let found = lint::twiml(text, &expect());
    assert_eq!(rules(&found), [Rule::AttributeUnknown, Rule::StatusCallbackOnDial]);
    assert_eq!(found[0].put, r#"timeout="20""#);
}

#[test]
fn dial_without_action_and_callbacks_by_get_are_found() {
    let text = format!("<Response><Dial>\n<Number {GOOD} statusCallbackMethod=\"get\">1</Number></Dial></Response>");
    let found = lint::twiml(&text, &expect());
    assert_eq!(rules(&found), [Rule::DialWithoutAction, Rule::MethodGet]);
    assert_eq!(found[0].put, r#"action="https://calls.example.com/webhooks/twilio/dial#rc=5&amp;rp=all""#);
    assert_eq!(found[0].level, Level::Finding);
    assert_eq!((found[1].line, found[1].put.as_str()), (Some(2), r#"statusCallbackMethod="POST""#));
    let http =
        lint::twiml("<Response><Dial action=\"http://a.example/x\"><Queue>q</Queue></Dial></Response>", &expect());
    assert_eq!(rules(&http), [Rule::UrlHttp, Rule::ActionForeign]);
}

/// An action decides how the call goes on: where the document does, ours would end the call.
#[test]
fn an_action_is_not_forced_on_documents_that_go_on() {
    let number = format!("<Number {GOOD}>1</Number>");
    for text in [
        format!("<Response><Dial>{number}</Dial><Say>Sorry</Say></Response>"),
        "<Response><Dial><Conference>room</Conference></Dial></Response>".to_owned(),
        "<Response><Dial><Queue>support</Queue></Dial></Response>".to_owned(),
    ] {
        let found = lint::twiml(&text, &expect());
        assert_eq!((rules(&found), found[0].level), (vec![Rule::DialWithoutAction], Level::Note), "{text}");
        assert!(found[0].what.contains("<Hangup/>") && found[0].put.is_empty(), "{found:#?}");
    }
    let before = format!("<Response><Say>Hello</Say><Dial>{number}</Dial></Response>");
    assert_eq!(lint::twiml(&before, &expect())[0].level, Level::Finding);
}

/// What comes to the wrong door is refused or misread.
#[test]
fn each_url_has_a_door_of_its_own() {
    let base = "https://calls.example.com/webhooks/twilio";
    let at = |attributes: &str, noun: &str| {
        let attributes = attributes.replace("BASE", base);
        let noun = noun.replace("BASE", base);
        let text = format!("<Response><Dial {attributes}><Number {GOOD} {noun}>1</Number></Dial></Response>");
        lint::twiml(&text, &expect())
    };
    let good = r#"action="BASE/dial?lead_id=1#rc=5&amp;rp=all""#;
    let rest = r#"recordingStatusCallback="BASE/recording#rc=5&amp;rp=all""#;
    let noun = r#"amdStatusCallback="BASE/amd#rc=5&amp;rp=all" url="BASE/whisper#rc=5&amp;rp=all""#;
    assert_eq!(at(&format!("{good} {rest}"), noun), []);
    assert_eq!(at(good, r#"url="https://calls.example.com/hello""#), [], "anybody may whisper");
    for (attributes, noun, door) in [
        (r#"action="BASE/status#rc=5&amp;rp=all""#.to_owned(), "", "dial"),
        (r#"action="https://calls.example.com/next#rc=5&amp;rp=all""#.to_owned(), "", "dial"),
        (format!(r#"{good} recordingStatusCallback="BASE/status#rc=5&amp;rp=all""#), "", "recording"),
        (good.to_owned(), r#"amdStatusCallback="BASE/recording#rc=5&amp;rp=all""#, "amd"),
        (good.to_owned(), r#"url="BASE/voice#rc=5&amp;rp=all""#, "whisper"),
    ] {
        let found = at(&attributes, noun);
        assert_eq!(rules(&found), [Rule::UrlOtherDoor], "{attributes} {noun}");
        assert!(found[0].put.ends_with(&format!("=\"{base}/{door}#rc=5&amp;rp=all\"")), "{found:#?}");
    }
    let weak = at(r#"action="BASE/dial""#, "");
    assert_eq!(
        (rules(&weak), weak[0].put.as_str()),
        (vec![Rule::NoOverrides], &*format!("action=\"{base}/dial#rc=5&amp;rp=all\""))
    );
    let foreign = at(r#"action="https://app.example/next""#, "");
    assert_eq!((rules(&foreign), foreign[0].level), (vec![Rule::ActionForeign], Level::Note));
    // No host is invented: with a public URL its own is put, without one nobody knows.
    let underscore = |expect: &Expect| {
        let text = r#"<Response><Dial action="/a"><Number statusCallback="http://my_calls.example.com/x" statusCallbackEvent="completed">1</Number></Dial></Response>"#;
        lint::twiml(text, expect)
    };
    let ours = format!(r#"statusCallback="{}""#, PUT.replace('&', "&amp;"));
    assert!(underscore(&expect()).iter().all(|finding| finding.put == ours));
    let unset = underscore(&Expect::default());
    assert_eq!(rules(&unset), [Rule::UrlHttp, Rule::UrlUnderscore, Rule::NoOverrides]);
    assert!(unset.iter().all(|finding| finding.put.is_empty()), "{unset:#?}");
}

#[test]
fn documents_that_twilio_does_not_read_are_found() {
    let at = |text: &str| lint::twiml(text, &expect());
    for broken in ["", "hello", "<Response>", "<Response><Dial></Response>", "<Response a=1/>", "<a/><b/>", "{\"a\":1}"]
    {
        assert_eq!(rules(&at(broken)), [Rule::NotXml], "{broken}");
    }
    assert_eq!(at("<Response>\n<Dial>\n</Response>")[0].line, Some(3));
    // Not read, so that nothing can be expanded.
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;&b;\">]><Response><Dial>&c;</Dial></Response>";
    assert_eq!(rules(&at(bomb)), [Rule::NotXml]);
    assert_eq!(rules(&at("<html/>")), [Rule::NotTwiml]);
    let padded = |bytes: usize| format!("<Response><!--{}--></Response>", "x".repeat(bytes - 28));
    assert_eq!((padded(TWIML_BYTES_MAX).len(), at(&padded(TWIML_BYTES_MAX))), (TWIML_BYTES_MAX, vec![]));
    assert_eq!(rules(&at(&padded(TWIML_BYTES_MAX + 1))), [Rule::TooLarge]);
    assert_eq!(rules(&at(&padded(10 << 20))), [Rule::TooLarge]);
    let deep = format!("<Response>{}{}</Response>", "<Dial action=\"\">".repeat(3_000), "</Dial>".repeat(3_000));
    let _ = at(&deep);
}

/// Every attribute that Twilio's SDK for Node has is known here; a newer SDK may have more.
#[test]
fn the_attributes_of_the_official_sdk_are_known() {
    let modules = std::env::var("ONHOOK_TEST_NODE_MODULES").expect("run the tests with scripts/test");
    let types = std::fs::read_to_string(format!("{modules}/twilio/lib/twiml/VoiceResponse.d.ts")).unwrap();
    for element in ["Dial", "Number", "Client", "Sip", "WhatsApp", "Application", "Conference"] {
        let (_, interface) = types.split_once(&format!("interface {element}Attributes {{")).unwrap();
        let interface = interface.split('}').next().unwrap();
        let names: Vec<&str> =
            interface.lines().filter_map(|line| line.trim().split_once("?:")).map(|(name, _)| name).collect();
        assert!(names.len() > 4, "{element}: {names:?}");
        for name in names {
            let text = match element {
                "Dial" => format!("<Response><Dial {name}=\"x\"><Queue>q</Queue></Dial></Response>"),
                noun => format!("<Response><Dial><{noun} {name}=\"x\">y</{noun}></Dial></Response>"),
            };
            let found = lint::twiml(&text, &expect());
            assert!(!rules(&found).contains(&Rule::AttributeUnknown), "{element} {name}: {found:#?}");
        }
    }
}
