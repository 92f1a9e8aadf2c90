//! Ways to lose a callback, found before a call is lost: in TwiML, in what Twilio's REST API says of an account, in the
//! parameters of a new call, in what was answered to the callbacks of a call.
//!
//! Pure: text and structs in, findings out. Each names the place, the rule, why it matters, and the text to put there.

mod callback;
mod rest;
mod rule;
mod twiml;

pub use callback::Expect;
pub use rest::{application, call, create_call, number};
pub use rule::{Level, Rule};
pub use twiml::{TWIML_BYTES_MAX, twiml};

use serde::Serialize;
use utoipa::ToSchema;

/// Where something can be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// Which rule is broken.
    pub rule: Rule,
    /// Whether something is lost, or only might be.
    pub level: Level,
    /// What it is found in: an element with its attribute, a number, an application, a call.
    pub subject: String,
    /// The line in the text, from 1; `None` where there is no text.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// What is there.
    pub what: String,
    /// What comes of it, and where that is written.
    pub why: &'static str,
    /// The text to put there; empty where the place cannot be mended by a text.
    pub put: String,
}

impl Finding {
    /// A finding that stands in no text.
    pub(super) fn new(rule: Rule, subject: impl Into<String>, what: impl Into<String>, put: impl Into<String>) -> Self {
        let (level, why) = (rule.level(), rule.why());
        Self { rule, level, subject: subject.into(), line: None, column: None, what: what.into(), why, put: put.into() }
    }
}

/// What is found on a URL that answers with a redirect; `to` is its `Location`.
pub fn redirect(url: &str, status: u16, to: &str) -> Finding {
    let what = format!("it answers {status} and sends the caller to {to}");
    Finding::new(Rule::Redirect, url, what, to)
}

/// What is found on a URL of TwiML that answers with something else than 2xx and XML; `None` if all is well.
pub fn answer(url: &str, status: u16, content_type: &str) -> Option<Finding> {
    if !(200..300).contains(&status) {
        return Some(Finding::new(Rule::AnswerRefused, url, format!("it answers {status}"), ""));
    }
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_xml = ["text/xml", "application/xml", "text/html"].contains(&media.as_str());
    let what = format!("it answers with the content type {content_type:?}");
    (!is_xml).then(|| Finding::new(Rule::ContentType, url, what, "Content-Type: text/xml"))
}
