//! Trees held against those of umoci, entry by entry.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use bulkhead::image::documents::Layer;
use bulkhead::image::layer::{self, Form};
use bulkhead::sys::xattr;

use crate::harness::needs;
use crate::images::{Entry, Holes, Image, Naming, Packed, Packing, Tarball};
use crate::unpacked::{Ground, described, policy};

/// All that can be seen of a tree, but inode numbers: files with several names are known by their first.
fn seen(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    let mut ahead = vec![root.to_path_buf()];
    while let Some(path) = ahead.pop() {
        let stat = fs::symlink_metadata(&path).unwrap();
        let name = path
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let kind = stat.file_type();
        let mut line = format!(
            "{:o} {}:{} {}.{:09} links {}",
            stat.mode(),
            stat.uid(),
            stat.gid(),
            stat.mtime(),
            stat.mtime_nsec(),
            if kind.is_dir() { 0 } else { stat.nlink() },
        );
        if kind.is_symlink() {
            line += &format!(" -> {}", fs::read_link(&path).unwrap().display());
        } else if kind.is_file() {
            let content = fs::read(&path).unwrap();
            line += &format!(
                " {} {}",
                content.len(),
                bulkhead::image::Digest::of(&content)
            );
        } else if !kind.is_dir() {
            line += &format!(" device {:x}", stat.rdev());
        }
        if kind.is_file() || kind.is_dir() {
            let file = File::open(&path).unwrap();
            for attribute in xattr::list(file.as_fd()).unwrap() {
                let value = xattr::get(file.as_fd(), &attribute).unwrap();
                line += &format!(" {attribute:?}={}", value.escape_ascii());
            }
        }
        if kind.is_dir() {
            let mut names: Vec<_> = fs::read_dir(&path)
                .unwrap()
                .map(|e| e.unwrap().path())
                .collect();
            names.sort_by(|a, b| b.as_os_str().as_bytes().cmp(a.as_os_str().as_bytes()));
            ahead.extend(names);
        } else if stat.nlink() > 1 {
            let first = first_names
                .entry(stat.ino())
                .or_insert_with(|| name.clone());
            line += &format!(" is {first}");
        }
        all.insert(name, line);
    }
    all
}

fn layers() -> Vec<Packed> {
    let long = format!("dir/{}/{}", "d".repeat(120), "f".repeat(150));
    let above = long.rsplit_once('/').unwrap().0.to_owned();
    let pieces: &[(u64, &[u8])] = &[(0, b"first"), (1 << 20, b"second"), (3 << 20, b"third")];
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let base = [
        Entry::dir("./").mode(0o755).time(1, 2),
        Entry::dir("dir").mode(0o2750).owner(12, 13).time(3, 400),
        Entry::dir(above).time(4, 0),
        Entry::file(&long, b"long names").time(5, 999_999_999),
        Entry::dir("tmp").mode(0o1777),
        Entry::file("dir/setuid", b"#!")
            .mode(0o4755)
            .owner(1000, 1000)
            .time(6, 0),
        Entry::file("dir/setgid", b"#!").mode(0o2711).time(6, 0),
        Entry::file("dir/capable", b"x").xattr("security.capability", capability),
        Entry::file("dir/noted", b"x")
            .xattr("user.note", b"a\0b")
            .xattr("user.more", b""),
        Entry::symlink("dir/link", "../else/where")
            .owner(7, 8)
            .time(9, 0),
        Entry::hardlink("dir/again", "dir/setuid"),
        Entry::hardlink("link-again", "dir/link"),
        Entry::fifo("pipe").mode(0o620).owner(1, 1),
        Entry::device(b'3', "null", 1, 3).mode(0o666),
        Entry::device(b'4', "disk", 259, 70_000)
            .mode(0o660)
            .owner(0, 6),
        Entry::file("big-owner", b"").owner(4_000_000_000, 3_000_000_000),
        Entry::file("empty", b"").time(-1000, 0),
        Entry::sparse(Holes::Pax10, "holes", 4 << 20, pieces),
        Entry::dir("gone"),
        Entry::file("gone/file", b""),
        Entry::dir("emptied"),
        Entry::file("emptied/file", b""),
        Entry::file("changed", b"old"),
    ];
    let upper = [
        Entry::file(".wh.gone", b""),
        Entry::dir("emptied").mode(0o700).time(20, 0),
        Entry::file("emptied/.wh..wh..opq", b""),
        Entry::file("emptied/new", b"new"),
        Entry::file("changed", b"new").mode(0o600).time(21, 0),
        Entry::dir("dir").mode(0o755).owner(0, 0).time(22, 0),
        Entry::file("dir/.wh.noted", b""),
        Entry::file("null", b"a file now"),
        Entry::file("n".repeat(200), b"by GNU").naming(Naming::Gnu),
        Entry::dir("./").mode(0o711).time(23, 0),
    ];
    vec![
        Packed::new(Packing::Gzip, Tarball::of(base).end()),
        Packed::new(Packing::Plain, Tarball::of(upper).end()),
    ]
}

#[test]
fn a_flat_tree_is_the_one_that_umoci_makes() {
    needs!(root, umoci);
    let ground = Ground::new("peers");
    let layers = layers();
    Image::of(layers.clone())
        .build()
        .write_layout(&ground.path("layout"));
    let image = format!("{}:latest", ground.path("layout").display());
    let out = Command::new("umoci")
        .args(["unpack", "--image", &image])
        .arg(ground.path("bundle"))
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );

    fs::create_dir(ground.path("tree")).unwrap();
    let into = File::open(ground.path("tree")).unwrap();
    let described: Vec<Layer> = layers.iter().map(described).collect();
    let open = |layer: &Layer| {
        let packed = layers
            .iter()
            .find(|packed| packed.digest() == layer.blob.digest);
        Ok(Box::new(io::Cursor::new(packed.unwrap().blob.clone())) as Box<dyn io::Read + Send>)
    };
    layer::flatten(&described, open, into.as_fd(), &policy(Form::Flat)).unwrap();

    let (ours, theirs) = (
        seen(&ground.path("tree")),
        seen(&ground.path("bundle/rootfs")),
    );
    assert!(ours.len() > 20);
    let names: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differences: Vec<String> = names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| {
            format!(
                "{name}\n  ours   {:?}\n  theirs {:?}",
                ours.get(name),
                theirs.get(name)
            )
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
