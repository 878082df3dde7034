//! From `image run` to the end, and what is left.

use crate::harness::{eventually, needs, repetitions};
use crate::machine::Machine;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

const SLEEP: [&str; 3] = ["busybox", "/bin/sleep", "60"];

#[test]
fn a_detached_container_keeps_its_exit_code_until_it_is_deleted() {
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
        "/bin/sh",
        "-c",
        "sleep 0.2; exit 3",
    ];
    assert_eq!(machine.call(&run).succeeded().stdout, format!("{id}\n"));
    assert_eq!(machine.call(&["wait", id]).succeeded().stdout, "3\n");
    eventually("it is stopped", || machine.state(id)["status"] == "stopped");
    assert_eq!(machine.state(id)["exit"]["code"], 3);
    assert!(machine.call(&["list"]).succeeded().stdout.contains(id));
    assert_eq!(machine.bundles(), [id]);
    machine
        .run(&["--name", id], "true")
        .failed_with("there already");
    machine
        .call(&["image", "rm", "busybox"])
        .failed_with(&format!("is used by container \"{id}\""));
    machine.call(&["delete", id]).succeeded();
    assert!(machine.leftovers().is_empty());
    machine.call(&["image", "rm", "busybox"]).succeeded();
}

/// A shell waits for the end of what it reads, which is not the container's.
#[test]
fn a_detached_container_does_not_hold_its_callers_output() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let id = machine.id();
    let script = "sh -c 'echo out; echo err >&2; sleep 1000'";
    let mut command = machine.command(&[]);
    let program = command.get_program().to_owned();
    let mut shell = std::process::Command::new("sh");
    shell
        .arg("-c")
        .arg(format!(
            "echo \"<$(\"$0\" \"$@\" image run -d --name {id} busybox {script} 2>&1)>\""
        ))
        .arg(program)
        .args(command.get_args())
        .env("BULKHEAD_STORE", machine.store());
    command = shell;
    let told = machine.finish(command).succeeded().stdout;
    assert_eq!(told, format!("<{id}>\n"));
    machine.call(&["delete", "--force", id]).succeeded();
}

#[test]
fn a_detached_container_with_rm_goes_by_itself() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let run = [
        "image",
        "run",
        "--rm",
        "-d",
        "busybox",
        "/bin/sh",
        "-c",
        "echo x > /x; sleep 0.1",
    ];
    let id = machine.call(&run).succeeded().stdout;
    assert_eq!(id.trim_end().len(), 12, "{id}");
    assert!(machine.left().is_empty());
}

#[test]
fn a_foreground_container_goes_unless_it_is_kept() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let id = machine.id();
    machine.told(&["--name", id], "echo x > /x");
    assert!(machine.leftovers().is_empty());
    machine.told(&["--name", id, "--keep"], "echo x > /x");
    assert_eq!(machine.state(id)["status"], "stopped");
    let file = machine.bundle().join("upper/x");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "x\n");
    machine.call(&["delete", id]).succeeded();
    assert!(machine.leftovers().is_empty());
}

#[test]
fn a_container_of_an_image_is_one_like_any_other() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let id = machine.id();
    let run = [&["image", "run", "-d", "--name", id], &SLEEP[..]].concat();
    machine.call(&run).succeeded();
    let state = machine.state(id);
    let bundle = state["bundle"].as_str().unwrap();
    assert_eq!(bundle, machine.bundle().to_str().unwrap());
    let plan = machine.call(&["plan", bundle]).succeeded().stdout;
    assert!(
        plan.contains("attach an overlay of 1 layer as the root"),
        "{plan}"
    );
    assert_eq!(
        machine
            .call(&["exec", id, "/bin/echo", "hi"])
            .succeeded()
            .stdout,
        "hi\n"
    );
    machine.call(&["delete", id]).failed_with("not stopped");
    machine.call(&["delete", "--force", id]).succeeded();
    machine.call(&["delete", "--force", id]).succeeded();
    assert!(machine.leftovers().is_empty());
}

#[test]
fn a_run_that_is_killed_at_any_moment_leaves_nothing_for_long() {
    needs!(root, busybox, overlay);
    kill_runs(&Machine::busybox(), repetitions(30, 300));
}

#[test]
fn a_users_run_that_is_killed_at_any_moment_leaves_nothing_for_long() {
    needs!(root, busybox, overlay, uidmap);
    kill_runs(&Machine::of_user(""), repetitions(6, 60));
    kill_runs(
        &Machine::of_user("nobody:300000:65536\n"),
        repetitions(6, 60),
    );
}

/// What a run that was killed has left goes with `delete --force` and `image prune`, and its name can be
/// used again.
fn kill_runs(machine: &Machine, count: usize) {
    let id = machine.id();
    let start = Instant::now();
    machine.told(&["--name", id], "true");
    let whole = start.elapsed();
    for number in 0..count {
        let detached: &[&str] = if number % 2 == 0 { &[] } else { &["-d"] };
        let args = [&["image", "run", "--name", id], detached, &SLEEP[..]].concat();
        let mut run = machine.command(&args);
        let mut run = run.stdout(Stdio::null()).spawn().unwrap();
        let part = u32::try_from(number).unwrap() * 977 % 1000;
        thread::sleep(whole * part / 1000);
        run.kill().unwrap();
        run.wait().unwrap();
        machine.call(&["delete", "--force", id]).succeeded();
        // A monitor that has lost its caller may be about to end.
        eventually("nothing is left", || {
            machine.call(&["delete", "--force", id]).succeeded();
            machine.call(&["image", "prune"]).succeeded();
            machine.leftovers().is_empty()
        });
    }
    assert_eq!(machine.told(&["--name", id], "echo fine"), "fine\n");
}
