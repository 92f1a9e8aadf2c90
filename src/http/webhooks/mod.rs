//! What providers send: Twilio signs, Asterisk's pushes come with a key.

pub(super) mod ami;
pub(super) mod twilio;
