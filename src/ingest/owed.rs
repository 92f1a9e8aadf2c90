//! What a call that changed owes the outside.

use crate::{
    domain::{
        effect::EffectKind,
        time::{Millis, rfc3339},
    },
    store::{calls::CallRow, outbox::OutboxRow},
};

/// An effect about a call; its key is the number of effects the row counts.
pub(super) fn call_effect(row: &CallRow, kind: EffectKind, now: Millis) -> OutboxRow {
    let payload = serde_json::json!({
        "call_id": row.id, "provider_id": row.provider_id, "account": row.account, "lead_id": row.lead_id,
        "status": row.status, "resolution": row.resolution, "hangup_cause": row.hangup_cause,
        "estimated": row.estimated, "ended_at": row.ended_at_ms.map(rfc3339), "talk_seconds": row.talk_seconds,
    });
    OutboxRow {
        tenant: row.tenant.clone(),
        key: format!("{}/{:06}", row.id, row.effects),
        kind: kind.as_str().to_owned(),
        subject: row.id.clone(),
        created_ms: now,
        payload: payload.to_string(),
    }
}
