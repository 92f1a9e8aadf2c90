//! Everything Asterisk: its Manager Interface (AMI) as bytes, as a session, and as what it says of calls.
//!
//! Pure but for `client`: `frame` cuts the stream into messages, `session` logs in and matches answers to questions,
//! `correlator` turns the messages of one PBX, in the order of its stream, into signals. How Asterisk really behaves is
//! written down with its sources in `docs/asterisk.md`.

pub mod action;
pub mod address;
pub mod client;
pub mod correlator;
pub mod doctor;
pub mod frame;
pub mod message;
pub mod originate;
pub mod session;
pub mod snapshot;

pub use action::Action;
pub use message::Message;
pub use snapshot::{Channel, Snapshot};

/// The word for Asterisk in the column `provider`.
pub const PROVIDER: &str = "asterisk";
