//! Root of a user namespace that a user has made, as engines of users run us.

use super::harness::{Bundle, Outcome, needs, program};
use super::{as_user, bundle, call};
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// The script, with the runtime as `$1` and the container's id as `$2`.
fn run(bundle: &Bundle, script: &str) -> Outcome {
    bundle.write_config();
    let mut command = Command::new("unshare");
    command
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-ec",
            script,
            "sh",
        ])
        .arg(program())
        .arg(&bundle.id);
    bundle.finish(as_user(bundle, command))
}

/// A container without a user namespace of its own.
fn plain(act: &[&str]) -> Bundle {
    let mut bundle = bundle(act);
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
    bundle
        .set("/linux/namespaces", json!(namespaces))
        .remove("/linux/uidMappings")
        .remove("/linux/gidMappings");
    bundle
}

#[test]
fn root_of_a_users_namespace_runs_containers_without_one() {
    needs!(root, probe);
    let mut bundle = plain(&["sleep", "60"]);
    // Not more writable than the one around it, or the kernel refuses.
    let options = ["nosuid", "noexec", "nodev", "ro"];
    let sysfs = json!({ "destination": "/sys", "type": "sysfs", "options": options });
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["destination"] == "/sys" {
            *mount = sysfs.clone();
        }
    }
    bundle.set(
        "/linux/devices",
        json!([{ "path": "/dev/fifo", "type": "p" }]),
    );
    let script = "\"$1\" --root state run -d \"$2\" >out; \"$1\" --root state exec \"$2\" /probe";
    let report = run(&bundle, script).succeeded().answer();
    assert_eq!(report["uid"], 0, "{report}");
    for (name, minor) in [("/dev/null", 3), ("/dev/urandom", 9)] {
        assert_eq!(report["dev"][name]["minor"], minor, "{}", report["dev"]);
    }
    assert!(report["pid"].as_u64().unwrap() > 1, "{report}");
    call(&bundle, &["delete", "--force", &bundle.id]).succeeded();

    // Only what the host has can be shown.
    let own = json!({ "path": "/dev/own", "type": "c", "major": 1, "minor": 3 });
    bundle.set("/linux/devices", json!([own]));
    run(&bundle, script)
        .failed_with("bind only /dev/own at /dev/own: open the source: no such file");
}

/// Nobody but the host's root comes back from where it went for the clone.
#[test]
fn root_of_a_users_namespace_joins_namespaces_and_shifts_clocks() {
    needs!(root, probe);
    let mut bundle = plain(&["sleep", "60"]);
    bundle.set("/linux/namespaces/-", json!({ "type": "time" }));
    bundle.set("/linux/timeOffsets", json!({ "monotonic": { "secs": 7 } }));
    for own_users in [false, true] {
        let mut other = bundle.config.clone();
        let path = |name: &str| format!("/proc/PID/ns/{name}");
        let mut namespaces = json!([
            { "type": "mount" }, { "type": "uts" },
            { "type": "pid", "path": path("pid") },
            { "type": "network", "path": path("net") },
            { "type": "time", "path": path("time") },
        ]);
        if own_users {
            let map = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
            other["linux"]["uidMappings"] = map.clone();
            other["linux"]["gidMappings"] = map;
            namespaces
                .as_array_mut()
                .unwrap()
                .push(json!({ "type": "user" }));
        }
        other["linux"]["namespaces"] = namespaces;
        other["linux"]
            .as_object_mut()
            .unwrap()
            .remove("timeOffsets");
        other["process"]["args"] = json!(["/probe"]);
        for mount in other["mounts"].as_array_mut().unwrap() {
            if mount["destination"] == "/proc" {
                *mount = json!({ "destination": "/proc", "source": "/proc", "options": ["rbind"] });
            }
        }
        other["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| mount["type"] != "mqueue");
        fs::write(bundle.dir.join("other.json"), other.to_string()).unwrap();
        let script = "
            \"$1\" --root state run -d --pid-file pid \"$2\" >out
            sed \"s/PID/$(cat pid)/g\" other.json >joined.json
            \"$1\" --root state run --config joined.json \"$2-too\"";
        let report = run(&bundle, script).succeeded().answer();
        let pid = bundle.state()["pid"].to_string();
        for name in ["pid", "net", "time", "user"] {
            let of_first = fs::metadata(format!("/proc/{pid}/ns/{name}"))
                .unwrap()
                .ino();
            let found = report["namespaces"][name].as_u64().unwrap();
            let joined = name != "user" || !own_users;
            assert_eq!(found == of_first, joined, "{own_users}: {name}");
        }
        assert_eq!(report["timens_offsets"]["monotonic"], json!([7, 0]));
        call(&bundle, &["delete", "--force", &bundle.id]).succeeded();
    }
}
