//! What a step owes the outside.

use crate::build::{Carry, alive, completed, ended, given_up, live};
use EffectKind::{CallCorrected, CallEnded, CallRepaired, LeadContactCorrected, LeadContacted};
use Witness::{Absent, Callback, Inferred, Manual, Reconciled};
use onhook::domain::{
    call::{Call, Row},
    effect::{EffectKind, of_call, of_contact},
    signal::{Signal, Witness},
    state::{Live, Outcome},
};

/// The effects of a story, told in this order.
fn effects<const N: usize>(story: [Signal; N]) -> [Option<EffectKind>; N] {
    let (mut call, mut before) = (Call::default(), None);
    story.map(|signal| {
        call.absorb(&signal);
        let after = call.read();
        let effect = of_call(before.as_ref(), &after);
        before = Some(after);
        effect
    })
}

fn answered(t: i64) -> Signal {
    live(Live::Answered, Callback, t)
}

#[test]
fn a_plain_story_owes_one_ending() {
    let story = [live(Live::Ringing, Callback, 1), answered(2), completed(8, Callback, 10)];
    assert_eq!(effects(story), [None, None, Some(CallEnded)]);
    assert_eq!(effects([completed(8, Callback, 10), answered(2)]), [Some(CallEnded), None]);
}

#[test]
fn an_ending_the_provider_did_not_tell_by_itself_is_a_repair() {
    assert_eq!(effects([answered(2), completed(8, Reconciled, 10)]), [None, Some(CallRepaired)]);
    for witness in [Absent, Manual, Inferred] {
        assert_eq!(effects([answered(2), given_up(witness, 60)]), [None, Some(CallRepaired)]);
        assert_eq!(effects([given_up(witness, 60)]), [Some(CallRepaired)]);
    }
}

#[test]
fn a_call_that_lives_again_is_corrected_and_may_end_again() {
    let story = [answered(2), given_up(Inferred, 60), alive(Reconciled, 61), completed(60, Callback, 62)];
    assert_eq!(effects(story), [None, Some(CallRepaired), Some(CallCorrected), Some(CallEnded)]);
}

#[test]
fn a_correction_is_owed_only_for_what_matters() {
    let busy = || ended(Outcome::Busy, Callback, 10).sequence(0);
    let second = |correction: Signal| effects([busy(), correction.sequence(1)])[1];
    assert_eq!(second(ended(Outcome::Busy, Callback, 11)), None);
    assert_eq!(second(ended(Outcome::Busy, Callback, 9)), None);
    assert_eq!(second(ended(Outcome::Busy, Callback, 12)), Some(CallCorrected));
    assert_eq!(second(ended(Outcome::Busy, Callback, 8)), Some(CallCorrected));
    assert_eq!(second(ended(Outcome::Failed, Callback, 10)), Some(CallCorrected));
    // The same ending told better is no other ending.
    assert_eq!(effects([ended(Outcome::Busy, Reconciled, 10), busy()])[1], None);
}

#[test]
fn one_second_is_nothing_and_a_millisecond_more_is() {
    let ended_at = |ms| Row { ended_at_ms: Some(ms), ..Call::fold(&[ended(Outcome::Busy, Callback, 10)]).read() };
    let effect = |ms| of_call(Some(&ended_at(10_000)), &ended_at(ms));
    assert_eq!([effect(9_000), effect(11_000)], [None; 2]);
    assert_eq!([effect(8_999), effect(11_001)], [Some(CallCorrected); 2]);
    let absurd = |ms| of_call(Some(&ended_at(i64::MIN)), &ended_at(ms));
    assert_eq!([absurd(i64::MIN), absurd(i64::MAX)], [None, Some(CallCorrected)]);
}

#[test]
fn talk_of_more_than_a_second_more_or_less_is_a_correction() {
    let talk = |seconds| completed(seconds, Callback, 30);
    let second = |seconds: i64| effects([talk(17).sequence(0), talk(seconds).sequence(1)])[1];
    assert_eq!([second(16), second(17), second(18)], [None; 3]);
    assert_eq!([second(15), second(19), second(i64::MAX)], [Some(CallCorrected); 3]);
    // A late answer moves the talk where the provider counted none.
    assert_eq!(effects([completed(None, Callback, 30), answered(2)]), [Some(CallEnded), Some(CallCorrected)]);
}

#[test]
fn an_answer_that_becomes_known_is_a_correction() {
    // Neither status, end nor talk change: it was answered as it ended.
    let (failed, answer) = (ended(Outcome::Failed, Callback, 30), answered(30));
    assert_eq!(effects([failed, answer]), [Some(CallEnded), Some(CallCorrected)]);
}

#[test]
fn contacts_alternate() {
    assert_eq!(of_contact(false, true), Some(LeadContacted));
    assert_eq!(of_contact(true, false), Some(LeadContactCorrected));
    assert_eq!(of_contact(true, true), None);
    assert_eq!(of_contact(false, false), None);
}
