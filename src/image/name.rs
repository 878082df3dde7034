//! Names: where a user says an image is.

use std::fmt;
use std::path::PathBuf;

use super::reference::{self, Reference};

/// A place an image comes from, as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `debian:12`, `docker://debian:12`
    Registry(Reference),
    /// `oci:DIR[:tag]`
    Layout { dir: PathBuf, tag: Option<String> },
    /// `oci-archive:FILE[:tag]`
    OciArchive { file: PathBuf, tag: Option<String> },
    /// `docker-archive:FILE[:name[:tag]]`
    DockerArchive { file: PathBuf, tag: Option<String> },
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error(transparent)]
    Reference(#[from] reference::Error),
    #[error("{0:?} names no path")]
    NoPath(String),
    #[error("{0:?}: the path or the tag has a NUL in it")]
    Nul(String),
}

impl Name {
    /// The path ends at the first colon, as it does for skopeo and podman.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some((kind, rest)) = text.split_once(':') else {
            return Ok(Self::Registry(Reference::parse(text)?));
        };
        if kind == "docker"
            && let Some(rest) = rest.strip_prefix("//")
        {
            return Ok(Self::Registry(Reference::parse(rest)?));
        }
        let place = || {
            let (path, tag) = match rest.split_once(':') {
                Some((path, tag)) => (path, Some(tag.to_owned())),
                None => (rest, None),
            };
            match path {
                "" => Err(Error::NoPath(text.into())),
                _ if rest.contains('\0') => Err(Error::Nul(text.into())),
                _ => Ok((PathBuf::from(path), tag)),
            }
        };
        match kind {
            "oci" => place().map(|(dir, tag)| Self::Layout { dir, tag }),
            "oci-archive" => place().map(|(file, tag)| Self::OciArchive { file, tag }),
            "docker-archive" => place().map(|(file, tag)| Self::DockerArchive { file, tag }),
            _ => Ok(Self::Registry(Reference::parse(text)?)),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, path, tag) = match self {
            Self::Registry(reference) => return reference.fmt(f),
            Self::Layout { dir, tag } => ("oci", dir, tag),
            Self::OciArchive { file, tag } => ("oci-archive", file, tag),
            Self::DockerArchive { file, tag } => ("docker-archive", file, tag),
        };
        write!(f, "{kind}:{}", path.display())?;
        match tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    #[test]
    fn a_name_says_where_its_image_is() {
        let tag = |tag: &str| Some(tag.to_owned());
        for (text, name) in [
            (
                "oci:/d:docker.io/x:1",
                Name::Layout {
                    dir: "/d".into(),
                    tag: tag("docker.io/x:1"),
                },
            ),
            (
                "oci:d",
                Name::Layout {
                    dir: "d".into(),
                    tag: None,
                },
            ),
            (
                "oci-archive:f.tar:t",
                Name::OciArchive {
                    file: "f.tar".into(),
                    tag: tag("t"),
                },
            ),
            (
                "docker-archive:f.tar:a:b",
                Name::DockerArchive {
                    file: "f.tar".into(),
                    tag: tag("a:b"),
                },
            ),
            (
                "docker://debian",
                Name::Registry(Reference::parse("debian").unwrap()),
            ),
            (
                "oci",
                Name::Registry(Reference::parse("docker.io/library/oci").unwrap()),
            ),
            (
                "debian:12",
                Name::Registry(Reference::parse("debian:12").unwrap()),
            ),
        ] {
            let read = Name::parse(text).unwrap();
            assert_eq!(read, name, "{text}");
            assert_eq!(Name::parse(&read.to_string()).unwrap(), name, "{text}");
        }
        assert_eq!(
            Name::parse("oci:").unwrap_err(),
            Error::NoPath("oci:".into())
        );
    }
}
