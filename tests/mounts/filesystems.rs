//! New filesystems and binds, and what is said where one cannot be.

use super::harness::{Bundle, needs};
use super::{Mounted, bind, filesystem, has, mount_at, tmpfs};
use nix::mount::MsFlags;
use serde_json::{Value, json};
use std::fs;

#[test]
fn each_filesystem_of_the_kernel_is_mounted_with_its_type() {
    needs!(root, probe);
    let kinds = ["tmpfs", "ramfs", "proc", "sysfs", "devpts", "mqueue"];
    let mut bundle = Bundle::probe(&[]);
    for kind in kinds {
        bundle.mount(filesystem(kind, &format!("/mnt/{kind}"), &[]));
    }
    let report = bundle.run().succeeded().answer();
    for kind in kinds {
        let mount = mount_at(&report, &format!("/mnt/{kind}")).unwrap();
        assert_eq!(mount["type"], kind, "{mount}");
        assert_eq!(mount["source"], kind, "{mount}");
    }
}

#[test]
fn a_tmpfs_has_the_size_the_mode_and_the_owner_of_its_options() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["report", "+", "stat", "/mnt"]);
    bundle.mount(tmpfs("/mnt", &["size=64k", "mode=1750", "uid=7", "gid=8"]));
    let answers = bundle.run().succeeded().answers();
    let mount = mount_at(&answers[0]["ok"], "/mnt").unwrap();
    assert!(has(&mount["data"], "size=64k"), "{mount}");
    let folder = &answers[1]["ok"];
    assert_eq!(folder["mode"], "1750", "{folder}");
    assert_eq!(
        (&folder["uid"], &folder["gid"]),
        (&json!(7), &json!(8)),
        "{folder}"
    );
}

#[test]
fn one_option_may_hold_several_with_commas_between() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.mount(tmpfs("/mnt", &["size=64k,mode=750"]));
    let report = bundle.run().succeeded().answer();
    let mount = mount_at(&report, "/mnt").unwrap();
    assert!(
        has(&mount["data"], "size=64k") && has(&mount["data"], "mode=750"),
        "{mount}"
    );
}

#[test]
fn a_devpts_is_an_instance_of_its_own() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["report", "+", "list", "/dev/pts"]);
    let answers = bundle.run().succeeded().answers();
    let mount = mount_at(&answers[0]["ok"], "/dev/pts").unwrap();
    for option in ["gid=5", "mode=620", "ptmxmode=666"] {
        assert!(has(&mount["data"], option), "{option}: {mount}");
    }
    assert_eq!(answers[1]["ok"], json!(["ptmx"]));
}

#[test]
fn proc_shows_the_processes_of_the_container_alone() {
    needs!(root, probe);
    let answer = Bundle::probe(&["list", "/proc"]).run().succeeded().answer();
    let pids: Vec<_> = answer["ok"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|name| name.as_str().unwrap().bytes().all(|b| b.is_ascii_digit()))
        .collect();
    assert_eq!(pids, ["1"]);
}

#[test]
fn an_overlay_shows_its_layers_and_keeps_what_is_written() {
    needs!(root, probe, overlay);
    let mut bundle = Bundle::probe(&["read", "/mnt/file", "+", "write", "/mnt/new", "text"]);
    let [lower, upper, work] = ["lower", "above", "work"].map(|name| {
        let dir = bundle.dir.join(name);
        fs::create_dir(&dir).unwrap();
        dir
    });
    fs::write(lower.join("file"), "of the lower layer").unwrap();
    let options = [
        format!("lowerdir={}", lower.display()),
        format!("upperdir={}", upper.display()),
        format!("workdir={}", work.display()),
    ];
    bundle.mount(filesystem(
        "overlay",
        "/mnt",
        &options.each_ref().map(String::as_str),
    ));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["ok"], "of the lower layer");
    assert_eq!(fs::read_to_string(upper.join("new")).unwrap(), "text");
}

#[test]
fn a_bind_shows_one_mount_and_an_rbind_all_below() {
    needs!(root, probe);
    for (option, below) in [("bind", json!([])), ("rbind", json!(["file"]))] {
        let mut bundle = Bundle::probe(&["list", "/mnt/below"]);
        let source = bundle.dir.join("source");
        let mounted = Mounted::tmpfs(source.join("below"), MsFlags::empty());
        fs::write(source.join("below/file"), "").unwrap();
        bundle.mount(bind(&source, "/mnt", &[option]));
        assert_eq!(bundle.run().succeeded().answer()["ok"], below, "{option}");
        drop(mounted);
    }
}

#[test]
fn a_bind_of_a_file_is_that_file() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["write", "/etc/passwd", "changed"]);
    let file = bundle.dir.join("file");
    fs::write(&file, "text").unwrap();
    bundle.mount(bind(&file, "/etc/passwd", &["bind"]));
    assert_eq!(bundle.run().succeeded().answer()["ok"], 7);
    assert_eq!(fs::read_to_string(&file).unwrap(), "changed");
    let covered = fs::read_to_string(bundle.rootfs().join("etc/passwd")).unwrap();
    assert!(covered.starts_with("root:"), "{covered}");
}

#[test]
fn a_relative_source_is_taken_from_the_bundle() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["read", "/mnt/file"]);
    fs::create_dir(bundle.dir.join("source")).unwrap();
    fs::write(bundle.dir.join("source/file"), "text").unwrap();
    bundle.mount(bind("source".as_ref(), "/mnt", &["rbind"]));
    assert_eq!(bundle.run().succeeded().answer()["ok"], "text");
}

#[test]
fn the_groups_are_mounted_in_the_layout_of_the_host_and_read_only() {
    needs!(root, probe, cgroup1);
    let mut bundle = Bundle::probe(&["report", "+", "list", "/sys/fs/cgroup/memory"]);
    bundle.set("/linux/namespaces/-", json!({ "type": "cgroup" }));
    let answers = bundle.run().succeeded().answers();
    let report = &answers[0]["ok"];
    for target in [
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/pids",
    ] {
        let mount = mount_at(report, target).unwrap();
        assert!(has(&mount["options"], "ro"), "{mount}");
    }
    // The container's own group is the root of what it sees.
    assert_eq!(
        mount_at(report, "/sys/fs/cgroup/memory").unwrap()["root"],
        "/"
    );
    assert!(
        has(&answers[1]["ok"], "memory.limit_in_bytes"),
        "{}",
        answers[1]
    );
}

#[test]
fn without_a_cgroup_namespace_the_containers_own_groups_are_bound() {
    needs!(root, probe, cgroup1);
    for (options, write) in [(&["ro"][..], json!(nix::libc::EROFS)), (&[], Value::Null)] {
        let file = "/sys/fs/cgroup/memory/memory.soft_limit_in_bytes";
        let mut bundle = Bundle::probe(&["report", "+", "write", file, "104857600"]);
        bundle.set("/mounts/6/options", json!(options));
        let answers = bundle.run().succeeded().answers();
        for name in ["memory", "pids", "unified"] {
            let target = format!("/sys/fs/cgroup/{name}");
            let Some(mount) = mount_at(&answers[0]["ok"], &target) else {
                assert_eq!(name, "unified");
                continue;
            };
            let root = mount["root"].as_str().unwrap();
            assert!(root.ends_with(&bundle.id), "{mount}");
        }
        assert_eq!(answers[1]["errno"], write, "{options:?}");
    }
}

#[test]
fn the_callers_groups_are_mounted_where_the_container_stays_in_them() {
    needs!(root, probe, cgroup1);
    let mut bundle = Bundle::probe(&["report", "+", "list", "/sys/fs/cgroup/memory"]);
    // They are not the container's to change, whatever it asks for.
    bundle.set("/mounts/6/options", json!(["rw"]));
    let args = ["--cgroup-manager", "disabled", "run", &bundle.id];
    let answers = bundle.call(&args).succeeded().answers();
    let mount = mount_at(&answers[0]["ok"], "/sys/fs/cgroup/memory").unwrap();
    assert!(has(&mount["options"], "ro"), "{mount}");
    assert!(
        has(&answers[1]["ok"], "memory.limit_in_bytes"),
        "{}",
        answers[1]
    );
}

#[test]
fn a_mount_that_cannot_be_is_told_with_its_reason() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    let file = bundle.dir.join("file");
    fs::write(&file, "").unwrap();
    let missing = bundle.dir.join("missing");
    let last = bundle.config["mounts"].as_array().unwrap().len();
    let cases = [
        (
            tmpfs("/data", &["size=lots"]),
            "mount tmpfs at /data (size=lots): tmpfs: Bad value for 'size'".to_owned(),
        ),
        (
            tmpfs("/data", &["colour=red"]),
            "mount tmpfs at /data (colour=red): tmpfs: Unknown parameter 'colour'".to_owned(),
        ),
        (
            filesystem("nofs", "/data", &[]),
            "mount nofs at /data: the kernel has no filesystem nofs".to_owned(),
        ),
        (
            bind(&missing, "/data", &["rbind"]),
            format!(
                "bind {} at /data: open the source: no such file or directory",
                missing.display()
            ),
        ),
        (
            bind(&file, "/mnt", &["bind"]),
            format!(
                "bind only {} at /mnt: attach: not a directory",
                file.display()
            ),
        ),
        (
            bind(&bundle.rootfs(), "/etc/passwd", &["bind"]),
            format!(
                "bind only {} at /etc/passwd: attach: not a directory",
                bundle.rootfs().display()
            ),
        ),
    ];
    for (mount, message) in cases {
        bundle.set("/mounts/-", mount);
        bundle.run().failed_with(&message);
        bundle.remove(&format!("/mounts/{last}"));
    }
}
