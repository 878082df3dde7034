//! Users and groups of a user's container.

use super::harness::{Bundle, Outcome, needs};
use super::{as_member, as_user, bundle, call};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// The user's own id, and some that he was given.
fn map() -> Value {
    json!([
        { "containerID": 0, "hostID": 65534, "size": 1 },
        { "containerID": 1, "hostID": 300_000, "size": 1000 },
    ])
}

/// [`call`] where /etc/subuid and /etc/subgid say this.
fn call_with(bundle: &Bundle, given: &str, args: &[&str]) -> Outcome {
    finish_with(bundle, given, as_user(bundle, bundle.command(args)))
}

fn finish_with(bundle: &Bundle, given: &str, called: Command) -> Outcome {
    let file = bundle.dir.join("given");
    fs::write(&file, given).unwrap();
    let script = "
        set -e
        for at in /etc/subuid /etc/subgid; do mount --bind \"$1\" $at; done
        shift
        exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(file)
        .arg(called.get_program())
        .args(called.get_args())
        .current_dir(&bundle.dir);
    bundle.finish(command)
}

fn mapped(act: &[&str]) -> Bundle {
    let mut bundle = bundle(act);
    bundle
        .set("/linux/uidMappings", map())
        .set("/linux/gidMappings", map());
    bundle
}

const GIVEN: &str = "nobody:300000:65536\n";

#[test]
fn the_ids_that_a_user_was_given_are_mapped() {
    needs!(root, probe, uidmap);
    let mut bundle = mapped(&["report", "+", "write", "/home/file", "x"]);
    // A folder that anyone may write to.
    let home = bundle.rootfs().join("home");
    fs::create_dir_all(&home).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&home, open).unwrap();
    bundle.set("/root/readonly", json!(false)).set(
        "/process/user",
        json!({ "uid": 7, "gid": 8, "additionalGids": [9] }),
    );
    let outcome = call_with(&bundle, GIVEN, &["run", &bundle.id]).succeeded();
    let report = &outcome.answers()[0]["ok"];
    assert_eq!(report["uid"], 7, "{report}");
    assert_eq!(report["gid"], 8, "{report}");
    assert_eq!(report["groups"], json!([9]), "{report}");
    let made = fs::metadata(home.join("file")).unwrap();
    assert_eq!((made.uid(), made.gid()), (300_006, 300_007));
}

/// Where only the own group is mapped, `setgroups` has to be given up, and they stay.
#[test]
fn groups_of_the_caller_get_in_only_with_his_own_group() {
    needs!(root, probe, uidmap);
    for (group, groups) in [(300_000, json!([])), (65534, json!([65534, 65534]))] {
        let mut bundle = bundle(&["sleep", "60"]);
        let map = json!([{ "containerID": 0, "hostID": group, "size": 1 }]);
        bundle.set("/linux/gidMappings", map);
        let member = |args: &[&str]| {
            let called = as_member("--groups=7,8", &bundle, bundle.command(args));
            finish_with(&bundle, GIVEN, called).succeeded()
        };
        member(&["run", "-d", &bundle.id]);
        let report = member(&["exec", &bundle.id, "/probe"]).answer();
        let first = bundle.state()["pid"].to_string();
        let status = fs::read_to_string(format!("/proc/{first}/status")).unwrap();
        let first = status.lines().find_map(|line| line.strip_prefix("Groups:"));
        let expected = if groups == json!([]) { "" } else { "7 8" };
        assert_eq!(first.unwrap().trim(), expected, "{group}");
        assert_eq!(report["groups"], groups, "{group}");
    }
}

#[test]
fn a_user_joins_the_user_namespace_of_another_container_of_his() {
    needs!(root, probe);
    let other = bundle(&["sleep", "60"]);
    call(&other, &["run", "-d", &other.id]).succeeded();
    let pid = &other.state()["pid"];
    for joined in [&["user"][..], &["user", "pid"]] {
        let mut bundle = bundle(&[]);
        bundle
            .remove("/linux/uidMappings")
            .remove("/linux/gidMappings");
        for namespace in bundle.config["linux"]["namespaces"].as_array_mut().unwrap() {
            let kind = namespace["type"].as_str().unwrap().to_owned();
            if joined.contains(&kind.as_str()) {
                namespace["path"] = json!(format!("/proc/{pid}/ns/{kind}"));
            }
        }
        let report = call(&bundle, &["run", &bundle.id]).succeeded().answer();
        assert_eq!(report["uid"], 0, "{joined:?}: {report}");
        for kind in ["user", "pid"] {
            let of_other = fs::metadata(format!("/proc/{pid}/ns/{kind}"))
                .unwrap()
                .ino();
            let found = report["namespaces"][kind].as_u64().unwrap();
            assert_eq!(
                found == of_other,
                joined.contains(&kind),
                "{joined:?}: {kind}"
            );
        }
    }
}

#[test]
fn a_program_joins_a_container_with_ids_that_a_user_was_given() {
    needs!(root, probe, uidmap);
    let bundle = mapped(&["sleep", "60"]);
    call_with(&bundle, GIVEN, &["run", "-d", &bundle.id]).succeeded();
    let exec = ["exec", "--user", "7:8", &bundle.id, "/probe"];
    let report = call(&bundle, &exec).succeeded().answer();
    assert_eq!(report["uid"], 7, "{report}");
    assert_eq!(report["gid"], 8, "{report}");
    assert_eq!(report["groups"], json!([]), "{report}");
}

#[test]
fn ids_that_a_user_was_not_given_are_refused_with_the_file_that_would_say_so() {
    needs!(root, probe, uidmap);
    for given in ["", "nobody:300000:999\n", "other:300000:65536\n"] {
        let bundle = mapped(&["print", "ran"]);
        let outcome = call_with(&bundle, given, &["run", &bundle.id]);
        assert!(!outcome.stdout.contains("ran"), "{outcome:?}");
        outcome
            .failed_with("write linux.uidMappings: newuidmap, which a user needs")
            .failed_with("/etc/subuid says which he has");
    }
}

#[test]
fn a_map_of_the_users_own_ids_needs_no_program() {
    needs!(root, probe);
    let bundle = bundle(&[]);
    let report = call(&bundle, &["run", &bundle.id]).succeeded().answer();
    assert_eq!((&report["uid"], &report["gid"]), (&json!(0), &json!(0)));
}

/// The setting is for who has no privileges. That of this test's is refused since its root is not that
/// of its mounts (clone(2)).
#[test]
fn a_setting_for_users_is_not_named_to_root() {
    needs!(root, probe);
    let bundle = bundle(&["print", "ran"]);
    let run = bundle.command(&["run", &bundle.id]);
    let script = "
        set -e
        mount -t tmpfs tmpfs /proc/sys/kernel
        echo 0 >/proc/sys/kernel/unprivileged_userns_clone
        mount --rbind / /mnt
        exec chroot /mnt env --chdir=\"$PWD\" \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(run.get_program())
        .args(run.get_args())
        .current_dir(&bundle.dir);
    let outcome = bundle.finish(command);
    assert!(
        !outcome.stderr.contains("unprivileged_userns_clone"),
        "{outcome:?}"
    );
    outcome.failed_with("clone a process with new namespaces");
}

#[test]
fn a_host_that_lets_nobody_make_user_namespaces_is_told_by_its_setting() {
    needs!(root, probe);
    let bundle = bundle(&["print", "ran"]);
    let run = bundle.command(&["run", &bundle.id]);
    // The limit is that of a user namespace around it.
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount"])
        .args(["sh", "-c", script, "sh"])
        .arg(run.get_program())
        .args(run.get_args());
    bundle
        .finish(as_user(&bundle, command))
        .failed_with("the limit in /proc/sys/user is reached");
}
