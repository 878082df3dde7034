//! Without privilege: a directory that its owner may not write to is one that nothing can be made in.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::thread;

use bulkhead::image::layer::{Devices, Form, Owners, Unpacking};

use nix::unistd::{Uid, setfsuid};

use crate::below::flatten_as;
use crate::harness::needs;
use crate::images::{Entry, Packed};
use crate::unpacked::{Ground, policy};

const USER: u32 = 65534;

/// Flattens layers by a thread that is a user's alone, and tells the modes of these names.
fn flattened(ground: &Ground, name: &str, layers: &[Vec<Entry>], names: &[&str]) -> Vec<u32> {
    let layers: Vec<Packed> = layers.iter().cloned().map(Packed::gzip).collect();
    let how = Unpacking {
        owners: Owners::One,
        devices: Devices::Skip,
        ..policy(Form::Flat)
    };
    fs::create_dir(ground.path(name)).unwrap();
    chown(ground.path(name), Some(USER), Some(USER)).unwrap();
    let into = fs::File::open(ground.path(name)).unwrap();
    thread::scope(|scope| {
        let unpacking = scope.spawn(|| {
            // Of this thread alone, and with it go the rights of root to files (capabilities(7)).
            setfsuid(Uid::from_raw(USER));
            flatten_as(&into, &layers, &how).unwrap();
        });
        unpacking.join().unwrap();
    });
    let mode = |path: &&str| {
        let stat = fs::symlink_metadata(ground.path(name).join(path)).unwrap();
        stat.mode() & 0o7777
    };
    names.iter().map(mode).collect()
}

#[test]
fn directories_that_nobody_may_write_to_are_filled_and_merged() {
    needs!(root);
    let ground = Ground::new("readonly");
    let bin = |name: &str| {
        vec![
            Entry::dir("./").mode(0o555),
            Entry::dir("bin").mode(0o555),
            Entry::file(format!("bin/{name}"), b""),
            Entry::dir(format!("bin/dir-{name}")).mode(0o500),
        ]
    };
    let layers = [bin("a"), bin("b"), vec![Entry::file("bin/c", b"")]];
    let names = [".", "bin", "bin/a", "bin/b", "bin/c", "bin/dir-a"];
    let modes = flattened(&ground, "merge", &layers, &names);
    assert_eq!(modes, [0o555, 0o555, 0o644, 0o644, 0o644, 0o500]);
    let again = vec![
        Entry::dir("a").mode(0o555),
        Entry::file("a-b", b""),
        Entry::file("a/x", b""),
    ];
    let modes = flattened(&ground, "again", &[again], &["a", "a/x"]);
    assert_eq!(modes, [0o555, 0o644]);
}

#[test]
fn a_directory_that_nobody_may_open_is_replaced() {
    needs!(root);
    let ground = Ground::new("closed");
    let closed = || {
        vec![
            Entry::dir("d").mode(0),
            Entry::file("e", b""),
            Entry::dir("f").mode(0),
        ]
    };
    let within = [closed(), vec![Entry::file("d", b"")]].concat();
    assert_eq!(flattened(&ground, "within", &[within], &["d"]), [0o644]);
    let over = vec![Entry::file("d", b""), Entry::dir("f").mode(0o711)];
    let modes = flattened(&ground, "over", &[closed(), over], &["d", "f"]);
    assert_eq!(modes, [0o644, 0o711]);
}
