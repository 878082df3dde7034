//! What a filter allows and forbids on the real kernel, and how start-up fares under it.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs};
use nix::libc;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The default profile of Podman.
const PROFILE: &str = include_str!("profiles/containers-common.json");

/// As the probe takes them.
type Numbers = &'static [&'static str];

/// 128 and SIGSYS.
const KILLED: i32 = 128 + libc::SIGSYS;

/// A filter that allows all but what the rules say, in all of the machine's ways to call.
fn all_but(rules: Value) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    })
}

fn with(filter: Value, act: &[&str]) -> Bundle {
    let mut bundle = Bundle::probe(act);
    bundle.set("/linux/seccomp", filter);
    bundle
}

/// Podman's profile for a container with none of the capabilities it asks about.
fn default_profile() -> Value {
    let file: Value = serde_json::from_str(PROFILE).unwrap();
    let applies = |rule: &&Value| {
        let machines = rule["includes"]["arches"].as_array();
        machines.is_none_or(|list| list.contains(&json!("amd64")))
            && rule["includes"]["caps"].is_null()
    };
    let rules = file["syscalls"].as_array().unwrap().iter().filter(applies);
    let rules = rules.map(|rule| {
        let mut rule = rule.clone();
        let fields = rule.as_object_mut().unwrap();
        let kept = ["names", "action", "args", "errnoRet"];
        fields.retain(|key, value| kept.contains(&&**key) && !value.is_null());
        rule
    });
    let mut filter = all_but(rules.collect());
    filter["defaultAction"] = file["defaultAction"].clone();
    filter["defaultErrnoRet"] = file["defaultErrnoRet"].clone();
    filter
}

#[test]
fn a_forbidden_call_answers_with_the_errno_of_its_rule() {
    needs!(root, probe);
    for (errno, wanted) in [(Value::Null, libc::EPERM), (json!(99), 99), (json!(0), 0)] {
        let mut rule = json!({ "names": ["getppid"], "action": "SCMP_ACT_ERRNO" });
        if !errno.is_null() {
            rule["errnoRet"] = errno;
        }
        let bundle = with(all_but(json!([rule])), &["syscall", "getppid"]);
        let answer = bundle.run().succeeded().answer();
        let got = if wanted == 0 {
            &answer["ok"]
        } else {
            &answer["errno"]
        };
        assert_eq!(got, wanted, "{answer}");
    }
}

#[test]
fn without_a_filter_the_calls_of_these_tests_are_answered() {
    needs!(root, probe);
    let act = [
        "syscall",
        "getppid",
        "+",
        "syscall32",
        "64",
        "+",
        "syscall",
        "getpriority",
        "0",
        "0",
        "+",
        "syscall",
        "personality",
        "8",
    ];
    for answer in Bundle::probe(&act).run().succeeded().answers() {
        assert!(answer["ok"].is_number(), "{answer}");
    }
}

#[test]
fn a_call_that_is_not_listed_meets_the_default() {
    needs!(root, probe);
    let mut filter = default_profile();
    filter["defaultErrnoRet"] = json!(97);
    // 184 is tuxcall, which no kernel has and no profile lists. 1000 is newer than all calls that a profile could
    // have meant: as if the kernel were older, so that the C library tries what came before.
    let act = [
        "syscall",
        "184",
        "+",
        "syscall",
        "1000",
        "+",
        "syscall",
        "getpriority",
        "0",
        "0",
    ];
    let answers = with(filter, &act).run().succeeded().answers();
    assert_eq!(answers[0]["errno"], 97);
    assert_eq!(answers[1]["errno"], libc::ENOSYS);
    assert!(answers[2]["ok"].is_number());
}

#[test]
fn a_call_that_kills_ends_the_process_by_sigsys() {
    needs!(root, probe);
    for action in [
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_TRAP",
    ] {
        let rule = json!([{ "names": ["getppid"], "action": action }]);
        let bundle = with(
            all_but(rule),
            &["print", "alive", "+", "syscall", "getppid"],
        );
        let outcome = bundle.run();
        assert_eq!(outcome.code, KILLED, "{action}: {outcome:?}");
        assert_eq!(outcome.stdout, "alive\n", "{action}");
    }
}

#[test]
fn a_call_that_is_logged_is_let_through() {
    needs!(root, probe);
    let rule = json!([{ "names": ["getppid"], "action": "SCMP_ACT_LOG" }]);
    let answer = with(all_but(rule), &["syscall", "getppid"])
        .run()
        .succeeded()
        .answer();
    assert_eq!(answer["ok"], 0);
}

#[test]
fn a_rule_on_an_argument_holds_for_the_values_it_means() {
    needs!(root, probe);
    // Operation, value, second value; arguments that meet it, arguments that do not.
    let cases: [(&str, u64, u64, Numbers, Numbers); 8] = [
        ("SCMP_CMP_EQ", 7, 0, &["7"], &["6", "8", "4294967303"]),
        ("SCMP_CMP_NE", 7, 0, &["6", "4294967303"], &["7"]),
        ("SCMP_CMP_LT", 7, 0, &["6", "0"], &["7", "8", "-1"]),
        ("SCMP_CMP_LE", 7, 0, &["7", "0"], &["8", "-1"]),
        ("SCMP_CMP_GE", 7, 0, &["7", "8", "-1"], &["6", "0"]),
        ("SCMP_CMP_GT", 7, 0, &["8", "4294967296"], &["7", "0"]),
        (
            "SCMP_CMP_MASKED_EQ",
            0xf0,
            0x30,
            &["48", "63", "304"],
            &["0", "240"],
        ),
        ("SCMP_CMP_EQ", 1 << 40, 0, &["1099511627776"], &["0"]),
    ];
    for (op, value, second, meets, misses) in cases {
        let arg = json!([{ "index": 1, "op": op, "value": value, "valueTwo": second }]);
        let rule = json!([{ "names": ["getpriority"], "action": "SCMP_ACT_ERRNO",
                            "errnoRet": 99, "args": arg }]);
        // An argument that names no kind of process: what gets through is EINVAL.
        for (list, errno) in [(meets, 99), (misses, libc::EINVAL)] {
            for number in list {
                let act = ["syscall", "getpriority", "77", number];
                let answer = with(all_but(rule.clone()), &act).run().succeeded().answer();
                assert_eq!(answer["errno"], errno, "{op} {value} {second}: {number}");
            }
        }
    }
}

#[test]
fn the_default_profile_runs_a_shell_and_its_programs() {
    needs!(root, busybox, overlay, debian);
    let script = "set -e; cd /tmp; echo text >file; cat file | sort >sorted; cmp file sorted; \
                  (sleep 0.01 &); date >/dev/null; ls -lR /etc >/dev/null; id -un";
    for mut bundle in [Bundle::busybox(script), Bundle::debian(script)] {
        bundle
            .set("/root/readonly", json!(false))
            .set("/linux/seccomp", default_profile());
        assert_eq!(bundle.run().succeeded().stdout, "root\n");
    }
}

#[test]
fn the_default_profile_forbids_what_it_does_not_list() {
    needs!(root, probe);
    let cases: [&[&str]; 10] = [
        &["syscall", "bpf"],
        &["syscall", "kexec_load"],
        &["syscall", "userfaultfd"],
        &["syscall", "io_uring_setup"],
        &["syscall", "perf_event_open"],
        &["syscall", "init_module"],
        &["syscall", "open_by_handle_at"],
        &["syscall", "swapon"],
        &["syscall", "acct"],
        &["syscall", "personality", "1"],
    ];
    // An errno that none of these calls has of its own, wherever the filter answers.
    let mut filter = default_profile();
    filter["defaultErrnoRet"] = json!(99);
    for rule in filter["syscalls"].as_array_mut().unwrap() {
        if rule["action"] == "SCMP_ACT_ERRNO" {
            rule["errnoRet"] = json!(99);
        }
    }
    for act in cases {
        let answer = with(filter.clone(), act).run().succeeded().answer();
        assert_eq!(answer["errno"], 99, "{answer}");
        // With all that the calls want but the filter it is another.
        let answer = Bundle::probe(act).run().succeeded().answer();
        assert_ne!(answer["errno"], 99, "{answer}");
    }
}

#[test]
fn a_call_through_the_32_bit_entry_does_not_slip_past() {
    needs!(root, probe);
    // 64 is getppid there.
    let act = ["syscall32", "64", "+", "syscall32", "20"];
    let rule = json!([{ "names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99 }]);
    let answers = with(all_but(rule.clone()), &act)
        .run()
        .succeeded()
        .answers();
    assert_eq!(answers[0]["errno"], 99);
    assert!(answers[1]["ok"].is_number());

    // An architecture that the filter does not name is no way around it.
    let mut filter = all_but(rule);
    filter["architectures"] = json!(["SCMP_ARCH_X86_64"]);
    let outcome = with(filter, &act).run();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (KILLED, ""));
}

#[test]
fn a_call_by_its_x32_number_does_not_slip_past() {
    needs!(root, probe);
    let x32_getppid = (0x4000_0000 + 110).to_string();
    let rule = json!([{ "names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99 }]);
    let act = ["syscall", x32_getppid.as_str()];
    let answer = with(all_but(rule.clone()), &act).run().succeeded().answer();
    assert_eq!(answer["errno"], 99);

    let mut filter = all_but(rule);
    filter["architectures"] = json!(["SCMP_ARCH_X86_64"]);
    let outcome = with(filter, &act).run();
    let refused = outcome.code == KILLED || outcome.answer()["errno"].is_number();
    assert!(refused, "{outcome:?}");
}

#[test]
fn the_filter_is_loaded_for_any_user_and_leaves_no_capability_behind() {
    needs!(root, probe);
    for user in [0, 1000] {
        for forbid in [true, false] {
            let rule =
                json!([{ "names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99 }]);
            let mut bundle = with(all_but(rule), &["syscall", "getppid", "+", "report"]);
            bundle
                .set("/process/user", json!({ "uid": user, "gid": user }))
                .set("/process/noNewPrivileges", json!(forbid));
            let answers = bundle.run().succeeded().answers();
            assert_eq!(answers[0]["errno"], 99);
            let report = &answers[1]["ok"];
            assert_eq!(report["seccomp"], 2);
            assert_eq!(report["seccomp_filters"], 1);
            assert_eq!(report["no_new_privs"], forbid);
            for (set, held) in report["capabilities"].as_object().unwrap() {
                let held = held.as_array().unwrap();
                assert!(
                    !held.contains(&json!("CAP_SYS_ADMIN")),
                    "{user} {set} {held:?}"
                );
            }
        }
    }
}

#[test]
fn without_a_profile_there_is_no_filter() {
    needs!(root, probe);
    let report = Bundle::probe(&[]).run().succeeded().answer();
    assert_eq!(report["seccomp"], 0);
}

/// A program that is found and may be executed, and then cannot be.
fn broken(filter: Value) -> Bundle {
    let mut bundle = with(filter, &[]);
    let program = bundle.rootfs().join("broken");
    fs::write(&program, "no program\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    bundle.args(&["/broken"]);
    bundle
}

#[test]
fn a_fault_is_told_also_where_the_filter_forbids_to_write_and_to_exit() {
    needs!(root, probe);
    let names = [
        "write",
        "writev",
        "sendto",
        "sendmsg",
        "close",
        "exit",
        "exit_group",
        "kill",
        "tgkill",
        "tkill",
        "rt_sigprocmask",
        "rt_sigaction",
        "mmap",
        "munmap",
        "futex",
    ];
    for action in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
        let rule = json!([{ "names": names, "action": action }]);
        let text = "exec /broken: exec format error";
        broken(all_but(rule.clone())).run().failed_with(text);
        let bundle = broken(all_but(rule));
        bundle.create().succeeded();
        bundle.start().failed_with(text);
    }
}

#[test]
fn a_filter_that_forbids_to_execute_ends_the_start() {
    needs!(root, probe);
    let forbid = |action| all_but(json!([{ "names": ["execve", "execveat"], "action": action }]));
    let text = "exec /probe: operation not permitted";
    with(forbid("SCMP_ACT_ERRNO"), &[]).run().failed_with(text);
    for action in [
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_TRAP",
    ] {
        assert_eq!(with(forbid(action), &[]).run().code, KILLED, "{action}");
        let bundle = with(forbid(action), &[]);
        bundle.create().succeeded();
        bundle.start();
        bundle.wait_for_status("stopped");
    }
}
