//! A layer over another whose names it goes through or links to: overlayfs and a flat tree show the same.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use crate::below::{flatten, overlay};
use crate::harness::needs;
use crate::images::{Entry, Holes, Packed};
use crate::unpacked::Ground;

/// The trees of two layers in both forms.
fn both(ground: &Ground, name: &str, lower: &[Entry], upper: &[Entry]) -> [PathBuf; 2] {
    let layers = [lower, upper].map(|entries| Packed::gzip(entries.to_vec()));
    flatten(ground, &format!("{name}-flat"), &layers).unwrap();
    overlay(ground, &format!("{name}-"), &layers);
    ["flat", "merged"].map(|form| ground.path(&format!("{name}-{form}")))
}

#[test]
fn a_directory_keeps_its_mode_where_another_entry_comes_to_it_through_a_link() {
    needs!(root, overlay);
    let ground = Ground::new("through");
    let lower = [
        Entry::dir("usr"),
        Entry::dir("usr/lib"),
        Entry::dir("usr/lib/p"),
        Entry::symlink("lib", "usr/lib"),
    ];
    let upper = [
        Entry::dir("usr/lib/p").mode(0o700).owner(5, 6).time(7, 0),
        Entry::file("lib/p/file", b"new"),
    ];
    for tree in both(&ground, "mode", &lower, &upper) {
        let stat = fs::metadata(tree.join("usr/lib/p")).unwrap();
        let seen = (stat.mode() & 0o7777, stat.uid(), stat.gid(), stat.mtime());
        assert_eq!(seen, (0o700, 5, 6, 7), "{}", tree.display());
        assert_eq!(fs::read(tree.join("usr/lib/p/file")).unwrap(), b"new");
    }
    // And one that no entry of the layer describes is like that below.
    let lower = [
        Entry::dir("usr"),
        Entry::dir("usr/p").mode(0o710).time(7, 0),
        Entry::symlink("l", "usr"),
    ];
    let upper = [Entry::file("usr/p/a", b""), Entry::file("l/p/b", b"")];
    for tree in both(&ground, "plain", &lower, &upper) {
        let stat = fs::metadata(tree.join("usr/p")).unwrap();
        assert_eq!((stat.mode() & 0o7777, stat.mtime()), (0o710, 7));
        assert!(tree.join("usr/p/a").exists() && tree.join("usr/p/b").exists());
    }
}

/// A name, what the upper layer has, and what files have then; none is there where that is empty.
type Case<'a> = (&'a str, Vec<Entry>, &'a [(&'a str, &'a str)]);

#[test]
fn a_hard_link_to_a_file_below_is_to_that_whatever_the_layer_does_to_its_name() {
    needs!(root, overlay);
    let ground = Ground::new("links");
    let lower = [
        Entry::file("f", b"old"),
        Entry::file("g", b"G"),
        Entry::dir("d"),
        Entry::file("d/f", b"old"),
    ];
    let link = |name, target| Entry::hardlink(name, target);
    let cases: [Case<'_>; 6] = [
        (
            "removed",
            vec![link("n", "f"), Entry::file(".wh.f", b"")],
            &[("n", "old"), ("f", "")],
        ),
        (
            "replaced",
            vec![link("n", "f"), link("m", "f"), Entry::file("f", b"new")],
            &[("n", "old"), ("m", "old"), ("f", "new")],
        ),
        (
            "chain",
            vec![link("g", "f"), link("a", "g")],
            &[("a", "old"), ("g", "old"), ("f", "old")],
        ),
        (
            "parent",
            vec![link("n", "d/f"), Entry::file(".wh.d", b"")],
            &[("n", "old"), ("d", "")],
        ),
        (
            "opaque",
            vec![link("n", "d/f"), Entry::file("d/.wh..wh..opq", b"")],
            &[("n", "old"), ("d/f", "")],
        ),
        (
            "kept",
            vec![link("n", "f"), link("m", "f")],
            &[("n", "old"), ("m", "old"), ("f", "old")],
        ),
    ];
    for (name, upper, expected) in cases {
        for tree in both(&ground, name, &lower, &upper) {
            for (file, text) in expected {
                let path = tree.join(file);
                match *text {
                    "" => assert!(!path.exists(), "{}", path.display()),
                    text => assert_eq!(
                        fs::read_to_string(&path).unwrap_or_default(),
                        text,
                        "{}",
                        path.display()
                    ),
                }
            }
            if tree.join("m").exists() {
                let inode = |name| fs::metadata(tree.join(name)).unwrap().ino();
                assert_eq!(inode("n"), inode("m"), "{name}");
            }
        }
    }
}

#[test]
fn a_copy_of_what_is_below_has_its_mode_and_its_holes() {
    needs!(root, overlay);
    let ground = Ground::new("copies");
    let lower = [
        Entry::fifo("pipe").mode(0o666),
        Entry::sparse(Holes::Pax10, "s", 1 << 30, &[(1 << 20, b"text")]),
    ];
    let upper = [Entry::hardlink("p", "pipe"), Entry::hardlink("t", "s")];
    for tree in both(&ground, "copy", &lower, &upper) {
        let pipe = fs::metadata(tree.join("p")).unwrap();
        assert!(pipe.file_type().is_fifo());
        assert_eq!(pipe.mode() & 0o7777, 0o666);
        let sparse = fs::metadata(tree.join("t")).unwrap();
        assert_eq!(sparse.len(), 1 << 30);
        assert!(sparse.blocks() < 2048, "{} blocks", sparse.blocks());
        let mut text = [0; 4];
        let file = fs::File::open(tree.join("t")).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut text, 1 << 20).unwrap();
        assert_eq!(&text, b"text");
    }
}
