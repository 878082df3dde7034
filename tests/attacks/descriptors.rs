//! Descriptors of the runtime that a container could reach the host through, and processes of the
//! runtime that it could look into.

use super::Canary;
use super::harness::{Bundle, OUTSIDE, needs};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

/// The command with descriptors from 3 on that somebody forgot to close: the host's root.
pub(super) fn with_leaks(bundle: &Bundle, args: &[&str]) -> Command {
    let run = bundle.command(args);
    let mut command = Command::new("sh");
    let script = "exec 3</ 4<. 5<../ 6</ 7<canary 8</ 9</; exec \"$0\" \"$@\"";
    command
        .args(["-c", script])
        .arg(run.get_program())
        .args(run.get_args());
    command.current_dir(&bundle.dir);
    command
}

// CVE-2024-21626.
#[test]
fn the_program_has_no_descriptor_but_the_three() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    let _canary = Canary::new(&bundle);
    let report = bundle
        .finish(with_leaks(&bundle, &["run", &bundle.id]))
        .succeeded()
        .answer();
    let open: Vec<_> = report["descriptors"].as_object().unwrap().keys().collect();
    assert_eq!(open, ["0", "1", "2"], "{}", report["descriptors"]);
}

#[test]
fn a_working_directory_that_is_a_descriptor_of_the_runtime_is_refused() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["list", "."]);
    let canary = Canary::new(&bundle);
    symlink("/proc/self/fd", bundle.rootfs().join("descriptors")).unwrap();
    for number in 3..20 {
        symlink(
            format!("/proc/self/fd/{number}"),
            bundle.rootfs().join(format!("w{number}")),
        )
        .unwrap();
        for dir in [
            format!("/proc/self/fd/{number}"),
            format!("/proc/self/fd/{number}/../../.."),
            format!("/proc/1/fd/{number}/canary"),
            format!("/descriptors/{number}"),
            format!("/w{number}"),
        ] {
            bundle.set("/process/cwd", json!(dir));
            let command = with_leaks(&bundle, &["run", &bundle.id]);
            let outcome = bundle.finish(command);
            assert!(
                !outcome.stdout.contains("canary") && !outcome.stdout.contains("ptmx"),
                "{outcome:?}"
            );
            // One of them is the container's own root, and steps up from it stay there.
            let inside = dir.ends_with("..") && outcome.stdout.contains("\"probe\"");
            assert!(outcome.code != 0 || inside, "{dir}: {outcome:?}");
        }
    }
    canary.is_untouched("a working directory");
}

#[test]
fn a_folder_passed_on_purpose_is_no_working_directory_either() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["list", "."]);
    let _canary = Canary::new(&bundle);
    for dir in [
        "/proc/self/fd/7",
        "/proc/self/fd/7/.",
        "/proc/self/fd/7/..",
        "/proc/self/fd/7/sub/..",
    ] {
        bundle.set("/process/cwd", json!(dir));
        let command = with_leaks(&bundle, &["run", "--preserve-fds", "5", &bundle.id]);
        bundle.finish(command).failed_with("/proc/self/fd/7");
    }
}

/// A container that waits at the gate, and the program of one that shares its processes.
fn neighbours(args: &[&str]) -> (Bundle, Bundle, Value) {
    let watcher = Bundle::probe(args);
    let first = watcher.create().succeeded();
    let mut watched = Bundle::probe(&[]);
    let path = format!("/proc/{}/ns/pid", watcher.state()["pid"]);
    watched.set("/linux/namespaces/0/path", json!(path));
    watched.create().succeeded();
    watcher.start().succeeded();
    watcher.wait_for_status("stopped");
    let answers: Vec<Value> = first
        .stdout_now()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (watcher, watched, json!(answers))
}

// CVE-2016-9962.
#[test]
fn a_process_of_the_runtime_in_the_container_shows_nothing_to_the_others_there() {
    needs!(root, probe);
    let (_watcher, _watched, answers) = neighbours(&[
        "list",
        "/proc",
        "+",
        "open-exe",
        "+",
        "list",
        "/proc/2/fd/0",
        "+",
        "read",
        "/proc/2/environ",
        "+",
        "list",
        "/proc/2/root",
        "+",
        "list",
        "/proc/2/cwd",
        "+",
        "read",
        "/proc/2/maps",
        "+",
        "stat",
        "/proc/2/exe",
        "+",
        "syscall",
        "ptrace",
        "16",
        "2",
    ]);
    assert!(
        answers[0]["ok"].as_array().unwrap().contains(&json!("2")),
        "{answers}"
    );
    let exe = answers[1]["ok"]
        .as_array()
        .unwrap()
        .iter()
        .find(|exe| exe["pid"] == 2)
        .unwrap();
    assert_eq!(
        (&exe["target"], &exe["writable"]),
        (&Value::Null, &json!(false)),
        "{exe}"
    );
    for answer in &answers.as_array().unwrap()[2..7] {
        assert_eq!(answer["errno"], nix::libc::EACCES, "{answer}");
    }
    assert_eq!(answers[8]["errno"], nix::libc::EPERM, "{}", answers[8]);
}

#[test]
fn the_files_of_an_unstarted_process_belong_to_the_hosts_root() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    bundle.map_users(OUTSIDE, 65536);
    bundle.create().succeeded();
    let pid = bundle.state()["pid"].as_u64().unwrap();
    let environ = Path::new("/proc").join(pid.to_string()).join("environ");
    assert_eq!(fs::metadata(&environ).unwrap().uid(), 0);
    bundle.start().succeeded();
    assert_eq!(fs::metadata(&environ).unwrap().uid(), OUTSIDE);
    bundle.kill("KILL").succeeded();
    bundle.wait_for_status("stopped");
}

#[test]
fn the_process_of_a_user_who_is_not_root_is_closed_to_that_user_too() {
    needs!(root, probe);
    let bundle = super::create_without_root();
    let environ = format!("/proc/{}/environ", bundle.state()["pid"]);
    assert_eq!(fs::metadata(environ).unwrap().uid(), 0);
}
