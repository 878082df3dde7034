//! What `process` of config.json says is what the program finds.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, Outcome, fixture, needs};
use serde_json::{Value, json};

/// The report of the probe in a container of the base configuration with one value set.
#[track_caller]
fn report_with(pointer: &str, value: Value) -> Value {
    let mut bundle = Bundle::probe(&[]);
    bundle.set(pointer, value);
    bundle.run().succeeded().answer()
}

#[track_caller]
fn report() -> Value {
    Bundle::probe(&[]).run().succeeded().answer()
}

#[test]
fn the_arguments_are_given_as_they_are() {
    needs!(root, probe);
    let args = json!(["/probe", "syscall", "getpid", "", "with space", "ü"]);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/process/args", args);
    // The third of the call's arguments is no number: the probe answers EINVAL and repeats them.
    let answer = bundle.run().succeeded().answer();
    assert_eq!(answer["command"], "syscall getpid  with space ü");
}

#[test]
fn the_environment_is_the_configured_one_and_nothing_of_the_callers() {
    needs!(root, probe);
    let wanted = ["PATH=/bin", "EMPTY=", "A=b=c", "HOME=/somewhere"];
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/process/env", json!(wanted));
    let mut command = bundle.command(&["run", &bundle.id]);
    command.env("LEAKED", "1");
    let report = bundle.finish(command).succeeded().answer();
    assert_eq!(report["env"], json!(wanted));
}

#[test]
fn the_working_directory_is_entered() {
    needs!(root, probe);
    assert_eq!(report_with("/process/cwd", json!("/home"))["cwd"], "/home");
}

#[test]
fn a_missing_working_directory_is_made_where_the_root_can_be_written() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle
        .set("/root/readonly", json!(false))
        .set("/process/cwd", json!("/made/here"));
    assert_eq!(bundle.run().succeeded().answer()["cwd"], "/made/here");
}

#[test]
fn a_working_directory_through_a_descriptor_of_the_host_is_refused() {
    needs!(root, probe);
    Bundle::probe(&["list", "."]).run().succeeded();
    for number in 3..12 {
        let mut bundle = Bundle::probe(&["list", "."]);
        bundle.set("/process/cwd", json!(format!("/proc/self/fd/{number}")));
        let outcome = bundle.run();
        assert_ne!(outcome.code, 0, "descriptor {number}: {outcome:?}");
    }
}

#[test]
fn user_and_groups_are_taken_on() {
    needs!(root, probe);
    let user = json!({ "uid": 1000, "gid": 1001, "additionalGids": [2000, 5] });
    let report = report_with("/process/user", user);
    for (field, id) in [("uid", 1000), ("euid", 1000), ("suid", 1000)] {
        assert_eq!(report[field], id, "{field}");
    }
    for (field, id) in [("gid", 1001), ("egid", 1001), ("sgid", 1001)] {
        assert_eq!(report[field], id, "{field}");
    }
    let mut groups: Vec<u64> = report["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g.as_u64().unwrap())
        .collect();
    groups.sort_unstable();
    groups.retain(|group| *group != 1001); // the first group may be repeated in the list
    assert_eq!(groups, [5, 2000]);
}

#[test]
fn the_umask_is_the_configured_one_and_0022_without() {
    needs!(root, probe);
    assert_eq!(
        report_with("/process/user/umask", json!(0o27))["umask"],
        "0027"
    );
    assert_eq!(report()["umask"], "0022");
}

#[test]
fn each_capability_set_holds_what_it_was_given() {
    needs!(root, probe);
    let sets = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_CHROOT"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "inheritable": ["CAP_CHOWN", "CAP_NET_RAW"],
        "effective": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "ambient": ["CAP_NET_RAW"],
    });
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/process/capabilities", sets.clone());
    let user = json!({ "uid": 1000, "gid": 1000 });
    let as_user = bundle.set("/process/user", user).run().succeeded().answer();
    let held = &as_user["capabilities"];
    assert_eq!(held["bounding"], sets["bounding"]);
    assert_eq!(held["inheritable"], sets["inheritable"]);
    // execve(2) by a user leaves permitted and effective with the ambient set.
    for set in ["permitted", "effective", "ambient"] {
        assert_eq!(held[set], sets["ambient"], "{set}");
    }
}

#[test]
fn root_without_capabilities_configured_has_none() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/process/capabilities", json!({}));
    let held = &bundle.run().succeeded().answer()["capabilities"];
    for set in [
        "bounding",
        "permitted",
        "inheritable",
        "effective",
        "ambient",
    ] {
        assert_eq!(held[set], json!([]), "{set}");
    }
}

#[test]
fn resource_limits_are_set() {
    needs!(root, probe);
    let cases = [
        ("RLIMIT_NOFILE", 100_u64, 200_u64),
        ("RLIMIT_CORE", 0, 0),
        ("RLIMIT_CPU", 10, 20),
        ("RLIMIT_AS", 1 << 40, 1 << 41),
    ];
    let limits: Vec<Value> = cases
        .iter()
        .map(|(kind, soft, hard)| json!({ "type": kind, "soft": soft, "hard": hard }))
        .collect();
    let report = report_with("/process/rlimits", json!(limits));
    for (kind, soft, hard) in cases {
        let wanted = json!({ "soft": soft, "hard": hard });
        assert_eq!(report["rlimits"][kind], wanted, "{kind}");
    }
}

#[test]
fn no_new_privileges_is_set_only_where_asked() {
    needs!(root, probe);
    for wanted in [true, false] {
        let report = report_with("/process/noNewPrivileges", json!(wanted));
        assert_eq!(report["no_new_privs"], wanted);
    }
}

#[test]
fn the_oom_score_adjustment_is_set() {
    needs!(root, probe);
    assert_eq!(
        report_with("/process/oomScoreAdj", json!(321))["oom_score_adj"],
        321
    );
}

/// The command, run by a root that lacks one capability and may have no more than 512 descriptors.
fn without(capability: &str, bundle: &Bundle) -> Outcome {
    let run = bundle.command(&["run", &bundle.id]);
    let mut shell = std::process::Command::new("sh");
    let script = r#"ulimit -n 512; exec setpriv --bounding-set="-$1" "$2" "$3" "$4" "$5" "$6""#;
    shell.args(["-c", script, "sh", capability]);
    shell.arg(run.get_program()).args(run.get_args());
    shell.current_dir(&bundle.dir);
    bundle.finish(shell)
}

#[test]
fn an_oom_score_adjustment_that_the_runtime_may_not_set_is_an_error() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle
        .set("/process/oomScoreAdj", json!(-500))
        .set("/process/rlimits", json!([]));
    let text = "set the OOM score adjustment to -500: permission denied";
    without("sys_resource", &bundle).failed_with(text);
}

#[test]
fn a_limit_that_the_runtime_may_not_raise_is_an_error() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    let text = "limit NOFILE to 1024:1024: operation not permitted";
    without("sys_resource", &bundle).failed_with(text);
}

#[test]
fn a_capability_that_the_runtime_lacks_is_left_out_with_a_warning() {
    needs!(root, probe);
    for sets in [&["bounding", "permitted", "effective"][..], &["bounding"]] {
        let mut bundle = Bundle::probe(&[]);
        for set in sets {
            let wanted = json!(["CAP_CHOWN", "CAP_SYS_TIME"]);
            bundle.set(&format!("/process/capabilities/{set}"), wanted);
        }
        bundle.set("/process/rlimits", json!([]));
        let outcome = without("sys_time", &bundle).succeeded();
        let warning = "process.capabilities: the runtime lacks sys_time, left out";
        assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
        let held = &outcome.answer()["capabilities"];
        assert_eq!(held["bounding"], json!(["CAP_CHOWN"]), "{held}");
        if sets.contains(&"effective") {
            assert_eq!(held["effective"], json!(["CAP_CHOWN"]), "{held}");
        }
    }
}

#[test]
fn capabilities_that_the_runtime_has_are_given_without_a_word() {
    needs!(root, probe);
    let outcome = Bundle::probe(&[]).run().succeeded();
    assert_eq!(outcome.stderr, "");
}

#[test]
fn root_has_exactly_the_sets_it_was_given() {
    needs!(root, probe);
    let sets = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "inheritable": ["CAP_CHOWN", "CAP_NET_RAW"],
        "effective": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "ambient": ["CAP_NET_RAW"],
    });
    let report = report_with("/process/capabilities", sets.clone());
    assert_eq!(report["capabilities"], sets);
    assert_eq!(report["securebits"], 0);
}

#[test]
fn a_32_bit_personality_is_what_programs_see() {
    needs!(root, busybox);
    for (domain, machine) in [("LINUX32", "i686\n"), ("LINUX", "x86_64\n")] {
        let mut bundle = Bundle::busybox("uname -m");
        bundle.set("/linux/personality", json!({ "domain": domain }));
        assert_eq!(bundle.run().succeeded().stdout, machine);
    }
}

#[test]
fn the_personality_is_set() {
    needs!(root, probe);
    let report = report_with("/linux/personality", json!({ "domain": "LINUX32" }));
    assert_eq!(report["personality"], 8);
}

#[test]
fn host_and_domain_name_are_set() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle
        .set("/hostname", json!("my-host"))
        .set("/domainname", json!("my.domain"));
    let report = bundle.run().succeeded().answer();
    assert_eq!(report["hostname"], "my-host");
    assert_eq!(report["domainname"], "my.domain");
}

#[test]
fn no_descriptor_but_the_three_streams_is_open() {
    needs!(root, probe);
    let open = &report()["descriptors"];
    let numbers: Vec<&String> = open.as_object().unwrap().keys().collect();
    assert_eq!(numbers, ["0", "1", "2"], "{open}");
}

#[test]
fn descriptors_asked_for_are_kept() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    // The shell opens 3 and 4; 5 is open too and not asked for.
    let run = bundle.command(&["run", "--preserve-fds", "2", &bundle.id]);
    let mut shell = std::process::Command::new("sh");
    shell.args([
        "-c",
        r#"exec "$0" "$@" 3</etc/passwd 4</etc/group 5</etc/hosts"#,
    ]);
    shell
        .arg(run.get_program())
        .args(run.get_args())
        .current_dir(&bundle.dir);
    let report = bundle.finish(shell).succeeded().answer();
    let open = report["descriptors"].as_object().unwrap();
    assert_eq!(
        open.keys().collect::<Vec<_>>(),
        ["0", "1", "2", "3", "4"],
        "{open:?}"
    );
    assert_eq!(open["3"], "/etc/passwd");
}

#[test]
fn a_created_container_does_not_die_with_its_parent() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    let created = bundle.create().succeeded();
    bundle.start().succeeded();
    bundle.wait_for_status("stopped");
    let report: Value = serde_json::from_str(&created.stdout_now()).unwrap();
    assert_eq!(report["parent_death_signal"], 0);
}

#[test]
fn the_program_leads_a_session_and_is_the_first_of_its_pid_namespace() {
    needs!(root, probe);
    let report = report();
    for (field, value) in [
        ("pid", 1),
        ("ppid", 0),
        ("session", 1),
        ("process_group", 1),
    ] {
        assert_eq!(report[field], value, "{field}");
    }
    assert_eq!(report["controlling_terminal"], false);
}

/// The session keyring of this process, as the probe finds it outside of a container.
fn own_keyring() -> i64 {
    let mut probe = std::process::Command::new(fixture("probe").join("probe"));
    let out = probe
        .args(["syscall", "keyctl", "0", "-3", "0"])
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&out.stdout).unwrap();
    answer["ok"].as_i64().unwrap()
}

#[test]
fn the_session_keyring_is_new_and_not_the_callers() {
    needs!(root, probe);
    let one = report()["session_keyring"].as_i64().unwrap();
    let other = report()["session_keyring"].as_i64().unwrap();
    assert_ne!(one, other);
    assert_ne!(one, own_keyring());
}

#[test]
fn the_session_keyring_is_the_callers_where_no_new_one_is_wanted() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    let run = ["run", "--no-new-keyring", &bundle.id];
    let report = bundle.call(&run).succeeded().answer();
    assert_eq!(report["session_keyring"], own_keyring());
}
