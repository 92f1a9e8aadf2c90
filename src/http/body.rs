//! Reading bodies, queries and paths, with a limit and in our own words: actix must not answer by itself.

use super::{FieldError, Gateway, Problem, ProblemKind, auth::key_of};
use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header,
    web::{Bytes, Data, PathConfig, Payload as Stream},
};
use serde::de::{DeserializeOwned, IgnoredAny};
use std::{future::Future, pin::Pin, time::Duration};

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

/// The filters in a query string. Unknown names are refused: a misspelt filter must not list everything.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

/// Reads a body up to `max` bytes. Who sends it is not known yet, so it must not take for ever.
pub(super) async fn read(body: Stream, max: usize) -> Result<Bytes, Problem> {
    let unreadable = |why: String| Problem::new(ProblemKind::Unreadable, why);
    match tokio::time::timeout(READ_WITHIN, body.to_bytes_limited(max)).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Ok(Err(error))) => Err(unreadable(format!("the body broke off: {error}"))),
        Ok(Err(_)) => Err(Problem::new(ProblemKind::TooLarge, format!("the body has more than {max} bytes"))),
        Err(_) => Err(unreadable(format!("the body did not arrive within {} s", READ_WITHIN.as_secs()))),
    }
}

/// A webhook comes at once (Twilio itself waits 15 s in all); an import may be large.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// The media type without its parameters, in lower case.
pub(super) fn media_type(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The media type for an answer or a log.
pub(super) fn shown_media_type(request: &HttpRequest) -> String {
    let media = media_type(request).unwrap_or_else(|| "missing".to_owned());
    media.chars().filter(|c| !c.is_control()).take(MEDIA_TYPE_CHARS_SHOWN_MAX).collect()
}

const MEDIA_TYPE_CHARS_SHOWN_MAX: usize = 60;

/// Refuses a body of another content type than JSON.
pub(super) fn expect_json(request: &HttpRequest) -> Result<(), Problem> {
    if media_type(request).as_deref() == Some("application/json") {
        return Ok(());
    }
    let detail = format!("the content type is {}; send application/json", shown_media_type(request));
    Err(Problem::new(ProblemKind::UnsupportedMediaType, detail))
}

/// Reads JSON, naming the field that is wrong.
pub(super) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let wrong = |field: &str, message: String| {
        // Whether it is JSON comes before what it says.
        match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => Problem::fields(vec![FieldError { field: field.to_owned(), message }]),
            Err(error) => unreadable(&error),
        }
    };
    if bytes.trim_ascii_start().starts_with(b"[") {
        // Serde would take a list for an object whose fields stand in some order.
        return Err(wrong("body", "is a list; an object is expected".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            let message = inner.to_string();
            wrong(&field(&path, &message), message)
        } else {
            unreadable(&inner)
        }
    })?;
    reader.end().map_err(|e| unreadable(&e))?;
    Ok(value)
}

/// The field that an error of serde's speaks of. The path to one that is missing, or there twice, ends at what
/// should hold it.
fn field(path: &str, message: &str) -> String {
    let prefixes = ["missing field `", "duplicate field `"];
    let named = prefixes.iter().find_map(|prefix| message.strip_prefix(prefix));
    let missing = named.and_then(|rest| rest.split('`').next());
    match (path, missing) {
        (".", None) => "body".to_owned(),
        (".", Some(missing)) => missing.to_owned(),
        (path, None) => path.to_owned(),
        // The path to one that is there twice may have led to it already.
        (path, Some(name)) if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        (path, Some(missing)) => format!("{path}.{missing}"),
    }
}

fn unreadable(error: &serde_json::Error) -> Problem {
    Problem::new(ProblemKind::Unreadable, format!("the body is not one JSON value: {error}"))
}

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let stream = Stream::from_request(&request, payload);
        Box::pin(async move {
            key_of(&request).await?;
            let max = limits(&request)?.config.limits.rest_body_bytes_max;
            expect_json(&request)?;
            let stream = stream.await.map_err(|e| Problem::internal(&e))?;
            parse_json(&read(stream, max).await?).map(Self)
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            key_of(&request).await?;
            let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
            let read = serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs));
            read.map(Self).map_err(|e| Problem::new(ProblemKind::BadFilter, e.to_string()))
        })
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
