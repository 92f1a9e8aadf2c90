//! Reading bodies, queries and paths, with a limit and in our own words: actix must not answer by itself.

use super::{FieldError, Gateway, Problem, ProblemKind};
use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header,
    web::{Bytes, Data, PathConfig, Payload as Stream},
};
use serde::de::DeserializeOwned;
use std::{future::Future, pin::Pin};

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

/// The filters in a query string. Unknown names are refused: a misspelt filter must not list everything.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

/// Reads a body up to `max` bytes.
pub(super) async fn read(body: Stream, max: usize) -> Result<Bytes, Problem> {
    match body.to_bytes_limited(max).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(Problem::new(ProblemKind::Unreadable, format!("the body broke off: {error}"))),
        Err(_) => Err(Problem::new(ProblemKind::TooLarge, format!("the body has more than {max} bytes"))),
    }
}

/// The media type without its parameters, in lower case.
pub(super) fn media_type(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Reads JSON, naming the field that is wrong.
pub(super) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            let field = if path == "." { "body".to_owned() } else { path };
            Problem::fields(vec![FieldError { field, message: inner.to_string() }])
        } else {
            Problem::new(ProblemKind::Unreadable, format!("the body is not JSON: {inner}"))
        }
    })?;
    reader.end().map_err(|e| Problem::new(ProblemKind::Unreadable, format!("the body is not one JSON value: {e}")))?;
    Ok(value)
}

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let stream = Stream::from_request(&request, payload);
        Box::pin(async move {
            let max = limits(&request)?.config.limits.rest_body_bytes_max;
            let media = media_type(&request);
            if media.as_deref() != Some("application/json") {
                let detail = format!("the content type is {media:?}; send application/json");
                return Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
            }
            let stream = stream.await.map_err(|e| Problem::internal(&e))?;
            parse_json(&read(stream, max).await?).map(Self)
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
        let read = serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs));
        std::future::ready(read.map(Self).map_err(|e| Problem::new(ProblemKind::BadFilter, e.to_string())))
    }
}

fn limits(request: &HttpRequest) -> Result<&Data<Gateway>, Problem> {
    request.app_data::<Data<Gateway>>().ok_or_else(|| Problem::internal(&"the gateway is missing from the application"))
}

/// Paths that cannot be read are not found.
pub(super) fn path_config() -> PathConfig {
    PathConfig::default()
        .error_handler(|e, _| Problem::new(ProblemKind::NotFound, format!("the path cannot be read: {e}")).into())
}
