//! Bundles of images.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::ground::{Ground, image, layer};
use crate::harness::{needs, repetitions};
use crate::images::{Entry, Image, Packed};

#[test]
fn a_bundle_is_made_from_wherever_the_image_is() {
    needs!(root);
    let ground = Ground::new("bundle");
    let name = ground.load("one", image("web"));
    image("web")
        .build()
        .write_docker_archive(&ground.path("a.tar"));
    let packed = Command::new("gzip")
        .arg("-k")
        .arg(ground.path("a.tar"))
        .status();
    assert!(packed.unwrap().success());
    let before = ground.snapshot();
    for (number, from) in [
        &*name,
        "oci:one",
        "docker-archive:a.tar",
        "docker-archive:a.tar.gz",
    ]
    .iter()
    .enumerate()
    {
        let bundle = format!("bundle{number}");
        ground.call(&["unpack", from, &bundle]).succeeded();
        let dir = ground.path(&bundle);
        assert_eq!(
            fs::read_to_string(dir.join("rootfs/etc/base")).unwrap(),
            "the base"
        );
        assert_eq!(
            fs::read_to_string(dir.join("rootfs/etc/web")).unwrap(),
            "web"
        );
        let config: Value =
            serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["process"]["args"][0], "web");
        assert_eq!(config["root"]["path"], "rootfs");
        let names: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }
    assert_eq!(ground.snapshot(), before);
    ground
        .call(&["unpack", &name, "bundle0"])
        .failed_with("is there, and is not an empty directory");
    fs::create_dir(ground.path("empty")).unwrap();
    ground.call(&["unpack", &name, "empty"]).succeeded();
    assert!(ground.path("empty/rootfs/etc/web").exists());
}

#[test]
fn what_a_layer_removes_is_not_in_the_bundle() {
    needs!(root);
    let ground = Ground::new("whiteouts");
    let below = Packed::gzip([
        Entry::dir("a/"),
        Entry::file("a/gone", "x"),
        Entry::file("a/stays", "x"),
        Entry::dir("b/"),
        Entry::file("b/old", "x"),
    ]);
    let above = Packed::gzip([
        Entry::file("a/.wh.gone", ""),
        Entry::dir("b/"),
        Entry::file("b/.wh..wh..opq", ""),
        Entry::file("b/new", "x"),
    ]);
    let place = ground.layout("one", Image::of([below, above]));
    ground.call(&["unpack", &place, "bundle"]).succeeded();
    let there = |path: &str| ground.path("bundle/rootfs").join(path).exists();
    assert!(there("a/stays") && there("b/new"));
    assert!(!there("a/gone") && !there("b/old"));
}

#[test]
fn a_failed_unpack_leaves_no_bundle() {
    needs!(root);
    let ground = Ground::new("unbundled");
    let mut built = image("x").build();
    let blob = built.layer_blob(1);
    let middle = blob.len() / 2;
    blob[middle] ^= 1;
    built.write_layout(&ground.path("bad"));
    let names = || {
        let names = fs::read_dir(&ground.dir)
            .unwrap()
            .map(|e| e.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().contains("bundle"))
            .count()
    };
    ground
        .call(&["unpack", "oci:bad", "bundle"])
        .failed_with("the blob's digest is sha256:");
    assert_eq!(names(), 0);
    let place = ground.layout(
        "nobody",
        image("x").config(serde_json::json!({"User": "nobody"})),
    );
    ground
        .call(&["unpack", &place, "bundle"])
        .failed_with("nobody");
    assert_eq!(names(), 0);
}

#[test]
fn an_unpack_that_was_killed_is_done_again() {
    needs!(root);
    let ground = Ground::new("killed-unpack");
    let text = "some text ".repeat(40_000);
    let large = Image::of((0..4).map(|n| layer(&format!("file{n}"), &text[n..])));
    let place = ground.layout("one", large);
    let begin = Instant::now();
    ground.call(&["unpack", &place, "whole"]).succeeded();
    let whole = begin.elapsed();
    let count = repetitions(20, 100);
    let mut unfinished = 0;
    for number in 0..count {
        let mut child = ground.start(&["unpack", &place, "bundle"]);
        let part = u32::try_from(number * 37 % count).unwrap();
        thread::sleep(whole * part / u32::try_from(count).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        if !ground.path("bundle").exists() {
            unfinished += 1;
            ground.call(&["unpack", &place, "bundle"]).succeeded();
        }
        let same = Command::new("diff")
            .args(["-r", "whole", "bundle"])
            .current_dir(&ground.dir)
            .status();
        assert!(same.unwrap().success());
        let left = fs::read_dir(&ground.dir)
            .unwrap()
            .map(|e| e.unwrap().file_name());
        assert!(
            !left
                .into_iter()
                .any(|name| name.to_string_lossy().contains("unpacking"))
        );
        fs::remove_dir_all(ground.path("bundle")).unwrap();
    }
    assert!(
        unfinished > count / 10,
        "{unfinished} of {count} were killed in time"
    );
}
