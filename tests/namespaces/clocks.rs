//! Clocks that are not the host's.

use super::harness::{Bundle, needs};
use serde_json::{Value, json};
use std::fs;

/// What a container tells of its clocks.
const ACT: [&str; 4] = ["report", "+", "read", "/proc/uptime"];

fn shifted(bundle: &mut Bundle, offsets: Value) {
    bundle
        .set("/linux/namespaces/-", json!({ "type": "time" }))
        .set("/linux/timeOffsets", offsets);
}

fn back() -> Value {
    json!({
        "monotonic": { "secs": -4, "nanosecs": 500_000_000 },
        "boottime": { "secs": -3, "nanosecs": 1 },
    })
}

/// That these are the answers to [`ACT`] where the clocks are as [`back`] says.
#[track_caller]
fn are_back(answers: &[Value], outside: f64) {
    let offsets = &answers[0]["ok"]["timens_offsets"];
    assert_eq!(offsets["monotonic"], json!([-4, 500_000_000]));
    assert_eq!(offsets["boottime"], json!([-3, 1]));
    let inside = uptime(answers[1]["ok"].as_str().unwrap());
    // Two digits are shown, and time goes on between the two looks.
    assert!(inside < uptime_outside() - 2.9, "{inside}, {outside}");
    assert!(inside > outside - 3.1, "{inside}, {outside}");
}

fn uptime(text: &str) -> f64 {
    text.split(' ').next().unwrap().parse().unwrap()
}

fn uptime_outside() -> f64 {
    uptime(&fs::read_to_string("/proc/uptime").unwrap())
}

#[test]
fn the_clocks_of_a_time_namespace_are_shifted() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["report", "+", "read", "/proc/uptime"]);
    bundle.set("/linux/namespaces/-", json!({ "type": "time" }));
    bundle.set(
        "/linux/timeOffsets",
        json!({ "monotonic": { "secs": 172_800, "nanosecs": 5 }, "boottime": { "secs": 864_000 } }),
    );
    let seconds = |text: &str| text.split('.').next().unwrap().parse::<u64>().unwrap();
    let outside = seconds(&fs::read_to_string("/proc/uptime").unwrap());
    let answers = bundle.run().succeeded().answers();
    let offsets = &answers[0]["ok"]["timens_offsets"];
    assert_eq!(offsets["monotonic"], json!([172_800, 5]));
    assert_eq!(offsets["boottime"], json!([864_000, 0]));
    let inside = seconds(answers[1]["ok"].as_str().unwrap());
    assert!(
        (864_000..864_600).contains(&(inside - outside.min(inside))),
        "{inside} {outside}"
    );
}

#[test]
fn an_offset_may_be_negative_and_have_nanoseconds() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&ACT);
    shifted(&mut bundle, back());
    let outside = uptime_outside();
    are_back(&bundle.run().succeeded().answers(), outside);
}

#[test]
fn whoever_joins_a_time_namespace_has_its_clocks() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    shifted(&mut bundle, back());
    bundle.create().succeeded();
    bundle.start().succeeded();
    let outside = uptime_outside();
    let exec = [&["exec", bundle.id.as_str(), "/probe"][..], &ACT].concat();
    are_back(&bundle.call(&exec).succeeded().answers(), outside);

    let mut other = Bundle::probe(&ACT);
    let path = format!("/proc/{}/ns/time", bundle.state()["pid"]);
    other.set(
        "/linux/namespaces/-",
        json!({ "type": "time", "path": path }),
    );
    are_back(&other.run().succeeded().answers(), outside);
}

#[test]
fn a_user_has_clocks_of_his_own() {
    needs!(root, probe);
    const USER: u32 = 1000;
    let mut bundle = Bundle::probe(&["report", "+", "read", "/proc/uptime", "+", "sleep", "60"]);
    bundle.map_users(USER, 1).remove("/mounts/2");
    shifted(&mut bundle, back());
    let outside = uptime_outside();
    let run = bundle.call_as(USER, &["run", "-d", &bundle.id]).succeeded();
    super::harness::eventually("an answer", || run.stdout_now().lines().count() > 1);
    let lines = run.stdout_now();
    let answers: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    are_back(&answers, outside);
    assert_eq!(answers[0]["ok"]["pid"], 1);

    let exec = [&["exec", bundle.id.as_str(), "/probe"][..], &ACT].concat();
    are_back(&bundle.call_as(USER, &exec).succeeded().answers(), outside);
}

#[test]
fn a_clock_before_its_beginning_is_refused() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["print", "ran"]);
    shifted(
        &mut bundle,
        json!({ "boottime": { "secs": -4_000_000_000i64 } }),
    );
    bundle.run().failed_with("write linux.timeOffsets: ");
}
