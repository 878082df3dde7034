//! What comes of good layers.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use bulkhead::image::layer::{Devices, Form, Owners, Removed};

use crate::harness::needs;
use crate::images::{Entry, Holes, Naming, Packed, Packing, Tarball};
use crate::unpacked::{Ground, policy};

#[test]
fn a_tree_has_what_its_layer_says() {
    needs!(root);
    let ground = Ground::new("tree");
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let long = format!("usr/{}/{}", "d".repeat(120), "f".repeat(120));
    let entries = [
        Entry::dir("./").mode(0o751).owner(3, 4),
        Entry::dir("usr").mode(0o555).time(1000, 5),
        Entry::file("usr/sh", b"#!")
            .mode(0o4755)
            .owner(0, 50)
            .time(7, 1),
        Entry::file("usr/ping", b"x").xattr("security.capability", capability),
        Entry::file("usr/other", b"")
            .owner(100_000, 3_000_000)
            .mode(0o640),
        Entry::file(&long, b"long").naming(Naming::Gnu),
        Entry::hardlink("sh", "./usr/sh"),
        Entry::symlink("bin", "usr"),
        Entry::hardlink("bin2", "bin"),
        Entry::fifo("pipe").mode(0o600),
        Entry::device(b'3', "null", 1, 3),
        Entry::device(b'4', "disk", 8, 300),
        Entry::file("bin/through", b"a link"),
        Entry::dir("tmp").mode(0o1777),
        Entry::dir("group").mode(0o2755).owner(0, 7),
        Entry::file("group/of-root", b""),
    ];
    let tar = Tarball::of(entries).end();
    for packing in Packing::ALL {
        let layer = Packed::new(packing, tar.clone());
        let done = ground.unpack_into(&format!("{packing:?}"), &layer, &policy(Form::Overlay));
        let done = done.unwrap();
        let at = |name: &str| ground.path(&format!("{packing:?}")).join(name);
        let stat = |name: &str| fs::symlink_metadata(at(name)).unwrap();
        assert_eq!(done.entries, 16);
        assert!(done.describes_root);
        assert_eq!(stat("").mode() & 0o7777, 0o751);
        assert_eq!((stat("").uid(), stat("").gid()), (3, 4));
        assert_eq!(
            (
                stat("usr").mode() & 0o7777,
                stat("usr").mtime(),
                stat("usr").mtime_nsec()
            ),
            (0o555, 1000, 5)
        );
        let sh = stat("usr/sh");
        assert_eq!(
            (sh.mode() & 0o7777, sh.gid(), sh.mtime(), sh.mtime_nsec()),
            (0o4755, 50, 7, 1)
        );
        assert_eq!((stat("sh").ino(), sh.nlink()), (sh.ino(), 2));
        let other = stat("usr/other");
        assert_eq!(
            (other.uid(), other.gid(), other.mode() & 0o7777),
            (100_000, 3_000_000, 0o640)
        );
        assert_eq!(
            ground.xattr(&at("usr/ping"), c"security.capability"),
            Some(capability.to_vec())
        );
        assert_eq!(fs::read(at(&long)).unwrap(), b"long");
        assert_eq!(fs::read_link(at("bin2")).unwrap().to_str(), Some("usr"));
        assert!(stat("pipe").file_type().is_fifo());
        assert_eq!(stat("null").rdev(), libc::makedev(1, 3));
        assert_eq!(stat("disk").rdev(), libc::makedev(8, 300));
        assert!(stat("disk").file_type().is_block_device());
        assert_eq!(fs::read(at("usr/through")).unwrap(), b"a link");
        assert_eq!(stat("tmp").permissions().mode() & 0o7777, 0o1777);
        assert_eq!(
            (stat("group").mode() & 0o7777, stat("group/of-root").gid()),
            (0o2755, 0)
        );
        // The directory above the long name, which no entry describes.
        assert_eq!(done.leanings.directories().count(), 1);
    }
}

#[test]
fn holes_stay_holes_in_all_four_forms() {
    needs!(root);
    let ground = Ground::new("holes");
    let pieces: Vec<(u64, Vec<u8>)> = (0..30).map(|n| (n * 1_000_000, vec![b'x'; 700])).collect();
    let pieces: Vec<(u64, &[u8])> = pieces.iter().map(|(at, b)| (*at, b.as_slice())).collect();
    let size = 40_000_000;
    for form in [Holes::Old, Holes::Pax00, Holes::Pax01, Holes::Pax10] {
        let name = format!("{form:?}");
        let layer = Packed::gzip([
            Entry::sparse(form, "disk", size, &pieces),
            Entry::file("next", b"n"),
        ]);
        ground
            .unpack_into(&name, &layer, &policy(Form::Overlay))
            .unwrap();
        let content = fs::read(ground.path(&name).join("disk")).unwrap();
        assert_eq!(content.len() as u64, size, "{name}");
        let expected = content.iter().enumerate().all(|(at, byte)| {
            let in_piece = at < 30_000_000 && at % 1_000_000 < 700;
            *byte == if in_piece { b'x' } else { 0 }
        });
        assert!(expected, "{name}");
        let blocks = fs::metadata(ground.path(&name).join("disk"))
            .unwrap()
            .blocks();
        assert!(blocks * 512 < 1_000_000, "{name}: {blocks} blocks");
        assert_eq!(fs::read(ground.path(&name).join("next")).unwrap(), b"n");
    }
}

#[test]
fn whiteouts_are_those_of_overlayfs_or_a_list() {
    needs!(root);
    let ground = Ground::new("whiteouts");
    let layer = Packed::gzip([
        Entry::file("etc/.wh.gone", b""),
        Entry::dir("opaque"),
        Entry::file("opaque/.wh..wh..opq", b""),
        Entry::file("opaque/new", b""),
        // In any order, what the layer itself has stays, and what was below it is hidden.
        Entry::file(".wh.anew", b""),
        Entry::dir("anew"),
        Entry::dir("before"),
        Entry::file("before/kept", b""),
        Entry::file(".wh.before", b""),
        Entry::file(".wh.replaced", b""),
        Entry::file("replaced", b"new"),
        Entry::file(".wh.implicit", b""),
        Entry::file("implicit/file", b""),
    ]);
    for (form, mark) in [
        (Form::Overlay, c"trusted.overlay.opaque"),
        (Form::UserOverlay, c"user.overlay.opaque"),
    ] {
        let name = format!("{form:?}");
        let done = ground.unpack_into(&name, &layer, &policy(form)).unwrap();
        let at = |path: &str| ground.path(&name).join(path);
        let gone = fs::symlink_metadata(at("etc/gone")).unwrap();
        assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
        for dir in ["opaque", "anew", "before", "implicit"] {
            assert_eq!(
                ground.xattr(&at(dir), mark).as_deref(),
                Some(&b"y"[..]),
                "{dir}"
            );
        }
        assert_eq!(ground.xattr(&at("etc"), mark), None);
        assert!(at("before/kept").exists() && at("opaque/new").exists());
        assert_eq!(fs::read(at("replaced")).unwrap(), b"new");
        assert_eq!(done.leanings.directories().collect::<Vec<_>>(), [b"etc"]);
    }
    let done = ground
        .unpack_into("flat", &layer, &policy(Form::Flat))
        .unwrap();
    assert!(done.removed.contains(&Removed::Entry(b"etc/gone".to_vec())));
    assert!(done.removed.contains(&Removed::Content(b"opaque".to_vec())));
    assert!(!ground.path("flat").join("etc/gone").exists());
}

#[test]
fn without_other_ids_all_is_the_callers_and_counted() {
    needs!(root);
    let ground = Ground::new("owners");
    let layer = Packed::gzip([
        Entry::file("own", b""),
        Entry::file("other", b"")
            .owner(33, 33)
            .xattr("security.capability", b"x"),
        Entry::device(b'3', "null", 1, 3),
        Entry::dir("closed").mode(0o500).owner(33, 33),
        Entry::file("labelled", b"").xattr("security.selinux", b"l"),
    ]);
    let mut how = policy(Form::Overlay);
    (how.owners, how.devices) = (Owners::One, Devices::Skip);
    let done = ground.unpack_into("tree", &layer, &how).unwrap();
    let dropped = done.dropped;
    let counts = (
        dropped.owners,
        dropped.devices,
        dropped.capabilities,
        dropped.xattrs,
    );
    assert_eq!(counts, (2, 1, 1, 1));
    assert_eq!(fs::metadata(ground.path("tree/other")).unwrap().uid(), 0);
    assert!(!ground.path("tree/null").exists());
}

#[test]
fn the_last_entry_of_a_name_counts() {
    needs!(root);
    let ground = Ground::new("twice");
    let layer = Packed::gzip([
        Entry::file("a", b"1"),
        Entry::file("a", b"2").mode(0o600),
        Entry::dir("d").mode(0o700),
        Entry::file("d/kept", b""),
        Entry::dir("d").mode(0o711).time(9, 9),
        Entry::dir("gone"),
        Entry::file("gone/x", b""),
        Entry::file("gone", b"a file"),
        Entry::hardlink("a", "a"),
        Entry::symlink("s", "a"),
        Entry::file("s", b"no longer a link"),
    ]);
    ground
        .unpack_into("tree", &layer, &policy(Form::Overlay))
        .unwrap();
    let at = |name: &str| ground.path("tree").join(name);
    assert_eq!(fs::read(at("a")).unwrap(), b"2");
    assert_eq!(fs::read(at("gone")).unwrap(), b"a file");
    assert_eq!(fs::read(at("s")).unwrap(), b"no longer a link");
    let dir = fs::metadata(at("d")).unwrap();
    assert_eq!((dir.mode() & 0o7777, dir.mtime()), (0o711, 9));
    assert!(at("d/kept").exists());
}
