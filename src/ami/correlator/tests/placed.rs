//! Calls that we ask for: what is known of them before a channel is.

use super::{
    super::{Correlator, Gap, Placing, Rules},
    replay::{Capture, Run},
    script::{START_MS, list},
};
use crate::domain::{signal::Claim, state::Outcome};

const ID: &str = "job-0009-a";

/// Asked for at the beginning, and taken.
fn asked(placing: Placing) -> Run {
    let mut run = Run::started();
    run.correlator.originate_asked(ID, START_MS);
    run.correlator.originate_answered(ID, placing);
    run
}

fn cut_until(run: &mut Run, at_ms: i64, channels: &[&str]) {
    run.correlator.disconnected();
    run.correlator.connected(START_MS + at_ms);
    let gap = Gap { heard_ms: Some(START_MS), restarted_ms: None };
    let said = run.correlator.resync(&list(at_ms, channels), gap);
    run.said.extend(said);
}

/// The phone is not registered: nothing but this one message ever tells.
#[test]
fn one_that_fails_without_a_channel_is_told() {
    let mut run = Run::started();
    let capture = Capture::read("originate_unregistered");
    run.correlator.originate_asked(ID, START_MS);
    run.correlator.originate_answered(ID, Placing::Accepted);
    capture.turns.iter().for_each(|turn| run.take(turn));
    assert_eq!(run.came_to(), ["call ?>2005 failed failed callback 0s"]);
    assert!(!run.correlator.awaits(ID));
}

#[test]
fn one_that_a_later_list_lacks_has_ended_unheard() {
    let mut run = asked(Placing::Accepted);
    assert!(run.correlator.follows(ID), "nobody else ends it meanwhile");
    cut_until(&mut run, 10_000, &[]);
    assert_eq!(run.came_to(), ["call ?>? no-answer ended_while_disconnected reconciled~ 0s"]);
    assert!(!run.correlator.awaits(ID) && !run.correlator.follows(ID));
}

/// Between the answer and the channel lies a moment: a list of then decides nothing, and another one is wanted.
#[test]
fn one_that_was_just_asked_for_waits_for_another_list() {
    let mut run = asked(Placing::Accepted);
    cut_until(&mut run, 1_000, &[]);
    assert!(run.said.is_empty() && run.correlator.awaits(ID));
    assert!(!run.correlator.wants_list(START_MS + 2_999) && run.correlator.wants_list(START_MS + 3_000));
    let said = run.correlator.audit(&list(3_000, &[]));
    assert!(matches!(&said[..], [signal] if matches!(signal.claim, Claim::GivenUp(_))), "{said:?}");
    assert!(!run.correlator.wants_list(START_MS + 9_000));
}

#[test]
fn one_that_is_listed_lives() {
    let mut run = asked(Placing::Accepted);
    cut_until(&mut run, 10_000, &["job-0009-a job-0009-a PJSIP/2005-1 5 -"]);
    assert!(!run.correlator.awaits(ID) && run.correlator.follows(ID));
    assert_eq!(run.correlator.live().len(), 1);
}

/// The PBX may never have had it: nothing is said of it.
#[test]
fn of_one_whose_answer_was_lost_nothing_is_said() {
    let mut run = asked(Placing::Lost);
    cut_until(&mut run, 10_000, &[]);
    assert!(run.said.is_empty() && !run.correlator.awaits(ID));
    let refused = asked(Placing::Refused);
    assert!(!refused.correlator.awaits(ID));
}

/// Its end is asked for before it has a channel, and it is rung for a moment all the same.
#[test]
fn one_that_is_taken_back_before_it_has_a_channel_is_canceled() {
    let mut run = asked(Placing::Accepted);
    run.correlator.hangup_asked(ID);
    run.hear(
        "10 Newchannel c=PJSIP/2005-1 s=0 u=job-0009-a l=job-0009-a
         11 DialBegin dc=PJSIP/2005-1 ds=0 du=job-0009-a dl=job-0009-a DialString=2005
         900 DialEnd dc=PJSIP/2005-1 ds=0 du=job-0009-a dl=job-0009-a DialStatus=NOANSWER
         901 Hangup c=PJSIP/2005-1 s=5 u=job-0009-a l=job-0009-a Cause=16",
    );
    assert_eq!(run.came_to(), ["call ?>2005 canceled canceled callback 0s"]);
}

#[test]
fn a_hangup_that_was_refused_cancels_nothing() {
    let mut run = asked(Placing::Accepted);
    run.hear("10 Newchannel c=PJSIP/2005-1 s=0 u=job-0009-a l=job-0009-a");
    run.correlator.hangup_asked(ID);
    run.correlator.hangup_refused(ID);
    run.hear("900 Hangup c=PJSIP/2005-1 s=5 u=job-0009-a l=job-0009-a Cause=17");
    assert_eq!(run.came_to(), ["call ?>2005 busy busy callback 0s"]);
}

#[test]
fn what_is_hung_up_is_the_channel_or_all_that_is_left_of_the_call() {
    let mut run = Run::started();
    run.hear(super::script::RINGS);
    assert_eq!(run.correlator.channels_of("a"), ["a"]);
    assert_eq!(run.correlator.channels_of("b"), ["b"]);
    run.hear("2000 Hangup c=PJSIP/2001-1 s=4 u=a l=a Cause=0");
    assert_eq!(run.correlator.channels_of("a"), ["b"], "the caller is gone");
    assert_eq!(run.correlator.channels_of("unheard"), ["unheard"], "the PBX may know it");
}

#[test]
fn another_correlator_waits_on() {
    let earlier = asked(Placing::Accepted).correlator;
    let mut later = Correlator::new(Rules { account: "pbx1".to_owned(), if_answered: Outcome::Completed });
    later.await_again(&earlier);
    assert!(later.awaits(ID) && later.follows(ID));
}
