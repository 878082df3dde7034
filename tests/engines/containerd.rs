//! containerd with its own shim for runc, asked by `ctr`.

use crate::harness::{needs, scratch};
use crate::transcript::{Engine, prove, runtimes};
use crate::{PATH, image, lay_ground, start_daemon};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// A containerd that serves `ctr` and, in another namespace of its own, CRI.
#[derive(Debug)]
pub(crate) struct Containerd {
    pub(crate) socket: String,
    pub(crate) dir: std::path::PathBuf,
}

pub(crate) fn daemon() -> &'static Containerd {
    static DAEMON: OnceLock<Containerd> = OnceLock::new();
    DAEMON.get_or_init(|| {
        lay_ground();
        let dir = scratch("containerd");
        let socket = dir.join("socket").display().to_string();
        fs::write(dir.join("config.toml"), config(&dir)).unwrap();
        let mut daemon = Command::new("/usr/bin/containerd");
        daemon.arg("--config").arg(dir.join("config.toml"));
        let ctr = |args: &[&str]| {
            let mut ctr = Command::new("/usr/bin/ctr");
            let ctr = ctr
                .args(["--address", &socket])
                .args(args)
                .env("PATH", PATH);
            ctr.output().unwrap().status.success()
        };
        start_daemon(&mut daemon, &dir.join("log"), || ctr(&["version"]));
        for namespace in ["default", "k8s.io"] {
            let image = image().to_str().unwrap();
            assert!(ctr(&["--namespace", namespace, "images", "import", image]));
        }
        Containerd { socket, dir }
    })
}

fn config(dir: &Path) -> String {
    let [ours, theirs] = runtimes();
    let (dir, ours, theirs) = (dir.display(), ours.display(), theirs.display());
    format!(
        r#"
version = 2
root = "{dir}/root"
state = "{dir}/state"
[grpc]
address = "{dir}/socket"
[plugins."io.containerd.internal.v1.opt"]
path = "{dir}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/busybox:latest"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{dir}/net"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.bulkhead]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.bulkhead.options]
BinaryName = "{ours}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{theirs}"
"#
    )
}

const PRELUDE: &str = r#"
ctr() { /usr/bin/ctr --address "$SOCKET" "$@"; }
image=docker.io/library/busybox:latest
run() { ctr run --rm --runc-binary "$R" "$@"; }
start() { ctr run --detach --runc-binary "$R" "$@"; }
execute() { ctr tasks exec --exec-id "exec$RANDOM$RANDOM" "$@"; }
inside() { execute "$N" "$@"; }
status() { ctr tasks ls | sed -n "s/^$N  *[0-9]*  *//p"; }
trap '{ ctr tasks delete --force "$N"; ctr containers delete "$N"; } >/dev/null 2>&1' EXIT
"#;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let Containerd { socket, dir } = daemon();
        Engine {
            prelude: format!("SOCKET={socket} STATE={}/state\n{PRELUDE}", dir.display()),
            runtimes: runtimes().map(|path| path.display().to_string()),
        }
    })
}

#[test]
fn containerd_makes_and_ends_tasks() {
    needs!(root, busybox, engines);
    prove(engine, include_str!("transcripts/containerd.txt"));
}

#[test]
fn containerd_saves_and_restores_a_task() {
    needs!(root, busybox, engines, criu);
    prove(
        engine,
        include_str!("transcripts/containerd-checkpoint.txt"),
    );
}
