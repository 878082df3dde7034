//! Whole documents: good ones with what becomes of them, bad ones with the words for the fault.

mod controllers;
mod files;
mod hooks;
mod idmap;
mod intel_rdt;
mod kernel;
mod mounts;
mod namespaces;
mod net_devices;
mod process;
mod resources;
mod robustness;
mod scheduling;
mod seccomp;

use std::path::Path;

use serde_json::Value;

use super::container::Namespace;
use super::*;

/// Its root is /usr, taken from the bundle `/`: it is there on every machine, and only looked at.
const DEFAULT: &str = include_str!("../../tests/documents/runc-default.json");

/// The default document with changes: each a dotted path and JSON; no JSON takes the member away.
fn document(changes: &[(&str, &str)]) -> String {
    let mut whole: Value = serde_json::from_str(DEFAULT).unwrap();
    for (path, json) in changes {
        change(&mut whole, path, json);
    }
    whole.to_string()
}

fn change(whole: &mut Value, path: &str, json: &str) {
    let mut at = whole;
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    for step in parents.split('.').filter(|step| !step.is_empty()) {
        at = match step.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[step],
        };
    }
    match (last.parse::<usize>(), json) {
        (Ok(index), _) => at[index] = serde_json::from_str(json).unwrap(),
        (Err(_), "") => drop(at.as_object_mut().unwrap().remove(last)),
        (Err(_), _) => at[last] = serde_json::from_str(json).unwrap(),
    }
}

fn load_text(json: &str) -> Result<Container, Error> {
    parse(json.as_bytes(), Path::new("/"))
}

/// What the default document becomes with these changes.
#[track_caller]
fn accepted(changes: &[(&str, &str)]) -> Container {
    load_text(&document(changes)).unwrap_or_else(|fault| panic!("{changes:?}: {fault}"))
}

/// What is said of the default document with these changes, without the name of the file.
#[track_caller]
fn refused(changes: &[(&str, &str)]) -> String {
    match load_text(&document(changes)) {
        Ok(_) => panic!("accepted: {changes:?}"),
        Err(fault) => {
            let text = fault.to_string();
            text.strip_prefix("config.json: ").unwrap().to_owned()
        }
    }
}

/// Each row is a path, JSON to put there, and what is said of it.
#[track_caller]
fn refuses(rows: &[(&str, &str, &str)]) {
    for (path, json, said) in rows {
        assert_eq!(refused(&[(path, json)]), *said, "{path} = {json}");
    }
}

#[test]
fn the_default_document_of_runc_is_a_container() {
    let found = accepted(&[]);
    assert_eq!(found.oci_version, "1.0.2-dev");
    assert_eq!(found.root.path, Path::new("/usr").canonicalize().unwrap());
    assert!(found.root.readonly);
    assert!(found.root.propagation.is_none());
    assert_eq!(found.hostname.as_deref(), Some(c"runc"));
    assert_eq!(found.domainname, None);
    assert_eq!(found.masked_paths.len(), 10);
    assert_eq!(found.readonly_paths.len(), 5);
    assert_eq!(found.namespaces.pid, Namespace::New);
    assert_eq!(found.namespaces.user, Namespace::Share);
    assert_eq!(found.group_path, super::limits::GroupPath::Default);
    assert!(found.seccomp.is_none());
    assert!(found.sysctls.is_empty() && found.devices.is_empty());
}

#[test]
fn the_rootless_document_of_runc_is_a_container() {
    let json = include_str!("../../tests/documents/runc-rootless.json");
    let found = load_text(json).unwrap();
    assert_eq!(found.namespaces.user, Namespace::New);
    assert_eq!(found.namespaces.network, Namespace::Share);
    assert_eq!(found.id_maps.uids.len(), 1);
    let sys = &found.mounts[5];
    assert_eq!(sys.target.to_string(), "/sys");
    assert!(matches!(
        &sys.what,
        super::mounts::What::Bind {
            recursive: true,
            ..
        }
    ));
}

#[test]
fn a_document_is_a_json_object() {
    for (text, said) in [
        ("", "line 1 column 0: EOF while parsing a value"),
        ("null", "config cannot be null"),
        (" null\n", "config cannot be null"),
        (
            "[]",
            "line 1 column 0: invalid type: sequence, expected an object",
        ),
        (
            r#"["1.0.2", {"path": "usr"}]"#,
            "line 1 column 0: invalid type: sequence, expected an object",
        ),
        (
            "7",
            "line 1 column 1: invalid type: integer `7`, expected an object",
        ),
        ("{]", "line 1 column 2: key must be a string"),
        ("{} {}", "line 1 column 4: trailing characters"),
        (
            "{\"hostname\": 1e999}",
            "hostname: line 1 column 18: number out of range",
        ),
        (
            "{\"hostname\": \"\\ud800\"}",
            "hostname: line 1 column 21: unexpected end of hex escape",
        ),
    ] {
        let fault = load_text(text).unwrap_err();
        assert_eq!(fault.to_string(), format!("config.json: {said}"), "{text}");
    }
    let twice = load_text(r#"{"hostname": "a", "hostname": "b"}"#).unwrap_err();
    assert!(twice.to_string().ends_with("duplicate field `hostname`"));
    let deep = format!("{{\"x\": {}", "[".repeat(100_000));
    load_text(&deep).unwrap_err();
    let said = refused(&[(
        "process.args",
        &format!("[{}", "[".repeat(100) + &"]".repeat(101)),
    )]);
    assert!(said.starts_with("process.args: "), "{said}");
}

#[test]
fn a_value_of_another_type_is_named_with_its_place() {
    let text = "{\"ociVersion\": \"1.0.2\",\n \"process\": {\"user\": {\"uid\": \"root\"}}}";
    let said = "config.json: process.user.uid: line 2 column 35: \
                invalid type: string \"root\", expected u32";
    assert_eq!(load_text(text).unwrap_err().to_string(), said);
    for (path, json, place) in [
        ("process.args.0", "1", "process.args[0]: "),
        ("process.user", "[]", "process.user: "),
        (
            "process.rlimits.0.type",
            "\"RLIMIT_X\"",
            "process.rlimits[0].type: ",
        ),
        ("process.rlimits.0.soft", "", "process.rlimits[0]: "),
        ("process.rlimits.0.soft", "-1", "process.rlimits[0].soft: "),
        (
            "process.rlimits.0.hard",
            "18446744073709551616",
            "process.rlimits[0].hard: ",
        ),
        ("process.user.uid", "4294967296", "process.user.uid: "),
        ("process.user.uid", "1.5", "process.user.uid: "),
        ("root", "[\"usr\"]", "root: "),
        ("mounts", "{}", "mounts: "),
        ("mounts.2.destination", "", "mounts[2]: "),
        ("mounts.2.options", "\"ro\"", "mounts[2].options: "),
        (
            "linux.namespaces.1.type",
            "\"disk\"",
            "linux.namespaces[1].type: ",
        ),
        ("linux.namespaces.1.type", "", "linux.namespaces[1]: "),
        (
            "linux.resources.memory",
            r#"{"limit": "1g"}"#,
            "linux.resources.memory.limit: ",
        ),
        (
            "linux.personality",
            r#"{"domain": "BSD"}"#,
            "linux.personality.domain: ",
        ),
        ("annotations", r#"{"a": 1}"#, "annotations.a: "),
    ] {
        let said = refused(&[(path, json)]);
        assert!(
            said.starts_with(&format!("{place}line 1 column ")),
            "{path} = {json}: {said}"
        );
    }
}

#[test]
fn a_version_of_another_major_is_refused() {
    for good in [
        "1.0.0",
        "1.3.0",
        "1.0.2-dev",
        "1.0.0-rc5",
        "1.2.1+dev",
        "1.99.7-a.b+c",
    ] {
        accepted(&[("ociVersion", &format!("{good:?}"))]);
    }
    refuses(&[
        ("ociVersion", "", "ociVersion: missing"),
        ("ociVersion", "null", "ociVersion: missing"),
        (
            "ociVersion",
            "\"9.0.0\"",
            "ociVersion: 9.0.0 is not supported: only 1.x.y is",
        ),
        (
            "ociVersion",
            "\"0.5.0-dev\"",
            "ociVersion: 0.5.0-dev is not supported: only 1.x.y is",
        ),
        (
            "ociVersion",
            "\"10.0.0\"",
            "ociVersion: 10.0.0 is not supported: only 1.x.y is",
        ),
    ]);
    for bad in [
        "", "1", "1.0", "1.0.0.0", "v1.0.0", "1..0", "1.0.x", "01.0.0", "1.0.0-", "1.0.0 ",
    ] {
        let said = refused(&[("ociVersion", &format!("{bad:?}"))]);
        assert_eq!(
            said,
            format!("ociVersion: {bad:?} is no version like 1.0.2")
        );
    }
}

#[test]
fn the_root_is_a_directory_that_exists() {
    refuses(&[
        ("root", "", "root: missing: a container on Linux needs one"),
        ("root.path", "", "root.path: missing or empty"),
        ("root.path", "\"\"", "root.path: missing or empty"),
        (
            "root.path",
            "\"no/such\"",
            "root.path: /no/such: No such file or directory (os error 2)",
        ),
        (
            "root.path",
            "\"/proc/self/status\"",
            "root.path: /proc/self/status is not a directory",
        ),
    ]);
    let said = refused(&[("root.path", r#""a\u0000b""#)]);
    assert!(said.starts_with("root.path: /a\0b: "), "{said}");
    assert_eq!(
        accepted(&[("root.path", "\"/usr/../usr\"")]).root.path,
        Path::new("/usr")
    );
    assert!(!accepted(&[("root.readonly", "")]).root.readonly);
}

#[test]
fn a_part_that_is_to_come_is_refused_by_its_path() {
    for (path, json) in [
        ("vm", r#"{"hypervisor": {"path": "/x"}}"#),
        ("windows", r#"{"layerFolders": []}"#),
    ] {
        let said = refused(&[(path, json)]);
        assert_eq!(said, format!("{path}: not supported yet"), "{json}");
    }
}

#[test]
fn an_empty_part_that_is_to_come_is_unset() {
    for (path, json) in [
        ("process.terminal", "null"),
        ("process.consoleSize", r#"{"height": 25, "width": 80}"#),
        ("process.apparmorProfile", "\"\""),
        ("process.selinuxLabel", "\"\""),
        ("process.execCPUAffinity", "{}"),
        ("process.execCPUAffinity", r#"{"initial": ""}"#),
        ("linux.mountLabel", "\"\""),
        ("linux.netDevices", "{}"),
        ("linux.seccomp", "{}"),
        ("linux.seccomp", r#"{"syscalls": []}"#),
        ("linux.resources.blockIO", "{}"),
        (
            "linux.resources.blockIO",
            r#"{"weight": 0, "weightDevice": []}"#,
        ),
        ("linux.resources.hugepageLimits", "[]"),
        (
            "linux.resources.network",
            r#"{"classID": 0, "priorities": []}"#,
        ),
        ("linux.resources.rdma", "{}"),
        ("linux.resources.unified", "{}"),
        ("mounts.1.uidMappings", "[]"),
        ("vm", "{}"),
        ("hooks", "{}"),
        ("hooks", "null"),
        ("mounts", "null"),
        ("linux.resources", "null"),
        ("linux.sysctl", "{}"),
        ("linux.rootfsPropagation", "\"\""),
        ("linux.timeOffsets", "{}"),
        ("linux.cgroupsPath", "\"\""),
        ("hostname", "\"\""),
        ("process.capabilities", "null"),
        ("process.rlimits", "[]"),
    ] {
        accepted(&[(path, json)]);
    }
}

#[test]
fn an_unknown_field_is_no_error() {
    for path in [
        "x",
        "process.x",
        "linux.x",
        "linux.resources.x",
        "mounts.0.x",
        "root.x",
    ] {
        accepted(&[(path, r#"{"a": [1, {"b": null}]}"#)]);
    }
}

#[test]
fn the_examples_of_the_schema_get_what_they_deserve() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents");
    let said = |name: &str| {
        let json = fs::read_to_string(dir.join(name)).unwrap();
        let json = json.replace("\"path\": \"rootfs\"", "\"path\": \"usr\"");
        load_text(&json).unwrap_err().to_string()
    };
    let no_mounts = "linux.namespaces: a container without a mount namespace is not supported";
    for (name, text) in [
        ("good/minimal.json", no_mounts),
        ("good/minimal-for-start.json", no_mounts),
        (
            "good/spec-example.json",
            "ociVersion: 0.5.0-dev is not supported: only 1.x.y is",
        ),
        ("good/linux-netdevice.json", no_mounts),
        ("good/linux-rdma.json", no_mounts),
        ("good/freebsd-minimal.json", no_mounts),
        ("good/zos-minimal.json", no_mounts),
        (
            "bad/invalid-json.json",
            "line 1 column 2: key must be a string",
        ),
        (
            "bad/freebsd-vnet-disable.json",
            "freebsd: not supported yet",
        ),
        ("bad/linux-hugepage.json", no_mounts),
    ] {
        assert_eq!(said(name), format!("config.json: {text}"), "{name}");
    }
    assert!(said("bad/linux-netdevice.json").contains("linux.netDevices.eth0.name: line "));
    assert!(said("bad/linux-rdma.json").contains("linux.resources.rdma.mlx5_1.hcaHandles: line "));
}

#[test]
fn annotations_have_keys() {
    refuses(&[("annotations", r#"{"": "x"}"#, "annotations: a key is empty")]);
    let found = accepted(&[("annotations", r#"{"a": "", "b": "2"}"#)]).annotations;
    assert_eq!(found["b"], "2");
    assert_eq!(found["a"], "");
}

#[test]
fn a_seccomp_profile_is_read_and_its_faults_are_placed() {
    let profile = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "flags": [],
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let found = accepted(&[("linux.seccomp", profile)]).seccomp.unwrap();
    assert_eq!(found.rules.len(), 1);
    refuses(&[
        (
            "linux.seccomp",
            r#"{"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#,
            "linux.seccomp.defaultAction: missing",
        ),
        (
            "linux.seccomp",
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}]}"#,
            "linux.seccomp.syscalls[0].names: a rule names at least one system call",
        ),
    ]);
}
