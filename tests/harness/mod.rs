//! The ground of the tests of commands: a bundle from a fixture, the built program run on it, and
//! the assurance that nothing is left when the test is over.
#![allow(
    dead_code,
    reason = "built into each program of tests, which calls a part of it; another calls the rest"
)]

mod needs;
mod outcome;
mod resctrl;
mod users;

#[allow(unused_imports, reason = "no test of some programs repeats itself")]
pub(crate) use needs::repetitions;
pub(crate) use needs::{are_met, needs};
#[allow(
    unused_imports,
    reason = "most tests have no limit of time, and are their own report"
)]
pub(crate) use needs::{is_full, slowness, tell};
#[allow(
    unused_imports,
    reason = "most tests never name what a command returns"
)]
pub(crate) use outcome::Outcome;
#[allow(unused_imports, reason = "only tests of users have them elsewhere")]
pub(crate) use users::OUTSIDE;

use serde_json::{Value, json};
use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// What `runc spec` writes, with `terminal` false.
const BASE_CONFIG: &str = include_str!("config.json");

/// No command of a test takes longer, unless it hangs.
fn patience() -> Duration {
    Duration::from_secs(60) * needs::slowness()
}

/// Where `rootfs-fixtures/build` has put a root filesystem.
pub(crate) fn fixture(name: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(target)
        .join("fixtures")
        .join(name)
}

/// The mount that is seen at a path in a report of the probe: the last one there.
pub(crate) fn mount_at<'a>(report: &'a Value, target: &str) -> Option<&'a Value> {
    let mounts = report["mounts"].as_array().unwrap();
    mounts.iter().rfind(|mount| mount["target"] == target)
}

/// The program under test: a copy that could be written to, since the jail shows the built one on a
/// read-only mount, where the runtime need not protect its own file. Another runtime can be held
/// against the same tests by naming it in `BULKHEAD_UNDER_TEST`: what fails there and passes here is
/// a difference to know of.
pub(crate) fn program() -> &'static OsStr {
    static PROGRAM: OnceLock<OsString> = OnceLock::new();
    PROGRAM.get_or_init(|| match env::var_os("BULKHEAD_UNDER_TEST") {
        Some(other) => other,
        None => {
            let copy = scratch("program").join("bulkhead");
            copy_tree(Path::new(env!("CARGO_BIN_EXE_bulkhead")), &copy);
            copy.into()
        }
    })
}

/// Copies by a process of its own: a descriptor of ours that is open for writing would be inherited
/// by what another thread starts at that moment, and executing the copy would be refused (ETXTBSY).
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success(), "copy {}", from.display());
}

/// An empty folder of this test's own; no name of one is the beginning of another's.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let place = env::var_os("BULKHEAD_SCRATCH").expect("set in the jail; the test needs root");
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = Path::new(&place).join(format!("{name}-{}-{number:03}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    dir
}

/// A bundle with a state directory of its own. Dropped, it deletes its container by force and
/// fails the test if anything is left of it.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) id: String,
    /// Holds config.json, the rootfs, the state directory and what the commands wrote.
    pub(crate) dir: PathBuf,
    pub(crate) config: Value,
    overlay: bool,
    commands: Cell<u32>,
}

impl Bundle {
    /// Runs the probe with these arguments (see `rootfs-fixtures/probe/src/acts.rs`); with none it
    /// reports everything it sees.
    pub(crate) fn probe(args: &[&str]) -> Self {
        let mut bundle = Self::new("probe");
        bundle.args(&[&["/probe"], args].concat());
        bundle
    }

    /// Runs a command of busybox's shell.
    pub(crate) fn busybox(script: &str) -> Self {
        let mut bundle = Self::new("busybox");
        bundle.args(&["/bin/sh", "-c", script]);
        bundle
    }

    /// Runs a command of the Debian root's shell.
    pub(crate) fn debian(script: &str) -> Self {
        let mut bundle = Self::new("debian");
        bundle.args(&["/bin/sh", "-c", script]);
        bundle
    }

    fn new(name: &str) -> Self {
        let dir = scratch(name);
        let id = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let config = serde_json::from_str(BASE_CONFIG).unwrap();
        let overlay = name == "debian"; // too large to copy
        let bundle = Self {
            id,
            dir,
            config,
            overlay,
            commands: Cell::new(0),
        };
        if overlay {
            let [upper, work, rootfs] = ["upper", "work", "rootfs"].map(|name| {
                fs::create_dir(bundle.dir.join(name)).unwrap();
                bundle.dir.join(name)
            });
            let lower = fixture(name);
            let options = format!(
                "lowerdir={},upperdir={},workdir={}",
                lower.display(),
                upper.display(),
                work.display()
            );
            let mut mount = Command::new("mount");
            mount
                .args(["-t", "overlay", "-o", &options, "overlay"])
                .arg(rootfs);
            assert!(mount.status().unwrap().success());
        } else {
            copy_tree(&fixture(name), &bundle.rootfs());
        }
        bundle
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    pub(crate) fn args(&mut self, args: &[&str]) -> &mut Self {
        self.set("/process/args", json!(args))
    }

    /// Sets what a JSON pointer names; objects on the way are made, and `-` appends to an array.
    pub(crate) fn set(&mut self, pointer: &str, value: Value) -> &mut Self {
        let mut at = &mut self.config;
        for part in pointer.split('/').skip(1) {
            at = match part.parse::<usize>() {
                Ok(index) => &mut at[index],
                Err(_) if part == "-" => {
                    if at.is_null() {
                        *at = json!([]);
                    }
                    let array = at.as_array_mut().unwrap();
                    array.push(Value::Null);
                    array.last_mut().unwrap()
                }
                Err(_) => &mut at[part], // an object, also where there was nothing
            };
        }
        *at = value;
        self
    }

    /// Takes away what a JSON pointer names.
    pub(crate) fn remove(&mut self, pointer: &str) -> &mut Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match self.config.pointer_mut(parent).unwrap() {
            Value::Array(array) => drop(array.remove(name.parse().unwrap())),
            Value::Object(object) => drop(object.remove(name).unwrap()),
            other => panic!("{pointer}: {other} has no {name}"),
        }
        self
    }

    pub(crate) fn mount(&mut self, mount: Value) -> &mut Self {
        self.set("/mounts/-", mount)
    }

    /// Writes config.json as it is now; every command does.
    pub(crate) fn write_config(&self) {
        let text = serde_json::to_string_pretty(&self.config).unwrap();
        // As a whole: a command in the background may be reading it.
        let new = self.dir.join("config.json.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.dir.join("config.json")).unwrap();
    }

    /// The program with `--root` set to the bundle's own; the bundle is its current directory.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_of(program(), args)
    }

    pub(crate) fn command_of(&self, program: &OsStr, args: &[&str]) -> Command {
        self.write_config();
        let mut command = Command::new(program);
        command.arg("--root").arg(self.state_dir()).args(args);
        command.current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    pub(crate) fn call(&self, args: &[&str]) -> Outcome {
        self.finish(self.command(args))
    }

    /// [`finish`] in the bundle.
    pub(crate) fn finish(&self, command: Command) -> Outcome {
        let number = self.commands.get();
        self.commands.set(number + 1);
        finish(command, &self.dir.join(number.to_string()))
    }

    pub(crate) fn run(&self) -> Outcome {
        self.call(&["run", &self.id])
    }

    pub(crate) fn create(&self) -> Outcome {
        self.call(&["create", &self.id])
    }

    pub(crate) fn start(&self) -> Outcome {
        self.call(&["start", &self.id])
    }

    pub(crate) fn kill(&self, signal: &str) -> Outcome {
        self.call(&["kill", &self.id, signal])
    }

    pub(crate) fn delete(&self) -> Outcome {
        self.call(&["delete", &self.id])
    }

    /// What `state` prints.
    #[track_caller]
    pub(crate) fn state(&self) -> Value {
        let outcome = self.call(&["state", &self.id]).succeeded();
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// Waits until `state` gives this status.
    #[track_caller]
    pub(crate) fn wait_for_status(&self, status: &str) -> Value {
        let deadline = Instant::now() + patience();
        loop {
            let state = self.state();
            if state["status"] == status {
                return state;
            }
            assert!(Instant::now() < deadline, "still not {status}: {state}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts the container in the background, with `run` as its parent, and returns when it runs.
    #[track_caller]
    pub(crate) fn run_in_background(&self) -> Child {
        let out = File::create(self.dir.join("background")).unwrap();
        let child = self
            .command(&["run", &self.id])
            .stdout(out)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + patience();
        while self.call(&["state", &self.id]).code != 0 || self.state()["status"] != "running" {
            assert!(Instant::now() < deadline, "does not start");
            thread::sleep(Duration::from_millis(5));
        }
        child
    }

    /// What the container that runs in the background has written by now.
    pub(crate) fn background_output(&self) -> String {
        fs::read_to_string(self.dir.join("background")).unwrap()
    }

    /// The group of the running container that limits with this v1 controller, or the v2 group.
    pub(crate) fn group(&self, controller: &str) -> PathBuf {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", self.state()["pid"])).unwrap();
        let path = |wanted: &str| {
            text.lines().find_map(|line| {
                let (names, path) = line.split_once(':')?.1.split_once(':')?;
                names
                    .split(',')
                    .any(|name| name == wanted)
                    .then_some(&path[1..])
            })
        };
        let top = Path::new("/sys/fs/cgroup");
        let unified = top.join("unified");
        match path(controller) {
            Some(path) if controller.is_empty() && unified.exists() => unified.join(path),
            Some(path) => top.join(controller).join(path),
            None => top.join(path("").unwrap()),
        }
    }

    /// What is left of the container on this machine, in words.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let dir = self.dir.to_str().unwrap();
        found.extend(
            mountinfo
                .lines()
                .filter(|line| line.contains(dir))
                .map(String::from),
        );
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
            let about = [read("cmdline"), read("cgroup")].concat();
            let about = String::from_utf8_lossy(&about).replace('\0', " ");
            let number = entry.file_name().to_string_lossy().parse::<u32>();
            if number.is_ok_and(|pid| pid != std::process::id()) && about.contains(&self.id) {
                found.push(format!("process {}: {about}", entry.file_name().display()));
            }
        }
        find_named(Path::new("/sys/fs/cgroup"), &self.id, &mut found);
        find_named(&self.state_dir(), &self.id, &mut found);
        found
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let deleted = self.call(&["delete", "--force", &self.id]);
        if self.overlay {
            let unmounted = Command::new("umount").arg(self.rootfs()).status().unwrap();
            assert!(unmounted.success());
        }
        if thread::panicking() {
            return; // the first failure is the one to read, and the folder may tell why
        }
        // The monitor of a detached container, and a parent that reaps, end a moment later.
        let deadline = Instant::now() + Duration::from_secs(2) * needs::slowness();
        let mut leftovers = self.leftovers();
        while !leftovers.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
            leftovers = self.leftovers();
        }
        assert!(
            leftovers.is_empty(),
            "left behind: {leftovers:#?}\nafter {deleted:#?}"
        );
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

/// A socket that takes no caller more: who connects to it stays where he is.
pub(crate) fn full_socket(path: &Path) -> (OwnedFd, Vec<UnixStream>) {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
    };
    let (family, kind) = (AddressFamily::Unix, SockType::Stream);
    let listener = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let callers = (0..2).map(|_| UnixStream::connect(path).unwrap()).collect();
    (listener, callers)
}

/// Waits until it is so; on a machine that hangs the test fails.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a command to its end. Its output goes to files, `PLACE.out` and `PLACE.err`, so that a container that
/// lives on and holds them does not keep anyone waiting; `Outcome::stdout_now` reads what came later.
pub(crate) fn finish(mut command: Command, place: &Path) -> Outcome {
    let [stdout, stderr] = ["out", "err"].map(|end| place.with_extension(end));
    command
        .stdout(File::create(&stdout).unwrap())
        .stderr(File::create(&stderr).unwrap());
    let child = command.spawn().unwrap();
    Outcome::new(&command, wait(child, &command), stdout, &stderr)
}

fn wait(mut child: Child, command: &Command) -> std::process::ExitStatus {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("hangs: {command:?}");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Every file or folder below `dir` whose name holds `name`; links are not followed.
fn find_named(dir: &Path, name: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().contains(name) {
            found.push(entry.path().display().to_string());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_named(&entry.path(), name, found);
        }
    }
}
