//! The Twilio double is what Twilio is, as far as Twilio says what it is.

mod callbacks;
mod conversation;
mod placing;
mod rest;
mod sdk;
mod twiml;
