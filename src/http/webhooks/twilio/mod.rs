//! Twilio's webhooks: verify on the raw bytes, read, submit, and answer only once it is durable.
//!
//! [`arrive`] and [`submit`] are the one way in; each door adds what it answers.

mod status;

pub(in crate::http) use status::{__path_status, __path_status_by_get, status, status_by_get};

use crate::{
    config::VerifyMode,
    directory::Account,
    http::{Gateway, Problem, ProblemKind, body},
    ingest::{Received, Submission, Submitted},
    telemetry::{DeliveryAnswer, Endpoint},
    twilio::{
        door::{self, Door, Method, Parameters, Said},
        signature::canonical,
        verification::Signed,
    },
};
use actix_web::{
    HttpRequest,
    http::header,
    web::{Bytes, Payload},
};
use std::sync::Arc;

/// A webhook that may be read: its account is known, and it is verified or let in by `observe`.
struct Arrived {
    door: Door,
    account: Arc<Account>,
    parameters: Parameters,
    raw_query: String,
    raw_body: Bytes,
    received_ms: i64,
    verified: bool,
    /// Only `onhook doctor` asked.
    probe: bool,
}

/// Takes a webhook: verified, read and durable when this returns. What it took is for doors that have more to answer
/// than that (TwiML); nothing of a probe was stored, see [`Arrived::probe`].
async fn take(door: Door, request: &HttpRequest, payload: Payload, gateway: &Gateway) -> Result<Arrived, Problem> {
    let result = async {
        let mut arrived = arrive(door, request, payload, gateway).await?;
        if is_probe(&arrived)? {
            arrived.probe = true;
            return Ok((arrived, None));
        }
        let said = read(&arrived, gateway)?;
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
    let mut raw_body = body::read(payload, gateway.config.limits.webhook_body_bytes_max).await?;
    let method = method_of(request, &raw_body)?;
    if method == Method::Get {
        // A GET is signed over its URL only: what else came with it is nobody's word.
        raw_body = Bytes::new();
    }
    let raw_query = request.query_string().to_owned();
    let parameters = Parameters::parse(method, raw_query.as_bytes(), &raw_body).map_err(|e| unreadable(&e))?;
    let account = account_of(gateway, &parameters).await?;
    let verified = verify(request, gateway, &account, &parameters)?;
    Ok(Arrived { door, account, parameters, raw_query, raw_body, received_ms, verified, probe: false })
}

/// `onhook doctor` asks through the public URL whether a signature verifies here: nothing of it is stored.
fn is_probe(arrived: &Arrived) -> Result<bool, Problem> {
    let probe = arrived.parameters.body.first(PROBE).is_some();
    if probe && !arrived.verified {
        // In `observe`, where everything else is let in.
        return Err(Problem::new(ProblemKind::SignatureRefused, "the signature of the probe does not verify"));
    }
    Ok(probe)
}

fn read(arrived: &Arrived, gateway: &Gateway) -> Result<Said, Problem> {
    let said = door::read(arrived.door, &arrived.parameters, arrived.received_ms).map_err(|e| unreadable(&e))?;
    let (call, account, door) = (&said.provider_id, &arrived.account.id, arrived.door.as_str());
    for noted in &said.noted {
        tracing::warn!(call, account, door, noted, "left something of a webhook out");
    }
    for word in said.unknown_words() {
        gateway.metrics.status_refused();
        tracing::warn!(call, account, door, word, "refused a status nobody knows; it is stored and moves nothing");
    }
    Ok(said)
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
    let submission = Submission { tenant, provider: "twilio", delivery: Some(received.row()), signals, ask };
    Ok(gateway.ingest.submit(submission).await?)
}

/// A POST carries a form; a GET carries everything in the query.
fn method_of(request: &HttpRequest, body: &Bytes) -> Result<Method, Problem> {
    if request.method() == actix_web::http::Method::GET {
        return Ok(Method::Get);
    }
    let media = body::media_type(request);
    // An empty body needs no content type: it is refused for what is missing in it.
    if body.is_empty() || media.as_deref() == Some("application/x-www-form-urlencoded") {
        return Ok(Method::Post);
    }
    let detail = format!("the content type is {media:?}; Twilio sends application/x-www-form-urlencoded here");
    Err(Problem::new(ProblemKind::Unreadable, detail))
}

/// The account the webhook claims to be of. Nothing is proved by it: it chooses the tokens to verify with.
async fn account_of(gateway: &Gateway, parameters: &Parameters) -> Result<Arc<Account>, Problem> {
    let refused = |detail: String| Problem::new(ProblemKind::SignatureRefused, detail);
    let Some(sid) = parameters.account_sid() else {
        return Err(refused("AccountSid is missing, so there is no token to verify with".into()));
    };
    let shown: String = sid.chars().take(SID_CHARS_SHOWN_MAX).collect();
    match gateway.directory.account(&sid).await {
        Ok(Some(account)) if account.provider == "twilio" => Ok(account),
        Ok(_) => {
            tracing::warn!(
                account = shown,
                "refused a webhook of an unknown account: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, \
                 or add it with `onhook accounts add`",
            );
            Err(refused(format!("the account {shown:?} is unknown here")))
        }
        Err(error) => {
            tracing::error!(%error, account = shown, "cannot look up the account of a webhook; it was answered 503");
            Err(Problem::new(ProblemKind::Unavailable, "the account cannot be looked up now; send it again shortly"))
        }
    }
}

/// Whether the webhook is signed. In `observe` one that is not is let in, and marked.
fn verify(
    request: &HttpRequest,
    gateway: &Gateway,
    account: &Account,
    parameters: &Parameters,
) -> Result<bool, Problem> {
    let signed = Signed {
        parameters,
        path_and_query: request.uri().path_and_query().map_or("/", |p| p.as_str()),
        host: text(request, header::HOST.as_str()),
        signature: text(request, SIGNATURE),
    };
    let origins = signed.origins(gateway.config.public_url.as_ref());
    let Some(why) = signed.verify(&origins, account.token_bytes()).fault() else { return Ok(true) };
    let mode = account.verify(gateway.clock.now_ms(), gateway.config.verify);
    let tried: Vec<&str> = origins.iter().collect();
    match mode {
        VerifyMode::Observe => {
            tracing::warn!(account = account.id, why, ?tried, "let in a webhook that does not verify: observe is on");
            Ok(false)
        }
        VerifyMode::Enforce => {
            tracing::warn!(
                account = account.id,
                why,
                ?tried,
                "refused a webhook: check ONHOOK_PUBLIC_URL (what Twilio was told) and the account's auth token",
            );
            Err(Problem::new(ProblemKind::SignatureRefused, why))
        }
    }
}

/// Counts how a webhook was answered; `None`: it was a probe.
fn count(gateway: &Gateway, door: Door, result: Result<Option<Submitted>, &Problem>) {
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
    let endpoint = match door {
        Door::Status => Endpoint::TwilioStatus,
        Door::Voice => Endpoint::TwilioVoice,
        Door::Dial => Endpoint::TwilioDial,
        Door::Recording => Endpoint::TwilioRecording,
        Door::Amd => Endpoint::TwilioAmd,
        Door::Debugger => Endpoint::TwilioDebugger,
        Door::Events => Endpoint::TwilioEvents,
    };
    gateway.metrics.delivery(endpoint, answer);
}

fn unreadable(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(ProblemKind::Unreadable, format!("failed to {error}"))
}

fn text<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

const SIGNATURE: &str = "x-twilio-signature";
/// See [`is_probe`].
const PROBE: &str = "OnhookProbe";
/// How much of a wrong SID is shown.
const SID_CHARS_SHOWN_MAX: usize = 60;
