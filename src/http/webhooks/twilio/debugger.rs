//! What Twilio's Debugger reports.

use super::take;
use crate::{
    http::{Gateway, Problem},
    twilio::door::Door,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};

/// An error or warning of Twilio's Debugger. A call whose callbacks may have been lost is made due at once.
///
/// Its address is written into the Debugger's settings at Twilio's console.
#[utoipa::path(post, path = "/webhooks/twilio/debugger", tag = "webhooks",
    request_body(content_type = "application/x-www-form-urlencoded", content = String, description = "Twilio's parameters, signed by X-Twilio-Signature"),
    responses(
        (status = 204, description = "Durable"),
        (status = 400, description = "Unreadable body, or a SID of the wrong shape"),
        (status = 403, description = "Signature refused or account unknown"),
        (status = 413, description = "Body over the limit"),
        (status = 503, description = "Could not be made durable; see Retry-After"),
    ))]
pub(in crate::http) async fn debugger(
    request: HttpRequest,
    payload: Payload,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    take(Door::Debugger, &request, payload, &gateway).await?;
    Ok(HttpResponse::NoContent().finish())
}
