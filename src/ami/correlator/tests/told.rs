//! What was not captured: pickups, leads, queues over Local channels, streams that are behind.

use super::{
    super::{Correlator, DeviceState, Heard},
    replay::{Capture, Run, Turn, assert_few},
    script::{ANSWERS, ENDS, RINGS, START_MS},
};
use crate::{
    ami::Message,
    domain::{
        signal::{Claim, Field, LinkRank},
        state::Live,
    },
};

fn heard(scripts: &[&str]) -> Run {
    let mut run = Run::started();
    for script in scripts {
        run.hear(script);
    }
    run
}

/// The lead and the user of each row.
fn named(run: &Run) -> Vec<(String, String)> {
    let link = |signal: &crate::domain::signal::Signal| {
        let lead = signal.link.as_ref().map(|link| link.lead_id.clone());
        assert!(signal.link.as_ref().is_none_or(|link| link.rank == LinkRank::Url));
        let name = lead.or_else(|| signal.details.get(&Field::UserId).cloned())?;
        Some((signal.leg.provider_id.clone(), name))
    };
    run.said.iter().filter(|signal| signal.claim == Claim::Link).filter_map(link).collect()
}

#[test]
fn who_picks_a_call_up_becomes_its_leg() {
    let mut run = heard(&[
        RINGS,
        "2000 Newchannel c=PJSIP/2003-3 s=4 u=p l=p num=2003 ext=*8
         2001 Newstate c=PJSIP/2003-3 s=6 u=p l=p
         2002 DialEnd c=PJSIP/2001-1 s=4 u=a l=a dc=PJSIP/2003-3 ds=6 du=p dl=p DialStatus=ANSWER
         2002 Newstate c=PJSIP/2001-1 s=6 u=a l=a
         2003 BridgeEnter c=PJSIP/2003-3 s=6 u=p l=p b=x n=1 BridgeType=basic
         2003 BridgeEnter c=PJSIP/2001-1 s=6 u=a l=a b=x n=2 BridgeType=basic
         2004 Hangup c=PJSIP/2002-2 s=5 u=b l=a Cause=26
         2005 NewConnectedLine c=PJSIP/2003-3 s=6 u=p l=a
         9000 BridgeLeave c=PJSIP/2003-3 s=6 u=p l=a b=x n=1
         9000 Hangup c=PJSIP/2003-3 s=6 u=p l=a Cause=16
         9001 BridgeLeave c=PJSIP/2001-1 s=6 u=a l=a b=x n=0
         9001 Hangup c=PJSIP/2001-1 s=6 u=a l=a Cause=16",
    ]);
    let lines = run.came_to();
    let expected = [
        "call 2001>2002 completed normal callback 6s",
        "leg 2001>2002 canceled canceled callback 0s",
        "leg 2003>*8 completed normal callback 6s into call 2001>2002",
    ];
    assert_eq!(lines, expected);
    assert_few("pickup", &run.said);
}

#[test]
fn leads_and_users_are_named_by_variables_and_events() {
    let run = heard(&[
        RINGS,
        "10 VarSet c=PJSIP/2001-1 s=4 u=a l=a Variable=ONHOOK_LEAD Value=lead-1
         11 VarSet c=PJSIP/2001-1 s=4 u=a l=a Variable=ONHOOK_LEAD Value=lead-1
         12 VarSet c=PJSIP/2002-2 s=5 u=b l=a Variable=__ONHOOK_USER Value=ann
         13 Newstate c=PJSIP/2002-2 s=5 u=b l=a ChanVariable=ONHOOK_LEAD=lead-2
         14 DialState c=PJSIP/2001-1 s=4 u=a l=a du=b dl=a dc=PJSIP/2002-2 DialStatus=RINGING DestChanVariable=ONHOOK_LEAD=lead-3
         15 UserEvent c=PJSIP/2001-1 UserEvent=OnhookLead Lead=lead-4
         16 UserEvent u=a UserEvent=OnhookUser User=bob
         17 UserEvent u=a UserEvent=Disposition Lead=lead-5
         18 UserEvent u=nobody UserEvent=OnhookLead Lead=lead-6",
    ]);
    let expected = [("a", "lead-1"), ("b", "ann"), ("b", "lead-2"), ("b", "lead-3"), ("a", "lead-4"), ("a", "bob")];
    assert_eq!(named(&run), expected.map(|(row, name)| (row.to_owned(), name.to_owned())));
}

#[test]
fn a_lead_that_is_no_id_is_ignored() {
    let long = format!("10 VarSet c=PJSIP/2001-1 s=4 u=a l=a Variable=ONHOOK_LEAD Value={}", "x".repeat(201));
    let run = heard(&[RINGS, &long, "11 VarSet c=PJSIP/2001-1 s=4 u=a l=a Variable=ONHOOK_LEAD Value=a\u{7}b"]);
    assert_eq!(named(&run), []);
}

/// A queue that dials its members over Local channels: three legs an attempt, one of them somebody.
#[test]
fn a_member_behind_a_local_channel_is_the_leg() {
    let mut run = heard(&["
        0 Newchannel c=PJSIP/trunk-1 s=4 u=a l=a num=15551230000 ext=15550001111
        1 Newstate c=PJSIP/trunk-1 s=6 u=a l=a
        2 QueueCallerJoin c=PJSIP/trunk-1 s=6 u=a l=a Queue=sales
        3 Newchannel c=Local/2002@from-queue-1;1 s=0 u=w1 l=a
        3 Newchannel c=Local/2002@from-queue-1;2 s=4 u=w2 l=a
        4 DialBegin c=PJSIP/trunk-1 s=6 u=a l=a dc=Local/2002@from-queue-1;1 ds=0 du=w1 dl=a DialString=Local/2002@from-queue
        5 Newchannel c=PJSIP/2002-2 s=0 u=b l=a
        5 DialBegin c=Local/2002@from-queue-1;2 s=4 u=w2 l=a dc=PJSIP/2002-2 ds=0 du=b dl=a DialString=PJSIP/2002
        6 Newstate c=PJSIP/2002-2 s=5 u=b l=a
        8000 HangupRequest c=PJSIP/trunk-1 s=6 u=a l=a
        8000 QueueCallerAbandon c=PJSIP/trunk-1 s=6 u=a l=a
        8000 QueueCallerLeave c=PJSIP/trunk-1 s=6 u=a l=a
        8001 Hangup c=PJSIP/trunk-1 s=6 u=a l=a Cause=16
        8001 Hangup c=Local/2002@from-queue-1;1 s=5 u=w1 l=a Cause=26
        8002 Hangup c=Local/2002@from-queue-1;2 s=4 u=w2 l=a Cause=26
        8003 Hangup c=PJSIP/2002-2 s=5 u=b l=a Cause=26"]);
    let lines = run.came_to();
    let expected =
        ["call 15551230000>15550001111 canceled canceled callback 0s", "leg ?>2002 canceled canceled callback 0s"];
    assert_eq!(lines, expected);
}

/// Two who are parked hear music, not each other.
#[test]
fn a_parking_lot_is_no_conversation() {
    let mut run = heard(&[
        RINGS,
        ANSWERS,
        "3000 BridgeLeave c=PJSIP/2001-1 s=6 u=a l=a b=x n=1
         3000 BridgeLeave c=PJSIP/2002-2 s=6 u=b l=a b=x n=0
         3001 Hangup c=PJSIP/2002-2 s=6 u=b l=a Cause=16
         3002 BridgeEnter c=PJSIP/2001-1 s=6 u=a l=a b=lot n=2 BridgeType=parking
         8000 BridgeLeave c=PJSIP/2001-1 s=6 u=a l=a b=lot n=1
         8001 Hangup c=PJSIP/2001-1 s=6 u=a l=a Cause=16",
    ]);
    let lines = run.came_to();
    assert_eq!(lines.first().map(String::as_str), Some("call 2001>2002 completed normal callback 1s"));
}

#[test]
fn an_originate_we_took_back_is_canceled() {
    let mut run = Run::started();
    for turn in &Capture::read("originate_canceled").turns {
        if let Turn::Message(message, _) = turn
            && message.event() == Some("DialEnd")
        {
            run.correlator.hangup_asked("job-0017-a");
        }
        run.take(turn);
    }
    assert_eq!(run.came_to(), ["call ?>2001 canceled canceled callback 0s"]);
}

#[test]
fn nothing_reopens_what_has_ended() {
    let mut run = heard(&[RINGS, ANSWERS, ENDS]);
    let lines = run.came_to();
    let before = run.said.len();
    run.hear(
        "70000 NewCallerid c=PJSIP/2002-2 s=5 u=b l=a num=2002
         70001 Newstate c=PJSIP/2001-1 s=6 u=a l=a
         70002 DialEnd c=PJSIP/2001-1 s=4 u=a l=a dc=PJSIP/2002-2 ds=5 du=b dl=a DialStatus=CANCEL
         70003 Hangup c=PJSIP/2002-2 s=6 u=b l=a Cause=26",
    );
    assert_eq!((run.came_to(), run.said.len()), (lines, before));
    assert!(!run.correlator.follows("a") && !run.correlator.follows("b"));
}

/// A call is followed until it is told, two seconds after its last channel.
#[test]
fn an_ending_is_held_back_for_two_seconds() {
    let mut run = heard(&[RINGS, ANSWERS, ENDS]);
    assert_eq!(run.correlator.wake_at_ms(), Some(START_MS + 11_003));
    assert!(run.correlator.live().is_empty() && run.correlator.follows("a") && !run.correlator.follows("b"));
    assert!(run.correlator.tick(START_MS + 11_002).is_empty());
    let told = run.correlator.tick(START_MS + 11_003);
    assert_eq!(told.iter().map(|signal| signal.at).collect::<Vec<_>>(), [Some(START_MS + 9_003)]);
    assert!(!run.correlator.follows("a") && run.correlator.wake_at_ms().is_none());
}

/// Our clock is set back by an hour while an ending is held back: it is not told an hour late.
#[test]
fn an_ending_that_is_due_too_far_ahead_is_due() {
    let mut run = heard(&[RINGS, ANSWERS, ENDS]);
    let told = run.correlator.tick(START_MS + 9_003 - 3_600_000);
    assert_eq!(told.iter().map(|signal| signal.at).collect::<Vec<_>>(), [Some(START_MS + 9_003)]);
    assert!(run.correlator.wake_at_ms().is_none());
}

/// What a frozen PBX tells at once has no time: the end is then an estimate.
#[test]
fn without_a_time_the_end_is_estimated() {
    let mut run = heard(&[RINGS, ANSWERS]);
    let hangup = |id: &str| {
        let headers =
            [("Event", "Hangup"), ("Uniqueid", id), ("Linkedid", "a"), ("ChannelState", "6"), ("Cause", "16")];
        Message::new(headers.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
    };
    for id in ["b", "a"] {
        let heard = Heard { received_ms: START_MS + 20_000, at_ms: None };
        let said = Correlator::absorb(&mut run.correlator, &hangup(id), heard);
        run.said.extend(said);
    }
    let lines = run.came_to();
    assert_eq!(
        lines,
        ["call 2001>2002 completed normal callback~ 18s", "leg 2001>2002 completed normal callback~ 19s"]
    );
}

#[test]
fn rows_say_who_and_in_which_direction() {
    let run = heard(&[RINGS]);
    let detail = |row: &str, field| run.rows()[row].0.detail(field).map(str::to_owned);
    let said =
        |row| [Field::Direction, Field::From, Field::To, Field::Extension, Field::ParentId].map(|f| detail(row, f));
    let text = |words: [&str; 5]| words.map(|word| (!word.is_empty()).then(|| word.to_owned()));
    assert_eq!(said("a"), text(["inbound", "2001", "2002", "2001", ""]));
    assert_eq!(said("b"), text(["outbound-dial", "2001", "2002", "2002", "a"]));
    let live = [("a".to_owned(), Live::Ringing), ("b".to_owned(), Live::Ringing)];
    assert_eq!(run.correlator.live(), live);
}

#[test]
fn extensions_are_told_apart_from_calls() {
    let mut run = Run::of(&Capture::read("answered_caller_hangs_up"));
    let board = run.correlator.extensions();
    let ends: Vec<_> = board.iter().map(|change| (change.extension.as_str(), change.device)).collect();
    assert_eq!(ends, [("2001", DeviceState::Available), ("2002", DeviceState::Available)]);
    assert!(run.correlator.extensions().is_empty());
}
