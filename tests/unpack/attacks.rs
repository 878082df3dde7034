//! Hostile layers: nothing outside the directory changes, and each is refused with its own reason or kept
//! inside.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use bulkhead::image::layer::{Devices, Fault, Form, Limits, Unpacking};

use crate::harness::needs;
use crate::images::{Entry, Holes, Naming, Packed, Packing, Tarball};
use crate::unpacked::{Ground, policy};

const FORMS: [Form; 3] = [Form::Overlay, Form::UserOverlay, Form::Flat];

/// Unpacks in each form, and sees that what lies beside stays as it was.
fn unpack_all(ground: &Ground, name: &str, entries: &[Entry]) -> Vec<Result<(), Fault>> {
    let results = FORMS.map(|form| {
        let layer = Packed::gzip(entries.to_vec());
        let tree = format!("{name}-{form:?}");
        let result = ground.unpack_into(&tree, &layer, &policy(form));
        result.map(drop).map_err(|error| error.fault)
    });
    ground.assert_outside_is_untouched();
    results.into()
}

#[track_caller]
fn assert_refused(ground: &Ground, name: &str, entries: &[Entry], text: &str) {
    for result in unpack_all(ground, name, entries) {
        let fault = result.expect_err(name).to_string();
        assert!(fault.contains(text), "{name}: {fault}");
    }
}

#[track_caller]
fn assert_confined(ground: &Ground, name: &str, entries: &[Entry], inside: &str) {
    for result in unpack_all(ground, name, entries) {
        result.unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
    for form in FORMS {
        let path = ground.path(&format!("{name}-{form:?}")).join(inside);
        assert!(fs::symlink_metadata(&path).is_ok(), "{}", path.display());
    }
}

/// CVE-2018-20990 and CVE-2021-38511 (tar-rs), CVE-2025-47290 (containerd), CVE-2026-17106 (moby),
/// CVE-2026-46703 (boxlite), CVE-2026-20613 (Apple container): a link, and then something through it.
#[test]
fn nothing_is_written_through_a_link_out_of_the_tree() {
    needs!(root);
    let ground = Ground::new("links");
    ground.lay_out_outside();
    let outside = ground.path("outside").display().to_string();
    for (name, target) in [
        ("up", "../outside"),
        ("far", "../../../../../../../../../outside"),
        ("absolute", outside.as_str()),
    ] {
        let (link, inside) = (Entry::symlink("l", target), target.replace("../", ""));
        let inside = inside.trim_start_matches('/').to_owned();
        let through = |entry: Entry| [Entry::symlink("m", "l"), link.clone(), entry];
        let at = |below: &str| format!("{inside}/{below}");
        for (kind, entry) in [
            ("file", Entry::file("l/file", b"hostile")),
            ("new", Entry::file("m/new", b"hostile")),
            ("dir", Entry::dir("l/dir").mode(0o777)),
            ("hardlink", Entry::hardlink("l/new", "l")),
            ("symlink", Entry::symlink("l/file", "/")),
            ("node", Entry::device(b'3', "l/file", 1, 1)),
        ] {
            let below = entry
                .name
                .split(|b| *b == b'/')
                .next_back()
                .unwrap()
                .to_vec();
            let below = at(std::str::from_utf8(&below).unwrap());
            assert_confined(&ground, &format!("{name}-{kind}"), &through(entry), &below);
        }
        let whiteout = through(Entry::file("l/.wh.file", b""));
        unpack_all(&ground, &format!("{name}-whiteout"), &whiteout);
        let opaque = through(Entry::file("l/.wh..wh..opq", b""));
        unpack_all(&ground, &format!("{name}-opaque"), &opaque);
        // CVE-2021-32760 (containerd), CVE-2021-41089 (moby), CVE-2026-33056 (tar-rs): the mode, owner
        // and time of an entry go to what its name is, and not to what that links to.
        let over = [
            link.clone(),
            Entry::dir("l").mode(0o777).owner(7, 7),
            Entry::file("l/x", b""),
        ];
        assert_confined(&ground, &format!("{name}-over"), &over, "l/x");
        let over = [link.clone(), Entry::file("l", b"").mode(0o4777).owner(7, 7)];
        assert_confined(&ground, &format!("{name}-over-file"), &over, "l");
    }
}

/// A hard link's target is a name of the archive (oras-go, CVE-2026-50163: it was one of the working
/// directory).
#[test]
fn a_hard_link_is_to_a_file_of_the_tree() {
    needs!(root);
    let ground = Ground::new("hardlinks");
    ground.lay_out_outside();
    let outside = ground.path("outside/file").display().to_string();
    assert_refused(
        &ground,
        "up",
        &[Entry::hardlink("h", "../outside/file")],
        "leads upwards",
    );
    let through = [
        Entry::symlink("l", "../outside"),
        Entry::hardlink("h", "l/file"),
    ];
    let entries: [&[Entry]; 2] = [&[Entry::hardlink("h", &outside)], &through];
    for (number, entries) in entries.into_iter().enumerate() {
        let layer = Packed::gzip(entries.to_vec());
        let name = format!("tree-{number}");
        // It may be a file of a layer below.
        let done = ground
            .unpack_into(&name, &layer, &policy(Form::Overlay))
            .unwrap();
        assert_eq!(done.leanings.links().count(), 1);
        assert!(!ground.path(&name).join("h").exists());
    }
    ground.assert_outside_is_untouched();
    let loops = [Entry::symlink("l", "l"), Entry::file("l/x", b"")];
    assert_refused(&ground, "loop", &loops, "too many links");
    let dirs = [Entry::dir("d"), Entry::hardlink("h", "d")];
    assert_refused(&ground, "directory", &dirs, "to a directory");
}

/// CVE-2021-29136 (umoci).
#[test]
fn the_root_stays_the_directory_that_it_is() {
    needs!(root);
    let ground = Ground::new("root");
    ground.lay_out_outside();
    for (number, name) in ["/", ".", "./", "//", "./."].into_iter().enumerate() {
        for entry in [
            Entry::symlink(name, "../outside"),
            Entry::hardlink(name, "x"),
            Entry::fifo(name),
        ] {
            let kind = entry.kind;
            let entries = [entry, Entry::file("file", b"hostile")];
            assert_refused(
                &ground,
                &format!("{number}-{kind}"),
                &entries,
                "it is the root",
            );
        }
    }
}

#[test]
fn a_name_leads_nowhere_but_down() {
    needs!(root);
    let ground = Ground::new("names");
    ground.lay_out_outside();
    for (number, name) in ["..", "../x", "a/../../x", "a/.."].into_iter().enumerate() {
        let entries = [Entry::dir("a"), Entry::file(name, b"x")];
        assert_refused(&ground, &format!("up-{number}"), &entries, "leads upwards");
    }
    let outside = ground.path("outside/file").display().to_string();
    let inside = outside.trim_start_matches('/').to_owned();
    assert_confined(
        &ground,
        "absolute",
        &[Entry::file(&outside, b"hostile")],
        &inside,
    );
    let long = Entry::file("x", b"").pax("path", "n/".repeat(3000) + "f");
    assert_refused(&ground, "long", &[long], "longer than 4095 bytes");
    let long = Entry::file("n".repeat(256), b"").naming(Naming::Gnu);
    assert_refused(&ground, "part", &[long], "longer than 255 bytes");
    let deep = Entry::file("d/".repeat(300) + "f", b"");
    assert_refused(&ground, "deep", &[deep], "deeper");
    let links: Vec<_> = (0..30)
        .map(|n| Entry::symlink(format!("l{n}"), format!("l{}/a/l{}", n + 1, n + 1)))
        .collect();
    let entries = [links, vec![Entry::file("l0/x", b"")]].concat();
    unpack_all(&ground, "fan", &entries);
}

#[test]
fn a_whiteout_removes_nothing_but_what_it_names() {
    needs!(root);
    let ground = Ground::new("whiteouts");
    ground.lay_out_outside();
    let names = [
        ".wh.",
        ".wh..",
        ".wh...",
        "a/.wh..",
        ".wh..wh..opq",
        ".wh..wh.plnk",
        "a/.wh.b/c",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let entries = [Entry::dir("a"), Entry::file(name, b"")];
        assert_refused(&ground, &format!("name-{number}"), &entries, "whiteout");
    }
    for entry in [
        Entry::symlink(".wh.a", "/"),
        Entry::dir(".wh.a"),
        Entry::hardlink(".wh.a", "a"),
    ] {
        let kind = entry.kind;
        assert_refused(&ground, &format!("kind-{kind}"), &[entry], "whiteout");
    }
    // What overlayfs would take for one must come as one.
    assert_refused(
        &ground,
        "device",
        &[Entry::device(b'3', "x", 0, 0)],
        "device 0:0",
    );
    for name in [
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "user.overlay.opaque",
        "security.evm",
        "system.posix_acl_access",
    ] {
        let entry = Entry::dir("d").xattr(name, b"y");
        assert_refused(&ground, name, &[entry], "is not taken from an image");
        let entry = Entry::symlink("s", "d").xattr(name, b"y");
        assert_refused(
            &ground,
            &format!("{name}-link"),
            &[entry],
            "is not taken from an image",
        );
    }
}

/// CVE-2024-40635, CVE-2026-47262: an id that wraps to 0; 2^32-1, which chown(2) passes over.
#[test]
fn an_id_that_is_none_gives_no_file_of_roots() {
    needs!(root);
    let ground = Ground::new("ids");
    ground.lay_out_outside();
    for id in [(1_i64 << 32) - 1, 1 << 32, -1] {
        let entry = Entry::file("x", b"").mode(0o4755).owner(id, 0);
        assert_refused(&ground, &format!("uid{id}"), &[entry], "uid: not an id");
        let entry = Entry::file("x", b"").mode(0o2755).owner(0, id);
        assert_refused(&ground, &format!("gid{id}"), &[entry], "gid: not an id");
    }
    let entry = Entry::file("x", b"").mode(0o4755).pax("uid", "4294967295");
    assert_refused(&ground, "pax", &[entry], "uid: not an id");
}

/// CVE-2025-62518 (tokio-tar), CVE-2026-33055 (tar-rs), CVE-2026-32766 (astral-tokio-tar): what two readers
/// see as two things.
#[test]
fn an_archive_with_two_meanings_has_none() {
    needs!(root);
    let ground = Ground::new("meanings");
    ground.lay_out_outside();
    let inner = Tarball::of([Entry::file("smuggled", b"x")]).end();
    let smuggled = Entry::file("outer", &inner)
        .size(0)
        .pax("size", inner.len().to_string());
    assert_refused(&ground, "sizes", &[smuggled], "the header says 0 bytes");
    let smuggled = Entry::file("outer", &inner).pax("size", "0");
    assert_refused(&ground, "zero", &[smuggled], "the PAX record 0");
    // GNU tar and Go pass over the NUL, and see 512 bytes of content.
    let smuggled = Entry::file("outer", &inner[..512]).patch(124, b"\x0000000001000");
    assert_refused(&ground, "nul", &[smuggled], "size: not an octal number");
    for kind in *b"123456" {
        let mut entry = Entry::new(kind, "x", 0o644).link("y").size(512);
        entry.content = vec![b'x'; 512];
        assert_refused(
            &ground,
            &format!("content-{kind}"),
            &[entry],
            "has no content",
        );
    }
    let twice = Entry::file("x", b"").pax("path", "a").pax("path", "b");
    assert_refused(&ground, "twice", &[twice], "is there twice");
    let both = Entry::file("n".repeat(120), b"")
        .naming(Naming::Gnu)
        .pax("path", "a");
    assert_refused(&ground, "both", &[both], "as GNU and as PAX do");
    let slash = Entry::file("x/", b"");
    assert_refused(&ground, "slash", &[slash], "ends in a slash");
    let holes = Entry::sparse(Holes::Pax10, "s", 100, &[(0, b"abc")]).pax("GNU.sparse.minor", "1");
    assert_refused(&ground, "holes", &[holes], "is there twice");
    let unknown = Entry::new(b'V', "x", 0);
    assert_refused(&ground, "kind", &[unknown], "type flag 'V'");
    let unmarked = Entry::dir("d").patch(257, [0; 8]);
    assert_refused(&ground, "unmarked", &[unmarked], "type flag '5'");
    let marked = Entry::dir("d").patch(257, b"ustar\x00  ");
    assert_refused(&ground, "marked", &[marked], "magic: ");
    for (name, tar, text) in [
        (
            "global",
            Tarball::default()
                .global(&[("path", "x")])
                .add(Entry::dir("a"))
                .end(),
            "global PAX record",
        ),
        (
            "lonely",
            Tarball::default().pax_text(b"9 path=a\n").end(),
            "without an entry",
        ),
        (
            "pair",
            Tarball::default()
                .pax_text(b"9 path=a\n")
                .pax_text(b"9 path=b\n")
                .add(Entry::dir("c"))
                .end(),
            "second extended",
        ),
        (
            "behind",
            [Tarball::of([Entry::dir("a")]).end(), inner.clone()].concat(),
            "follows the end",
        ),
        ("zeros", [&[0; 512][..], &inner].concat(), "block of zeros"),
        ("cut", inner[..700].to_vec(), "cut short"),
        ("header", inner[..300].to_vec(), "cut short"),
        (
            "checksum",
            Tarball::of([Entry::dir("a").wrong_checksum()]).end(),
            "checksum is wrong",
        ),
        (
            "negative",
            Tarball::of([Entry::file("a", b"").size(-512)]).end(),
            "negative number",
        ),
        (
            "huge",
            Tarball::of([Entry::file("a", b"").size(i64::MAX)]).end(),
            "--max-size",
        ),
        (
            "long header",
            Tarball::default().pax_text(&vec![b'x'; 2 << 20]).end(),
            "at most are read",
        ),
    ] {
        let layer = Packed::new(Packing::Plain, tar);
        let error = ground
            .unpack_into(name, &layer, &policy(Form::Overlay))
            .unwrap_err();
        assert!(error.fault.to_string().contains(text), "{name}: {error}");
        ground.assert_outside_is_untouched();
    }
}

#[test]
fn a_bomb_is_refused_before_it_is_written() {
    needs!(root);
    let ground = Ground::new("bombs");
    ground.lay_out_outside();
    let sparse = Entry::sparse(Holes::Pax10, "s", i64::MAX as u64, &[(0, b"x")]);
    assert_refused(&ground, "sparse", &[sparse], "--max-size");
    let mut how = policy(Form::Overlay);
    how.limits = Limits {
        size: 1 << 20,
        entries: 10,
        ratio: None,
    };
    let unpack = |name: &str, entries: Vec<Entry>, how: &Unpacking| {
        let error = ground
            .unpack_into(name, &Packed::gzip(entries), how)
            .unwrap_err();
        error.to_string()
    };
    let files = vec![
        // With a hole: the archive itself is not too large.
        Entry::sparse(Holes::Pax10, "a", 600_000, &[(0, b"x")]),
        Entry::file("b", vec![0; 600_000]),
    ];
    let text = unpack("size", files, &how);
    assert!(
        text.contains("entry \"b\": with it the layer has more than 1048576 bytes"),
        "{text}"
    );
    assert!(!ground.path("size/b").exists());
    let dirs = (0..11).map(|n| Entry::dir(n.to_string())).collect();
    let text = unpack("entries", dirs, &how);
    assert!(text.contains("more than 10 entries"), "{text}");
    how.limits = Limits {
        ratio: Some(50),
        ..Limits::default()
    };
    let text = unpack("ratio", vec![Entry::file("a", vec![0; 100 << 20])], &how);
    assert!(text.contains("50 times"), "{text}");
}

#[test]
fn a_device_can_be_refused() {
    needs!(root);
    let ground = Ground::new("devices");
    let mut how = policy(Form::Overlay);
    how.devices = Devices::Refuse;
    let layer = Packed::gzip([Entry::device(b'4', "disk", 8, 0)]);
    let error = ground.unpack_into("tree", &layer, &how).unwrap_err();
    assert!(matches!(error.fault, Fault::Device), "{error}");
}

/// What the defences above are held against: the outside is really reached where a link is followed.
#[test]
fn what_lies_outside_could_be_reached() {
    needs!(root);
    let ground = Ground::new("reach");
    ground.lay_out_outside();
    fs::create_dir(ground.path("tree")).unwrap();
    symlink("../outside", ground.path("tree/l")).unwrap();
    fs::write(ground.path("tree/l/file"), b"hostile").unwrap();
    assert!(fs::metadata(ground.path("outside/file")).unwrap().size() == 7);
    assert!(!ground.is_outside_untouched());
}
