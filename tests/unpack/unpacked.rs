//! A place of a test's own where layers are unpacked.

use std::cell::RefCell;
use std::ffi::CStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bulkhead::image::documents::{Compression, Descriptor, Layer};
use bulkhead::image::layer::{self, Devices, Error, Form, Limits, Owners, Unpacked, Unpacking};
use bulkhead::sys::xattr;

use crate::harness::scratch;
use crate::images::{Packed, Packing};

pub(crate) fn policy(form: Form) -> Unpacking {
    Unpacking {
        form,
        limits: Limits::default(),
        owners: Owners::AsWritten,
        devices: Devices::Make,
    }
}

/// As its documents would describe it.
pub(crate) fn described(packed: &Packed) -> Layer {
    Layer {
        blob: Descriptor::of(packed.packing.media_type(), &packed.blob),
        compression: match packed.packing {
            Packing::Plain => Compression::None,
            Packing::Gzip | Packing::GzipMembers => Compression::Gzip,
            _ => Compression::Zstd,
        },
        diff_id: packed.diff_id(),
    }
}

pub(crate) struct Ground {
    dir: PathBuf,
    before: RefCell<Vec<String>>,
}

impl Ground {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            dir: scratch(name),
            before: RefCell::default(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn unpack_into(
        &self,
        name: &str,
        packed: &Packed,
        how: &Unpacking,
    ) -> Result<Unpacked, Error> {
        self.unpack_as(name, &packed.blob, &described(packed), how)
    }

    /// Unpacks bytes, whatever they are said to be.
    pub(crate) fn unpack_as(
        &self,
        name: &str,
        blob: &[u8],
        layer: &Layer,
        how: &Unpacking,
    ) -> Result<Unpacked, Error> {
        let path = self.dir.join(name);
        fs::create_dir(&path).unwrap();
        let into = File::open(path).unwrap();
        layer::unpack(blob, layer, into.as_fd(), how)
    }

    /// Files beside the trees, as an escape would find them.
    pub(crate) fn lay_out_outside(&self) {
        fs::create_dir(self.path("outside")).unwrap();
        for name in ["outside/file", "outside/other"] {
            fs::write(self.path(name), b"outside").unwrap();
        }
        *self.before.borrow_mut() = self.outside();
    }

    #[track_caller]
    pub(crate) fn assert_outside_is_untouched(&self) {
        assert_eq!(self.outside(), *self.before.borrow());
    }

    pub(crate) fn is_outside_untouched(&self) -> bool {
        self.outside() == *self.before.borrow()
    }

    fn outside(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for name in ["outside", "outside/file", "outside/other"] {
            let stat = fs::symlink_metadata(self.path(name)).unwrap();
            let content = fs::read(self.path(name)).unwrap_or_default();
            let (mode, owner) = (stat.mode(), (stat.uid(), stat.gid()));
            let times = (
                stat.mtime(),
                stat.mtime_nsec(),
                stat.ctime(),
                stat.ctime_nsec(),
            );
            seen.push(format!(
                "{name} {mode:o} {owner:?} {} {times:?} {content:?}",
                stat.nlink()
            ));
        }
        seen.push(format!(
            "{}",
            fs::read_dir(self.path("outside")).unwrap().count()
        ));
        seen
    }

    pub(crate) fn xattr(&self, path: &Path, name: &CStr) -> Option<Vec<u8>> {
        xattr::get(File::open(path).unwrap().as_fd(), name).ok()
    }
}
