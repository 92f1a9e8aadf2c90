//! A webhook sink of Event Streams: each event of a batch is a delivery of its own, and they are submitted together.
//!
//! The sink sends a batch again as a whole until it is answered 2xx, for hours. So a batch is answered 503 if any of it
//! could not be made durable (what was durable already is only repeated), and 204 although some of it cannot be read:
//! what cannot be read now cannot be read later either, and must not keep the rest away.

use super::{Arrived, arrive, count, tell, unreadable};
use crate::{
    directory::Account,
    http::{Gateway, Problem, ProblemKind},
    ingest::{Received, Submission, Submitted},
    telemetry::{DeliveryAnswer, Endpoint},
    twilio::{
        door::{Door, Said},
        event_stream::{self, BatchError, Entry},
    },
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use std::{collections::BTreeSet, sync::Arc};

/// Events of Event Streams, as CloudEvents in a JSON array.
///
/// `account` in the URL of the sink says whose token signs; the hash of the body is in the signed query (`bodySHA256`).
/// An event that cannot be read is set aside, and the others count.
#[utoipa::path(post, path = "/webhooks/twilio/events", tag = "webhooks",
    params(
        ("account" = String, Query, description = "The account that owns the sink"),
        ("bodySHA256" = String, Query, description = "Added by Twilio: the hash of the body"),
    ),
    request_body(content_type = "application/json", content = serde_json::Value, description = "A list of CloudEvents, signed by X-Twilio-Signature through the hash in the URL"),
    responses(
        (status = 204, description = "All that can be read is durable"),
        (status = 400, description = "No JSON list of events"),
        (status = 403, description = "Signature or hash refused, or account unknown"),
        (status = 413, description = "Body over the limit, or more than 1,000 events"),
        (status = 503, description = "Some could not be made durable: send it again; see Retry-After"),
    ))]
pub(in crate::http) async fn events(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let taken = async {
        let batch = arrive(Door::Events, &request, payload, &gateway).await?;
        submissions_of(&batch, &gateway).await
    };
    let submissions = taken.await.inspect_err(|problem| count(&gateway, Door::Events, Err(problem)))?;
    submit(submissions, &gateway).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What a batch says; what of it cannot be taken is set aside, what says nothing of calls is passed over.
async fn submissions_of(batch: &Arrived, gateway: &Gateway) -> Result<Vec<Submission>, Problem> {
    let entries = event_stream::split(&batch.raw_body).map_err(|error| match error {
        BatchError::NotJson(_) => unreadable(&error),
        BatchError::TooMany { .. } => Problem::new(ProblemKind::TooLarge, format!("failed to {error}")),
    })?;
    let query = event_stream::kept_query(&batch.raw_query);
    let (mut submissions, mut foreign) = (Vec::with_capacity(entries.len()), BTreeSet::new());
    for raw in entries {
        let raw = raw.get().as_bytes();
        match event_stream::read_entry(raw, batch.received_ms) {
            Ok(Entry::Said { account, said }) => match account_of(&account, batch, gateway).await? {
                Ok(owner) => submissions.push(submission(raw, &query, batch, &owner, said, gateway)),
                Err(reason) => set_aside(raw, batch, &reason, gateway),
            },
            Ok(Entry::Test) => tracing::info!(account = batch.account.id, "a test of the Event Streams sink arrived"),
            Ok(Entry::Foreign { kind }) => drop(foreign.insert(kind)),
            Err(error) => set_aside(raw, batch, &format!("failed to {error}"), gateway),
        }
    }
    if !foreign.is_empty() {
        let account = &batch.account.id;
        tracing::info!(account, ?foreign, "events that say nothing of a call's state are not kept: unsubscribe them");
    }
    Ok(submissions)
}

/// The account of an event: the one that is verified, or another one of the same tenant. The inner error is why it is
/// set aside.
async fn account_of(sid: &str, batch: &Arrived, gateway: &Gateway) -> Result<Result<Arc<Account>, String>, Problem> {
    if sid == batch.account.id {
        return Ok(Ok(batch.account.clone()));
    }
    let owner = gateway.directory.account(sid).await.map_err(|error| {
        tracing::error!(%error, account = sid, "cannot look up the account of an event; its batch was answered 503");
        Problem::new(ProblemKind::Unavailable, "an account cannot be looked up now; send it again shortly")
    })?;
    Ok(owner
        .filter(|owner| owner.provider == "twilio" && owner.tenant == batch.account.tenant)
        .ok_or_else(|| format!("the event is of the account {sid:?}, which is none of the tenant that owns the sink")))
}

fn submission(raw: &[u8], query: &str, batch: &Arrived, owner: &Account, said: Said, gateway: &Gateway) -> Submission {
    tell(&said, Door::Events, &owner.id, gateway);
    let received = Received {
        tenant: &owner.tenant,
        account: &owner.id,
        provider_id: &said.provider_id,
        source: Door::Events.as_str(),
        method: batch.parameters.method.as_str(),
        query: query.as_bytes(),
        body: raw,
        parameters: raw,
        received_ms: batch.received_ms,
        verified: batch.verified,
    };
    let Said { signals, ask, .. } = said;
    let tenant = owner.tenant.clone();
    Submission { tenant, provider: "twilio", delivery: Some(received.row()), signals, ask }
}

/// Submits what a batch says, and counts each event.
async fn submit(submissions: Vec<Submission>, gateway: &Gateway) -> Result<(), Problem> {
    let mut failed = None;
    for result in gateway.ingest.submit_all(submissions).await {
        let result: Result<Submitted, Problem> = result.map_err(Problem::from);
        count(gateway, Door::Events, result.as_ref().map(|submitted| Some(*submitted)));
        failed = failed.or(result.err());
    }
    failed.map_or(Ok(()), Err)
}

/// Puts aside what cannot be taken, so that somebody can look at it. The quarantine belongs here: until it is there the
/// log says what was not taken, and why.
fn set_aside(raw: &[u8], batch: &Arrived, reason: &str, gateway: &Gateway) {
    let (account, bytes) = (&batch.account.id, raw.len());
    tracing::warn!(account, reason, bytes, "set aside an event that cannot be taken; the rest of its batch counts");
    gateway.metrics.delivery(Endpoint::TwilioEvents, DeliveryAnswer::Unreadable);
}
