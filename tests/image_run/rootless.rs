//! Containers of a user's images.

use crate::harness::{eventually, needs};
use crate::machine::{Machine, USER};
use std::fs;
use std::os::unix::fs::MetadataExt;

const GIVEN: &str = "nobody:300000:65536\n";

#[test]
fn a_user_without_other_ids_is_root_inside() {
    needs!(root, busybox, overlay, uidmap);
    let machine = Machine::of_user("");
    let script =
        "id -u; echo x > /x; rm /bin/vi; stat -c %u:%g /x /bin/sh; grep -c . /proc/self/uid_map";
    assert_eq!(machine.told(&[], script), "0\n0:0\n0:0\n1\n");
    machine
        .run(&["-u", "web"], "true")
        .failed_with("1000 is not mapped");
    assert!(machine.leftovers().is_empty());
}

#[test]
fn a_user_with_other_ids_runs_what_is_another_users_and_removes_it() {
    needs!(root, busybox, overlay, uidmap);
    let machine = Machine::of_user(GIVEN);
    let id = machine.id();
    let script = "mkdir -m 700 -p /home/web/deep; touch /home/web/deep/file; chown -R web /home/web; \
                  chmod 0 /home/web/deep; id -u web; su web -s /bin/sh -c 'id -u; id -G'";
    let run = [
        "image", "run", "--keep", "--name", id, "busybox", "/bin/sh", "-c", script,
    ];
    assert_eq!(
        machine.call(&run).succeeded().stdout,
        "1000\n1000\n1001 26\n"
    );
    let deep = machine.bundle().join("upper/home/web/deep");
    assert_eq!(fs::metadata(&deep).unwrap().uid(), 300_999);
    assert_eq!(
        fs::metadata(machine.bundle().join("upper")).unwrap().uid(),
        USER
    );
    machine.call(&["delete", id]).succeeded();
    assert!(machine.leftovers().is_empty());
}

#[test]
fn a_users_detached_container_goes_by_itself() {
    needs!(root, busybox, overlay, uidmap);
    for given in ["", GIVEN] {
        let machine = Machine::of_user(given);
        let run = [
            "image",
            "run",
            "--rm",
            "-d",
            "busybox",
            "/bin/sh",
            "-c",
            "chown 5 /bin/ls; sleep 0.1",
        ];
        machine.call(&run).succeeded();
        assert!(machine.left().is_empty(), "{given}");
    }
}

#[test]
fn a_user_has_the_hosts_network_when_asked() {
    needs!(root, busybox, overlay, uidmap);
    let machine = Machine::of_user(GIVEN);
    let told = machine.told(
        &["--network", "host"],
        "readlink /proc/self/ns/net; ls /sys/class",
    );
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert!(
        told.contains(own.to_str().unwrap()) && told.contains("net\n"),
        "{told}"
    );
    eventually("nothing is left", || machine.leftovers().is_empty());
}

#[test]
fn a_user_removes_what_a_killed_run_has_left_of_other_ids() {
    needs!(root, busybox, overlay, uidmap);
    let machine = Machine::of_user(GIVEN);
    let id = machine.id();
    let script = "mkdir -m 700 /home/web; chown web /home/web; touch /home/web/x";
    let run = [
        "image", "run", "--keep", "--name", id, "busybox", "/bin/sh", "-c", script,
    ];
    machine.call(&run).succeeded();
    // As after a start of the machine, when no record is left.
    fs::remove_dir_all(machine.state_dir().join(id)).unwrap();
    machine.call(&["image", "prune"]).succeeded();
    assert!(machine.leftovers().is_empty());
}
