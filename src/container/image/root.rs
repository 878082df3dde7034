//! What the root of a container is made of: an overlay of the layers, or where the kernel has none a flat
//! copy of them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use nix::unistd::{getegid, geteuid};
use serde::{Deserialize, Serialize};

use super::write;
use crate::container::{Error, call};
use crate::image::Store;
use crate::image::documents::Layer;
use crate::image::layer::{Devices, Form, Limits, Owners, Unpacking, flatten};
use crate::image::store::Image;
use crate::image::users::Users;
use crate::launch::{self, Unstacked};
use crate::plan::step;
use crate::spec::overlay::{self, Overlay};
use crate::sys::apart::{self, apart};
use crate::sys::{clone, errno, identity, mount};

/// To look at a root: seconds more than it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// However large an image is.
const COPYING: Duration = Duration::from_secs(3600);

/// How a root is to be made.
#[derive(Debug)]
pub(super) struct Root<'a> {
    pub(super) store: &'a Store,
    pub(super) image: &'a Image,
    /// The layers are unpacked, and are to be stacked, as a user may.
    pub(super) userxattr: bool,
    /// It is mounted in a user namespace.
    pub(super) users_are_ours: bool,
}

/// What was found by stacking the layers once.
#[derive(Debug, Serialize, Deserialize)]
enum Seen {
    Users(Users),
    /// The kernel does not stack them, in its own words.
    Refused(String),
    /// It was not to be found out.
    Failed(String),
}

impl Root<'_> {
    /// Makes the root in the bundle `dir`, and reads its users.
    pub(super) fn make(&self, dir: &Path) -> Result<Users, Error> {
        for name in ["rootfs", "upper", "work"] {
            let path = dir.join(name);
            fs::create_dir(&path).map_err(|e| fault(&path, &e))?;
        }
        let layers = self.store.layers(self.image)?;
        // What the upper directory is like is what the root of the container is like.
        if let Some(top) = layers.last() {
            dress_as(&dir.join("upper"), top)?;
        }
        let document = overlay::Document {
            layers,
            upper: Some("upper".into()),
            work: Some("work".into()),
            userxattr: self.userxattr,
        };
        let json = serde_json::to_vec(&document).expect("paths of ours are UTF-8");
        write(dir, overlay::FILE, &json)?;
        let asked = crate::spec::overlay::load(dir)?;
        let asked = asked.expect("written a moment ago");
        match self.look(&asked, &dir.join("rootfs"))? {
            Seen::Users(users) => Ok(users),
            Seen::Failed(why) => Err(Error::ImageFiles(apart::Error::Said(why))),
            Seen::Refused(why) => {
                let id = dir.file_name().unwrap_or_default().display();
                log::warn!("container {id}: {why}; it gets a copy of the layers");
                fs::remove_file(dir.join(overlay::FILE)).map_err(|e| fault(dir, &e))?;
                self.flatten(&dir.join("rootfs"))
            }
        }
    }

    /// All layers as one tree, for this container alone.
    fn flatten(&self, rootfs: &Path) -> Result<Users, Error> {
        let into = File::open(rootfs).map_err(|e| fault(rootfs, &e))?;
        let (owners, devices) = match self.users_are_ours {
            true => (Owners::One, Devices::Skip),
            false => (Owners::AsWritten, Devices::Make),
        };
        let how = Unpacking {
            form: Form::Flat,
            limits: Limits::default(),
            owners,
            devices,
        };
        let layers = self.store.image_layers(self.image)?;
        let open = |layer: &Layer| -> io::Result<Box<dyn Read + Send>> {
            let blob = self.store.open_blob(&layer.blob);
            Ok(Box::new(blob.map_err(io::Error::other)?))
        };
        apart(COPYING, || {
            let unpacked = flatten(&layers, open, into.as_fd(), &how);
            unpacked.map(|_| String::new()).map_err(|e| e.to_string())
        })
        .map_err(Error::ImageFiles)?;
        read_users(into.as_fd()).map_err(Error::ImageUsers)
    }

    /// Stacks the layers once as the container will, in a process with namespaces of its own.
    fn look(&self, asked: &Overlay, at: &Path) -> Result<Seen, Error> {
        let answer = apart(PATIENCE, || {
            let seen = match self.enter_namespaces() {
                Ok(()) => {
                    let stack = step::Overlay::new(asked, at, mount::appends_layers());
                    launch::try_stack(stack, read_users)
                }
                Err(e) => return told(&Seen::Failed(e.to_string())),
            };
            told(&match seen {
                Ok(users) => Seen::Users(users?),
                Err(Unstacked::Refused(why)) => Seen::Refused(why),
                Err(Unstacked::Failed(e)) => Seen::Failed(e.to_string()),
            })
        });
        let answer = answer.map_err(|e| match e {
            // What is wrong with the image.
            apart::Error::Said(why) => Error::ImageUsers(why),
            e => Error::ImageFiles(e),
        })?;
        serde_json::from_str(&answer).map_err(|e| Error::ImageUsers(e.to_string()))
    }

    fn enter_namespaces(&self) -> Result<(), Error> {
        let bit = |flag: libc::c_int| u64::from(flag.cast_unsigned());
        let users = match self.users_are_ours {
            true => bit(libc::CLONE_NEWUSER),
            false => 0,
        };
        let (uid, gid) = (geteuid(), getegid());
        // Else the files in /proc by which the ids are mapped would be the host's root's.
        identity::set_dumpable().map_err(call("become dumpable"))?;
        clone::unshare(bit(libc::CLONE_NEWNS) | users).map_err(call("make namespaces"))?;
        if users != 0 {
            for (file, text) in [
                ("setgroups", "deny".to_owned()),
                ("uid_map", format!("0 {uid} 1")),
                ("gid_map", format!("0 {gid} 1")),
            ] {
                fs::write(format!("/proc/self/{file}"), text)
                    .map_err(|e| call("map the own ids")(errno(&e)))?;
            }
        }
        mount::set_propagation(c"/", libc::MS_REC | libc::MS_PRIVATE)
            .map_err(call("make every mount private"))
    }
}

fn told(seen: &Seen) -> Result<String, String> {
    serde_json::to_string(seen).map_err(|e| e.to_string())
}

fn read_users(root: BorrowedFd<'_>) -> Result<Users, String> {
    Users::read(root).map_err(|e| e.to_string())
}

fn dress_as(upper: &Path, top: &Path) -> Result<(), Error> {
    let about = fs::metadata(top).map_err(|e| fault(top, &e))?;
    let own = fs::metadata(upper).map_err(|e| fault(upper, &e))?;
    let mode = fs::Permissions::from_mode(about.mode() & 0o7777);
    if (about.uid(), about.gid()) != (own.uid(), own.gid()) {
        chown(upper, Some(about.uid()), Some(about.gid())).map_err(|e| fault(upper, &e))?;
    }
    fs::set_permissions(upper, mode).map_err(|e| fault(upper, &e))
}

fn fault(path: &Path, e: &std::io::Error) -> Error {
    Error::Bundle {
        path: path.into(),
        errno: errno(e),
    }
}
