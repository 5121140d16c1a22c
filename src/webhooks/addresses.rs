//! Which addresses of the network a tenant may have us connect to: those of the public internet.
//!
//! Judges addresses, never names: a name says one thing when it is checked and another when it is used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Host;

/// Networks of IPv4 that are nobody's or somebody's own, each with the bits that name it (IANA special-purpose registry).
const PRIVATE_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// The part of IPv6 that is given out to the public.
const PUBLIC_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What of it is not: protocols of its own, Teredo among them, documentation, and 6to4, which hides an IPv4 address.
const PRIVATE_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Tells whether a connection to an address may be made; to this machine itself only where that is opened.
///
/// An IPv4 address in the clothes of an IPv6 one is refused, whatever it is.
#[must_use]
pub fn is_allowed(address: IpAddr, allows_loopback: bool) -> bool {
    if allows_loopback && address.is_loopback() {
        return true;
    }
    match address {
        IpAddr::V4(address) => !PRIVATE_V4.iter().any(|net| is_in_v4(address, *net)),
        IpAddr::V6(address) => is_in_v6(address, PUBLIC_V6) && !PRIVATE_V6.iter().any(|net| is_in_v6(address, *net)),
    }
}

/// Tells whether a host that is written as an address may be connected to; a name may, until it is resolved.
#[must_use]
pub fn may_be_allowed(host: &Host<&str>, allows_loopback: bool) -> bool {
    match host {
        Host::Ipv4(address) => is_allowed(IpAddr::V4(*address), allows_loopback),
        Host::Ipv6(address) => is_allowed(IpAddr::V6(*address), allows_loopback),
        Host::Domain(_) => true,
    }
}

fn is_in_v4(address: Ipv4Addr, (net, n_bits): (Ipv4Addr, u32)) -> bool {
    (address.to_bits() ^ net.to_bits()) >> (32 - n_bits) == 0
}

fn is_in_v6(address: Ipv6Addr, (net, n_bits): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ net.to_bits()) >> (128 - n_bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> bool {
        is_allowed(text.parse().unwrap(), false)
    }

    #[test]
    fn public_addresses_are_allowed() {
        for address in ["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255"] {
            assert!(allowed(address), "{address}");
        }
        for address in ["172.32.0.0", "192.167.255.255", "223.255.255.255", "2606:4700::1111", "2a00:1450::8a"] {
            assert!(allowed(address), "{address}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let v4 = [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ];
        let v6 = [
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in v4.into_iter().chain(v6) {
            assert!(!allowed(address), "{address}");
        }
    }

    #[test]
    fn only_this_machine_is_opened() {
        let opened = |text: &str| is_allowed(text.parse().unwrap(), true);
        assert!(opened("127.0.0.1") && opened("127.1.2.3") && opened("::1") && opened("1.1.1.1"));
        assert!(!opened("10.0.0.1") && !opened("169.254.169.254") && !opened("::ffff:127.0.0.1"));
    }

    #[test]
    fn odd_spellings_are_the_address() {
        let host = |text: &str| url::Url::parse(text).unwrap().host_str().unwrap().to_owned();
        for spelling in ["https://0x7f.1/", "https://2130706433/", "https://0177.0.0.1/", "https://127.1/"] {
            assert_eq!(host(spelling), "127.0.0.1");
            let url = url::Url::parse(spelling).unwrap();
            assert!(!may_be_allowed(&url.host().unwrap(), false), "{spelling}");
        }
    }
}
