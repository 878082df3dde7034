//! `bulkhead features`.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod program;

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
