//! What `mounts` of config.json and all that concerns the container's tree come to, seen from inside
//! and from outside.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;

mod devices;
mod filesystems;
mod idmap;
mod options;
mod paths;
mod propagation;
mod remounts;
mod targets;
mod user_namespace;

use harness::{Bundle, mount_at};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn has(list: &Value, word: &str) -> bool {
    list.as_array().unwrap().iter().any(|item| item == word)
}

fn filesystem(kind: &str, target: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": kind, "source": kind, "options": options })
}

fn tmpfs(target: &str, options: &[&str]) -> Value {
    filesystem("tmpfs", target, options)
}

fn bind(source: &Path, target: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": "bind", "source": source, "options": options })
}

/// Allows the program what mounting needs.
fn allow_mounting(bundle: &mut Bundle) {
    for set in ["bounding", "permitted", "effective"] {
        let set = format!("/process/capabilities/{set}/-");
        bundle.set(&set, json!("CAP_SYS_ADMIN"));
    }
}

/// A mount of the test's own side, which goes away with this value.
#[derive(Debug)]
struct Mounted(PathBuf);

impl Mounted {
    /// A tmpfs on a new folder.
    fn tmpfs(at: PathBuf, flags: MsFlags) -> Self {
        std::fs::create_dir_all(&at).unwrap();
        mount(Some("tmpfs"), &at, Some("tmpfs"), flags, None::<&str>).unwrap();
        Self(at)
    }

    /// A folder bound on itself.
    fn itself(at: PathBuf) -> Self {
        let none = None::<&str>;
        mount(Some(&at), &at, none, MsFlags::MS_BIND, none).unwrap();
        Self(at)
    }

    fn shared(self) -> Self {
        let none = None::<&str>;
        mount(none, &self.0, none, MsFlags::MS_SHARED, none).unwrap();
        self
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
    }
}
