//! Calls and what belongs to them, as they are shown.

use crate::{
    domain::{
        call::Step,
        deadline::Limits,
        signal::Witness,
        state::{HangupCause, Resolution, Status, Stuck},
        time::{Millis, seconds_between},
    },
    http::{Problem, time::Moment},
    ingest::TimelineStep,
    store::{calls::CallRow, deliveries::DeliveryRow, expected::ExpectedRow, journal::Entry},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use std::str::FromStr;
use utoipa::ToSchema;

/// A leg of a phone call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Call)]
pub(in crate::http) struct CallView {
    /// Our id.
    #[schema(example = "call_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    id: String,
    /// Who carries it: `twilio`.
    #[schema(example = "twilio")]
    provider: String,
    /// The provider account.
    #[schema(example = "AC0123456789abcdef0123456789abcdef")]
    account: String,
    /// The provider's id.
    #[schema(example = "CA0123456789abcdef0123456789abcdef")]
    provider_id: String,
    /// The provider's id of the leg that dialed this one; null for the root of a conversation.
    parent_id: Option<String>,
    /// The provider's id of the call this one was merged into.
    merged_into: Option<String>,
    /// Where it comes from, in the provider's word: `inbound`, `outbound-api`, `outbound-dial` …
    #[schema(example = "outbound-api")]
    direction: Option<String>,
    /// The caller.
    #[schema(example = "+14155550100")]
    from: Option<String>,
    /// The called party.
    #[schema(example = "+14155550101")]
    to: Option<String>,
    /// The extension it belongs to.
    extension: Option<String>,
    /// The user it belongs to.
    user_id: Option<String>,
    /// Your own id of the lead it is tied to.
    #[schema(example = "lead-42")]
    lead_id: Option<String>,
    /// The run that placed it.
    run_id: Option<String>,
    /// How far it has come.
    status: Status,
    /// How its ending is known; null while it lives.
    resolution: Option<Resolution>,
    /// Whether `ended_at` is an estimate and not the provider's word.
    estimated: bool,
    /// The latest moment it can have ended, where `ended_at` is an estimate.
    ended_at_max: Option<Moment>,
    /// Why it ended; null while it lives.
    hangup_cause: Option<HangupCause>,
    /// When we first heard of it.
    created_at: Moment,
    /// When dialing began.
    initiated_at: Option<Moment>,
    /// When it rang.
    ringing_at: Option<Moment>,
    /// When it was answered.
    answered_at: Option<Moment>,
    /// When it ended; null while it lives.
    ended_at: Option<Moment>,
    /// Seconds from dialing (else from `created_at`) to the end; null while it lives.
    #[schema(example = 20)]
    duration_seconds: Option<i64>,
    /// Seconds of conversation as the provider counts them, else from the answer to the end; null while it lives.
    #[schema(example = 17)]
    talk_seconds: Option<i64>,
    /// What answered: `human`, `machine_start`, `fax` …
    #[schema(example = "human")]
    answered_by: Option<String>,
    /// The recording, if there is one.
    recording: Option<RecordingView>,
    /// Whether it lives and has shown no sign of life for too long.
    stuck: Option<Stuck>,
    /// When the provider will be asked about it; null once it ended.
    due_at: Option<Moment>,
    /// When the last signal about it was received.
    last_signal_at: Moment,
    /// How many distinct deliveries spoke of it.
    #[schema(example = 4)]
    deliveries: i64,
    /// Whether the signature of every one of them was verified.
    verified: bool,
}

/// A recording.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recording)]
pub(in crate::http) struct RecordingView {
    /// Where it is; the provider asks for credentials of its own.
    url: String,
    /// Its length in seconds.
    #[schema(example = 15)]
    duration_seconds: Option<i64>,
}

impl CallView {
    /// The provider account.
    pub(in crate::http) fn account(&self) -> &str {
        &self.account
    }

    /// What is shown of a stored call at `now_ms`.
    pub(super) fn new(row: CallRow, limits: &Limits, now_ms: Millis) -> Result<Self, Problem> {
        let status: Status = word(&row.status)?;
        let is_live = row.resolution.is_none() && !row.is_replaced();
        let alive_ms = row.alive_ms.unwrap_or(row.created_at_ms);
        let begun_ms = row.initiated_at_ms.unwrap_or(row.created_at_ms);
        let duration_seconds = row.recording_seconds;
        Ok(Self {
            id: row.id,
            provider: row.provider,
            account: row.account,
            provider_id: row.provider_id,
            parent_id: row.parent_id,
            merged_into: row.merged_into,
            direction: row.direction,
            from: row.from,
            to: row.to,
            extension: row.extension,
            user_id: row.user_id,
            lead_id: row.lead_id,
            run_id: row.run_id,
            status,
            resolution: row.resolution.as_deref().map(word).transpose()?,
            estimated: row.estimated,
            ended_at_max: row.ended_at_max_ms.map(Moment),
            hangup_cause: row.hangup_cause.as_deref().map(word).transpose()?,
            created_at: Moment(row.created_at_ms),
            initiated_at: row.initiated_at_ms.map(Moment),
            ringing_at: row.ringing_at_ms.map(Moment),
            answered_at: row.answered_at_ms.map(Moment),
            ended_at: row.ended_at_ms.map(Moment),
            duration_seconds: row.ended_at_ms.map(|ended| seconds_between(begun_ms, ended)),
            talk_seconds: row.talk_seconds,
            answered_by: row.answered_by,
            recording: row.recording_url.map(|url| RecordingView { url, duration_seconds }),
            stuck: if is_live { limits.stuck(status, alive_ms, now_ms) } else { None },
            due_at: row.due_at_ms.map(Moment),
            last_signal_at: Moment(row.last_signal_ms),
            deliveries: row.deliveries,
            verified: row.verified,
        })
    }
}

/// What one signal did to a call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimelineRow)]
pub(in crate::http) struct TimelineView {
    /// Its place in the journal; it grows.
    #[schema(example = 17)]
    seq: i64,
    /// The provider's time of what was said, if it told one.
    at: Option<Moment>,
    /// When it was received.
    received_at: Moment,
    /// What was said: `queued`, `initiated`, `ringing`, `answered`, `alive`, `ended`, `recording`, `answered_by` or
    /// `link`; null for a status nobody knows.
    #[schema(example = "ringing")]
    claim: Option<String>,
    /// Who said it.
    witness: Witness,
    /// What it did.
    step: Step,
    /// The status before; null for a new call.
    from: Option<Status>,
    /// The status after.
    to: Status,
    /// The delivery it was read from.
    delivery_id: Option<String>,
}

impl TimelineView {
    pub(super) fn new(entry: &Entry) -> Result<Self, Problem> {
        let step: TimelineStep<'_> = serde_json::from_str(&entry.what)
            .map_err(|e| Problem::internal(&format!("the journal entry {} is corrupt: {e}", entry.seq)))?;
        Ok(Self {
            seq: entry.seq,
            at: step.at_ms.map(Moment),
            received_at: Moment(step.received_ms),
            claim: step.claim.map(|claim| claim.into_owned()),
            witness: step.witness,
            step: step.step,
            from: step.from,
            to: step.to,
            delivery_id: step.delivery_id.map(|id| id.into_owned()),
        })
    }
}

/// How a body is written in JSON.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) enum BodyEncoding {
    /// As it is.
    #[serde(rename = "utf-8")]
    Utf8,
    /// It is not UTF-8.
    #[serde(rename = "base64")]
    Base64,
}

/// A delivery as it was received.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(in crate::http) struct DeliveryView {
    /// Its id, a digest of the content.
    id: String,
    /// When it first came.
    received_at: Moment,
    /// Which door it came through.
    #[schema(example = "twilio/status")]
    source: String,
    /// `POST` or `GET`.
    #[schema(example = "POST")]
    method: String,
    /// The raw query string.
    #[schema(example = "lead_id=lead-42")]
    query: String,
    /// The raw body; see `body_encoding`.
    #[schema(example = "CallSid=CA0123456789abcdef0123456789abcdef&CallStatus=ringing")]
    body: String,
    /// How `body` is written here.
    body_encoding: BodyEncoding,
    /// Whether its signature was verified.
    verified: bool,
    /// `applied`, or `unapplied`: it is kept and tried again.
    #[schema(example = "applied")]
    state: String,
    /// Why it is unapplied.
    reason: Option<String>,
    /// How often applying it has failed.
    attempts: i64,
}

impl From<DeliveryRow> for DeliveryView {
    fn from(row: DeliveryRow) -> Self {
        let (body, body_encoding) = match String::from_utf8(row.body) {
            Ok(text) => (text, BodyEncoding::Utf8),
            Err(error) => (STANDARD.encode(error.as_bytes()), BodyEncoding::Base64),
        };
        Self {
            id: row.id,
            received_at: Moment(row.received_ms),
            source: row.source,
            method: row.method,
            query: String::from_utf8_lossy(&row.query).into_owned(),
            body,
            body_encoding,
            verified: row.verified,
            state: row.state,
            reason: row.reason,
            attempts: row.attempts,
        }
    }
}

/// A call that is expected: the next new one of this account to (and from) these numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Expected)]
pub(in crate::http) struct ExpectedView {
    /// Our id of the announcement.
    #[schema(example = "exp_01KAGY3S2M8Q4V5W6X7Y8Z9ABC")]
    id: String,
    /// The provider account.
    account: String,
    /// The called party.
    #[schema(example = "+14155550101")]
    to: String,
    /// The caller, if it matters.
    from: Option<String>,
    /// Your own id of the lead.
    #[schema(example = "lead-42")]
    lead_id: Option<String>,
    /// The user it belongs to.
    user_id: Option<String>,
    /// The extension it belongs to.
    extension: Option<String>,
    /// From when on it is not expected any more.
    expires_at: Moment,
}

impl From<ExpectedRow> for ExpectedView {
    fn from(row: ExpectedRow) -> Self {
        Self {
            id: row.id,
            account: row.account,
            to: row.to,
            from: row.from,
            lead_id: row.lead_id,
            user_id: row.user_id,
            extension: row.extension,
            expires_at: Moment(row.expires_ms),
        }
    }
}

/// A stored word. One that is not ours is a corrupt row.
fn word<T: FromStr<Err = String>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|e: String| Problem::internal(&format!("a stored call is corrupt: {e}")))
}
