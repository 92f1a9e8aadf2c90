//! The correlator against every capture of a real Asterisk.

mod order;
mod replay;
mod restart;
mod table;
