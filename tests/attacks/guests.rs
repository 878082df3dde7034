//! Attacks on a program that joins a container, by the container that it joins.

use super::Canary;
use super::descriptors::with_leaks;
use super::harness::{Bundle, Outcome, eventually, full_socket, needs};
use nix::libc;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

fn running() -> Bundle {
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    bundle.start().succeeded();
    bundle
}

fn exec(bundle: &Bundle, args: &[&str]) -> Outcome {
    bundle.call(&[&["exec", bundle.id.as_str()], args].concat())
}

/// Starts `exec`, and stops the runtime where its process is in the container and all of it is still
/// the host's. The number of the process inside.
fn stand_still_within(bundle: &Bundle, socket: &Path) -> (Child, u64) {
    let flags = [
        "exec",
        "--pidfd-socket",
        socket.to_str().unwrap(),
        &bundle.id,
        "/probe",
    ];
    let mut command = bundle.command(&flags);
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut within = 0;
    eventually("its process", || {
        let seen = exec(bundle, &["/probe", "open-exe"]).succeeded().answer();
        let seen = seen["ok"].as_array().unwrap().clone();
        // The first process and whoever looks have a program; it has none that may be seen.
        let closed = seen
            .iter()
            .find(|one| one["pid"] != 1 && one["target"].is_null());
        within = closed.map_or(0, |one| one["pid"].as_u64().unwrap());
        within != 0
    });
    (child, within)
}

// CVE-2016-9962.
#[test]
fn a_process_that_joins_shows_nothing_to_the_others_there() {
    needs!(root, probe);
    let bundle = running();
    let socket = bundle.dir.join("full");
    let _full = full_socket(&socket);
    let (mut child, pid) = stand_still_within(&bundle, &socket);
    let of = |name: &str| format!("/proc/{pid}/{name}");
    let pid = pid.to_string();
    for (act, errno) in [
        (["list", &of("fd/0")], libc::EACCES),
        (["list", &of("root")], libc::EACCES),
        (["list", &of("cwd")], libc::EACCES),
        (["read", &of("environ")], libc::EACCES),
        (["read", &of("maps")], libc::EACCES),
        (["write", &of("mem")], libc::EACCES),
    ] {
        let answer = exec(&bundle, &[&["/probe"], &act[..]].concat());
        assert_eq!(answer.succeeded().answer()["errno"], errno, "{act:?}");
    }
    let traced = exec(&bundle, &["/probe", "syscall", "ptrace", "16", &pid]);
    assert_eq!(traced.succeeded().answer()["errno"], libc::EPERM);

    // It goes with the runtime, and nothing of the container does.
    child.kill().unwrap();
    child.wait().unwrap();
    let ps = || bundle.call(&["ps", "--format", "json", &bundle.id]).stdout;
    eventually("its end", || !ps().contains(','));
    assert_eq!(bundle.state()["status"], "running");
}

// CVE-2024-21626.
#[test]
fn a_descriptor_of_the_runtime_is_no_working_directory() {
    needs!(root, probe);
    let bundle = running();
    let canary = Canary::new(&bundle);
    for number in 3..24 {
        for dir in [
            format!("/proc/self/fd/{number}"),
            format!("/proc/self/fd/{number}/../../.."),
            format!("/proc/self/fd/{number}/canary"),
        ] {
            let args = ["exec", "--cwd", &dir, &bundle.id, "/probe", "list", "."];
            let outcome = bundle.finish(with_leaks(&bundle, &args));
            let said = &outcome.stdout;
            assert!(
                !said.contains("canary") && !said.contains("ptmx"),
                "{outcome:?}"
            );
            assert_eq!(outcome.code, 255, "{dir}: {outcome:?}");
        }
    }
    canary.is_untouched("a working directory");
}

#[test]
fn a_guest_has_no_descriptor_but_the_three_and_what_is_passed() {
    needs!(root, probe);
    let bundle = running();
    let _canary = Canary::new(&bundle);
    let open = |flags: &[&str]| {
        let args = [&["exec"], flags, &[bundle.id.as_str(), "/probe"]].concat();
        let outcome = bundle.finish(with_leaks(&bundle, &args));
        let report = outcome.succeeded().answer();
        let open = report["descriptors"].as_object().unwrap();
        open.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(open(&[]), ["0", "1", "2"]);
    assert_eq!(open(&["--preserve-fds", "2"]), ["0", "1", "2", "3", "4"]);
}

// CVE-2022-29162: what is inheritable comes back in a program with file capabilities.
#[test]
fn a_guest_inherits_no_capability_that_the_document_does_not_give() {
    needs!(root, probe);
    let bundle = running();
    let sets = |flags: &[&str]| {
        let args = [&["exec"], flags, &[bundle.id.as_str(), "/probe"]].concat();
        bundle.call(&args).succeeded().answer()["capabilities"].clone()
    };
    let before = sets(&[]);
    let more = sets(&["--cap", "CAP_NET_RAW"]);
    for set in ["inheritable", "ambient"] {
        assert_eq!(before[set], json!([]), "{before}");
        assert_eq!(more[set], json!([]), "{more}");
    }
    for set in ["bounding", "permitted", "effective"] {
        let has = |sets: &Value| {
            sets[set]
                .as_array()
                .unwrap()
                .contains(&json!("CAP_NET_RAW"))
        };
        assert!(!has(&before) && has(&more), "{set}: {before} {more}");
    }
}

#[test]
fn the_containers_filter_holds_a_guest_too() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    bundle.set(
        "/linux/seccomp",
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77 }],
        }),
    );
    bundle.create().succeeded();
    bundle.start().succeeded();
    // What the bundle says by now is not what the container was made of.
    bundle.remove("/linux/seccomp");
    let answer = exec(&bundle, &["/probe", "syscall", "getppid"])
        .succeeded()
        .answer();
    assert_eq!(answer["errno"], 77);
    let status = format!("/proc/{}/status", bundle.state()["pid"]);
    assert!(fs::read_to_string(status).unwrap().contains("Seccomp:\t2"));
}
