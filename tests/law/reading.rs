//! What a row says, one sentence of the law at a time.

use crate::build::{Carry, WEAK, alive, at, completed, ended, given_up, live, signal, unknown, weak};
use Witness::{Absent, Callback, Inferred, Manual, Reconciled};
use onhook::domain::{
    call::{Call, Row},
    signal::{Claim, Field, LinkRank, Signal, Weak, Witness},
    state::{HangupCause, Live, Outcome, Resolution, Status},
    time::SECOND,
};

fn row<const N: usize>(story: [Signal; N]) -> Row {
    Call::fold(&story).read()
}

fn answered(t: i64) -> Signal {
    live(Live::Answered, Callback, t)
}

#[test]
fn the_status_of_a_live_call_is_the_furthest_it_has_come() {
    assert_eq!(row([]).status, Status::Queued);
    assert_eq!(row([alive(Callback, 1)]).status, Status::Queued);
    assert_eq!(row([live(Live::Initiated, Callback, 9), live(Live::Queued, Callback, 9)]).status, Status::Initiated);
    assert_eq!(row([live(Live::Ringing, Reconciled, 1), answered(2)]).status, Status::InProgress);
    assert_eq!(row([live(Live::Ringing, Absent, 1), live(Live::Answered, Inferred, 1)]).status, Status::Queued);
}

#[test]
fn a_milestone_prefers_the_time_the_provider_told_then_the_earliest() {
    let reached = |story: [Signal; 2]| {
        let row = row(story);
        (row.initiated_at_ms, row.ringing_at_ms, row.answered_at_ms)
    };
    let both = |level, first: Signal, second: Signal| {
        reached([first, second].map(|s| Signal { claim: Claim::Live(level), ..s }))
    };
    let told = |t| answered(t).received(99);
    let untold = |t| answered(0).untold().received(t);
    assert_eq!(both(Live::Initiated, told(8), untold(1)), (at(8), None, None));
    assert_eq!(both(Live::Ringing, told(8), told(7)), (None, at(7), None));
    assert_eq!(both(Live::Ringing, untold(4), untold(3)), (None, at(3), None));
    assert_eq!(both(Live::Answered, told(8), untold(1)), (None, None, at(8)));
    assert_eq!(both(Live::Queued, told(8), untold(1)), (None, None, None));
}

#[test]
fn an_answer_to_a_question_dates_nothing_but_an_answered_call() {
    let asked = |level| row([live(level, Reconciled, 5)]);
    assert_eq!(asked(Live::Initiated).initiated_at_ms, None);
    assert_eq!(asked(Live::Ringing).ringing_at_ms, None);
    assert_eq!(asked(Live::Answered).answered_at_ms, at(5));
    assert_eq!(row([live(Live::Answered, Reconciled, 5), answered(6)]).answered_at_ms, at(6));
    assert_eq!(row([live(Live::Answered, Reconciled, 5), answered(0).untold().received(6)]).answered_at_ms, at(6));
    assert!(!asked(Live::Answered).estimated, "`estimated` speaks of the end only");
}

#[test]
fn the_time_of_the_answer_is_told_else_counted_back_from_the_end_else_the_time_it_was_seen() {
    let seen = || live(Live::Answered, Reconciled, 18);
    let end = |seconds| completed(seconds, Callback, 20);
    let answer = |story: &[Signal]| Call::fold(story).read().answered_at_ms;
    assert_eq!(answer(&[answered(11), seen(), end(Some(5))]), at(11));
    assert_eq!(answer(&[answered(0).untold().received(12), seen(), end(Some(5))]), at(12));
    assert_eq!(answer(&[seen(), end(Some(5))]), at(15));
    assert_eq!(answer(&[end(Some(5))]), at(15));
    assert_eq!(answer(&[seen(), end(None)]), at(18));
    assert_eq!(answer(&[seen(), end(Some(0))]), at(18));
    assert_eq!(answer(&[end(Some(0))]), None);
    assert_eq!(answer(&[end(None)]), None);
}

#[test]
fn nothing_is_answered_after_its_end() {
    let end = |story: [Signal; 2]| {
        let row = row(story);
        (row.answered_at_ms, row.ended_at_ms, row.talk_seconds)
    };
    assert_eq!(end([answered(30), completed(None, Callback, 20)]), (at(20), at(20), Some(0)));
    let seen = live(Live::Answered, Reconciled, 30);
    assert_eq!(end([seen.clone(), completed(None, Callback, 20)]), (at(20), at(20), Some(0)));
    let stated = Weak { decided_ms: 40 * SECOND, stated_end_ms: at(20), ..WEAK };
    assert_eq!(end([seen, weak(Manual, stated)]), (at(20), at(20), Some(0)));
    assert_eq!(end([completed(-7, Callback, 20), alive(Callback, 1)]), (None, at(20), Some(0)));
}

#[test]
fn talk_is_what_the_provider_counted_else_what_lies_between() {
    let talk = |story: &[Signal]| Call::fold(story).read().talk_seconds;
    assert_eq!(talk(&[answered(2)]), None);
    assert_eq!(talk(&[answered(2), completed(17, Callback, 20)]), Some(17));
    assert_eq!(talk(&[answered(2), completed(0, Callback, 20)]), Some(0));
    assert_eq!(talk(&[answered(2), completed(None, Callback, 20)]), Some(18));
    assert_eq!(talk(&[answered(2), ended(Outcome::Failed, Callback, 20)]), Some(18));
    assert_eq!(talk(&[ended(Outcome::Busy, Callback, 20)]), Some(0));
    assert_eq!(talk(&[answered(2), alive(Callback, 9), given_up(Inferred, 99)]), Some(7));
    assert_eq!(talk(&[alive(Callback, 9), given_up(Inferred, 99)]), Some(0));
}

#[test]
fn seconds_are_used_only_if_the_standing_ending_is_completed() {
    let row = row([completed(5, Callback, 10).sequence(1), ended(Outcome::Busy, Callback, 20).sequence(2)]);
    assert_eq!((row.status, row.talk_seconds, row.answered_at_ms), (Status::Busy, Some(0), None));
    assert!(row.answered);
}

#[test]
fn seconds_outlive_an_equal_ending_that_has_none() {
    for story in [[Some(5), None], [None, Some(5)]] {
        let row = row(story.map(|seconds| completed(seconds, Callback, 20)));
        assert_eq!((row.talk_seconds, row.answered_at_ms, row.answered), (Some(5), at(15), true));
    }
}

#[test]
fn seconds_are_chosen_as_endings_are() {
    let talk = |other: Signal| row([completed(5, Callback, 20).sequence(1), other]).talk_seconds;
    assert_eq!(talk(completed(9, Reconciled, 30).sequence(2)), Some(5));
    assert_eq!(talk(completed(9, Callback, 30)), Some(5));
    assert_eq!(talk(completed(3, Callback, 10).sequence(2)), Some(3));
    assert_eq!(talk(completed(3, Callback, 30).sequence(1)), Some(3));
    assert_eq!(talk(completed(9, Callback, 20).sequence(1)), Some(9));
    assert_eq!(talk(ended(Outcome::Completed, Callback, 30).sequence(2)), Some(5));
    assert!(!row([completed(0, Callback, 20)]).answered, "no seconds of conversation are no answer");
    assert!(row([completed(1, Callback, 20)]).answered);
}

#[test]
fn of_two_told_endings_the_key_decides() {
    let standing = |a: &Signal, b: &Signal| {
        let row = Call::fold([a, b]).read();
        (row.status, row.ended_at_ms)
    };
    use Outcome::{Busy, Canceled, Completed, Failed, NoAnswer};
    // Each wins over the one after it, for one reason only.
    let by_key = [
        ended(NoAnswer, Callback, 1).sequence(2),
        ended(Busy, Callback, 9).sequence(1),
        ended(Busy, Callback, 8).sequence(1),
        ended(Completed, Callback, 9).sequence(0),
        ended(Completed, Callback, 10),
        ended(Completed, Callback, 7),
        ended(Failed, Callback, 7),
        ended(Busy, Callback, 7),
        ended(NoAnswer, Callback, 7),
        ended(Canceled, Callback, 7),
        ended(Canceled, Callback, 9).sequence(-2),
        ended(Completed, Reconciled, 99).sequence(9),
    ];
    for (i, winner) in by_key.iter().enumerate() {
        let alone = standing(winner, winner);
        for loser in &by_key[i..] {
            assert_eq!(standing(winner, loser), alone);
            assert_eq!(standing(loser, winner), alone);
        }
    }
    // Minus one stands for none: then the time decides.
    assert_eq!(standing(&ended(Busy, Callback, 7).sequence(-1), &ended(Failed, Callback, 8)).0, Status::Failed);
}

#[test]
fn a_time_that_was_told_outweighs_an_equal_one_of_receipt() {
    let told = ended(Outcome::Busy, Callback, 7).received(99);
    let untold = ended(Outcome::Busy, Callback, 0).untold().received(7);
    assert!(!row([told.clone(), untold.clone()]).estimated);
    assert!(!row([told.clone()]).estimated);
    assert!(row([untold.clone()]).estimated);
    assert_eq!(row([untold]).ended_at_max_ms, None);
}

#[test]
fn a_callback_outweighs_an_answer_and_says_so() {
    let by = |story: &[Signal]| Call::fold(story).read().resolution;
    let (told, answer) = (ended(Outcome::Busy, Callback, 1), completed(4, Reconciled, 9));
    assert_eq!(by(std::slice::from_ref(&answer)), Some(Resolution::Reconciled));
    assert_eq!(by(&[answer.clone(), told.clone()]), Some(Resolution::Callback));
    assert_eq!(row([answer, told]).hangup_cause, Some(HangupCause::Busy));
}

#[test]
fn only_a_provider_tells_and_only_others_give_up() {
    for witness in [Absent, Manual, Inferred] {
        assert_eq!(row([completed(4, witness, 9)]).status, Status::Queued);
        assert_eq!(row([alive(witness, 9)]).alive_ms, None);
    }
    for witness in [Callback, Reconciled] {
        assert_eq!(row([given_up(witness, 9)]).status, Status::Queued);
        assert_eq!(row([alive(witness, 9)]).alive_ms, at(9));
    }
}

#[test]
fn a_weak_ending_reads_its_outcome_from_what_is_known() {
    let ending = |witness, if_answered, story: &[Signal]| {
        let given_up = weak(witness, Weak { decided_ms: 50 * SECOND, if_answered, ..WEAK });
        let row = Call::fold(story.iter().chain([&given_up])).read();
        (row.status, row.resolution.unwrap())
    };
    let rings = [live(Live::Ringing, Callback, 1)];
    let talks = [answered(1)];
    for (witness, resolution, unanswered) in [
        (Absent, Resolution::Reconciled, Status::NoAnswer),
        (Manual, Resolution::Manual, Status::Failed),
        (Inferred, Resolution::Inferred, Status::Failed),
    ] {
        assert_eq!(ending(witness, Outcome::Completed, &rings), (unanswered, resolution));
        assert_eq!(ending(witness, Outcome::Completed, &talks), (Status::Completed, resolution));
        assert_eq!(ending(witness, Outcome::Failed, &talks), (Status::Failed, resolution));
    }
}

#[test]
fn a_weak_ending_ends_at_the_last_sign_of_life() {
    let end = |said: Weak, story: &[Signal]| {
        let row = Call::fold(story.iter().chain([&weak(Manual, said)])).read();
        (row.ended_at_ms, row.ended_at_max_ms, row.estimated)
    };
    let decided = Weak { decided_ms: 50 * SECOND, ..WEAK };
    let life = [answered(3).received(7), alive(Reconciled, 20)];
    assert_eq!(end(decided, &life), (at(20), at(50), true));
    assert_eq!(end(Weak { floor_ms: at(30), ..decided }, &life), (at(30), at(50), true));
    assert_eq!(end(Weak { floor_ms: at(10), ..decided }, &life), (at(20), at(50), true));
    assert_eq!(end(Weak { floor_ms: at(90), ..decided }, &life), (at(50), at(50), true));
    assert_eq!(end(Weak { stated_end_ms: at(9), ..decided }, &life), (at(9), None, false));
    assert_eq!(end(Weak { stated_end_ms: at(90), ..decided }, &life), (at(50), None, false));
    assert_eq!(end(decided, &[unknown("x").received(8)]), (at(8), at(50), true));
}

#[test]
fn a_later_sign_of_life_voids_a_weak_ending_and_an_equal_one_does_not() {
    let status = |life: Signal| row([life, given_up(Inferred, 50)]).status;
    assert_eq!(status(alive(Reconciled, 49)), Status::Failed);
    assert_eq!(status(alive(Reconciled, 50)), Status::Failed);
    assert_eq!(status(alive(Reconciled, 51)), Status::Queued);
    assert_eq!(status(live(Live::Ringing, Callback, 51)), Status::Ringing);
    // The end that would be read lies before the sign of life; the moment of the decision counts.
    let stated = Weak { decided_ms: 60 * SECOND, stated_end_ms: at(10), ..WEAK };
    assert_eq!(row([alive(Reconciled, 51), weak(Manual, stated)]).ended_at_ms, at(10));
}

#[test]
fn the_best_weak_ending_that_is_not_void_stands() {
    let resolution = |decided: [i64; 3], life| {
        let [absent, manual, inferred] = decided;
        row([given_up(Absent, absent), given_up(Manual, manual), given_up(Inferred, inferred), alive(Callback, life)])
            .resolution
    };
    assert_eq!(resolution([9, 9, 9], 5), Some(Resolution::Reconciled));
    assert_eq!(resolution([5, 9, 9], 6), Some(Resolution::Manual));
    assert_eq!(resolution([5, 5, 9], 6), Some(Resolution::Inferred));
    assert_eq!(resolution([5, 5, 5], 6), None);
    assert_eq!(resolution([5, 9, 5], 6), Some(Resolution::Manual));
}

#[test]
fn what_an_operator_says_of_a_live_call_is_shown_but_is_no_evidence() {
    let says = live(Live::Answered, Manual, 5);
    let shown = row([says.clone()]);
    assert_eq!((shown.status, shown.answered), (Status::InProgress, false));
    assert_eq!((shown.answered_at_ms, shown.alive_ms), (None, None));
    assert_eq!(row([says.clone(), given_up(Manual, 9)]).status, Status::Failed);
    assert_eq!(row([says, live(Live::Ringing, Callback, 6)]).status, Status::InProgress);
}

#[test]
fn a_detail_is_that_of_the_best_witness_then_the_earliest_then_the_least() {
    let says = |witness, t, value| signal(witness, Claim::Recording, t).detail(Field::From, value);
    let from = |a: &Signal, b: &Signal| Call::fold([a, b]).detail(Field::From).unwrap().to_owned();
    let by_key = [
        says(Callback, 8, "c"),
        says(Callback, 9, "a"),
        says(Callback, 9, "b"),
        says(Reconciled, 1, "d"),
        says(Absent, 1, "d"),
        says(Manual, 1, "a"),
        says(Manual, 2, "0"),
        says(Inferred, 1, "0"),
    ];
    for (i, winner) in by_key.iter().enumerate() {
        for loser in &by_key[i..] {
            assert_eq!(from(winner, loser), winner.details[&Field::From]);
            assert_eq!(from(loser, winner), winner.details[&Field::From]);
        }
    }
    let call = Call::fold([&says(Callback, 1, "a").detail(Field::To, "b"), &alive(Callback, 1)]);
    assert_eq!((call.detail(Field::From), call.detail(Field::To)), (Some("a"), Some("b")));
    assert_eq!(call.detail(Field::UserId), None);
}

#[test]
fn a_link_is_the_best_ranked_then_chosen_as_a_detail() {
    let says = |witness, t, rank, lead| signal(witness, Claim::Link, t).link(rank, lead);
    use LinkRank::{Announced, Job, Number, Url};
    let by_key = [
        says(Inferred, 9, Url, "z"),
        says(Callback, 8, Announced, "y"),
        says(Callback, 9, Announced, "a"),
        says(Callback, 9, Announced, "b"),
        says(Reconciled, 1, Announced, "a"),
        says(Callback, 1, Job, "a"),
        says(Callback, 1, Number, "a"),
    ];
    for (i, winner) in by_key.iter().enumerate() {
        for loser in &by_key[i..] {
            assert_eq!(Call::fold([winner, loser]).read().link, winner.link);
            assert_eq!(Call::fold([loser, winner]).read().link, winner.link);
        }
    }
    assert_eq!(row([answered(1)]).link, None);
}

#[test]
fn a_stored_call_holds_only_what_is_known() {
    let stored = |story: &[Signal]| serde_json::to_value(Call::fold(story)).unwrap();
    assert_eq!(stored(&[]), serde_json::json!({}));
    let keys = |story: &[Signal]| stored(story).as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&[unknown("x")]), ["created_ms"]);
    assert_eq!(keys(&[answered(1)]), ["alive_ms", "answered", "created_ms", "live"]);
    assert_eq!(keys(&[given_up(Manual, 1).detail(Field::To, "x")]), ["created_ms", "details", "manual"]);
}
