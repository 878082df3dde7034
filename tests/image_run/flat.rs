//! Containers that get a copy of the layers, where the kernel does not stack them.

use crate::harness::{eventually, needs};
use crate::images::{Entry, Packed};
use crate::machine::{Machine, base};
use serde_json::json;
use std::fs;
use std::process::Command;

/// A mount of overlay, on which the kernel lets no other have its upper directory.
struct Stacked<'a>(&'a Machine);

impl<'a> Stacked<'a> {
    fn store_of(machine: &'a Machine) -> Self {
        for name in ["store", "lower", "upper", "work"] {
            fs::create_dir(machine.dir.join(name)).unwrap();
        }
        let mut mount = Command::new("mount");
        mount
            .args([
                "-t",
                "overlay",
                "-o",
                "lowerdir=lower,upperdir=upper,workdir=work",
            ])
            .args(["overlay", "store"])
            .current_dir(&machine.dir);
        assert!(mount.status().unwrap().success());
        Self(machine)
    }
}

impl Drop for Stacked<'_> {
    fn drop(&mut self) {
        let unmount = || Command::new("umount").arg(self.0.store()).status().unwrap();
        if std::thread::panicking() {
            unmount();
            return;
        }
        // A monitor whose container is gone may be about to end.
        eventually("the store is unmounted", || unmount().success());
    }
}

#[test]
fn a_store_that_cannot_be_stacked_gives_each_container_a_copy() {
    needs!(root, busybox, overlay);
    let machine = Machine::new();
    let id = machine.id();
    let store = Stacked::store_of(&machine);
    let top = Packed::gzip([Entry::file("file", "of the image\n")]);
    machine.load("busybox", [base(), top], json!({ "User": "web" }));
    let script = "id -u; cat /file; rm /bin/vi 2>/dev/null || echo no";
    let outcome = machine.run(&[], script).succeeded();
    assert_eq!(outcome.stdout, "1000\nof the image\nno\n");
    let warned = outcome
        .stderr
        .matches("it gets a copy of the layers")
        .count();
    assert_eq!(warned, 1, "{outcome:?}");

    machine.told(&["-u", "root"], "echo mine > /file; rm /bin/vi");
    let args = [
        "image",
        "run",
        "-d",
        "--name",
        id,
        "busybox",
        "/bin/sleep",
        "60",
    ];
    machine.call(&args).succeeded();
    let exec = ["exec", id, "/bin/cat", "/file"];
    assert_eq!(machine.call(&exec).succeeded().stdout, "of the image\n");
    assert!(
        machine
            .bundle()
            .join("rootfs/bin/vi")
            .symlink_metadata()
            .is_ok()
    );
    machine.call(&["delete", "--force", id]).succeeded();
    assert!(machine.bundles().is_empty());
    drop(store);
}
