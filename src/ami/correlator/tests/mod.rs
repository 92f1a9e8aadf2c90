//! The correlator against every capture of a real Asterisk.

mod replay;
mod table;
