//! `onhook ami`: an Asterisk as it is seen from here, without taking it from the servers that listen to it.

mod conf;
mod doctor;
mod examine;
mod known;
mod shown;
mod tail;

pub(super) use doctor::examine_all;
pub(super) use known::{option_of, read_ca};

use super::{desk::Desk, exit::Exit};
use anyhow::Result;
use clap::Subcommand;

/// Look at an Asterisk: its rights and settings, and what it says of calls
///
/// Each connects by itself, reads only, and leaves the lease to the servers: it can be run beside them at any time.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  onhook ami manager-conf --from 10.0.0.7
  onhook ami doctor pbx1
  onhook ami tail pbx1")]
pub enum Ami {
    Doctor(doctor::Doctor),
    #[command(name = "manager-conf")]
    ManagerConf(conf::ManagerConf),
    Tail(tail::Tail),
}

impl Ami {
    /// Does it.
    pub async fn run(self, mut desk: Desk) -> Result<Exit> {
        match self {
            Self::Doctor(doctor) => doctor.run(&mut desk).await,
            Self::ManagerConf(conf) => conf.run(&mut desk),
            Self::Tail(tail) => tail.run(&mut desk).await,
        }
    }
}
