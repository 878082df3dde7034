//! Docker, with both runtimes under one daemon.

use crate::harness::{needs, scratch};
use crate::transcript::{Engine, prove, runtimes};
use crate::{PATH, image, lay_ground, start_daemon};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        lay_ground();
        let dir = scratch("docker");
        let at = |name: &str| dir.join(name).display().to_string();
        // It would raise limits above the hard one, which not every root may.
        let config =
            r#"{"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 1024}}}"#;
        fs::write(at("daemon.json"), config).unwrap();
        let [ours, _] = runtimes();
        let socket = format!("unix://{}", at("socket"));
        let client = || {
            let mut client = Command::new("/usr/bin/docker");
            client.args(["-H", &socket]).env("PATH", PATH);
            client.stdout(Stdio::null()).stderr(Stdio::null());
            client
        };
        let mut daemon = Command::new("/usr/sbin/dockerd");
        daemon
            .args(["-H", &socket, "--config-file", &at("daemon.json")])
            .args(["--data-root", &at("data"), "--exec-root", &at("exec")])
            .args(["--pidfile", &at("pid")])
            .arg(format!("--add-runtime=bulkhead={}", ours.display()));
        start_daemon(&mut daemon, &dir.join("log"), || {
            client().arg("info").status().unwrap().success()
        });
        let load = client().arg("load").arg("-i").arg(image()).status();
        assert!(load.unwrap().success());
        Engine {
            prelude: format!(
                "export DOCKER_HOST={socket} DOCKER_EXEC={}\n{PRELUDE}",
                at("exec")
            ),
            runtimes: ["bulkhead", "runc"].map(String::from),
        }
    })
}

const PRELUDE: &str = r#"
docker() { /usr/bin/docker "$@"; }
run() { docker run --rm --name "$N" --runtime "$R" "$@"; }
start() { docker run --detach --name "$N" --runtime "$R" "$@" >"$D/id"; }
inside() { docker exec "$N" "$@"; }
state() { docker inspect --format "{{.State.$1}}" "$N"; }
trap 'docker ps --all --quiet --filter "name=$N" | xargs -r /usr/bin/docker rm --force >/dev/null' EXIT
"#;

#[test]
fn docker_runs_and_ends_programs() {
    needs!(root, busybox, engines);
    prove(engine, include_str!("transcripts/docker-life.txt"));
}

#[test]
fn docker_sets_what_it_is_asked_for() {
    needs!(root, busybox, engines);
    prove(engine, include_str!("transcripts/docker-options.txt"));
}

#[test]
fn docker_gives_every_privilege() {
    needs!(root, busybox, engines, every_capability);
    prove(engine, include_str!("transcripts/docker-privileged.txt"));
}
