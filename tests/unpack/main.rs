//! Layers, good and hostile, unpacked into a directory.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod attacks;
mod below;
mod blobs;
mod bounds;
mod completing;
#[path = "../harness/mod.rs"]
mod harness;
#[path = "../harness/images/mod.rs"]
mod images;
mod memory;
mod peers;
mod trees;
mod unpacked;
mod unprivileged;

use std::io::Read;

use images::{Entry, Image, Naming, Packed, Packing, Tarball};

/// The builder is held against another reader before it is used against ours.
#[test]
fn the_builder_of_layers_is_read_by_another_reader() {
    let long = [b'n'; 150];
    let tar = Tarball::of([
        Entry::dir("etc"),
        Entry::file("etc/a", b"text")
            .owner(3_000_000, 7)
            .mode(0o4755),
        Entry::file(long, b"").naming(Naming::Gnu),
        Entry::file([&long[..], b"2"].concat(), b"").time(5, 6),
        Entry::symlink("l", [b'l'; 200]).xattr("user.x", b"1"),
    ])
    .end();
    let mut archive = tar::Archive::new(&tar[..]);
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let path = entry.path_bytes().into_owned();
        let uid = entry.header().uid().unwrap();
        let link = entry.link_name_bytes().map_or(0, |l| l.len());
        seen.push((path, text, uid, link));
    }
    let expected = [
        (b"etc".to_vec(), String::new(), 0, 0),
        (b"etc/a".to_vec(), "text".into(), 3_000_000, 0),
        (long.to_vec(), String::new(), 0, 0),
        ([&long[..], b"2"].concat(), String::new(), 0, 0),
        (b"l".to_vec(), String::new(), 0, 200),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn every_packing_unpacks_to_the_archive() {
    let tar = Tarball::of([Entry::file("a", [b'x'; 4000])]).end();
    for packing in Packing::ALL {
        let blob = packing.pack(&tar);
        let mut plain = Vec::new();
        match packing {
            Packing::Plain => plain = blob,
            Packing::Gzip | Packing::GzipMembers => {
                let mut decoder = flate2::read::MultiGzDecoder::new(&blob[..]);
                decoder.read_to_end(&mut plain).unwrap();
            }
            _ => plain = zstd::decode_all(&blob[..]).unwrap(),
        }
        assert_eq!(plain, tar, "{packing:?}");
    }
}

#[test]
fn an_image_names_its_blobs() {
    let layer = Packed::gzip([Entry::dir("a")]);
    let image = Image::of([layer]).change("config", |c| c["os"] = "linux".into());
    let built = image.build();
    let manifest: serde_json::Value = serde_json::from_slice(&built.manifest).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    assert!(built.blobs.contains_key(&layer["sha256:".len()..]));
    assert_eq!(built.blobs.len(), 3);
}
