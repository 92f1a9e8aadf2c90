//! Asterisk, from the bytes of its stream to the calls in the database.

mod expected;
mod faults;
mod replay;
