//! What the user himself says of calls: one that was announced, or rows of his own that he imports, as signals.
//!
//! Such a signal is never evidence of a conversation. It makes the call known, with its lead, so that it will be
//! looked after and ends with what the provider says.

use super::{Ingest, Submission, SubmitError};
use crate::{
    domain::{
        id::Leg,
        signal::{Claim, FUTURE_MAX, Field, Link, LinkRank, Signal, Witness},
        state::{Live, Status},
        time::Millis,
    },
    fields::{self, Wrong, Wrongs},
};
use serde::Deserialize;
use utoipa::ToSchema;

/// A call as the user states it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the contract's call")]
pub struct Stated {
    pub leg: Leg,
    pub live: Live,
    pub since_ms: Millis,
    pub from: Option<String>,
    pub to: Option<String>,
    pub lead_id: Option<String>,
    pub user_id: Option<String>,
    pub extension: Option<String>,
}

impl From<Stated> for Signal {
    fn from(stated: Stated) -> Self {
        let details = [
            (Field::From, stated.from),
            (Field::To, stated.to),
            (Field::UserId, stated.user_id),
            (Field::Extension, stated.extension),
        ];
        Self {
            leg: stated.leg,
            witness: Witness::Manual,
            claim: Claim::Live(stated.live),
            at: None,
            sequence: None,
            details: details.into_iter().filter_map(|(field, value)| Some((field, value?))).collect(),
            link: stated.lead_id.map(|lead_id| Link { rank: LinkRank::Announced, lead_id }),
            received_ms: stated.since_ms,
        }
    }
}

/// A row of an import: one of the user's own calls that are not over as far as he knows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportRow {
    /// The provider's id: a Twilio CallSid.
    #[schema(example = "CA0123456789abcdef0123456789abcdef")]
    pub provider_id: String,
    /// The provider account. Left out: the tenant's only account.
    #[schema(example = "AC0123456789abcdef0123456789abcdef")]
    pub account: Option<String>,
    /// Your own id of the lead, 1 to 200 bytes.
    #[schema(example = "lead-42")]
    pub lead_id: Option<String>,
    /// When the call was created, RFC 3339. Up to five minutes ahead of us counts as now.
    #[schema(example = "2026-11-20T10:11:08.000Z", format = DateTime)]
    pub created_at: String,
    /// What you know of it: `queued`, `initiated`, `ringing` or `in-progress`. A row that has ended is skipped.
    #[schema(example = "in-progress")]
    pub status: String,
    /// The caller: E.164, `client:…` or `sip:…`.
    #[schema(example = "+14155550100")]
    pub from: Option<String>,
    /// The called party: E.164, `client:…` or `sip:…`.
    #[schema(example = "+14155550101")]
    pub to: Option<String>,
    /// The user it belongs to, up to 200 bytes.
    pub user_id: Option<String>,
    /// The extension it belongs to, up to 200 bytes.
    pub extension: Option<String>,
}

/// What a row of an import is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// A live call.
    Call(Stated),
    /// It has ended: there is nothing to look after.
    Ended(Status),
}

impl ImportRow {
    /// Checks every field. `account` is that of the row, or the one it stands for by being left out.
    pub fn read(&self, account: &str, region: Option<&str>, now_ms: Millis) -> Result<Imported, Vec<Wrong>> {
        let mut wrongs = Wrongs::default();
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let word =
            |name: &str, text: &Option<String>| fields::optional_line(name, text.as_deref(), fields::WORD_BYTES_MAX);
        let address =
            |name: &str, text: &Option<String>| given(text).map(|t| fields::address(name, &t, region)).transpose();
        let provider_id = wrongs.take(provider_id("provider_id", &self.provider_id));
        let lead_id = wrongs.take(given(&self.lead_id).map(|id| fields::lead_id("lead_id", &id)).transpose());
        let (from, to) = (wrongs.take(address("from", &self.from)), wrongs.take(address("to", &self.to)));
        let user_id = wrongs.take(word("user_id", &self.user_id));
        let extension = wrongs.take(word("extension", &self.extension));
        let since_ms = wrongs.take(since("created_at", &self.created_at, now_ms));
        let status = wrongs.take(self.status.parse::<Status>().map_err(|e| Wrong::new("status", e)));
        let made = (|| {
            let live = match status? {
                Status::Queued => Live::Queued,
                Status::Initiated => Live::Initiated,
                Status::Ringing => Live::Ringing,
                Status::InProgress => Live::Answered,
                ended @ (Status::Completed | Status::Busy | Status::NoAnswer | Status::Canceled | Status::Failed) => {
                    return Some(Imported::Ended(ended));
                }
            };
            let leg = Leg { provider_id: provider_id?, account: account.to_owned() };
            let (from, to, lead_id, user_id, extension) = (from?, to?, lead_id?, user_id?, extension?);
            Some(Imported::Call(Stated { leg, live, since_ms: since_ms?, from, to, lead_id, user_id, extension }))
        })();
        wrongs.settle(made)
    }
}

/// A provider's id of a call, as far as it can be judged without asking the provider.
pub fn provider_id(field: &str, text: &str) -> Result<String, Wrong> {
    let text = fields::line(field, text, 1..=PROVIDER_ID_BYTES_MAX)?;
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(Wrong::new(field, "holds a space or a character that is not ASCII"))
}

fn since(field: &str, text: &str, now_ms: Millis) -> Result<Millis, Wrong> {
    let at = fields::moment(field, text)?;
    if at > now_ms.saturating_add(FUTURE_MAX) {
        return Err(Wrong::new(field, format!("{text:?} is in the future")));
    }
    Ok(at.min(now_ms))
}

/// Submits what the user states about calls of one provider; answers those that the database refused, with its reason.
/// What was submitted before an error stays; submitting again is safe.
pub async fn submit(
    ingest: &Ingest,
    tenant: &str,
    provider: &'static str,
    calls: Vec<Stated>,
) -> Result<Vec<(Leg, String)>, SubmitError> {
    let submission = |calls: &[Stated]| Submission {
        tenant: tenant.to_owned(),
        provider,
        delivery: None,
        signals: calls.iter().cloned().map(Signal::from).collect(),
        ask: Vec::new(),
        decision: None,
    };
    let mut refused = Vec::new();
    for chunk in calls.chunks(CHUNK_CALLS) {
        match ingest.submit(submission(chunk)).await {
            Ok(_) => continue,
            Err(SubmitError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        // One by one, so that the one that is refused fails alone.
        for call in chunk {
            match ingest.submit(submission(std::slice::from_ref(call))).await {
                Ok(_) => {}
                Err(SubmitError::Refused(why)) => refused.push((call.leg.clone(), why.to_string())),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(refused)
}

/// More rows are refused; split the import.
pub const ROWS_MAX: usize = 100_000;
/// How many calls one submission speaks of: the writer should have time for webhooks in between.
const CHUNK_CALLS: usize = 200;
/// Twilio's have 34 bytes, Asterisk's some 20.
const PROVIDER_ID_BYTES_MAX: usize = 150;
