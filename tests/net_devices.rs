//! Interfaces of the host move into the container, with what they have.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::process::{Child, Command};

use harness::{Bundle, OUTSIDE, needs};
use serde_json::json;

fn ip(words: &str) {
    let done = Command::new("ip").args(words.split(' ')).status().unwrap();
    assert!(done.success(), "ip {words}");
}

/// An interface of the network namespace that all tests share; its name and that of its other end.
struct Pair(String, String);

impl Pair {
    fn new(name: &str) -> Self {
        let pair = Self(format!("{name}0"), format!("{name}1"));
        ip(&format!(
            "link add {} type veth peer name {}",
            pair.0, pair.1
        ));
        pair
    }

    fn is_here(&self) -> bool {
        // /sys shows the namespace of who has mounted it.
        let shown = Command::new("ip").args(["link", "show", &self.0]).output();
        shown.unwrap().status.success()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // The other end of one whose namespace has ended may be gone by now.
        let _ = Command::new("ip").args(["link", "del", &self.1]).output();
    }
}

#[test]
fn a_device_moves_with_its_addresses_under_a_new_name() {
    needs!(root, busybox);
    let pair = Pair::new("moves");
    let name = &pair.0;
    ip(&format!(
        "link set {name} address 02:00:00:00:12:34 mtu 1434"
    ));
    ip(&format!(
        "addr add 10.77.0.2/24 broadcast 10.77.0.255 dev {name}"
    ));
    ip(&format!(
        "addr add 10.77.0.9/24 dev {name} valid_lft 1000 preferred_lft 1000"
    ));
    ip(&format!("addr add 10.78.0.2/24 dev {name} scope link"));
    ip(&format!("-6 addr add fd77::2/64 dev {name} nodad"));
    let mut bundle = Bundle::busybox("ip addr show dev inside; ip link");
    bundle.set("/linux/netDevices", json!({ name: { "name": "inside" } }));
    let seen = bundle.run().succeeded().stdout;
    for there in [
        "mtu 1434",
        "02:00:00:00:12:34",
        "inet 10.77.0.2/24 brd 10.77.0.255 scope global inside",
        "inet6 fd77::2/64 scope global",
        ",UP",
    ] {
        assert!(seen.contains(there), "{there}: {seen}");
    }
    for not_there in ["10.77.0.9", "10.78.0.2", name] {
        assert!(!seen.contains(not_there), "{not_there}: {seen}");
    }
    assert!(!pair.is_here());
}

#[test]
fn a_device_moves_into_a_user_namespace_and_keeps_its_name() {
    needs!(root, busybox);
    let pair = Pair::new("users");
    ip(&format!("addr add 10.79.0.2/24 dev {}", pair.0));
    let mut bundle = Bundle::busybox(&format!("ip addr show dev {}", pair.0));
    bundle
        .map_users(OUTSIDE, 65536)
        .set("/linux/netDevices", json!({ &pair.0: {} }));
    let seen = bundle.run().succeeded().stdout;
    assert!(seen.contains("inet 10.79.0.2/24"), "{seen}");
}

/// A network namespace that somebody else is in; ended when dropped.
struct Namespace(Child);

impl Namespace {
    fn new() -> Self {
        let sleep = ["--net", "sleep", "60"];
        let own = Self(Command::new("unshare").args(sleep).spawn().unwrap());
        harness::eventually("a namespace of its own", || {
            std::fs::read_link(own.path()).unwrap()
                != std::fs::read_link("/proc/self/ns/net").unwrap()
        });
        own
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    fn is_joined_by(&self, bundle: &mut Bundle) {
        let network = json!({ "type": "network", "path": self.path() });
        let list = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|namespace| namespace["type"] != "network");
        list.push(network);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_device_moves_into_a_namespace_that_exists() {
    needs!(root, busybox);
    let pair = Pair::new("joins");
    let other = Namespace::new();
    let mut bundle = Bundle::busybox("ip link");
    other.is_joined_by(&mut bundle);
    bundle.set("/linux/netDevices", json!({ &pair.0: {} }));
    let seen = bundle.run().succeeded().stdout;
    assert!(seen.contains(&pair.0), "{seen}");
    assert!(!pair.is_here());
}

#[test]
fn a_device_that_cannot_move_is_an_error_and_stays() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/linux/netDevices", json!({ "missing": {} }));
    let said = "linux.netDevices: move missing into the container: no such device";
    bundle.run().failed_with(said);
    let pair = Pair::new("stays");
    let taken = json!({ &pair.0: { "name": "lo" } });
    bundle.set("/linux/netDevices", taken);
    let said = format!(
        "linux.netDevices: move {} into the container: file exists",
        pair.0
    );
    bundle.run().failed_with(&said);
    let half = json!({ &pair.0: {}, "zzz": {} });
    bundle.set("/linux/netDevices", half);
    let said = "linux.netDevices: move zzz into the container: no such device";
    bundle.run().failed_with(said);
    assert!(pair.is_here());
}

/// What `ip` shows of an interface of this namespace.
fn shown(name: &str) -> String {
    let shown = Command::new("ip").args(["addr", "show", name]).output();
    String::from_utf8(shown.unwrap().stdout).unwrap()
}

#[test]
fn a_device_comes_back_with_its_addresses_when_there_is_no_container() {
    needs!(root, busybox);
    let pair = Pair::new("back");
    let name = &pair.0;
    ip(&format!("addr add 10.80.0.2/24 dev {name}"));
    let other = Namespace::new();
    let devices = json!({ name: { "name": "inside" } });
    let of_its_own = Bundle::busybox("true");
    let mut joining = Bundle::busybox("true");
    other.is_joined_by(&mut joining);
    for (mut bundle, link) in [(of_its_own, "up"), (joining, "down")] {
        ip(&format!("link set {name} {link}"));
        bundle
            .set("/linux/netDevices", devices.clone())
            .set("/process/args", json!(["/missing"]));
        bundle.run().failed_with("/missing");
        let seen = shown(name);
        assert!(seen.contains("inet 10.80.0.2/24 scope global"), "{seen}");
        assert_eq!(seen.contains(",UP"), link == "up", "{seen}");
    }
}

#[test]
fn what_has_moved_comes_back_when_another_cannot_move() {
    needs!(root, busybox);
    let pair = Pair::new("another");
    let mut bundle = Bundle::busybox("true");
    // It is of its namespace, and found to be so when it is told to move.
    bundle.set(
        "/linux/netDevices",
        json!({ &pair.0: {}, "lo": { "name": "other" } }),
    );
    let said = "linux.netDevices: move lo into the container: invalid argument";
    bundle.run().failed_with(said);
    assert!(pair.is_here());
}

#[test]
fn hooks_find_the_device_in_the_container() {
    needs!(root, busybox);
    let pair = Pair::new("hooks");
    let mut bundle = Bundle::busybox("true");
    let script = "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); nsenter -t $pid -n ip link >seen";
    let env = ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"];
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": env });
    bundle
        .set("/hooks/createRuntime/-", hook)
        .set("/linux/netDevices", json!({ &pair.0: {} }));
    bundle.run().succeeded();
    let seen = std::fs::read_to_string(bundle.dir.join("seen")).unwrap();
    assert!(seen.contains(&pair.0), "{seen}");
}
