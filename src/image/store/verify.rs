//! Whether the store is what it says: every blob is hashed, and every layer made anew from its blob and held
//! against its tree, file by file.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::AsFd;

use super::layers::place;
use super::{Error, Scratch, Store, Using, chain_ids, complete};
use crate::image::documents::{Descriptor, Layer};
use crate::image::layer::{self, Unpacking};
use crate::image::source::blob_path;
use crate::image::{Digest, Hasher};
use crate::sys::{errno, tree};

/// What is not as it should be: where, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    pub path: String,
    pub fault: String,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    pub images: usize,
    pub blobs: usize,
    pub layers: usize,
    pub damage: Vec<Damage>,
}

impl Report {
    fn add(&mut self, path: impl Into<String>, fault: impl ToString) {
        let damage = Damage {
            path: path.into(),
            fault: fault.to_string(),
        };
        if !self.damage.contains(&damage) {
            self.damage.push(damage);
        }
    }
}

impl Store {
    /// Looks at everything. `how` is how layers are unpacked here; `None` leaves the trees alone.
    pub fn verify(&self, using: &Using, how: Option<&Unpacking>) -> Result<Report, Error> {
        let mut report = Report::default();
        for (path, _) in self.all_blobs()? {
            report.blobs += 1;
            if let Err(fault) = self.hash(&path) {
                report.add(path, fault);
            }
        }
        let damaged: BTreeSet<String> = report.damage.iter().map(|d| d.path.clone()).collect();
        let scratch = self.scratch(using)?;
        let mut seen = BTreeSet::new();
        for image in self.images()? {
            report.images += 1;
            let layers = match self.image_layers(&image) {
                Ok(layers) => layers,
                Err(error) => {
                    let name = image
                        .name
                        .unwrap_or_else(|| image.manifest.digest.to_string());
                    report.add(name, error);
                    continue;
                }
            };
            let manifest = [&image.manifest];
            for blob in layers.iter().map(|layer| &layer.blob).chain(manifest) {
                self.look_for(blob, &mut report)?;
            }
            let Some(how) = how else { continue };
            let chain = chain_ids(layers.iter().map(|layer| &layer.diff_id));
            for at in 0..layers.len() {
                let blob = blob_path(&layers[at].blob.digest);
                if damaged.contains(&blob) || !self.has_blob(&layers[at].blob)? {
                    continue; // told already, and there is nothing to compare with
                }
                let Some(key) = self.find_layer(&layers[at].diff_id, &chain[at])? else {
                    report.add(place(&layers[at].diff_id), "the layer is not unpacked");
                    continue;
                };
                if seen.insert(key.clone()) {
                    report.layers += 1;
                    let name = format!("layer-{}", seen.len());
                    if let Err(fault) = self.compare(&scratch, &name, &layers[..=at], &chain, how) {
                        report.add(format!("{}/tree", place(&key)), fault);
                    }
                }
            }
        }
        Ok(report)
    }

    fn look_for(&self, blob: &Descriptor, report: &mut Report) -> Result<(), Error> {
        let path = blob_path(&blob.digest);
        if !self.exists(&path)? {
            report.add(path, "the blob is not there");
        } else if !self.has_blob(blob)? {
            report.add(path, format!("its size is not {}", blob.size));
        }
        Ok(())
    }

    /// The fault of a blob by its path.
    fn hash(&self, path: &str) -> Result<(), String> {
        let name = path.strip_prefix("blobs/").unwrap_or(path);
        let digest: Digest = name
            .replacen('/', ":", 1)
            .parse()
            .map_err(|_| "it is no blob")?;
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let c_path = std::ffi::CString::new(path).map_err(|error| error.to_string())?;
        let opened = crate::sys::path::open(
            self.dir(),
            &c_path,
            flags,
            crate::sys::path::Resolve::Beneath,
        );
        let mut file = std::fs::File::from(opened.map_err(crate::sys::reason)?);
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => hasher.update(&buffer[..read]),
                Err(error) => return Err(crate::sys::reason(errno(error))),
            }
        }
        match hasher.finish() {
            found if found == digest => Ok(()),
            found => Err(format!("its digest is {found}")),
        }
    }

    /// Makes the last of `layers` anew; the first thing that its tree has otherwise.
    fn compare(
        &self,
        scratch: &Scratch,
        name: &str,
        layers: &[Layer],
        chain: &[Digest],
        how: &Unpacking,
    ) -> Result<(), String> {
        let words = |error: Error| error.to_string();
        let Some((own, below)) = layers.split_last() else {
            return Ok(());
        };
        let file = self.open_blob(&own.blob).map_err(words)?;
        let made = scratch.make_layer(name).map_err(words)?;
        let unpacked =
            layer::unpack(file, own, made.as_fd(), how).map_err(|error| error.to_string())?;
        if !unpacked.leanings.is_empty() {
            let trees = below.iter().zip(chain);
            let trees = trees
                .map(|(layer, chain_id)| self.open_layer(&layer.diff_id, chain_id))
                .collect::<Result<Vec<_>, _>>()
                .map_err(words)?;
            complete(own, &unpacked, &trees, made.as_fd()).map_err(|error| error.to_string())?;
        }
        let tree = self
            .open_layer(&own.diff_id, &chain[below.len()])
            .map_err(words)?;
        let difference = tree::difference(made.as_fd(), tree.as_fd());
        scratch.remove(name).map_err(words)?;
        match difference {
            Ok(None) => Ok(()),
            Ok(Some(difference)) => Err(difference.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}
