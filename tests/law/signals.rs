//! What a signal is, before any call hears of it: its time, its identity, its words.

use crate::build::{Carry, completed, given_up, live, signal, unknown};
use Witness::{Callback, Manual, Reconciled};
use onhook::domain::{
    signal::{Claim, FUTURE_MAX, Field, Identity, LinkRank, PAST_MAX, Signal, Told, Witness, believable},
    state::{HangupCause, Live, Outcome},
    time::{DAY, MINUTE},
};
use std::collections::HashSet;

#[test]
fn a_time_counts_if_it_lies_in_the_week_before_it_was_received_or_five_minutes_after() {
    assert_eq!((PAST_MAX, FUTURE_MAX), (7 * DAY, 5 * MINUTE));
    let received = 100 * DAY;
    for (t, believed) in [
        (received - 7 * DAY - 1, false),
        (received - 7 * DAY, true),
        (received, true),
        (received + 5 * MINUTE, true),
        (received + 5 * MINUTE + 1, false),
    ] {
        assert_eq!(believable(Some(t), received), believed.then_some(t));
    }
    assert_eq!(believable(None, received), None);
    assert_eq!(believable(Some(i64::MAX), i64::MAX), Some(i64::MAX));
}

#[test]
fn the_identity_is_all_of_a_signal_but_when_it_was_received() {
    let one = completed(5, Callback, 20).sequence(1);
    let mut others = vec![
        one.clone().sequence(2),
        one.clone().sequence(None),
        one.clone().untold(),
        one.clone().detail(Field::From, "x"),
        one.clone().detail(Field::To, "x"),
        one.clone().link(LinkRank::Url, "a"),
        one.clone().link(LinkRank::Url, "b"),
        completed(6, Callback, 20).sequence(1),
        completed(None, Callback, 20).sequence(1),
        completed(5, Reconciled, 20).sequence(1),
        completed(5, Callback, 21).sequence(1),
        Signal { claim: Claim::Alive, ..one.clone() },
        Signal {
            claim: Claim::Ended(Told { outcome: Outcome::Completed, seconds: Some(5), cause: HangupCause::Busy }),
            ..one.clone()
        },
        unknown("x"),
        unknown("y"),
    ];
    let mut elsewhere = [one.clone(), one.clone()];
    elsewhere[0].leg.provider_id.push('x');
    elsewhere[1].leg.account.push('x');
    others.extend(elsewhere);

    let identities: HashSet<Identity> = others.iter().chain([&one]).map(Signal::identity).collect();
    assert_eq!(identities.len(), others.len() + 1);
    assert_eq!(one.identity(), one.clone().received(99).identity());
}

#[test]
fn an_identity_is_written_in_hex() {
    let identity = live(Live::Answered, Callback, 1).identity();
    let hex = identity.to_hex();
    assert_eq!(hex.len(), 32);
    assert_eq!(Identity::from_hex(&hex), Some(identity));
    assert_eq!(serde_json::to_value(identity).unwrap(), hex);
    assert_eq!(serde_json::from_value::<Identity>(hex.clone().into()).unwrap(), identity);
    for wrong in ["", "zz", &hex[1..], &format!("{hex}00")] {
        assert_eq!(Identity::from_hex(wrong), None);
        assert!(serde_json::from_value::<Identity>(wrong.into()).is_err());
    }
}

#[test]
fn claims_have_words_and_an_unknown_one_has_none() {
    let word = |claim| signal(Callback, claim, 1).claim_word();
    for level in Live::ALL {
        assert_eq!(word(Claim::Live(*level)), Some(level.as_str()));
    }
    assert_eq!(word(Claim::Alive), Some("alive"));
    assert_eq!(completed(None, Callback, 1).claim_word(), Some("ended"));
    assert_eq!(given_up(Manual, 1).claim_word(), Some("ended"));
    assert_eq!(word(Claim::Recording), Some("recording"));
    assert_eq!(word(Claim::AnsweredBy), Some("answered_by"));
    assert_eq!(word(Claim::Link), Some("link"));
    assert_eq!(unknown("teleported").claim_word(), None);
}
