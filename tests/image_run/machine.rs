//! A store, a state root and a place for both, as a test's own machine.

use crate::harness::{Outcome, finish, fixture, program, scratch, slowness};
use crate::images::{Entry, Image, Packed, Packing, Tarball};
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// nobody, who is in no other group.
pub(crate) const USER: u32 = 65534;

/// Dropped, it fails the test if anything is left of its containers.
pub(crate) struct Machine {
    pub(crate) dir: PathBuf,
    commands: Cell<u32>,
    /// What /etc/subuid and /etc/subgid say, on the machine of user 65534.
    given: Option<String>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            dir: scratch("image-run"),
            commands: Cell::new(0),
            given: None,
        }
    }

    /// Of a user without rights, to whom these ids are given.
    pub(crate) fn of_user(given: &str) -> Self {
        let mut machine = Self::new();
        machine.given = Some(given.into());
        fs::write(machine.dir.join("given"), given).unwrap();
        std::os::unix::fs::chown(&machine.dir, Some(USER), Some(USER)).unwrap();
        machine.load("busybox", [base()], json!({ "Cmd": ["/bin/sh"] }));
        machine
    }

    /// With `busybox` in its store: a shell, its commands, and the users root and web.
    pub(crate) fn busybox() -> Self {
        let machine = Self::new();
        machine.load("busybox", [base()], json!({ "Cmd": ["/bin/sh"] }));
        machine
    }

    /// Puts an image into the store.
    pub(crate) fn load(&self, name: &str, layers: impl IntoIterator<Item = Packed>, config: Value) {
        self.load_image(name, Image::of(layers).config(config));
    }

    pub(crate) fn load_image(&self, name: &str, image: Image) {
        let layout = self.dir.join(format!("layout-{name}"));
        let full = format!("docker.io/library/{name}:latest");
        image.tag(Some(&full)).build().write_layout(&layout);
        let source = format!("oci:{}", layout.display());
        self.call(&["image", "load", &source]).succeeded();
        fs::remove_dir_all(layout).unwrap();
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = match self.given {
            None => Command::new(program()),
            Some(_) => {
                let script = "
                    set -e
                    for at in /etc/subuid /etc/subgid; do mount --bind given $at; done
                    exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all \"$@\"";
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "sh", "-c", script, "sh"])
                    .arg(program());
                command
            }
        };
        command.arg("--root").arg(self.state_dir()).args(args);
        command.env("BULKHEAD_STORE", self.store());
        command.current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    pub(crate) fn call(&self, args: &[&str]) -> Outcome {
        self.finish(self.command(args))
    }

    pub(crate) fn finish(&self, command: Command) -> Outcome {
        let number = self.commands.get();
        self.commands.set(number + 1);
        finish(command, &self.dir.join(number.to_string()))
    }

    /// A name for a container that no other test of the machine's groups has.
    pub(crate) fn id(&self) -> &str {
        self.dir.file_name().unwrap().to_str().unwrap()
    }

    /// `image run FLAGS… busybox sh -c SCRIPT`
    pub(crate) fn run(&self, flags: &[&str], script: &str) -> Outcome {
        let command = [
            &["image", "run"],
            flags,
            &["busybox", "/bin/sh", "-c", script],
        ];
        self.call(&command.concat())
    }

    /// What a command in a container of busybox writes, which succeeds.
    #[track_caller]
    pub(crate) fn told(&self, flags: &[&str], script: &str) -> String {
        self.run(flags, script).succeeded().stdout
    }

    #[track_caller]
    pub(crate) fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.call(&["state", id]).succeeded().stdout).unwrap()
    }

    /// The bundle of the container [`Machine::id`].
    pub(crate) fn bundle(&self) -> PathBuf {
        self.store().join("containers").join(self.id())
    }

    /// The files of containers in the store.
    pub(crate) fn bundles(&self) -> Vec<String> {
        names(&self.store().join("containers"))
    }

    pub(crate) fn layer_trees(&self) -> Vec<PathBuf> {
        let layers = self.store().join("layers");
        let trees = names(&layers).into_iter();
        trees.map(|name| layers.join(name).join("tree")).collect()
    }

    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found = self.bundles();
        found.extend(names(&self.state_dir()));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let dir = self.dir.to_str().unwrap();
        let mounts = mounts.lines().filter(|line| line.contains(dir));
        found.extend(mounts.map(String::from));
        found
    }

    /// Waits for what is to be gone, and tells what is not.
    pub(crate) fn left(&self) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(5) * slowness();
        loop {
            let left = self.leftovers();
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for id in names(&self.state_dir()) {
            self.call(&["delete", "--force", &id]);
        }
        if thread::panicking() {
            return;
        }
        let left = self.left();
        assert!(left.is_empty(), "left behind: {left:#?}");
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// busybox with users, as one layer.
pub(crate) fn base() -> Packed {
    let out = Command::new("tar")
        .arg("-C")
        .arg(fixture("busybox"))
        .args(["--sort=name", "--exclude=./etc", "-cf", "-", "."])
        .output()
        .unwrap();
    assert!(out.status.success());
    // The end of an archive is two blocks of zeros, and what fills up its last record.
    let end = out.stdout.iter().rposition(|byte| *byte != 0).unwrap();
    let entries = &out.stdout[..(end + 1).next_multiple_of(512)];
    let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n";
    let group = "root:x:0:\nweb:x:1001:\ntape:x:26:web\n";
    let more = [
        Entry::dir("etc"),
        Entry::file("etc/passwd", passwd),
        Entry::file("etc/group", group),
    ];
    let tar = [entries, &Tarball::of(more).end()].concat();
    Packed::new(Packing::Plain, tar)
}
