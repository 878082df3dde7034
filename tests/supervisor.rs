//! What a service manager passes on: sockets that it has opened, and where it waits for readiness.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use harness::{Bundle, needs, program};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::json;

/// `run` with three files from descriptor 3 on, of which the manager says that two are sockets of the
/// process that `pid` names in shell.
fn run_with_sockets(bundle: &Bundle, pid: &str) -> harness::Outcome {
    call_with_sockets(bundle, "run", pid)
}

fn call_with_sockets(bundle: &Bundle, command: &str, pid: &str) -> harness::Outcome {
    for name in ["a", "b", "c"] {
        std::fs::write(bundle.dir.join(name), name).unwrap();
    }
    bundle.write_config();
    let script = format!(
        "LISTEN_PID={pid} LISTEN_FDS=2 LISTEN_FDNAMES=web:admin exec {} --root {} {command} --preserve-fds 1 {} \
         3<a 4<b 5<c",
        program().display(),
        bundle.state_dir().display(),
        bundle.id
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(&bundle.dir);
    bundle.finish(shell)
}

#[test]
fn sockets_of_the_manager_come_before_preserved_descriptors() {
    needs!(root, busybox);
    let script = "echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; cd /proc/self/fd; cat 3 4 5";
    let mut bundle = Bundle::busybox(script);
    bundle.set("/process/env/-", json!("LISTEN_FDS=of the document"));
    let outcome = run_with_sockets(&bundle, "$$").succeeded();
    assert_eq!(outcome.stdout, "2 1 web:admin\nabc");
}

#[test]
fn sockets_reach_a_container_that_is_detached_or_started_later() {
    needs!(root, busybox);
    for (command, start) in [("run --detach", false), ("create", true)] {
        let script = "echo $LISTEN_FDS $LISTEN_PID; cd /proc/self/fd; cat 3 4 5";
        let bundle = Bundle::busybox(script);
        let outcome = call_with_sockets(&bundle, command, "$$").succeeded();
        if start {
            bundle.start().succeeded();
        }
        bundle.wait_for_status("stopped");
        assert_eq!(outcome.stdout_now(), "2 1\nabc", "{command}");
    }
}

#[test]
fn sockets_for_another_process_are_not_passed_on() {
    needs!(root, busybox);
    let bundle =
        Bundle::busybox("echo [$LISTEN_FDS$LISTEN_PID]; cat /proc/self/fd/3; ls /proc/self/fd/4");
    let outcome = run_with_sockets(&bundle, "1");
    assert_eq!(outcome.stdout, "[]\na", "the one that is preserved");
    assert_ne!(outcome.code, 0);
}

#[test]
fn a_socket_that_is_not_open_is_an_error() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("true");
    bundle.write_config();
    let script = format!(
        "LISTEN_PID=$$ LISTEN_FDS=2 exec {} --root {} run {} 3</dev/null 4<&-",
        program().display(),
        bundle.state_dir().display(),
        bundle.id
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(&bundle.dir);
    bundle.finish(shell).failed_with("preserved-fd 1 (of 2)");
}

/// A manager that hears until all is said; what it heard.
fn manager(path: &Path) -> JoinHandle<Vec<String>> {
    let socket = UnixDatagram::bind(path).unwrap();
    let patience = Duration::from_secs(60);
    socket.set_read_timeout(Some(patience)).unwrap();
    thread::spawn(move || {
        let mut heard = Vec::new();
        while heard
            .last()
            .is_none_or(|last| last != "BARRIER=1" && last != "last")
        {
            heard.push(hear(&socket));
        }
        heard
    })
}

/// One message; the pipe that comes with a barrier is closed.
fn hear(socket: &UnixDatagram) -> String {
    let mut text = [0; 256];
    let mut parts = [IoSliceMut::new(&mut text)];
    let mut space = nix::cmsg_space!(std::os::fd::RawFd);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
    for part in message.cmsgs().unwrap() {
        if let ControlMessageOwned::ScmRights(fds) = part {
            // SAFETY: the kernel has just made the descriptor for this process.
            #[allow(unsafe_code, reason = "a descriptor comes as a number")]
            drop(unsafe { OwnedFd::from_raw_fd(fds[0]) });
        }
    }
    let length = message.bytes;
    String::from_utf8_lossy(&text[..length])
        .trim_end()
        .to_owned()
}

/// A container that says this and sleeps, and where its manager listens.
fn telling(lines: &[&str]) -> (Bundle, PathBuf) {
    let bundle = Bundle::probe(&[&["notify"], lines, &["+", "sleep", "60"]].concat());
    let path = bundle.dir.join("manager");
    (bundle, path)
}

fn call(bundle: &Bundle, manager: &Path, args: &[&str]) -> harness::Outcome {
    let mut command = bundle.command(args);
    command.env("NOTIFY_SOCKET", manager);
    bundle.finish(command)
}

/// Creates and starts the container: its manager hears of readiness and of whom to watch, and takes no
/// other order.
#[track_caller]
fn starts_and_is_heard_once(bundle: &Bundle, path: &Path) {
    let manager = manager(path);
    call(bundle, path, &["create", &bundle.id]).succeeded();
    call(bundle, path, &["start", &bundle.id]).succeeded();
    let pid = format!("MAINPID={}", bundle.state()["pid"]);
    assert_eq!(manager.join().unwrap(), ["READY=1", &pid, "BARRIER=1"]);
}

#[test]
fn start_waits_until_the_container_is_ready() {
    needs!(root, probe);
    let (bundle, path) = telling(&["MAINPID=1", "READY=1", "STATUS=well"]);
    starts_and_is_heard_once(&bundle, &path);
}

#[test]
fn a_container_that_says_so_again_and_again_is_heard_once() {
    needs!(root, probe);
    let (mut bundle, path) = telling(&[]);
    let ready: Vec<&str> = ["notify", "READY=1", "+"].repeat(30);
    bundle.args(&[&["/probe"], &ready[..], &["sleep", "60"]].concat());
    starts_and_is_heard_once(&bundle, &path);
}

/// A root that may mount can write where the socket is.
#[test]
fn what_a_container_leaves_beside_the_socket_is_removed() {
    needs!(root, probe);
    let (mut bundle, path) = telling(&[]);
    let act =
        "remount-writable /run/notify + mkdir /run/notify/d + write /run/notify/d/x y + sleep 60";
    bundle.args(&[&["/probe"], &act.split(' ').collect::<Vec<_>>()[..]].concat());
    for set in ["bounding", "effective", "permitted"] {
        bundle.set(
            &format!("/process/capabilities/{set}/-"),
            json!("CAP_SYS_ADMIN"),
        );
    }
    let _manager = UnixDatagram::bind(&path).unwrap();
    call(&bundle, &path, &["create", &bundle.id]).succeeded();
    bundle.start().succeeded();
    let left = bundle.state_dir().join(&bundle.id).join("notify/d/x");
    harness::eventually("its file", || left.exists());
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
}

#[test]
fn a_detached_run_waits_until_the_container_is_ready() {
    needs!(root, probe);
    let (mut bundle, path) = telling(&["READY=1"]);
    bundle.args(&[
        "/probe", "sleep", "1", "+", "notify", "READY=1", "+", "sleep", "60",
    ]);
    let manager = manager(&path);
    call(&bundle, &path, &["run", "--detach", &bundle.id]).succeeded();
    let pid = format!("MAINPID={}", bundle.state()["pid"]);
    assert!(manager.is_finished(), "it has been told by now");
    assert_eq!(manager.join().unwrap(), ["READY=1", &pid, "BARRIER=1"]);
}

/// The manager goes on watching the runtime, which is its own child.
#[test]
fn a_run_in_the_foreground_passes_readiness_on() {
    needs!(root, probe);
    let (mut bundle, path) = telling(&[]);
    bundle.args(&["/probe", "notify", "READY=1"]);
    let manager = manager(&path);
    call(&bundle, &path, &["run", &bundle.id]).succeeded();
    let end = UnixDatagram::unbound().unwrap();
    end.send_to(b"last", &path).unwrap();
    assert_eq!(manager.join().unwrap(), ["READY=1", "last"]);
}

#[test]
fn a_user_in_a_user_namespace_may_say_so() {
    needs!(root, probe);
    let (mut bundle, path) = telling(&["READY=1"]);
    bundle
        .set("/linux/namespaces/-", json!({ "type": "user" }))
        .set(
            "/linux/uidMappings",
            json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]),
        )
        .set(
            "/linux/gidMappings",
            json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]),
        )
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }))
        .set("/process/env/-", json!("NOTIFY_SOCKET=of the document"));
    // Its root may make no directory in a root filesystem of the host's root.
    bundle.mount(json!({ "destination": "/run", "type": "tmpfs", "source": "tmpfs" }));
    let manager = manager(&path);
    call(&bundle, &path, &["create", &bundle.id]).succeeded();
    call(&bundle, &path, &["start", &bundle.id]).succeeded();
    assert_eq!(manager.join().unwrap()[0], "READY=1");
}

#[test]
fn nobody_waits_for_what_has_ended_or_was_never_asked() {
    needs!(root, probe);
    let (mut bundle, path) = telling(&[]);
    bundle.args(&["/probe", "report"]);
    let socket = UnixDatagram::bind(&path).unwrap();
    call(&bundle, &path, &["run", "--detach", &bundle.id]).succeeded();
    bundle.wait_for_status("stopped");
    bundle.delete().succeeded();
    bundle.args(&["/probe", "sleep", "60"]);
    bundle.create().succeeded();
    call(&bundle, &path, &["start", &bundle.id]).succeeded();
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 8]).is_err(), "nothing was said");
}

#[test]
fn a_manager_that_is_not_there_is_an_error_before_anything_runs() {
    needs!(root, probe);
    let (bundle, path) = telling(&["READY=1"]);
    let said = format!(
        "connect to NOTIFY_SOCKET {}: no such file or directory",
        path.display()
    );
    call(&bundle, &path, &["run", &bundle.id]).failed_with(&said);
    assert!(bundle.leftovers().is_empty());
    call(&bundle, &path, &["create", &bundle.id]).succeeded();
    call(&bundle, &path, &["start", &bundle.id]).failed_with(&said);
    assert_eq!(bundle.state()["status"], "created");
    call(&bundle, Path::new("relative"), &["start", &bundle.id])
        .failed_with("NOTIFY_SOCKET: \"relative\" is neither an absolute path nor @ and a name");
}
