//! Fixture stories: what Twilio sends in the course of a call, and what must come of it.
//!
//! A story is a TOML file that a person reads at a glance; `fixtures/README.md` describes it. Its times are relative,
//! and its identifiers are made from its name and a salt, so that it can be played at any hour and many times over.
//! The demonstration, `replay` and the tests all play the same files.

pub mod disorder;
pub mod expected;
mod format;
mod library;
mod truth;
mod wrap;

pub use format::{Lead, Offset, Story, When};
pub use library::embedded;
pub use truth::Truth;

use crate::{
    domain::time::{self, Millis, SECOND},
    twilio::{
        door::{Carries, Door, Method},
        form::{Form, FormError},
        signature,
    },
};
use sha2::{Digest, Sha256};

/// One playing of a story.
#[derive(Clone, Copy, Debug)]
pub struct Play<'a> {
    /// The moment that the story calls `+0s`.
    pub start_ms: Millis,
    /// Whose calls they are.
    pub account_sid: &'a str,
    /// Makes the calls and the lead of this playing its own; the same salt names the same ones. May be empty.
    pub salt: &'a str,
}

/// A webhook, ready to be signed and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The leg it speaks of, by its name in the story.
    pub leg: String,
    /// GET or POST.
    pub method: Method,
    /// The path of the gateway that takes it.
    pub path: &'static str,
    /// The raw query string, without `?`. May be empty.
    pub query: String,
    /// The raw body. Empty for a GET.
    pub body: Vec<u8>,
    /// When it is sent, counted from the start of the story.
    pub after_ms: Millis,
}

/// Why a text is not a story.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// It is not TOML of the form described in `fixtures/README.md`.
    #[error("read story {story}: {source}")]
    Form {
        /// The story's name.
        story: String,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// It names a leg that it does not have, or leaves one out.
    #[error("read story {story}: {what} names the leg {leg:?}, which it does not have")]
    UnknownLeg {
        /// The story's name.
        story: String,
        /// Where in the file.
        what: &'static str,
        /// The leg.
        leg: String,
    },
    /// A text has a placeholder that nothing fills.
    #[error("read story {story}: the leg {leg:?} has the placeholder {{{placeholder}}}, which nothing fills")]
    UnknownPlaceholder {
        /// The story's name.
        story: String,
        /// The leg.
        leg: String,
        /// What stands between the braces.
        placeholder: String,
    },
}

impl Story {
    /// The webhooks of this story in the order in which they arrive.
    pub fn requests(&self, play: Play<'_>) -> Vec<Request> {
        let mut after_ms = 0;
        let mut requests = Vec::with_capacity(self.deliveries.len());
        for delivery in &self.deliveries {
            // Nothing arrives before it happened, nor before what the story lists above it.
            after_ms = delivery.arrives.unwrap_or(delivery.at).0.max(after_ms);
            let Some(leg) = self.legs.get(&delivery.leg) else { continue };
            let fill = |placeholder: &str| match placeholder {
                "says" => Some(delivery.says.clone()),
                "timestamp" => Some(timestamp(play.start_ms + delivery.at.0)),
                "account" => Some(play.account_sid.to_owned()),
                "sid" => Some(self.sid(&delivery.leg, play.salt)),
                "lead" => self.lead_id(play.salt),
                other => other.strip_prefix("sid:").map(|leg| self.sid(leg, play.salt)),
            };
            let door = delivery.door.0;
            let template = leg.doors.get(&delivery.door).unwrap_or(&leg.body);
            let parameters = format::fill(&template.trim().replace('\n', "&"), fill);
            let query = format::fill(&leg.query, fill);
            let told =
                wrap::Told { sid: self.sid(&delivery.leg, play.salt), at_ms: play.start_ms + delivery.at.0, play };
            let (method, query, body) = match (door, leg.method) {
                (Door::Events, _) => told.by_event_streams(&query, &parameters),
                (Door::Debugger, _) => told.by_the_debugger(&query, &delivery.says),
                (_, Method::Post) => (Method::Post, query, parameters.into_bytes()),
                // Twilio appends its parameters to what the URL has already.
                (_, Method::Get) if query.is_empty() => (Method::Get, parameters, Vec::new()),
                (_, Method::Get) => (Method::Get, format!("{query}&{parameters}"), Vec::new()),
            };
            requests.push(Request { leg: delivery.leg.clone(), method, path: door.path(), query, body, after_ms });
        }
        requests
    }

    /// The CallSid of a leg in a playing with this salt.
    pub fn sid(&self, leg: &str, salt: &str) -> String {
        let digest = Sha256::digest(format!("{}/{leg}/{salt}", self.name));
        let hex = hex::encode(digest);
        format!("CA{}", hex.get(..32).unwrap_or_default())
    }

    /// The lead's id in a playing with this salt, if the story has a lead.
    pub fn lead_id(&self, salt: &str) -> Option<String> {
        let id = &self.lead.as_ref()?.id;
        Some(if salt.is_empty() { id.clone() } else { format!("{id}-{salt}") })
    }

    /// How long the story takes, with what nobody told of it. A playing that starts this long ago lies wholly in the past.
    pub fn length_ms(&self) -> Millis {
        let deliveries = self.deliveries.iter().map(|d| d.arrives.unwrap_or(d.at).0.max(d.at.0));
        let ends = self.repaired.iter().flat_map(|repaired| &repaired.calls).filter_map(|call| match call.ended_at {
            Some(When::Told(at)) => Some(at.0),
            Some(When::Received) | None => None,
        });
        deliveries.chain(ends).max().unwrap_or_default()
    }
}

impl Request {
    /// The target of the request line.
    pub fn path_and_query(&self) -> String {
        if self.query.is_empty() { self.path.to_owned() } else { format!("{}?{}", self.path, self.query) }
    }

    /// The door it is for.
    pub fn door(&self) -> Door {
        Door::ALL.iter().copied().find(|door| door.path() == self.path).unwrap_or(Door::Status)
    }

    /// The `Content-Type` Twilio sends it with.
    pub fn content_type(&self) -> &'static str {
        match self.door().carries() {
            Carries::Form => "application/x-www-form-urlencoded; charset=UTF-8",
            Carries::Events => "application/json",
        }
    }

    /// The status a gateway answers it with once it is durable.
    pub fn answer(&self) -> u16 {
        match self.door() {
            Door::Voice | Door::Whisper | Door::Dial => 200,
            Door::Status | Door::Recording | Door::Amd | Door::Debugger | Door::Events => 204,
        }
    }

    /// The URL under `base` (the gateway's public URL), and the signature Twilio would send for it.
    pub fn signed(&self, base: &str, token: &str) -> Result<(String, String), FormError> {
        let url = format!("{}{}", base.trim_end_matches('/'), self.path_and_query());
        let form = match (self.method, self.door().carries()) {
            (Method::Post, Carries::Form) => Some(Form::parse(&self.body)?),
            // What is signed of these is in the URL.
            (Method::Get, _) | (_, Carries::Events) => None,
        };
        let signature = signature::sign(token, &url, form.as_ref());
        Ok((url, signature))
    }

    /// The `CallStatus` it brings; empty if it has none.
    pub fn status(&self) -> String {
        if self.door() == Door::Events {
            let event = serde_json::from_slice::<serde_json::Value>(&self.body).unwrap_or_default();
            let status = event.pointer("/0/data/request/parameters/CallStatus").and_then(|status| status.as_str());
            return status.unwrap_or_default().to_owned();
        }
        let parameters = match self.method {
            Method::Post => self.body.as_slice(),
            Method::Get => self.query.as_bytes(),
        };
        let form = Form::parse(parameters).unwrap_or_default();
        form.first("CallStatus").unwrap_or_default().into_owned()
    }

    /// What it is, in a word or two: its `CallStatus`, and its door where that is not the usual one.
    pub fn news(&self) -> String {
        match (self.door(), self.status()) {
            (Door::Status, status) => status,
            (_, status) => {
                format!("{} {status}", self.path.rsplit('/').next().unwrap_or_default()).trim_end().to_owned()
            }
        }
    }
}

/// Twilio's `Timestamp`, encoded for a form: a space as `%20`.
fn timestamp(at: Millis) -> String {
    percent_encoding::utf8_percent_encode(&time::rfc2822(at), percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// What the receiver of [`timestamp`] knows of a moment: its second.
const fn told(at: Millis) -> Millis {
    at.div_euclid(SECOND) * SECOND
}
