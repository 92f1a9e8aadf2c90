//! A request id on every request, every log line and every answer; counts and durations.

use super::{Gateway, client};
use crate::clock::Stopwatch;
use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    web::Data,
};
use tracing::Instrument;

/// The middleware. A request id that came with the request is kept if it is sane.
pub async fn trace(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let Some(gateway) = request.app_data::<Data<Gateway>>().cloned() else { return next.call(request).await };
    let id = given_id(&request).unwrap_or_else(|| gateway.new_id("req"));
    let watch = Stopwatch::start();
    let method = request.method().clone();
    let path = request.path().to_owned();
    let client = client::address(request.request(), &gateway.config.http.trusted_proxies);
    let span = tracing::info_span!("request", id);
    let mut response = next.call(request).instrument(span.clone()).await?;

    let route = response.request().match_pattern();
    let status = response.status().as_u16();
    let seconds = watch.seconds();
    gateway.metrics.http_request(method.as_str(), route.as_deref(), status, seconds);
    let client = client.map(tracing::field::display);
    span.in_scope(|| tracing::debug!(%method, path, client, status, seconds, "answered"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    Ok(response)
}

fn given_id(request: &ServiceRequest) -> Option<String> {
    let id = request.headers().get("x-request-id")?.to_str().ok()?;
    let sane =
        (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    sane.then(|| id.to_owned())
}

const ID_BYTES_MAX: usize = 64;
