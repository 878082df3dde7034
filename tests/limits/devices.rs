//! Which devices the program can open, before and after an update.

use crate::harness::{eventually, needs};
use crate::{Bundle, allow_nodes, created_with, update, with};
use bulkhead::sys::bpf;
use nix::libc;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::fd::AsFd;

// No driver has this number: an open that the group allows comes to the kernel's ENXIO.
const NODE: [&str; 5] = ["mknod", "/home/node", "c", "511", "7"];

fn rule(allow: bool, access: &str) -> Value {
    json!({ "allow": allow, "type": "c", "major": 511, "minor": 7, "access": access })
}

#[test]
fn a_device_is_refused_unless_a_rule_allows_it() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    allow_nodes(&mut bundle);
    let open = ["+", "open", "/home/node", "+", "open", "/dev/zero"];
    bundle.args(&[&["/probe"], &NODE[..], &open[..]].concat());
    // Making any node is among the rules that every container gets, opening it is not.
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[1]["errno"], libc::EPERM, "{answers:?}");
    assert_eq!(
        answers[2]["ok"], 1,
        "/dev/zero is of the default devices: {answers:?}"
    );

    fs::remove_file(bundle.rootfs().join("home/node")).unwrap();
    bundle.set("/linux/resources/devices/-", rule(true, "rwm"));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[1]["errno"], libc::ENXIO, "{answers:?}");
}

/// What the program is told at each signal, after an update before it.
#[test]
fn a_device_can_be_opened_after_an_update_and_not_after_the_next() {
    needs!(root, probe);
    let usr1 = libc::SIGUSR1.to_string();
    let wait = ["+", "wait-signal", &usr1];
    let open = ["+", "open", "/home/node", "+", "open", "/dev/null"];
    let mut bundle = Bundle::probe(&[]);
    allow_nodes(&mut bundle);
    let words = [&["/probe"], &NODE[..], &open, &wait, &open, &wait, &open].concat();
    bundle.args(&words);
    let mut parent = bundle.run_in_background();
    let pid = bundle.state()["pid"].clone();
    let next = |count: usize| {
        // A signal that comes before the program waits for it is lost (proc_pid_syscall(5)).
        let call = format!("{} ", libc::SYS_rt_sigtimedwait);
        let in_call = || fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
        eventually("the wait for a signal", || {
            bundle.background_output().lines().count() >= count && in_call().starts_with(&call)
        });
    };
    let denied = json!({ "allow": false, "access": "rwm" });
    next(3);
    update(&bundle, &json!({ "devices": [denied, rule(true, "rw")] })).succeeded();
    bundle.kill("USR1").succeeded();
    next(6);
    update(&bundle, &json!({ "devices": [denied] })).succeeded();
    // An update of something else leaves the rules.
    update(&bundle, &json!({ "pids": { "limit": 50 } })).succeeded();
    bundle.kill("USR1").succeeded();
    assert!(parent.wait().unwrap().success());

    let text = bundle.background_output();
    let answers: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let of_node: Vec<&Value> = answers
        .iter()
        .filter(|a| a["command"] == "open /home/node")
        .collect();
    let errors: Vec<&Value> = of_node.iter().map(|a| &a["errno"]).collect();
    assert_eq!(errors, [libc::EPERM, libc::ENXIO, libc::EPERM], "{text}");
    let of_null = answers.iter().filter(|a| a["command"] == "open /dev/null");
    assert!(of_null.clone().all(|a| a["ok"] == 0), "{text}");
    assert_eq!(of_null.count(), 3);
}

#[test]
fn v1_rules_change_by_their_differences_though_the_container_has_groups_of_its_own() {
    needs!(root, cgroup1, probe);
    let bundle = created_with(&json!({}));
    let group = bundle.group("devices");
    let list = || fs::read_to_string(group.join("devices.list")).unwrap();
    let before = list();
    fs::create_dir(group.join("inner")).unwrap();
    let denied = json!({ "allow": false, "access": "rwm" });
    update(&bundle, &json!({ "devices": [denied, rule(true, "rw")] })).succeeded();
    assert_eq!(
        list().lines().filter(|l| *l == "c 511:7 rw").count(),
        1,
        "{}",
        list()
    );
    update(&bundle, &json!({ "devices": [denied] })).succeeded();
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(String::from).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&list()), lines(&before));
}

#[test]
fn v1_rules_can_become_all_and_few_again() {
    needs!(root, cgroup1, probe);
    let bundle = created_with(&json!({}));
    let list = || fs::read_to_string(bundle.group("devices").join("devices.list")).unwrap();
    let before = list();
    let all = json!({ "allow": true, "access": "rwm" });
    update(&bundle, &json!({ "devices": [all, rule(false, "w")] })).succeeded();
    assert_eq!(list(), "a *:* rwm\n");
    assert_eq!(bundle.state()["status"], "created", "not frozen");
    let denied = json!({ "allow": false, "access": "rwm" });
    update(&bundle, &json!({ "devices": [denied] })).succeeded();
    assert_eq!(list().lines().count(), before.lines().count());
}

/// What the group above does not allow is refused in the middle of the list.
#[test]
fn v1_rules_that_are_refused_on_the_way_are_taken_back() {
    needs!(root, cgroup1, probe);
    let all = json!({ "allow": true, "access": "rwm" });
    let denied = json!({ "allow": false, "access": "rwm" });
    let [mine, other] = [7, 8].map(
        |minor| json!({ "allow": true, "type": "c", "major": 511, "minor": minor, "access": "rw" }),
    );
    for first in [&denied, &all] {
        let mut bundle = with(&json!({ "devices": [first] }));
        let name = format!("above-{}", bundle.id);
        let path = format!("/{name}/{}", bundle.id);
        bundle.set("/linux/cgroupsPath", json!(path));
        bundle.create().succeeded();
        let group = bundle.group("devices");
        let above = group.parent().unwrap();
        assert!(above.ends_with(&name));
        fs::write(above.join("devices.deny"), "c 511:8 rw").unwrap();

        let list = || fs::read_to_string(group.join("devices.list")).unwrap();
        let before = list();
        let refused = json!({ "devices": [denied, mine, other] });
        let told = update(&bundle, &refused).failed_with("write \"c 511:8 rw\"");
        if first == &denied {
            assert_eq!(list(), before);
        } else {
            // All was allowed, but for what the kernel does not show.
            told.failed_with("devices.list");
            assert!(
                !list().contains("511") && !list().starts_with('a'),
                "{}",
                list()
            );
        }
        assert_eq!(bundle.state()["status"], "created", "not frozen");
        bundle.call(&["delete", "--force", &bundle.id]).succeeded();
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join(&name));
        }
    }
}

#[test]
fn programs_do_not_pile_up_and_those_of_others_stay() {
    needs!(root, cgroup2, probe);
    let bundle = created_with(&json!({}));
    let group = File::open(bundle.group("")).unwrap();
    let programs = || bpf::device_programs(group.as_fd()).unwrap();
    assert_eq!(programs().len(), 1);
    // Allows everything: r0 = 1; exit.
    let [set, exit] = [(0xb7, 1), (0x95, 0)].map(|(code, immediate)| bpf::Instruction {
        code,
        registers: 0,
        offset: 0,
        immediate,
    });
    let other = bpf::load_device_program(b"of_another\0\0\0\0\0\0", &[set, exit]).unwrap();
    bpf::attach_device_program(group.as_fd(), other.as_fd(), None).unwrap();
    let before = programs();
    assert_eq!(before.len(), 2);

    let denied = json!({ "allow": false, "access": "rwm" });
    for access in ["r", "w", "rw"] {
        update(&bundle, &json!({ "devices": [denied, rule(true, access)] })).succeeded();
    }
    let after = programs();
    assert_eq!(after.len(), 2, "{before:?} {after:?}");
    let stayed = after.iter().filter(|id| before.contains(id)).count();
    assert_eq!(
        stayed, 1,
        "ours is another, theirs is the same: {before:?} {after:?}"
    );
    let id = after.iter().find(|id| before.contains(id)).unwrap();
    let name = bpf::name_of(bpf::program_by_id(*id).unwrap().as_fd()).unwrap();
    assert!(name.starts_with(b"of_another"));
}
