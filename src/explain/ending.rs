//! What decided the ending of a call, what else was heard of it and why that lost, and which callbacks never came.

use super::told;
use crate::{
    domain::{
        call::Call,
        ending::GAPS_MAX,
        signal::{Claim, Signal, Told, Weak, Witness},
        state::{Resolution, Status},
        time::{Millis, rfc3339},
    },
    store::audit::AuditRow,
};
use serde::Serialize;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// What decided the ending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EndingOfCall)]
pub struct Ending {
    /// How it is known.
    pub resolution: Resolution,
    /// What decided, in a sentence.
    pub why: String,
    /// Who decided, where the provider did not tell it: `sweeper`, `key:…`, `cli`.
    pub decided_by: Option<String>,
    /// By which rule.
    pub rule: Option<String>,
    /// On which evidence.
    pub evidence: Option<String>,
    /// What else was heard of the ending; at most 20.
    pub others: Vec<OtherEnding>,
}

/// An ending that was heard and does not stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OtherEnding {
    /// When it was heard or decided.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who said it.
    pub witness: Witness,
    /// What it said.
    pub what: String,
    /// Why it does not stand.
    pub why_not: String,
}

/// Callbacks that never came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LostCallbacks)]
pub struct Lost {
    /// The sequence numbers that never came by callback; at most 10.
    pub missing: Vec<i64>,
    /// Those of them that were learned by asking.
    pub replayed: Vec<i64>,
    /// In a sentence.
    pub why: String,
}

/// What decided the ending of a call; `None` while it lives.
pub(super) fn read(call: &Call, signals: &[Signal], audited: &[AuditRow]) -> Option<Ending> {
    let read = call.read();
    let resolution = read.resolution?;
    let told: Vec<(&Signal, Told)> = signals.iter().filter_map(|s| Some((s, as_told(s)?))).collect();
    let weak: Vec<(&Signal, Weak)> = signals.iter().filter_map(|s| Some((s, as_weak(s)?))).collect();
    let standing = call.told_by();
    let winner = told.iter().find(|(signal, _)| Some(signal.identity()) == standing);
    let by = match resolution {
        Resolution::Manual => Some(Witness::Manual),
        Resolution::Inferred => Some(Witness::Inferred),
        Resolution::Callback | Resolution::Reconciled => None,
    };
    let best_weak =
        |by: Witness| weak.iter().filter(move |(signal, _)| signal.witness == by).max_by_key(|(_, weak)| *weak);
    let decided = by.and_then(best_weak);
    let mut others: Vec<OtherEnding> = Vec::new();
    for (signal, said) in &told {
        if winner.is_some_and(|(other, _)| other.identity() == signal.identity()) {
            continue;
        }
        let why_not = winner.map_or_else(String::new, |winner| why_not(winner, (*signal, *said)));
        others.push(OtherEnding {
            at: rfc3339(signal.received_ms),
            witness: signal.witness,
            what: what(said),
            why_not,
        });
    }
    for (signal, weak) in weak.iter().filter(|(signal, weak)| decided != Some(&(*signal, *weak))) {
        let why_not = why_not_weak(resolution, signal.witness, *weak, read.alive_ms);
        let what = format!("It counted as ended ({}).", weak.cause);
        others.push(OtherEnding { at: rfc3339(weak.decided_ms), witness: signal.witness, what, why_not });
    }
    others.sort_by(|a, b| a.at.cmp(&b.at));
    others.truncate(OTHERS_MAX);
    let (why, decision) = match (resolution, winner) {
        (Resolution::Callback, Some((signal, said))) => {
            (format!("A callback told it: {}{}", what(said), number(signal)), None)
        }
        (Resolution::Callback, None) => {
            ("A callback told it; what it said in detail is no longer kept.".to_owned(), None)
        }
        (Resolution::Reconciled, Some((_, said))) => {
            let text = format!("The provider told it when it was asked: {} No callback told an ending.", what(said));
            (text, None)
        }
        (Resolution::Reconciled, None) => {
            ("The provider told it when it was asked, or does not list it any more.".to_owned(), None)
        }
        (Resolution::Manual | Resolution::Inferred, _) => of_audit(resolution, audited),
    };
    let reasons = decision.map(told::why).unwrap_or_default();
    Some(Ending {
        resolution,
        why,
        decided_by: decision.map(|row| row.actor.clone()),
        rule: reasons.rule,
        evidence: reasons.evidence,
        others,
    })
}

/// The latest decision that made such an ending, and what it says.
fn of_audit(resolution: Resolution, audited: &[AuditRow]) -> (String, Option<&AuditRow>) {
    let by_hand = resolution == Resolution::Manual;
    let actions: &[&str] = if by_hand { &["call.ended_by_hand"] } else { &["call.given_up", "call.superseded"] };
    let decision = audited.iter().find(|row| actions.contains(&row.action.as_str()));
    let why = match (decision, by_hand) {
        (Some(row), _) => told::decision(row),
        (None, true) => "Somebody took it as ended; who is no longer kept.".to_owned(),
        (None, false) => "It was given up; why is no longer kept.".to_owned(),
    };
    (why, decision)
}

const fn as_told(signal: &Signal) -> Option<Told> {
    match &signal.claim {
        Claim::Ended(told) => Some(*told),
        _ => None,
    }
}

const fn as_weak(signal: &Signal) -> Option<Weak> {
    match &signal.claim {
        Claim::GivenUp(weak) => Some(*weak),
        _ => None,
    }
}

fn what(told: &Told) -> String {
    let seconds = told.seconds.map(|s| format!(" after {s} s of conversation")).unwrap_or_default();
    format!("it ended as {}{seconds} ({}).", Status::from(told.outcome), told.cause)
}

fn number(signal: &Signal) -> String {
    signal.sequence.map(|n| format!(" Its sequence number is {n}.")).unwrap_or_default()
}

/// Why an ending that the provider told lost against another one, in the order of the law.
fn why_not((winner, won): &(&Signal, Told), (loser, lost): (&Signal, Told)) -> String {
    if winner.witness != loser.witness {
        return "A callback outweighs what was answered to a question.".to_owned();
    }
    match (loser.sequence, winner.sequence) {
        (None, Some(n)) => return format!("It has no sequence number; the one that stands has {n}."),
        (Some(low), Some(high)) if low < high => {
            return format!("Its sequence number {low} is lower than {high}, that of the one that stands.");
        }
        _ => {}
    }
    if loser.effective_ms() < winner.effective_ms() {
        return format!("It is earlier than the one that stands, which is of {}.", rfc3339(winner.effective_ms()));
    }
    if lost.outcome != won.outcome {
        let (won, lost) = (Status::from(won.outcome), Status::from(lost.outcome));
        return format!("Both are of the same moment; {won} outweighs {lost}.");
    }
    "It says the same as the one that stands.".to_owned()
}

fn why_not_weak(resolution: Resolution, witness: Witness, weak: Weak, alive_ms: Option<Millis>) -> String {
    match (resolution, alive_ms) {
        (Resolution::Callback | Resolution::Reconciled, _) => {
            "What the provider tells outweighs what nobody told.".to_owned()
        }
        (_, Some(alive)) if weak.decided_ms < alive => {
            format!("It showed a sign of life after that, at {}.", rfc3339(alive))
        }
        (Resolution::Manual, _) if witness == Witness::Inferred => {
            "What somebody says outweighs what is inferred.".to_owned()
        }
        _ => "A later decision took its place.".to_owned(),
    }
}

/// Callbacks that never came, as far as the numbers of those that came show it.
pub(super) fn lost(call: &Call, signals: &[Signal]) -> Option<Lost> {
    let resolution = call.read().resolution?;
    let numbers = |witness: Witness| -> BTreeSet<i64> {
        signals.iter().filter(|s| s.witness == witness).filter_map(|s| s.sequence).collect()
    };
    let (heard, learned) = (numbers(Witness::Callback), numbers(Witness::Reconciled));
    let standing = call.told_by();
    let last = signals.iter().find(|s| Some(s.identity()) == standing).and_then(|s| s.sequence);
    let last = last.or_else(|| learned.last().copied()).unwrap_or_default();
    let never = (0..=last).filter(|n| !heard.contains(n) && (*n < last || learned.contains(n)));
    let missing: Vec<i64> = never.take(usize::try_from(GAPS_MAX).unwrap_or_default()).collect();
    let replayed: Vec<i64> = missing.iter().copied().filter(|n| learned.contains(n)).collect();
    let why = match (missing.is_empty(), resolution) {
        (true, Resolution::Callback) => return None,
        (true, _) => "The callback that tells the ending never came.".to_owned(),
        (false, _) => never_came(missing.len(), last),
    };
    let learned = match replayed.len() {
        0 => String::new(),
        n => format!(" What {n} of them said was learned by asking."),
    };
    Some(Lost { missing, replayed, why: format!("{why}{learned}") })
}

fn never_came(count: usize, last: i64) -> String {
    let callbacks = if count == 1 { "callback" } else { "callbacks" };
    format!("{count} {callbacks} up to number {last} never came.")
}

const OTHERS_MAX: usize = 20;
