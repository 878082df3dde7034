//! Engines cannot tell which runtime they call: what they do with runc and with ours is the same.
//!
//! `transcripts/` holds sessions of a shell, each line of which is run with either runtime. The engines
//! are Debian's, unpacked and not installed, with sockets and folders of their own in the jail.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;

mod containerd;
mod cri;
mod docker;
mod podman;
mod transcript;

use harness::{eventually, fixture, scratch};
use serde_json::json;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Once, OnceLock};

/// Where the engines' programs are to be found once [`lay_ground`] is done.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Lays the engines over the machine's /usr and /etc. Only the jail sees it, and every test's program
/// has a jail of its own.
fn lay_ground() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let engines = fixture("engines");
        let engines = engines.display();
        // What is mounted there would be hidden.
        let modules = scratch("modules");
        let has_modules = Command::new("mountpoint").args(["-q", MODULES]).status();
        let has_modules = has_modules.unwrap().success();
        if has_modules {
            bind(Path::new(MODULES), &modules);
        }
        overlay("/usr", &format!("lowerdir={engines}/usr:/usr"));
        if has_modules {
            bind(&modules, Path::new(MODULES));
            let detached = Command::new("umount").arg(&modules).status();
            assert!(detached.unwrap().success());
        }
        let [upper, work] = ["etc-upper", "etc-work"].map(scratch);
        let written = format!("upperdir={},workdir={}", upper.display(), work.display());
        overlay("/etc", &format!("lowerdir={engines}/etc:/etc,{written}"));
    });
}

const MODULES: &str = "/lib/modules";

fn bind(from: &Path, to: &Path) {
    let mut mount = Command::new("mount");
    mount.arg("--bind").args([from, to]);
    assert!(mount.status().unwrap().success(), "{mount:?}");
}

fn overlay(at: &str, options: &str) {
    let mut mount = Command::new("mount");
    mount.args(["-t", "overlay", "-o", options, "overlay", at]);
    assert!(mount.status().unwrap().success(), "{mount:?}");
}

/// The image `busybox`, as an archive that every engine loads; it is its own pause image.
fn image() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let dir = scratch("image");
        let run = |script: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).current_dir(&dir);
            let output = shell.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let root = fixture("busybox");
        run(&format!("tar -C '{}' -cf layer.tar .", root.display()));
        let digest = run("sha256sum layer.tar | cut -d ' ' -f 1");
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Env": [format!("PATH={PATH}")], "Cmd": ["sleep", "1000000"] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest.trim())] },
        });
        let manifest = json!([{
            "Config": "config.json",
            "RepoTags": ["docker.io/library/busybox:latest"],
            "Layers": ["layer.tar"],
        }]);
        for (name, value) in [("config.json", config), ("manifest.json", manifest)] {
            fs::write(dir.join(name), value.to_string()).unwrap();
        }
        run("tar -cf image.tar config.json manifest.json layer.tar");
        dir.join("image.tar")
    })
}

/// Starts a program that serves the tests until their jail ends, and waits for what shows that it does.
fn start_daemon(command: &mut Command, log: &Path, is_ready: impl FnMut() -> bool) {
    let out = File::create(log).unwrap();
    let mut daemon = command
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap();
    let mut is_ready = is_ready;
    eventually(&format!("{command:?}"), || {
        assert_eq!(daemon.try_wait().unwrap(), None, "see {}", log.display());
        is_ready()
    });
}
