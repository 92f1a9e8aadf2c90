//! Everything Twilio. Pure: bytes in, a verdict or a signal out.
//!
//! A webhook comes through a [`door`]; its bytes are decoded by [`form`], proved to be Twilio's by [`signature`], and
//! read as provider-neutral signals. What does not verify is explained by [`diagnose`]. Nothing outside this room knows
//! a parameter name of Twilio's.

pub mod alert;
mod amd;
pub mod asked;
pub mod callback_url;
pub mod client;
pub mod diagnose;
mod dial;
pub mod dialing;
pub mod door;
pub mod event_stream;
pub mod form;
pub mod history;
pub mod lint;
pub mod reading;
mod recording;
pub mod region;
pub mod rest;
pub mod sid;
pub mod signal;
pub mod signature;
pub mod twiml;
pub mod verification;

/// Where status callbacks of calls and of dialed nouns are sent to.
pub const STATUS_PATH: &str = "/webhooks/twilio/status";
