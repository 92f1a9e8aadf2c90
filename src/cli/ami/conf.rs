//! `onhook ami manager-conf`: the user that Asterisk should have for us.

use crate::{
    ami::{
        address,
        doctor::conf::{HINTS, Site, manager_conf},
    },
    cli::{desk::Desk, exit::Exit},
    directory::pbx::Line,
};
use anyhow::Result;
use clap::Args;
use ipnet::IpNet;
use rand::{RngExt, distr::Alphanumeric, rngs::StdRng};
use serde_json::json;
use std::{
    net::{IpAddr, UdpSocket},
    str::FromStr,
};

/// Print the manager.conf that a PBX should have: least rights, event times, and a secret that was just drawn
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  onhook ami manager-conf --from 10.0.0.7
  onhook ami manager-conf --from 10.0.0.7 --plain --user onhook2")]
pub struct ManagerConf {
    /// The user
    #[arg(long, value_name = "NAME", default_value = "onhook", value_parser = user)]
    user: String,
    /// From where the gateway connects: its address, or its network
    #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.7", value_parser = network)]
    from: String,
    /// Without TLS: for a PBX on the same machine or in a tunnel
    #[arg(long)]
    plain: bool,
}

impl ManagerConf {
    pub(super) fn run(self, desk: &mut Desk) -> Result<Exit> {
        let secret = secret(&mut desk.rng);
        let site = Site { user: &self.user, secret: &secret, gateway: &self.from, tls: !self.plain };
        let conf = format!("{}\n{HINTS}", manager_conf(&site));
        desk.out.show(&json!({ "manager_conf": conf, "user": self.user, "secret": secret }), || conf.clone())?;
        Ok(Exit::Ok)
    }
}

/// What should be there for a PBX that is reached so. The secret in it is a new one: pasted as it is, it shows nothing of
/// the old one.
pub(super) fn for_line(line: &Line, rng: &mut StdRng) -> String {
    let gateway = our_address(line).map_or_else(|| "192.0.2.7".to_owned(), |address| address.to_string());
    let secret = secret(rng);
    let site = Site { user: &line.user, secret: &secret, gateway: &gateway, tls: line.address.tls };
    format!("{}\n{HINTS}", manager_conf(&site))
}

/// From where the PBX sees us, unless something in between changes it. Nothing is sent.
fn our_address(line: &Line) -> Option<IpAddr> {
    let any = if line.address.host.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((line.address.host.as_str(), line.address.port)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn secret(rng: &mut StdRng) -> String {
    rng.sample_iter(Alphanumeric).take(SECRET_CHARS).map(char::from).collect()
}

fn user(text: &str) -> Result<String, String> {
    address::check_user(text).map(|()| text.to_owned()).map_err(|allowed| format!("{allowed} is allowed"))
}

fn network(text: &str) -> Result<String, String> {
    let is_network = IpAddr::from_str(text).is_ok() || IpNet::from_str(text).is_ok();
    if is_network {
        Ok(text.to_owned())
    } else {
        Err("an address such as 10.0.0.7, or a network such as 10.0.0.0/8".to_owned())
    }
}

/// 190 bits.
const SECRET_CHARS: usize = 32;
