//! CVE-2019-5736: a container that overwrites the program of the runtime.

use super::harness::{Bundle, Outcome, copy_tree, eventually, needs, program};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc;
use serde_json::json;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

/// Opens the program of process 2, ends that process, and writes through the descriptor when nobody
/// executes the file any more.
const ATTACKER: &str = "
    until [ -r /proc/2/exe ]; do sleep 0.01; done
    exec 3</proc/2/exe
    echo opened
    kill -9 2
    for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        said=$( { echo overwritten >/proc/self/fd/3; } 2>&1 )
        case $said in *busy*) sleep 0.1 ;; *) break ;; esac
    done
    echo \"end: $said\"
";

/// A pipe that takes no byte more: who writes to it stays where it is.
fn full_pipe() -> (OwnedFd, File) {
    let (read, write) = nix::unistd::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", write.as_raw_fd());
    let mut filler = OpenOptions::new()
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .unwrap();
    while filler.write(&[0; 4096]).is_ok() {}
    (read, File::from(write))
}

/// The image's program is a script, and its interpreter is whoever executes it: the runtime. It comes
/// back to life as a process of the container that can be looked into, and complains.
fn hostile_script(bundle: &Bundle) {
    let script = bundle.rootfs().join("script");
    fs::write(&script, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
}

/// Runs `order` with a copy of the runtime that stands for the installed one, while the attacker waits
/// at its gate, and then lets the attacker go. `is_there`: the victim's process is process 2, which it
/// is if it comes before any that the attacker makes.
#[track_caller]
fn is_not_overwritten(
    attacker: &Bundle,
    out: &Outcome,
    order: &Command,
    is_there: &dyn Fn() -> bool,
) {
    let victim = attacker.dir.join("victim");
    copy_tree(order.get_program().as_ref(), &victim);
    let before = fs::read(&victim).unwrap();
    let (_reader, full) = full_pipe();
    let mut command = Command::new(&victim);
    command
        .args(order.get_args())
        .current_dir(order.get_current_dir().unwrap())
        .stdin(Stdio::null());
    let mut running = command.stdout(Stdio::null()).stderr(full).spawn().unwrap();

    eventually("the victim", is_there);
    attacker.start().succeeded();
    eventually("the end of the attack", || {
        out.stdout_now().contains("end: ")
    });
    running.wait().unwrap();
    let said = out.stdout_now();
    assert!(said.starts_with("opened\n"), "{said}");
    assert!(
        fs::read(&victim).unwrap() == before,
        "the runtime was overwritten: {said}"
    );
    assert!(
        said.contains("Read-only file system") || said.contains("not permitted"),
        "{said}"
    );
    attacker.wait_for_status("stopped");
}

#[test]
fn the_runtimes_file_cannot_be_written_by_a_container_that_runs_it() {
    needs!(root, busybox);
    let attacker = Bundle::busybox(ATTACKER);
    let out = attacker.create().succeeded();
    let mut bundle = Bundle::busybox("");
    hostile_script(&bundle);
    let path = format!("/proc/{}/ns/pid", attacker.state()["pid"]);
    bundle
        .args(&["/script"])
        .set("/linux/namespaces/0/path", json!(path));
    let run = bundle.command(&["run", &bundle.id]);
    is_not_overwritten(&attacker, &out, &run, &|| {
        bundle.call(&["state", &bundle.id]).code == 0 && bundle.state()["status"] == "running"
    });
}

#[test]
fn nor_by_one_that_a_program_joins() {
    needs!(root, busybox);
    let attacker = Bundle::busybox(ATTACKER);
    hostile_script(&attacker);
    let out = attacker.create().succeeded();
    let exec = attacker.command(&["exec", &attacker.id, "/script"]);
    is_not_overwritten(&attacker, &out, &exec, &|| {
        let listed = attacker.call(&["ps", "--format", "json", &attacker.id]);
        listed.stdout.contains(',')
    });
}

#[test]
fn a_file_held_through_a_container_cannot_be_written_when_the_container_is_gone() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    // A copy of its own, which nothing else executes.
    let copy = bundle.dir.join("runtime");
    copy_tree(Path::new(program()), &copy);
    let created = bundle.command_of(copy.as_os_str(), &["create", &bundle.id]);
    bundle.finish(created).succeeded();
    let exe = format!("/proc/{}/exe", bundle.state()["pid"]);
    let held = File::open(&exe).unwrap();
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();

    // Nothing executes the file any more, so only the way to it can be what refuses.
    OpenOptions::new().write(true).open(&copy).unwrap();
    let again = format!("/proc/self/fd/{}", held.as_raw_fd());
    let refused = OpenOptions::new().write(true).open(again).unwrap_err();
    let errno = refused.raw_os_error().unwrap();
    assert!([libc::EROFS, libc::EPERM].contains(&errno), "{refused}");
}

// Who is not root may make no read-only mount: the program runs from a copy in memory.
#[test]
fn the_program_of_a_user_who_is_not_root_is_a_sealed_copy() {
    needs!(root, probe);
    let bundle = super::create_without_root();
    let exe = format!("/proc/{}/exe", bundle.state()["pid"]);
    assert_eq!(
        fs::read_link(&exe).unwrap().to_str(),
        Some("/memfd:bulkhead (deleted)")
    );
    let seals = fcntl(File::open(&exe).unwrap(), FcntlArg::F_GET_SEALS).unwrap();
    let wanted = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    assert!(
        SealFlag::from_bits_truncate(seals).contains(wanted),
        "{seals:#x}"
    );
}
