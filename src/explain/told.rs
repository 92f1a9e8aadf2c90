//! Sentences about what is stored.

use super::story::{FollowUp, Owed};
use crate::{
    domain::{call::Step, effect::EffectKind, signal::Witness, state::Status, time::rfc3339},
    ingest::TimelineStep,
    store::{
        audit::AuditRow,
        deliveries::{APPLIED, DeliveryRow},
        follow_ups::{self, FollowUpRow},
        outbox::OutboxRow,
    },
};
use serde::Deserialize;

/// A delivery.
pub(super) fn delivery(row: &DeliveryRow) -> String {
    let verified = if row.verified { "its signature was verified" } else { "its signature was not verified" };
    let state = match (row.state == APPLIED, &row.reason) {
        (true, _) => String::new(),
        (false, Some(reason)) => format!(" It could not be applied and is tried again: {reason}."),
        (false, None) => " It could not be applied and is tried again.".to_owned(),
    };
    format!("A delivery came to {} ({}); {verified}.{state}", row.source, row.method)
}

/// What was said, and what it did.
pub(super) fn step(step: &TimelineStep<'_>) -> String {
    let who = match step.witness {
        Witness::Callback => "The provider said by itself",
        Witness::Reconciled => "The provider was asked and said",
        Witness::Absent => "The live calls of the provider showed",
        Witness::Manual => "An operator, or an import, said",
        Witness::Inferred => "It was inferred",
    };
    let claim = match step.claim.as_deref() {
        Some("queued") => "that it waits to be dialed",
        Some("initiated") => "that it is being dialed",
        Some("ringing") => "that it rings",
        Some("answered") => "that it was answered",
        Some("alive") => "that it lives",
        Some("ended") => "that it has ended",
        Some("recording") => "that there is a recording",
        Some("answered_by") => "who or what answered",
        Some("link") => "whose call it is",
        Some(_) => "something new",
        None => "a status that nobody knows",
    };
    let at = step.at_ms.map(|at| format!(" (at {})", rfc3339(at))).unwrap_or_default();
    format!("{who} {claim}{at}. {}", done(step.step, step.from, step.to))
}

fn done(step: Step, from: Option<Status>, to: Status) -> String {
    match (step, from) {
        (Step::Moved, None) => format!("From here on the call is known, as {to}."),
        (Step::Moved, Some(from)) => format!("It moved from {from} to {to}."),
        (Step::Noted, _) => format!("It stayed {to}; what was new was noted."),
        (Step::Repeated, _) => format!("That was known already; it stayed {to}."),
        (Step::Late, _) => format!("That lies behind what was known, so it stayed {to}."),
        (Step::Corrected, Some(from)) if from != to => format!("That corrected {from} to {to}."),
        (Step::Corrected, _) => format!("It stayed {to}; how or when it ended was corrected."),
        (Step::Refused, _) => format!("That was kept and moved nothing; it stayed {to}."),
    }
}

/// What the detail of a decision about a call holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Why {
    pub(super) rule: Option<String>,
    pub(super) evidence: Option<String>,
}

/// The rule and the evidence of a decision.
pub(super) fn why(row: &AuditRow) -> Why {
    // Other kinds of decisions have other details.
    serde_json::from_str(&row.detail).unwrap_or_default()
}

/// A decision.
pub(super) fn decision(row: &AuditRow) -> String {
    let what = match row.action.as_str() {
        "call.given_up" => "gave it up.",
        "call.superseded" => "took it as ended, because a newer call took its place.",
        "call.ended_by_hand" => "took it as ended.",
        other => return format!("{} decided: {other}.", actor(&row.actor)),
    };
    let Why { rule, evidence } = why(row);
    let parts = [Some(format!("{} {what}", actor(&row.actor))), rule, evidence];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Who decided.
pub(super) fn actor(actor: &str) -> String {
    match (actor, actor.split_once(':')) {
        ("sweeper", _) => "The sweeper".to_owned(),
        ("cli", _) => "Somebody at the command line".to_owned(),
        (_, Some(("key", id))) => format!("Somebody with the key {id}"),
        (other, _) => other.to_owned(),
    }
}

/// What became owed.
pub(super) fn effect(row: &OutboxRow) -> String {
    match row.kind.parse::<EffectKind>() {
        Ok(EffectKind::CallEnded) => "It is owed to the outside that the call ended.".to_owned(),
        Ok(EffectKind::CallRepaired) => {
            "It is owed to the outside that the call ended, and that its ending had to be found out.".to_owned()
        }
        Ok(EffectKind::CallCorrected) => {
            "It is owed to the outside that what was said of the ending was wrong.".to_owned()
        }
        Ok(EffectKind::LeadContacted) => "The conversation became a contact of its lead.".to_owned(),
        Ok(EffectKind::LeadContactCorrected) => "The conversation is no contact of that lead any more.".to_owned(),
        // No effect of a call.
        Ok(EffectKind::RunStarted | EffectKind::RunCompleted | EffectKind::RunCancelled | EffectKind::RunFailed)
        | Err(_) => format!("{} is owed to the outside.", row.kind),
    }
}

/// Something that is owed.
pub(super) fn owed(row: &OutboxRow) -> Owed {
    Owed { kind: row.kind.clone(), since: rfc3339(row.created_ms), what: effect(row) }
}

/// Something that is still to be learned.
pub(super) fn follow_up(row: &FollowUpRow) -> FollowUp {
    let at = rfc3339(row.due_ms);
    let why = match row.kind.as_str() {
        follow_ups::HISTORY => {
            format!("At {at} the provider is asked which callbacks it made: lost ones are replayed.")
        }
        follow_ups::ENDING => {
            format!("At {at} the provider is asked how the call really ended: it did not say so itself.")
        }
        _ => format!("At {at} the provider is asked again."),
    };
    FollowUp { kind: row.kind.clone(), due_at: at, attempts: row.attempts, why }
}
