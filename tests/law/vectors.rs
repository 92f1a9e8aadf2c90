//! Differential: `fixtures/law/call_model.py` is a second reading of the law; here both must read the same rows.

use crate::build::{Carry, cause_of, live, signal, weak};
use onhook::domain::{
    call::Call,
    signal::{Claim, Field, Signal, Told, Weak},
    state::{HangupCause, Live},
    time::{Millis, SECOND},
};
use serde_json::{Map, Value, json};
use std::{fs, path::PathBuf, process::Command, str::FromStr};

#[test]
fn our_rows_are_those_of_the_model() {
    let text = fs::read_to_string(file("vectors.jsonl")).unwrap();
    let mut compared = 0;
    for line in text.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let signals: Vec<Signal> = vector["signals"].as_array().unwrap().iter().map(read_signal).collect();
        assert_eq!(row_in_words_of_the_model(&Call::fold(&signals)), vector["row"], "{line}");
        compared += 1;
    }
    assert_eq!(compared, 7_000);
}

#[test]
fn the_vectors_are_what_the_generator_writes() {
    let python = std::env::var("ONHOOK_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let run = Command::new(&python).arg(file("generate.py")).output();
    let output = run.unwrap_or_else(|e| panic!("failed to start {python}: {e}; this test needs Python 3"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let same = output.stdout == fs::read(file("vectors.jsonl")).unwrap();
    assert!(same, "python3 fixtures/law/generate.py > fixtures/law/vectors.jsonl");
}

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fixtures", "law", name].iter().collect()
}

/// The forms are listed in `generate.py`. Times there are seconds.
fn read_signal(form: &Value) -> Signal {
    let number = |i: usize| form[i].as_i64();
    let time = |i: usize| number(i).map(|t| t * SECOND);
    let at = |i: usize, say: &dyn Fn(i64) -> Signal| Signal { at: time(i), ..say(number(i + 1).unwrap()) };
    match form[0].as_str().unwrap() {
        "live" => at(3, &|received| live(word::<Live>(&form[1]), word(&form[2]), received)),
        "told" => {
            let outcome = word(&form[1]);
            let told = Told { outcome, seconds: number(6), cause: cause_of(outcome) };
            at(3, &|received| signal(word(&form[2]), Claim::Ended(told), received)).sequence(number(5))
        }
        "weak" => {
            let said = Weak {
                decided_ms: time(2).unwrap(),
                floor_ms: time(4),
                cause: CAUSES.iter().find(|(letter, _)| form[5] == *letter).unwrap().1,
                if_answered: word(&form[6]),
                stated_end_ms: time(7),
            };
            weak(word(&form[1]), said).received(number(3).unwrap())
        }
        "detail" => {
            let value = form[1].as_str().unwrap();
            at(3, &|received| signal(word(&form[2]), Claim::Recording, received).detail(Field::From, value))
        }
        other => panic!("{other}"),
    }
}

fn word<T: FromStr<Err = String>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

/// The letters of the model and causes in the same order. The model has causes for weak endings only, so these are
/// none that a told ending has here.
const CAUSES: [(&str, HangupCause); 3] =
    [("a", HangupCause::TimeoutCleanup), ("b", HangupCause::Superseded), ("c", HangupCause::PbxRestart)];

fn row_in_words_of_the_model(call: &Call) -> Value {
    let row = call.read();
    let seconds = |ms: Option<Millis>| ms.map(|ms| ms / SECOND);
    let cause = row.hangup_cause.and_then(|cause| CAUSES.iter().find(|(_, c)| *c == cause)).map(|(letter, _)| letter);
    let values = json!({
        "status": row.status,
        "created_at": row.created_at_ms / SECOND,
        "initiated_at": seconds(row.initiated_at_ms),
        "ringing_at": seconds(row.ringing_at_ms),
        "answered_at": seconds(row.answered_at_ms),
        "ended_at": seconds(row.ended_at_ms),
        "resolution": row.resolution,
        "estimated": row.estimated,
        "talk": row.talk_seconds,
        "cause": cause,
        "detail": call.detail(Field::From),
    });
    let Value::Object(values) = values else { unreachable!() };
    values.into_iter().filter(|(_, v)| !v.is_null() && *v != json!(false)).collect::<Map<_, _>>().into()
}
