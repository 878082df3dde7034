//! False and covered procfs: what is written to /proc must go where it says.

use super::harness::{Bundle, needs};
use super::{Canary, bind, tmpfs};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

// CVE-2019-16884.
#[test]
fn nothing_but_a_procfs_is_mounted_on_proc() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/mounts/0", tmpfs("/proc", &[]));
    bundle
        .run()
        .failed_with("mounts[0].destination: /proc can only be a proc filesystem");

    let fake = bundle.dir.join("fake");
    fs::create_dir_all(fake.join("self/attr")).unwrap();
    bundle.set("/mounts/0", bind(&fake, "/proc"));
    bundle
        .run()
        .failed_with("only a procfs may be mounted on /proc");
}

// CVE-2019-19921, CVE-2025-52881.
#[test]
fn nothing_is_mounted_inside_proc() {
    needs!(root, probe);
    for target in ["/proc/self/attr", "/proc/sys", "/proc/../proc/sys/kernel"] {
        let mut bundle = Bundle::probe(&[]);
        bundle.mount(tmpfs(target, &[]));
        bundle
            .run()
            .failed_with("is inside /proc, where this cannot be mounted");
    }
}

#[test]
fn a_link_into_proc_is_no_target() {
    needs!(root, probe);
    for text in ["/proc/sys/kernel", "proc/sys", "../../proc/sys/net"] {
        let mut bundle = Bundle::probe(&[]);
        symlink(text, bundle.rootfs().join("decoy")).unwrap();
        bundle.mount(tmpfs("/decoy", &[]));
        bundle
            .run()
            .failed_with("mount tmpfs at /decoy: the target lies in /proc");
    }
}

#[test]
fn a_magic_link_is_not_followed_to_a_target() {
    needs!(root, probe);
    for text in [
        "/proc/self/cwd",
        "/proc/1/root",
        "/proc/self/fd/3",
        "/proc/self/root/mnt",
    ] {
        let mut bundle = Bundle::probe(&[]);
        symlink(text, bundle.rootfs().join("decoy")).unwrap();
        bundle.mount(tmpfs("/decoy", &[]));
        bundle.run().failed_with("mount tmpfs at /decoy: ");
    }
}

// CVE-2025-52881: a write to a sysctl that lands in another file.
#[test]
fn a_sysctl_is_not_written_to_a_file_of_the_image() {
    needs!(root, probe);
    let fakes: [fn(&Canary, &Path); 2] = [
        |_, at| fs::write(at, "of the host").unwrap(),
        |canary, at| symlink(canary.path("file"), at).unwrap(),
    ];
    for make_fake in fakes {
        let mut bundle = Bundle::probe(&["sysctl", "net.ipv4.ip_forward"]);
        let canary = Canary::new(&bundle);
        let fake = bundle.rootfs().join("proc/sys/net/ipv4/ip_forward");
        fs::create_dir_all(fake.parent().unwrap()).unwrap();
        make_fake(&canary, &fake);
        bundle.set("/linux/sysctl", json!({ "net.ipv4.ip_forward": "1" }));
        let answer = bundle.run().succeeded().answer();
        assert_eq!(answer["ok"]["net.ipv4.ip_forward"], "1");
        assert_eq!(fs::read_to_string(&fake).unwrap(), "of the host");

        // Also where the container has no procfs, and a volume in its place.
        bundle.remove("/mounts/0");
        bundle.run().succeeded();
        assert_eq!(fs::read_to_string(&fake).unwrap(), "of the host");
        canary.is_untouched("a sysctl");
    }
}
