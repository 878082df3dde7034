//! Attacks that were published for other runtimes, tried on this one. The root filesystem and what
//! runs in it are hostile; a canary outside must not be touched.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;

mod descriptors;
mod executable;
mod guests;
mod links;
mod proc;
mod race;
mod ways_out;

use harness::Bundle;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A folder beside the root filesystem that stands for the host.
#[derive(Debug)]
struct Canary {
    dir: PathBuf,
    before: Vec<String>,
}

impl Canary {
    fn new(bundle: &Bundle) -> Self {
        let dir = bundle.dir.join("canary");
        fs::create_dir(&dir).unwrap();
        for name in ["file", "ptmx"] {
            fs::write(dir.join(name), "of the host").unwrap();
        }
        fs::create_dir(dir.join("sub")).unwrap();
        let before = contents(&dir);
        Self { dir, before }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Nothing was made, removed or changed in it, and nothing mounted on it.
    #[track_caller]
    fn is_untouched(&self, by: &str) {
        assert_eq!(contents(&self.dir), self.before, "touched by {by}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(
            !mounts.contains(self.dir.to_str().unwrap()),
            "{by}: {mounts}"
        );
    }

    /// Texts of a link in the root filesystem that lead here when they are followed from the host.
    fn ways(&self) -> Vec<String> {
        let dir = self.dir.display();
        vec![
            dir.to_string(),
            "../canary".to_owned(),
            "../../../../../../../../../..".to_owned() + self.dir.to_str().unwrap(),
            format!("/proc/self/root{dir}"),
            format!("/proc/1/root{dir}"),
            "/proc/self/cwd/canary".to_owned(),
        ]
    }
}

/// Names, kinds, modes, owners and texts of everything in a folder.
fn contents(dir: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let (path, about) = (entry.path(), entry.path().symlink_metadata().unwrap());
        let text = if about.is_file() {
            fs::read_to_string(&path).unwrap()
        } else {
            String::new()
        };
        let (mode, owner) = (about.mode(), about.uid());
        found.push(format!("{} {mode:o} {owner} {text}", path.display()));
        if about.is_dir() {
            found.append(&mut contents(&path));
        }
    }
    found.sort();
    found
}

fn tmpfs(target: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": "tmpfs", "source": "tmpfs", "options": options })
}

fn bind(source: &std::path::Path, target: &str) -> Value {
    json!({ "destination": target, "type": "bind", "source": source, "options": ["bind"] })
}

/// A container of user 1000 that waits at the gate.
fn create_without_root() -> Bundle {
    let mut bundle = Bundle::probe(&[]);
    bundle.map_users(1000, 1).set("/mounts", json!([]));
    bundle.call_as(1000, &["create", &bundle.id]).succeeded();
    bundle
}
