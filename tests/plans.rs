//! What is to be done for a document, in words. `tests/plans/NAME.json` is what differs from the
//! document of `runc spec` (a merge patch, RFC 7396), `tests/plans/NAME.txt` is the plan on a host
//! that is the same everywhere. `BULKHEAD_BLESS=1` writes the plans anew: outside
//! the jail, which could not write them; nothing here runs a container.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use bulkhead::plan::host::{Groups, Hierarchy};
use bulkhead::plan::{Ending, Host, Wishes, plan};
use bulkhead::spec;
use bulkhead::spec::unit::{Manager, Unit};
use bulkhead::sys::identity::CapabilitySets;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Every capability of Linux 5.9 and later.
const ALL: u64 = (1 << 41) - 1;

fn host(groups: Groups) -> Host {
    Host {
        // Not root: a plan for root opens the sources of a user namespace, which only root may.
        uid: 1000,
        gid: 1000,
        capabilities: CapabilitySets {
            effective: ALL,
            permitted: ALL,
            inheritable: 0,
        },
        denies_setgroups: false,
        has_apparmor: false,
        has_selinux: false,
        in_user_namespace: false,
        appends_layers: true,
        has_kcore: true,
        groups,
        unit: None,
    }
}

fn unified() -> Groups {
    Groups::V2 {
        group: "/sys/fs/cgroup/demo".into(),
        owned: true,
    }
}

fn hybrid() -> Groups {
    let hierarchy = |name: &str, options: &[&str], owned| Hierarchy {
        name: name.to_owned(),
        owned,
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        group: Path::new("/sys/fs/cgroup").join(name).join("demo"),
    };
    Groups::V1 {
        hierarchies: vec![
            hierarchy("cpu,cpuacct", &["cpu", "cpuacct"], true),
            hierarchy("systemd", &["none", "name=systemd"], false),
        ],
        links: vec![("cpu,cpuacct".to_owned(), "cpu".to_owned())],
        has_doors: true,
    }
}

fn wishes() -> Wishes {
    Wishes {
        id: spec::Id::new("demo").unwrap(),
        await_start: false,
        ending: Ending::WithRuntime,
        no_pivot: false,
        no_new_keyring: false,
        preserve_fds: 0,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans")
}

fn place(name: &str, extension: &str) -> PathBuf {
    folder().join(name).with_extension(extension)
}

/// RFC 7396.
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = Value::Object(serde_json::Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(&key);
        } else {
            merge(&mut into[&key], value);
        }
    }
}

/// The plan of a document in a bundle of its own, without what differs between hosts and builds.
fn text_of(name: &str, host: &Host, wishes: &Wishes) -> String {
    let mut document: Value = serde_json::from_str(include_str!("harness/config.json")).unwrap();
    let patch = fs::read_to_string(place(name, "json")).unwrap();
    merge(&mut document, serde_json::from_str(&patch).unwrap());

    let bundle = tempfile::tempdir().unwrap();
    let dir = bundle.path().canonicalize().unwrap();
    fs::create_dir(dir.join("rootfs")).unwrap();
    if name == "overlay" {
        let layers = r#"{"layers":["/l/1","/l/2","/l/3"],"upper":"upper","work":"work"}"#;
        fs::write(dir.join("overlay.json"), layers).unwrap();
    }
    let container = spec::parse(document.to_string().as_bytes(), &dir).unwrap();
    let plan = plan(&container, host, wishes).unwrap();

    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let targets = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let on = targets
        .filter(|target| dir.starts_with(target))
        .max_by_key(|target| target.len());
    let text = plan.to_string().replace(
        &format!("make the mount at {} private", on.unwrap()),
        "make the mount at MOUNT private",
    );
    // The length of a filter follows from the machine's calls, and changes when it is made better.
    let without_length = |line: &str| match line.split_once("filter (") {
        Some((head, _)) => format!("{head}filter\n"),
        None => format!("{line}\n"),
    };
    text.replace(dir.to_str().unwrap(), "BUNDLE")
        .lines()
        .map(without_length)
        .collect()
}

#[track_caller]
fn check_on(name: &str, host: &Host, wishes: &Wishes) {
    let found = text_of(name, host, wishes);
    if env::var_os("BULKHEAD_BLESS").is_some_and(|value| value == "1") {
        fs::write(place(name, "txt"), &found).unwrap();
    }
    let wanted = fs::read_to_string(place(name, "txt")).unwrap();
    assert!(
        found == wanted,
        "{name}: the plan is now\n{found}\nand was\n{wanted}"
    );
}

#[track_caller]
fn check(name: &str) {
    check_on(name, &host(unified()), &wishes());
}

#[test]
fn the_default_document() {
    check("default");
}

#[test]
fn a_container_that_waits_for_start_on_a_hybrid_host() {
    let wishes = Wishes {
        await_start: true,
        ending: Ending::OnItsOwn,
        ..wishes()
    };
    check_on("hybrid", &host(hybrid()), &wishes);
}

#[test]
fn a_host_without_groups_and_core() {
    let host = Host {
        has_kcore: false,
        ..host(Groups::Disabled)
    };
    check_on("no-groups", &host, &wishes());
}

#[test]
fn labels_of_security_modules() {
    let host = Host {
        has_apparmor: true,
        has_selinux: true,
        ..host(Groups::Disabled)
    };
    check_on("labels", &host, &wishes());
}

#[test]
fn a_group_that_systemd_makes() {
    let host = Host {
        unit: Some(Unit {
            manager: Manager::System,
            slice: "system.slice".into(),
            name: "bulkhead-demo.scope".into(),
        }),
        ..host(Groups::V2 {
            group: "/sys/fs/cgroup/system.slice/bulkhead-demo.scope".into(),
            owned: true,
        })
    };
    check_on("systemd", &host, &wishes());
}

#[test]
fn a_root_that_is_moved_and_descriptors_that_are_kept() {
    let wishes = Wishes {
        no_pivot: true,
        no_new_keyring: true,
        preserve_fds: 2,
        ..wishes()
    };
    check_on("no-pivot", &host(unified()), &wishes);
}

#[test]
fn a_root_stacked_of_layers() {
    check("overlay");
}

#[test]
fn binds_and_their_options() {
    check("binds");
}

#[test]
fn filesystems_that_are_read_only() {
    check("read-only");
}

#[test]
fn a_root_that_shares_its_mounts_with_the_host() {
    check("shared");
}

#[test]
fn devices_of_the_document() {
    check("devices");
}

#[test]
fn limits_of_every_kind() {
    check("limits");
}

#[test]
fn a_user_namespace() {
    check("user-namespace");
}

#[test]
fn a_process_that_makes_clocks_hands_over_to_the_first_of_the_container() {
    check("clocks");
}

#[test]
fn a_group_that_its_user_may_divide() {
    check("delegated");
}

#[test]
fn namespaces_that_exist() {
    check("joined");
}

#[test]
fn a_runtime_in_a_user_namespace_makes_no_devices_and_enters_no_pid_namespace() {
    let host = Host {
        uid: 0,
        in_user_namespace: true,
        ..host(unified())
    };
    check_on("nested", &host, &wishes());
}

#[test]
fn hooks_on_both_sides() {
    check("hooks");
}

#[test]
fn a_user_with_few_rights() {
    check("user");
}

#[test]
fn a_filter_that_only_an_administrator_may_load() {
    check("seccomp");
}

#[test]
fn values_of_the_kernel_and_clocks() {
    check("kernel");
}

#[test]
fn every_plan_has_its_test() {
    let source = include_str!("plans.rs");
    let folder = fs::read_dir(folder()).unwrap();
    let files = folder.flatten().map(|entry| entry.path());
    let names: BTreeSet<_> = files
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(source.contains(&format!("(\"{name}\"")), "{name}");
        assert!(
            place(&name, "json").exists() && place(&name, "txt").exists(),
            "{name}"
        );
    }
}
