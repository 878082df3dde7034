//! Podman with conmon, as root and as a user.

use crate::harness::{needs, scratch};
use crate::transcript::{Engine, prove, runtimes};
use crate::{PATH, image, lay_ground};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// A user of the jail's, with ids of his own to give to containers.
const USER: u32 = 4242;

const PRELUDE: &str = r#"
image=docker.io/library/busybox:latest
run() { podman run --rm --name "$N" "$@"; }
start() { podman run --detach --name "$N" "$@" >"$D/id"; }
inside() { podman exec "$N" "$@"; }
state() { podman inspect --format "{{.State.$1}}" "$N"; }
trap '{ podman pod rm --force --time 0 "$N-pod"; podman rm --force --time 0 "$N"; } >/dev/null 2>&1' EXIT
"#;

/// What Podman has to be told where nothing is installed, and its pods' first container.
fn configure(dir: &Path) {
    let [ours, theirs] = runtimes();
    let config = format!(
        r#"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
image_copy_tmp_dir = "{dir}"
infra_image = "docker.io/library/busybox:latest"
runtime_supports_json = ["runc", "bulkhead"]
[engine.runtimes]
bulkhead = ["{ours}"]
runc = ["{theirs}"]
[network]
cni_plugin_dirs = ["/usr/lib/cni"]
network_config_dir = "{dir}/net"
"#,
        dir = dir.display(),
        ours = ours.display(),
        theirs = theirs.display(),
    );
    fs::write(dir.join("containers.conf"), config).unwrap();
}

/// `command` is what calls Podman, with the variables it needs.
fn engine(dir: &Path, command: &str) -> Engine {
    configure(dir);
    let command = format!(
        "TMPDIR={dir} CONTAINERS_CONF={dir}/containers.conf {command} /usr/bin/podman --root {dir}/root \
         --runroot {dir}/run --tmpdir {dir}/tmp",
        dir = dir.display(),
    );
    let load = format!("{command} load --quiet --input {}", image().display());
    let output = Command::new("bash")
        .args(["-c", &load])
        .env("PATH", PATH)
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    Engine {
        prelude: format!("podman() {{ {command} --runtime \"$R\" \"$@\"; }}\n{PRELUDE}"),
        runtimes: ["bulkhead", "runc"].map(String::from),
    }
}

fn by_root() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        lay_ground();
        engine(&scratch("podman"), "env")
    })
}

fn by_user() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        lay_ground();
        let dir = scratch("podman-user");
        let run = |script: &str| {
            let shell = Command::new("sh").args(["-c", script]).current_dir(&dir).status();
            assert!(shell.unwrap().success(), "{script}");
        };
        run(&format!(
            "echo 'walt:x:{USER}:{USER}::{dir}:/bin/sh' >>/etc/passwd
            echo 'walt:x:{USER}:' >>/etc/group
            echo 'walt:100000:65536' | tee /etc/subuid >/etc/subgid
            chown {USER}:{USER} {dir}",
            dir = dir.display()
        ));
        let command = format!(
            "env HOME={dir} XDG_RUNTIME_DIR={dir} setpriv --reuid={USER} --regid={USER} --clear-groups --inh-caps=-all",
            dir = dir.display()
        );
        engine(&dir, &command)
    })
}

#[test]
fn podman_makes_and_ends_containers() {
    needs!(root, busybox, engines);
    prove(by_root, include_str!("transcripts/podman.txt"));
}

/// Of cgroups v2, Podman 4.3 without systemd makes the pod's with a program that denies all devices, to
/// runc's containers as well as to ours.
#[test]
fn podman_makes_pods() {
    needs!(root, busybox, engines, cgroup1);
    prove(by_root, include_str!("transcripts/podman-pods.txt"));
}

#[test]
fn podman_of_a_user_makes_and_ends_containers() {
    needs!(root, busybox, engines);
    prove(by_user, include_str!("transcripts/podman-user.txt"));
}
