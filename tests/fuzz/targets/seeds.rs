//! Layers of all kinds, to begin with.

#[path = "../../harness/images/mod.rs"]
mod images;

use std::fs;
use std::path::Path;

use images::{Entry, Holes, Naming, Tarball};

/// Writes them to where `tests/fuzz/run` says, with `prefix` before each.
pub(crate) fn write(prefix: impl Fn(usize) -> Vec<u8>) {
    let Some(place) = std::env::var_os("BULKHEAD_CORPUS") else {
        return; // one input is tried again
    };
    for (number, archive) in archives().into_iter().enumerate() {
        let path = Path::new(&place).join(format!("seed-{number}"));
        fs::write(path, [prefix(number), archive].concat()).expect("write a seed");
    }
}

fn archives() -> Vec<Vec<u8>> {
    let long = "n".repeat(130);
    let kinds = [
        Entry::dir("./"),
        Entry::dir("a"),
        Entry::file("a/f", b"content").mode(0o4755).owner(5, 6),
        Entry::symlink("l", "a"),
        Entry::symlink("up", "../../etc"),
        Entry::symlink("abs", "/etc"),
        Entry::hardlink("h", "a/f"),
        Entry::hardlink("h2", "../file"),
        Entry::fifo("p"),
        Entry::device(b'3', "c", 1, 3),
        Entry::device(b'4', "b", 8, 0),
        Entry::file("l/through", b"x").time(3, 4),
        Entry::file("up/out", b"x"),
        Entry::file("abs/out", b"x"),
        Entry::file("a/.wh.f", b""),
        Entry::file("a/.wh..wh..opq", b""),
        Entry::file(&long, b"").naming(Naming::Gnu),
        Entry::file([&long, "2"].concat(), b""),
        Entry::file("x", b"x").xattr("user.a", b"b"),
        Entry::file("big", b"x").size(-1),
        Entry::file("pax", b"x")
            .pax("size", b"1")
            .pax("LIBARCHIVE.xattr.user.b", b"aGk="),
    ];
    let pieces: &[(u64, &[u8])] = &[
        (0, b"a"),
        (4096, b"b"),
        (9000, b"c"),
        (10_000, b"d"),
        (20_000, b"e"),
    ];
    let holes = [Holes::Old, Holes::Pax00, Holes::Pax01, Holes::Pax10];
    let mut all: Vec<_> = kinds
        .iter()
        .map(|entry| Tarball::of([entry.clone()]).end())
        .collect();
    all.extend(holes.map(|form| Tarball::of([Entry::sparse(form, "s", 30_000, pieces)]).end()));
    all.extend(
        kinds
            .windows(3)
            .map(|three| Tarball::of(three.to_vec()).end()),
    );
    all.push(Tarball::of(kinds).end());
    all.push(
        Tarball::default()
            .global(&[("comment", "c")])
            .add(Entry::dir("a"))
            .end(),
    );
    all
}
