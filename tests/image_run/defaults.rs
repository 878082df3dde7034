//! What a container has that nobody has said more about.

use crate::harness::needs;
use crate::images::{Entry, Packed};
use crate::machine::{Machine, base};
use serde_json::json;
use std::fs;

#[test]
fn few_capabilities_a_filter_and_no_network() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let status = machine.told(&[], "cat /proc/self/status; ls /sys/class/net");
    // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service,
    // sys_chroot, setfcap
    for line in [
        "CapEff:\t00000000800405fb",
        "CapBnd:\t00000000800405fb",
        "CapAmb:\t0000000000000000",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert!(status.ends_with("\nlo\n"), "{status}");
}

#[test]
fn parts_of_proc_and_sys_are_masked_or_read_only() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let script = "cat /proc/kcore /proc/keys /proc/interrupts | wc -c; ls /sys/firmware | wc -l; \
                  echo x > /proc/sys/kernel/hostname || echo no; mkdir /sys/fs/cgroup/x || echo no";
    assert_eq!(machine.told(&[], script), "0\n0\nno\nno\n");
}

#[test]
fn the_environment_is_the_images_with_a_home_and_a_name() {
    needs!(root, busybox, overlay);
    let machine = Machine::new();
    let id = machine.id();
    let config = json!({ "Cmd": ["/bin/env"], "Env": ["PATH=/bin", "FROM=image"], "User": "web", "WorkingDir": "/made/here" });
    machine.load("own", [base()], config);
    let outcome = machine
        .call(&["image", "run", "--name", id, "own"])
        .succeeded();
    let wanted = format!("PATH=/bin\nHOME=/home/web\nHOSTNAME={id}\nFROM=image\n");
    assert_eq!(outcome.stdout, wanted);
    let told = machine
        .call(&["image", "run", "own", "/bin/sh", "-c", "id; pwd"])
        .succeeded();
    assert_eq!(
        told.stdout,
        "uid=1000(web) gid=1001(web) groups=26(tape),1001(web)\n/made/here\n"
    );
}

#[test]
fn a_container_knows_its_own_name_and_no_other() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let id = machine.id();
    let script = "hostname; cat /etc/hostname; grep -c $(hostname) /etc/hosts; \
                  grep -c host /etc/resolv.conf";
    assert_eq!(
        machine.told(&["--name", id], script),
        format!("{id}\n{id}\n1\n1\n")
    );
}

#[test]
fn two_containers_of_an_image_do_not_see_each_other_and_leave_the_layers_alone() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let id = machine.id();
    let trees = || {
        let mut listed = String::new();
        for tree in machine.layer_trees() {
            let ls = std::process::Command::new("find")
                .arg(tree)
                .args(["-printf", "%p %m %u %g %s %T@ %l\n"])
                .output();
            listed += std::str::from_utf8(&ls.unwrap().stdout).unwrap();
        }
        listed
    };
    let before = trees();
    assert!(before.lines().count() > 50, "{before}");
    let mut other = machine.command(&[
        "image",
        "run",
        "--name",
        id,
        "busybox",
        "/bin/sh",
        "-c",
        "echo mine > /file; rm /bin/vi; sleep 60",
    ]);
    let mut other = other.spawn().unwrap();
    crate::harness::eventually("the other's file", || {
        machine.call(&["exec", id, "/bin/test", "-e", "/file"]).code == 0
    });
    assert_eq!(
        machine.told(&[], "ls -d /file /bin/vi 2>/dev/null || true"),
        "/bin/vi\n"
    );
    machine.call(&["delete", "--force", id]).succeeded();
    other.wait().unwrap();
    assert_eq!(trees(), before);
}

#[test]
fn whiteouts_of_upper_layers_hold_for_users_too() {
    needs!(root, busybox, overlay);
    let machine = Machine::new();
    let gone = Packed::gzip([Entry::dir("etc"), Entry::file("etc/.wh.passwd", "")]);
    machine.load(
        "gone",
        [base(), gone],
        json!({ "Cmd": ["/bin/ls", "/etc"], "User": "web" }),
    );
    let outcome = machine.call(&["image", "run", "gone"]);
    assert_eq!(outcome.code, 125);
    outcome.failed_with("the image's /etc/passwd has no \"web\"");
}

#[test]
fn a_hostile_passwd_neither_hangs_nor_escapes() {
    needs!(root, busybox, overlay);
    let machine = Machine::new();
    let fifo = Entry::new(b'6', "etc/passwd", 0o644);
    let mut link = Entry::new(b'2', "etc/passwd", 0o777);
    link.link = b"../../../../../../../../etc/shadow".into();
    for (name, entry) in [("fifo", fifo), ("link", link)] {
        machine.load(
            name,
            [base(), Packed::gzip([Entry::dir("etc"), entry])],
            json!({ "Cmd": ["/bin/id"], "User": "web" }),
        );
        let outcome = machine.call(&["image", "run", name]);
        assert_eq!(outcome.code, 125, "{name}: {outcome:?}");
        assert!(machine.bundles().is_empty(), "{name}");
        // Who needs nothing of it is not troubled by a link to nothing.
        let by_number = machine.call(&["image", "run", "--user", "5:6", name]);
        assert_eq!(
            by_number.code,
            if name == "fifo" { 125 } else { 0 },
            "{by_number:?}"
        );
    }
    for user in ["4294967296", "4294967295", "-1"] {
        machine
            .call(&["image", "run", "--user", user, "link"])
            .failed_with("is no id");
    }
}

#[test]
fn a_label_that_a_runtime_would_act_upon_is_no_annotation() {
    needs!(root, busybox, overlay);
    let machine = Machine::new();
    let id = machine.id();
    let labels =
        json!({ "org.systemd.property.User": "'root'", "bulkhead.log": "/bin/sh", "title": "x" });
    machine.load(
        "labels",
        [base()],
        json!({ "Cmd": ["/bin/sleep", "60"], "Labels": labels }),
    );
    let outcome = machine
        .call(&[
            "image", "run", "-d", "--name", id, "--label", "own=1", "labels",
        ])
        .succeeded();
    assert_eq!(
        outcome.stderr.matches("is left out").count(),
        2,
        "{outcome:?}"
    );
    let annotations = machine.state(id)["annotations"].clone();
    assert_eq!(annotations["title"], "x");
    assert_eq!(annotations["own"], "1");
    assert!(
        !annotations.to_string().contains("systemd")
            && !annotations.to_string().contains("bulkhead")
    );
}

#[test]
fn a_hundred_layers_make_a_root() {
    needs!(root, busybox, overlay);
    let machine = Machine::new();
    let more = (1..100).map(|n: u32| {
        Packed::gzip([
            Entry::file(format!("n/{n}"), n.to_string()),
            Entry::file("top", n.to_string()),
        ])
    });
    machine.load(
        "tall",
        std::iter::once(base()).chain(more),
        json!({ "Cmd": ["/bin/sh", "-c", "ls /n | wc -l; cat /top /n/1 /n/50"] }),
    );
    let outcome = machine.call(&["image", "run", "tall"]).succeeded();
    assert_eq!(outcome.stdout, "99\n99150");
}

#[test]
fn nothing_of_the_host_changes() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    machine.told(&[], "echo x > /x; mkdir -p /var/new");
    assert_eq!(mounts(), before);
    let own = machine.store();
    assert_eq!(crate::machine::names(&own.join("tmp")), [""; 0]);
    assert!(machine.left().is_empty());
}
