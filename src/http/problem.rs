//! The one shape of every refusal: RFC 9457 problem details. Each kind has an entry in `docs/problems.md`.

use crate::{domain::words, fields::Wrong, ingest::SubmitError, store::StoreError};
use actix_web::{HttpResponse, ResponseError, http::StatusCode, http::header};
use serde::Serialize;
use utoipa::ToSchema;

words! {
    /// The kinds of problems. The word is the last part of `type` and never changes.
    pub enum ProblemKind {
        /// The request cannot be read.
        Unreadable = "unreadable",
        /// A filter of the query is unknown or wrong.
        BadFilter = "bad-filter",
        /// The cursor was not issued by us.
        BadCursor = "bad-cursor",
        /// No key, or one nobody knows, or one that is revoked or expired.
        Unauthorized = "unauthorized",
        /// The key lacks the scope.
        ScopeMissing = "scope-missing",
        /// The signature does not verify, or the account is unknown.
        SignatureRefused = "signature-refused",
        /// There is no such thing, or it is another tenant's.
        NotFound = "not-found",
        /// The path takes other methods.
        MethodNotAllowed = "method-not-allowed",
        /// A thing with this id exists.
        AlreadyExists = "already-exists",
        /// Two accounts share this provider id: name the account.
        AmbiguousCall = "ambiguous-call",
        /// The call has ended, so it cannot be ended.
        CallEnded = "call-ended",
        /// Somebody else has the lease of the run.
        LeaseHeld = "lease-held",
        /// The lease of the run was lost: the token holds no more.
        LeaseLost = "lease-lost",
        /// The run is in a state in which this cannot be done.
        RunState = "run-state",
        /// The job is in a state in which this cannot be done.
        JobState = "job-state",
        /// This Idempotency-Key came with another request before.
        IdempotencyMismatch = "idempotency-mismatch",
        /// The body is over the limit.
        TooLarge = "too-large",
        /// The body has a content type this path does not take.
        UnsupportedMediaType = "unsupported-media-type",
        /// A field is wrong; `errors` says which.
        InvalidFields = "invalid-fields",
        /// A fault of ours; the log has the cause under the request id.
        Internal = "internal",
        /// It cannot be done or made durable now; try again later.
        Unavailable = "unavailable",
    }
}

impl ProblemKind {
    /// The HTTP status of this kind.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Unreadable | Self::BadFilter | Self::BadCursor => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ScopeMissing | Self::SignatureRefused => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::AlreadyExists | Self::AmbiguousCall | Self::CallEnded => StatusCode::CONFLICT,
            Self::LeaseHeld | Self::LeaseLost | Self::RunState | Self::JobState => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidFields | Self::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A short name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Unreadable => "The request cannot be read",
            Self::BadFilter => "A filter is unknown or wrong",
            Self::BadCursor => "The cursor is not one of ours",
            Self::Unauthorized => "A valid API key is needed",
            Self::ScopeMissing => "The key lacks a scope",
            Self::SignatureRefused => "The signature was refused",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "The path does not take this method",
            Self::AlreadyExists => "It exists already",
            Self::AmbiguousCall => "Two accounts share this provider id",
            Self::CallEnded => "The call has ended",
            Self::LeaseHeld => "Somebody else has the lease",
            Self::LeaseLost => "The lease was lost",
            Self::RunState => "The run is in another state",
            Self::JobState => "The job is in another state",
            Self::IdempotencyMismatch => "The Idempotency-Key belongs to another request",
            Self::TooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The content type is not taken here",
            Self::InvalidFields => "A field is wrong",
            Self::Internal => "A fault of the gateway",
            Self::Unavailable => "Unavailable for the moment",
        }
    }
}

/// A refusal.
#[derive(Debug)]
pub struct Problem {
    kind: ProblemKind,
    detail: String,
    errors: Vec<FieldError>,
    /// When to come again, if it is known.
    retry_after_seconds: Option<u64>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field, as a path: `phone`, `calls[3].status`.
    pub field: String,
    /// What is wrong with it and what is allowed.
    pub message: String,
}

/// Problem details (RFC 9457), `application/problem+json`.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// Identifies the kind of problem: `/problems/` and a word that never changes.
    r#type: String,
    /// The kind, for people.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    detail: &'a str,
    /// What is wrong with which field (422).
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    /// A problem of a kind; `detail` says what happened this time and what to do.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), retry_after_seconds: None }
    }

    /// Nothing with this id.
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(ProblemKind::NotFound, format!("there is no {what} {id:?}"))
    }

    /// One wrong field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// Wrong fields, at least one.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let names: Vec<&str> = errors.iter().map(|e| e.field.as_str()).collect();
        let detail = format!("wrong: {}", names.join(", "));
        Self { kind: ProblemKind::InvalidFields, detail, errors, retry_after_seconds: None }
    }

    /// A fault of ours. The cause is logged here, once, and never answered.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed by a fault of ours and was answered 500");
        Self::new(ProblemKind::Internal, "the log of the gateway has the cause under this request's x-request-id")
    }

    /// The same about a part of the request.
    #[must_use]
    pub fn under(self, path: &str) -> Self {
        if self.errors.is_empty() {
            return Self { detail: format!("{path}: {}", self.detail), ..self };
        }
        let under = |e: FieldError| FieldError { field: format!("{path}.{}", e.field), ..e };
        Self::fields(self.errors.into_iter().map(under).collect())
    }

    /// The same, to be tried again after so many seconds.
    #[must_use]
    pub fn after_seconds(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds.max(1)), ..self }
    }

    /// What happened this time.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Its kind.
    pub const fn kind(&self) -> ProblemKind {
        self.kind
    }
}

impl From<Vec<Wrong>> for Problem {
    fn from(wrongs: Vec<Wrong>) -> Self {
        Self::fields(wrongs.into_iter().map(|Wrong { field, message }| FieldError { field, message }).collect())
    }
}

impl From<Wrong> for Problem {
    fn from(wrong: Wrong) -> Self {
        vec![wrong].into()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Gone(_) | StoreError::Again(_) => {
                tracing::error!(%error, "the database did not answer; the request was answered 503");
                Self::new(ProblemKind::Unavailable, "the database cannot be reached; try again shortly")
            }
            StoreError::Exists(_) => Self::new(ProblemKind::AlreadyExists, "a thing with this id exists already"),
            StoreError::Refused { .. } | StoreError::Corrupt { .. } | StoreError::Migrate(_) => Self::internal(&error),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(cause) => cause.into(),
            // The writer has logged the cause; whoever asks only needs to know that it is not stored.
            SubmitError::Full | SubmitError::Unavailable(_) | SubmitError::Stopped => {
                Self::new(ProblemKind::Unavailable, "it could not be made durable now; send it again shortly")
            }
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.kind.status()
    }

    fn error_response(&self) -> HttpResponse {
        let body = ProblemBody {
            r#type: format!("/problems/{}", self.kind),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            errors: &self.errors,
        };
        let mut response = HttpResponse::build(self.kind.status());
        response.content_type("application/problem+json");
        match self.kind {
            ProblemKind::Unavailable => {
                let seconds = self.retry_after_seconds.unwrap_or(RETRY_AFTER_SECONDS);
                response.insert_header((header::RETRY_AFTER, seconds.to_string()));
            }
            ProblemKind::Unauthorized => {
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
            }
            _ => {}
        }
        response.body(serde_json::to_string(&body).unwrap_or_default())
    }
}

/// How long whoever was answered 503 should wait.
const RETRY_AFTER_SECONDS: u64 = 2;
