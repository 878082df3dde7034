//! `/etc/resolv.conf` (resolv.conf(5)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// Of more servers or attempts the C library takes no notice either (`MAXNS`, `RES_MAXRETRY`).
const MOST_SERVERS: usize = 3;
const MOST_ATTEMPTS: u32 = 5;
const LONGEST: u64 = 30;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) servers: Vec<Server>,
    search: Vec<String>,
    /// A name with as many dots is asked for as it stands first.
    ndots: usize,
    /// For one question to one server.
    pub(super) timeout: Duration,
    /// How often each server is asked, 1 at least.
    pub(super) attempts: u32,
    /// `use-vc`: by TCP only.
    pub(super) tcp: bool,
    /// `no-aaaa`: IPv4 only.
    pub(super) only_v4: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    address: IpAddr,
    /// The index of a link, for an address of that link (`fe80::1%eth0`).
    scope: u32,
}

impl Server {
    pub(super) fn at_port(self, port: u16) -> SocketAddr {
        match self.address {
            IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, self.scope).into(),
            IpAddr::V4(address) => (address, port).into(),
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let (address, scope) = match word.split_once('%') {
            Some((address, link)) => (address, index_of_link(link)?),
            None => (word, 0),
        };
        let address = address.parse().ok()?;
        Some(Self { address, scope })
    }
}

/// By its number or its name (if_nametoindex(3) reads the same).
fn index_of_link(link: &str) -> Option<u32> {
    let by_name = |link: &str| {
        let plain = !link.contains('/') && !link.starts_with('.');
        let text = plain.then(|| fs::read_to_string(format!("/sys/class/net/{link}/ifindex")));
        text?.ok()?.trim().parse().ok()
    };
    link.parse().ok().or_else(|| by_name(link))
}

impl Settings {
    pub(super) fn parse(text: &str) -> Self {
        let mut settings = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            tcp: false,
            only_v4: false,
        };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => settings
                    .servers
                    .extend(words.next().and_then(Server::parse)),
                // The last of these lines counts.
                Some("search" | "domain") => {
                    settings.search = words.map(|word| word.trim_matches('.').into()).collect();
                    settings.search.retain(|domain: &String| !domain.is_empty());
                }
                Some("options") => words.for_each(|option| settings.set(option)),
                _ => {}
            }
        }
        settings.servers.truncate(MOST_SERVERS);
        if settings.servers.is_empty() {
            let address = Ipv4Addr::LOCALHOST.into();
            settings.servers.push(Server { address, scope: 0 });
        }
        settings
    }

    fn set(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        match (name, value.parse::<u32>()) {
            ("ndots", Ok(dots)) => self.ndots = dots.min(15) as usize,
            ("timeout", Ok(seconds)) => {
                self.timeout = Duration::from_secs(u64::from(seconds).clamp(1, LONGEST));
            }
            ("attempts", Ok(count)) => self.attempts = count.clamp(1, MOST_ATTEMPTS),
            ("use-vc", _) => self.tcp = true,
            ("no-aaaa", _) => self.only_v4 = true,
            _ => {}
        }
    }

    /// The whole names that a name may stand for, in the order to ask for them.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(whole) = host.strip_suffix('.') {
            return vec![whole.into()];
        }
        let longer = self.search.iter().map(|domain| format!("{host}.{domain}"));
        let mut names: Vec<String> = longer.collect();
        let whole_first = host.matches('.').count() >= self.ndots;
        names.insert(if whole_first { 0 } else { names.len() }, host.into());
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_the_c_library_does() {
        let settings = Settings::parse(
            "# comment\nnameserver 10.0.0.2\nnameserver fe80::1%7\nnameserver bad\n; nameserver 10.0.0.9\n\
             domain old.example\nsearch a.example. b.example\n\
             options ndots:2 timeout:1 attempts:9 edns0 use-vc trust-ad\n",
        );
        let servers: Vec<String> = settings
            .servers
            .iter()
            .map(|s| s.at_port(53).to_string())
            .collect();
        assert_eq!(servers, ["10.0.0.2:53", "[fe80::1%7]:53"]);
        assert_eq!(settings.search, ["a.example", "b.example"]);
        assert_eq!(settings.timeout, Duration::from_secs(1));
        assert_eq!(
            (settings.ndots, settings.attempts, settings.tcp),
            (2, 5, true)
        );
    }

    #[test]
    fn without_a_server_this_machine_is_asked() {
        let server = Settings::parse("").servers[0];
        assert_eq!(server.at_port(53).to_string(), "127.0.0.1:53");
    }

    #[test]
    fn dots_tell_which_name_comes_first() {
        let settings = Settings::parse("search a.example b.example\noptions ndots:2\n");
        let names = |host| settings.candidates(host);
        assert_eq!(names("x.y"), ["x.y.a.example", "x.y.b.example", "x.y"]);
        assert_eq!(
            names("x.y.z"),
            ["x.y.z", "x.y.z.a.example", "x.y.z.b.example"]
        );
        assert_eq!(names("x."), ["x"]);
    }
}
