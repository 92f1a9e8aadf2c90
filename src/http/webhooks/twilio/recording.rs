//! Recordings.

use super::take;
use crate::{
    http::{Gateway, Problem},
    twilio::door::Door,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};

/// A recording of a call: a `recordingStatusCallback`.
///
/// The query may carry `lead_id`, `job_id`, `attempt`, `extension` and `user_id`; it is signed with the URL.
#[utoipa::path(post, path = "/webhooks/twilio/recording", tag = "webhooks",
    request_body(content_type = "application/x-www-form-urlencoded", content = String, description = "Twilio's parameters, signed by X-Twilio-Signature"),
    responses(
        (status = 204, description = "Durable"),
        (status = 400, description = "Unreadable body, or a SID of the wrong shape"),
        (status = 403, description = "Signature refused or account unknown"),
        (status = 413, description = "Body over the limit"),
        (status = 503, description = "Could not be made durable; see Retry-After"),
    ))]
pub(in crate::http) async fn recording(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    take(Door::Recording, &request, payload, &gateway).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The same by GET: everything is in the query string, which is signed with the URL.
#[utoipa::path(get, path = "/webhooks/twilio/recording", tag = "webhooks",
    responses(
        (status = 204, description = "Durable"),
        (status = 400, description = "A SID of the wrong shape"),
        (status = 403, description = "Signature refused or account unknown"),
        (status = 413, description = "Body over the limit"),
        (status = 503, description = "Could not be made durable; see Retry-After"),
    ))]
pub(in crate::http) async fn recording_by_get(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    recording(request, payload, gateway).await
}
