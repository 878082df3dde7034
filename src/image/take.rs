//! Taking an image: from a source into the store, whole and verified.
//!
//! ```text
//! root document ──platform──▶ manifest ──▶ config ──▶ layers ──three at once──▶ blobs ──two at once──▶ trees
//! ```
//!
//! Each layer is unpacked as soon as its blob is there. The store has nothing of it before all is there, and the
//! name comes last.

mod error;
mod layers;

pub use error::Error;

use super::documents::{Config, Descriptor, Document, Index, LARGEST, Layer, Manifest};
use super::layer::Unpacking;
use super::progress::Progress;
use super::source::Source;
use super::store::{Image, Using, Work};
use super::{Digest, Hasher, Platform, Reference, Store};

/// Indexes in indexes: none is made that is deeper, and one that leads to itself ends here.
const DEEPEST: usize = 4;

/// How an image is taken.
#[allow(missing_debug_implementations, reason = "whoever is told is not shown")]
pub struct Taking<'a> {
    /// `None`: the image for this machine, and no other.
    pub platform: Option<Platform>,
    /// Blobs that are fetched at once.
    pub downloads: usize,
    pub unpacking: Unpacking,
    pub progress: &'a dyn Progress,
}

/// Blobs fetched at once, as Docker does.
pub const DOWNLOADS: usize = 3;

/// Layers unpacked at once.
const UNPACKERS: usize = 2;

/// The image that a source has for a platform, its documents verified.
#[derive(Debug)]
pub struct Chosen {
    /// What the name leads to: an index, or the manifest itself.
    pub root: Digest,
    pub manifest: (Descriptor, Vec<u8>),
    pub config: (Descriptor, Vec<u8>),
    pub platform: Platform,
    /// What the config says of the process.
    pub parsed: Config,
    pub layers: Vec<Layer>,
}

/// Takes the image into the store and gives it `names`, or none.
pub fn take(
    store: &Store,
    using: &Using,
    source: &dyn Source,
    names: &[Reference],
    how: &Taking<'_>,
) -> Result<Image, Error> {
    let chosen = choose(source, how.platform.as_ref())?;
    let scratch = store.scratch(using)?;
    let mut work = Work::default();
    for (descriptor, bytes) in [&chosen.manifest, &chosen.config] {
        if !store.has_blob(descriptor)? {
            scratch.put_blob(&descriptor.digest, bytes)?;
            work.blobs.push(descriptor.digest.clone());
        }
    }
    layers::bring(store, &scratch, source, &chosen.layers, how, &mut work)?;

    let named = |name: Option<String>| Image {
        name,
        manifest: chosen.manifest.0.clone(),
        platform: chosen.platform.clone(),
        chosen_from: chosen.root.clone(),
    };
    let mut images: Vec<Image> = names
        .iter()
        .map(|name| named(Some(name.to_string())))
        .collect();
    if images.is_empty() {
        images.push(named(None));
    }
    store.commit(using, &scratch, &work, &images)?;
    Ok(images.swap_remove(0))
}

/// Reads what leads to the layers, and checks all of it.
pub fn choose(source: &dyn Source, platform: Option<&Platform>) -> Result<Chosen, Error> {
    let host = Platform::host();
    let wanted = platform.unwrap_or(&host);
    let (mut descriptor, mut bytes) = source.root()?;
    verify(&descriptor, &bytes)?;
    let root = descriptor.digest.clone();
    for _ in 0..DEEPEST {
        match Document::read(&descriptor.media_type, &bytes)
            .map_err(Error::document(&descriptor))?
        {
            Document::Index(index) => {
                descriptor = entry(&index, wanted)?;
                bytes = document(source, &descriptor)?;
            }
            Document::Manifest(manifest) => {
                return of_manifest(source, wanted, root, (descriptor, bytes), &manifest);
            }
        }
    }
    Err(Error::Deep {
        root,
        deepest: DEEPEST,
    })
}

fn of_manifest(
    source: &dyn Source,
    wanted: &Platform,
    root: Digest,
    own: (Descriptor, Vec<u8>),
    manifest: &Manifest,
) -> Result<Chosen, Error> {
    let bytes = document(source, &manifest.config)?;
    let parsed = Config::read(&bytes).map_err(Error::document(&manifest.config))?;
    let layers = manifest.layers(&parsed).map_err(Error::document(&own.0))?;
    let platform = parsed.platform.clone();
    if wanted.rank(&platform).is_none() {
        return Err(Error::OtherPlatform {
            found: Box::new(platform),
            wanted: Box::new(wanted.clone()),
        });
    }
    Ok(Chosen {
        root,
        config: (manifest.config.clone(), bytes),
        manifest: own,
        platform,
        parsed,
        layers,
    })
}

/// The entry of an index that serves the platform best: the first of equals. One that does not say its
/// platform may be it: its config will tell.
fn entry(index: &Index, wanted: &Platform) -> Result<Descriptor, Error> {
    let ranked = index.entries.iter().filter_map(|entry| {
        let rank = match &entry.platform {
            Some(platform) => wanted.rank(platform)?,
            None => usize::MAX,
        };
        Some((rank, entry))
    });
    let best = ranked.min_by_key(|(rank, _)| *rank);
    best.map(|(_, entry)| entry.descriptor.clone())
        .ok_or_else(|| Error::NoPlatform {
            wanted: Box::new(wanted.clone()),
            offered: index
                .entries
                .iter()
                .filter_map(|entry| Some(entry.platform.as_ref()?.to_string()))
                .filter(|platform| platform != "unknown/unknown")
                .collect(),
        })
}

/// A document that is what its descriptor says.
fn document(source: &dyn Source, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
    if descriptor.size > LARGEST {
        let cause = super::documents::Error::TooLarge {
            what: "the document",
            size: descriptor.size,
        };
        return Err(Error::document(descriptor)(cause));
    }
    let bytes = source.document(descriptor)?;
    verify(descriptor, &bytes)?;
    Ok(bytes)
}

fn verify(descriptor: &Descriptor, bytes: &[u8]) -> Result<(), Error> {
    let mut hasher = Hasher::new(descriptor.digest.algorithm());
    hasher.update(bytes);
    check(descriptor, bytes.len() as u64, hasher.finish())
}

/// Holds what has come against what its descriptor says.
fn check(descriptor: &Descriptor, size: u64, digest: Digest) -> Result<(), Error> {
    let blob = || descriptor.digest.clone();
    match (size == descriptor.size, digest == descriptor.digest) {
        (true, true) => Ok(()),
        (true, false) => Err(Error::Digest {
            blob: blob(),
            found: digest,
        }),
        (false, _) => Err(Error::Size {
            blob: blob(),
            found: size,
            wanted: descriptor.size,
        }),
    }
}
