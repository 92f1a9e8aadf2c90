//! Everything Twilio. Pure: bytes in, a verdict or a signal out.
//!
//! A callback's bytes are decoded by [`form`], proved to be Twilio's by [`signature`], and read as a
//! provider-neutral signal by [`signal`]. Nothing outside this room knows a parameter name of Twilio's.

pub mod form;
pub mod signal;
pub mod signature;

/// Where status callbacks of calls and of dialed nouns are sent to.
pub const STATUS_PATH: &str = "/webhooks/twilio/status";
