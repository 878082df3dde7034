//! Programs that are run at six points of a container's life: when, where, as whom, and what follows
//! when they fail.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const BEFORE_THE_PROGRAM: [&str; 4] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
];

/// A hook that is a line of shell, `sh` being the host's or the image's.
fn shell(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] })
}

fn add(bundle: &mut Bundle, point: &str, hook: Value) {
    bundle.set(&format!("/hooks/{point}/-"), hook);
}

/// A container that shows the bundle's folder at /mnt and can write to its root.
fn sharing(script: &str) -> Bundle {
    let mut bundle = Bundle::busybox(script);
    let mount = json!({ "destination": "/mnt", "source": bundle.dir, "options": ["bind"] });
    bundle.mount(mount).set("/root/readonly", json!(false));
    bundle
}

fn said(bundle: &Bundle, name: &str) -> String {
    fs::read_to_string(bundle.dir.join(name)).unwrap_or_default()
}

/// Each hook adds its point, a blank and the state it was told to a log.
fn logging() -> Bundle {
    let mut bundle = sharing("exec sleep 60");
    bundle.set("/annotations", json!({ "org.example": "yes" }));
    for point in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ] {
        let inside = point == "startContainer";
        let log = if inside {
            "/mnt"
        } else {
            bundle.dir.to_str().unwrap()
        };
        let script = format!(r#"echo "{point} $(cat)" >>{log}/log"#);
        add(&mut bundle, point, shell(&script));
    }
    bundle
}

/// Point and state of each line of the log.
fn log(bundle: &Bundle) -> Vec<(String, Value)> {
    let text = said(bundle, "log");
    let lines = text.lines().map(|line| {
        let (point, state) = line.split_once(' ').unwrap();
        (point.to_owned(), serde_json::from_str(state).unwrap())
    });
    lines.collect()
}

#[test]
fn the_hooks_run_at_their_points_in_order() {
    needs!(root, busybox);
    let bundle = logging();
    let points = || {
        log(&bundle)
            .into_iter()
            .map(|(point, _)| point)
            .collect::<Vec<_>>()
    };
    bundle.create().succeeded();
    assert_eq!(points(), ["prestart", "createRuntime", "createContainer"]);
    bundle.start().succeeded();
    assert_eq!(points()[3..], ["startContainer", "poststart"]);
    bundle.kill("KILL").succeeded();
    bundle.wait_for_status("stopped");
    bundle.delete().succeeded();
    assert_eq!(points()[5..], ["poststop"]);
}

#[test]
fn a_hook_is_told_the_state_at_its_point() {
    needs!(root, busybox);
    let bundle = logging();
    bundle.create().succeeded();
    let pid = bundle.state()["pid"].clone();
    bundle.start().succeeded();
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    let log = log(&bundle);
    let statuses = [
        "creating", "creating", "creating", "created", "running", "stopped",
    ];
    assert_eq!(log.len(), statuses.len());
    for ((point, state), status) in log.iter().zip(statuses) {
        assert_eq!(state["status"], status, "{point}");
        assert_eq!(state["id"], bundle.id, "{point}");
        assert_eq!(state["bundle"], bundle.dir.to_str().unwrap(), "{point}");
        assert_eq!(state["annotations"]["org.example"], "yes", "{point}");
        assert!(state["ociVersion"].as_str().unwrap().starts_with("1."));
        let wanted = if point == "poststop" {
            &Value::Null
        } else {
            &pid
        };
        assert_eq!(&state["pid"], wanted, "{point}");
    }
}

#[test]
fn hooks_of_one_point_run_in_the_order_of_the_list() {
    needs!(root, busybox);
    let mut bundle = sharing("true");
    for point in BEFORE_THE_PROGRAM {
        let dir = if point == "startContainer" {
            "/mnt"
        } else {
            bundle.dir.to_str().unwrap()
        };
        let dir = dir.to_owned();
        for word in ["one", "two", "three"] {
            add(
                &mut bundle,
                point,
                shell(&format!("echo {word} >>{dir}/{point}")),
            );
        }
    }
    bundle.run().succeeded();
    for point in BEFORE_THE_PROGRAM {
        assert_eq!(said(&bundle, point), "one\ntwo\nthree\n", "{point}");
    }
}

#[test]
fn a_hook_gets_its_own_arguments_and_environment_and_nothing_else() {
    needs!(root, busybox);
    let mut bundle = sharing("true");
    let out = bundle.dir.join("out");
    let script = format!(
        "cat /proc/$$/cmdline /proc/$$/environ | tr '\\0' '|' >{}",
        out.display()
    );
    add(
        &mut bundle,
        "createRuntime",
        json!({ "path": "/bin/sh", "args": ["any name", "-c", script, "", "b c"],
                "env": ["A=b=c", "EMPTY="] }),
    );
    let mut command = bundle.command(&["run", &bundle.id]);
    command.env("LEAKED", "1");
    bundle.finish(command).succeeded();
    assert_eq!(
        said(&bundle, "out"),
        format!("any name|-c|{script}||b c|A=b=c|EMPTY=|")
    );
}

#[test]
fn a_hook_of_the_runtime_starts_in_the_bundle_with_no_descriptor_but_three() {
    needs!(root, busybox);
    let mut bundle = sharing("true");
    add(
        &mut bundle,
        "prestart",
        shell("pwd >out; ls /proc/$$/fd >>out"),
    );
    let dir = bundle.dir.to_str().unwrap().to_owned();
    let mut command = bundle.command(&["run", "--bundle", &dir, &bundle.id]);
    command.current_dir("/");
    bundle.finish(command).succeeded();
    let said = said(&bundle, "out");
    let (place, open) = said.split_once('\n').unwrap();
    assert_eq!(place, dir);
    // dash keeps a copy of what it redirects from 10 on.
    let open: Vec<&str> = open.split_whitespace().filter(|n| n.len() < 2).collect();
    assert_eq!(open, ["0", "1", "2"]);
}

#[test]
fn a_file_that_a_hook_makes_cannot_be_written_by_everyone() {
    needs!(root, busybox);
    let mut bundle = sharing("true");
    for point in BEFORE_THE_PROGRAM {
        let dir = if point == "startContainer" {
            "/mnt"
        } else {
            bundle.dir.to_str().unwrap()
        };
        let script = format!(">{dir}/{point}");
        add(&mut bundle, point, shell(&script));
    }
    bundle.run().succeeded();
    for point in BEFORE_THE_PROGRAM {
        let mode = fs::metadata(bundle.dir.join(point))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644, "{point}");
    }
}

#[test]
fn a_create_container_hook_is_the_hosts_program_in_the_containers_namespaces() {
    needs!(root, busybox);
    let mut bundle = sharing("true");
    let program = bundle.dir.join("of the host");
    let script = "#!/bin/sh\nfor ns in mnt uts ipc net; do readlink /proc/self/ns/$ns; done >$1\nhostname >>$1\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let out = bundle.dir.join("out");
    let env = json!(["PATH=/usr/bin:/bin"]);
    let hook = json!({ "path": program, "args": ["hook", out], "env": env });
    add(&mut bundle, "createContainer", hook);
    bundle.run().succeeded();
    let said = said(&bundle, "out");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 5, "{said}");
    for (line, kind) in lines.iter().zip(["mnt", "uts", "ipc", "net"]) {
        let ours = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(*line, ours.to_str().unwrap(), "{kind}");
    }
    assert_eq!(lines[4], "runc");
}

#[test]
fn a_start_container_hook_is_the_images_program() {
    needs!(root, busybox);
    let mut bundle = sharing("cat /tmp/out");
    let program = bundle.rootfs().join("only-inside");
    fs::write(&program, "#!/bin/sh\nls / | tr '\\n' ' ' >/tmp/out\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    add(
        &mut bundle,
        "startContainer",
        json!({ "path": "/only-inside", "env": ["PATH=/bin"] }),
    );
    let listed = bundle.run().succeeded().stdout;
    assert!(listed.contains("only-inside"), "{listed}");
}

#[test]
fn a_start_container_hook_has_no_more_rights_than_the_container() {
    needs!(root, busybox);
    for user in [0, 1000] {
        for forbid in [true, false] {
            let show = "grep -E '^(Uid|Gid|Groups|Cap|NoNew|Seccomp)' /proc/self/status";
            let mut bundle = sharing(&format!("{show}; cat /tmp/hook >&2"));
            add(
                &mut bundle,
                "startContainer",
                shell(&format!("{show} >/tmp/hook && ! mkdir /tmp/x")),
            );
            let filter = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }] });
            bundle
                .set("/process/user", json!({ "uid": user, "gid": user }))
                .set("/process/noNewPrivileges", json!(forbid))
                .set("/linux/seccomp", filter);
            let outcome = bundle.run().succeeded();
            assert!(outcome.stdout.contains("Seccomp:\t2"), "{}", outcome.stdout);
            assert_eq!(outcome.stdout, outcome.stderr, "user {user}");
        }
    }
}

#[test]
fn a_hook_that_fails_before_the_program_ends_the_creation_and_leaves_nothing() {
    needs!(root, busybox);
    for (number, point) in BEFORE_THE_PROGRAM.into_iter().enumerate() {
        let mut bundle = sharing("touch /mnt/ran");
        add(&mut bundle, point, shell("exit 0"));
        add(&mut bundle, point, shell("echo this is why >&2; exit 3"));
        add(&mut bundle, point, shell("touch /mnt/after"));
        let stopped = format!("cat >{}/stopped", bundle.dir.display());
        add(&mut bundle, "poststop", shell(&stopped));
        let outcome = bundle.run();
        let text = format!("{point} hook 1: /bin/sh: exit status 3: \"this is why\"");
        let outcome = outcome.failed_with(&text);
        assert_eq!(outcome.code, 1);
        bundle
            .call(&["state", &bundle.id])
            .failed_with("container does not exist");
        assert!(!bundle.dir.join("ran").exists() && !bundle.dir.join("after").exists());
        assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{number}");
        assert!(
            said(&bundle, "stopped").contains(r#""status":"stopped""#),
            "{point}"
        );
    }
}

#[test]
fn a_hook_that_is_missing_or_killed_is_named_with_the_reason() {
    needs!(root, busybox);
    let cases = [
        (
            json!({ "path": "/not/there" }),
            "/not/there: exit status 127: \"No such file or directory\"",
        ),
        (
            json!({ "path": "/etc/passwd" }),
            "/etc/passwd: exit status 126: \"Permission denied\"",
        ),
        (shell("kill -KILL $$"), "/bin/sh: ended by signal 9"),
    ];
    for (hook, text) in cases {
        for point in BEFORE_THE_PROGRAM {
            let mut bundle = sharing("true");
            add(&mut bundle, point, hook.clone());
            bundle.run().failed_with(&format!("{point} hook 0: {text}"));
        }
    }
}

#[test]
fn a_hook_over_its_time_is_killed_and_an_error() {
    needs!(root, busybox);
    for point in BEFORE_THE_PROGRAM {
        let mut bundle = sharing("true");
        // No child of the shell: with its id in the arguments it would be found if it were left.
        let script = format!("while :; do read -r x </dev/zero; done # {}", bundle.id);
        let mut hook = shell(&script);
        hook["timeout"] = json!(1);
        add(&mut bundle, point, hook);
        let begun = Instant::now();
        bundle.run().failed_with("still running at its timeout");
        assert!(begun.elapsed() < Duration::from_secs(8), "{point}");
    }
}

#[test]
fn a_poststart_hook_that_fails_is_an_error_and_ends_the_container() {
    needs!(root, busybox);
    let mut bundle = sharing("exec sleep 60");
    add(&mut bundle, "poststart", shell("echo late >&2; exit 4"));
    let stopped = format!("touch {}/stopped", bundle.dir.display());
    add(&mut bundle, "poststop", shell(&stopped));
    let text = "poststart hook 0: /bin/sh: exit status 4: \"late\"";
    bundle.run().failed_with(text);
    bundle
        .call(&["state", &bundle.id])
        .failed_with("container does not exist");
    assert!(bundle.dir.join("stopped").exists());

    bundle.create().succeeded();
    bundle.start().failed_with(text);
    bundle.wait_for_status("stopped");
}

#[test]
fn a_poststop_hook_that_fails_is_a_warning_and_the_next_one_runs() {
    needs!(root, busybox);
    let mut bundle = sharing("true");
    add(&mut bundle, "poststop", shell("echo in vain >&2; exit 5"));
    let stopped = format!("touch {}/stopped", bundle.dir.display());
    add(&mut bundle, "poststop", shell(&stopped));
    let outcome = bundle.run().succeeded();
    assert!(outcome.stderr.contains("warn"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("in vain"), "{}", outcome.stderr);
    assert!(bundle.dir.join("stopped").exists());
}

#[test]
fn an_orphan_that_holds_the_pipes_of_its_hook_keeps_nobody_waiting() {
    needs!(root, busybox);
    for point in BEFORE_THE_PROGRAM {
        let mut bundle = sharing("true");
        add(&mut bundle, point, shell("sleep 20 & exit 0"));
        let begun = Instant::now();
        bundle.run().succeeded();
        assert!(begun.elapsed() < Duration::from_secs(8), "{point}");
    }
}

#[test]
fn a_hook_that_talks_much_is_heard_to_its_end() {
    needs!(root, busybox);
    for point in BEFORE_THE_PROGRAM {
        let mut bundle = sharing("true");
        let script = "i=0; while [ $i -lt 9000 ]; do echo 0123456789; i=$((i+1)); done";
        add(&mut bundle, point, shell(script));
        bundle.run().succeeded();
    }
}

#[test]
fn a_state_larger_than_any_pipe_is_told_to_a_hook_however_it_reads() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("true");
    let large = "x".repeat(300_000);
    bundle.set("/annotations", json!({ "org.example.large": large }));
    let place = bundle.dir.join("size");
    let slow = format!("sleep 0.2; wc -c >>{}", place.display());
    for point in [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ] {
        add(&mut bundle, point, shell("exit 0"));
        add(&mut bundle, point, shell(&slow));
        add(&mut bundle, point, shell("exec 0<&-; exit 0"));
    }
    bundle.run().succeeded();
    let sizes = fs::read_to_string(place).unwrap();
    assert_eq!(sizes.lines().count(), 5, "{sizes}");
    for size in sizes.lines() {
        assert!(size.trim().parse::<usize>().unwrap() > 300_000, "{sizes}");
    }
}
