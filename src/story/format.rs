//! The file of a story: what it holds, and what is checked before it is played.

use super::{StoryError, expected::Expected};
use crate::{
    domain::time::Millis,
    twilio::door::{Door, Method},
};
use serde::{Deserialize, Deserializer, de::Error};
use std::collections::BTreeMap;

/// A story as it is told in its file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// The name of its folder.
    #[serde(skip)]
    pub name: String,
    /// What happens, in a few words.
    pub title: String,
    /// What happens and why it matters.
    pub text: String,
    /// Whom the calls are about. Must be known to the gateway before the first delivery, as the status of a lead shows
    /// only then.
    pub lead: Option<Lead>,
    pub(super) legs: BTreeMap<String, Leg>,
    pub(super) deliveries: Vec<Delivery>,
    /// What must come of it.
    #[serde(rename = "expect")]
    pub expected: Expected,
    /// What comes of it once Twilio was asked about what it did not tell. It knows the calls as they are here.
    pub repaired: Option<Expected>,
}

/// A lead before the story begins. Its status is `new`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lead {
    /// The user's id of it. The salt of a playing is appended: see [`Story::lead_id`].
    pub id: String,
    /// A made-up name.
    pub name: String,
    /// A documentation number.
    pub phone: String,
}

/// One leg and how its callbacks are configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Leg {
    /// `StatusCallbackMethod`.
    #[serde(default = "post")]
    pub(super) method: Method,
    /// What the user put into the callback URL.
    #[serde(default)]
    pub(super) query: String,
    /// What every status callback of the leg says; a line break stands for `&`. Event Streams tells it too.
    #[serde(default)]
    pub(super) body: String,
    /// The same for the other doors.
    #[serde(default)]
    pub(super) doors: BTreeMap<StoryDoor, String>,
}

/// One webhook.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delivery {
    pub(super) leg: String,
    /// When it happened: Twilio's `Timestamp`.
    pub(super) at: Offset,
    /// When it reaches the gateway, if that is later.
    pub(super) arrives: Option<Offset>,
    /// Where it comes in: status callbacks, if it is left out.
    #[serde(default)]
    pub(super) door: StoryDoor,
    /// What only this webhook says. Of the Debugger: the error code.
    #[serde(default)]
    pub(super) says: String,
}

/// A door by the last word of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoryDoor(pub(super) Door);

impl Default for StoryDoor {
    fn default() -> Self {
        Self(Door::Status)
    }
}

impl<'de> Deserialize<'de> for StoryDoor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        format!("twilio/{word}").parse().map(Self).map_err(D::Error::custom)
    }
}

/// A moment that is expected: a told one, or that of some receipt, which nobody can know beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Twilio told it.
    Told(Offset),
    /// It counts from when a webhook reached the gateway. Written `received`.
    Received,
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "received" {
            return Ok(Self::Received);
        }
        Offset::deserialize(serde::de::value::StringDeserializer::new(text)).map(Self::Told)
    }
}

/// A moment of a story, counted from its start: `+3s`, `+1m 5s`, `+250ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset(pub Millis);

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("{text:?} is no moment of a story: write +3s, +1m 5s or +250ms"));
        let duration = humantime::parse_duration(text.strip_prefix('+').ok_or_else(wrong)?).map_err(|_| wrong())?;
        Millis::try_from(duration.as_millis()).map(Self).map_err(|_| wrong())
    }
}

impl Story {
    /// Reads the text of a `story.toml`. What it returns can be played: every leg and every placeholder is known.
    pub fn parse(name: &str, text: &str) -> Result<Self, StoryError> {
        let broken = |source| StoryError::Form { story: name.to_owned(), source: Box::new(source) };
        let mut story: Self = toml::from_str(text).map_err(broken)?;
        name.clone_into(&mut story.name);
        story.check_legs()?;
        story.check_placeholders()?;
        Ok(story)
    }

    fn check_legs(&self) -> Result<(), StoryError> {
        let deliveries = self.deliveries.iter().map(|d| ("a delivery", &d.leg));
        let expected = || self.expected.calls.iter().chain(self.repaired.iter().flat_map(|repaired| &repaired.calls));
        let calls = expected().map(|c| ("an expected call", &c.leg));
        let parents = expected().filter_map(|c| Some(("an expected parent", c.parent.as_ref()?)));
        match deliveries.chain(calls).chain(parents).find(|(_, leg)| !self.legs.contains_key(*leg)) {
            None => Ok(()),
            Some((what, leg)) => Err(StoryError::UnknownLeg { story: self.name.clone(), what, leg: leg.clone() }),
        }
    }

    fn check_placeholders(&self) -> Result<(), StoryError> {
        let known = |placeholder: &str| match placeholder {
            "says" | "timestamp" | "account" | "sid" => true,
            "lead" => self.lead.is_some(),
            other => other.strip_prefix("sid:").is_some_and(|leg| self.legs.contains_key(leg)),
        };
        for (name, leg) in &self.legs {
            let texts = leg.doors.values().chain([&leg.body, &leg.query]);
            for (_, placeholder) in texts.flat_map(|text| pieces(text)) {
                if let Some(placeholder) = placeholder.filter(|p| !known(p)) {
                    let (story, leg) = (self.name.clone(), name.clone());
                    return Err(StoryError::UnknownPlaceholder { story, leg, placeholder: placeholder.to_owned() });
                }
            }
        }
        Ok(())
    }
}

/// Puts values where the placeholders are. The values are not searched again.
pub(super) fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    for (literal, placeholder) in pieces(text) {
        filled.push_str(literal);
        filled.push_str(&placeholder.and_then(&value).unwrap_or_default());
    }
    filled
}

/// A text cut at its placeholders: what stands before each, and its name. Braces do not occur in an encoded form.
fn pieces(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split_inclusive('}').map(|piece| {
        let placeholder = piece.strip_suffix('}').and_then(|piece| piece.split_once('{'));
        placeholder.map_or((piece, None), |(literal, name)| (literal, Some(name)))
    })
}

const fn post() -> Method {
    Method::Post
}
