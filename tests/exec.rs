//! One more process in a container that lives, from inside and outside.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::fs;

use harness::{Bundle, OUTSIDE, Outcome, eventually, needs};
use nix::libc;
use serde_json::{Value, json};

/// A container that sleeps, with the probe in it.
fn running() -> Bundle {
    started(Bundle::probe(&["sleep", "60"]))
}

fn started(bundle: Bundle) -> Bundle {
    bundle.create().succeeded();
    bundle.start().succeeded();
    bundle
}

fn exec(bundle: &Bundle, flags: &[&str], args: &[&str]) -> Outcome {
    bundle.call(&[&["exec"], flags, &[bundle.id.as_str()], args].concat())
}

/// What the probe sees of itself.
#[track_caller]
fn report(bundle: &Bundle, flags: &[&str]) -> Value {
    exec(bundle, flags, &["/probe", "report"])
        .succeeded()
        .answer()["ok"]
        .clone()
}

#[test]
fn a_program_runs_beside_the_first_one() {
    needs!(root, probe);
    let bundle = running();
    let outcome = exec(&bundle, &[], &["/probe", "print", "beside"]).succeeded();
    assert_eq!(outcome.stdout, "beside\n");
    assert_eq!(bundle.state()["status"], "running");
}

#[test]
fn it_lives_in_every_namespace_of_the_container() {
    needs!(root, probe);
    let bundle = running();
    let pid = bundle.state()["pid"].clone();
    let seen = report(&bundle, &[])["namespaces"].clone();
    for kind in ["pid", "mnt", "net", "ipc", "uts", "user", "cgroup", "time"] {
        let own = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_eq!(format!("{kind}:[{}]", seen[kind]), own.to_str().unwrap());
    }
}

#[test]
fn it_is_limited_and_killed_with_the_container() {
    needs!(root, probe);
    let bundle = running();
    let pid_file = bundle.dir.join("guest");
    let flags = ["--detach", "--pid-file", pid_file.to_str().unwrap()];
    exec(&bundle, &flags, &["/probe", "sleep", "60"]).succeeded();
    let guest: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    for controller in ["pids", "memory", "devices"] {
        let members = fs::read_to_string(bundle.group(controller).join("cgroup.procs")).unwrap();
        assert!(
            members.lines().any(|m| m == guest.to_string()),
            "{controller}"
        );
    }
    bundle.kill("KILL").succeeded();
    eventually("its end", || {
        let stat = fs::read_to_string(format!("/proc/{guest}/stat"));
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
    });
}

#[test]
fn its_exit_code_is_passed_on() {
    needs!(root, probe);
    let bundle = running();
    assert_eq!(exec(&bundle, &[], &["/probe", "exit", "7"]).code, 7);
    let killed = exec(&bundle, &[], &["/probe", "signal-self", "9"]);
    assert_eq!(killed.code, 128 + libc::SIGKILL);
}

#[test]
fn what_cannot_be_run_is_255_and_says_so() {
    needs!(root, probe);
    let bundle = running();
    for (flags, args, said) in [
        (
            &[][..],
            &["nothing"][..],
            "exec: \"nothing\": executable file not found in $PATH",
        ),
        (
            &[],
            &["/nothing"],
            "exec: \"/nothing\": stat /nothing: no such file or directory",
        ),
        (&[], &["/dev"], "exec: \"/dev\": permission denied"),
        (&[], &[], "exec args cannot be empty"),
        (
            &["--cwd", "/nowhere"],
            &["/probe"],
            "change into /nowhere: no such file or directory",
        ),
        (
            &["--cwd", "relative"],
            &["/probe"],
            "process.cwd: Cwd must be an absolute path",
        ),
        (&["--user", "root"], &["/probe"], "bad uid: \"root\""),
        (&["--user", "4294967296"], &["/probe"], "bad uid"),
        (&["--additional-gids", "-1"], &["/probe"], "bad gid"),
        (
            &["--process", "/nowhere"],
            &[],
            "open /nowhere: no such file or directory",
        ),
    ] {
        let outcome = exec(&bundle, flags, args);
        assert_eq!(outcome.code, 255, "{outcome:?}");
        assert!(outcome.stderr.contains("exec failed: "), "{outcome:?}");
        assert!(
            outcome.stderr.replace("\\\"", "\"").contains(said),
            "{outcome:?}"
        );
    }
}

/// Of a document that is another by now.
#[test]
fn a_document_with_odd_members_is_an_error_in_words() {
    needs!(root, probe);
    let mut bundle = running();
    for (pointer, value, said) in [
        (
            "/process/user",
            json!(5),
            "config.json: process.user: not an object",
        ),
        (
            "/process/capabilities",
            json!(["CAP_KILL"]),
            "config.json: process.capabilities: not an object",
        ),
        ("/process", json!([]), "config.json: process: not an object"),
    ] {
        let before = bundle.config.clone();
        bundle.set(pointer, value);
        let outcome = exec(&bundle, &["-u", "1"], &["/probe"]);
        bundle.config = before;
        assert_eq!(outcome.code, 255, "{outcome:?}");
        assert!(outcome.stderr.contains(said), "{outcome:?}");
    }
}

/// The steps of one who enters a user namespace after the others.
#[test]
fn it_is_a_user_of_the_containers_own_namespace() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    bundle.map_users(OUTSIDE, 65536);
    bundle.set("/process/oomScoreAdj", json!(321));
    let bundle = started(bundle);
    let told = report(&bundle, &["-u", "3:4"]);
    assert_eq!((&told["uid"], &told["gid"]), (&json!(3), &json!(4)));
    assert_eq!(told["oom_score_adj"], 321);
    let own = fs::read_link(format!("/proc/{}/ns/user", bundle.state()["pid"])).unwrap();
    let seen = format!("user:[{}]", told["namespaces"]["user"]);
    assert_eq!(seen, own.to_str().unwrap());
}

#[test]
fn only_a_container_that_runs_takes_a_guest() {
    needs!(root, probe);
    let bundle = running();
    bundle.call(&["pause", &bundle.id]).succeeded();
    let refused = exec(&bundle, &[], &["/probe", "exit", "0"]);
    assert_eq!(refused.code, 255);
    let said = "cannot exec in a paused container (use --ignore-paused to override)";
    assert!(refused.stderr.contains(said), "{refused:?}");
    bundle.call(&["resume", &bundle.id]).succeeded();

    bundle.kill("KILL").succeeded();
    bundle.wait_for_status("stopped");
    let refused = exec(&bundle, &[], &["/probe", "exit", "0"]);
    assert_eq!(refused.code, 255);
    assert!(
        refused
            .stderr
            .contains("cannot exec in a stopped container"),
        "{refused:?}"
    );

    let missing = bundle.call(&["exec", "none", "/probe"]);
    assert_eq!(missing.code, 255);
    assert!(
        missing.stderr.contains("container does not exist"),
        "{missing:?}"
    );
}

#[test]
fn flags_change_what_the_document_says() {
    needs!(root, probe);
    let bundle = running();
    let flags = [
        "--cwd",
        "/dev",
        "-u",
        "5:6",
        "-g",
        "7",
        "-g",
        "8",
        "-e",
        "A=1,2",
        "--env=B=3",
        "--no-new-privs",
    ];
    let told = report(&bundle, &flags);
    let env = told["env"].as_array().unwrap();
    assert!(
        env.contains(&json!("A=1,2")) && env.contains(&json!("B=3")),
        "{env:?}"
    );
    for (what, value) in [
        ("cwd", json!("/dev")),
        ("uid", json!(5)),
        ("gid", json!(6)),
        ("groups", json!([7, 8])),
        ("no_new_privs", json!(true)),
    ] {
        assert_eq!(told[what], value, "{what}");
    }
}

#[test]
fn a_process_from_a_file_is_all_that_counts() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    bundle.set("/process/oomScoreAdj", json!(321));
    let bundle = started(bundle);
    let file = bundle.dir.join("process.json");
    let process = json!({
        "args": ["/probe", "report"], "cwd": "/", "env": ["ONLY=this"],
        "user": { "uid": 9, "gid": 10, "umask": 63 },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 88 }],
    });
    fs::write(&file, process.to_string()).unwrap();
    let outcome = exec(
        &bundle,
        &["--tty=false", "--process", file.to_str().unwrap()],
        &[],
    );
    let told = outcome.succeeded().answer()["ok"].clone();
    for (what, value) in [
        ("uid", json!(9)),
        ("gid", json!(10)),
        ("umask", json!("0077")),
        ("env", json!(["ONLY=this", "HOME=/"])),
    ] {
        assert_eq!(told[what], value, "{what}");
    }
    // What confines the container's own process is not lifted by silence, as under runc.
    let own = report(&bundle, &[]);
    assert_eq!(
        told["capabilities"]["bounding"],
        own["capabilities"]["bounding"]
    );
    assert_eq!(told["oom_score_adj"], 321);
    assert_eq!(
        told["rlimits"]["RLIMIT_NOFILE"],
        json!({ "soft": 77, "hard": 88 })
    );
}

/// As systemd does in a container: cgroups(7), "no internal processes".
#[test]
fn it_finds_room_where_the_container_has_divided_its_group() {
    needs!(root, cgroup2, busybox);
    let script = "cd /sys/fs/cgroup; mkdir leaf; echo 0 >leaf/cgroup.procs
        echo +pids >cgroup.subtree_control && echo divided; exec sleep 60";
    let mut bundle = Bundle::busybox(script);
    bundle
        .mount(json!({
            "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev"],
        }))
        .set("/linux/namespaces/-", json!({ "type": "cgroup" }));
    let mut running = bundle.run_in_background();
    eventually("the leaf", || bundle.background_output() == "divided\n");
    let told = exec(&bundle, &[], &["cat", "/proc/self/cgroup"]).succeeded();
    assert_eq!(told.stdout, "0::/leaf\n");
    bundle.kill("KILL").succeeded();
    running.wait().unwrap();
}

#[test]
fn it_has_no_capability_where_its_file_says_so() {
    needs!(root, probe);
    let bundle = running();
    let file = bundle.dir.join("process.json");
    let process = json!({ "args": ["/probe", "report"], "cwd": "/", "capabilities": {} });
    fs::write(&file, process.to_string()).unwrap();
    let outcome = exec(&bundle, &["--process", file.to_str().unwrap()], &[]);
    let told = outcome.succeeded().answer()["ok"].clone();
    assert_eq!(told["capabilities"]["bounding"], json!([]));
}

/// Makes the group `sub` below the container's, with each v1 controller or on v2.
fn divide(bundle: &Bundle, controllers: &[&str]) {
    for controller in controllers {
        fs::create_dir(bundle.group(controller).join("sub")).unwrap();
    }
}

/// The group that the guest sees itself in, in the hierarchy of this v1 controller or on v2.
#[track_caller]
fn group_of(bundle: &Bundle, flags: &[&str], controller: &str) -> String {
    let outcome = exec(bundle, flags, &["/probe", "read", "/proc/self/cgroup"]);
    let answer = outcome.succeeded().answer();
    let mut lines = answer["ok"].as_str().unwrap().lines();
    let line = lines.find_map(|line| {
        let (names, path) = line.split_once(':').unwrap().1.split_once(':').unwrap();
        names.split(',').any(|n| n == controller).then_some(path)
    });
    line.unwrap().to_owned()
}

#[test]
fn it_goes_to_the_v1_groups_below_that_are_named() {
    needs!(root, probe, cgroup1);
    let bundle = running();
    divide(&bundle, &["memory", "pids"]);
    let own = ["memory", "pids", "cpu"].map(|c| group_of(&bundle, &[], c));
    let flags = ["--cgroup", "memory:sub"];
    assert_eq!(group_of(&bundle, &flags, "memory"), own[0].clone() + "/sub");
    assert_eq!(group_of(&bundle, &flags, "pids"), own[1]);
    let flags = ["--cgroup", "memory,pids:/sub", "--cgroup", "cpu:/"];
    assert_eq!(group_of(&bundle, &flags, "pids"), own[1].clone() + "/sub");
    assert_eq!(group_of(&bundle, &flags, "cpu"), own[2]);
    for (flags, said) in [
        // In some hierarchies it is missing.
        (&["--cgroup", "sub"][..], "/sub: no such file or directory"),
        (&["--cgroup", "memory:gone"], " adding pid to "),
        (&["--cgroup", "odd:/"], "unknown controller odd"),
        (&["--cgroup", "memory:../other"], "bad sub cgroup path"),
    ] {
        let refused = exec(&bundle, flags, &["/probe"]);
        assert_eq!(refused.code, 255, "{flags:?}");
        refused.failed_with(said);
    }
}

#[test]
fn it_goes_to_the_v2_group_below_that_is_named() {
    needs!(root, probe, cgroup2);
    let bundle = running();
    divide(&bundle, &[""]);
    let own = group_of(&bundle, &[], "");
    let below = group_of(&bundle, &["--cgroup", "sub"], "");
    assert_eq!(below, own.clone() + "/sub");
    assert_eq!(group_of(&bundle, &["--cgroup", "/"], ""), own);
    for (group, said) in [
        ("gone", " adding pid to "),
        ("memory:sub", "unknown controller memory"),
        ("..", "bad sub cgroup path"),
    ] {
        exec(&bundle, &["--cgroup", group], &["/probe"]).failed_with(said);
    }
}

#[test]
fn it_may_gain_privileges_where_the_flag_says_so() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    bundle.set("/process/noNewPrivileges", json!(true));
    let bundle = started(bundle);
    for (flags, wanted) in [
        (&[][..], true),
        (&["--no-new-privs"], true),
        (&["--no-new-privs=false"], false),
    ] {
        assert_eq!(report(&bundle, flags)["no_new_privs"], wanted, "{flags:?}");
    }
}

#[test]
fn it_runs_in_a_container_that_waits_for_start() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    exec(&bundle, &[], &["/probe", "print", "early"]).succeeded();
    assert_eq!(bundle.state()["status"], "created");
    bundle.start().succeeded();
}
