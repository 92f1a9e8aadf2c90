//! POSTs. They may carry an `Idempotency-Key`: then the request is done once, however often it is sent within 24 hours.
//!
//! The first answer with a 2xx status is kept with a digest of method, path, query, content type and body. The same
//! request gets it again with `Idempotency-Replayed: true`; another request with the key is refused (422). A refused
//! request changed nothing, so it is not kept: it may be corrected and sent again. Two that arrive together are done
//! one after the other (imports and calls announced by their provider id, which can be repeated without harm, may both
//! be carried out); how that holds across nodes and crashes is in `crate::transaction`. A secret is shown once: in
//! an answer that is given again it is null.

use super::{Can, Gateway, Needs, Problem, ProblemKind, body};
use crate::{
    domain::time::Millis,
    transaction::{Answer, Answered, Ticket},
};
use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::StatusCode,
    web::{Bytes, Payload as Stream},
};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{future::Future, pin::Pin};

/// A POST of somebody who may send it. The body is read when the handler says how long it may be.
pub(super) struct Post<S> {
    key: Can<S>,
    idempotency_key: Option<String>,
    request: HttpRequest,
    stream: Stream,
}

/// A POST with its body.
pub(super) struct Posted<S> {
    /// Who sent it.
    pub(super) key: Can<S>,
    /// The body.
    pub(super) body: Bytes,
    /// The media type of the body.
    pub(super) media_type: Option<String>,
    /// Set if the request is to be done once.
    pub(super) ticket: Option<Ticket>,
}

impl<S: Needs> FromRequest for Post<S> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let stream = Stream::from_request(&request, payload);
        Box::pin(async move {
            // First who it is: a stranger learns nothing about what would be wrong with the rest.
            let key = Can::<S>::from_request(&request, &mut Payload::None).await?;
            let idempotency_key = idempotency_key(&request)?;
            let stream = stream.await.map_err(|e| Problem::internal(&e))?;
            Ok(Self { key, idempotency_key, request, stream })
        })
    }
}

impl<S> Post<S> {
    /// Reads the body up to `bytes_max` and lets `work` do what it asks for, unless that was done before. What was done
    /// is not even judged anew: by now the request might be refused.
    pub(super) async fn once(
        self,
        gateway: &Gateway,
        bytes_max: usize,
        work: impl AsyncFnOnce(Posted<S>) -> Result<Answered, Problem>,
    ) -> Result<HttpResponse, Problem> {
        let Self { key, idempotency_key, request, stream } = self;
        let body = body::read(stream, bytes_max).await?;
        let media_type = body::media_type(&request);
        let now_ms = gateway.clock.now_ms();
        let ticket =
            idempotency_key.map(|text| ticket(&key.tenant, text, &request, media_type.as_deref(), &body, now_ms));
        if let Some(ticket) = &ticket
            && let Some(before) = ticket.find(&gateway.db).await?
        {
            return respond(before);
        }
        respond(work(Posted { key, body, media_type, ticket }).await?)
    }

    /// The same with a JSON body.
    pub(super) async fn once_json<T: DeserializeOwned>(
        self,
        gateway: &Gateway,
        work: impl AsyncFnOnce(Posted<S>, T) -> Result<Answered, Problem>,
    ) -> Result<HttpResponse, Problem> {
        self.once(gateway, gateway.config.limits.rest_body_bytes_max, async |posted| {
            posted.expect_media_type(&["application/json"])?;
            let value = body::parse_json(&posted.body)?;
            work(posted, value).await
        })
        .await
    }
}

impl<S> Post<S> {
    /// The same with a JSON body that may be left out: nothing is the default.
    pub(super) async fn once_json_or_nothing<T: DeserializeOwned + Default>(
        self,
        gateway: &Gateway,
        work: impl AsyncFnOnce(Posted<S>, T) -> Result<Answered, Problem>,
    ) -> Result<HttpResponse, Problem> {
        self.once(gateway, gateway.config.limits.rest_body_bytes_max, async |posted| {
            if posted.body.is_empty() {
                return work(posted, T::default()).await;
            }
            posted.expect_media_type(&["application/json"])?;
            let value = body::parse_json(&posted.body)?;
            work(posted, value).await
        })
        .await
    }
}

impl<S> Posted<S> {
    /// Which of the media types that are taken here the body has.
    pub(super) fn expect_media_type(&self, taken: &[&'static str]) -> Result<&'static str, Problem> {
        let has = self.media_type.as_deref();
        taken.iter().copied().find(|taken| has == Some(*taken)).ok_or_else(|| {
            let detail = format!("the content type is {}; send {}", has.unwrap_or("missing"), taken.join(" or "));
            Problem::new(ProblemKind::UnsupportedMediaType, detail)
        })
    }
}

/// An answer in JSON.
pub(super) fn answer(status: StatusCode, value: &impl Serialize) -> Answer {
    // Plain structs serialize to memory without fail.
    Answer { status: status.as_u16(), body: serde_json::to_vec(value).unwrap_or_default(), kept_body: None }
}

/// The response to what was done now or before.
fn respond(answered: Answered) -> Result<HttpResponse, Problem> {
    let (answer, replayed) = match answered {
        Answered::Now(answer) => (answer, false),
        Answered::Before(answer) => (answer, true),
        Answered::OtherRequest => {
            let detail = "this Idempotency-Key came with another request before; use a new key for each request";
            return Err(Problem::new(ProblemKind::IdempotencyMismatch, detail));
        }
    };
    let status = StatusCode::from_u16(answer.status).map_err(|e| Problem::internal(&e))?;
    let mut response = HttpResponse::build(status);
    if replayed {
        response.insert_header(("idempotency-replayed", "true"));
    }
    Ok(response.content_type("application/json").body(answer.body))
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut headers = request.headers().get_all(HEADER);
    let Some(header) = headers.next() else { return Ok(None) };
    let text = header
        .to_str()
        .ok()
        .filter(|text| (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()));
    match (text, headers.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => {
            let detail =
                format!("Idempotency-Key must be sent once, with 1 to {KEY_BYTES_MAX} visible ASCII characters");
            Err(Problem::new(ProblemKind::Unreadable, detail))
        }
    }
}

fn ticket(
    tenant: &str,
    key: String,
    request: &HttpRequest,
    media_type: Option<&str>,
    body: &Bytes,
    now_ms: Millis,
) -> Ticket {
    let parts = [request.method().as_str(), request.path(), request.query_string(), media_type.unwrap_or_default()];
    let mut digest = Sha256::new();
    for part in parts.map(str::as_bytes).into_iter().chain([body.as_ref()]) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    Ticket { tenant: tenant.to_owned(), key, request: digest.finalize().to_vec(), now_ms }
}

const HEADER: &str = "idempotency-key";
const KEY_BYTES_MAX: usize = 200;
