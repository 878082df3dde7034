//! containerd's CRI, asked as a kubelet asks it.

use crate::containerd::{Containerd, daemon};
use crate::harness::needs;
use crate::transcript::{Engine, prove};
use std::fs;
use std::sync::OnceLock;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let Containerd { socket, dir } = daemon();
        let dir = dir.display();
        let network = format!(
            r#"{{"cniVersion": "0.4.0", "name": "pods", "plugins": [{{
                "type": "bridge", "bridge": "pods", "isGateway": true,
                "ipam": {{"type": "host-local", "dataDir": "{dir}/addresses", "subnet": "10.77.0.0/16"}}
            }}]}}"#
        );
        fs::create_dir_all(format!("{dir}/net")).unwrap();
        fs::write(format!("{dir}/net/pods.conflist"), network).unwrap();
        let client = include_str!("cri.sh");
        let image = "image=docker.io/library/busybox:latest";
        Engine {
            prelude: format!("SOCKET={socket} STATE={dir}/state {image}\n{client}"),
            runtimes: ["bulkhead", "runc"].map(String::from),
        }
    })
}

#[test]
fn pods_of_several_containers_live_and_end() {
    needs!(root, busybox, engines);
    prove(engine, include_str!("transcripts/cri.txt"));
}
