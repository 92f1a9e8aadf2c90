//! Channel lists: what they say of calls nobody told about.

use super::{
    super::Gap,
    replay::{Run, Turn},
    script::{ANSWERS, ENDS, RINGS, START_MS, list},
};
use crate::domain::{
    signal::{Claim, Field, Signal, Witness},
    state::{HangupCause, Live, Status},
    time::Millis,
};

fn gap(heard_ms: Millis) -> Gap {
    Gap { heard_ms: Some(START_MS + heard_ms), restarted_ms: None }
}

fn ringing() -> Run {
    let mut run = Run::started();
    run.hear(RINGS);
    run
}

/// The connection is gone; it comes back, and this is the list.
fn reconnect(run: &mut Run, heard_ms: Millis, at_ms: Millis, lines: &[&str]) -> Vec<Signal> {
    run.take(&Turn::Disconnected);
    run.take(&Turn::Connected(START_MS + at_ms));
    let said = run.correlator.resync(&list(at_ms, lines), gap(heard_ms));
    run.said.extend(said.clone());
    said
}

fn claims(said: &[Signal]) -> Vec<(&str, &str, Option<Millis>)> {
    let claim = |signal: &Signal| signal.at.map(|at| at - START_MS);
    said.iter().map(|s| (s.leg.provider_id.as_str(), s.claim_word().unwrap(), claim(s))).collect()
}

#[test]
fn an_answer_in_a_gap_has_its_true_time_by_the_cdr() {
    for (cdr_ms, answered_ms) in [(Some(6_250), 6_250), (None, 9_000), (Some(-3_000), 9_000), (Some(99_000), 9_000)] {
        let mut run = ringing();
        run.take(&Turn::Connected(START_MS + 8_000));
        let mut up = list(9_000, &["a a PJSIP/2001-1 6 x", "b a PJSIP/2002-2 6 x"]);
        for channel in &mut up.channels {
            channel.answered_ms = cdr_ms.map(|at| START_MS + at);
        }
        let said = run.correlator.resync(&up, gap(5_000));
        run.said.extend(said);
        let rows = run.rows();
        for id in ["a", "b"] {
            let row = &rows[id].1;
            let at = row.answered_at_ms.map(|at| at - START_MS);
            assert_eq!(
                (row.status, at, row.alive_ms),
                (Status::InProgress, Some(answered_ms), Some(START_MS + 9_000)),
                "{id}"
            );
        }
        // It spoke from the answer on, also while nobody listened.
        run.hear(
            "14000 BridgeLeave c=PJSIP/2002-2 s=6 u=b l=a b=x n=1
             14001 Hangup c=PJSIP/2002-2 s=6 u=b l=a Cause=16
             14002 BridgeLeave c=PJSIP/2001-1 s=6 u=a l=a b=x n=0
             14003 Hangup c=PJSIP/2001-1 s=6 u=a l=a Cause=16",
        );
        run.came_to();
        let talked = (14_000 - answered_ms) / 1_000;
        assert_eq!(run.rows()["a"].1.talk_seconds, Some(talked), "{cdr_ms:?}");
    }
}

#[test]
fn a_call_that_began_in_a_gap_is_as_old_as_its_channels() {
    let mut run = Run::started();
    let said = reconnect(&mut run, 0, 30_000, &["a a PJSIP/2001-1 4 -", "b a PJSIP/2002-2 5 -"]);
    let expected = [("a", "ringing"), ("b", "ringing"), ("a", "alive"), ("b", "alive")];
    assert_eq!(claims(&said).iter().map(|(row, word, _)| (*row, *word)).collect::<Vec<_>>(), expected);
    assert!(said.iter().all(|signal| signal.witness == Witness::Reconciled));
    let rows = run.rows();
    assert_eq!((rows["a"].1.created_at_ms, rows["b"].1.created_at_ms), (START_MS + 20_000, START_MS + 20_000));
    assert_eq!(rows["b"].0.detail(Field::ParentId), Some("a"));
}

/// Nobody told how it was dialed, but the list says who speaks with whom.
#[test]
fn a_call_met_while_it_is_spoken_has_its_numbers() {
    let mut run = Run::started();
    reconnect(&mut run, 0, 30_000, &["a a PJSIP/2001-1 6 y 2001>2002", "b a PJSIP/2002-2 6 y 2001>2002"]);
    let rows = run.rows();
    let said = |row: &str| {
        [Field::Direction, Field::From, Field::To].map(|field| rows[row].0.detail(field).unwrap_or_default().to_owned())
    };
    assert_eq!(said("a"), ["inbound", "2001", "2002"]);
    assert_eq!(said("b"), ["outbound-dial", "2001", "2002"]);
}

/// The same phones speak again: their new call is not the old one.
#[test]
fn another_call_of_the_same_phones_is_another_call() {
    let mut run = ringing();
    run.hear(ANSWERS);
    reconnect(&mut run, 4_000, 30_000, &["c c PJSIP/2001-3 6 y", "d c PJSIP/2002-4 6 y"]);
    let rows = run.rows();
    let told = |id: &str| (rows[id].1.status, rows[id].1.hangup_cause, rows[id].1.ended_at_ms);
    let gone = (Status::Completed, Some(HangupCause::EndedWhileDisconnected), Some(START_MS + 4_000));
    assert_eq!((told("a"), told("b")), (gone, gone));
    assert_eq!((rows["a"].1.talk_seconds, rows["a"].1.ended_at_max_ms), (Some(3), Some(START_MS + 30_000)));
    assert_eq!((rows["c"].1.status, rows["d"].1.status), (Status::InProgress, Status::InProgress));
}

/// What hangs up between the login and the list has told us so: that is better than its absence.
#[test]
fn what_was_kept_back_is_released_in_order() {
    let mut run = ringing();
    run.hear(ANSWERS);
    run.take(&Turn::Disconnected);
    run.take(&Turn::Connected(START_MS + 8_000));
    let before = run.said.len();
    run.hear(ENDS);
    assert_eq!(run.said.len(), before, "nothing is said before the list");
    run.said.extend(run.correlator.resync(&list(9_500, &[]), gap(2_000)));
    let expected = ["call 2001>2002 completed normal callback 7s", "leg 2001>2002 completed normal callback 8s"];
    assert_eq!(run.came_to(), expected);
}

#[test]
fn a_list_that_lags_wakes_no_dead_channel() {
    let mut run = ringing();
    run.hear(ANSWERS).hear(ENDS);
    let lines = run.came_to();
    run.said.extend(run.correlator.audit(&list(70_000, &["a a PJSIP/2001-1 6 x", "b a PJSIP/2002-2 6 x"])));
    assert_eq!(run.came_to(), lines);
}

#[test]
fn a_pbx_that_began_anew_has_none_of_its_old_calls() {
    let mut run = ringing();
    run.hear(ANSWERS);
    run.take(&Turn::Disconnected);
    run.take(&Turn::Connected(START_MS + 60_000));
    let restarted = Gap { heard_ms: Some(START_MS + 4_000), restarted_ms: Some(START_MS + 20_000) };
    run.said.extend(run.correlator.resync(&list(60_000, &[]), restarted));
    for (_, row) in run.rows().into_values() {
        assert_eq!((row.status, row.hangup_cause), (Status::Completed, Some(HangupCause::PbxRestart)));
        assert_eq!((row.ended_at_ms, row.ended_at_max_ms), (Some(START_MS + 4_000), Some(START_MS + 20_000)));
    }
}

#[test]
fn two_audits_five_seconds_apart_end_what_they_lack() {
    let mut run = ringing();
    run.hear(ANSWERS);
    let lists = [(30_000, false), (33_000, false), (36_000, true)];
    for (at_ms, ends) in lists {
        let said = run.correlator.audit(&list(at_ms, &[]));
        let given_up = said.iter().filter(|signal| matches!(signal.claim, Claim::GivenUp(_))).count();
        assert_eq!(given_up, if ends { 2 } else { 0 }, "{at_ms}: {said:?}");
        run.said.extend(said);
    }
    let row = &run.rows()["a"].1;
    assert_eq!((row.status, row.ended_at_ms), (Status::Completed, Some(START_MS + 1_002)), "when it was last heard of");
}

#[test]
fn an_audit_between_starts_anew_when_the_channel_is_heard_of() {
    let mut run = ringing();
    assert!(run.correlator.audit(&list(30_000, &[])).is_empty());
    run.hear("31000 Newstate c=PJSIP/2001-1 s=4 u=a l=a\n31000 Newstate c=PJSIP/2002-2 s=5 u=b l=a");
    assert!(run.correlator.audit(&list(40_000, &[])).is_empty());
    let alive = run.correlator.audit(&list(45_000, &["a a PJSIP/2001-1 4 -", "b a PJSIP/2002-2 5 -"]));
    assert_eq!(claims(&alive), [("a", "alive", Some(45_000)), ("b", "alive", Some(45_000))]);
    assert!(alive.iter().all(Signal::is_sign_of_life));
    assert_eq!(run.correlator.live().iter().map(|(_, live)| *live).collect::<Vec<_>>(), [Live::Ringing, Live::Ringing]);
}

/// A channel younger than the first list cannot be missing from it.
#[test]
fn what_began_after_the_question_is_not_missed() {
    let mut run = Run::started();
    run.hear(RINGS);
    for at_ms in [-10_000, -1_000] {
        assert!(run.correlator.audit(&list(at_ms, &[])).is_empty());
    }
    assert_eq!(run.correlator.live().len(), 2);
}

/// A call that was picked up by a third phone, and all of it lost: neither a bridge nor the taken-over call stays behind.
#[test]
fn what_lists_lack_leaves_nothing_behind() {
    let mut run = ringing();
    run.hear(
        "2000 Newchannel c=PJSIP/2003-3 s=4 u=p l=p num=2003 ext=*8
         2001 Newstate c=PJSIP/2003-3 s=6 u=p l=p
         2003 BridgeEnter c=PJSIP/2003-3 s=6 u=p l=p b=x n=1 BridgeType=basic
         2003 BridgeEnter c=PJSIP/2001-1 s=6 u=a l=a b=x n=2 BridgeType=basic
         2005 NewConnectedLine c=PJSIP/2003-3 s=6 u=p l=a",
    );
    for at_ms in [30_000, 40_000] {
        run.said.extend(run.correlator.audit(&list(at_ms, &[])));
    }
    run.came_to();
    let book = &run.correlator.book;
    assert!(book.channels.is_empty() && book.bridges.is_empty() && book.calls.is_empty(), "{book:?}");
}
