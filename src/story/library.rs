//! The stories that every onhook carries with it.

use super::{Story, StoryError};

/// The stories of `fixtures/stories`, in the order in which they are best told.
pub fn embedded() -> Result<Vec<Story>, StoryError> {
    STORIES.iter().map(|(name, text)| Story::parse(name, text)).collect()
}

macro_rules! stories {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../fixtures/stories/", $name, "/story.toml")))),+]
    };
}

const STORIES: &[(&str, &str)] = stories![
    "answered",
    "busy",
    "no-answer",
    "failed",
    "canceled",
    "completed-only",
    "dialed-child",
    "ringing-skipped",
    "out-of-order",
    "duplicated",
    "completed-before-ringing",
    "two-calls-one-lead",
    "machine-answered",
    "agent-without-customer",
    "no-lead",
    "unknown-status",
    "get-callback",
    "dialed-with-action",
    "missed-although-completed",
    "simultaneous-ring",
    "inbound-parent",
    "child-before-parent",
    "recording-after-end",
    "machine-found-later",
    "two-endings",
    "a-day-late",
    "told-twice",
    "lost-completion",
    "lost-and-reported",
];
