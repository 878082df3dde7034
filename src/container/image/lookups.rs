//! Names that a container without a network has asked for.

use std::fs::File;
use std::io::{Read, Seek};

/// The counters of a container's network, which stay readable when its processes are gone.
#[derive(Debug)]
pub(in crate::container) struct Lookups(File);

impl Lookups {
    /// Of the network that process `pid` is in; `None` where it cannot be read any more.
    pub(in crate::container) fn of(pid: i32) -> Option<Self> {
        File::open(format!("/proc/{pid}/net/snmp")).ok().map(Self)
    }

    /// Whether somebody in there has sent a datagram to a port where nobody listens: where resolv.conf names
    /// no server, libc asks the machine itself (resolv.conf(5)).
    pub(in crate::container) fn were_lost(&mut self) -> bool {
        let mut text = String::new();
        let read = self
            .0
            .rewind()
            .and_then(|()| self.0.read_to_string(&mut text));
        read.is_ok() && no_ports(&text).is_some_and(|count| count > 0)
    }
}

/// `NoPorts` of UDP (`/proc/net/snmp`: a line of names and one of numbers for each protocol).
fn no_ports(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let at = names.split(' ').position(|name| name == "NoPorts")?;
    numbers.split(' ').nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stands_below_its_name() {
        let text = "Tcp: A NoPorts\nTcp: 1 2\nUdp: InDatagrams NoPorts InErrors\nUdp: 5 7 0\n";
        assert_eq!(no_ports(text), Some(7));
        assert_eq!(no_ports("Udp: InDatagrams\nUdp: 5\n"), None);
        assert_eq!(no_ports(""), None);
    }
}
