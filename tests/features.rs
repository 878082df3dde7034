//! `bulkhead features`.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod program;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use program::Program;
use serde_json::Value;

fn features() -> (String, Value) {
    let outcome = Program::new().line("features");
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
    let value = serde_json::from_str(&outcome.out).unwrap();
    (outcome.out, value)
}

fn words(value: &Value) -> Vec<&str> {
    let list = value.as_array().unwrap();
    list.iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn the_document_is_indented_by_four_and_ends_a_line() {
    let (text, _) = features();
    assert!(text.starts_with("{\n    \"ociVersionMin\": \"1.0.0\",\n    \"ociVersionMax\""));
    assert!(text.ends_with("\n}\n"));
}

#[test]
fn every_key_of_the_schema_has_its_type() {
    let (_, features) = features();
    let linux = &features["linux"];
    for list in [
        &features["hooks"],
        &features["mountOptions"],
        &features["potentiallyUnsafeConfigAnnotations"],
        &linux["namespaces"],
        &linux["capabilities"],
        &linux["seccomp"]["actions"],
        &linux["seccomp"]["operators"],
        &linux["seccomp"]["archs"],
        &linux["seccomp"]["knownFlags"],
        &linux["seccomp"]["supportedFlags"],
        &linux["memoryPolicy"]["modes"],
        &linux["memoryPolicy"]["flags"],
    ] {
        words(list);
    }
    for key in ["v1", "v2", "systemd", "systemdUser", "rdma"] {
        assert!(linux["cgroup"][key].is_boolean(), "{key}");
    }
    for key in ["seccomp", "apparmor", "selinux", "intelRdt", "netDevices"] {
        assert!(linux[key]["enabled"].is_boolean(), "{key}");
    }
    assert!(linux["mountExtensions"]["idmap"]["enabled"].is_boolean());
    let annotations = features["annotations"].as_object().unwrap();
    assert!(annotations.values().all(Value::is_string));
    assert!(annotations.contains_key("org.opencontainers.runc.version"));
    assert!(!annotations.contains_key("org.opencontainers.runc.commit"));
}

/// The files of the crate, without what they test.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let end = text.find("#[cfg(test)]").unwrap_or(text.len());
            found.push(text[..end].to_owned());
        }
    }
}

/// An annotation is looked up by its name, or goes by the name of `org.` somebody.
#[test]
fn every_annotation_that_is_obeyed_is_listed() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let mut read = BTreeSet::new();
    for text in &files {
        let literals = |before: &'static str| {
            let rest = text.split(before).skip(1);
            rest.filter_map(|rest| rest.strip_prefix('"')?.split('"').next())
        };
        read.extend(literals("annotations.get("));
        read.extend(literals("annotations.contains_key("));
        // The first are what features tells, the second names of D-Bus, the third what an image says of
        // itself, of which `stop` alone takes something: a signal.
        let names = text.split('"').filter(|word| word.starts_with("org."));
        let others = [
            "org.opencontainers.runc.",
            "org.freedesktop.",
            "org.opencontainers.image.",
        ];
        read.extend(names.filter(|name| !others.iter().any(|other| name.starts_with(other))));
    }
    // Whether a key is empty is asked, too, and a prefix is what labels of images may not have.
    read.remove("");
    read.remove("org.criu.");
    let (_, features) = features();
    let listed: BTreeSet<&str> = words(&features["potentiallyUnsafeConfigAnnotations"])
        .into_iter()
        .collect();
    assert_eq!(read, listed);
}

#[test]
fn the_lists_have_what_they_are_known_for() {
    let (_, features) = features();
    let linux = &features["linux"];
    assert_eq!(words(&features["hooks"]).len(), 6);
    assert_eq!(words(&linux["namespaces"]).len(), 8);
    let capabilities = words(&linux["capabilities"]);
    assert_eq!(capabilities[0], "CAP_CHOWN");
    assert_eq!(capabilities[40], "CAP_CHECKPOINT_RESTORE");
    assert!(words(&linux["seccomp"]["archs"]).contains(&"SCMP_ARCH_X86_64"));
    for key in ["apparmor", "selinux", "intelRdt", "netDevices"] {
        assert_eq!(linux[key]["enabled"], true, "{key}");
    }
    assert!(words(&linux["memoryPolicy"]["modes"]).contains(&"MPOL_BIND"));
    assert!(words(&linux["memoryPolicy"]["flags"]).contains(&"MPOL_F_STATIC_NODES"));
    assert!(words(&linux["seccomp"]["actions"]).contains(&"SCMP_ACT_ERRNO"));
}
