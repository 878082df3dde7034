//! Several layers to one tree, without overlayfs.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::thread;

use nix::sys::stat::{Mode, fchmod, fstat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::error::{Error, Fault};
use super::merge::{merge, open};
use super::policy::{Form, Unpacking};
use super::unpack;
use super::write::Unpacked;
use crate::image::documents::Layer;

/// Layers unpacked at a time: each has two threads, of which one waits for the other.
const AT_ONCE: usize = 2;

/// Unpacks `layers`, bottom first, into the empty directory `into`, each into a directory of its own beside
/// the tree, out of which it is moved when all below it are there. What came of each is returned in order.
/// On an error `into` holds parts, which the caller removes.
pub fn flatten(
    layers: &[Layer],
    open_blob: impl Fn(&Layer) -> io::Result<Box<dyn Read + Send>> + Sync,
    into: BorrowedFd<'_>,
    how: &Unpacking,
) -> Result<Vec<Unpacked>, Error> {
    let Some(bottom) = layers.first() else {
        return Ok(Vec::new());
    };
    let how = Unpacking {
        form: Form::Flat,
        ..*how
    };
    let work = Mutex::new(Work {
        next: 0,
        done: layers.iter().map(|_| None).collect(),
        merged: Vec::new(),
        root: None,
        error: None,
    });
    let of_root = |act| move |errno| layer_error(bottom, Fault::Call { act, errno });
    fchmod(into, Mode::from_bits_truncate(0o755)).map_err(of_root("set the mode of the root"))?;
    let one = || {
        while let Some(index) = begin(&work) {
            let layer = &layers[index];
            let result = unpack_beside(layer, &open_blob, into, &how);
            let mut work = work.lock().expect("no thread panics");
            match result {
                Ok(unpacked) => work.done[index] = Some(unpacked),
                Err(error) => work.fail(index, error),
            }
            work.merge(layers, into);
        }
    };
    thread::scope(|scope| {
        for _ in 1..AT_ONCE.min(layers.len()) {
            scope.spawn(one);
        }
        one();
    });
    let work = work.into_inner().expect("no thread panics");
    if let Some((_, error)) = work.error {
        return Err(error);
    }
    let (mode, time) = work.root.unwrap_or((0o755, TimeSpec::new(0, 0)));
    fchmod(into, Mode::from_bits_truncate(mode)).map_err(of_root("set the mode of the root"))?;
    futimens(into, &time, &time).map_err(of_root("set the time of the root"))?;
    Ok(work.merged)
}

struct Work {
    next: usize,
    /// Unpacked, and not yet moved to the tree.
    done: Vec<Option<(Staging, Unpacked)>>,
    merged: Vec<Unpacked>,
    /// The mode and time that the topmost layer that describes the root gives it.
    root: Option<(libc::mode_t, TimeSpec)>,
    /// Of the lowest layer that has one.
    error: Option<(usize, Error)>,
}

/// The next layer that is to be unpacked.
fn begin(work: &Mutex<Work>) -> Option<usize> {
    let mut work = work.lock().expect("no thread panics");
    if work.error.is_some() || work.next == work.done.len() {
        return None;
    }
    work.next += 1;
    Some(work.next - 1)
}

impl Work {
    fn fail(&mut self, index: usize, error: Error) {
        if self.error.as_ref().is_none_or(|(other, _)| index < *other) {
            self.error = Some((index, error));
        }
    }

    /// Moves what can be moved: a layer when all below it are in the tree.
    fn merge(&mut self, layers: &[Layer], into: BorrowedFd<'_>) {
        while self.error.is_none()
            && let Some(slot) = self.done.get_mut(self.merged.len())
            && let Some((staging, unpacked)) = slot.take()
        {
            let index = self.merged.len();
            let merged = self.merge_one(&staging, &unpacked, into);
            match merged {
                Ok(()) => self.merged.push(unpacked),
                Err(fault) => self.fail(index, layer_error(&layers[index], fault)),
            }
        }
    }
}

impl Work {
    fn merge_one(
        &mut self,
        staging: &Staging,
        unpacked: &Unpacked,
        into: BorrowedFd<'_>,
    ) -> Result<(), Fault> {
        if unpacked.describes_root {
            let stat = fstat(&staging.dir).map_err(Fault::call("look at the root"))?;
            let time = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
            self.root = Some((stat.st_mode, time));
        }
        merge(staging.dir.as_fd(), unpacked, into)?;
        staging.remove(into)
    }
}

fn unpack_beside(
    layer: &Layer,
    open_blob: &(impl Fn(&Layer) -> io::Result<Box<dyn Read + Send>> + Sync),
    into: BorrowedFd<'_>,
    how: &Unpacking,
) -> Result<(Staging, Unpacked), Error> {
    let staging = Staging::make(into).map_err(|fault| layer_error(layer, fault))?;
    let blob = open_blob(layer).map_err(|error| layer_error(layer, Fault::Read(error)))?;
    let unpacked = unpack(blob, layer, staging.dir.as_fd(), how)?;
    Ok((staging, unpacked))
}

fn layer_error(layer: &Layer, fault: Fault) -> Error {
    Error {
        layer: layer.blob.digest.clone(),
        place: None,
        fault,
    }
}

/// A directory in which a layer waits.
struct Staging {
    name: CString,
    dir: OwnedFd,
}

impl Staging {
    /// Under a name that no layer can know, since it lies where the tree comes to lie.
    fn make(into: BorrowedFd<'_>) -> Result<Self, Fault> {
        let mut random = [0; 16];
        File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut random))
            .map_err(|error| Fault::call("read /dev/urandom")(crate::sys::errno(error)))?;
        let name = format!(".layer-{:032x}", u128::from_ne_bytes(random));
        let name = CString::new(name).expect("letters and digits");
        mkdirat(into, name.as_c_str(), Mode::S_IRWXU)
            .map_err(Fault::call("make a directory for the layer"))?;
        let dir = open(into, &name)?;
        Ok(Self { name, dir })
    }

    /// When it is empty.
    fn remove(&self, into: BorrowedFd<'_>) -> Result<(), Fault> {
        unlinkat(into, self.name.as_c_str(), UnlinkatFlags::RemoveDir)
            .map_err(Fault::call("remove the layer's directory"))
    }
}
