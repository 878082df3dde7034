//! Where a request goes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ureq::http::Uri;
use ureq::http::uri::PathAndQuery;

/// An address `http://…` or `https://…` with a host, and without a user or a fragment.
///
/// Shown without its query, which is where stores of blobs put signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Uri);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not an address that starts with http:// or https:// and names a host")]
pub struct UrlError(String);

impl Url {
    pub fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// As it was written: of an IPv6 address without the brackets.
    pub fn host(&self) -> &str {
        let host = self.0.host().expect("checked: it has a host");
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host)
    }

    pub fn port(&self) -> u16 {
        let default = if self.is_https() { 443 } else { 80 };
        self.0.port_u16().unwrap_or(default)
    }

    /// Host and port as the header `Host` has them: the port that the scheme implies is left out.
    pub fn authority(&self) -> String {
        let host = self.0.host().expect("checked: it has a host");
        let implied = if self.is_https() { 443 } else { 80 };
        match self.0.port_u16() {
            Some(port) if port != implied => format!("{host}:{port}"),
            _ => host.to_owned(),
        }
    }

    pub fn path(&self) -> &str {
        self.0.path()
    }

    pub fn query(&self) -> Option<&str> {
        self.0.query()
    }

    /// Whether both are the same host by the same scheme and port: credentials for one serve the other.
    pub fn is_same_place(&self, other: &Self) -> bool {
        let place = |url: &Self| (url.is_https(), url.host().to_ascii_lowercase(), url.port());
        place(self) == place(other)
    }

    /// Whether it never leaves this machine, whatever a name server says (RFC 6761, 6.3).
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }

    /// With this path and query in place of its own.
    pub fn at(&self, path_and_query: &str) -> Result<Self, UrlError> {
        let error = || UrlError(shown(path_and_query));
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_str(path_and_query).map_err(|_| error())?);
        Uri::from_parts(parts).map(Self).map_err(|_| error())
    }

    /// With one more pair in its query.
    pub fn with_query(&self, name: &str, value: &str) -> Self {
        let joint = if self.query().is_some() { '&' } else { '?' };
        let whole = self.0.path_and_query().map_or("/", PathAndQuery::as_str);
        let (name, value) = (encode(name), encode(value));
        self.at(&format!("{whole}{joint}{name}={value}"))
            .expect("what is added is of characters that a query may have")
    }

    /// What a `Location` of this address means (RFC 3986, 5.2).
    pub fn join(&self, location: &str) -> Result<Self, UrlError> {
        let location = location.split('#').next().unwrap_or_default();
        // A query may hold an address, and makes none of what is before it.
        let before_query = location.split('?').next().unwrap_or_default();
        if before_query.contains("://") {
            return location.parse();
        }
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.is_https() { "https" } else { "http" };
            return format!("{scheme}://{rest}").parse();
        }
        if location.starts_with('/') {
            return self.at(location);
        }
        if location.starts_with('?') {
            return self.at(&format!("{}{location}", self.path()));
        }
        let folder = self
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        self.at(&format!("{folder}/{location}"))
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }
}

/// `localhost`, what is below it, and the addresses of the loopback.
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// All but letters, digits and `-._~` as `%XX` (RFC 3986, 2.3).
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Without a query and a user, either of which may hold a secret.
fn shown(text: &str) -> String {
    let text = text.split('?').next().unwrap_or_default();
    match text.split_once("://") {
        Some((scheme, rest)) if rest.contains('@') => {
            let place = rest.rsplit_once('@').map_or("", |(_, place)| place);
            format!("{scheme}://…@{place}")
        }
        _ => text.to_owned(),
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let error = || UrlError(shown(text));
        let uri: Uri = text.parse().map_err(|_| error())?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().ok_or_else(error)?;
        // What is before an `@` is a user, or an attempt to look like another host.
        if !known || authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(error());
        }
        // The library takes a port that is none for one that is not given.
        let port = &authority.as_str()[authority.host().len()..];
        let is_port = |text: &str| {
            let is_number = text.bytes().all(|b| b.is_ascii_digit());
            is_number && text.parse::<u16>().is_ok_and(|port| port > 0)
        };
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
            return Err(error());
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https() { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_location_is_taken_from_where_it_was_said() {
        let base = url("https://registry.example/v2/app/blobs/x?y=1");
        for (location, meant) in [
            (
                "https://store.example:8443/a?b=c#d",
                "https://store.example:8443/a?b=c",
            ),
            ("//store.example/a", "https://store.example/a"),
            ("/a/b?c", "https://registry.example/a/b?c"),
            ("?z", "https://registry.example/v2/app/blobs/x?z"),
            ("other", "https://registry.example/v2/app/blobs/other"),
            ("/a?to=http://x/", "https://registry.example/a?to=http://x/"),
        ] {
            assert_eq!(base.join(location).unwrap(), url(meant), "{location}");
        }
        assert!(base.join("ftp://store.example/a").is_err());
    }

    #[test]
    fn what_is_shown_has_no_query() {
        let signed = url("https://store.example/blob?X-Amz-Signature=secret");
        assert_eq!(signed.to_string(), "https://store.example/blob");
        assert_eq!(format!("{signed:?}"), "https://store.example/blob");
        let error = "ftp://x/y?secret".parse::<Url>().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        let error = "https://me:secret@host/".parse::<Url>().unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_user_or_no_host_is_refused() {
        for bad in [
            "",
            "/v2/",
            "registry.example",
            "https://",
            "https://me:pw@host/",
            "file:///etc/passwd",
            "https://host:65536/",
            "https://host:0/",
            "https://host:+1/",
            "https://host:/",
            "https://[::1]:99999/",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_place_is_scheme_host_and_port() {
        assert!(url("https://a.example/x").is_same_place(&url("https://A.example:443/y")));
        assert!(!url("https://a.example/").is_same_place(&url("http://a.example/")));
        assert!(!url("http://localhost:5000/").is_same_place(&url("http://localhost:5001/")));
    }

    #[test]
    fn the_loopback_is_known_by_name_and_number() {
        for host in ["localhost", "LOCALHOST.", "a.localhost", "127.9.8.7", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "128.0.0.1", "::2", "127.0.0.1.example"] {
            assert!(!is_loopback(host), "{host}");
        }
        assert!(url("http://[::1]:5000/v2/").is_loopback());
    }

    #[test]
    fn a_query_is_encoded() {
        let asked =
            url("https://auth.example/token?a=b").with_query("scope", "repository:a/b:pull");
        assert_eq!(asked.query(), Some("a=b&scope=repository%3Aa%2Fb%3Apull"));
    }
}
