//! The room's only IO: keeps two connections to a PBX, one that listens and one that asks.
//!
//! What is heard comes out of one bounded queue, in the order of the stream. The reader never waits for whoever takes it
//! out: when the queue is full the connection is dropped, and what was missed is learned from the next channel list.

use super::{Message, Snapshot, correlator::Heard};
use crate::domain::{time::Millis, words};
use secrecy::SecretString;

/// Where a PBX is and who we are there.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// 5038, or 5039 with TLS.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The user of `manager.conf`.
    pub user: String,
    /// Its secret.
    pub secret: SecretString,
    /// Certificates (PEM) to check its TLS with, in place of the system's.
    pub ca_pem: Option<String>,
}

/// What comes out of the queue.
#[derive(Clone, Debug)]
pub enum Told {
    /// Connected and logged in; the channel list was asked for and follows as [`Told::Listed`].
    Up(Up),
    /// A message of the world (answers to our questions do not come here).
    Message(Message, Heard),
    /// A complete channel list, at the place in the stream where its last line stood.
    Listed(Snapshot),
    /// The connection is gone; it is tried again.
    Down(Down),
}

/// A new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// When the login was accepted.
    pub login_ms: Millis,
    /// The version of the protocol, from the banner.
    pub ami_version: String,
    /// The version of Asterisk, if it says.
    pub version: Option<String>,
    /// Its `systemname`, if it has one.
    pub system_name: Option<String>,
    /// When it began to run, to a second or two.
    pub boot_ms: Option<Millis>,
    /// Its clock ahead of ours, if it says; under a second counts as none.
    pub clock_ahead_ms: Millis,
}

/// A connection that ended, or was never made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// Why.
    pub kind: DownKind,
    /// The same in a sentence without secrets; completes "failed to …".
    pub detail: String,
    /// The last byte that was heard on it.
    pub heard_ms: Option<Millis>,
    /// When it is tried again.
    pub retry_ms: Millis,
}

words! {
    /// Why there is no connection.
    pub enum DownKind {
        /// Nobody answers at that address, or its name is not known.
        Unreachable = "unreachable",
        /// It does not take our user or secret, or not from our address.
        Refused = "refused",
        /// TLS could not be agreed on, or its certificate is not trusted.
        Tls = "tls",
        /// It closed the connection.
        Closed = "closed",
        /// It did not answer a ping in time.
        Silent = "silent",
        /// It sent what is no AMI, or more than the limits allow.
        Garbage = "garbage",
        /// We fell behind its stream.
        Behind = "behind",
        /// We are stopping, or somebody else holds the PBX now.
        Stopped = "stopped",
    }
}
