//! A store of a test's own, and the built program at work on it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use bulkhead::image::{Digest, Store};
use serde_json::Value;

use crate::harness::{Outcome, finish, program, scratch};
use crate::images::{Entry, Image, Packed};

#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) dir: PathBuf,
    store: PathBuf,
    count: AtomicU32,
}

impl Ground {
    pub(crate) fn new(name: &str) -> Self {
        let dir = scratch(name);
        Self {
            store: dir.join("store"),
            dir,
            count: AtomicU32::new(0),
        }
    }

    /// The store lies there.
    pub(crate) fn at(mut self, store: PathBuf) -> Self {
        self.store = store;
        self
    }

    pub(crate) fn store_path(&self) -> &Path {
        &self.store
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.store).unwrap()
    }

    /// A file of the test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .arg("image")
            .args(args)
            .env("BULKHEAD_STORE", &self.store)
            .current_dir(&self.dir)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn call(&self, args: &[&str]) -> Outcome {
        self.finish(self.command(args))
    }

    pub(crate) fn finish(&self, command: Command) -> Outcome {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        finish(command, &self.dir.join(format!(".{number}.of")))
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// A layout with this image, as the argument of commands.
    pub(crate) fn layout(&self, name: &str, image: Image) -> String {
        image.build().write_layout(&self.path(name));
        format!("oci:{name}")
    }

    #[track_caller]
    pub(crate) fn load(&self, name: &str, image: Image) -> String {
        let place = self.layout(name, image);
        self.call(&["load", "-q", &place])
            .succeeded()
            .stdout
            .trim()
            .into()
    }

    /// What `ls` says in JSON.
    #[track_caller]
    pub(crate) fn list(&self) -> Vec<Value> {
        let text = self.call(&["ls", "--format", "json"]).succeeded().stdout;
        serde_json::from_str(&text).unwrap()
    }

    #[track_caller]
    pub(crate) fn names(&self) -> Vec<String> {
        let list = self.list();
        list.iter()
            .map(|one| one["name"].as_str().unwrap().into())
            .collect()
    }

    /// The tree of an image's top layer.
    pub(crate) fn top(&self, image: &str) -> PathBuf {
        let store = self.store();
        let image = store.resolve(image).unwrap();
        store.layers(&image).unwrap().pop().unwrap()
    }

    /// All that the store has, with what is in it.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        if self.store.exists() {
            look(&self.store, &mut found);
        }
        found
    }

    #[track_caller]
    pub(crate) fn verifies(&self) {
        self.call(&["verify"]).succeeded();
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.dir).unwrap();
        }
    }
}

fn look(at: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        let kind = about.file_type();
        let content = match () {
            () if kind.is_file() => Digest::of(&fs::read(&path).unwrap()).to_string(),
            () if kind.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
            () if kind.is_char_device() => "device".into(),
            () => String::new(),
        };
        let text = format!(
            "{:o} {}:{} {content}",
            about.mode(),
            about.uid(),
            about.gid()
        );
        found.insert(path.clone(), text);
        if kind.is_dir() {
            look(&path, found);
        }
    }
}

/// A layer of one file.
pub(crate) fn layer(name: &str, content: &str) -> Packed {
    Packed::gzip([
        Entry::dir("etc/"),
        Entry::file(format!("etc/{name}"), content),
    ])
}

/// An image of two layers; different ones for different words.
pub(crate) fn image(word: &str) -> Image {
    Image::of([layer("base", "the base"), layer(word, word)])
        .config(serde_json::json!({"Cmd": [word], "Env": ["PATH=/bin"]}))
}
