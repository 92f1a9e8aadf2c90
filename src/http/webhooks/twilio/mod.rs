//! Twilio's webhooks: verify on the raw bytes, read, submit, and answer only once it is durable.
//!
//! [`arrive`] and [`submit`] are the one way in; each door adds what it answers.

mod amd;
mod debugger;
mod events;
mod recording;
mod refusal;
mod status;
mod voice;
mod wire;

pub(in crate::http) use amd::{__path_amd, __path_amd_by_get, amd, amd_by_get};
pub(in crate::http) use debugger::{__path_debugger, debugger};
pub(in crate::http) use events::{__path_events, events};
pub(in crate::http) use recording::{__path_recording, __path_recording_by_get, recording, recording_by_get};
pub(in crate::http) use status::{__path_status, __path_status_by_get, status, status_by_get};
pub(in crate::http) use voice::{
    __path_dial, __path_dial_by_get, __path_voice, __path_voice_by_get, __path_whisper, __path_whisper_by_get, dial,
    dial_by_get, voice, voice_by_get, whisper, whisper_by_get,
};

use crate::{
    config::VerifyMode,
    directory::Account,
    http::{Gateway, Problem, ProblemKind, body},
    ingest::{Received, Submission, Submitted},
    quarantine::{Kept, Reason, Refused, reason_of},
    telemetry::{DeliveryAnswer, Endpoint},
    twilio::{
        alert::Alert,
        door::{self, Carries, Door, Method, Parameters, Said},
        event_stream,
        signature::canonical,
    },
};
use actix_web::{
    HttpRequest,
    web::{Bytes, Payload},
};
use refusal::{Line, call_of, shown};
use std::sync::Arc;
use wire::Wire;

/// A webhook that may be read: its account is known, and it is verified or let in by `observe`.
struct Arrived {
    door: Door,
    account: Arc<Account>,
    parameters: Parameters,
    wire: Wire,
    raw_query: String,
    raw_body: Bytes,
    received_ms: i64,
    verified: bool,
}

impl Arrived {
    /// What it brought cannot be taken. `body` is what is kept: all of it, or the bad entry of a batch.
    fn refused(&self, reason: Reason, detail: String, body: &[u8]) -> Refused {
        Refused {
            tenant: Some(self.account.tenant.clone()),
            account: Some(self.account.id.clone()),
            verified: self.verified,
            ..self.wire.refused(self.door, (reason, detail), body, self.received_ms)
        }
    }
}

/// Takes a webhook: verified, read and durable when this returns. What it took is for doors that have more to answer
/// than that (TwiML); nothing of a probe was stored, see [`is_probe`].
async fn take(door: Door, request: &HttpRequest, payload: Payload, gateway: &Gateway) -> Result<Arrived, Problem> {
    let result = async {
        let arrived = arrive(door, request, payload, gateway).await?;
        if is_probe(door, &arrived.parameters) {
            return Ok((arrived, None));
        }
        let said = read(&arrived, gateway).await?;
        let submitted = submit(&arrived, said, gateway).await?;
        Ok((arrived, Some(submitted)))
    };
    let result = result.await;
    count(gateway, door, result.as_ref().map(|(_, submitted)| *submitted));
    result.map(|(arrived, _)| arrived)
}

/// Reads a webhook off the wire and verifies it.
async fn arrive(door: Door, request: &HttpRequest, payload: Payload, gateway: &Gateway) -> Result<Arrived, Problem> {
    let received_ms = gateway.clock.now_ms();
    let (wire, raw_query) = (Wire::of(request, gateway), request.query_string().to_owned());
    let (raw_body, parameters) = match decode(door, request, payload, gateway).await {
        Ok(decoded) => decoded,
        Err((problem, advice)) => {
            let line = Line::of_undecoded(door, &raw_query, wire.client(), (&problem, advice));
            line.write("refused a webhook", &Kept::Lost);
            return Err(problem);
        }
    };
    let account = match account_of(gateway, door, &parameters).await {
        Err(problem) if problem.kind() == ProblemKind::SignatureRefused => {
            let why = (Reason::UnknownAccount, problem.detail().to_owned());
            let refused = wire.refused(door, why, &raw_body, received_ms);
            let account = door.account_sid(&parameters).map(|sid| sid.into_owned());
            refuse(Refused { account, ..refused }, &parameters, None, gateway).await;
            return Err(problem);
        }
        found => found?,
    };
    let mut arrived = Arrived { door, account, parameters, wire, raw_query, raw_body, received_ms, verified: false };
    match fault(&arrived, gateway) {
        None => arrived.verified = true,
        Some(fault) => doubt(&arrived, fault, gateway).await?,
    }
    Ok(arrived)
}

/// Reads the body and decodes it. Why it cannot be decoded comes with what to do.
async fn decode(
    door: Door,
    request: &HttpRequest,
    payload: Payload,
    gateway: &Gateway,
) -> Result<(Bytes, Parameters), (Problem, &'static str)> {
    let limits = &gateway.config.limits;
    let carries = door.carries();
    let (bytes_max, too_large) = match carries {
        Carries::Form => (
            limits.webhook_body_bytes_max,
            "Twilio sends less: it is not Twilio; else raise limits.webhook_body_bytes_max",
        ),
        Carries::Events => (
            limits.event_batch_bytes_max,
            "if it is Twilio, raise limits.event_batch_bytes_max, or let the sink send smaller batches",
        ),
    };
    let mut raw_body = body::read(payload, bytes_max).await.map_err(|problem| match problem.kind() {
        ProblemKind::TooLarge => (problem, too_large),
        _ => (problem, "the connection was cut or is slow: look at the proxies in front of the gateway"),
    })?;
    let other_media = "it is not Twilio, or a proxy in front of the gateway changes the request";
    let method = method_of(request, carries, &raw_body).map_err(|problem| (problem, other_media))?;
    if method == Method::Get {
        // A GET is signed over its URL only: what else came with it is nobody's word.
        raw_body = Bytes::new();
    }
    let form: &[u8] = if carries == Carries::Form { &raw_body } else { &[] };
    let parameters = Parameters::parse(method, request.query_string().as_bytes(), form);
    let parameters =
        parameters.map_err(|e| (unreadable(&e), "Twilio sends some thirty parameters: it is not Twilio"))?;
    Ok((raw_body, parameters))
}

/// Quarantines a webhook, and tells the person on call. Nothing of a probe is stored.
async fn refuse(refused: Refused, parameters: &Parameters, tried: Option<String>, gateway: &Gateway) {
    if is_probe(refused.door, parameters) {
        let (account, client) = (refused.account.as_deref().map(shown), refused.client);
        let (detail, reason) = (refused.detail, refused.reason.as_str());
        tracing::info!(
            account,
            client,
            reason,
            detail,
            "a probe of `onhook doctor` does not verify; nothing of it is kept"
        );
        return;
    }
    let line = Line::of(&refused, call_of(parameters));
    let line = if let Some(tried) = tried { line.tried(tried) } else { line };
    line.write("refused a webhook", &gateway.quarantine.keep(refused).await);
}

/// `onhook doctor` asks through the public URL of status callbacks whether a signature verifies here: nothing of it is
/// stored. What names a call is a callback, whatever parameters a device has added to it.
fn is_probe(door: Door, parameters: &Parameters) -> bool {
    let has = |name: &str| parameters.body.first(name).is_some();
    door == Door::Status && has(PROBE) && !has("CallSid")
}

async fn read(arrived: &Arrived, gateway: &Gateway) -> Result<Said, Problem> {
    let said = match door::read(arrived.door, &arrived.parameters, arrived.received_ms) {
        Ok(said) => said,
        Err(error) => {
            let refused = arrived.refused(Reason::Unreadable, format!("failed to {error}"), &arrived.raw_body);
            refuse(refused, &arrived.parameters, None, gateway).await;
            return Err(unreadable(&error));
        }
    };
    tell(&said, arrived.door, &arrived.account.id, gateway);
    Ok(said)
}

/// Tells the person on call what of a webhook was left out, and what Twilio reports.
fn tell(said: &Said, door: Door, account: &str, gateway: &Gateway) {
    let (call, door) = (&said.provider_id, door.as_str());
    for noted in &said.noted {
        tracing::warn!(call, account, door, noted, "left something of a webhook out");
    }
    for word in said.unknown_words() {
        gateway.metrics.status_refused();
        tracing::warn!(call, account, door, word, "refused a status nobody knows; it is stored and moves nothing");
    }
    if let Some(alert) = &said.alert {
        tell_alert(alert, account, gateway);
    }
}

/// What Twilio's Debugger reports. Codes that are not about requests are somebody else's matter.
fn tell_alert(alert: &Alert, account: &str, gateway: &Gateway) {
    let Alert { sid, level, code, call, url } = alert;
    let Some((meaning, advice)) = alert.meaning().zip(alert.advice()) else {
        tracing::info!(
            alert = sid,
            level,
            code,
            call,
            account,
            "Twilio's Debugger reports something that is kept only"
        );
        return;
    };
    let public = gateway.config.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let ours = public.zip(url.as_deref()).map(|(public, url)| url.starts_with(public));
    let loss = alert.loss().as_str();
    tracing::warn!(
        alert = sid,
        level,
        code,
        call,
        account,
        url,
        ours,
        meaning,
        advice,
        loss,
        "Twilio reports that a request of its own went wrong; where loss is likely, the call is due now",
    );
}

/// Makes durable what a webhook says.
async fn submit(arrived: &Arrived, said: Said, gateway: &Gateway) -> Result<Submitted, Problem> {
    let received = Received {
        tenant: &arrived.account.tenant,
        account: &arrived.account.id,
        provider_id: &said.provider_id,
        source: arrived.door.as_str(),
        method: arrived.parameters.method.as_str(),
        query: arrived.raw_query.as_bytes(),
        body: &arrived.raw_body,
        parameters: &canonical(&arrived.parameters.body),
        received_ms: arrived.received_ms,
        verified: arrived.verified,
    };
    let tenant = arrived.account.tenant.clone();
    let Said { signals, ask, .. } = said;
    let submission =
        Submission { tenant, provider: "twilio", delivery: Some(received.row()), signals, ask, decision: None };
    Ok(gateway.ingest.submit(submission).await?)
}

/// A POST carries a form, or events as JSON; a GET carries everything in the query.
fn method_of(request: &HttpRequest, carries: Carries, body: &Bytes) -> Result<Method, Problem> {
    if request.method() == actix_web::http::Method::GET {
        return Ok(Method::Get);
    }
    let media = body::media_type(request);
    let allowed: &[&str] = match carries {
        Carries::Form => &["application/x-www-form-urlencoded"],
        Carries::Events => &["application/json", "application/cloudevents-batch+json", "application/cloudevents+json"],
    };
    // An empty body needs no content type: it is refused for what is missing in it.
    if body.is_empty() || media.as_deref().is_some_and(|media| allowed.contains(&media)) {
        return Ok(Method::Post);
    }
    let usual = allowed.first().copied().unwrap_or_default();
    let detail = format!("the content type is {}; Twilio sends {usual} here", body::shown_media_type(request));
    Err(Problem::new(ProblemKind::Unreadable, detail))
}

/// The account the webhook claims to be of. Nothing is proved by it: it chooses the tokens to verify with.
async fn account_of(gateway: &Gateway, door: Door, parameters: &Parameters) -> Result<Arc<Account>, Problem> {
    let refused = |detail: String| Problem::new(ProblemKind::SignatureRefused, detail);
    let name = match door.carries() {
        Carries::Form => "AccountSid",
        Carries::Events => "account= in the URL of the sink",
    };
    let Some(sid) = door.account_sid(parameters) else {
        return Err(refused(format!("{name} is missing, so there is no token to verify with")));
    };
    let shown = shown(&sid);
    match gateway.directory.account(&sid).await {
        Ok(Some(account)) if account.provider == "twilio" => Ok(account),
        Ok(_) => Err(refused(format!("the account {shown:?} is unknown here"))),
        Err(error) => {
            tracing::error!(%error, account = shown, "cannot look up the account of a webhook; it was answered 503");
            Err(Problem::new(ProblemKind::Unavailable, "the account cannot be looked up now; send it again shortly"))
        }
    }
}

/// What is wrong with what should prove a webhook.
struct Fault {
    reason: Reason,
    why: &'static str,
    /// The URLs that may have been signed.
    tried: String,
}

/// Whether the webhook is signed; `None`: it is.
fn fault(arrived: &Arrived, gateway: &Gateway) -> Option<Fault> {
    let Arrived { account, parameters, wire, .. } = arrived;
    let signed = wire.signed(parameters);
    let origins = signed.origins(gateway.config.public_url.as_ref());
    let verdict = signed.verify(&origins, account.token_bytes(gateway.clock.now_ms()));
    let signature = reason_of(verdict).zip(verdict.fault());
    let (reason, why) = signature.or_else(|| body_fault(arrived).map(|why| (Reason::BodyHashMismatch, why)))?;
    let tried: Vec<String> = origins.iter().map(|origin| format!("{origin}{}", arrived.door.path())).collect();
    Some(Fault { reason, why, tried: tried.join(", ") })
}

/// What becomes of a webhook that is not signed right: in `observe` it is let in, and marked. A probe never is.
async fn doubt(arrived: &Arrived, fault: Fault, gateway: &Gateway) -> Result<(), Problem> {
    let Fault { reason, why, tried } = fault;
    let mode = arrived.account.verify(gateway.clock.now_ms(), gateway.config.verify);
    if mode == VerifyMode::Observe && !is_probe(arrived.door, &arrived.parameters) {
        let (door, call, account) = (arrived.door.as_str(), call_of(&arrived.parameters), &arrived.account.id);
        let client = arrived.wire.client();
        tracing::warn!(door, call, account, client, why, tried, "let in a webhook that does not verify: observe is on");
        return Ok(());
    }
    let refused = arrived.refused(reason, why.to_owned(), &arrived.raw_body);
    refuse(refused, &arrived.parameters, Some(tried), gateway).await;
    Err(Problem::new(ProblemKind::SignatureRefused, why))
}

/// What is wrong with a body that is signed by its hash.
fn body_fault(arrived: &Arrived) -> Option<&'static str> {
    match arrived.door.carries() {
        Carries::Form => None,
        Carries::Events => event_stream::body_fault(&arrived.raw_query, &arrived.raw_body),
    }
}

/// Counts how a webhook was answered; `None`: it was a probe.
fn count(gateway: &Gateway, door: Door, result: Result<Option<Submitted>, &Problem>) {
    let endpoint = match door {
        Door::Status => Endpoint::TwilioStatus,
        Door::Voice => Endpoint::TwilioVoice,
        Door::Whisper => Endpoint::TwilioWhisper,
        Door::Dial => Endpoint::TwilioDial,
        Door::Recording => Endpoint::TwilioRecording,
        Door::Amd => Endpoint::TwilioAmd,
        Door::Debugger => Endpoint::TwilioDebugger,
        Door::Events => Endpoint::TwilioEvents,
    };
    let answer = match result {
        Ok(Some(Submitted::Stored | Submitted::Unapplied)) => DeliveryAnswer::Stored,
        Ok(Some(Submitted::Repeated)) => DeliveryAnswer::Repeated,
        Ok(None) => return,
        Err(problem) => match problem.kind() {
            ProblemKind::SignatureRefused => DeliveryAnswer::RefusedSignature,
            ProblemKind::TooLarge => DeliveryAnswer::TooLarge,
            ProblemKind::Unavailable => DeliveryAnswer::Unavailable,
            _ => DeliveryAnswer::Unreadable,
        },
    };
    gateway.metrics.delivery(endpoint, answer);
}

fn unreadable(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(ProblemKind::Unreadable, format!("failed to {error}"))
}

fn text<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// See [`is_probe`].
const PROBE: &str = "OnhookProbe";
