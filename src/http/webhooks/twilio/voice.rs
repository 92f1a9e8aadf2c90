//! The doors that answer TwiML: what to do with a call, what a called party hears first, what follows a `<Dial>`.
//!
//! Each webhook is durable before it is answered. What is not answered 200 makes Twilio ask the fallback URL, so a
//! caller is not left alone when the database is away.

use super::{Arrived, take, text};
use crate::{
    domain::phone::{E164, mask, mask_end},
    http::{Gateway, Problem, ProblemKind},
    twilio::{
        callback_url::CallbackUrls,
        dialing::{self, Answer, Origin, Outcome, Refused, Settings, VoiceRequest},
        door::Door,
        twiml::TwimlError,
    },
    voice,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};

/// What is to be done with a call: the voice URL of a number, of a TwiML app, of a SIP domain, or of a call you place.
///
/// Whom it is put through to: `connect` in the query of the URL (repeated, or separated by commas); else, of a client
/// or a SIP telephone, `To`; else who is set for the number or the tenant under `/v1/voice`. The query may carry
/// `lead_id`, `job_id`, `attempt`, `extension` and `user_id` too; they are carried on to every callback.
#[utoipa::path(post, path = "/webhooks/twilio/voice", tag = "webhooks",
    request_body(content_type = "application/x-www-form-urlencoded", content = String, description = "Twilio's parameters, signed by X-Twilio-Signature"),
    responses(
        (status = 200, description = "TwiML: a Dial, or a spoken refusal", content_type = "text/xml", body = String),
        (status = 400, description = "Unreadable body, or a SID of the wrong shape"),
        (status = 403, description = "Signature refused or account unknown"),
        (status = 413, description = "Body over the limit"),
        (status = 500, description = "A fault of the gateway"),
        (status = 503, description = "Could not be made durable; see Retry-After"),
    ))]
pub(in crate::http) async fn voice(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (arrived, mut call, settings) = arrive(Door::Voice, &request, payload, &gateway).await?;
    let urls = urls(&request, &gateway, &call)?;
    let region = gateway.config.phone_region.as_deref();
    if let (Origin::Network, Some(called)) = (call.origin, call.own_number()) {
        let numbers = dialing::numbers(&call, &settings, region);
        call.leading_back = voice::leading_back(&gateway.db, &arrived.account.tenant, &called, &numbers).await?;
    }
    let answer = dialing::answer(&call, &settings, &urls, region).map_err(|e| Problem::internal(&e))?;
    report(&arrived, &call, &answer, &gateway);
    Ok(twiml(answer.twiml))
}

/// The same by GET: everything is in the query string, which is signed with the URL.
#[utoipa::path(get, path = "/webhooks/twilio/voice", tag = "webhooks",
    responses(
        (status = 200, description = "TwiML: a Dial, or a spoken refusal", content_type = "text/xml", body = String),
        (status = 400, description = "A SID of the wrong shape"),
        (status = 403, description = "Signature refused or account unknown"),
        (status = 413, description = "Body over the limit"),
        (status = 500, description = "A fault of the gateway"),
        (status = 503, description = "Could not be made durable; see Retry-After"),
    ))]
pub(in crate::http) async fn voice_by_get(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    voice(request, payload, gateway).await
}

/// What came of a `<Dial>`: its `action`. The call ends; a caller whom nobody took hears `unanswered` first.
#[utoipa::path(post, path = "/webhooks/twilio/dial", tag = "webhooks",
    request_body(content_type = "application/x-www-form-urlencoded", content = String, description = "Twilio's parameters, signed by X-Twilio-Signature"),
    responses(
        (status = 200, description = "TwiML that ends the call", content_type = "text/xml", body = String),
        (status = 400, description = "Unreadable body, or a SID of the wrong shape"),
        (status = 403, description = "Signature refused or account unknown"),
        (status = 413, description = "Body over the limit"),
        (status = 500, description = "A fault of the gateway"),
        (status = 503, description = "Could not be made durable; see Retry-After"),
    ))]
pub(in crate::http) async fn dial(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (arrived, _, settings) = arrive(Door::Dial, &request, payload, &gateway).await?;
    written(dialing::after_dial(&arrived.parameters, &settings))
}

/// The same by GET: everything is in the query string, which is signed with the URL.
#[utoipa::path(get, path = "/webhooks/twilio/dial", tag = "webhooks",
    responses(
        (status = 200, description = "TwiML that ends the call", content_type = "text/xml", body = String),
        (status = 400, description = "A SID of the wrong shape"),
        (status = 403, description = "Signature refused or account unknown"),
        (status = 413, description = "Body over the limit"),
        (status = 500, description = "A fault of the gateway"),
        (status = 503, description = "Could not be made durable; see Retry-After"),
    ))]
pub(in crate::http) async fn dial_by_get(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    dial(request, payload, gateway).await
}

/// What a called party hears before it is connected: the `url` of a noun. `number` in the query says whose settings
/// count; onhook writes it.
#[utoipa::path(post, path = "/webhooks/twilio/whisper", tag = "webhooks",
    request_body(content_type = "application/x-www-form-urlencoded", content = String, description = "Twilio's parameters, signed by X-Twilio-Signature"),
    responses(
        (status = 200, description = "TwiML that speaks, or does nothing", content_type = "text/xml", body = String),
        (status = 400, description = "Unreadable body, or a SID of the wrong shape"),
        (status = 403, description = "Signature refused or account unknown"),
        (status = 413, description = "Body over the limit"),
        (status = 500, description = "A fault of the gateway"),
        (status = 503, description = "Could not be made durable; see Retry-After"),
    ))]
pub(in crate::http) async fn whisper(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let arrived = take(Door::Whisper, &request, payload, &gateway).await?;
    let number = dialing::whispers_for(&arrived.parameters);
    written(dialing::whisper(&settings(&gateway, &arrived, number.as_ref()).await?))
}

/// The same by GET: everything is in the query string, which is signed with the URL.
#[utoipa::path(get, path = "/webhooks/twilio/whisper", tag = "webhooks",
    responses(
        (status = 200, description = "TwiML that speaks, or does nothing", content_type = "text/xml", body = String),
        (status = 400, description = "A SID of the wrong shape"),
        (status = 403, description = "Signature refused or account unknown"),
        (status = 413, description = "Body over the limit"),
        (status = 500, description = "A fault of the gateway"),
        (status = 503, description = "Could not be made durable; see Retry-After"),
    ))]
pub(in crate::http) async fn whisper_by_get(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    whisper(request, payload, gateway).await
}

/// Takes a webhook about a call of ours, with the settings that count for it.
async fn arrive(
    door: Door,
    request: &HttpRequest,
    payload: Payload,
    gateway: &Gateway,
) -> Result<(Arrived, VoiceRequest, Settings), Problem> {
    let arrived = take(door, request, payload, gateway).await?;
    let call = VoiceRequest::read(&arrived.parameters);
    let settings = settings(gateway, &arrived, call.own_number().as_ref()).await?;
    Ok((arrived, call, settings))
}

async fn settings(gateway: &Gateway, arrived: &Arrived, number: Option<&E164>) -> Result<Settings, Problem> {
    Ok(voice::settings(&gateway.db, &arrived.account.tenant, number).await?)
}

fn urls(request: &HttpRequest, gateway: &Gateway, call: &VoiceRequest) -> Result<CallbackUrls, Problem> {
    if let Some(url) = &gateway.config.public_url {
        return Ok(CallbackUrls::below(url, &call.correlation));
    }
    let host = text(request, header::HOST.as_str()).unwrap_or_default();
    CallbackUrls::of_host_header(host, &call.correlation).ok_or_else(|| {
        let detail = "the Host header is no host that callbacks could be sent to; set ONHOOK_PUBLIC_URL";
        Problem::new(ProblemKind::Unreadable, detail)
    })
}

/// Counts how a call was answered, and tells the person on call of everybody who was not dialed.
fn report(arrived: &Arrived, call: &VoiceRequest, answer: &Answer, gateway: &Gateway) {
    let (id, account) = (&call.call, &arrived.account);
    gateway.metrics.voice().answered(answer.outcome);
    for Refused { target, why } in &answer.refused {
        gateway.metrics.voice().refused(*why);
        // Not `target`: that is the module in each line of the log.
        let whom: String = mask_end(target).chars().take(TARGET_CHARS_SHOWN_MAX).collect();
        tracing::warn!(
            call = id,
            account = account.id,
            tenant = account.tenant,
            whom,
            why = why.as_str(),
            advice = why.advice(),
            "refused to dial somebody",
        );
    }
    if answer.outcome == Outcome::Nobody {
        tracing::warn!(
            call = id,
            account = account.id,
            tenant = account.tenant,
            to = mask(&call.to),
            "told a caller that nobody is there: nobody is set to take this call. Set `connect` for the number or the \
             tenant (`onhook voice set --connect`), or name `connect` in the query of the voice URL",
        );
    }
}

fn written(twiml_or_not: Result<String, TwimlError>) -> Result<HttpResponse, Problem> {
    twiml_or_not.map(twiml).map_err(|e| Problem::internal(&e))
}

fn twiml(text: String) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    // Twilio keeps the answer to a GET: the next call would be connected without a word to us.
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response.content_type("text/xml; charset=utf-8").body(text)
}

/// How much of a refused target is logged.
const TARGET_CHARS_SHOWN_MAX: usize = 60;
