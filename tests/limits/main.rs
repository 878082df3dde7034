//! Limits of the container's group, as the kernel's files hold them and as the program feels them.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;

mod devices;
mod engines;
mod felt;
mod v1;
mod v2;

use harness::{Bundle, Outcome};
use serde_json::{Value, json};
use std::fs;

const MEBIBYTE: u64 = 1 << 20;

/// What a file of the container's group holds while it runs.
#[track_caller]
fn group_file(bundle: &Bundle, controller: &str, file: &str) -> String {
    let path = bundle.group(controller).join(file);
    fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .trim()
        .into()
}

fn set_all(bundle: &mut Bundle, resources: &Value) {
    for (field, value) in resources.as_object().unwrap() {
        bundle.set(&format!("/linux/resources/{field}"), value.clone());
    }
}

fn with(resources: &Value) -> Bundle {
    let mut bundle = Bundle::probe(&["sleep", "600"]);
    set_all(&mut bundle, resources);
    bundle
}

fn created_with(resources: &Value) -> Bundle {
    let bundle = with(resources);
    bundle.create().succeeded();
    bundle
}

fn update(bundle: &Bundle, resources: &Value) -> Outcome {
    fs::write(bundle.dir.join("update.json"), resources.to_string()).unwrap();
    bundle.call(&["update", "--resources", "update.json", &bundle.id])
}

/// A block device of this machine that can be read, and its number.
fn disk() -> (u32, u32) {
    let partitions = fs::read_to_string("/proc/partitions").unwrap();
    let whole = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [major, minor, blocks, name] = words[..] else {
            return None;
        };
        let whole = fs::exists(format!("/sys/block/{name}")).unwrap();
        let large = blocks.parse::<u64>().ok()? >= 4 << 10;
        (whole && large).then_some((major.parse().ok()?, minor.parse().ok()?))
    };
    partitions.lines().find_map(whole).expect("a disk of 4 MiB")
}

/// Whether it is under the one scheduler that knows weights.
fn is_weighed() -> bool {
    let (major, minor) = disk();
    let scheduler = format!("/sys/dev/block/{major}:{minor}/queue/scheduler");
    fs::read_to_string(scheduler).is_ok_and(|text| text.contains("[bfq]"))
}

fn weights_of_disk(weight: u32) -> Value {
    let (major, minor) = disk();
    let weight = json!({ "major": major, "minor": minor, "weight": weight });
    json!({ "blockIO": { "weightDevice": [weight] } })
}

/// Lets the program make nodes of devices in its root.
fn allow_nodes(bundle: &mut Bundle) {
    bundle.set("/root/readonly", json!(false));
    for set in ["bounding", "permitted", "effective"] {
        bundle.set(
            &format!("/process/capabilities/{set}/-"),
            json!("CAP_MKNOD"),
        );
    }
}
