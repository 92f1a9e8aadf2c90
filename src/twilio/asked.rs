//! What the REST API says of a call, read as a signal of the witness `reconciled`.
//!
//! A call that lives was alive when we asked: that is the signal's time. One that has ended carries Twilio's own time. The
//! answer comes over TLS from the host that was asked, not from whoever found an old webhook, so its times are believed
//! from much longer ago than those of webhooks (see `domain::signal::PAST_MAX`).

use super::{
    reading::{ADDRESS_BYTES_MAX, CALL_SECONDS_MAX, WORD_BYTES_MAX, shortened},
    rest::Call,
    sid,
    signal::{Word, cause},
};
use crate::domain::{
    id::Leg,
    signal::{Claim, FUTURE_MAX, Field, Signal, Told, Witness},
    state::Outcome,
    time::{DAY, Millis},
};
use std::collections::BTreeMap;

/// A call as far as it is told, with its addresses. `account` is the one that was asked for the call, `asked_ms` when.
pub fn read(call: &Call, account: &str, asked_ms: Millis) -> Signal {
    let (claim, at) = match Word::of(&call.status) {
        Some(Word::Live(live)) => (Claim::Live(live), Some(asked_ms)),
        Some(Word::Ended(outcome)) => (Claim::Ended(ending(call, outcome)), ended_ms(call, asked_ms)),
        None => (Claim::Unknown(text(shortened(&call.status))), None),
    };
    let leg = Leg { provider_id: call.sid.clone(), account: account.to_owned() };
    let (witness, details, link) = (Witness::Reconciled, details(call), None);
    Signal { leg, witness, claim, at, sequence: None, details, link, received_ms: asked_ms }
}

/// A call that lives, with its addresses, for those that nobody knows yet. `None`: it does not live.
pub fn read_live(call: &Call, account: &str, asked_ms: Millis) -> Option<Signal> {
    Some(read(call, account, asked_ms)).filter(|signal| matches!(signal.claim, Claim::Live(_)))
}

/// The same of a call that is known: how far it has come, and nothing else.
pub fn read_bare(call: &Call, account: &str, asked_ms: Millis) -> Option<Signal> {
    Some(Signal { details: BTreeMap::new(), ..read_live(call, account, asked_ms)? })
}

fn ending(call: &Call, outcome: Outcome) -> Told {
    let seconds = call.duration_seconds.and_then(|seconds| i64::try_from(seconds).ok());
    // Of a call that nobody answered Twilio says nothing, an empty text or 0: none of it is a length.
    let seconds = seconds.filter(|seconds| outcome == Outcome::Completed && *seconds <= CALL_SECONDS_MAX);
    Told { outcome, seconds, cause: cause(outcome, None) }
}

/// `end_time` is documented for completed calls only; after an ending the last change was the ending.
fn ended_ms(call: &Call, asked_ms: Millis) -> Option<Millis> {
    let credible = asked_ms.saturating_sub(PAST_MAX)..=asked_ms.saturating_add(FUTURE_MAX);
    [call.ended_ms, call.updated_ms].into_iter().flatten().find(|at| credible.contains(at))
}

/// As a webhook of the same leg names them.
fn details(call: &Call) -> BTreeMap<Field, String> {
    let bounded = |value: &Option<String>, bytes_max: usize| {
        value.as_deref().filter(|value| !value.is_empty() && value.len() <= bytes_max).map(text)
    };
    let parent = call.parent_call_sid.clone().filter(|sid| sid::CALL.fits(sid));
    let details = [
        (Field::ParentId, parent),
        (Field::Direction, bounded(&call.direction, WORD_BYTES_MAX)),
        (Field::From, bounded(&call.from, ADDRESS_BYTES_MAX)),
        (Field::To, bounded(&call.to, ADDRESS_BYTES_MAX)),
        (Field::AnsweredBy, bounded(&call.answered_by, WORD_BYTES_MAX)),
    ];
    details.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
}

/// No database keeps NUL in a text.
fn text(value: &str) -> String {
    value.replace('\0', "\u{fffd}")
}

/// How long ago a call may have ended: longer than Twilio lists calls.
pub const PAST_MAX: Millis = 400 * DAY;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        state::{HangupCause, Live},
        time::{MINUTE, SECOND},
    };

    const ACCOUNT: &str = "AC00000000000000000000000000000001";
    const ASKED_MS: Millis = 1_800_000_000_000;

    fn call(status: &str) -> Call {
        Call {
            sid: format!("CA{:032x}", 7),
            account_sid: ACCOUNT.into(),
            status: status.into(),
            direction: Some("outbound-dial".into()),
            from: Some("+14155550100".into()),
            to: Some("client:ann".into()),
            parent_call_sid: Some(format!("CA{:032x}", 6)),
            created_ms: Some(ASKED_MS - MINUTE),
            started_ms: Some(ASKED_MS - 50 * SECOND),
            updated_ms: Some(ASKED_MS - 8 * SECOND),
            ..Call::default()
        }
    }

    #[test]
    fn a_call_that_lives_was_alive_when_we_asked() {
        for (status, live) in [("queued", Live::Queued), ("ringing", Live::Ringing), ("in-progress", Live::Answered)] {
            let full = read_live(&call(status), ACCOUNT, ASKED_MS).unwrap();
            assert_eq!((&full.claim, full.at, full.received_ms), (&Claim::Live(live), Some(ASKED_MS), ASKED_MS));
            assert_eq!((full.witness, full.sequence), (Witness::Reconciled, None));
            assert_eq!((full.leg.provider_id, full.leg.account.as_str()), (call(status).sid, ACCOUNT));
            assert_eq!(
                full.details.keys().copied().collect::<Vec<_>>(),
                [Field::ParentId, Field::Direction, Field::From, Field::To]
            );
            let bare = read_bare(&call(status), ACCOUNT, ASKED_MS).unwrap();
            assert!(bare.details.is_empty() && bare.claim == full.claim);
        }
        for status in ["completed", "busy", "waiting"] {
            assert_eq!(read_live(&call(status), ACCOUNT, ASKED_MS), None, "{status}");
            assert_eq!(read_bare(&call(status), ACCOUNT, ASKED_MS), None, "{status}");
        }
    }

    #[test]
    fn an_ending_is_told_with_its_cause_and_only_a_completed_one_with_seconds() {
        let endings = [
            ("completed", Outcome::Completed, HangupCause::Normal),
            ("busy", Outcome::Busy, HangupCause::Busy),
            ("no-answer", Outcome::NoAnswer, HangupCause::NoAnswer),
            ("failed", Outcome::Failed, HangupCause::Failed),
            ("canceled", Outcome::Canceled, HangupCause::Canceled),
        ];
        for (status, outcome, cause) in endings {
            for (duration_seconds, kept) in
                [(None, None), (Some(0), Some(0)), (Some(17), Some(17)), (Some(u64::MAX), None)]
            {
                let signal = read(&Call { duration_seconds, ..call(status) }, ACCOUNT, ASKED_MS);
                let seconds = kept.filter(|_| status == "completed");
                assert_eq!(signal.claim, Claim::Ended(Told { outcome, seconds, cause }), "{status}");
                assert_eq!(signal.details.len(), 4);
            }
        }
    }

    #[test]
    fn it_ended_when_twilio_says_so_if_that_can_be() {
        let at = |ended_ms: Option<Millis>, updated_ms: Option<Millis>| {
            read(&Call { ended_ms, updated_ms, ..call("no-answer") }, ACCOUNT, ASKED_MS).at
        };
        let (ended, updated) = (ASKED_MS - 10 * SECOND, ASKED_MS - 8 * SECOND);
        assert_eq!(at(Some(ended), Some(updated)), Some(ended));
        assert_eq!(at(None, Some(updated)), Some(updated));
        assert_eq!(at(None, None), None);
        let oldest = ASKED_MS - 400 * DAY;
        assert_eq!(at(Some(oldest), None), Some(oldest), "long before a webhook would be believed");
        assert_eq!(at(Some(oldest - 1), None), None);
        let newest = ASKED_MS + 5 * MINUTE;
        assert_eq!(at(Some(newest), None), Some(newest));
        assert_eq!(at(Some(newest + 1), Some(updated)), Some(updated));
    }

    #[test]
    fn what_nobody_knows_moves_nothing_and_what_cannot_be_is_left_out() {
        let long = "é".repeat(60);
        let unknown = read(&call(&format!("\0{long}")), ACCOUNT, ASKED_MS);
        assert!(matches!(&unknown.claim, Claim::Unknown(word) if word.starts_with("\u{fffd}é") && word.len() < 70));
        assert_eq!(unknown.at, None);
        let odd = Call {
            parent_call_sid: Some("CA6".into()),
            direction: Some("d".repeat(51)),
            from: Some("+1\x00".into()),
            to: Some(String::new()),
            answered_by: Some("human".into()),
            ..call("ringing")
        };
        let details = read(&odd, ACCOUNT, ASKED_MS).details;
        let kept: Vec<_> = details.iter().map(|(field, value)| (*field, value.as_str())).collect();
        assert_eq!(kept, [(Field::From, "+1\u{fffd}"), (Field::AnsweredBy, "human")]);
    }
}
