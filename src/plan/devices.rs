//! What every /dev has, and the document's own nodes.

use std::path::Path;

use super::step::{Mount, Node, Source, Step, TargetRule};
use super::{Error, Planner};
use crate::spec::container::{Device, NodeKind};
use crate::spec::mounts::{Attributes, What};
use crate::spec::units::InRoot;

/// The OCI runtime specification's default devices (config-linux.md), as minors of /dev/mem's
/// major but for tty.
const DEFAULT: &[(&str, u32, u32)] = &[
    ("dev/null", 1, 3),
    ("dev/zero", 1, 5),
    ("dev/full", 1, 7),
    ("dev/random", 1, 8),
    ("dev/urandom", 1, 9),
    ("dev/tty", 5, 0),
];

/// Its default symbolic links.
const LINKS: &[(&std::ffi::CStr, &str)] = &[
    (c"/proc/self/fd", "dev/fd"),
    (c"/proc/self/fd/0", "dev/stdin"),
    (c"/proc/self/fd/1", "dev/stdout"),
    (c"/proc/self/fd/2", "dev/stderr"),
];

fn in_root(path: &str) -> InRoot {
    InRoot::new(path).expect("a constant of this file")
}

impl Planner<'_> {
    /// A /dev that is bound from the host is left as it is, like runc does.
    pub(super) fn devices(&mut self) -> Result<(), Error> {
        let bound = self.container.mounts.iter().any(|mount| {
            mount.target.as_path() == Path::new("dev") && matches!(mount.what, What::Bind { .. })
        });
        if bound {
            return Ok(());
        }
        let own = &self.container.devices;
        for (path, major, minor) in DEFAULT {
            let at = in_root(path);
            if own.iter().any(|device| device.path == at) {
                continue;
            }
            self.device(&Device {
                path: at,
                kind: NodeKind::Char,
                major: *major,
                minor: *minor,
                mode: 0o666,
                uid: 0,
                gid: 0,
            })?;
        }
        for device in own {
            self.device(device)?;
        }
        for (text, at) in LINKS {
            let at = in_root(at);
            self.push(Step::Link {
                text: (*text).into(),
                at,
                replace: false,
            });
        }
        if self.host.has_kcore {
            let at = in_root("dev/core");
            self.push(Step::Link {
                text: c"/proc/kcore".into(),
                at,
                replace: false,
            });
        }
        // The container's own instance of devpts, whatever the image has there.
        let at = in_root("dev/ptmx");
        self.push(Step::Link {
            text: c"pts/ptmx".into(),
            at,
            replace: true,
        });
        Ok(())
    }

    fn device(&mut self, device: &Device) -> Result<(), Error> {
        let is_fifo = device.kind == NodeKind::Fifo;
        if is_fifo || !self.has_user_namespace() && !self.host.in_user_namespace {
            self.push(Step::Node(Node {
                at: device.path.clone(),
                kind: device.kind,
                major: device.major,
                minor: device.minor,
                mode: device.mode,
                uid: device.uid,
                gid: device.gid,
            }));
            return Ok(());
        }
        // mknod needs CAP_MKNOD of the host's user namespace: bind the host's node.
        let path = Path::new("/").join(device.path.as_path());
        let tree = self.tree(&path, false)?;
        self.push(Step::Mount(Mount {
            source: Source::Bind(tree),
            target: device.path.clone(),
            attributes: Attributes::default(),
            recursive: Attributes::default(),
            propagation: Vec::new(),
            copy_up: false,
            keep_mode: false,
            rule: TargetRule::NotProc,
        }));
        Ok(())
    }
}
