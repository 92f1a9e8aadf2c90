//! What each signal is called in the timeline.

use crate::build::{Carry, WEAK, alive, completed, ended, given_up, live, signal, unknown, weak};
use Step::{Corrected, Late, Moved, Noted, Refused};
use Witness::{Absent, Callback, Inferred, Manual, Reconciled};
use onhook::domain::{
    call::{Call, Step},
    signal::{Claim, Field, LinkRank, Signal, Weak, Witness},
    state::{HangupCause, Live, Outcome, Status},
    time::SECOND,
};

/// The steps of a story, told in this order.
fn steps<const N: usize>(story: [Signal; N]) -> [Step; N] {
    let mut call = Call::default();
    story.map(|signal| call.absorb(&signal))
}

/// The step of the last signal, and the status after it.
fn last<const N: usize>(story: [Signal; N]) -> (Step, Status) {
    let status = Call::fold(&story).read().status;
    (*steps(story).last().unwrap(), status)
}

fn ringing(t: i64) -> Signal {
    live(Live::Ringing, Callback, t)
}

fn answered(t: i64) -> Signal {
    live(Live::Answered, Callback, t)
}

#[test]
fn a_plain_story_moves_at_each_signal() {
    let story = [live(Live::Initiated, Callback, 1), ringing(2), answered(3), completed(7, Callback, 10)];
    assert_eq!(steps(story), [Moved; 4]);
    assert_eq!(steps([live(Live::Queued, Callback, 1), live(Live::Initiated, Callback, 1)]), [Moved; 2]);
}

#[test]
fn the_first_signal_moves_whatever_it_says() {
    for first in [live(Live::Queued, Callback, 1), alive(Reconciled, 1), signal(Manual, Claim::Link, 1)] {
        assert_eq!(steps([first]), [Moved]);
    }
}

#[test]
fn facts_are_noted() {
    for claim in [Claim::Recording, Claim::AnsweredBy, Claim::Link] {
        let fact = || signal(Callback, claim.clone(), 5).detail(Field::RecordingUrl, "u").link(LinkRank::Url, "lead-1");
        assert_eq!(last([ringing(2), fact()]), (Noted, Status::Ringing));
        assert_eq!(last([completed(7, Callback, 10), fact()]), (Noted, Status::Completed));
        assert_eq!(last([ringing(2), given_up(Inferred, 10), fact()]), (Noted, Status::Failed));
    }
    assert_eq!(last([ringing(2), alive(Reconciled, 3)]), (Noted, Status::Ringing));
    assert_eq!(last([ringing(2), live(Live::Ringing, Reconciled, 3)]), (Noted, Status::Ringing));
    assert_eq!(last([ringing(50), given_up(Inferred, 49)]), (Noted, Status::Ringing));
}

#[test]
fn a_lower_claim_after_a_higher_one_is_late() {
    assert_eq!(last([answered(3), ringing(2)]), (Late, Status::InProgress));
    assert_eq!(last([ringing(3), live(Live::Initiated, Callback, 9)]), (Late, Status::Ringing));
    assert_eq!(last([live(Live::Answered, Manual, 1), ringing(2)]), (Late, Status::InProgress));
    for level in Live::ALL {
        assert_eq!(last([completed(7, Callback, 10), live(*level, Callback, 99)]), (Late, Status::Completed));
        assert_eq!(last([ended(Outcome::Busy, Reconciled, 10), live(*level, Callback, 99)]), (Late, Status::Busy));
    }
    assert_eq!(last([completed(7, Callback, 10), alive(Reconciled, 99)]), (Late, Status::Completed));
}

#[test]
fn a_late_claim_may_fill_a_time() {
    let mut call = Call::fold(&[completed(None, Callback, 10)]);
    assert_eq!(call.absorb(&answered(4)), Late);
    assert_eq!((call.read().answered_at_ms, call.read().talk_seconds), (Some(4_000), Some(6)));
}

#[test]
fn an_ending_that_does_not_replace_the_one_that_stands_is_late() {
    let busy = || ended(Outcome::Busy, Callback, 10).sequence(2);
    assert_eq!(last([busy(), completed(7, Callback, 10).sequence(1)]), (Late, Status::Busy));
    assert_eq!(last([busy(), completed(7, Reconciled, 99)]), (Late, Status::Busy));
    for witness in [Absent, Manual, Inferred] {
        assert_eq!(last([busy(), given_up(witness, 99)]), (Late, Status::Busy));
    }
    assert_eq!(last([given_up(Absent, 50), given_up(Inferred, 60)]), (Late, Status::NoAnswer));
}

#[test]
fn a_standing_ending_that_changes_is_corrected() {
    let standing = || ended(Outcome::Busy, Callback, 10).sequence(1);
    assert_eq!(last([standing(), completed(7, Callback, 10).sequence(2)]), (Corrected, Status::Completed));
    assert_eq!(last([standing(), ended(Outcome::Busy, Callback, 11).sequence(2)]), (Corrected, Status::Busy));
    assert_eq!(last([ended(Outcome::Busy, Reconciled, 10), standing()]), (Corrected, Status::Busy));
    let superseded = Weak { decided_ms: 60 * SECOND, cause: HangupCause::Superseded, ..WEAK };
    assert_eq!(last([given_up(Inferred, 60), weak(Inferred, superseded)]), (Corrected, Status::Failed));
}

#[test]
fn a_told_ending_corrects_a_weak_one_even_where_both_agree() {
    assert_eq!(last([answered(1), given_up(Inferred, 60), completed(9, Callback, 10)]), (Corrected, Status::Completed));
    assert_eq!(last([given_up(Inferred, 60), ended(Outcome::Failed, Reconciled, 60)]), (Corrected, Status::Failed));
    assert_eq!(last([given_up(Inferred, 60), given_up(Manual, 60)]), (Corrected, Status::Failed));
}

#[test]
fn a_weakly_ended_call_that_lives_again_is_corrected() {
    assert_eq!(last([ringing(2), given_up(Inferred, 60), alive(Reconciled, 61)]), (Corrected, Status::Ringing));
    assert_eq!(last([answered(2), given_up(Absent, 60), ringing(61)]), (Corrected, Status::InProgress));
    assert_eq!(last([ringing(2), given_up(Manual, 60), answered(61)]), (Corrected, Status::InProgress));
}

#[test]
fn a_late_answer_corrects_the_outcome_of_a_weak_ending() {
    assert_eq!(last([ringing(2), given_up(Inferred, 60), answered(3)]), (Corrected, Status::Completed));
    // Neither its outcome nor its end depend on this one.
    assert_eq!(last([answered(3), given_up(Inferred, 60), ringing(2)]), (Late, Status::Completed));
    // Its end does on this one: it is the last sign of life.
    assert_eq!(last([answered(3), given_up(Inferred, 60), ringing(4)]), (Corrected, Status::Completed));
}

#[test]
fn a_call_that_lives_again_moves_again() {
    let story = [ringing(2), given_up(Inferred, 60), answered(61), completed(5, Callback, 70)];
    assert_eq!(steps(story), [Moved, Moved, Corrected, Moved]);
}

#[test]
fn a_word_nobody_knows_is_refused_and_moves_nothing() {
    assert_eq!(last([unknown("x")]), (Refused, Status::Queued));
    assert_eq!(last([ringing(2), unknown("x")]), (Refused, Status::Ringing));
    assert_eq!(last([completed(7, Callback, 10), unknown("x")]), (Refused, Status::Completed));
    assert_eq!(steps([unknown("x"), ringing(2)]), [Refused, Moved]);
}
