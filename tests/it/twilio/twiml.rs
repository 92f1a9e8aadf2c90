//! TwiML against Twilio's own SDK for Python: the same calls mean the same there and here, and nothing is written that
//! the SDK does not know.

use super::oracle::{ask, python};
use crate::support::xml::Element;
use onhook::twilio::twiml::{
    Amd, BYTES_MAX, Client, Dial, LegCallbacks, MachineDetection, Method, NOUNS_MAX, Noun, Number, Progress, Record,
    RecordingProgress, Response, SAY_CHARS_MAX, Say, Sip, TwimlError, Verb,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value, json};

const CASES: usize = 300;
/// Printed with every failure, so that it can be repeated.
const SEED: u64 = 20_261_120;

#[test]
fn the_official_sdk_writes_the_same() {
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut responses: Vec<Response> = (0..CASES).map(|_| response(&mut rng)).collect();
    // Everything at once: whatever our types can write is in one of these.
    responses.push(Response { verbs: everything() });
    let ours: Vec<String> = responses.iter().map(|response| response.render().unwrap()).collect();
    let question = |(response, xml): (&Response, &String)| json!({ "verbs": response.verbs.iter().map(verb_for_sdk).collect::<Vec<_>>(), "xml": xml });
    let answers = ask(python("twiml_oracle.py"), responses.iter().zip(&ours).map(question).collect());
    for (ours, answer) in ours.iter().zip(&answers) {
        let theirs = answer["xml"].as_str().unwrap();
        assert_eq!(answer["same"], true, "seed {SEED}: ours\n{ours}\ntheirs\n{theirs}");
        assert_eq!(Element::parse(theirs), Element::parse(ours), "seed {SEED}");
        assert_eq!(answer["unknown"], json!([]), "the SDK does not know these: {ours}");
        assert_eq!(answer["dial_takes_status_callback"], false, "then onhook should write it");
    }
}

/// Each struct is written out: a field that is added has to be added here, and so is compared with the SDK.
fn everything() -> Vec<Verb> {
    let url = || Some("https://calls.example.com/a?b=c&d=%20#rc=5&rp=all".to_owned());
    let leg = || LegCallbacks {
        url: url(),
        method: Some(Method::Post),
        status_callback: url(),
        status_callback_method: Some(Method::Get),
        status_callback_event: Progress::ALL.to_vec(),
    };
    let amd = || Amd {
        machine_detection: Some(MachineDetection::DetectMessageEnd),
        amd_status_callback: url(),
        amd_status_callback_method: Some(Method::Post),
    };
    let nouns = vec![
        Noun::Number(Number { number: "+14155550101".into(), leg: leg(), amd: amd() }),
        Noun::Client(Client { identity: "ann".into(), leg: leg() }),
        Noun::Sip(Sip { address: "sip:ann@example.com;transport=tls".into(), leg: leg(), amd: amd() }),
    ];
    let dial = Dial {
        action: url(),
        method: Some(Method::Post),
        timeout_seconds: Some(20),
        time_limit_seconds: Some(3_600),
        caller_id: Some("+14155550100".into()),
        record: Some(Record::FromAnswerDual),
        recording_status_callback: url(),
        recording_status_callback_method: Some(Method::Post),
        recording_status_callback_event: RecordingProgress::ALL.to_vec(),
        answer_on_bridge: Some(true),
        nouns,
    };
    let say = Say { text: "a < b & \"c\"".into(), voice: Some("Polly.Joanna".into()), language: Some("en-GB".into()) };
    vec![Verb::Say(say), Verb::Dial(Box::new(dial)), Verb::Hangup]
}

fn response(rng: &mut StdRng) -> Response {
    let verbs = (0..rng.random_range(0..4)).map(|_| match rng.random_range(0..3) {
        0 => Verb::Say(Say { text: text(rng), voice: maybe(rng, text), language: maybe(rng, text) }),
        1 => Verb::Hangup,
        _ => Verb::Dial(Box::new(dial(rng))),
    });
    Response { verbs: verbs.collect() }
}

fn dial(rng: &mut StdRng) -> Dial {
    let method = |rng: &mut StdRng| *Method::ALL.choose(rng).unwrap();
    Dial {
        action: maybe(rng, text),
        method: maybe(rng, method),
        timeout_seconds: maybe(rng, |rng| rng.random_range(5..=600)),
        time_limit_seconds: maybe(rng, |rng| rng.random_range(1..=86_400)),
        caller_id: maybe(rng, text),
        record: maybe(rng, |rng| *Record::ALL.choose(rng).unwrap()),
        recording_status_callback: maybe(rng, text),
        recording_status_callback_method: maybe(rng, method),
        recording_status_callback_event: some_of(rng, RecordingProgress::ALL),
        answer_on_bridge: maybe(rng, |rng| rng.random()),
        nouns: (0..rng.random_range(0..=NOUNS_MAX)).map(|_| noun(rng)).collect(),
    }
}

fn noun(rng: &mut StdRng) -> Noun {
    let method = |rng: &mut StdRng| *Method::ALL.choose(rng).unwrap();
    let leg = LegCallbacks {
        url: maybe(rng, text),
        method: maybe(rng, method),
        status_callback: maybe(rng, text),
        status_callback_method: maybe(rng, method),
        status_callback_event: some_of(rng, Progress::ALL),
    };
    let amd = Amd {
        machine_detection: maybe(rng, |rng| *MachineDetection::ALL.choose(rng).unwrap()),
        amd_status_callback: maybe(rng, text),
        amd_status_callback_method: maybe(rng, method),
    };
    match rng.random_range(0..3) {
        0 => Noun::Number(Number { number: text(rng), leg, amd }),
        1 => Noun::Client(Client { identity: text(rng), leg }),
        _ => Noun::Sip(Sip { address: text(rng), leg, amd }),
    }
}

fn maybe<T>(rng: &mut StdRng, make: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    rng.random_bool(0.5).then(|| make(rng))
}

fn some_of<T: Copy>(rng: &mut StdRng, words: &[T]) -> Vec<T> {
    words.iter().copied().filter(|_| rng.random_bool(0.5)).collect()
}

fn text(rng: &mut StdRng) -> String {
    let pieces = [
        "a",
        "+14155550101",
        " ",
        "<",
        ">",
        "&",
        "\"",
        "'",
        "&amp;",
        "]]>",
        "<!--",
        "\n",
        "\t",
        "é",
        "日本",
        "😀",
        "<Dial statusCallback=\"x\">",
        "https://h.example/?a=b&c=%20#rc=5&rp=all",
    ];
    (0..rng.random_range(0..6)).map(|_| *pieces.choose(rng).unwrap()).collect()
}

/// A verb as the SDK is asked for it: the names of its arguments, Python's types.
fn verb_for_sdk(verb: &Verb) -> Value {
    match verb {
        Verb::Say(Say { text, voice, language }) => {
            let given = json!({ "voice": voice, "language": language });
            json!({ "name": "Say", "text": text, "given": without_null(given) })
        }
        Verb::Hangup => json!({ "name": "Hangup", "given": {} }),
        Verb::Dial(dial) => {
            let given = json!({
                "action": dial.action, "method": dial.method, "timeout": dial.timeout_seconds,
                "time_limit": dial.time_limit_seconds, "caller_id": dial.caller_id, "record": dial.record,
                "recording_status_callback": dial.recording_status_callback,
                "recording_status_callback_method": dial.recording_status_callback_method,
                "recording_status_callback_event": joined(&dial.recording_status_callback_event),
                "answer_on_bridge": dial.answer_on_bridge,
            });
            let nouns: Vec<Value> = dial.nouns.iter().map(noun_for_sdk).collect();
            json!({ "name": "Dial", "given": without_null(given), "nouns": nouns })
        }
    }
}

fn noun_for_sdk(noun: &Noun) -> Value {
    let leg = |leg: &LegCallbacks| {
        json!({
            "url": leg.url, "method": leg.method, "status_callback": leg.status_callback,
            "status_callback_method": leg.status_callback_method,
            "status_callback_event": joined(&leg.status_callback_event),
        })
    };
    let amd = |amd: &Amd| {
        json!({
            "machine_detection": amd.machine_detection, "amd_status_callback": amd.amd_status_callback,
            "amd_status_callback_method": amd.amd_status_callback_method,
        })
    };
    let (name, text, parts) = match noun {
        Noun::Number(number) => ("Number", &number.number, vec![leg(&number.leg), amd(&number.amd)]),
        Noun::Client(client) => ("Client", &client.identity, vec![leg(&client.leg)]),
        Noun::Sip(sip) => ("Sip", &sip.address, vec![leg(&sip.leg), amd(&sip.amd)]),
    };
    let given: Map<String, Value> = parts.into_iter().flat_map(|part| part.as_object().unwrap().clone()).collect();
    json!({ "name": name, "text": text, "given": without_null(Value::Object(given)) })
}

fn joined<T: ToString>(words: &[T]) -> Option<String> {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn without_null(value: Value) -> Value {
    let fields = value.as_object().unwrap().clone();
    Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
}

proptest! {
    /// Whatever the text is, it stays a text, and a URL one attribute.
    #[test]
    fn any_text_is_well_formed(say in ".*", url in any::<String>(), identity in any::<String>()) {
        let leg = LegCallbacks { status_callback: Some(url.clone()), ..LegCallbacks::default() };
        let dial = Dial {
            action: Some(url.clone()),
            nouns: vec![Noun::Client(Client { identity: identity.clone(), leg })],
            ..Dial::default()
        };
        let say_verb = Verb::Say(Say { text: say.clone(), ..Say::default() });
        let xml = Response { verbs: vec![say_verb, Verb::Dial(Box::new(dial))] }.render().unwrap();
        let root = Element::try_parse(&xml).map_err(TestCaseError::fail)?;
        prop_assert_eq!(root.names(), ["Say", "Dial"]);
        prop_assert_eq!(&root.child("Say").text, &carried(&say));
        prop_assert!(root.child("Say").attributes.is_empty());
        let dial = root.child("Dial");
        prop_assert_eq!(dial.attributes.keys().collect::<Vec<_>>(), ["action"]);
        prop_assert_eq!(dial.attribute("action"), carried(&url));
        let client = dial.child("Client");
        prop_assert_eq!(client.attributes.keys().collect::<Vec<_>>(), ["statusCallback"]);
        prop_assert_eq!(&client.text, &carried(&identity));
        prop_assert!(client.children.is_empty());
    }
}

/// What XML 1.0 cannot carry is U+FFFD.
fn carried(text: &str) -> String {
    let lost = |c: char| (c < ' ' && !['\t', '\n', '\r'].contains(&c)) || ['\u{fffe}', '\u{ffff}'].contains(&c);
    text.chars().map(|c| if lost(c) { '\u{fffd}' } else { c }).collect()
}

#[test]
fn what_xml_cannot_carry_is_replaced() {
    let say = |text: &str| Response { verbs: vec![Verb::Say(Say { text: text.into(), ..Say::default() })] }.render();
    let xml = say("a\0b\u{1b}c\u{fffe}\u{ffff}d\r\ne").unwrap();
    assert_eq!(Element::parse(&xml).child("Say").text, "a\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}d\r\ne");
}

#[test]
fn limits_have_names() {
    let render = |verb| Response { verbs: vec![verb] }.render();
    let say = |chars: usize| Verb::Say(Say { text: "é".repeat(chars), ..Say::default() });
    assert!(render(say(SAY_CHARS_MAX)).is_ok());
    assert_eq!(render(say(SAY_CHARS_MAX + 1)), Err(TwimlError::SayTooLong { chars: SAY_CHARS_MAX + 1 }));
    let dial =
        |nouns| Verb::Dial(Box::new(Dial { nouns: vec![Noun::Client(Client::default()); nouns], ..Dial::default() }));
    assert!(render(dial(NOUNS_MAX)).is_ok());
    assert_eq!(render(dial(NOUNS_MAX + 1)), Err(TwimlError::TooManyNouns { nouns: NOUNS_MAX + 1 }));
    let action = |bytes: usize| Verb::Dial(Box::new(Dial { action: Some("x".repeat(bytes)), ..Dial::default() }));
    let rest = render(action(0)).unwrap().len();
    assert!(render(action(BYTES_MAX - rest - 1)).is_ok());
    assert_eq!(render(action(BYTES_MAX - rest)), Err(TwimlError::TooLarge { bytes: BYTES_MAX }));
}
