//! Long random stories: in any order and with any duplication, told step by step or at once, they end in the same row.

use crate::build::{Carry, cause_of, given_up, live, signal};
use onhook::domain::{
    call::{Call, Row},
    signal::{Claim, Field, LinkRank, Signal, Told, Weak, Witness},
    state::{HangupCause, Live, Outcome, Resolution, Status},
    time::Millis,
};
use proptest::{option, prelude::*, sample::select};

fn any_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    select(all)
}

/// Times that often meet (the first range) and some that nobody should send.
fn any_ms() -> impl Strategy<Value = Millis> {
    prop_oneof![8 => 0..20_i64, 4 => 0..5_000_000_i64, 1 => any::<i64>()]
}

fn any_told() -> impl Strategy<Value = Told> {
    let seconds = option::of(prop_oneof![4 => 0..3_i64, 2 => 0..10_000_i64, 1 => any::<i64>()]);
    let outcome = prop_oneof![2 => Just(Outcome::Completed), 3 => any_of(Outcome::ALL)];
    (outcome, seconds, any::<bool>()).prop_map(|(outcome, seconds, usual)| {
        let cause = if usual { cause_of(outcome) } else { HangupCause::Rejected };
        Told { outcome, seconds, cause }
    })
}

fn any_weak() -> impl Strategy<Value = Weak> {
    let if_answered = select(vec![Outcome::Completed, Outcome::Failed]);
    (any_ms(), option::of(any_ms()), any_of(HangupCause::ALL), if_answered, option::of(any_ms())).prop_map(
        |(decided_ms, floor_ms, cause, if_answered, stated_end_ms)| Weak {
            decided_ms,
            floor_ms,
            cause,
            if_answered,
            stated_end_ms,
        },
    )
}

fn any_claim() -> impl Strategy<Value = Claim> {
    prop_oneof![
        6 => any_of(Live::ALL).prop_map(Claim::Live),
        2 => Just(Claim::Alive),
        2 => any_told().prop_map(Claim::Ended),
        4 => any_weak().prop_map(Claim::GivenUp),
        1 => Just(Claim::Recording),
        1 => Just(Claim::AnsweredBy),
        1 => Just(Claim::Link),
        1 => "[a-z]{0,3}".prop_map(Claim::Unknown),
    ]
}

fn any_signal() -> impl Strategy<Value = Signal> {
    let carried = (
        prop::collection::btree_map(any_of(Field::ALL), "[ab]{0,2}", 0..3),
        option::weighted(0.2, (any_of(LinkRank::ALL), "[ab]{0,2}")),
    );
    let sequence = option::of(-2..4_i64);
    (any_of(Witness::ALL), any_claim(), option::weighted(0.8, any_ms()), any_ms(), sequence, carried).prop_map(
        |(witness, claim, at, received_ms, sequence, (details, link))| {
            let said = Signal { at, received_ms, details, ..signal(witness, claim, 0) }.sequence(sequence);
            match link {
                Some((rank, lead_id)) => said.link(rank, &lead_id),
                None => said,
            }
        },
    )
}

/// Mostly without told endings, which outweigh all that is given up.
fn any_story() -> impl Strategy<Value = Vec<Signal>> {
    let told = |s: &Signal| matches!(s.claim, Claim::Ended(_));
    (prop::collection::vec(any_signal(), 1..40), any::<bool>()).prop_map(move |(mut signals, with_told)| {
        signals.retain(|s| with_told || !told(s));
        signals
    })
}

/// A story and another order of it, with duplicates.
fn any_two_orders() -> impl Strategy<Value = (Vec<Signal>, Vec<Signal>)> {
    any_story().prop_flat_map(|story| {
        let again = prop::sample::subsequence(story.clone(), 0..=story.len());
        let shuffled = again.prop_map({
            let story = story.clone();
            move |again| [story.clone(), again].concat()
        });
        (Just(story), shuffled.prop_shuffle())
    })
}

fn config() -> ProptestConfig {
    // A failing story is printed in its shortest form; no files are left behind.
    ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_order_and_duplication_end_in_the_same_call((story, shuffled) in any_two_orders()) {
        let call = Call::fold(&story);
        prop_assert_eq!(&call, &Call::fold(&shuffled));

        let mut absorbing = Call::default();
        for signal in &shuffled {
            absorbing.absorb(signal);
        }
        prop_assert_eq!(&call, &absorbing);
        prop_assert_eq!(call.read(), absorbing.read());
    }

    #[test]
    fn what_was_learned_before_and_after_a_restart_joins(story in any_story(), cut in any::<prop::sample::Index>()) {
        let (before, after) = story.split_at(cut.index(story.len() + 1));
        let stored = serde_json::to_string(&Call::fold(before)).unwrap();
        let mut call: Call = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&call, &Call::fold(before));
        call.join(Call::fold(after));
        prop_assert_eq!(call, Call::fold(&story));
    }

    #[test]
    fn rows_make_sense(story in any_story()) {
        check_row(&story, &Call::fold(&story).read());
    }

    #[test]
    fn a_told_ending_is_never_undone(story in any_story(), told in any_told(), more in any_signal()) {
        let ending = signal(Witness::Callback, Claim::Ended(told), 1);
        let mut call = Call::fold(story.iter().chain([&ending]));
        call.absorb(&more);
        prop_assert_eq!(call.read().resolution, Some(Resolution::Callback));
    }

    #[test]
    fn lateness_does_not_inflate(late in 3..1_000_000_i64) {
        let end = |decided| {
            let story = [
                live(Live::Answered, Witness::Callback, 1),
                live(Live::Ringing, Witness::Callback, 2),
                given_up(Witness::Inferred, decided),
            ];
            let row = Call::fold(&story).read();
            (row.status, row.ended_at_ms, row.talk_seconds)
        };
        prop_assert_eq!(end(late), end(2));
        prop_assert_eq!(end(2), (Status::Completed, Some(2_000), Some(1)));
    }
}

/// What holds for every row, said again from the signals and not from the registers.
fn check_row(story: &[Signal], row: &Row) {
    let ended = row.status.is_ended();
    for known in [row.resolution.is_some(), row.ended_at_ms.is_some(), row.talk_seconds.is_some()] {
        assert_eq!(known, ended, "{row:?}");
    }
    assert_eq!(row.hangup_cause.is_some(), ended, "{row:?}");
    assert!(ended || (!row.estimated && row.ended_at_max_ms.is_none()), "{row:?}");
    assert!(row.talk_seconds.is_none_or(|s| s >= 0), "{row:?}");
    assert!(row.answered_at_ms.zip(row.ended_at_ms).is_none_or(|(answered, ended)| answered <= ended), "{row:?}");
    assert!(row.ended_at_max_ms.is_none_or(|max| row.ended_at_ms <= Some(max)), "{row:?}");
    assert_eq!(Some(row.created_at_ms), story.iter().map(|s| s.received_ms).min().or(Some(0)));

    let provider = |s: &&Signal| matches!(s.witness, Witness::Callback | Witness::Reconciled);
    let shows_life = |s: &&Signal| matches!(s.claim, Claim::Live(_) | Claim::Alive);
    assert_eq!(row.alive_ms, story.iter().filter(provider).filter(shows_life).map(Signal::effective_ms).max());

    let outcomes: Vec<_> = story.iter().filter(provider).filter_map(told).collect();
    if outcomes.is_empty() {
        check_untold(story, row);
    } else {
        assert!(outcomes.iter().any(|told| Status::from(told.outcome) == row.status), "{row:?}");
        assert!(matches!(row.resolution, Some(Resolution::Callback | Resolution::Reconciled)), "{row:?}");
        assert_eq!(row.ended_at_max_ms, None);
    }
    let link = story.iter().filter_map(|s| s.link.as_ref()).map(|link| link.rank).min();
    assert_eq!(row.link.as_ref().map(|link| link.rank), link);
}

fn check_untold(story: &[Signal], row: &Row) {
    let stands = |s: &&Signal| match (&s.claim, s.witness) {
        (Claim::GivenUp(weak), Witness::Absent | Witness::Manual | Witness::Inferred) => {
            row.alive_ms.is_none_or(|alive| weak.decided_ms >= alive)
        }
        _ => false,
    };
    assert_eq!(row.status.is_ended(), story.iter().any(|s| stands(&s)), "{row:?}");
    if row.status.is_ended() {
        assert_eq!(row.estimated, row.ended_at_max_ms.is_some(), "{row:?}");
        assert_eq!(row.answered, row.answered_at_ms.is_some(), "{row:?}");
        match row.status {
            Status::Completed => assert!(row.answered, "elapsed time is no evidence: {row:?}"),
            Status::NoAnswer => assert!(!row.answered && row.resolution == Some(Resolution::Reconciled), "{row:?}"),
            status => assert_eq!(status, Status::Failed),
        }
    }
}

fn told(signal: &Signal) -> Option<Told> {
    match &signal.claim {
        Claim::Ended(told) => Some(*told),
        _ => None,
    }
}
