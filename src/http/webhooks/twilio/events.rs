//! A webhook sink of Event Streams: each event of a batch is a delivery of its own, and they are submitted together.
//!
//! The sink sends a batch again as a whole until it is answered 2xx, for hours. So a batch is answered 503 if any of it
//! could not be made durable (what was durable already is only repeated), and 204 although some of it cannot be read:
//! what cannot be read now cannot be read later either, and must not keep the rest away.

use super::{Arrived, arrive, count, tell, unreadable};
use crate::{
    event_batch::{Bad, Batch, SortError},
    http::{Gateway, Problem, ProblemKind},
    ingest::{ANSWER_WITHIN, Submission, Submitted},
    quarantine::Reason,
    telemetry::{DeliveryAnswer, Endpoint},
    twilio::{door::Door, event_stream::BatchError},
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};

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
async fn submissions_of(arrived: &Arrived, gateway: &Gateway) -> Result<Vec<Submission>, Problem> {
    let Arrived { account, raw_query: query, raw_body: body, verified, received_ms, .. } = arrived;
    let batch = Batch { account, query, body, verified: *verified, received_ms: *received_ms };
    let sorted = batch.sort(&gateway.directory).await.map_err(|error| match error {
        SortError::Batch(BatchError::NotJson(_)) => unreadable(&error),
        SortError::Batch(BatchError::TooMany { .. }) => Problem::new(ProblemKind::TooLarge, format!("failed to {error}")),
        SortError::Accounts(_) => {
            tracing::error!(%error, account = account.id, "cannot look up whose an event is; its batch was answered 503");
            Problem::new(ProblemKind::Unavailable, "an account cannot be looked up now; send it again shortly")
        }
    })?;
    set_aside(&sorted.bad, arrived, gateway).await;
    if sorted.tests > 0 {
        tracing::info!(account = account.id, "a test of the Event Streams sink arrived");
    }
    if !sorted.foreign.is_empty() {
        let types = &sorted.foreign;
        tracing::info!(
            account = account.id,
            ?types,
            "events that say nothing of a call's state are not kept: unsubscribe them"
        );
    }
    let mut submissions = Vec::with_capacity(sorted.good.len());
    for good in sorted.good {
        tell(&good.said, Door::Events, &good.owner.id, gateway);
        submissions.push(batch.submission(good));
    }
    Ok(submissions)
}

/// Submits what a batch says, and counts each event.
async fn submit(submissions: Vec<Submission>, gateway: &Gateway) -> Result<(), Problem> {
    let mut failed = None;
    for result in gateway.ingest.submit_all(submissions, ANSWER_WITHIN).await {
        let result: Result<Submitted, Problem> = result.map_err(Problem::from);
        count(gateway, Door::Events, result.as_ref().map(|submitted| Some(*submitted)));
        failed = failed.or(result.err());
    }
    failed.map_or(Ok(()), Err)
}

/// Quarantines what cannot be taken, so that somebody can look at it and redrive it.
async fn set_aside(bad: &[Bad<'_>], arrived: &Arrived, gateway: &Gateway) {
    let mut refused = Vec::with_capacity(bad.len());
    for Bad { raw, reason } in bad {
        let (account, bytes) = (&arrived.account.id, raw.len());
        tracing::warn!(account, reason, bytes, "set aside an event that cannot be taken; the rest of its batch counts");
        gateway.metrics.delivery(Endpoint::TwilioEvents, DeliveryAnswer::Unreadable);
        refused.push(arrived.refused(Reason::BadEntry, reason.clone(), raw));
    }
    gateway.quarantine.keep_all(refused).await;
}
