//! Events of an Asterisk that cannot be reached from here: it pushes them, with a key of the scope `ingest`.

mod body;

use crate::{
    ami,
    directory::{Account, Key},
    fields::Wrong,
    http::{
        Can, Deliver, Gateway, Problem, ProblemKind,
        body::{Query, media_type, read, shown_media_type},
    },
    pbx::PushError,
    telemetry::{DeliveryAnswer, Endpoint},
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use body::{BodyError, Pushed};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// Which PBX.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Which {
    /// The account: the name of the PBX. It may stand in each event instead.
    #[param(example = "pbx1")]
    pbx: Option<String>,
}

/// Events of a PBX that only pushes, in the order in which it told them.
///
/// One event as a JSON object of its headers or as a form, or up to 1,000 as a JSON array of objects. A value is a text, a
/// number, or a list of these (a header that comes several times, such as `ChanVariable`). `Event` must be there; `Timestamp`
/// (`timestampevents = yes`) should be, else the time of arrival counts. All events are taken, or none. An event that was
/// taken before is only repeated. `deploy/asterisk/push-events.py` does this at the site.
#[utoipa::path(post, path = "/webhooks/ami", tag = "webhooks", operation_id = "ami", security(("key" = ["ingest"])), params(Which),
    request_body(content(
        (serde_json::Value = "application/json", example = json!([
            {"pbx": "pbx1", "Event": "Newchannel", "Timestamp": "1795203823.263690", "Channel": "PJSIP/2001-0000000a",
             "ChannelState": 4, "Uniqueid": "1795203823.10", "Linkedid": "1795203823.10", "ChanVariable": ["ONHOOK_LEAD=lead-42"]},
        ])),
        (serde_json::Value = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 204, description = "All of it is durable"),
        (status = 400, description = "`unreadable`: no JSON, or `bad-filter`"),
        (status = 404, description = "`not-found`: no such PBX, or another tenant's"),
        (status = 413, description = "`too-large`: more than `limits.event_batch_bytes_max`, or than 1,000 events"),
        (status = 415, description = "`unsupported-media-type`"),
        (status = 422, description = "`invalid-fields`: `errors` name the event by its index, `[3].Uniqueid`; nothing was taken"),
        (status = 503, description = "`unavailable`: it could not be made durable, or another gateway has the PBX: send it again; see Retry-After"),
    ))]
pub(in crate::http) async fn push(
    key: Can<Deliver>,
    request: HttpRequest,
    Query(which): Query<Which>,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let taken = async {
        let pushed = read_body(&request, payload, &gateway).await?;
        let name = name_of(which.pbx, pushed.pbx)?;
        let account = account_of(&gateway, &key, &name).await?;
        take(&gateway, &account, pushed.events).await
    };
    let taken = taken.await;
    gateway.metrics.delivery(Endpoint::Ami, answer(taken.as_ref().err()));
    taken.map(|()| HttpResponse::NoContent().finish())
}

async fn read_body(request: &HttpRequest, payload: Payload, gateway: &Gateway) -> Result<Pushed, Problem> {
    let media = media_type(request);
    let read_it = match media.as_deref() {
        Some("application/json") => body::of_json,
        Some("application/x-www-form-urlencoded") => body::of_form,
        _ => {
            let detail = format!(
                "the content type is {}; send application/json, or application/x-www-form-urlencoded for one event",
                shown_media_type(request)
            );
            return Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
        }
    };
    let bytes = read(payload, gateway.config.limits.event_batch_bytes_max).await?;
    read_it(&bytes).map_err(|error| match error {
        BodyError::NotJson(why) => Problem::new(ProblemKind::Unreadable, why),
        BodyError::TooMany(count) => {
            let max = body::EVENTS_MAX;
            Problem::new(ProblemKind::TooLarge, format!("the body has {count} events; {max} may be pushed at once"))
        }
        BodyError::Wrong(wrongs) => wrongs.into(),
    })
}

/// The PBX that the query or the events name; both may.
fn name_of(query: Option<String>, body: Option<String>) -> Result<String, Wrong> {
    match (query, body) {
        (Some(query), Some(body)) if query != body => {
            Err(Wrong::new("pbx", "is another one in the query than in the events; name it once"))
        }
        (Some(name), _) | (None, Some(name)) => Ok(name),
        (None, None) => {
            Err(Wrong::new("pbx", "is missing: the name of the PBX, in the query (?pbx=…) or in each event"))
        }
    }
}

async fn account_of(gateway: &Gateway, key: &Key, name: &str) -> Result<Arc<Account>, Problem> {
    if name.len() > NAME_CHARS_SHOWN_MAX {
        // No account has such a name, and a log need not have all of it.
        let shown: String = name.chars().take(NAME_CHARS_SHOWN_MAX).collect();
        return Err(Problem::not_found("account", &shown));
    }
    let account = crate::http::account_health::account_of(gateway, key, name).await?;
    if account.provider == ami::PROVIDER {
        return Ok(account);
    }
    Err(Problem::field("pbx", "is a Twilio account; events are pushed for a PBX (POST /v1/accounts adds one)"))
}

/// Answers when all of it is durable.
async fn take(gateway: &Gateway, account: &Account, events: Vec<ami::Message>) -> Result<(), Problem> {
    let received_ms = gateway.clock.now_ms();
    match gateway.pbxs.push(&account.tenant, &account.id, events, received_ms).await {
        Ok(pushed) => {
            tracing::debug!(account = account.id, pushed.taken, pushed.said, pushed.repeated, "took a push");
            Ok(())
        }
        Err(error) => Err(refused(&account.id, &error)),
    }
}

fn refused(account: &str, error: &PushError) -> Problem {
    match error {
        PushError::Unknown(name) => Problem::not_found("account", name),
        PushError::Connected(_) => {
            let why = "is a PBX that onhook is connected to: what it pushes would be told twice; take its url away \
                       (PUT /v1/accounts/{id}/access) to have it push instead";
            Problem::field("pbx", why)
        }
        PushError::TooMany { .. } => Problem::new(ProblemKind::TooLarge, format!("failed to {error}")),
        PushError::Elsewhere { retry_after_s } => {
            tracing::info!(account, retry_after_s, "answered a push 503: another gateway takes what this PBX pushes");
            let detail = "another gateway takes what this PBX pushes; send it again when Retry-After says";
            Problem::new(ProblemKind::Unavailable, detail).after_seconds(*retry_after_s)
        }
        PushError::Unavailable(_) => {
            tracing::error!(account, %error, "a push could not be made durable and was answered 503");
            Problem::new(ProblemKind::Unavailable, "it could not be made durable now; send it again shortly")
        }
    }
}

fn answer(problem: Option<&Problem>) -> DeliveryAnswer {
    match problem.map(Problem::kind) {
        None => DeliveryAnswer::Stored,
        Some(ProblemKind::NotFound) => DeliveryAnswer::RefusedSignature,
        Some(ProblemKind::TooLarge) => DeliveryAnswer::TooLarge,
        Some(ProblemKind::Unavailable) => DeliveryAnswer::Unavailable,
        Some(_) => DeliveryAnswer::Unreadable,
    }
}

const NAME_CHARS_SHOWN_MAX: usize = 64;
