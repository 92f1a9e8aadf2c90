//! Twilio's webhooks: verify on the raw bytes, read, submit, and answer 204 only once it is durable.

use crate::{
    config::VerifyMode,
    directory::Account,
    domain::signal::Claim,
    http::{Gateway, Problem, ProblemKind, body},
    ingest::{Received, Submission, Submitted},
    telemetry::{DeliveryAnswer, Endpoint},
    twilio::{
        form::Form,
        signal::{Method, StatusDelivery, account_sid, read_status},
        signature::{Origins, Request, Verdict, canonical},
    },
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Payload},
};
use std::sync::Arc;

/// A status callback of a call or of a dialed noun.
///
/// The query may carry `lead_id`, `job_id`, `attempt`, `extension` and `user_id`; it is signed with the URL.
#[utoipa::path(post, path = "/webhooks/twilio/status", tag = "webhooks",
    request_body(content_type = "application/x-www-form-urlencoded", content = String, description = "Twilio's parameters, signed by X-Twilio-Signature"),
    responses(
        (status = 204, description = "Durable"),
        (status = 400, description = "Unreadable body, or a SID of the wrong shape"),
        (status = 403, description = "Signature refused or account unknown"),
        (status = 413, description = "Body over the limit"),
        (status = 503, description = "Could not be made durable; see Retry-After"),
    ))]
pub(in crate::http) async fn status(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let result = receive(&request, payload, &gateway).await;
    let answer = match &result {
        Ok(Submitted::Stored | Submitted::Unapplied) => DeliveryAnswer::Stored,
        Ok(Submitted::Repeated) => DeliveryAnswer::Repeated,
        Err(problem) => match problem.kind() {
            ProblemKind::SignatureRefused => DeliveryAnswer::RefusedSignature,
            ProblemKind::TooLarge => DeliveryAnswer::TooLarge,
            ProblemKind::Unavailable => DeliveryAnswer::Unavailable,
            _ => DeliveryAnswer::Unreadable,
        },
    };
    gateway.metrics.delivery(Endpoint::TwilioStatus, answer);
    result.map(|_| HttpResponse::NoContent().finish())
}

/// The same by GET: everything is in the query string, which is signed with the URL.
#[utoipa::path(get, path = "/webhooks/twilio/status", tag = "webhooks",
    responses(
        (status = 204, description = "Durable"),
        (status = 400, description = "A SID of the wrong shape"),
        (status = 403, description = "Signature refused or account unknown"),
        (status = 413, description = "Body over the limit"),
        (status = 503, description = "Could not be made durable; see Retry-After"),
    ))]
pub(in crate::http) async fn status_by_get(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    status(request, payload, gateway).await
}

async fn receive(request: &HttpRequest, payload: Payload, gateway: &Gateway) -> Result<Submitted, Problem> {
    let received_ms = gateway.clock.now_ms();
    let mut body = body::read(payload, gateway.config.limits.webhook_body_bytes_max).await?;
    let method = method_of(request, &body)?;
    if method == Method::Get {
        // A GET is signed over its URL only: what else came with it is nobody's word.
        body = Bytes::new();
    }
    let unreadable = |e: &dyn std::fmt::Display| Problem::new(ProblemKind::Unreadable, format!("failed to {e}"));
    let query = Form::parse(request.query_string().as_bytes()).map_err(|e| unreadable(&e))?;
    let form = Form::parse(&body).map_err(|e| unreadable(&e))?;

    let account = account_of(gateway, method, &query, &form).await?;
    let verified = verify(request, gateway, &account, (method == Method::Post).then_some(&form))?;
    let read = read_status(method, &query, &form, received_ms).map_err(|e| unreadable(&e))?;
    note(gateway, &read, &account);
    let received = Received {
        tenant: &account.tenant,
        account: &account.id,
        provider_id: &read.signal.leg.provider_id,
        source: SOURCE,
        method: method.as_str(),
        query: request.query_string().as_bytes(),
        body: &body,
        parameters: &canonical(&form),
        received_ms,
        verified,
    };
    let delivery = Some(received.row());
    let submission =
        Submission { tenant: account.tenant.clone(), provider: "twilio", delivery, signals: vec![read.signal] };
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

/// The account the delivery claims to be of. Nothing is proved by it: it chooses the tokens to verify with.
async fn account_of(gateway: &Gateway, method: Method, query: &Form, form: &Form) -> Result<Arc<Account>, Problem> {
    let refused = |detail: String| Problem::new(ProblemKind::SignatureRefused, detail);
    let Some(sid) = account_sid(method, query, form) else {
        return Err(refused("AccountSid is missing, so there is no token to verify with".into()));
    };
    let shown: String = sid.chars().take(SID_CHARS_SHOWN_MAX).collect();
    match gateway.directory.account(&sid).await {
        Ok(Some(account)) if account.provider == "twilio" => Ok(account),
        Ok(_) => {
            tracing::warn!(
                account = shown,
                "refused a callback of an unknown account: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, \
                 or add it with `onhook accounts add`",
            );
            Err(refused(format!("the account {shown:?} is unknown here")))
        }
        Err(error) => {
            tracing::error!(%error, account = shown, "cannot look up the account of a callback; it was answered 503");
            Err(Problem::new(ProblemKind::Unavailable, "the account cannot be looked up now; send it again shortly"))
        }
    }
}

/// Whether the delivery is signed. In `observe` one that is not is let in, and marked.
fn verify(request: &HttpRequest, gateway: &Gateway, account: &Account, form: Option<&Form>) -> Result<bool, Problem> {
    let origins = match &gateway.config.public_url {
        Some(url) => Origins::of_public_url(url),
        None => Origins::of_host_header(text(request, header::HOST.as_str()).unwrap_or_default()),
    };
    let path_and_query = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let signed = Request { origins: &origins, path_and_query, form };
    let why = match signed.verify(account.token_bytes(), text(request, SIGNATURE)) {
        Verdict::Verified => return Ok(true),
        Verdict::Missing => "there is no X-Twilio-Signature",
        Verdict::Malformed => "X-Twilio-Signature is not base64 of 20 bytes",
        Verdict::Mismatch => "X-Twilio-Signature is of another URL, body or token",
    };
    let mode = account.verify(gateway.clock.now_ms(), gateway.config.verify);
    let tried: Vec<&str> = origins.iter().collect();
    match mode {
        VerifyMode::Observe => {
            tracing::warn!(account = account.id, why, ?tried, "let in a callback that does not verify: observe is on");
            Ok(false)
        }
        VerifyMode::Enforce => {
            tracing::warn!(
                account = account.id,
                why,
                ?tried,
                "refused a callback: check ONHOOK_PUBLIC_URL (what Twilio was told) and the account's auth token",
            );
            Err(Problem::new(ProblemKind::SignatureRefused, why))
        }
    }
}

fn note(gateway: &Gateway, read: &StatusDelivery, account: &Account) {
    let call = &read.signal.leg.provider_id;
    for noted in &read.noted {
        tracing::warn!(call, account = account.id, noted, "left something of a callback out");
    }
    if let Claim::Unknown(word) = &read.signal.claim {
        gateway.metrics.status_refused();
        tracing::warn!(
            call,
            account = account.id,
            word,
            "refused a CallStatus nobody knows; it is stored and moves nothing"
        );
    }
}

fn text<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// Names this door in stored deliveries.
pub(super) const SOURCE: &str = "twilio/status";
const SIGNATURE: &str = "x-twilio-signature";
/// How much of a wrong SID is shown.
const SID_CHARS_SHOWN_MAX: usize = 60;
