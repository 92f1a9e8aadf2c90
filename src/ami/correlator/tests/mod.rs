//! The correlator against every capture of a real Asterisk.

mod listed;
mod met;
mod order;
mod placed;
mod replay;
mod restart;
mod script;
mod table;
mod told;
