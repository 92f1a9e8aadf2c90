//! What may be pushed, and how a refusal names what is wrong.

use super::*;
use serde_json::json;

fn read(body: &Value) -> Result<Pushed, BodyError> {
    of_json(body.to_string().as_bytes())
}

#[track_caller]
fn wrong(result: Result<Pushed, BodyError>) -> Vec<(String, String)> {
    match result {
        Err(BodyError::Wrong(wrongs)) => wrongs.into_iter().map(|wrong| (wrong.field, wrong.message)).collect(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn field(result: Result<Pushed, BodyError>) -> String {
    let wrongs = wrong(result);
    assert_eq!(wrongs.len(), 1, "{wrongs:?}");
    wrongs.into_iter().next().map(|(field, _)| field).unwrap_or_default()
}

fn headers(message: &Message) -> Vec<(String, String)> {
    ["Event", "Uniqueid", "ChanVariable", "Priority", "Timestamp"]
        .iter()
        .flat_map(|name| message.all(name).map(|value| ((*name).to_owned(), value.to_owned())))
        .collect()
}

#[test]
fn one_event_or_several_as_json_or_a_form() {
    let event = json!({"Event": "Newchannel", "Uniqueid": "1700000000.10", "ChanVariable": ["a=1", "b=2"],
        "Priority": 1, "Timestamp": 1_700_000_000.25, "Nothing": null, "pbx": "pbx1"});
    let one = read(&event).unwrap();
    assert_eq!(one.pbx.as_deref(), Some("pbx1"));
    let expected = [
        ("Event", "Newchannel"),
        ("Uniqueid", "1700000000.10"),
        ("ChanVariable", "a=1"),
        ("ChanVariable", "b=2"),
        ("Priority", "1"),
        ("Timestamp", "1700000000.25"),
    ];
    let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(headers(&one.events[0]), expected);
    assert_eq!((one.events[0].get("Nothing"), one.events[0].get("pbx")), (None, None));
    let form = b"Event=Newchannel&Uniqueid=1700000000.10&ChanVariable=a%3D1&ChanVariable=b%3D2&Priority=1&Timestamp=1700000000.25&PBX=pbx1";
    let form = of_form(form).unwrap();
    assert_eq!((form.pbx.as_deref(), headers(&form.events[0])), (Some("pbx1"), expected));
    let several = read(&json!([event, {"event": "Hangup"}])).unwrap();
    assert_eq!(several.events.len(), 2);
    assert_eq!(several.events[1].event(), Some("Hangup"), "names are read without regard to case");
}

#[test]
fn a_header_that_is_written_twice_is_there_twice() {
    let twice = of_json(br#"{"Event":"Newchannel","ChanVariable":"a=1","ChanVariable":"b=2"}"#).unwrap();
    assert_eq!(twice.events[0].all("ChanVariable").collect::<Vec<_>>(), ["a=1", "b=2"]);
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_nothing_is_taken() {
    let good = json!({"Event": "Hangup"});
    for (bad, name) in [
        (json!({"Uniqueid": "1.1"}), "[1].Event"),
        (json!({"Event": ""}), "[1].Event"),
        (json!({"Event": null}), "[1].Event"),
        (json!({"Event": "Hangup", "Uniqueid": 1.5}), "[1].Uniqueid"),
        (json!({"Event": "Hangup", "Cause": true}), "[1].Cause"),
        (json!({"Event": "Hangup", "X": {"a": 1}}), "[1].X"),
        (json!({"Event": "Hangup", "X": [["a"]]}), "[1].X"),
        (json!({"Event": "Hangup", "X": "a\r\nEvent: Newchannel"}), "[1].X"),
        (json!({"Event": "Hangup", "X": "x".repeat(16 * 1024 + 1)}), "[1].X"),
        (json!({"Event": "Hangup", "a:b": "x"}), "[1].a:b"),
        (json!({"Event": "Hangup", "": "x"}), "[1]."),
        (json!({"Event": "Hangup", "é": "x"}), "[1].é"),
        (json!({"Event": "Hangup", "X": vec!["x"; 256]}), "[1]"),
        (json!("Hangup"), "[1]"),
        (json!(["Hangup"]), "[1]"),
        (json!(7), "[1]"),
        (Value::Null, "[1]"),
    ] {
        assert_eq!(field(read(&json!([good, bad, good]))), name, "{bad}");
    }
    assert_eq!(field(read(&json!("Hangup"))), "body");
    assert_eq!(field(read(&json!([]))), "body");
    assert_eq!(field(of_form(b"")), "Event");
    let two = json!([{"Event": "Hangup", "pbx": "a"}, {"Event": "Hangup", "pbx": "b"}]);
    assert_eq!(field(read(&two)), "[1].pbx");
    assert_eq!(wrong(read(&json!(vec![1; 30]))).len(), WRONGS_SHOWN_MAX, "not without end");
}

#[test]
fn what_is_no_json_or_too_much_is_said_to_be_that() {
    for text in [&b"{"[..], b"", b"{}{}", b"Event=Hangup", b"[{\"Event\":\"x\"}", b"\xff\xfe"] {
        assert!(matches!(of_json(text), Err(BodyError::NotJson(_))), "{text:?}");
    }
    let many = |count| json!(vec![json!({"Event": "Hangup"}); count]);
    assert_eq!(read(&many(EVENTS_MAX)).unwrap().events.len(), EVENTS_MAX);
    assert_eq!(read(&many(EVENTS_MAX + 1)), Err(BodyError::TooMany(EVENTS_MAX + 1)));
}
