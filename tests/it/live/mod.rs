//! Real calls through a real Asterisk, compared with what two real gateways (one on each database) wrote of them.
//!
//! Phones of our own call each other; what they know is the truth. Then plugs are pulled: of the PBX, of the gateways, of
//! the network between them. Each test has a PBX of its own, both gateways hear the same calls, and the scenarios of a
//! test run at once, on phones of their own.

mod calls;
mod dialing;
mod frozen;
mod gateway;
mod killed_gateway;
mod killed_pbx;
mod line;
mod network;
mod outage;
mod pbx;
mod phone;
mod runs;
mod self_check;
mod sip;
mod transfers;
mod truth;
