//! What a layer takes from those below it.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Fault;

/// Bytes of names, and what a name costs beside them: hostile layers have many.
const MOST: usize = 8 << 20;
const EACH: usize = 64;

/// Paths as they are in the layer's own tree, where no part of them is a link.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Leanings {
    /// Directories that it has things in and does not describe: they are to look like those below.
    directories: BTreeSet<Vec<u8>>,
    /// Hard links, and the names below that they are to be further names of.
    links: BTreeMap<Vec<u8>, Vec<u8>>,
    cost: usize,
    /// Paid for.
    names: usize,
}

impl Leanings {
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty() && self.links.is_empty()
    }

    /// Parents before their children.
    pub fn directories(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.directories.iter().map(Vec::as_slice)
    }

    pub(super) fn all_directories(&self) -> &BTreeSet<Vec<u8>> {
        &self.directories
    }

    /// What a name is to be a name of.
    pub(super) fn target(&self, path: &[u8]) -> Option<&[u8]> {
        self.links.get(path).map(Vec::as_slice)
    }

    /// Names, and what they are to be names of.
    pub fn links(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.links
            .iter()
            .map(|(path, target)| (path.as_slice(), target.as_slice()))
    }

    pub(super) fn add_directory(&mut self, path: Vec<u8>) -> Result<(), Fault> {
        self.pay(path.len())?;
        self.directories.insert(path);
        Ok(())
    }

    pub(super) fn add_link(&mut self, path: Vec<u8>, target: Vec<u8>) -> Result<(), Fault> {
        self.pay(path.len() + target.len())?;
        self.links.insert(path, target);
        Ok(())
    }

    /// The layer has something of its own there, and so nothing below a link either.
    pub(super) fn settle(&mut self, path: impl FnOnce() -> Vec<u8>) {
        if !self.is_empty() {
            let path = path();
            self.directories.remove(&path);
            self.links.remove(&path);
        }
    }

    /// What was there is gone, with all below it.
    pub(super) fn forget(&mut self, path: &[u8]) {
        let is_below = |other: &[u8]| {
            other
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with(b"/"))
        };
        self.directories
            .retain(|other| !is_below(other) && other != path);
        self.links
            .retain(|other, _| !is_below(other) && other != path);
    }

    /// For a name more that is held until the layer is in its place.
    pub(super) fn pay(&mut self, length: usize) -> Result<(), Fault> {
        self.cost += length + EACH;
        self.names += 1;
        if self.cost > MOST {
            return Err(Fault::Leanings(self.names));
        }
        Ok(())
    }
}
