//! Lists of addresses and networks.

use super::kind::Kind;
use ipnet::IpNet;
use std::net::IpAddr;

/// IP addresses and networks in CIDR, with commas between them.
pub(super) struct Networks;

impl Kind for Networks {
    type Value = Vec<IpNet>;

    fn allowed(&self) -> String {
        format!(
            "up to {NETWORKS_MAX} IP addresses and networks with commas between them, such as 10.0.0.0/8, 192.0.2.7"
        )
    }

    fn read(&self, text: &str) -> Result<Vec<IpNet>, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.len() > NETWORKS_MAX {
            return Err(format!("it has {} parts", parts.len()));
        }
        parts.into_iter().map(|part| network(part).ok_or_else(|| format!("{part:?} is neither"))).collect()
    }

    fn unset(&self) -> Option<Vec<IpNet>> {
        Some(Vec::new())
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// More proxies stand behind a network of their own.
const NETWORKS_MAX: usize = 64;
