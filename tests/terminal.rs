//! Terminals: through a console socket, in the foreground, and refused.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Bundle, eventually, needs};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::json;

fn with_terminal(script: &str) -> Bundle {
    let mut bundle = Bundle::busybox(script);
    bundle
        .set("/process/terminal", json!(true))
        .set("/process/consoleSize", json!({ "height": 33, "width": 77 }));
    bundle
}

/// The descriptor that comes with one message.
fn receive(listener: &UnixListener) -> File {
    let (socket, _) = listener.accept().unwrap();
    let mut name = [0; 4096];
    let mut parts = [IoSliceMut::new(&mut name)];
    let mut space = nix::cmsg_space!(std::os::fd::RawFd);
    let flags = MsgFlags::empty();
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
    let mut fds = Vec::new();
    for part in message.cmsgs().unwrap() {
        if let ControlMessageOwned::ScmRights(more) = part {
            fds.extend(more);
        }
    }
    assert_eq!(fds.len(), 1);
    // SAFETY: the kernel has just made the descriptor for this process.
    #[allow(unsafe_code, reason = "a descriptor comes as a number")]
    unsafe {
        File::from_raw_fd(fds[0])
    }
}

/// What is shown, up to and with `end`.
#[track_caller]
fn read_until(terminal: &mut File, end: &str) -> String {
    let (mut shown, mut part) = (String::new(), [0; 1024]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !shown.contains(end) {
        assert!(Instant::now() < deadline, "{shown:?}");
        match terminal.read(&mut part) {
            Ok(count) => shown += std::str::from_utf8(&part[..count]).unwrap(),
            Err(e) => panic!("{e} after {shown:?}"),
        }
    }
    shown
}

#[test]
fn the_master_goes_to_the_console_socket() {
    needs!(root, busybox);
    let script = "tty; stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all three
        echo console >/dev/console; (: </dev/tty) && echo controlled; read word; echo got $word; sleep 60";
    let bundle = with_terminal(script);
    let socket = bundle.dir.join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let flags = [
        "create",
        "--console-socket",
        socket.to_str().unwrap(),
        &bundle.id,
    ];
    bundle.call(&flags).succeeded();
    let mut terminal = receive(&listener);
    bundle.start().succeeded();
    let shown = read_until(&mut terminal, "controlled\r\n");
    assert_eq!(
        shown,
        "/dev/pts/0\r\n33 77\r\nall three\r\nconsole\r\ncontrolled\r\n"
    );
    terminal.write_all(b"this\n").unwrap();
    read_until(&mut terminal, "got this\r\n");
}

#[test]
fn another_program_gets_a_terminal_of_its_own() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("sleep 60");
    bundle.create().succeeded();
    bundle.start().succeeded();
    let socket = bundle.dir.join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let flags = [
        "exec",
        "--tty",
        "--detach",
        "--console-socket",
        socket.to_str().unwrap(),
    ];
    let words = [&flags[..], &[&bundle.id, "sh", "-c", "tty; sleep 60"]].concat();
    bundle.call(&words).succeeded();
    read_until(&mut receive(&listener), "/dev/pts/0\r\n");
}

/// script(1) gives the runtime a terminal of its own, and shows what is shown on it.
fn on_a_terminal(bundle: &Bundle, typed: &str) -> String {
    shown_on_a_terminal(bundle, &["run", &bundle.id], "", typed)
}

/// The same for any command; `meanwhile` runs beside it, in shell.
fn shown_on_a_terminal(bundle: &Bundle, words: &[&str], meanwhile: &str, typed: &str) -> String {
    let run = bundle.command(words);
    let words = std::iter::once(run.get_program()).chain(run.get_args());
    let words: Vec<String> = words
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let mut script = Command::new("script")
        .args([
            "-qec",
            &format!(
                "stty rows 11 cols 22; {meanwhile} {}; echo code $?; stty -a",
                words.join(" ")
            ),
        ])
        .arg("/dev/null")
        .current_dir(&bundle.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    script
        .stdin
        .as_mut()
        .unwrap()
        .write_all(typed.as_bytes())
        .unwrap();
    let told = script.wait_with_output().unwrap();
    // script(1) tells of the end of its input by a NUL, whenever that comes, and terminals show it so.
    String::from_utf8(told.stdout).unwrap().replace("^@", "")
}

#[test]
fn in_the_foreground_it_is_the_users_terminal() {
    needs!(root, busybox);
    let bundle = with_terminal("stty size; echo word; read word; echo got $word; exit 7");
    let shown = on_a_terminal(&bundle, "this\n");
    assert!(shown.contains("11 22\r\n"), "{shown:?}");
    assert!(shown.contains("got this\r\n"), "{shown:?}");
    assert!(shown.contains("code 7\r\n"), "{shown:?}");
    // As it was before.
    let (_, after) = shown.split_once("code 7").unwrap();
    for mode in ["icanon", "echo", "isig"] {
        assert!(
            after.split_whitespace().any(|word| word == mode),
            "{mode}: {after:?}"
        );
    }
}

/// The one that joins has a terminal of its own, and the user's is as it was before.
#[test]
fn in_the_foreground_another_program_is_on_the_users_terminal() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("sleep 60");
    bundle.create().succeeded();
    bundle.start().succeeded();
    let program = "tty; stty size; read word; echo got $word; exit 7";
    let words = ["exec", "-t", &bundle.id, "sh", "-c", program];
    let shown = shown_on_a_terminal(&bundle, &words, "", "this\n");
    for wanted in ["/dev/pts/0\r\n", "11 22\r\n", "got this\r\n", "code 7\r\n"] {
        assert!(shown.contains(wanted), "{wanted:?}: {shown:?}");
    }
    let (_, after) = shown.split_once("code 7").unwrap();
    assert!(
        after.split_whitespace().any(|word| word == "icanon"),
        "{after:?}"
    );
}

#[test]
fn the_terminal_follows_the_size_of_the_users() {
    needs!(root, busybox);
    let script = "until [ \"$(stty size)\" = '44 55' ]; do sleep 0.05; done; echo it is";
    let bundle = with_terminal(script);
    let run = ["run", &bundle.id];
    let meanwhile = "(sleep 0.5; stty rows 44 cols 55 </dev/tty) &";
    let shown = shown_on_a_terminal(&bundle, &run, meanwhile, "");
    assert!(shown.contains("it is\r\n"), "{shown:?}");
}

#[test]
fn the_terminal_of_a_user_namespace_is_its_users() {
    needs!(root, busybox);
    let mut bundle =
        with_terminal("echo; tty; stat -c %u:%a $(tty) /dev/console; echo shown >/dev/console");
    bundle.map_users(harness::OUTSIDE, 65536);
    bundle.set("/process/user", json!({ "uid": 7, "gid": 8 }));
    let shown = on_a_terminal(&bundle, "");
    let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
    assert_eq!(
        lines[1..5],
        ["/dev/pts/0", "7:620", "7:620", "shown"],
        "{shown:?}"
    );
}

#[test]
fn all_that_was_written_is_shown() {
    needs!(root, busybox);
    let bundle = with_terminal("seq 20000");
    let shown = on_a_terminal(&bundle, "");
    let numbers: Vec<&str> = shown.lines().take(20000).collect();
    assert_eq!(numbers.last(), Some(&"20000"), "{} lines", numbers.len());
}

/// What never stops writing holds up neither signals nor the end.
#[test]
fn a_loud_program_hears_of_a_signal() {
    needs!(root, busybox);
    let bundle = with_terminal("exec yes");
    let mut run = bundle.command(&["run", &bundle.id]);
    let mut child = run.stdout(Stdio::null()).spawn().unwrap();
    eventually("its program", || {
        let state = bundle.call(&["state", &bundle.id]);
        state.code == 0 && {
            let name = format!("/proc/{}/comm", bundle.state()["pid"]);
            std::fs::read_to_string(name).is_ok_and(|name| name == "yes\n")
        }
    });
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let mut ended = None;
    eventually("the end", || {
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        // The first process of a pid namespace takes no signal that it does not handle.
        let _ = bundle.call(&["kill", &bundle.id, "KILL"]);
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(137));
}

/// An init closes its terminal and opens /dev/console later.
#[test]
fn a_terminal_that_nobody_has_open_for_a_while_is_shown_again() {
    needs!(root, busybox);
    let script =
        "echo before; exec </dev/null >/dev/null 2>&1; sleep 0.3; exec >/dev/console; echo after";
    let shown = on_a_terminal(&with_terminal(script), "");
    let (_, after) = shown.split_once("before\r\n").unwrap();
    assert!(after.contains("after\r\n"), "{shown:?}");
}

#[test]
fn a_terminal_that_nobody_gets_and_a_socket_for_none_are_refused() {
    needs!(root, busybox);
    let mut bundle = with_terminal("true");
    bundle
        .create()
        .failed_with("cannot allocate tty if runc will detach without setting console socket");
    let socket = bundle.dir.join("nobody").display().to_string();
    let id = bundle.id.clone();
    let create = ["create", "--console-socket", &socket, &id];
    bundle
        .call(&create)
        .failed_with("connect to the console socket");
    let refused = "cannot use console socket if runc will not detach or allocate tty";
    let run = ["run", "--console-socket", &socket, &id];
    bundle.call(&run).failed_with(refused);
    bundle.set("/process/terminal", json!(false));
    bundle.call(&create).failed_with(refused);
}

/// CVE-2025-52565: what the image has in the place of devpts is not opened.
#[test]
fn a_terminal_is_made_in_a_devpts_alone() {
    needs!(root, busybox);
    let mut bundle = with_terminal("true");
    let mounts = bundle.config["mounts"].as_array().unwrap();
    let at = mounts
        .iter()
        .position(|mount| mount["destination"] == "/dev/pts")
        .unwrap();
    bundle.remove(&format!("/mounts/{at}"));
    bundle.mount(json!({ "destination": "/dev/pts", "type": "tmpfs", "source": "tmpfs" }));
    let said =
        "make a terminal, and /dev/console of it: open /dev/pts/ptmx of a devpts: no such device";
    bundle.run().failed_with(said);
}

#[test]
fn the_master_of_a_restored_terminal_goes_to_the_console_socket() {
    needs!(root, busybox, cgroup2, criu);
    let bundle = with_terminal("while read word; do echo got $word; done");
    let socket = bundle.dir.join("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let console = ["--console-socket", socket.to_str().unwrap()];
    let call = |words: &[&str]| bundle.call(&[words, &[&bundle.id]].concat()).succeeded();
    call(&[&["create"], &console[..]].concat());
    let mut terminal = receive(&listener);
    bundle.start().succeeded();
    terminal.write_all(b"one\n").unwrap();
    read_until(&mut terminal, "got one\r\n");

    call(&["checkpoint", "--image-path", "img"]);
    let restore = ["restore", "--detach", "--image-path", "img"];
    call(&[&restore[..], &console].concat());
    let mut terminal = receive(&listener);
    terminal.write_all(b"two\n").unwrap();
    let shown = read_until(&mut terminal, "got two\r\n");
    assert!(!shown.contains("one"), "{shown:?}");
}
