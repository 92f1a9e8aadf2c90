//! What the tests stand on.

pub mod asterisk;
pub mod canned;
pub mod database;
pub mod description;
pub mod dump;
pub mod gateway;
pub mod stage;
pub mod twilio;
pub mod xml;
