//! The correlator against every capture of a real Asterisk.

mod listed;
mod met;
mod order;
mod replay;
mod restart;
mod script;
mod table;
mod told;
