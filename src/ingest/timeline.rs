//! What the journal says about calls and leads, as it is stored.

use crate::{
    domain::{
        call::Step,
        effect::EffectKind,
        signal::{Signal, Witness},
        state::Status,
        time::Millis,
    },
    store::journal::{self, NewEntry},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One row of a call's timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineStep<'a> {
    /// The provider's time of what was said, if it told one.
    pub at_ms: Option<Millis>,
    /// When it was received.
    pub received_ms: Millis,
    /// What was said; `None` for a status nobody knows.
    pub claim: Option<Cow<'a, str>>,
    /// Who said it.
    pub witness: Witness,
    /// What it did.
    pub step: Step,
    /// The status before; `None` for a new call.
    pub from: Option<Status>,
    /// The status after.
    pub to: Status,
    /// The delivery it was read from.
    pub delivery_id: Option<Cow<'a, str>>,
}

impl<'a> TimelineStep<'a> {
    /// The step a signal made.
    pub fn of(signal: &Signal, step: Step, from: Option<Status>, to: Status, delivery_id: Option<&'a str>) -> Self {
        Self {
            at_ms: signal.at,
            received_ms: signal.received_ms,
            claim: signal.claim_word().map(Cow::Borrowed),
            witness: signal.witness,
            step,
            from,
            to,
            delivery_id: delivery_id.map(Cow::Borrowed),
        }
    }
}

/// A change of a lead's contacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadChange {
    /// `lead.contacted` or `lead.contact_corrected`.
    pub change: EffectKind,
    /// The leg that decided.
    pub call_id: String,
    /// When they spoke.
    pub contacted_ms: Millis,
}

/// A journal entry.
pub(super) fn entry(tenant: &str, kind: &'static str, subject: &str, at_ms: Millis, what: &impl Serialize) -> NewEntry {
    NewEntry {
        tenant: tenant.to_owned(),
        kind,
        subject: subject.to_owned(),
        at_ms,
        what: serde_json::to_string(what).unwrap_or_default(),
    }
}

/// A journal entry about a call.
pub(super) fn of_call(tenant: &str, call_id: &str, now: Millis, step: &TimelineStep<'_>) -> NewEntry {
    entry(tenant, journal::CALL, call_id, now, step)
}
