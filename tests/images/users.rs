//! The store of a user who is not root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

use crate::ground::Ground;
use crate::harness::{Outcome, needs, program};
use crate::images::{Entry, Image, Packed};

const USER: u32 = 1000;

/// As the user; where his store is when nobody says.
fn call(ground: &Ground, args: &[&str]) -> Outcome {
    let mut command = Command::new("setpriv");
    let id = USER.to_string();
    command
        .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
        .arg(program())
        .arg("image")
        .args(args)
        .env_remove("BULKHEAD_STORE")
        .env("XDG_DATA_HOME", &ground.dir)
        .current_dir(&ground.dir);
    ground.finish(command)
}

#[test]
fn a_user_has_a_store_of_his_own_whatever_an_image_forbids() {
    needs!(root);
    let ground = Ground::new("user");
    chown(&ground.dir, Some(USER), Some(USER)).unwrap();
    let layer = Packed::gzip([
        Entry::dir("closed/").mode(0o000),
        Entry::dir("closed/deep/").mode(0o555).owner(7, 7),
        Entry::file("closed/deep/secret", "x")
            .mode(0o000)
            .owner(8, 8),
        Entry::device(b'3', "null", 1, 3),
    ]);
    let place = ground.layout("one", Image::of([layer]));
    let made = call(&ground, &["load", "-q", &place]).succeeded();
    assert_eq!(made.stdout, "localhost/one:latest\n");
    call(&ground, &["verify"]).succeeded();

    let layers = fs::read_dir(ground.path("bulkhead/layers")).unwrap();
    let tree = layers
        .map(|entry| entry.unwrap().path())
        .next()
        .unwrap()
        .join("tree");
    let secret = fs::metadata(tree.join("closed/deep/secret")).unwrap();
    assert_eq!((secret.uid(), secret.mode() & 0o7777), (USER, 0));
    assert!(!tree.join("null").exists());
    let store = fs::metadata(ground.path("bulkhead")).unwrap();
    assert_eq!(
        (store.uid(), store.permissions().mode() & 0o777),
        (USER, 0o700)
    );

    call(&ground, &["unpack", "localhost/one", "bundle"]).succeeded();
    assert!(ground.path("bundle/rootfs/closed/deep/secret").exists());
    call(&ground, &["rm", "localhost/one"]).succeeded();
    assert_eq!(
        fs::read_dir(ground.path("bulkhead/layers"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(call(&ground, &["ls", "-q"]).succeeded().stdout, "");
}
