//! Where a request came from, for logs and for what is kept of refused deliveries. Never for signatures or URLs.

use actix_web::HttpRequest;
use ipnet::IpNet;
use std::net::IpAddr;

/// The address of the client: the peer, or, behind proxies that are trusted, the last address in `X-Forwarded-For` that
/// is none of theirs. What stands before it anybody could have written.
pub(super) fn address(request: &HttpRequest, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let headers = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    let forwarded: Vec<&str> = headers.flat_map(|value| value.split(',')).map(str::trim).collect();
    Some(believed(peer, &forwarded, trusted))
}

fn believed(peer: IpAddr, forwarded: &[&str], trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    for hop in forwarded.iter().rev().take(HOPS_MAX) {
        if !is_trusted(&client) {
            break;
        }
        let Ok(before) = hop.parse::<IpAddr>() else { break };
        client = before.to_canonical();
    }
    client
}

/// Longer chains of proxies are made up.
const HOPS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        believed(peer.parse().unwrap(), forwarded, &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client("192.0.2.1", &["198.51.100.9"]), "192.0.2.1");
        assert_eq!(client("192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn a_proxy_is_believed_for_what_it_added() {
        assert_eq!(client("10.0.0.1", &["198.51.100.9"]), "198.51.100.9");
        assert_eq!(client("10.0.0.1", &["203.0.113.1", "198.51.100.9"]), "198.51.100.9", "the first one is made up");
        assert_eq!(client("10.0.0.1", &["203.0.113.1", "198.51.100.9", "10.9.9.9"]), "198.51.100.9");
        assert_eq!(client("2001:db8::1", &["2001:4860::1"]), "2001:4860::1");
    }

    #[test]
    fn what_is_no_address_ends_the_chain() {
        assert_eq!(client("10.0.0.1", &["198.51.100.9", "unknown", "10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &["", "::ffff:198.51.100.9"]), "198.51.100.9");
        assert_eq!(client("10.0.0.1", &["10.0.0.3"]), "10.0.0.3", "nobody but proxies");
    }
}
