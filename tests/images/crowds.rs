//! Many at once, and little room.

use std::fs;
use std::process::Command;

use crate::ground::{Ground, image, layer};
use crate::harness::{needs, repetitions};
use crate::images::Image;

#[test]
fn loads_at_once_all_succeed() {
    needs!(root);
    let ground = Ground::new("crowd");
    let places: Vec<String> = (0..2)
        .map(|n| ground.layout(&format!("image{n}"), image(&format!("word{n}"))))
        .collect();
    for _ in 0..repetitions(3, 20) {
        let crowd: Vec<_> = (0..6)
            .map(|n| ground.start(&["load", "-q", &places[n % 2]]))
            .collect();
        for mut one in crowd {
            assert!(one.wait().unwrap().success());
        }
        assert_eq!(ground.names().len(), 2);
        ground.verifies();
        ground
            .call(&["rm", "localhost/image0", "localhost/image1"])
            .succeeded();
    }
}

#[test]
fn prune_takes_nothing_from_who_loads() {
    needs!(root);
    let ground = Ground::new("pruners");
    let place = ground.layout("one", image("one"));
    for _ in 0..repetitions(5, 50) {
        let crowd = [
            ground.start(&["load", "-q", &place]),
            ground.start(&["prune"]),
            ground.start(&["load", "-q", &place]),
            ground.start(&["prune"]),
        ];
        for mut one in crowd {
            assert!(one.wait().unwrap().success());
        }
        ground.verifies();
        ground.call(&["rm", "localhost/one"]).succeeded();
    }
}

/// A filesystem of its own, small enough to be filled.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(ground: &Ground, kibibytes: u32) -> Self {
        let at = ground.path("small");
        fs::create_dir_all(&at).unwrap();
        let size = format!("size={kibibytes}k");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&at)
            .status();
        assert!(mounted.unwrap().success());
        Self(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(unmounted.unwrap().success() || std::thread::panicking());
    }
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    needs!(root);
    let ground = Ground::new("full");
    let mut state = 88_172_645_463_325_252_u64;
    let random: String = (0..200_000)
        .map(|_| {
            // Marsaglia's xorshift: gzip finds nothing in it but that it is letters.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'a' + u8::try_from(state % 26).unwrap())
        })
        .collect();
    let base = ground.layout("base", image("base"));
    let large = Image::of([
        layer("a", &random),
        layer("b", &random[1..]),
        layer("c", &random[2..]),
    ]);
    let large = ground.layout("large", large);
    // From no room for the blobs to almost enough for all.
    for kibibytes in [200, 300, 450, 600, 800, 950] {
        let small = Small::mount(&ground, kibibytes);
        let ground = Ground::new("full").at(small.0.join("store"));
        let base = base.replace(
            "oci:",
            &format!("oci:{}/", small.0.parent().unwrap().display()),
        );
        let large = large.replace(
            "oci:",
            &format!("oci:{}/", small.0.parent().unwrap().display()),
        );
        ground.call(&["load", "-q", &base]).succeeded();
        let before = ground.snapshot();
        ground
            .call(&["load", "-q", &large])
            .failed_with("no space left on device");
        assert_eq!(ground.snapshot(), before, "{kibibytes}");
        ground.verifies();
    }
}
