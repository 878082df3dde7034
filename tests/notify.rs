//! System calls that an agent answers for the kernel (`SCMP_ACT_NOTIFY`).
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::fs;
use std::io::{IoSliceMut, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use harness::{Bundle, needs};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};

/// What the agent answers to every call that it is asked about.
#[derive(Clone, Copy)]
enum Answer {
    Value(i64),
    Errno(i32),
    /// The kernel carries out the call.
    GoOn,
    /// The agent goes away instead.
    Nothing,
}

mod ioctl {
    use nix::libc::{seccomp_notif, seccomp_notif_resp};
    // linux/seccomp.h
    nix::ioctl_readwrite!(receive, b'!', 0, seccomp_notif);
    nix::ioctl_readwrite!(send, b'!', 1, seccomp_notif_resp);
}

/// Takes one listener and answers there until no process is left that could ask; what it was told.
fn serve(listener: &UnixListener, answer: Answer) -> Value {
    let (mut socket, _) = listener.accept().unwrap();
    let mut text = vec![0; 4096];
    let mut parts = [IoSliceMut::new(&mut text)];
    let mut space = nix::cmsg_space!(std::os::fd::RawFd);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
    let Some(ControlMessageOwned::ScmRights(fds)) = message.cmsgs().unwrap().next() else {
        panic!("no listener came along");
    };
    let length = message.bytes;
    text.truncate(length);
    socket.read_to_end(&mut text).unwrap();
    // SAFETY: the kernel has just made the descriptor for this process.
    #[allow(unsafe_code, reason = "a descriptor comes as a number")]
    let asked = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    if !matches!(answer, Answer::Nothing) {
        while is_asked(&asked) {
            reply(&asked, answer);
        }
    }
    serde_json::from_slice(&text).unwrap()
}

fn is_asked(asked: &OwnedFd) -> bool {
    use std::os::fd::AsFd;
    let mut fds = [PollFd::new(asked.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::NONE).unwrap();
    fds[0].revents().unwrap().contains(PollFlags::POLLIN)
}

fn reply(asked: &OwnedFd, answer: Answer) {
    // SAFETY: both are plain numbers, and the kernel wants the first zeroed.
    #[allow(unsafe_code, reason = "the ioctls of an agent")]
    unsafe {
        let mut question: libc::seccomp_notif = std::mem::zeroed();
        if ioctl::receive(asked.as_raw_fd(), &raw mut question).is_err() {
            return; // who asked is gone
        }
        let mut reply: libc::seccomp_notif_resp = std::mem::zeroed();
        reply.id = question.id;
        match answer {
            Answer::Value(value) => reply.val = value,
            Answer::Errno(errno) => reply.error = -errno,
            Answer::GoOn | Answer::Nothing => {
                reply.flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap();
            }
        }
        let _ = ioctl::send(asked.as_raw_fd(), &raw mut reply);
    }
}

/// A bundle whose calls of this name go to an agent, and where that listens.
fn asking(act: &[&str], calls: &[&str]) -> (Bundle, PathBuf) {
    let mut bundle = Bundle::probe(act);
    let path = bundle.dir.join("agent");
    let mut filter = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": path,
        "listenerMetadata": "of this test",
        "syscalls": [{ "names": calls, "action": "SCMP_ACT_NOTIFY" }],
    });
    if calls.is_empty() {
        filter["defaultAction"] = json!("SCMP_ACT_NOTIFY");
        filter["syscalls"] = json!([]);
    }
    bundle.set("/linux/seccomp", filter);
    (bundle, path)
}

/// An agent for as many processes as there are answers.
fn agent(path: &PathBuf, answers: Vec<Answer>) -> JoinHandle<Vec<Value>> {
    let listener = UnixListener::bind(path).unwrap();
    let serve = move || answers.iter().map(|a| serve(&listener, *a)).collect();
    thread::spawn(serve)
}

#[test]
fn the_agent_answers_in_the_place_of_the_kernel() {
    needs!(root, probe);
    for (answer, wanted) in [
        (Answer::Value(4242), json!({ "ok": 4242 })),
        (Answer::Errno(libc::EXDEV), json!({ "errno": libc::EXDEV })),
        // The kernel's own answer to questions that nobody reads.
        (Answer::Nothing, json!({ "errno": libc::ENOSYS })),
    ] {
        let (bundle, path) = asking(&["syscall", "getppid"], &["getppid"]);
        let agent = agent(&path, vec![answer]);
        let got = bundle.run().succeeded().answer();
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(got[key], *value, "{got}");
        }
        agent.join().unwrap();
    }
}

#[test]
fn the_agent_is_told_of_the_process_and_its_container() {
    needs!(root, probe);
    let (mut bundle, path) = asking(&["sleep", "60"], &["getppid"]);
    bundle.set("/annotations/of", json!("x".repeat(100_000)));
    let agent = agent(&path, vec![Answer::GoOn]);
    bundle.create().succeeded();
    let pid = bundle.state()["pid"].clone();
    bundle.start().succeeded();
    bundle.kill("KILL").succeeded();
    let told = &agent.join().unwrap()[0];
    assert_eq!(told["fds"], json!(["seccompFd"]));
    assert_eq!(told["metadata"], "of this test");
    assert_eq!(told["pid"], pid);
    let state = &told["state"];
    assert_eq!(state["pid"], pid);
    assert_eq!(state["id"], bundle.id.as_str());
    assert_eq!(state["status"], "created");
    assert_eq!(state["bundle"], bundle.dir.to_str().unwrap());
    assert_eq!(state["annotations"]["of"].as_str().unwrap().len(), 100_000);
    assert!(state["ociVersion"].is_string() && told["ociVersion"].is_string());
}

/// Not even `exit_group` is free of the agent, nor is what executes the program.
#[test]
fn every_call_may_go_to_the_agent() {
    needs!(root, probe);
    let (bundle, path) = asking(&["syscall", "getppid"], &[]);
    let agent = agent(&path, vec![Answer::GoOn, Answer::GoOn]);
    bundle.run().succeeded();
    bundle.create().succeeded();
    bundle.start().succeeded();
    agent.join().unwrap();
    bundle.wait_for_status("stopped");
}

#[test]
fn a_process_that_joins_has_a_listener_of_its_own() {
    needs!(root, probe);
    let (bundle, path) = asking(&["sleep", "60"], &["getppid"]);
    // The first one's agent goes at once, so that the next can be served.
    let agent = agent(&path, vec![Answer::Nothing, Answer::Value(7)]);
    bundle.create().succeeded();
    bundle.start().succeeded();
    let first = bundle.state()["pid"].clone();
    let got = bundle.call(&["exec", &bundle.id, "/probe", "syscall", "getppid"]);
    assert_eq!(got.succeeded().answer()["ok"], 7);
    let told = &agent.join().unwrap()[1];
    assert_eq!(told["state"]["status"], "running");
    assert_eq!(told["state"]["pid"], first);
    assert_ne!(told["pid"], first);
}

#[test]
fn a_process_that_joins_early_is_told_of_a_container_that_waits() {
    needs!(root, probe);
    let (bundle, path) = asking(&["sleep", "60"], &["getppid"]);
    let agent = agent(&path, vec![Answer::GoOn]);
    bundle.create().succeeded();
    let exec = ["exec", &bundle.id, "/probe", "exit", "0"];
    bundle.call(&exec).succeeded();
    assert_eq!(agent.join().unwrap()[0]["state"]["status"], "created");
}

/// Its filter has no listener of its own.
#[test]
fn a_start_container_hook_gets_an_error_for_what_the_agent_would_be_asked() {
    needs!(root, probe);
    let (mut bundle, path) = asking(&["exit", "0"], &["mkdir"]);
    bundle.set(
        "/hooks/startContainer",
        json!([{ "path": "/probe", "args": ["probe", "mkdir", "/dev/made", "+", "write", "/dev/hook", "ran"] }]),
    );
    bundle.args(&["/probe", "stat", "/dev/made", "+", "read", "/dev/hook"]);
    let agent = agent(&path, vec![Answer::GoOn]);
    let told = bundle.run().succeeded().answers();
    agent.join().unwrap();
    assert_eq!(told[0]["errno"], libc::ENOENT, "{told:?}");
    assert_eq!(told[1]["ok"], "ran", "{told:?}");
}

#[test]
fn a_limit_that_leaves_no_room_for_the_courier_is_told() {
    needs!(root, probe);
    let (mut bundle, path) = asking(&["exit", "0"], &["getppid"]);
    bundle.set("/linux/resources/pids", json!({ "limit": 1 }));
    let _listener = UnixListener::bind(&path).unwrap();
    bundle.run().failed_with("start a second thread");
}

/// The container is not held for longer than an agent may take.
#[test]
fn an_agent_that_takes_nobody_in_is_an_error() {
    needs!(root, probe);
    let (bundle, path) = asking(&["sleep", "60"], &["getppid"]);
    let _full = harness::full_socket(&path);
    bundle.create().succeeded();
    bundle.start().failed_with("connection timed out");
    bundle.wait_for_status("stopped");
}

#[test]
fn where_nobody_listens_nothing_runs() {
    needs!(root, probe);
    let (bundle, path) = asking(&["sleep", "60"], &["getppid"]);
    let said = |why: &str| {
        let path = path.display();
        format!("send the seccomp listener to linux.seccomp.listenerPath {path}: {why}")
    };
    let missing = bundle.create();
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains(&said("no such file or directory")));
    fs::write(&path, "").unwrap();
    let other = bundle.create();
    assert!(
        other
            .stderr
            .contains(&said("socket operation on non-socket")),
        "{other:?}"
    );
    fs::remove_file(&path).unwrap();

    drop(UnixListener::bind(&path).unwrap());
    bundle.create().succeeded();
    let refused = bundle.start();
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains(&said("connection refused")),
        "{refused:?}"
    );
    bundle.wait_for_status("stopped");
    bundle.delete().succeeded();
    let refused = bundle.run();
    assert!(
        refused.stderr.contains(&said("connection refused")),
        "{refused:?}"
    );
    assert!(bundle.leftovers().is_empty());
}
