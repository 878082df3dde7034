//! An image of a few layers, and a registry of the test's own that has it.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use bulkhead::aws::Variables;
use bulkhead::image::Reference;
use bulkhead::image::documents::{Descriptor, Document, Manifest, media};
use bulkhead::image::source::registry::{Access, Patience, Registry};
use bulkhead::image::source::{Error, Source};
use bulkhead::net::{Names, Plain, Proxies, Setup, Times, Verification};

use crate::images::{Built, Entry, Image, Packed, Packing, Tarball};
use crate::server::{Reply, Seen};

/// What the tests' images are called at their registries.
pub(crate) const REPOSITORY: &str = "team/app";

/// Nothing of this machine's, and no long waiting.
pub(crate) fn access() -> Access {
    Access {
        login: None,
        login_files: Vec::new(),
        configurations: Vec::new(),
        certificates: Vec::new(),
        insecure: false,
        aws: Variables::from([]),
        setup: Setup {
            roots: Vec::new(),
            verification: Verification::Full,
            plain: Plain::Loopback,
            times: Times {
                connect: Duration::from_secs(10),
                stall: Duration::from_secs(10),
            },
            proxies: Proxies::default(),
            names: Names::from_files("/nonexistent", "/nonexistent", 1),
        },
        patience: Patience {
            attempts: 4,
            first: Duration::from_millis(20),
            longest: Duration::from_millis(100),
            asked: Duration::from_secs(5),
        },
    }
}

/// Bytes that no packing makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Its first layer is of 300 kB, which takes several reads.
pub(crate) fn image() -> Built {
    let large = Tarball::of([Entry::file("large", noise(300_000))]).end();
    let small = Tarball::of([Entry::file("small", b"text")]).end();
    let layers = [
        Packed::new(Packing::Plain, large),
        Packed::new(Packing::Gzip, small),
    ];
    Image::of(layers).tag(Some("1")).build()
}

pub(crate) fn manifest(built: &Built) -> Manifest {
    match Document::read(media::MANIFEST, &built.manifest).unwrap() {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => panic!("an index"),
    }
}

/// The descriptor of the image's first layer, and its bytes.
pub(crate) fn large_layer(built: &Built) -> (Descriptor, Vec<u8>) {
    let digest = built.layers[0].digest();
    let blobs = manifest(built);
    let descriptor = blobs
        .blobs()
        .find(|blob| blob.digest == digest)
        .unwrap()
        .clone();
    let bytes = built.blobs[digest.hex()].clone();
    (descriptor, bytes)
}

/// What a registry answers that has the image and nothing else.
pub(crate) fn serve(built: &Built, request: &Seen) -> Reply {
    let path = request.path.split('?').next().unwrap();
    let Some(rest) = path.strip_prefix(&format!("/v2/{REPOSITORY}/")) else {
        return missing();
    };
    let (folder, name) = rest.split_once('/').unwrap();
    let hex = name.strip_prefix("sha256:").unwrap_or_default();
    let is_manifest = name == "1" || hex == built.digest().hex();
    match folder {
        "manifests" if is_manifest => Reply::new(200, built.manifest.clone())
            .header("content-type", media::MANIFEST)
            .header("docker-content-digest", built.digest().to_string()),
        "blobs" if built.blobs.contains_key(hex) => Reply::new(200, built.blobs[hex].clone()),
        _ => missing(),
    }
}

/// Of a blob, the range that was asked for.
pub(crate) fn serve_range(bytes: &[u8], request: &Seen) -> Reply {
    match request.range_start() {
        None => Reply::new(200, bytes),
        Some(start) => {
            let size = bytes.len();
            Reply::new(206, &bytes[start..]).header(
                "content-range",
                format!("bytes {start}-{}/{size}", size - 1),
            )
        }
    }
}

pub(crate) fn missing() -> Reply {
    let body =
        r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#;
    Reply::new(404, body).header("content-type", "application/json")
}

pub(crate) fn open(host: &str, access: &Access) -> Registry {
    let reference = Reference::parse(&format!("{host}/{REPOSITORY}:1")).unwrap();
    Registry::open(&reference, access).unwrap()
}

pub(crate) fn read_blob(registry: &Registry, descriptor: &Descriptor) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let blob = registry.blob(descriptor).map_err(|error| error.to_string());
    blob?
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Reads the image as a pull does, and holds all of it against what was built.
#[track_caller]
pub(crate) fn pull(registry: &Registry, built: &Built) {
    let (root, bytes) = registry.root().unwrap();
    assert_eq!(root.digest, built.digest());
    assert!(bytes == built.manifest);
    let manifest = manifest(built);
    let config = registry.document(&manifest.config).unwrap();
    assert!(config == built.blobs[manifest.config.digest.hex()]);
    for blob in manifest.blobs() {
        let bytes = read_blob(registry, blob).unwrap();
        assert!(bytes == built.blobs[blob.digest.hex()], "{}", blob.digest);
    }
}

/// The error of a pull's first step.
#[track_caller]
pub(crate) fn refused(registry: &Registry) -> String {
    match registry.root() {
        Ok((root, _)) => panic!("it has {root:?}"),
        Err(error @ Error::Registry(_)) => error.to_string(),
        Err(error) => panic!("not the registry's: {error}"),
    }
}

/// A file of the test's own, in a folder that goes away with it.
pub(crate) fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    (dir, path)
}
