//! What a layer does to those below it, and takes from them.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bulkhead::image::documents::Layer;
use bulkhead::image::layer::{self, Error, Form, Unpacked, Unpacking};

use crate::harness::needs;
use crate::images::{Entry, Packed};
use crate::unpacked::{Ground, described, policy};

pub(crate) fn flatten(
    ground: &Ground,
    name: &str,
    layers: &[Packed],
) -> Result<Vec<Unpacked>, Error> {
    fs::create_dir(ground.path(name)).unwrap();
    let into = File::open(ground.path(name)).unwrap();
    flatten_as(&into, layers, &policy(Form::Flat))
}

pub(crate) fn flatten_as(
    into: &File,
    layers: &[Packed],
    how: &Unpacking,
) -> Result<Vec<Unpacked>, Error> {
    let described: Vec<Layer> = layers.iter().map(described).collect();
    let open = |layer: &Layer| {
        let packed = layers
            .iter()
            .find(|packed| packed.digest() == layer.blob.digest);
        let blob = packed.unwrap().blob.clone();
        Ok(Box::new(io::Cursor::new(blob)) as Box<dyn io::Read + Send>)
    };
    layer::flatten(&described, open, into.as_fd(), how)
}

/// Unpacks and completes layers under `PREFIX0` and so on, and mounts them as `PREFIXmerged`.
pub(crate) fn overlay(ground: &Ground, prefix: &str, layers: &[Packed]) {
    let name = |number: usize| format!("{prefix}{number}");
    let mut dirs: Vec<File> = Vec::new();
    for (number, packed) in layers.iter().enumerate() {
        let done = ground
            .unpack_into(&name(number), packed, &policy(Form::Overlay))
            .unwrap();
        let into = File::open(ground.path(&name(number))).unwrap();
        let below: Vec<BorrowedFd<'_>> = dirs.iter().rev().map(AsFd::as_fd).collect();
        layer::complete(&done.leanings, &below, into.as_fd()).unwrap();
        dirs.push(into);
    }
    let lower: Vec<String> = (0..layers.len())
        .rev()
        .map(|number| ground.path(&name(number)).display().to_string())
        .collect();
    let merged = ground.path(&format!("{prefix}merged"));
    fs::create_dir(&merged).unwrap();
    let options = format!("lowerdir={}", lower.join(":"));
    let mounted = std::process::Command::new("mount")
        .args(["-t", "overlay", "-o", &options, "overlay"])
        .arg(merged)
        .status()
        .unwrap();
    assert!(mounted.success());
}

/// The layers of the tests: what an image's base has, and what is built upon it.
fn layers() -> Vec<Packed> {
    vec![
        Packed::gzip([
            Entry::dir("./").mode(0o711).time(1, 0),
            Entry::dir("usr").mode(0o750).owner(5, 6).time(2, 3),
            Entry::dir("usr/lib").mode(0o700),
            Entry::symlink("lib", "usr/lib"),
            Entry::file("usr/lib/a", b"a")
                .xattr("user.kept", b"1")
                .owner(8, 9)
                .mode(0o4711),
            Entry::file("usr/lib/gone", b""),
            Entry::dir("opaque"),
            Entry::file("opaque/old", b""),
            Entry::dir("tree"),
            Entry::dir("tree/deep"),
            Entry::file("tree/deep/file", b""),
            Entry::file("turns", b"a file"),
            Entry::dir("was-dir"),
            Entry::file("was-dir/x", b""),
        ]),
        Packed::gzip([
            Entry::file("usr/lib/b", b"b"),
            Entry::file("lib/c", b"c"),
            Entry::file("lib/.wh.gone", b""),
            Entry::file("opaque/.wh..wh..opq", b""),
            Entry::file("opaque/new", b""),
            Entry::file(".wh.tree", b""),
            Entry::dir("turns").mode(0o710).time(77, 0),
            Entry::file("turns/x", b""),
            Entry::file("was-dir", b"a file now"),
            Entry::hardlink("second", "lib/a"),
        ]),
        Packed::gzip([
            Entry::dir("usr").mode(0o755).time(9, 9),
            Entry::hardlink("third", "second"),
            Entry::file("tree/anew", b""),
        ]),
    ]
}

/// Whatever the way to it, this is what is to be seen.
fn assert_result(root: &Path) {
    let at = |name: &str| root.join(name);
    let stat = |name: &str| fs::symlink_metadata(at(name)).unwrap();
    assert!(
        stat("lib").is_symlink(),
        "the link of the first layer stays"
    );
    for name in [
        "usr/lib/a",
        "usr/lib/b",
        "usr/lib/c",
        "opaque/new",
        "turns/x",
        "tree/anew",
    ] {
        assert!(at(name).exists(), "{name}");
    }
    for name in ["usr/lib/gone", "opaque/old", "tree/deep", "was-dir/x"] {
        assert!(!at(name).exists(), "{name}");
    }
    assert_eq!(fs::read(at("was-dir")).unwrap(), b"a file now");
    let usr = stat("usr");
    assert_eq!(
        (
            usr.mode() & 0o7777,
            usr.uid(),
            usr.mtime(),
            usr.mtime_nsec()
        ),
        (0o755, 0, 9, 9)
    );
    assert_eq!(stat("usr/lib").mode() & 0o7777, 0o700);
    assert_eq!(
        (stat("turns").mode() & 0o7777, stat("turns").mtime()),
        (0o710, 77)
    );
    let a = stat("usr/lib/a");
    assert_eq!((a.mode() & 0o7777, a.uid(), a.gid()), (0o4711, 8, 9));
    // Of a file of another layer, overlayfs knows no further name: each layer that has one has all.
    assert_eq!(stat("second").ino(), stat("third").ino());
    for name in ["second", "third"] {
        let stat = stat(name);
        assert_eq!(
            (stat.mode() & 0o7777, stat.uid(), stat.gid()),
            (0o4711, 8, 9),
            "{name}"
        );
        assert_eq!(fs::read(at(name)).unwrap(), b"a");
    }
}

#[test]
fn layers_become_one_tree() {
    needs!(root);
    let ground = Ground::new("flat");
    let done = flatten(&ground, "tree", &layers()).unwrap();
    assert_eq!(done.len(), 3);
    assert_result(&ground.path("tree"));
    let inode = |name: &str| fs::metadata(ground.path("tree").join(name)).unwrap().ino();
    assert_eq!(inode("usr/lib/a"), inode("second"));
    let root = fs::metadata(ground.path("tree")).unwrap();
    assert_eq!((root.mode() & 0o7777, root.mtime()), (0o711, 1));
    let names = fs::read_dir(ground.path("tree")).unwrap();
    assert_eq!(names.count(), 8, "and nothing of the unpacking");
}

#[test]
fn overlayfs_shows_the_same_of_completed_layers() {
    needs!(root, overlay);
    let ground = Ground::new("overlay");
    overlay(&ground, "", &layers());
    assert_result(&ground.path("merged"));
    let usr = fs::metadata(ground.path("1/usr")).unwrap();
    assert_eq!((usr.mode() & 0o7777, usr.uid(), usr.gid()), (0o750, 5, 6));
    assert_eq!((usr.mtime(), usr.mtime_nsec()), (2, 3));
}

#[test]
fn a_layer_does_to_those_below_only_what_stays_in_the_tree() {
    needs!(root);
    let ground = Ground::new("below");
    ground.lay_out_outside();
    let outside = ground.path("outside").display().to_string();
    for (number, target) in ["../outside", "../../../../outside", &outside]
        .into_iter()
        .enumerate()
    {
        let lower = Packed::gzip([Entry::symlink("l", target)]);
        let uppers: [(&str, Vec<Entry>); 4] = [
            ("through", vec![Entry::file("l/file", b"hostile")]),
            ("whiteout", vec![Entry::file("l/.wh.file", b"")]),
            ("opaque", vec![Entry::file("l/.wh..wh..opq", b"")]),
            ("link", vec![Entry::hardlink("h", "l/file")]),
        ];
        for (name, entries) in uppers {
            let name = format!("{name}-{number}");
            let upper = Packed::gzip(entries);
            // Inside there is no such file to link to.
            let is_link = name.starts_with("link");
            let result = flatten(&ground, &name, &[lower.clone(), upper.clone()]);
            assert_eq!(result.is_err(), is_link, "{name}: {result:?}");
            ground.assert_outside_is_untouched();

            let [low, up] = ["low", "up"].map(|part| format!("{name}-{part}"));
            ground
                .unpack_into(&low, &lower, &policy(Form::Overlay))
                .unwrap();
            let done = ground
                .unpack_into(&up, &upper, &policy(Form::Overlay))
                .unwrap();
            let (below, into) = (
                File::open(ground.path(&low)).unwrap(),
                File::open(ground.path(&up)).unwrap(),
            );
            let result = layer::complete(&done.leanings, &[below.as_fd()], into.as_fd());
            assert_eq!(result.is_err(), is_link, "{name}: {result:?}");
            ground.assert_outside_is_untouched();
        }
    }
}

#[test]
fn a_bad_layer_is_named_among_several() {
    needs!(root);
    let ground = Ground::new("bad");
    let bad = Packed::gzip([Entry::file("../x", b"")]);
    let all = [layers(), vec![bad.clone()]].concat();
    let error = flatten(&ground, "tree", &all).unwrap_err();
    assert_eq!(error.layer, bad.digest());
}
