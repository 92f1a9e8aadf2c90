//! Calls that are met in the middle, messages that say less than Asterisk's own, and who picks up without being heard.

use super::{
    replay::{Capture, Run},
    script::{ANSWERS, RINGS, list},
};
use crate::domain::{
    signal::Field,
    state::{Live, Status},
};

/// A script that began in the middle of a call, or two lists that lagged: only the end of it is heard.
#[test]
fn a_call_of_which_only_the_end_is_heard_was_not_answered_for_all_we_know() {
    let mut run = Run::started();
    run.hear("9000 Hangup c=PJSIP/2001-1 s=6 u=a l=a num=2001 Cause=16");
    assert_eq!(run.came_to(), ["call 2001>? no-answer no_answer callback 0s"]);
    assert_eq!(run.rows()["a"].1.answered_at_ms, None);
}

#[test]
fn a_call_heard_from_its_answer_on_is_known() {
    let mut run = Run::started();
    run.hear(
        "0 Newstate c=PJSIP/2001-1 s=6 u=a l=a num=2001
         9000 Hangup c=PJSIP/2001-1 s=6 u=a l=a num=2001 Cause=16",
    );
    assert_eq!(run.came_to(), ["call 2001>? completed normal callback 9s"]);
}

#[test]
fn two_lists_that_lagged_do_not_make_a_waiting_caller_answered() {
    let mut run = Run::started();
    run.hear(
        "0 Newchannel c=PJSIP/2001-1 s=4 u=a l=a num=2001 ext=2002
         1 QueueCallerJoin c=PJSIP/2001-1 s=4 u=a l=a Queue=sales
         2 Newstate c=PJSIP/2001-1 s=6 u=a l=a",
    );
    for at_ms in [30_000, 40_000] {
        run.said.extend(run.correlator.audit(&list(at_ms, &[])));
    }
    run.hear("50000 Hangup c=PJSIP/2001-1 s=6 u=a l=a num=2001 Cause=16");
    run.came_to();
    assert_eq!(run.rows()["a"].1.answered_at_ms, None);
}

/// A `UserEvent` or a push by hand may name the channel alone: it stays where it is.
#[test]
fn a_message_that_names_no_call_moves_no_channel() {
    let mut run = Run::started();
    run.hear(RINGS).hear(ANSWERS).hear(
        "2000 UserEvent u=b UserEvent=Disposition
         3000 Newstate c=PJSIP/2002-2 s=6 u=b",
    );
    assert_eq!(run.rows()["b"].0.detail(Field::ParentId), Some("a"));
    let live = [("a".to_owned(), Live::Answered), ("b".to_owned(), Live::Answered)];
    assert_eq!(run.correlator.live(), live);
    run.hear("9000 Hangup u=b Cause=16\n9001 Hangup u=a Cause=16");
    let expected = ["call 2001>2002 completed normal callback 7s", "leg 2001>2002 completed normal callback 8s"];
    assert_eq!(run.came_to(), expected);
    assert!(run.correlator.live().is_empty());
}

/// A phone that is asked whether it takes the call (`U()`, "confirm calls"), or whose voicemail picks up and says nothing.
#[test]
fn who_picks_up_and_is_not_put_through_was_not_reached() {
    for word in ["NOANSWER", "CANCEL", "GOTO:voicemail"] {
        let mut run = Run::started();
        run.hear(RINGS).hear("1000 Newstate c=PJSIP/2002-2 s=6 u=b l=a");
        run.hear(&format!(
            "9000 DialEnd c=PJSIP/2001-1 s=4 u=a l=a dc=PJSIP/2002-2 ds=6 du=b dl=a DialStatus={word}
             9001 Hangup c=PJSIP/2002-2 s=6 u=b l=a Cause=16
             9002 Hangup c=PJSIP/2001-1 s=4 u=a l=a Cause=16"
        ));
        run.came_to();
        let rows = run.rows();
        assert_eq!(rows["b"].0.detail(Field::Bridged), Some("false"), "{word}");
        assert_eq!(rows["a"].1.answered_at_ms, None, "{word}");
    }
}

#[test]
fn who_was_put_through_is_not_called_unheard() {
    for name in ["queue_answered", "answered_caller_hangs_up", "originate_click_to_call", "parallel_ring_one_answers"] {
        for (id, (call, _)) in Run::of(&Capture::read(name)).rows() {
            assert_eq!(call.detail(Field::Bridged), None, "{name}: {id}");
        }
    }
}

/// An agent is called first; the trunk that should reach the customer is down, so that not even a channel is made.
#[test]
fn an_agent_alone_has_reached_nobody() {
    let calls = |phone: &str| {
        let mut run = Run::started();
        run.hear(&format!(
            "0 Newchannel c=PJSIP/{phone}-1 s=0 u=a l=a num=2001
             1 DialBegin dc=PJSIP/{phone}-1 ds=0 du=a dl=a DialString={phone}
             2000 Newstate c=PJSIP/{phone}-1 s=6 u=a l=a
             2001 DialEnd dc=PJSIP/{phone}-1 ds=6 du=a dl=a DialStatus=ANSWER
             5000 Hangup c=PJSIP/{phone}-1 s=6 u=a l=a Cause=20"
        ));
        run.came_to();
        let (call, row) = &run.rows()["a"];
        (row.status, call.detail(Field::Bridged).map(str::to_owned))
    };
    assert_eq!(calls("2001"), (Status::Completed, Some("false".to_owned())));
    assert_eq!(calls("trunk"), (Status::Completed, None), "a customer who hears an announcement was reached");
}

/// What is longer than Asterisk can make it is not kept.
#[test]
fn overlong_names_are_not_kept() {
    let mut run = Run::started();
    let long = "x".repeat(201);
    run.hear(&format!(
        "0 Newchannel c=PJSIP/{long}-1 s=4 u=a l=a num=2001
         1 BridgeEnter c=PJSIP/{long}-1 s=6 u=a l=a b={long} n=1
         2 Newchannel c=PJSIP/2002-2 s=4 u={long} l={long}
         3 ExtensionStatus Exten=2002 Hint=PJSIP/{long} Status=0
         4 OriginateResponse Response=Failure Uniqueid={long} Reason=0"
    ));
    let book = &run.correlator.book;
    assert!(book.channels.keys().eq(["a"]) && book.channels["a"].name.is_empty());
    assert!(book.bridges.is_empty() && book.hints.is_empty() && book.calls.len() == 1);
    let devices: Vec<String> = (0..30_000).map(|n| format!("PJSIP/{n}")).collect();
    run.hear(&format!("5 ExtensionStatus Exten=2002 Hint={} Status=0", devices.join("&")));
    assert_eq!(run.correlator.book.hints.len(), 20_000);
}
