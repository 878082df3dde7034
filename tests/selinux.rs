//! What SELinux makes of a program and its files, and what is said where it is not there.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::{Bundle, needs};
use serde_json::json;

/// Loads tests/policies/selinux.conf, once: there is no way back to none.
fn load_policy() {
    static LOADED: std::sync::Once = std::sync::Once::new();
    LOADED.call_once(|| {
        let policy = harness::scratch("policy").join("binary");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/selinux.conf");
        let mut compiler = Command::new("checkpolicy");
        compiler
            .args(["-U", "allow", "-o"])
            .arg(&policy)
            .arg(source);
        assert!(compiler.output().unwrap().status.success());
        fs::write("/sys/fs/selinux/load", fs::read(policy).unwrap()).unwrap();
        fs::write("/sys/fs/selinux/enforce", "1").unwrap();
    });
}

const CURRENT: &str = "tr '\\0' '\\n' </proc/self/attr/current";

#[test]
fn a_process_has_the_label_it_was_given() {
    needs!(root, busybox, selinux);
    load_policy();
    let mut bundle = Bundle::busybox(&format!("{CURRENT}; exec sleep 60"));
    bundle.set("/process/selinuxLabel", json!("u:r:container_t"));
    let created = bundle.create().succeeded();
    bundle.start().succeeded();
    harness::eventually("its label", || !created.stdout_now().is_empty());
    assert_eq!(created.stdout_now(), "u:r:container_t\n");
    for (flags, label) in [
        (&[][..], "u:r:container_t\n"),
        (&["--process-label", "u:r:other_t"], "u:r:other_t\n"),
        // Silence lifts nothing.
        (&["--process-label", ""], "u:r:container_t\n"),
    ] {
        let words = [&["exec"], flags, &[&bundle.id, "/bin/sh", "-c", CURRENT]].concat();
        assert_eq!(bundle.call(&words).succeeded().stdout, label);
    }
}

#[test]
fn a_label_that_the_policy_refuses_is_an_error() {
    needs!(root, probe, selinux);
    load_policy();
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/process/selinuxLabel", json!("u:r:missing_t"));
    // Podman looks for the backquotes.
    bundle
        .create()
        .failed_with("process.selinuxLabel: write u:r:missing_t to `/proc/thread-self/attr/");
    bundle.set("/process/selinuxLabel", json!("u:r:refused_t"));
    bundle.run().failed_with("permission denied");
}

#[test]
fn files_of_new_filesystems_have_the_label_for_mounts() {
    needs!(root, probe, selinux);
    load_policy();
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/linux/mountLabel", json!("u:object_r:container_file_t"));
    let report = bundle.run().succeeded().answer();
    let label = json!("context=u:object_r:container_file_t");
    for (target, has_it) in [
        ("/dev", true),
        ("/dev/pts", true),
        ("/dev/shm", true),
        ("/sys/firmware", true),
        ("/proc", false),
        ("/sys", false),
        ("/dev/mqueue", false),
    ] {
        let mount = harness::mount_at(&report, target).unwrap();
        let options = mount["data"].as_array().unwrap();
        assert_eq!(options.contains(&label), has_it, "{mount}");
    }
}

#[test]
fn a_label_is_an_error_where_there_is_no_selinux() {
    needs!(root, probe, no_selinux);
    let said = "selinux label is specified in config, but selinux is disabled or not supported";
    for field in ["/process/selinuxLabel", "/linux/mountLabel"] {
        let mut bundle = Bundle::probe(&[]);
        bundle.set(field, json!("system_u:system_r:container_t:s0"));
        bundle.create().failed_with(said);
    }
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    let words = ["exec", "--process-label", "any", &bundle.id, "/probe"];
    bundle.call(&words).failed_with(said);
}
