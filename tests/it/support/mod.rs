//! What the tests stand on.

pub mod asterisk;
pub mod canned;
pub mod database;
pub mod description;
pub mod dump;
pub mod exchange;
pub mod gateway;
pub mod patience;
pub mod pbx;
pub mod stage;
pub mod twilio;
pub mod xml;
