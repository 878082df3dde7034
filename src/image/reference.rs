//! References: what an image is called at a registry.

use std::fmt;

use super::Digest;
use super::digest::DigestError;

/// The registry of a reference that names none.
const DEFAULT_DOMAIN: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";

/// No name is longer, without tag and digest (distribution/reference, `NameTotalLengthMax`).
const LONGEST: usize = 255;
const LONGEST_TAG: usize = 128;

/// `docker.io/library/debian:12`, complete: what a user leaves out is filled in as Docker does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    domain: String,
    path: String,
    /// There where there is no digest.
    tag: Option<String>,
    digest: Option<Digest>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("the name of an image is empty")]
    Empty,
    #[error("{name:?}: the name of a repository is in lower case")]
    UpperCase { name: String },
    #[error("{name:?}: {host:?} is no registry: a host name or an address, and perhaps a port")]
    Host { name: String, host: String },
    #[error(
        "{name:?}: {part:?} is no part of the name of a repository: letters and digits, joined by '.', \
         '_', '__' or '-'"
    )]
    Part { name: String, part: String },
    #[error(
        "{name:?}: {tag:?} is no tag: letters, digits, '_', '.' and '-', {LONGEST_TAG} at most"
    )]
    Tag { name: String, tag: String },
    #[error("{name:?}: {cause}")]
    Digest { name: String, cause: DigestError },
    #[error("{name:?}: a repository's name has {LONGEST} letters at most")]
    Long { name: String },
    #[error("{name:?} is the name of a blob, not of a repository")]
    Hex { name: String },
}

impl Reference {
    /// Reads what users write, by the rules of distribution/reference's `ParseNormalizedNamed`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let name = || text.to_owned();
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::Hex { name: name() });
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|cause| Error::Digest {
                    name: name(),
                    cause,
                })?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (domain, rest) = split_domain(rest);
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            let tag = tag.into();
            return Err(Error::Tag { name: name(), tag });
        }
        let domain = match domain {
            None | Some("index.docker.io" | DEFAULT_DOMAIN) => DEFAULT_DOMAIN,
            Some(host) if is_host(host) => host,
            Some(host) => {
                let host = host.into();
                return Err(Error::Host { name: name(), host });
            }
        };
        let path = match domain == DEFAULT_DOMAIN && !path.contains('/') {
            true => format!("library/{path}"),
            false => path.into(),
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(Error::UpperCase { name: name() });
        }
        if let Some(part) = path.split('/').find(|part| !is_part(part)) {
            let part = part.into();
            return Err(Error::Part { name: name(), part });
        }
        if domain.len() + 1 + path.len() > LONGEST {
            return Err(Error::Long { name: name() });
        }
        let default = || digest.is_none().then_some(DEFAULT_TAG);
        Ok(Self {
            domain: domain.into(),
            path,
            tag: tag.or_else(default).map(String::from),
            digest,
        })
    }

    /// The registry: a host, and a port where one was given.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository at its registry: `library/debian`.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The repository alone, complete: `docker.io/library/debian`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// The first part is a registry if nothing else could look like it: it has a dot, a port, or is localhost.
fn split_domain(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (Some(first), rest)
        }
        _ => (None, text),
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    if port.is_some_and(|port| port.is_empty() || port.parse::<u16>().is_err()) {
        return false;
    }
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(is_label)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_part(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |text: &str| {
        matches!(text, "." | "_" | "__") || (!text.is_empty() && text.bytes().all(|b| b == b'-'))
    };
    text.starts_with(is_letter)
        && text.ends_with(is_letter)
        && text
            .split(is_letter)
            .filter(|between| !between.is_empty())
            .all(is_separator)
}

fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= LONGEST_TAG
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn what_is_left_out_is_filled_in_as_docker_does() {
        let digest = format!("sha256:{HEX}");
        for (text, complete) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:12", "docker.io/library/debian:12"),
            ("grafana/loki", "docker.io/grafana/loki:latest"),
            ("index.docker.io/debian", "docker.io/library/debian:latest"),
            ("docker.io/a/b/c:x", "docker.io/a/b/c:x"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a:1", "localhost:5000/a:1"),
            ("localhost:5000", "docker.io/library/localhost:5000"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("ghcr.io/o/r_x__y.z--w", "ghcr.io/o/r_x__y.z--w:latest"),
            ("Host/a", "Host/a:latest"),
            (
                &format!("debian@{digest}"),
                &format!("docker.io/library/debian@{digest}"),
            ),
            (
                &format!("q.io/a:12@{digest}"),
                &format!("q.io/a:12@{digest}"),
            ),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), complete, "{text}");
            assert_eq!(Reference::parse(complete).unwrap(), reference, "{text}");
        }
    }

    #[test]
    fn each_fault_of_a_reference_has_its_own_words() {
        let long = format!("q.io/{}", "a".repeat(255));
        let tag = format!("a:{}", "t".repeat(129));
        for (text, said) in [
            ("", "is empty"),
            ("Debian", "lower case"),
            ("a/B", "lower case"),
            (HEX, "the name of a blob"),
            ("a b", "no part"),
            ("a//b", "no part"),
            ("/a", "no part"),
            ("a..b", "no part"),
            ("a/../b", "no part"),
            ("a___b", "no part"),
            ("-a", "no part"),
            ("a:", "no tag"),
            ("a:-x", "no tag"),
            ("a:b:c", "no part"),
            (&tag, "no tag"),
            (&long, "255 letters"),
            ("a@", "is not a digest"),
            ("a@sha256:12", "is not a digest"),
            ("bad_host.io/a", "no registry"),
            ("h:99999/a", "no registry"),
            ("h:/a", "no registry"),
            ("[::g]/a:1", "no registry"),
            ("a\0b", "no part"),
        ] {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
