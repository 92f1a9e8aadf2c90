//! Calls and leads as the REST API shows them, for `--json`.

use crate::{
    domain::{
        deadline::Limits,
        state::Status,
        time::{Millis, rfc3339, seconds_between},
    },
    ingest::TimelineStep,
    store::{calls::CallRow, journal::Entry, leads::LeadRead},
};
use serde_json::{Value, json};

/// A call.
pub fn call(row: &CallRow, limits: &Limits, now_ms: Millis) -> Value {
    let stuck = row
        .status
        .parse::<Status>()
        .ok()
        .filter(|_| !row.is_replaced())
        .and_then(|status| limits.stuck(status, row.alive_ms.unwrap_or(row.created_at_ms), now_ms));
    let began = row.initiated_at_ms.unwrap_or(row.created_at_ms);
    let recording =
        row.recording_url.as_ref().map(|url| json!({ "url": url, "duration_seconds": row.recording_seconds }));
    json!({
        "id": row.id, "provider": row.provider, "account": row.account, "provider_id": row.provider_id,
        "parent_id": row.parent_id, "merged_into": row.merged_into, "direction": row.direction,
        "from": row.from, "to": row.to, "extension": row.extension, "user_id": row.user_id, "lead_id": row.lead_id,
        "run_id": row.run_id, "status": row.status, "resolution": row.resolution, "estimated": row.estimated,
        "ended_at_max": moment(row.ended_at_max_ms), "hangup_cause": row.hangup_cause,
        "created_at": rfc3339(row.created_at_ms), "initiated_at": moment(row.initiated_at_ms),
        "ringing_at": moment(row.ringing_at_ms), "answered_at": moment(row.answered_at_ms),
        "ended_at": moment(row.ended_at_ms),
        "duration_seconds": row.ended_at_ms.map(|ended| seconds_between(began, ended)),
        "talk_seconds": row.talk_seconds, "answered_by": row.answered_by, "recording": recording,
        "stuck": stuck.map(|stuck| stuck.as_str()), "due_at": moment(row.due_at_ms),
        "last_signal_at": rfc3339(row.last_signal_ms), "deliveries": row.deliveries, "verified": row.verified,
    })
}

/// A row of a timeline.
pub fn step(entry: &Entry, step: &TimelineStep<'_>) -> Value {
    json!({
        "seq": entry.seq, "at": moment(step.at_ms), "received_at": rfc3339(step.received_ms), "claim": step.claim,
        "witness": step.witness, "step": step.step, "from": step.from, "to": step.to, "delivery_id": step.delivery_id,
    })
}

/// A lead.
pub fn lead(lead: &LeadRead) -> Value {
    let row = &lead.row;
    json!({
        "id": row.id, "name": row.name, "phone": row.phone, "phone_e164": row.phone_e164, "status": lead.status(),
        "last_contacted_at": moment(lead.last_contacted_ms()), "contact_count": lead.contact_count,
        "created_at": rfc3339(row.created_ms), "updated_at": rfc3339(row.updated_ms),
        "forgotten_at": moment(row.forgotten_ms),
    })
}

/// A time that may be missing.
pub fn moment(at: Option<Millis>) -> Option<String> {
    at.map(rfc3339)
}

/// A time as a person reads it: to the second.
pub fn second(at: Millis) -> String {
    rfc3339(at).chars().take(19).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

/// The fields of a call in the order in which people read them.
pub const CALL_FIELDS: &[&str] = &[
    "id",
    "provider",
    "account",
    "provider_id",
    "parent_id",
    "merged_into",
    "direction",
    "from",
    "to",
    "extension",
    "user_id",
    "lead_id",
    "run_id",
    "status",
    "resolution",
    "hangup_cause",
    "stuck",
    "created_at",
    "initiated_at",
    "ringing_at",
    "answered_at",
    "ended_at",
    "estimated",
    "ended_at_max",
    "duration_seconds",
    "talk_seconds",
    "answered_by",
    "recording",
    "due_at",
    "last_signal_at",
    "deliveries",
    "verified",
];
