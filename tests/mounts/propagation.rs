//! How mounts that are made later travel between the host and the container.

use super::harness::{Bundle, needs};
use super::{Mounted, allow_mounting, bind, mount_at, tmpfs};
use nix::mount::{MsFlags, umount};
use serde_json::{Value, json};
use std::fs;

/// `shared`, `master` and `unbindable`, without the numbers of the groups.
fn propagation(mount: &Value) -> Vec<String> {
    let tags = mount["propagation"].as_array().unwrap().iter();
    tags.map(|tag| tag.as_str().unwrap().split(':').next().unwrap().to_owned())
        .collect()
}

/// Words for a bind, and the tags they come to for the mount and for the one below it.
type Case = (
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

#[test]
fn a_word_of_propagation_is_for_the_mount_and_with_an_r_for_all_below() {
    needs!(root, probe);
    let cases: &[Case] = &[
        // What the host shares is a slave unless the document says otherwise.
        (&[], &["master"], &["master"]),
        (&["slave"], &["master"], &["master"]),
        (&["private"], &[], &["master"]),
        (&["rprivate"], &[], &[]),
        (&["shared"], &["shared", "master"], &["master"]),
        (&["rshared"], &["shared", "master"], &["shared", "master"]),
        (&["unbindable"], &["unbindable"], &["master"]),
        (&["runbindable"], &["unbindable"], &["unbindable"]),
        (&["rshared", "rslave"], &["master"], &["master"]),
        (&["private", "shared"], &["shared"], &["master"]),
    ];
    let mut bundle = Bundle::probe(&[]);
    let source = Mounted::tmpfs(bundle.dir.join("source"), MsFlags::empty()).shared();
    let below = Mounted::tmpfs(source.0.join("below"), MsFlags::empty()).shared();
    for (index, case) in cases.iter().enumerate() {
        let words = [&["rbind"], case.0].concat();
        bundle.mount(bind(&source.0, &format!("/mnt/{index}"), &words));
    }
    let report = bundle.run().succeeded().answer();
    for (index, (words, top, inner)) in cases.iter().enumerate() {
        let target = format!("/mnt/{index}");
        let found = propagation(mount_at(&report, &target).unwrap());
        assert_eq!(&found, top, "{words:?}");
        let found = propagation(mount_at(&report, &(target + "/below")).unwrap());
        assert_eq!(&found, inner, "{words:?}, below");
    }
    drop(below);
}

#[test]
fn a_new_filesystem_is_private_or_what_its_option_says() {
    needs!(root, probe);
    let cases: [(&[&str], &[&str]); 4] = [
        (&[], &[]),
        (&["shared"], &["shared"]),
        (&["unbindable"], &["unbindable"]),
        (&["shared", "private"], &[]),
    ];
    let mut bundle = Bundle::probe(&[]);
    for (index, (words, _)) in cases.iter().enumerate() {
        bundle.mount(tmpfs(&format!("/mnt/{index}"), words));
    }
    let report = bundle.run().succeeded().answer();
    for (index, (words, tags)) in cases.iter().enumerate() {
        let found = propagation(mount_at(&report, &format!("/mnt/{index}")).unwrap());
        assert_eq!(&found, tags, "{words:?}");
    }
}

#[test]
fn a_mount_of_the_host_comes_into_a_slave_and_not_into_a_private_bind() {
    needs!(root, probe);
    for (option, seen) in [("rslave", json!(["file"])), ("rprivate", json!([]))] {
        let mut bundle = Bundle::probe(&["list", "/mnt/late"]);
        let source = Mounted::tmpfs(bundle.dir.join("source"), MsFlags::empty()).shared();
        fs::create_dir(source.0.join("late")).unwrap();
        bundle.mount(bind(&source.0, "/mnt", &["rbind", option]));
        let created = bundle.create().succeeded();
        let late = Mounted::tmpfs(source.0.join("late"), MsFlags::empty());
        fs::write(late.0.join("file"), "").unwrap();
        bundle.start().succeeded();
        bundle.wait_for_status("stopped");
        let answer: Value = serde_json::from_str(&created.stdout_now()).unwrap();
        assert_eq!(answer["ok"], seen, "{option}");
        bundle.delete().succeeded();
        drop(late);
    }
}

#[test]
fn a_mount_of_the_container_comes_to_the_host_where_all_of_it_is_shared() {
    needs!(root, probe);
    for (root, option, comes) in [
        ("shared", "rshared", true),
        ("shared", "rslave", false),
        ("slave", "rshared", false),
    ] {
        let mut bundle = Bundle::probe(&["mount", "tmpfs", "/mnt/inner", "tmpfs"]);
        allow_mounting(&mut bundle);
        let source = Mounted::tmpfs(bundle.dir.join("source"), MsFlags::empty()).shared();
        let inner = source.0.join("inner");
        fs::create_dir(&inner).unwrap();
        bundle
            .mount(bind(&source.0, "/mnt", &["rbind", option]))
            .set("/linux/rootfsPropagation", json!(root));
        assert_eq!(
            bundle.run().succeeded().answer()["ok"],
            0,
            "{root} {option}"
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let came = mounts.contains(inner.to_str().unwrap());
        assert_eq!(came, comes, "{root} {option}");
        if came {
            umount(&inner).unwrap();
        }
    }
}

#[test]
fn the_root_has_the_propagation_of_the_document() {
    needs!(root, probe);
    let cases: [(&str, &[&str]); 9] = [
        ("", &["master"]),
        ("slave", &["master"]),
        ("rslave", &["master"]),
        ("private", &[]),
        ("rprivate", &[]),
        ("shared", &["shared"]),
        ("rshared", &["shared"]),
        ("unbindable", &["unbindable"]),
        ("runbindable", &["unbindable"]),
    ];
    for (word, tags) in cases {
        let mut bundle = Bundle::probe(&[]);
        let root = Mounted::itself(bundle.rootfs()).shared();
        let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
        bundle.set("/linux/rootfsPropagation", json!(word));
        let report = bundle.run().succeeded().answer();
        let found = propagation(mount_at(&report, "/").unwrap());
        let found: Vec<_> = found
            .iter()
            .map(String::as_str)
            .filter(|t| tags.contains(t))
            .collect();
        assert_eq!(found, tags, "{word:?}");
        let name = bundle.dir.to_str().unwrap();
        let own = |mounts: &str| mounts.lines().filter(|l| l.contains(name)).count();
        let after = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert_eq!(own(&after), own(&before), "{word:?}: {after}");
        drop(root);
    }
}

#[test]
fn the_hosts_own_mounts_keep_their_propagation() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    let root = Mounted::itself(bundle.rootfs()).shared();
    let tags = || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let at = bundle.rootfs();
        let line = mounts
            .lines()
            .find(|l| l.contains(at.to_str().unwrap()))
            .unwrap()
            .to_owned();
        line.contains(" shared:")
    };
    assert!(tags());
    for word in ["shared", "rprivate", "rslave"] {
        let mut config = bundle.config.clone();
        config["linux"]["rootfsPropagation"] = json!(word);
        fs::write(bundle.dir.join("other.json"), config.to_string()).unwrap();
        bundle
            .call(&["run", "--config", "other.json", &bundle.id])
            .succeeded();
        assert!(tags(), "{word}");
    }
    bundle.set("/linux/rootfsPropagation", json!("slave"));
    drop(root);
}
