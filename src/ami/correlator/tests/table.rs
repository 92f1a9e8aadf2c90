//! What each capture comes to.
//!
//! A row is: whose it is, how it ended, why, how that is known (`~`: the end is an estimate), seconds of conversation, and
//! the older call that took it over.

use super::replay::{Capture, Run, assert_few, folder};
use std::collections::BTreeSet;

#[test]
fn every_capture_comes_to_what_it_was() {
    let mut wrong = Vec::new();
    for (name, expected) in TABLE {
        let run = Run::of(&Capture::read(name));
        assert_few(name, &run.said);
        let lines = run.lines();
        if lines != *expected {
            wrong.push(format!("{name}:\n  {}\nnot\n  {}", lines.join("\n  "), expected.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The index was written by who made the captures; a call ends as it says, and where it says that there is none, none is.
#[test]
fn the_index_agrees() {
    let index = std::fs::read_to_string(folder().join("INDEX.tsv")).unwrap();
    let mut seen = BTreeSet::new();
    for line in index.lines().skip(1) {
        let mut columns = line.split('\t');
        let (name, expected) = (columns.next().unwrap(), columns.next().unwrap());
        let run = Run::of(&Capture::read(name));
        if expected.starts_with("(no call") || name == NOT_CAPTURED {
            assert!(run.said.is_empty(), "{name}: {:?}", run.said);
            continue;
        }
        seen.insert(name.to_owned());
        let word = expected.split(['(', ';', ' ']).next().unwrap();
        let lines = run.lines();
        let calls: Vec<&String> = lines.iter().filter(|line| line.starts_with("call")).collect();
        assert!(calls.iter().any(|line| line.contains(&format!(" {word} "))), "{name}: {expected}: {calls:?}");
    }
    let table: BTreeSet<String> = TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(seen, table, "the table has every capture with a call");
}

/// The login was captured, its call was not.
const NOT_CAPTURED: &str = "tls_login";

/// Every capture with a call.
#[rustfmt::skip]
pub(super) const TABLE: &[(&str, &[&str])] = &[
    ("answered_caller_hangs_up", &[
        "call 2001>2002 completed normal callback 3s",
        "leg 2001>2002 completed normal callback 3s",
    ]),
    ("answered_callee_hangs_up", &[
        "call 2001>2002 completed normal callback 3s",
        "leg 2001>2002 completed normal callback 3s",
    ]),
    ("busy_486", &[
        "call 2001>2002 busy busy callback 0s",
        "leg 2001>2002 busy busy callback 0s",
    ]),
    ("no_answer_timeout", &[
        "call 2001>2002 no-answer no_answer callback 0s",
        "leg 2001>2002 no-answer no_answer callback 0s",
    ]),
    ("unavailable_480", &[
        "call 2001>2002 no-answer no_answer callback 0s",
        "leg 2001>2002 no-answer no_answer callback 0s",
    ]),
    ("congestion_503", &[
        "call 2001>2002 failed failed callback 0s",
        "leg 2001>2002 failed failed callback 0s",
    ]),
    ("failed_404", &[
        "call 2001>2002 failed unreachable callback 0s",
        "leg 2001>2002 failed unreachable callback 0s",
    ]),
    ("failed_unregistered", &[
        "call 2001>2005 failed unreachable callback 0s",
    ]),
    ("failed_congestion_app", &[
        "call 2001>640 failed failed callback 0s",
    ]),
    ("caller_cancels_ringing", &[
        "call 2001>2002 canceled canceled callback 0s",
        "leg 2001>2002 canceled canceled callback 0s",
    ]),
    ("ivr_then_dial_no_answer", &[
        "call 2001>52002 no-answer no_answer callback 0s",
        "leg 2001>2002 no-answer no_answer callback 0s",
    ]),
    ("parallel_ring_one_answers", &[
        "call 2001>600 completed normal callback 3s",
        "leg 2001>2002 canceled canceled callback 0s",
        "leg 2001>2003 completed normal callback 3s",
    ]),
    ("parallel_ring_no_answer", &[
        "call 2001>600 no-answer no_answer callback 0s",
        "leg 2001>2002 no-answer no_answer callback 0s",
        "leg 2001>2003 no-answer no_answer callback 0s",
    ]),
    ("parallel_ring_one_busy_one_answers", &[
        "call 2001>600 completed normal callback 2s",
        "leg 2001>2002 busy busy callback 0s",
        "leg 2001>2003 completed normal callback 2s",
    ]),
    ("sequential_ring", &[
        "call 2001>602 completed normal callback 2s",
        "leg 2001>2003 no-answer no_answer callback 0s",
        "leg 2001>2002 completed normal callback 2s",
    ]),
    ("queue_answered", &[
        "call 2001>610 completed normal callback 3s",
        "leg 2001>2003 completed normal callback 3s",
        "leg 2001>2002 canceled canceled callback 0s",
    ]),
    ("queue_timeout", &[
        "call 2001>610 no-answer no_answer callback 0s",
        "leg 2001>2003 no-answer no_answer callback 0s",
        "leg 2001>2002 no-answer no_answer callback 0s",
        "leg 2001>2003 no-answer no_answer callback 0s",
        "leg 2001>2002 no-answer no_answer callback 0s",
    ]),
    ("app_echo", &[
        "call 2001>620 completed normal callback 2s",
    ]),
    ("conference_two", &[
        "call 2001>623 completed normal callback 1s",
        "call 2002>623 completed normal callback 3s",
    ]),
    ("userevent", &[
        "call 2001>624 completed normal callback 1s",
    ]),
    ("hold_unhold", &[
        "call 2001>2002 completed normal callback 3s",
        "leg 2001>2002 completed normal callback 3s",
    ]),
    ("blind_transfer_by_callee", &[
        "call 2001>2002 completed normal callback 5s",
        "leg 2001>2002 completed normal callback 2s",
        "leg 2001>2003 completed normal callback 3s",
    ]),
    ("blind_transfer_ami", &[
        "call 2001>2002 completed normal callback 4s",
        "leg 2001>2002 completed normal callback 1s",
        "leg 2001>2003 completed normal callback 3s",
    ]),
    ("attended_transfer", &[
        "call 2001>2002 completed normal callback 7s",
        "leg 2001>2002 completed normal callback 4s",
        "call 2002>2003 completed normal callback 1s into call 2001>2002",
        "leg 2002>2003 completed normal callback 4s",
    ]),
    ("call_forward_302", &[
        "call 2001>2002 completed normal callback 2s",
        "leg 2001>2002 canceled canceled callback 0s",
        "leg 2001>2003 completed normal callback 2s",
    ]),
    ("trunk_out_answered", &[
        "call 2001>915557654321 completed normal callback 3s",
        "leg 2001>15557654321 completed normal callback 3s",
    ]),
    ("trunk_out_busy", &[
        "call 2001>915557654321 busy busy callback 0s",
        "leg 2001>15557654321 busy busy callback 0s",
    ]),
    ("trunk_in_answered", &[
        "call 15551230000>15550001111 completed normal callback 2s",
        "leg 15551230000>2001 completed normal callback 2s",
    ]),
    ("odd_variable_values", &[
        "call 2001>620 completed normal callback 0s",
    ]),
    ("hangup_action_answered", &[
        "call 2001>2002 completed normal callback 1s",
        "leg 2001>2002 completed normal callback 1s",
    ]),
    ("hangup_by_uniqueid", &[
        "call ?>? completed normal callback 1s",
    ]),
    ("originate_click_to_call", &[
        "call 5550100>2001 completed normal callback 3s",
        "leg 5550100>2002 completed normal callback 3s",
    ]),
    ("originate_second_leg_no_answer", &[
        "call ?>2001 completed normal callback 0s",
        "leg 2001>2002 no-answer no_answer callback 0s",
    ]),
    ("originate_trunk_answered", &[
        "call 5550100>15557654321 completed normal callback 3s",
    ]),
    ("originate_busy", &[
        "call ?>15557654321 busy busy callback 0s",
    ]),
    ("originate_no_answer", &[
        "call ?>15557654321 no-answer no_answer callback 0s",
    ]),
    ("originate_unregistered", &[
        "call ?>2005 failed failed callback 0s",
    ]),
    ("originate_errors", &[
        "call ?>123 failed failed callback 0s",
        "call ?>2001 completed normal callback 1s",
    ]),
    ("originate_sync_success", &[
        "call ?>2001 completed normal callback 1s",
    ]),
    ("originate_local", &[
        "call ?>2002 completed normal callback 3s",
        "leg ?>2002 completed normal callback 3s",
    ]),
    ("originate_canceled", &[
        "call ?>2001 no-answer no_answer callback 0s",
    ]),
    ("originate_duplicate_channelid", &[
        "call ?>2001 completed normal callback 3s",
    ]),
    ("local_answer", &[
        "call ?>? completed normal callback 3s",
    ]),
    ("local_ring_answer", &[
        "call ?>? completed normal callback 3s",
    ]),
    ("local_busy", &[
        "call ?>? busy busy callback 0s",
    ]),
    ("local_congestion", &[
        "call ?>? failed failed callback 0s",
    ]),
    ("local_dial_answer", &[
        "call ?>? completed normal callback 3s",
    ]),
    ("local_dial_busy", &[
        "call ?>? busy busy callback 0s",
    ]),
    ("local_dial_parallel", &[
        "call ?>? completed normal callback 3s",
    ]),
    ("answered_limited_user", &[
        "call 2001>2002 completed normal callback 2s",
        "leg 2001>2002 completed normal callback 2s",
    ]),
    ("answered_filtered_user", &[
        "call 2001>2002 completed normal callback 2s",
        "leg 2001>2002 completed normal callback 2s",
    ]),
    ("coreshowchannels_midcall", &[
        "call 2001>2002 completed normal callback 1s",
        "leg 2001>2002 completed normal callback 1s",
        "call 2003>2004 canceled canceled callback 0s",
        "leg 2003>2004 canceled canceled callback 0s",
    ]),
    ("status_variables_midcall", &[
        "call 2001>2002 completed normal callback 3s",
        "leg 2001>2002 completed normal callback 3s",
    ]),
    ("asterisk_frozen_midcall", &[
        "call 2001>2002 completed normal callback 7s",
        "leg 2001>2002 completed normal callback 7s",
    ]),
    ("cut_then_call_ended", &[
        "call 2001>2002 completed ended_while_disconnected reconciled~ 0s",
        "leg 2001>2002 completed ended_while_disconnected reconciled~ 0s",
    ]),
    ("cut_then_call_still_up", &[
        "call 2001>2002 completed normal callback 4s",
        "leg 2001>2002 completed normal callback 4s",
    ]),
    ("cut_while_ringing_then_answered", &[
        "call 2001>2002 completed normal callback 1s",
        "leg 2001>2002 completed normal callback 1s",
    ]),
    ("asterisk_restart_midcall", &[
        "call 2001>2002 completed pbx_restart reconciled~ 0s",
        "leg 2001>2002 completed pbx_restart reconciled~ 0s",
    ]),
    ("answered_with_timestamps", &[
        "call 2001>2002 completed normal callback 2s",
        "leg 2001>2002 completed normal callback 2s",
    ]),
];
