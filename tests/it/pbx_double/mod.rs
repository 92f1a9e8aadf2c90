//! The scripted Asterisk, heard by a plain reader of AMI that knows nothing of the gateway's.

mod order;
mod originate;
mod peer;
mod protocol;
mod tapes;
