//! Saving images of the store: to an OCI layout, or to an archive that `skopeo`, `podman` and `docker` read.

mod error;
mod places;
mod tar;

use std::io::{self, Read, Write};

use serde_json::{Value, json};

pub use error::Error;
pub use places::{Archive, Directory};

use super::digest::Hashing;
use super::documents::{Descriptor, media};
use super::source::{REF_NAME, blob_path};
use super::store::Image;
use super::{Reference, Store};

/// What an archive is to be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A layout alone.
    Oci,
    /// With the manifest.json that Docker reads beside it, as its own since version 25 have it.
    Docker,
}

/// An image and what it is to be called there.
#[derive(Clone, Debug)]
pub struct Saved {
    pub image: Image,
    pub names: Vec<String>,
}

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Where files of a layout go.
trait Place {
    /// Whether a blob of this size is there already.
    fn has(&self, name: &str, size: u64) -> bool;

    /// Writes a file of `size` bytes, whole or not at all.
    fn put(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<(), Error>;
}

/// Adds an image to the layout in a directory, which keeps what else it has.
pub fn to_directory(store: &Store, saved: &Saved, to: &mut Directory) -> Result<(), Error> {
    put_blobs(store, &saved.image, to)?;
    let mut entries = to.entries()?;
    let own = entries_of(saved);
    let name = |entry: &Value| entry["annotations"][REF_NAME].as_str().map(String::from);
    entries.retain(|entry| {
        let same = |own: &Value| match name(own) {
            None => name(entry).is_none() && own["digest"] == entry["digest"],
            named => named == name(entry),
        };
        !own.iter().any(same)
    });
    entries.extend(own);
    put_bytes(to, "oci-layout", LAYOUT)?;
    // Last: what it names is there.
    put_bytes(to, "index.json", &index(&entries))
}

/// Writes images to an archive. It is the caller's to finish.
pub fn to_archive<W: Write>(
    store: &Store,
    saved: &[Saved],
    kind: Kind,
    to: &mut Archive<W>,
) -> Result<(), Error> {
    put_bytes(to, "oci-layout", LAYOUT)?;
    let entries: Vec<Value> = saved.iter().flat_map(entries_of).collect();
    put_bytes(to, "index.json", &index(&entries))?;
    if kind == Kind::Docker {
        let list = saved.iter().map(|saved| docker_entry(store, saved));
        let list = list.collect::<Result<Vec<_>, _>>()?;
        put_bytes(to, "manifest.json", json!(list).to_string().as_bytes())?;
    }
    for saved in saved {
        put_blobs(store, &saved.image, to)?;
    }
    Ok(())
}

fn index(entries: &[Value]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": entries});
    index.to_string().into_bytes()
}

/// One for each name, or one without.
fn entries_of(saved: &Saved) -> Vec<Value> {
    let mut entry = json!(saved.image.manifest);
    entry["platform"] = saved.image.platform.to_json();
    if saved.names.is_empty() {
        return vec![entry];
    }
    let named = |name: &String| {
        let mut entry = entry.clone();
        entry["annotations"] = json!({ REF_NAME: name });
        entry
    };
    saved.names.iter().map(named).collect()
}

/// The image in manifest.json: Docker takes the layers packed, and from wherever it says.
fn docker_entry(store: &Store, saved: &Saved) -> Result<Value, Error> {
    let manifest = store.manifest(&saved.image)?;
    let tags = saved
        .names
        .iter()
        .filter_map(|name| Reference::parse(name).ok());
    let tags = tags.filter_map(|name| Some(format!("{}:{}", name.repository(), name.tag()?)));
    let layers = manifest.blobs().map(|blob| blob_path(&blob.digest));
    Ok(json!({
        "Config": blob_path(&manifest.config.digest),
        "RepoTags": tags.collect::<Vec<_>>(),
        "Layers": layers.collect::<Vec<_>>(),
    }))
}

fn put_bytes(to: &mut dyn Place, name: &str, mut bytes: &[u8]) -> Result<(), Error> {
    to.put(name, bytes.len() as u64, &mut bytes)
}

fn put_blobs(store: &Store, image: &Image, to: &mut dyn Place) -> Result<(), Error> {
    let manifest = store.manifest(image)?;
    for blob in manifest.blobs().chain([&manifest.config, &image.manifest]) {
        let name = blob_path(&blob.digest);
        if !to.has(&name, blob.size) {
            let mut content = Verified::new(store, blob)?;
            to.put(&name, blob.size, &mut content)?;
        }
    }
    Ok(())
}

/// A blob of the store that ends in an error where it is not what it is called.
struct Verified<'a> {
    content: Option<Hashing<std::fs::File>>,
    blob: &'a Descriptor,
}

impl<'a> Verified<'a> {
    fn new(store: &Store, blob: &'a Descriptor) -> Result<Self, Error> {
        let file = store.open_blob(blob)?;
        Ok(Self {
            content: Some(Hashing::new(file, blob.digest.algorithm())),
            blob,
        })
    }
}

impl Read for Verified<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(content) = &mut self.content else {
            return Ok(0);
        };
        let read = content.read(buffer)?;
        let is_end = content.count() >= self.blob.size;
        if (is_end || read == 0)
            && let Some(content) = self.content.take()
        {
            let (_, _, found) = content.finish();
            if found != self.blob.digest {
                return Err(io::Error::other(format!(
                    "blob {} of the store is damaged: its digest is {found}",
                    self.blob.digest
                )));
            }
        }
        Ok(read)
    }
}
