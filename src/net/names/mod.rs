//! Names of hosts: numbers, `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
//!
//! What glibc's getaddrinfo does with `hosts: files dns`, without its libraries. Both files are read at
//! each look-up, since both may have changed: a laptop that moved, a network that came up.

mod exchange;
mod hosts;
mod message;
mod order;
mod settings;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use exchange::Failure;
use message::Answer;
use settings::Settings;

/// Of more addresses only the first are tried.
const MOST_ADDRESSES: usize = 16;

#[derive(Debug, Clone)]
pub struct Names {
    hosts: PathBuf,
    settings: PathBuf,
    /// Where name servers listen: 53, but in tests.
    port: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("look up {host}: it is longer than a name can be, or has an empty part")]
    Malformed { host: String },
    #[error("look up {host}: no such name, says {server}")]
    Unknown { host: String, server: SocketAddr },
    #[error("look up {host}: it has no address, says {server}")]
    NoAddress { host: String, server: SocketAddr },
    #[error("look up {host}: {}", told(.failures))]
    NoAnswer {
        host: String,
        /// What came of each server, the last time that it was asked.
        failures: Vec<(SocketAddr, Failure)>,
    },
    #[error("look up {host}: read {}: {cause}", path.display())]
    Read {
        host: String,
        path: PathBuf,
        cause: io::Error,
    },
}

fn told(failures: &[(SocketAddr, Failure)]) -> String {
    let each = failures
        .iter()
        .map(|(server, why)| format!("name server {server}: {why}"));
    each.collect::<Vec<_>>().join("; ")
}

impl Error {
    /// Whether asking again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NoAnswer { .. })
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            hosts: "/etc/hosts".into(),
            settings: "/etc/resolv.conf".into(),
            port: 53,
        }
    }
}

impl Names {
    /// With files elsewhere, and name servers that listen at another port.
    pub fn from_files(hosts: impl Into<PathBuf>, settings: impl Into<PathBuf>, port: u16) -> Self {
        let (hosts, settings) = (hosts.into(), settings.into());
        Self {
            hosts,
            settings,
            port,
        }
    }

    /// The addresses of a host, one at least, the one to try first at the head.
    pub fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        if let Some(fixed) = fixed(host) {
            return Ok(fixed);
        }
        let listed = self.read(host, &self.hosts)?;
        let mut found = hosts::find(&listed, host);
        if found.is_empty() {
            let settings = Settings::parse(&self.read(host, &self.settings)?);
            found = self.ask(host, &settings)?;
        }
        order::sort(&mut found);
        found.truncate(MOST_ADDRESSES);
        Ok(found)
    }

    /// A file that is not there says nothing.
    fn read(&self, host: &str, path: &PathBuf) -> Result<String, Error> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(cause) => Err(Error::Read {
                host: host.into(),
                path: path.clone(),
                cause,
            }),
        }
    }

    /// Asks for each name that `host` may be short for, until one has an address. What the first name
    /// that was answered for lacks is told, since it is the one that was meant most likely.
    fn ask(&self, host: &str, settings: &Settings) -> Result<Vec<IpAddr>, Error> {
        let mut negative = None;
        for name in settings.candidates(host) {
            if !message::is_valid(&name) {
                continue;
            }
            let (server, answer) = self.ask_servers(host, &name, settings)?;
            let host = host.to_owned();
            let error = match answer {
                Answer::Addresses(addresses) => return Ok(addresses),
                Answer::NoAddress => Error::NoAddress { host, server },
                Answer::Unknown => Error::Unknown { host, server },
            };
            negative.get_or_insert(error);
        }
        Err(negative.unwrap_or_else(|| Error::Malformed { host: host.into() }))
    }

    /// Each server in turn, as many times as the settings say (resolv.conf(5), `attempts`).
    fn ask_servers(
        &self,
        host: &str,
        name: &str,
        settings: &Settings,
    ) -> Result<(SocketAddr, Answer), Error> {
        let servers: Vec<SocketAddr> = settings
            .servers
            .iter()
            .map(|server| server.at_port(self.port))
            .collect();
        let mut failures = Vec::new();
        for _ in 0..settings.attempts {
            failures.clear();
            for server in &servers {
                let deadline = Instant::now() + settings.timeout;
                match exchange::ask(*server, name, settings, deadline) {
                    Ok(answer) => return Ok((*server, answer)),
                    Err(failure) => failures.push((*server, failure)),
                }
            }
        }
        Err(Error::NoAnswer {
            host: host.into(),
            failures,
        })
    }
}

/// What no server has a say in: numbers, and this machine (RFC 6761, 6.3).
fn fixed(host: &str) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Some(vec![address]);
    }
    super::url::is_loopback(host).then(|| {
        vec![
            std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::Ipv6Addr::LOCALHOST.into(),
        ]
    })
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // Of a proxy it may have a user, so it need not be an address as ours are.
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let implied = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(implied);
        let found = self.look_up(host);
        let found = found.map_err(|error| ureq::Error::Other(Box::new(error)))?;
        let mut addresses = self.empty();
        for address in found {
            addresses.push(SocketAddr::new(address, port));
        }
        Ok(addresses)
    }
}
