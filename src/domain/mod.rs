//! What a call is and how it ends. Pure: no IO, no async, no clock, no randomness.
//!
//! `signal` says what can be told to a call, `call` decides what that means, `lead` reads contacts
//! from conversations, `deadline` says when to look again, `effect` what the outside is owed.

pub mod call;
pub mod deadline;
pub mod effect;
pub mod ending;
pub mod id;
pub mod lead;
pub mod phone;
pub mod refusal;
mod register;
pub mod retry;
pub mod run;
pub mod signal;
pub mod state;
pub mod tariff;
pub mod time;
mod words;

pub(crate) use words::words;
