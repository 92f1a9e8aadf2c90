//! What a stream may do to us: stop anywhere, say everything twice, lose a message.

use super::{
    replay::{Capture, Run, Turn, assert_few},
    table::TABLE,
};
use crate::{
    ami::{Message, Snapshot},
    domain::{
        signal::{Field, Witness},
        state::Status,
        time::{Millis, SECOND},
    },
};
use std::collections::BTreeMap;

/// A list in which nothing lives.
fn empty(at_ms: Millis) -> Snapshot {
    Snapshot { asked_ms: at_ms, listed_ms: at_ms, channels: Vec::new() }
}

fn assert_all_ended(what: &str, run: &Run) {
    for (id, (_, row)) in run.rows() {
        assert!(row.status.is_ended(), "{what}: {id} is {} for ever", row.status);
    }
    assert!(run.correlator.live().is_empty(), "{what}: {:?}", run.correlator.live());
}

/// Messages that cannot mean anything need not be tried.
fn matters(turn: &Turn) -> bool {
    matches!(turn, Turn::Message(message, _) if super::super::matters(message))
}

#[test]
fn wherever_it_stops_an_empty_list_ends_every_call() {
    for (name, _) in TABLE {
        let capture = Capture::read(name);
        let mut run = Run::new();
        for (position, turn) in capture.turns.iter().enumerate() {
            run.take(turn);
            if !matters(turn) {
                continue;
            }
            let mut stopped = run.clone();
            let now_ms = run.now_ms;
            stopped.take(&Turn::Disconnected);
            stopped.take(&Turn::Connected(now_ms + SECOND));
            let gap = super::super::Gap { heard_ms: Some(now_ms), restarted_ms: None };
            stopped.take(&Turn::Resync(empty(now_ms + SECOND), gap));
            stopped.pass(now_ms + 4 * SECOND);
            assert_all_ended(&format!("{name} at {position}"), &stopped);
            for (id, (_, row)) in stopped.rows() {
                assert!(row.ended_at_ms <= Some(now_ms), "{name} at {position}: {id} ended after it was last heard");
            }
        }
    }
}

#[test]
fn what_is_said_twice_counts_once() {
    for (name, expected) in TABLE {
        let capture = Capture::read(name);
        let mut run = Run::new();
        for turn in &capture.turns {
            run.take(turn);
            if matches!(turn, Turn::Message(..)) {
                run.take(turn);
            }
        }
        run.pass(capture.end_ms + 60 * SECOND);
        assert_few(name, &run.said);
        assert_eq!(run.lines(), *expected, "{name}");
    }
}

/// How the calls ended, without why and for how long.
fn statuses(run: &Run) -> BTreeMap<String, Status> {
    let rows = run.rows().into_iter().filter(|(_, (call, _))| call.detail(Field::ParentId).is_none());
    rows.map(|(id, (_, row))| (id, row.status)).collect()
}

/// Every call still ends, by another `Hangup` or by two lists that lack it. What is then not known is not made up: only
/// the loss of an ending itself changes it, and then to what says least.
#[test]
fn any_one_message_may_be_lost() {
    let mut tried = 0;
    for (name, _) in TABLE {
        let capture = Capture::read(name);
        let right = statuses(&Run::of(&capture));
        let positions = capture.turns.iter().enumerate().filter(|(_, turn)| matters(turn));
        for (position, lost) in positions {
            let mut run = Run::new();
            for (at, turn) in capture.turns.iter().enumerate() {
                if at != position {
                    run.take(turn);
                }
            }
            run.pass(capture.end_ms + 20 * SECOND);
            for seconds in [30, 60] {
                run.take(&Turn::Audit(empty(capture.end_ms + seconds * SECOND)));
            }
            run.pass(capture.end_ms + 70 * SECOND);
            let Turn::Message(message, _) = lost else { continue };
            let event = Message::event(message).unwrap_or_default();
            let what = format!("{name} without {event} at {position}");
            assert_all_ended(&what, &run);
            assert_few(name, &run.said);
            tried += 1;
            let now = statuses(&run);
            for (id, status) in &right {
                let is_ending = event == "Hangup" || (name.starts_with("local_") && event == "DialEnd");
                match now.get(id) {
                    Some(now) if now == status => {}
                    Some(now) => assert!(is_ending && *now == Status::NoAnswer, "{what}: {id} is {now}, not {status}"),
                    // Nothing else ever spoke of it.
                    None => assert_eq!(event, "OriginateResponse", "{what}"),
                }
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}

/// A gap is not a message: nothing that is told by an event is told by its absence.
#[test]
fn only_lists_say_that_something_is_absent() {
    for (name, _) in TABLE.iter().filter(|(name, _)| !name.contains("cut_") && !name.contains("restart")) {
        let run = Run::of(&Capture::read(name));
        assert!(run.said.iter().all(|signal| signal.witness != Witness::Absent), "{name}");
    }
}
