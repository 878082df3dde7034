//! Which address to try first (RFC 6724, the rules that matter to who connects).

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

/// Those with a route first; of these IPv6 first, unless our own address for it is of a site and the
/// other is not, which seldom leads anywhere. Otherwise the order of the name server stays.
pub(super) fn sort(addresses: &mut [IpAddr]) {
    if addresses.len() > 1 {
        addresses.sort_by_key(|address| rank(*address, source(*address)));
    }
}

/// The address that the kernel would talk to `address` from. Connecting a datagram socket sends nothing.
fn source(address: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = match address {
        IpAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((address, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn rank(address: IpAddr, source: Option<IpAddr>) -> u8 {
    let is_of_site = |ip: Ipv6Addr| ip.is_unique_local() || ip.is_unicast_link_local();
    match (address, source) {
        (_, None) => 3,
        (IpAddr::V6(to), Some(IpAddr::V6(from))) if is_of_site(from) && !is_of_site(to) => 2,
        (IpAddr::V6(_), _) => 0,
        (IpAddr::V4(_), _) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_counts_more_than_a_version() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let global = ip("2001:db8::1");
        assert!(rank(ip("192.0.2.1"), Some(ip("10.0.0.1"))) < rank(global, None));
        assert!(
            rank(global, Some(ip("2001:db8::2"))) < rank(ip("192.0.2.1"), Some(ip("10.0.0.1")))
        );
        assert!(rank(ip("192.0.2.1"), Some(ip("10.0.0.1"))) < rank(global, Some(ip("fd00::2"))));
        assert!(
            rank(ip("fd00::1"), Some(ip("fd00::2"))) < rank(ip("192.0.2.1"), Some(ip("10.0.0.1")))
        );
    }
}
