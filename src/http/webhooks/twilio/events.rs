//! A webhook sink of Event Streams: each event of a batch is a delivery of its own, and they are submitted together.
//!
//! The sink sends a batch again as a whole until it is answered 2xx, for hours. So a batch is answered 503 if any of it
//! could not be made durable (what was durable already is only repeated), and 204 although some of it cannot be read:
//! what cannot be read now cannot be read later either, and must not keep the rest away. An event of an account that is
//! not known yet can be taken later, so it counts as durable only once the quarantine has it.

use super::{Arrived, arrive, count, refusal::Line, refuse, tell, unreadable};
use crate::{
    event_batch::{Bad, Batch, SortError, Today},
    http::{Gateway, Problem, ProblemKind},
    ingest::{ANSWER_WITHIN, Submission, Submitted},
    quarantine::{Kept, Reason, Refused},
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
    let (submissions, aside) = taken.await.inspect_err(|problem| count(&gateway, Door::Events, Err(problem)))?;
    submit(submissions, &gateway).await?;
    aside?;
    Ok(HttpResponse::NoContent().finish())
}

/// What a batch says; what of it cannot be taken is set aside, what says nothing of calls is passed over.
async fn submissions_of(
    arrived: &Arrived,
    gateway: &Gateway,
) -> Result<(Vec<Submission>, Result<(), Problem>), Problem> {
    let Arrived { account, raw_query: query, raw_body: body, verified, received_ms, .. } = arrived;
    let today = Today { now_ms: gateway.clock.now_ms(), verify: gateway.config.verify };
    let batch = Batch { account, query, body, verified: *verified, received_ms: *received_ms, today };
    let sorted = match batch.sort(&gateway.directory).await {
        Ok(sorted) => sorted,
        Err(error) => return Err(no_batch(&error, arrived, gateway).await),
    };
    let aside = set_aside(&sorted.bad, arrived, gateway).await;
    if sorted.tests > 0 {
        tracing::info!(account = account.id, "a test of the Event Streams sink arrived");
    }
    if !sorted.foreign.is_empty() {
        let types = &sorted.foreign;
        let types = types.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::info!(
            account = account.id,
            types,
            "events that say nothing of a call's state are not kept: unsubscribe them"
        );
    }
    let mut submissions = Vec::with_capacity(sorted.good.len());
    for good in sorted.good {
        tell(&good.said, Door::Events, &good.owner.id, gateway);
        submissions.push(batch.submission(good));
    }
    Ok((submissions, aside))
}

/// Nothing of the batch can be taken now. What is no batch is quarantined whole.
async fn no_batch(error: &SortError, arrived: &Arrived, gateway: &Gateway) -> Problem {
    match error {
        SortError::Batch(BatchError::NotJson(_)) => {
            let problem = unreadable(error);
            let refused = arrived.refused(Reason::Unreadable, problem.detail().to_owned(), &arrived.raw_body);
            refuse(refused, &arrived.parameters, None, gateway).await;
            problem
        }
        SortError::Batch(BatchError::TooMany { .. }) => {
            let problem = Problem::new(ProblemKind::TooLarge, format!("failed to {error}"));
            let why = (&problem, "let the sink send smaller batches");
            Line::of_undecoded(Door::Events, &arrived.raw_query, arrived.wire.client(), why)
                .write("refused a webhook", &Kept::Lost);
            problem
        }
        SortError::Accounts(_) => {
            let account = &arrived.account.id;
            tracing::error!(%error, account, "cannot look up whose an event is; its batch was answered 503");
            Problem::new(ProblemKind::Unavailable, "an account cannot be looked up now; send it again shortly")
        }
    }
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

/// Quarantines what cannot be taken, so that somebody can look at it and redrive it. Fails if the sink has to send it
/// again: it could be taken later, and was not kept.
async fn set_aside(bad: &[Bad<'_>], arrived: &Arrived, gateway: &Gateway) -> Result<(), Problem> {
    let refused = |bad: &Bad<'_>| {
        let refused = arrived.refused(bad.reason, bad.detail.clone(), bad.raw);
        Refused { account: bad.account.clone().or(refused.account), entry: true, ..refused }
    };
    let refused: Vec<Refused> = bad.iter().map(refused).collect();
    let lines: Vec<Line> = refused.iter().zip(bad).map(|(refused, bad)| Line::of(refused, bad.call.clone())).collect();
    let kept = gateway.quarantine.keep_all(refused).await;
    let mut lost: usize = 0;
    for ((line, kept), bad) in lines.into_iter().zip(kept).zip(bad) {
        line.write("set aside an event of a batch; the rest of the batch counts", &kept);
        let durable = matches!(kept, Kept::Durable(_));
        let recoverable = arrived.verified && bad.reason == Reason::UnknownAccount;
        let answer = if recoverable && !durable { DeliveryAnswer::Unavailable } else { DeliveryAnswer::Unreadable };
        lost += usize::from(answer == DeliveryAnswer::Unavailable);
        gateway.metrics.delivery(Endpoint::TwilioEvents, answer);
    }
    if lost == 0 {
        return Ok(());
    }
    let account = &arrived.account.id;
    tracing::error!(account, lost, "events of unknown accounts could not be kept; their batch was answered 503");
    let detail = format!("{lost} events of unknown accounts could not be kept now; send the batch again shortly");
    Err(Problem::new(ProblemKind::Unavailable, detail))
}
