//! What Twilio answers when it does not do what it is asked.

use super::Answer;
use serde_json::json;

/// `{"code", "message", "more_info", "status"}`. The codes are of Twilio's error dictionary
/// (<https://www.twilio.com/docs/api/errors>).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Twilio's error code.
    pub code: u32,
    /// For people.
    pub message: String,
}

impl Refusal {
    fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// Wrong or missing credentials, or those of another account.
    pub fn unauthorized() -> Self {
        Self::new(401, 20003, "Authenticate")
    }

    /// There is nothing at this path.
    pub fn not_found(path: &str) -> Self {
        Self::new(404, 20404, format!("The requested resource {path} was not found"))
    }

    /// There is something, but not for this method.
    pub fn method_not_allowed() -> Self {
        Self::new(405, 20004, "Method not allowed")
    }

    /// The request was not processed; it may be repeated.
    pub fn too_many() -> Self {
        Self::new(429, 20429, "Too Many Requests")
    }

    /// A parameter that makes no sense.
    pub fn bad(what: &str) -> Self {
        Self::new(400, 20001, format!("Invalid parameter: {what}"))
    }

    /// `To` is missing.
    pub fn no_to() -> Self {
        Self::new(400, 21201, "No 'To' number is specified")
    }

    /// `To` cannot be called.
    pub fn invalid_to(to: &str) -> Self {
        Self::new(400, 21211, format!("The phone number you are attempting to call, {to}, is not valid."))
    }

    /// `From` is missing.
    pub fn no_from() -> Self {
        Self::new(400, 21213, "No 'From' number is specified")
    }

    /// `From` is no number.
    pub fn invalid_from(from: &str) -> Self {
        Self::new(400, 21212, format!("The source phone number provided, {from}, is not valid."))
    }

    /// `From` is none of the account's.
    pub fn foreign_from(from: &str) -> Self {
        let message = "is not yet verified for your account. You may only make calls from phone numbers that you've \
                       verified or purchased from Twilio.";
        Self::new(400, 21210, format!("The source phone number provided, {from}, {message}"))
    }

    /// No instructions, or a URL that cannot be called.
    pub fn url(what: &str) -> Self {
        Self::new(400, 21205, what)
    }

    /// An application that the account does not have.
    pub fn application() -> Self {
        Self::new(400, 21218, "Invalid ApplicationSid")
    }

    /// The call is over.
    pub fn call_is_over() -> Self {
        Self::new(400, 21220, "Call is not in-progress. Cannot redirect.")
    }

    /// The account has as many calls as it may have at once. Twilio's page on the code names no HTTP status.
    pub fn too_many_calls() -> Self {
        Self::new(429, 10004, "Call concurrency limit exceeded")
    }

    /// Any other refusal of a call to this address.
    pub fn of_call(status: u16, code: u32, to: &str) -> Self {
        Self::new(status, code, format!("The call to {to} was refused."))
    }

    /// What an outage looks like.
    pub fn of_outage(status: u16) -> Self {
        let (code, message) = match status {
            429 => (20429, "Too Many Requests"),
            503 => (20503, "Service Unavailable"),
            _ => (20500, "An internal server error has occurred"),
        };
        Self::new(status, code, message)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, code, message } = refusal;
        let more_info = format!("https://www.twilio.com/docs/errors/{code}");
        let body = json!({ "code": code, "message": message, "more_info": more_info, "status": status });
        Self { status, ..Self::ok(body) }
    }
}
