//! What is removed, by whom, and what is not.

use crate::harness::{eventually, needs, repetitions};
use crate::machine::{Machine, names};
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

#[test]
fn a_run_under_a_name_that_is_taken_leaves_nothing_and_takes_nothing() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let id = machine.id();
    let run = [
        "image",
        "run",
        "-d",
        "--name",
        id,
        "busybox",
        "/bin/sleep",
        "1000",
    ];
    machine.call(&run).succeeded();
    // As for a container of any other bundle.
    let other = machine.dir.join("other");
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(machine.store()).arg(&other);
    assert!(copy.status().unwrap().success());
    fs::remove_dir_all(other.join("containers").join(id)).unwrap();
    let mut again = machine.command(&run);
    again.env("BULKHEAD_STORE", &other);
    machine.finish(again).failed_with("exists");
    assert!(names(&other.join("containers")).is_empty());
    assert_eq!(machine.bundles(), [id]);
    assert_eq!(machine.state(id)["status"], "running");
    machine.call(&["delete", "--force", id]).succeeded();
}

/// The monitor that was to delete it is gone, and so is the program.
#[test]
fn a_container_with_rm_goes_also_without_its_monitor() {
    needs!(root, busybox, overlay);
    for has_ended in [true, false] {
        let machine = Machine::busybox();
        let id = machine.id();
        let run = [
            "image",
            "run",
            "--rm",
            "-d",
            "--name",
            id,
            "busybox",
            "/bin/sleep",
            "1000",
        ];
        machine.call(&run).succeeded();
        let record = machine.state_dir().join(id).join("state.json");
        let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
        let (monitor, program) = (&record["monitor"]["pid"], &record["init_process_pid"]);
        let pids = match has_ended {
            true => vec![monitor.to_string(), program.to_string()],
            false => vec![monitor.to_string()],
        };
        let killed = Command::new("kill").arg("-KILL").args(&pids).status();
        assert!(killed.unwrap().success(), "{record}");
        if !has_ended {
            // Whoever meets it takes the monitor's place.
            assert_eq!(machine.state(id)["status"], "running");
            machine.call(&["kill", id, "KILL"]).succeeded();
        }
        eventually("it is gone", || {
            machine.call(&["list"]).succeeded();
            machine.leftovers().is_empty()
        });
    }
}

/// Among the files of a user's container are those of others, and a directory of the kernel's.
#[test]
fn a_users_delete_that_is_killed_at_any_moment_can_be_done_again() {
    needs!(root, busybox, overlay, uidmap);
    let machine = Machine::of_user("nobody:300000:65536\n");
    let id = machine.id();
    let script = "mkdir -m 700 /home/web; for i in $(seq 200); do mkdir -p /home/web/$i/a; done; \
                  chown -R web /home/web";
    let make = || {
        let run = [
            "image", "run", "--keep", "--name", id, "busybox", "/bin/sh", "-c", script,
        ];
        machine.call(&run).succeeded();
    };
    make();
    let start = Instant::now();
    machine.call(&["delete", id]).succeeded();
    let whole = start.elapsed();
    let count = repetitions(8, 80);
    for number in 0..count {
        make();
        let mut delete = machine.command(&["delete", id]);
        let mut delete = delete.stderr(Stdio::null()).spawn().unwrap();
        let part = u32::try_from(number).unwrap() * 377 % 1000;
        thread::sleep(whole * part / 1000);
        delete.kill().unwrap();
        delete.wait().unwrap();
        machine.call(&["delete", "--force", id]).succeeded();
        assert!(machine.leftovers().is_empty());
    }
}
