//! What AppArmor makes of a program, and what is said where it is not there.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::fs;
use std::process::{Command, Stdio};

use harness::{Bundle, OUTSIDE, Outcome, needs};
use serde_json::json;

/// Loads a profile that allows all but writes to /denied, under a name of its own.
struct Profile(String);

impl Profile {
    fn load(name: &str) -> Self {
        let name = format!("bulkhead-{name}-{}", std::process::id());
        let profile = Self(name);
        profile.parse("--replace");
        profile
    }

    fn parse(&self, what: &str) {
        use std::io::Write;
        let text = format!(
            "profile {} flags=(attach_disconnected,mediate_deleted) {{\n file,\n capability,\n \
             signal,\n mount,\n unix,\n network,\n ptrace,\n deny /denied w,\n}}\n",
            self.0
        );
        let mut parser = Command::new("apparmor_parser")
            .args([what, "--skip-cache", "--quiet"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        parser
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        assert!(parser.wait().unwrap().success(), "{text}");
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.parse("--remove");
    }
}

/// Says under which profile it runs, and tries both writes.
const TRY: &str = "cat /proc/self/attr/current; for file in denied allowed; do \
                   if echo x 2>/dev/null >/$file; then echo $file; fi; done";

fn shell(profile: &Profile) -> Bundle {
    let mut bundle = Bundle::busybox(TRY);
    bundle
        .set("/root/readonly", json!(false))
        .set("/process/apparmorProfile", json!(profile.0));
    bundle
}

#[test]
fn a_profile_denies_what_it_denies() {
    needs!(root, busybox, apparmor);
    let profile = Profile::load("denies");
    let mut bundle = shell(&profile);
    for no_new_privileges in [true, false] {
        bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
        let seen = bundle.run().succeeded().stdout;
        assert_eq!(seen, format!("{} (enforce)\nallowed\n", profile.0));
    }
    bundle.set("/process/apparmorProfile", json!(""));
    let seen = bundle.run().succeeded().stdout;
    assert_eq!(seen, "unconfined\ndenied\nallowed\n");
}

#[test]
fn a_profile_holds_for_the_user_of_a_user_namespace_too() {
    needs!(root, busybox, apparmor);
    let profile = Profile::load("namespace");
    let mut bundle = shell(&profile);
    bundle
        .map_users(OUTSIDE, 65536)
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let seen = bundle.run().succeeded().stdout;
    assert_eq!(seen, format!("{} (enforce)\n", profile.0));
}

/// Who joins is made by a process that is in the container by then.
#[test]
fn a_users_container_and_who_joins_it_run_under_its_profile() {
    needs!(root, busybox, apparmor);
    const USER: u32 = 1000;
    let profile = Profile::load("users");
    let mut bundle = shell(&profile);
    let script = "cat /proc/self/attr/current; exec sleep 60";
    bundle.args(&["/bin/sh", "-c", script]);
    // Its devpts is given to a group that the user has not got.
    bundle.map_users(USER, 1).remove("/mounts/2");
    let words = ["run", "-d", &bundle.id];
    let run = bundle.call_as(USER, &words).succeeded();
    harness::eventually("an answer", || !run.stdout_now().is_empty());
    let label = format!("{} (enforce)\n", profile.0);
    assert_eq!(run.stdout_now(), label);
    let words = ["exec", &bundle.id, "/bin/cat", "/proc/self/attr/current"];
    assert_eq!(bundle.call_as(USER, &words).succeeded().stdout, label);
}

#[test]
fn unconfined_is_no_profile_where_there_is_no_apparmor() {
    needs!(root, probe, no_apparmor);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/process/apparmorProfile", json!("unconfined"));
    bundle.run().succeeded();
}

fn exec(bundle: &Bundle, flags: &[&str]) -> Outcome {
    let id = bundle.id.as_str();
    bundle.call(&[&["exec"], flags, &[id, "/bin/sh", "-c", TRY]].concat())
}

#[test]
fn a_process_that_joins_runs_under_the_profile_of_its_own() {
    needs!(root, busybox, apparmor);
    let (first, other) = (Profile::load("first"), Profile::load("other"));
    let mut bundle = shell(&first);
    bundle.args(&["/bin/sleep", "60"]);
    bundle.create().succeeded();
    bundle.start().succeeded();
    for (flags, profile) in [(&[][..], &first), (&["--apparmor", &other.0], &other)] {
        let seen = exec(&bundle, flags).succeeded().stdout;
        assert_eq!(seen, format!("{} (enforce)\nallowed\n", profile.0));
    }
    let seen = exec(&bundle, &["--apparmor", "unconfined"]).succeeded();
    assert_eq!(seen.stdout, "unconfined\ndenied\nallowed\n");
    let missing =
        "have the program run under the AppArmor profile missing: no such profile is loaded";
    exec(&bundle, &["--apparmor", "missing"]).failed_with(missing);
}

#[test]
fn a_profile_that_is_not_loaded_is_an_error_of_create() {
    needs!(root, probe, apparmor);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/process/apparmorProfile", json!("missing"));
    bundle.create().failed_with(
        "process.apparmorProfile: have the program run under the AppArmor profile missing: no \
         such profile is loaded",
    );
}

/// What is mounted over /proc may be a directory of the image, where a write does nothing
/// (CVE-2019-16884).
#[test]
fn a_profile_is_not_written_into_a_proc_of_the_image() {
    needs!(root, busybox, apparmor);
    let profile = Profile::load("faked");
    let mut bundle = shell(&profile);
    bundle.set("/mounts", json!([]));
    let attr = bundle.rootfs().join("proc/thread-self/attr/apparmor");
    fs::create_dir_all(&attr).unwrap();
    fs::write(attr.join("exec"), "").unwrap();
    bundle.args(&["/bin/sh", "-c", "echo x >/denied"]);
    let outcome = bundle.run();
    assert_ne!(outcome.code, 0, "{outcome:?}");
    assert_eq!(fs::read_to_string(attr.join("exec")).unwrap(), "");
}

/// The image's own programs.
#[test]
fn hooks_in_the_container_run_under_its_profile() {
    needs!(root, busybox, apparmor);
    let profile = Profile::load("hooks");
    let mut bundle = shell(&profile);
    let script = "cat /proc/self/attr/current >/hooked";
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] });
    bundle.set("/hooks/startContainer/-", hook);
    bundle.run().succeeded();
    let seen = fs::read_to_string(bundle.rootfs().join("hooked")).unwrap();
    assert_eq!(seen, format!("{} (enforce)\n", profile.0));
}

#[test]
fn a_profile_is_an_error_where_there_is_no_apparmor() {
    needs!(root, probe, no_apparmor);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/process/apparmorProfile", json!("docker-default"));
    let said = "config.json: process.apparmorProfile: apparmor is not enabled on this host";
    bundle.create().failed_with(said);
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    let words = ["exec", "--apparmor", "any", &bundle.id, "/probe"];
    bundle.call(&words).failed_with(said);
}
