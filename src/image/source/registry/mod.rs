//! Registries, by the OCI distribution specification.
//!
//! ```text
//! registries.conf ──▶ places (mirrors, then the registry) ──▶ Endpoint ──get──▶ manifests, blobs
//!                    logins (files, helpers, ECR) ──▶ Authorization ─┘
//! ```
//!
//! A registry is spoken to by HTTPS; this machine's by HTTP, unless there is a certificate for it in
//! `certs.d`; one that is called insecure by HTTPS with whatever certificate it has, or else by HTTP.

mod access;
mod authorization;
mod blob;
mod challenge;
mod configuration;
mod endpoint;
mod error;
mod logins;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use access::{Access, Patience};
pub use error::{Cause, Error, Shown};
pub use logins::Login;

use serde::de::IgnoredAny;

use super::Source;
use crate::image::documents::{Descriptor, Kind, LARGEST, media};
use crate::image::{Digest, Hasher, Reference};
use crate::net::Response;
use blob::Blob;
use configuration::Configuration;
use endpoint::Endpoint;

/// An image at a registry, or at a mirror of it.
#[derive(Debug)]
pub struct Registry {
    reference: Reference,
    /// In the order to ask them; one at least.
    endpoints: Vec<Arc<Endpoint>>,
    /// The one that had the image.
    chosen: AtomicUsize,
}

impl Registry {
    /// Nobody is asked yet.
    pub fn open(reference: &Reference, access: &Access) -> Result<Self, Error> {
        let failed = |cause| Error::new(reference, cause);
        let configuration = Configuration::read(&access.configurations).map_err(failed)?;
        let named = (reference.domain(), reference.path());
        let mut endpoints = Vec::new();
        let places = configuration.places(reference).map_err(failed)?;
        let last = places.len() - 1;
        for (number, place) in places.into_iter().enumerate() {
            let endpoint = Endpoint::new(access, place, named, number == last);
            endpoints.push(Arc::new(endpoint.map_err(failed)?));
        }
        Ok(Self {
            reference: reference.clone(),
            endpoints,
            chosen: AtomicUsize::new(0),
        })
    }

    /// Asks the endpoint that had the image, and those after it where that fails. The failure of the
    /// last is told: it is the registry that was named.
    fn ask<T>(&self, act: impl Fn(&Arc<Endpoint>) -> Result<T, Cause>) -> Result<T, Error> {
        let first = self.chosen.load(Ordering::Relaxed);
        let mut failure = None;
        for (number, endpoint) in self.endpoints.iter().enumerate().skip(first) {
            match act(endpoint) {
                Ok(answer) => {
                    self.chosen.fetch_max(number, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(cause) => {
                    if endpoint.is_mirror {
                        log::warn!("{}: a mirror does not have it: {cause}", self.reference);
                    }
                    failure = Some(cause);
                }
            }
        }
        let cause = failure.expect("there is one endpoint at least");
        Err(Error::new(&self.reference, cause))
    }

    fn fetch_root(&self, endpoint: &Endpoint) -> Result<(Descriptor, Vec<u8>), Cause> {
        let digest = self.reference.digest();
        let by = match digest {
            Some(digest) => digest.to_string(),
            None => self.reference.tag().unwrap_or("latest").to_owned(),
        };
        let what = format!("manifest {by} in {}", endpoint.repository);
        let path = format!("manifests/{by}");
        let (told, media_type, bytes) = endpoint.get(&path, &accept(), &what, |response| {
            let told = response.header("docker-content-digest");
            let told = told.and_then(|text| text.parse::<Digest>().ok());
            let media_type = response.header("content-type").unwrap_or_default();
            let media_type = media_type
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned();
            Ok((told, media_type, read(endpoint, response)?))
        })?;
        // What the user named counts, then what the registry says it is.
        let digest = match digest.cloned().or(told) {
            Some(wanted) => {
                verify(endpoint, &wanted, &bytes)?;
                wanted
            }
            None => Digest::of(&bytes),
        };
        if serde_json::from_slice::<IgnoredAny>(&bytes).is_err() {
            let host = endpoint.host.clone();
            return Err(Cause::NoManifest { host, media_type });
        }
        let descriptor = Descriptor {
            media_type: type_of(media_type, &bytes),
            digest,
            size: bytes.len() as u64,
        };
        Ok((descriptor, bytes))
    }
}

impl Source for Registry {
    fn root(&self) -> Result<(Descriptor, Vec<u8>), super::Error> {
        Ok(self.ask(|endpoint| self.fetch_root(endpoint))?)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, super::Error> {
        let digest = &descriptor.digest;
        let folder = match descriptor.kind() {
            Kind::Manifest | Kind::Index => "manifests",
            _ => "blobs",
        };
        let path = format!("{folder}/{digest}");
        Ok(self.ask(|endpoint| {
            let what = format!("document {digest} in {}", endpoint.repository);
            let bytes =
                endpoint.get(&path, &accept(), &what, |response| read(endpoint, response))?;
            verify(endpoint, digest, &bytes)?;
            Ok(bytes)
        })?)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, super::Error> {
        let image = self.reference.to_string();
        let blob = self.ask(|endpoint| {
            let all = self.endpoints.iter();
            let later = all
                .skip_while(|other| !Arc::ptr_eq(other, endpoint))
                .skip(1);
            let blob = Blob::open(endpoint, &image, descriptor)?;
            Ok(blob.or(later.cloned().collect()))
        })?;
        Ok(Box::new(blob))
    }
}

/// A document that is another is this endpoint's failure: the next one may have the right one.
fn verify(endpoint: &Endpoint, wanted: &Digest, bytes: &[u8]) -> Result<(), Cause> {
    let mut hasher = Hasher::new(wanted.algorithm());
    hasher.update(bytes);
    let found = hasher.finish();
    if found == *wanted {
        return Ok(());
    }
    Err(Cause::Digest {
        host: endpoint.host.clone(),
        wanted: wanted.clone(),
        found,
    })
}

fn read(endpoint: &Endpoint, response: Response) -> Result<Vec<u8>, Cause> {
    let host = || endpoint.host.clone();
    response
        .document(LARGEST)
        .map_err(|cause| match cause.cause {
            crate::net::Cause::TooLong(_) => Cause::LargeDocument { host: host() },
            _ => Cause::Network {
                host: host(),
                cause,
            },
        })
}

fn accept() -> Vec<(&'static str, String)> {
    let types = [
        media::INDEX,
        media::DOCKER_LIST,
        media::MANIFEST,
        media::DOCKER_MANIFEST,
    ];
    vec![
        ("accept", types.join(", ")),
        ("accept-encoding", "identity".into()),
    ]
}

/// What the registry says, or else what the document says of itself, or else what it looks like.
fn type_of(told: String, bytes: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        media_type: Option<String>,
        manifests: Option<IgnoredAny>,
    }
    let is_vague = |name: &str| {
        matches!(
            name,
            "" | "application/json" | "text/plain" | "application/octet-stream"
        )
    };
    if !is_vague(&told) {
        return told;
    }
    match serde_json::from_slice::<Shape>(bytes) {
        Ok(Shape {
            media_type: Some(own),
            ..
        }) => own,
        Ok(Shape {
            manifests: Some(_), ..
        }) => media::INDEX.into(),
        Ok(_) => media::MANIFEST.into(),
        Err(_) => told,
    }
}
