//! What providers send. No key: the signature is the key.

pub(super) mod twilio;
