//! Proxies by the environment, as curl, Docker and the libraries of Go take them.
//!
//! `HTTPS_PROXY` and `HTTP_PROXY` (or in lower case) name one for each scheme; `NO_PROXY` lists what is
//! reached without: `*`, hosts with all below them, addresses and networks, each with a port or not.
//! This machine is always reached without.

use std::fmt;
use std::net::IpAddr;

use super::{Cause, Url};

#[derive(Clone, Default)]
pub struct Proxies {
    https: Option<(&'static str, String)>,
    http: Option<(&'static str, String)>,
    exceptions: Vec<Exception>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    All,
    /// The host itself unless `below` is set, and what is below it.
    Host {
        name: String,
        below: bool,
        port: Option<u16>,
    },
    Network {
        address: IpAddr,
        bits: u8,
        port: Option<u16>,
    },
}

impl Proxies {
    pub fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// `get` knows the variables.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| {
            let mut set = names
                .into_iter()
                .filter_map(|name| Some((name, get(name)?)));
            set.find(|(_, value)| !value.is_empty())
        };
        let exceptions = first(["NO_PROXY", "no_proxy"]).map_or(String::new(), |(_, list)| list);
        Self {
            https: first(["HTTPS_PROXY", "https_proxy"]),
            // A CGI program's HTTP_PROXY is the header `Proxy` of whoever calls it (CVE-2016-5388).
            http: match get("REQUEST_METHOD") {
                Some(_) => first(["http_proxy", "http_proxy"]),
                None => first(["HTTP_PROXY", "http_proxy"]),
            },
            exceptions: exceptions.split([',', ' ']).filter_map(exception).collect(),
        }
    }

    /// The proxy to reach `url` by, as the library has it.
    pub(super) fn of(&self, url: &Url) -> Result<Option<ureq::Proxy>, Cause> {
        let proxy = if url.is_https() {
            &self.https
        } else {
            &self.http
        };
        let Some((variable, address)) = proxy else {
            return Ok(None);
        };
        if url.is_loopback() || self.exceptions.iter().any(|except| except.holds(url)) {
            return Ok(None);
        }
        let error = |why: &str| Cause::Proxy {
            variable,
            why: why.into(),
        };
        let whole = match address.split_once("://") {
            Some(("http" | "https", _)) => address.clone(),
            Some((scheme, _)) => {
                return Err(error(&format!(
                    "a proxy of the kind {scheme}:// is not supported"
                )));
            }
            None => format!("http://{address}"),
        };
        // Its text may hold a password.
        let proxy = ureq::Proxy::new(&whole).map_err(|_| error("not the address of a proxy"))?;
        Ok(Some(proxy))
    }
}

fn exception(word: &str) -> Option<Exception> {
    let word = word.trim().to_ascii_lowercase();
    if word == "*" {
        return Some(Exception::All);
    }
    if let Some((address, bits)) = word.split_once('/') {
        let (address, bits) = (address.parse().ok()?, bits.parse().ok()?);
        return Some(Exception::Network {
            address,
            bits,
            port: None,
        });
    }
    let (host, port) = split_port(&word);
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        return Some(Exception::Network {
            address,
            bits: 128,
            port,
        });
    }
    let bare = host.trim_start_matches('*');
    let name = bare.trim_start_matches('.').to_owned();
    (!name.is_empty()).then(|| Exception::Host {
        below: bare.starts_with('.'),
        name,
        port,
    })
}

/// Host and port of `host`, `host:port`, `[v6]:port` or a bare IPv6 address.
fn split_port(word: &str) -> (&str, Option<u16>) {
    match word.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok())
        }
        _ => (word, None),
    }
}

impl Exception {
    fn holds(&self, url: &Url) -> bool {
        let fits = |port: &Option<u16>| port.is_none_or(|port| port == url.port());
        let host = url.host().trim_end_matches('.').to_ascii_lowercase();
        match self {
            Self::All => true,
            Self::Host { name, below, port } => {
                let is_below = host
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.ends_with('.'));
                fits(port) && (is_below || (!below && host == *name))
            }
            Self::Network {
                address,
                bits,
                port,
            } => fits(port) && host.parse().is_ok_and(|ip| is_in(ip, *address, *bits)),
        }
    }
}

fn is_in(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let differing = u32::from(ip) ^ u32::from(network);
            differing.leading_zeros() >= u32::from(bits.min(32))
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let differing = u128::from(ip) ^ u128::from(network);
            differing.leading_zeros() >= u32::from(bits.min(128))
        }
        _ => false,
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [&self.https, &self.http].map(|proxy| proxy.as_ref().map(|(name, _)| name));
        write!(f, "Proxies({names:?}, {:?})", self.exceptions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::from_variables(|name| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn host_of_proxy(proxies: &Proxies, url: &str) -> Option<String> {
        let proxy = proxies.of(&url.parse().unwrap()).unwrap();
        proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
    }

    #[test]
    fn each_scheme_has_its_own() {
        let proxies = proxies(&[
            ("https_proxy", "http://u:p@secure.example:3128"),
            ("HTTP_PROXY", "plain.example:8080"),
        ]);
        let of = |url| host_of_proxy(&proxies, url);
        assert_eq!(of("https://a.example/").unwrap(), "secure.example:3128");
        assert_eq!(of("http://a.example/").unwrap(), "plain.example:8080");
        for own in [
            "http://localhost:5000/",
            "http://127.0.0.2/",
            "http://[::1]:1/",
        ] {
            assert_eq!(of(own), None, "{own}");
        }
        assert!(!format!("{proxies:?}").contains("u:p"));
    }

    #[test]
    fn exceptions_are_hosts_and_networks() {
        let list = "corp.example, .only-below.example,*.star.example,10.0.0.0/8,192.0.2.7,ported.example:5000,fd00::/8";
        let proxies = proxies(&[("HTTPS_PROXY", "p.example:1"), ("NO_PROXY", list)]);
        let is_direct = |url: &str| host_of_proxy(&proxies, url).is_none();
        for direct in [
            "https://corp.example/",
            "https://a.CORP.example/",
            "https://a.only-below.example/",
            "https://a.star.example/",
            "https://10.1.2.3/",
            "https://192.0.2.7:5000/",
            "https://ported.example:5000/",
            "https://[fd00::1]/",
        ] {
            assert!(is_direct(direct), "{direct}");
        }
        for proxied in [
            "https://notcorp.example/",
            "https://only-below.example/",
            "https://star.example/",
            "https://11.0.0.1/",
            "https://ported.example/",
            "https://[fc00::1]/",
        ] {
            assert!(!is_direct(proxied), "{proxied}");
        }
        let none = super::tests::proxies(&[("HTTPS_PROXY", "p.example:1"), ("no_proxy", "*")]);
        assert_eq!(host_of_proxy(&none, "https://a.example/"), None);
    }

    #[test]
    fn a_kind_that_is_not_known_is_refused_by_its_variable() {
        let proxies = proxies(&[("HTTPS_PROXY", "socks5://me:secret@p.example:1080")]);
        let error = proxies
            .of(&"https://a.example/".parse().unwrap())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "HTTPS_PROXY: a proxy of the kind socks5:// is not supported"
        );
    }
}
