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
    let lines = parts.headers.get_all(FORWARDED_FOR).iter();
    // Each proxy adds to the end of what may be anything: one word that can not be read must not hide those behind it.
    let said = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(address_in));
    Some(farthest(peer, said, trusted_proxies))
}

/// Reads an address as proxies write it: plain, or with the port of the connection.
fn address_in(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let plain = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    plain.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// Goes from the socket towards the client, for as long as a trusted proxy says where its request has come from.
fn farthest(peer: IpAddr, said: impl DoubleEndedIterator<Item = Option<IpAddr>>, trusted_proxies: &[IpNet]) -> IpAddr {
    let mut address = peer.to_canonical();
    for before in said.rev() {
        let is_trusted = trusted_proxies.iter().any(|network| network.contains(&address));
        let Some(before) = before.filter(|_| is_trusted) else {
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
        let check = |peer: &str, said: &str| {
            farthest(peer.parse().unwrap(), said.split(',').map(|text| address_in(text.as_bytes())), &trusted)
                .to_string()
        };
        assert_eq!(check("203.0.113.7", "198.51.100.1"), "203.0.113.7");
        assert_eq!(check("127.0.0.1", "198.51.100.1"), "198.51.100.1");
        assert_eq!(check("::ffff:127.0.0.1", "198.51.100.1, 10.0.0.2"), "198.51.100.1");
        // What a client writes itself stands before what the proxies add.
        assert_eq!(check("10.0.0.1", "192.0.2.1, 198.51.100.1, 10.0.0.2"), "198.51.100.1");
        assert_eq!(check("10.0.0.1", "192.0.2.1, unknown"), "10.0.0.1");
        assert_eq!(check("10.0.0.1", ""), "10.0.0.1");
        assert_eq!(check("10.0.0.1", "10.0.0.3, 10.0.0.2"), "10.0.0.3");
        let said = [Some(IpAddr::from([192, 0, 2, 1]))].into_iter();
        assert_eq!(farthest([10, 0, 0, 1].into(), said, &[]), IpAddr::from([10, 0, 0, 1]));
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        let read = |text: &[u8]| address_in(text).map(|ip| ip.to_string());
        assert_eq!(read(b" 198.51.100.1:4711 ").as_deref(), Some("198.51.100.1"));
        assert_eq!(read(b"[2001:db8::1]:443").as_deref(), Some("2001:db8::1"));
        assert_eq!(read(b"[2001:db8::1]").as_deref(), Some("2001:db8::1"));
        assert_eq!(read(b"2001:db8::1").as_deref(), Some("2001:db8::1"));
        for bad in [&b""[..], b"unknown", b"\xe9", b"198.51.100.1:", b"198.51.100.1:99999", b"[198.51.100.1"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_can_not_be_read_does_not_hide_what_a_proxy_adds() {
        let mut request = axum::http::Request::new(());
        let said = axum::http::HeaderValue::from_bytes(b"\xe9, 198.51.100.1").unwrap();
        request.headers_mut().insert(FORWARDED_FOR, said);
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4711))));
        let trusted = ["127.0.0.0/8".parse().unwrap()];
        let address = client_address(&request.into_parts().0, &trusted);
        assert_eq!(address, Some(IpAddr::from([198, 51, 100, 1])));
    }
}
