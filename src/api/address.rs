//! The address of whoever calls, behind proxies as well.
//!
//! `X-Forwarded-For` is anybody's to write; what it says is believed as far as trusted proxies have added it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use ipnet::IpNet;

/// Where proxies write down from whom they have a request, each at the end.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Returns the address from which a request has come; none without a socket.
#[must_use]
pub fn client_address(parts: &Parts, trusted_proxies: &[IpNet]) -> Option<IpAddr> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip();
    let lines = parts.headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or_default());
    Some(farthest(peer, lines.flat_map(|line| line.split(',')), trusted_proxies))
}

/// Goes from the socket towards the client, for as long as a trusted proxy says where its request has come from.
fn farthest<'a>(peer: IpAddr, said: impl DoubleEndedIterator<Item = &'a str>, trusted_proxies: &[IpNet]) -> IpAddr {
    let mut address = peer.to_canonical();
    for text in said.rev() {
        let is_trusted = trusted_proxies.iter().any(|network| network.contains(&address));
        let Some(before) = text.trim().parse::<IpAddr>().ok().filter(|_| is_trusted) else {
            break;
        };
        address = before.to_canonical();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let check = |peer: &str, said: &str| farthest(peer.parse().unwrap(), said.split(','), &trusted).to_string();
        assert_eq!(check("203.0.113.7", "198.51.100.1"), "203.0.113.7");
        assert_eq!(check("127.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(check("::ffff:127.0.0.1", "198.51.100.1, 10.0.0.2"), "198.51.100.1");
        // What a client writes itself stands before what the proxies add.
        assert_eq!(check("10.0.0.1", "192.0.2.1, 198.51.100.1, 10.0.0.2"), "198.51.100.1");
        assert_eq!(check("10.0.0.1", "192.0.2.1, unknown"), "10.0.0.1");
        assert_eq!(check("10.0.0.1", ""), "10.0.0.1");
        assert_eq!(check("10.0.0.1", "10.0.0.3, 10.0.0.2"), "10.0.0.3");
        assert_eq!(farthest([10, 0, 0, 1].into(), ["192.0.2.1"].into_iter(), &[]), IpAddr::from([10, 0, 0, 1]));
    }
}
