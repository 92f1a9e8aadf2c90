//! The Twilio room: forms, signatures, status callbacks, and the stories told in them.

mod client;
mod create;
mod diagnose;
mod dialing;
mod doors;
mod form;
mod hang_up;
mod lint;
mod oracle;
mod signal;
mod signature;
mod stories;
mod twiml;

use onhook::twilio::form::Form;

/// A form that is known to be one.
fn form(encoded: &str) -> Form {
    Form::parse(encoded.as_bytes()).unwrap()
}
