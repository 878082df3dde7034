//! `bulkhead checkpoint` and `bulkhead restore`: a container is saved and brought back.
//!
//! CRIU reads the vdso of the kernel that it runs on, and Debian's is too old for many a host: what it
//! does is shown where it works, what it does not do everywhere.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::{Bundle, Outcome, eventually, needs, repetitions};
use serde_json::json;

const COUNTING: &str =
    "i=0; while :; do i=$((i+1)); echo $i >/count.new; mv /count.new /count; sleep 0.05; done";

fn counting() -> Bundle {
    let mut bundle = Bundle::busybox(COUNTING);
    bundle.set("/root/readonly", json!(false));
    bundle
}

fn count(bundle: &Bundle) -> u64 {
    let text = fs::read_to_string(bundle.rootfs().join("count")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Waits until the program has counted on, from where it is.
#[track_caller]
fn counts_on(bundle: &Bundle) -> u64 {
    let before = count(bundle);
    eventually("counting", || count(bundle) > before + 1);
    count(bundle)
}

fn detached(bundle: &Bundle) {
    bundle.call(&["run", "-d", &bundle.id]).succeeded();
    counts_on(bundle);
}

/// With the images and the log in directories of their own.
fn checkpoint(bundle: &Bundle, flags: &[&str]) -> Outcome {
    let fixed = ["checkpoint", "--image-path", "img", "--work-path", "work"];
    bundle.call(&[&fixed, flags, &[&bundle.id]].concat())
}

fn restore(bundle: &Bundle, flags: &[&str]) -> Command {
    let fixed = ["restore", "--image-path", "img", "--work-path", "work"];
    bundle.command(&[&fixed, flags, &[&bundle.id]].concat())
}

fn restored(bundle: &Bundle, flags: &[&str]) -> Outcome {
    bundle.finish(restore(bundle, &[&["-d"], flags].concat()))
}

#[track_caller]
fn is_gone(bundle: &Bundle) {
    bundle
        .call(&["state", &bundle.id])
        .failed_with("container does not exist");
    eventually("its end", || bundle.leftovers().is_empty());
}

/// What the v2 hierarchy is mounted with.
fn hierarchy() -> String {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = table.lines().find(|line| line.contains(" cgroup2 "));
    line.unwrap_or_default().to_owned()
}

#[test]
fn a_saved_container_is_gone_and_goes_on_where_it_was_when_it_is_restored() {
    needs!(root, busybox, cgroup2, criu);
    let mut bundle = counting();
    let told = bundle.dir.join("told");
    let hook = |word: &str| {
        let script = format!("echo {word} >>{}", told.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script] }])
    };
    bundle
        .set("/hooks/createRuntime", hook("createRuntime"))
        .set("/hooks/poststart", hook("poststart"))
        .set("/hooks/poststop", hook("poststop"))
        .set("/linux/namespaces/-", json!({ "type": "cgroup" }))
        .set("/linux/resources/memory", json!({ "limit": 67_108_864 }))
        .set("/linux/resources/pids", json!({ "limit": 33 }));
    let volume = bundle.dir.join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("word"), "from outside").unwrap();
    let bind = json!({ "destination": "/volume", "type": "bind", "source": volume, "options": ["bind", "ro"] });
    bundle.mount(bind);
    let before = hierarchy();
    detached(&bundle);
    // Farther than one that is begun anew comes before it is looked at.
    eventually("counting", || count(&bundle) > 20);

    checkpoint(&bundle, &[]).succeeded();
    let reached = count(&bundle);
    is_gone(&bundle);
    assert!(
        fs::read_to_string(bundle.dir.join("work/dump.log"))
            .unwrap()
            .contains("Dumping finished successfully")
    );
    assert!(bundle.dir.join("img/descriptors.json").exists());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(count(&bundle), reached, "somebody goes on counting");

    // What is read next is what the restored program has written.
    fs::remove_file(bundle.rootfs().join("count")).unwrap();
    restored(&bundle, &["--pid-file", "pid"]).succeeded();
    let state = bundle.state();
    assert_eq!(state["status"], "running");
    let pid = fs::read_to_string(bundle.dir.join("pid")).unwrap();
    assert_eq!(state["pid"].to_string(), pid);
    assert!(counts_on(&bundle) > reached, "it has begun anew");
    let group = bundle.group("");
    let limit = |file: &str| fs::read_to_string(group.join(file)).unwrap();
    assert_eq!(
        (limit("memory.max").trim(), limit("pids.max").trim()),
        ("67108864", "33")
    );
    let inside = bundle.call(&[
        "exec",
        &bundle.id,
        "/bin/cat",
        "/volume/word",
        "/proc/1/cgroup",
    ]);
    assert_eq!(inside.succeeded().stdout, "from outside0::/\n");
    bundle
        .call(&[
            "exec",
            &bundle.id,
            "/bin/sh",
            "-c",
            "cat /proc/kcore; echo x >/volume/word",
        ])
        .failed_with("Read-only file system");
    assert_eq!(hierarchy(), before, "flags of the host's hierarchy");

    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    is_gone(&bundle);
    let told = fs::read_to_string(told).unwrap();
    let words: Vec<&str> = told.split_whitespace().collect();
    assert_eq!(
        words,
        [
            "createRuntime",
            "poststart",
            "poststop",
            "createRuntime",
            "poststop"
        ]
    );
}

#[test]
fn memory_is_saved_ahead_while_the_container_runs_on() {
    needs!(root, busybox, cgroup2, criu);
    let bundle = counting();
    detached(&bundle);
    let ahead = [
        "checkpoint",
        "--pre-dump",
        "--image-path",
        "img/ahead",
        "--work-path",
        "work",
        &bundle.id,
    ];
    bundle.call(&ahead).succeeded();
    assert_eq!(bundle.state()["status"], "running");
    counts_on(&bundle);

    let parent = "../img/ahead";
    checkpoint(&bundle, &["--leave-running", "--parent-path", parent]).succeeded();
    assert_eq!(bundle.state()["status"], "running");
    counts_on(&bundle);
    let link = fs::read_link(bundle.dir.join("img/parent")).unwrap();
    assert_eq!(link.to_str(), Some(parent));
    restored(&bundle, &[]).failed_with("container with given ID already exists");
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();

    fs::write(bundle.rootfs().join("count"), "0").unwrap();
    restored(&bundle, &[]).succeeded();
    assert!(counts_on(&bundle) > 3, "it has begun anew");
}

/// Its standard output is a pipe of ours.
fn in_the_foreground(
    mut command: Command,
) -> (Child, std::io::BufReader<std::process::ChildStdout>) {
    // A pipe with a name, as the standard error of tests may be, is none that CRIU knows.
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let output = std::io::BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

fn line(output: &mut impl std::io::BufRead) -> u64 {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn a_restored_program_writes_to_the_pipe_of_restore_which_ends_as_it_does() {
    needs!(root, busybox, cgroup2, criu);
    let script = "trap 'exit 7' TERM; i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done";
    let bundle = Bundle::busybox(script);
    let (mut first, mut output) = in_the_foreground(bundle.command(&["run", &bundle.id]));
    while line(&mut output) < 3 {}
    checkpoint(&bundle, &[]).succeeded();
    assert_eq!(first.wait().unwrap().code(), Some(137), "it was killed");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).unwrap();
    let last: u64 = rest.lines().last().map_or(3, |line| line.parse().unwrap());

    let (mut second, mut output) = in_the_foreground(restore(&bundle, &[]));
    assert_eq!(line(&mut output), last + 1, "nothing is lost between");
    bundle.kill("TERM").succeeded();
    assert_eq!(second.wait().unwrap().code(), Some(7));
    is_gone(&bundle);
}

#[test]
fn a_container_that_cannot_be_saved_goes_on_and_one_sentence_says_why() {
    needs!(root, busybox, criu_program);
    let bundle = counting();
    detached(&bundle);
    // Where CRIU itself works, it finds none of its helpers.
    let bin = bundle.dir.join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(criu(), bin.join("criu")).unwrap();
    let mut command = bundle.command(&[
        "checkpoint",
        "--image-path",
        "img",
        "--work-path",
        "work",
        &bundle.id,
    ]);
    command.env("PATH", &bin);
    let failed = bundle
        .finish(command)
        .failed_with("criu could not save the container: ");
    assert!(
        failed.stderr.contains("(see work/dump.log)"),
        "{}",
        failed.stderr
    );
    assert_eq!(failed.stderr.lines().count(), 1, "{}", failed.stderr);
    assert!(
        !failed.stderr.contains("(see work/dump.log): "),
        "{}",
        failed.stderr
    );
    assert_eq!(bundle.state()["status"], "running");
    counts_on(&bundle);

    let refused = bundle.call(&["pause", &bundle.id]);
    refused.succeeded();
    assert_eq!(bundle.state()["status"], "paused", "nobody has the lock");
}

fn criu() -> String {
    let found = Command::new("sh")
        .args(["-c", "command -v criu"])
        .output()
        .unwrap();
    String::from_utf8(found.stdout).unwrap().trim().to_owned()
}

/// A CRIU that tells what it was given and is killed.
fn criu_that_dies(bundle: &Bundle) -> String {
    let bin = bundle.dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let seen = bundle.dir.join("seen");
    let script = format!(
        "#!/bin/sh\n{{ umask; ls -l /proc/$$/fd; cut -d' ' -f6 /proc/$$/stat; echo $$; }} >{}\nkill -9 $$\n",
        seen.display()
    );
    fs::write(bin.join("criu"), script).unwrap();
    fs::set_permissions(bin.join("criu"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", bin.display())
}

/// With a descriptor that its caller has forgotten to close.
fn with_a_leak(bundle: &Bundle, args: &[&str], path: &str) -> Outcome {
    let inner = bundle.command(args);
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 8</dev/full; exec \"$@\"", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(inner.get_current_dir().unwrap_or(&bundle.dir))
        .env("PATH", path);
    bundle.finish(command)
}

#[test]
fn criu_has_a_session_of_its_own_and_when_it_dies_the_container_goes_on() {
    needs!(root, busybox);
    let bundle = counting();
    detached(&bundle);
    let path = criu_that_dies(&bundle);
    let args = ["checkpoint", "--image-path", "img", &bundle.id];
    with_a_leak(&bundle, &args, &path).failed_with("criu ended without an answer");
    let seen = fs::read_to_string(bundle.dir.join("seen")).unwrap();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], "0077", "{seen}");
    assert!(!seen.contains("/dev/full"), "{seen}");
    assert_eq!(lines[lines.len() - 2], lines[lines.len() - 1], "{seen}");
    assert_eq!(bundle.state()["status"], "running");
    counts_on(&bundle);
}

#[test]
fn criu_that_restores_gets_nothing_that_the_caller_forgot() {
    needs!(root, busybox);
    let bundle = counting();
    let path = criu_that_dies(&bundle);
    fs::create_dir(bundle.dir.join("img")).unwrap();
    fs::write(bundle.dir.join("img/descriptors.json"), "[]").unwrap();
    let args = ["restore", "-d", "--image-path", "img", &bundle.id];
    with_a_leak(&bundle, &args, &path).failed_with("criu ended without an answer");
    let seen = fs::read_to_string(bundle.dir.join("seen")).unwrap();
    assert!(seen.starts_with("0077\n"), "{seen}");
    assert!(!seen.contains("/dev/full"), "{seen}");
    is_gone(&bundle);
}

#[test]
fn what_is_beside_the_images_is_not_trusted() {
    needs!(root, busybox);
    let bundle = counting();
    let path = criu_that_dies(&bundle);
    let restored = |bundle: &Bundle| {
        let mut command = restore(bundle, &["-d"]);
        command.env("PATH", &path);
        bundle.finish(command)
    };
    let img = bundle.dir.join("img");
    fs::create_dir(&img).unwrap();
    let list = img.join("descriptors.json");
    nix::unistd::mkfifo(&list, nix::sys::stat::Mode::S_IRWXU).unwrap();
    restored(&bundle).failed_with("img/descriptors.json: not what a checkpoint has written");
    fs::remove_file(&list).unwrap();
    symlink("/etc/passwd", &list).unwrap();
    restored(&bundle).failed_with("img/descriptors.json: not what a checkpoint has written");

    let ending = img.join("bulkhead.json");
    fs::write(&ending, "{\"endsWithRuntime\": true}").unwrap();
    restored(&bundle).failed_with("restore it without --detach");
    fs::write(&ending, "[]").unwrap();
    restored(&bundle).failed_with("img/bulkhead.json: not what a checkpoint has written");
}

#[test]
fn a_mount_with_other_ids_is_refused_by_name() {
    needs!(root, busybox, idmap);
    let mut bundle = counting();
    let path = criu_that_dies(&bundle);
    fs::create_dir(bundle.dir.join("img")).unwrap();
    let volume = bundle.dir.join("volume");
    fs::create_dir(&volume).unwrap();
    let ids = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
    bundle.mount(
        json!({ "destination": "/volume", "type": "bind", "source": volume,
        "options": ["bind", "idmap"], "uidMappings": ids, "gidMappings": ids }),
    );
    let mut command = restore(&bundle, &["-d"]);
    command.env("PATH", &path);
    let refused = bundle.finish(command);
    refused.failed_with("mounts: /volume: it shows files with other ids");
}

#[test]
fn nothing_is_left_of_a_container_that_cannot_be_restored() {
    needs!(root, busybox, criu_program);
    let bundle = counting();
    restored(&bundle, &[]).failed_with("img: no such file or directory");
    fs::create_dir(bundle.dir.join("img")).unwrap();
    restored(&bundle, &[]).failed_with("img/descriptors.json: no such file or directory");
    fs::write(bundle.dir.join("img/descriptors.json"), "[1]").unwrap();
    restored(&bundle, &[]).failed_with("not what a checkpoint has written");
    fs::write(bundle.dir.join("img/descriptors.json"), "[]").unwrap();
    let failed = restored(&bundle, &["--pid-file", "pid"])
        .failed_with("criu could not restore the container: ");
    assert!(
        failed.stderr.contains("(see work/restore.log)"),
        "{}",
        failed.stderr
    );
    assert!(!bundle.dir.join("pid").exists());
    is_gone(&bundle);
    assert!(bundle.rootfs().join("proc").exists(), "the root is whole");
}

#[test]
fn a_container_that_does_not_run_is_not_saved() {
    needs!(root, busybox);
    let bundle = counting();
    checkpoint(&bundle, &[]).failed_with("container does not exist");
    bundle.create().succeeded();
    checkpoint(&bundle, &[]).failed_with("Container cannot be checkpointed in created state");
    bundle.start().succeeded();
    bundle.kill("KILL").succeeded();
    bundle.wait_for_status("stopped");
    checkpoint(&bundle, &[]).failed_with("Container cannot be checkpointed in stopped state");
    assert!(!bundle.dir.join("img").exists());
}

#[test]
fn without_criu_and_with_wrong_flags_that_is_said() {
    needs!(root, busybox);
    let bundle = counting();
    detached(&bundle);
    let without = |args: &[&str]| {
        let mut command = bundle.command(args);
        command.env("PATH", "/nowhere");
        bundle.finish(command)
    };
    let missing = "criu not found in $PATH";
    without(&["checkpoint", &bundle.id]).failed_with(missing);
    fs::create_dir(bundle.dir.join("img")).unwrap();
    without(&["restore", "-d", "--image-path", "img", "other"]).failed_with(missing);

    for (flags, said) in [
        (
            &["--parent-path", "/tmp"][..],
            "--parent-path must be relative",
        ),
        (
            &["--parent-path", "../none"],
            "invalid --parent-path: img/../none: no such file",
        ),
        (
            &["--parent-path", "../config.json"],
            "invalid --parent-path",
        ),
        (
            &["--manage-cgroups-mode", "hard"],
            "Invalid manage-cgroups-mode value",
        ),
        (&["--empty-ns", "pid"], "namespace \"pid\" is not supported"),
        (&["--page-server", "host"], "Use --page-server ADDRESS:PORT"),
        (
            &["--lazy-pages", "--status-fd", "77"],
            "invalid --status-fd argument 77",
        ),
        (
            &["--lazy-pages", "--status-fd", "0"],
            "invalid --status-fd argument 0",
        ),
    ] {
        checkpoint(&bundle, flags).failed_with(said);
    }
    bundle
        .call(&["restore", "--lsm-mount-context"])
        .failed_with("flag needs an argument: --lsm-mount-context");
    bundle
        .call(&[
            "restore",
            "-d",
            "-no-subreaper",
            "-image-path",
            "none",
            "other",
        ])
        .failed_with("none: no such file or directory");
    counts_on(&bundle);
}

/// Ended at any moment, the runtime leaves a container that is whole or one that `delete --force`
/// removes, which the bundle's end sees to.
#[test]
fn a_killed_checkpoint_or_restore_leaves_what_can_be_removed() {
    needs!(root, busybox, cgroup2, criu);
    for number in 0..repetitions(20, 100) {
        let bundle = counting();
        detached(&bundle);
        // From the moment before CRIU is there to the one after it has ended.
        let moment = Duration::from_millis(40 * (number as u64 * 37 % 50));
        let kill = |command: &mut Command| {
            let mut child = command.spawn().unwrap();
            std::thread::sleep(moment);
            let _ = child.kill();
            child.wait().unwrap();
        };
        kill(&mut bundle.command(&["checkpoint", "--image-path", "img", &bundle.id]));
        let state = bundle.call(&["state", &bundle.id]);
        if state.code == 0 && state.stdout.contains("running") {
            // CRIU lets go of it a moment later.
            eventually("going on", || {
                count(&bundle) > 0 && bundle.call(&["exec", &bundle.id, "/bin/true"]).code == 0
            });
        }
        bundle.call(&["delete", "--force", &bundle.id]).succeeded();
        is_gone(&bundle);
        fs::remove_dir_all(bundle.dir.join("img")).unwrap_or_default();

        detached(&bundle);
        checkpoint(&bundle, &[]).succeeded();
        kill(&mut restore(&bundle, &["-d"]));
        bundle.call(&["delete", "--force", &bundle.id]).succeeded();
        is_gone(&bundle);
    }
}
