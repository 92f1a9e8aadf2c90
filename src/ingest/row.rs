//! Between a call's registers and its stored row.

use crate::{
    domain::{
        call::{Call, Row},
        signal::{Field, Signal},
    },
    store::{StoreError, calls::CallRow},
};

/// The registers stored with a row.
pub fn registers(row: &CallRow) -> Result<Call, StoreError> {
    serde_json::from_str(&row.registers).map_err(|e| StoreError::Corrupt {
        what: format!("the registers of call {}", row.provider_id),
        why: e.to_string(),
    })
}

/// What a call would read if this were submitted now. Nothing is written.
pub fn foretell(row: &CallRow, signal: Option<&Signal>) -> Result<Row, StoreError> {
    let mut call = registers(row)?;
    if let Some(signal) = signal {
        call.absorb(signal);
    }
    Ok(call.read())
}

/// Writes what is read from a call into its row. What lies outside the law (id, due time, counters) is left alone.
pub fn fill(row: &mut CallRow, call: &Call, read: &Row) {
    let detail = |field| call.detail(field).map(str::to_owned);
    // Plain structs serialize to memory without fail; an empty text would be reported as corrupt when read back.
    row.registers = serde_json::to_string(call).unwrap_or_default();
    row.parent_id = detail(Field::ParentId);
    row.merged_into = detail(Field::MergedInto);
    row.direction = detail(Field::Direction);
    row.from = detail(Field::From);
    row.to = detail(Field::To);
    row.extension = detail(Field::Extension);
    row.user_id = detail(Field::UserId);
    row.job_id = detail(Field::JobId);
    row.answered_by = detail(Field::AnsweredBy);
    row.recording_url = detail(Field::RecordingUrl);
    row.recording_seconds = call.detail(Field::RecordingSeconds).and_then(|s| s.parse().ok());
    row.lead_id = read.link.as_ref().map(|link| link.lead_id.clone());
    row.status = read.status.as_str().to_owned();
    row.resolution = read.resolution.map(|r| r.as_str().to_owned());
    row.estimated = read.estimated;
    row.ended_at_max_ms = read.ended_at_max_ms;
    row.hangup_cause = read.hangup_cause.map(|c| c.as_str().to_owned());
    row.created_at_ms = read.created_at_ms;
    row.initiated_at_ms = read.initiated_at_ms;
    row.ringing_at_ms = read.ringing_at_ms;
    row.answered_at_ms = read.answered_at_ms;
    row.ended_at_ms = read.ended_at_ms;
    row.talk_seconds = read.talk_seconds;
    row.alive_ms = read.alive_ms;
}
