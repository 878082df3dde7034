//! `remount`: what is mounted by an earlier entry gets other attributes and options.

use super::harness::{Bundle, needs};
use super::{has, mount_at, tmpfs};
use serde_json::{Value, json};

fn remounted(options: &[&str]) -> Value {
    let mut bundle = Bundle::probe(&[]);
    bundle.mount(tmpfs("/data", &["nosuid", "size=64k"]));
    bundle.mount(json!({ "destination": "/data", "options": options }));
    let report = bundle.run().succeeded().answer();
    mount_at(&report, "/data").unwrap().clone()
}

#[test]
fn a_remount_changes_attributes_and_keeps_the_others() {
    needs!(root, probe);
    let mount = remounted(&["remount", "bind", "ro", "noexec"]);
    for word in ["ro", "noexec", "nosuid"] {
        assert!(has(&mount["options"], word), "{word}: {mount}");
    }
}

#[test]
fn a_remount_changes_the_filesystem() {
    needs!(root, probe);
    let mount = remounted(&["remount", "size=128k"]);
    assert!(mount.to_string().contains("size=128k"), "{mount}");
}

#[test]
fn a_remount_that_the_filesystem_refuses_tells_its_own_words() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.mount(tmpfs("/data", &[]));
    bundle.mount(json!({ "destination": "/data", "options": ["remount", "size=lots"] }));
    let text = "remount /data (size=lots): tmpfs: Bad value for 'size'";
    bundle.run().failed_with(text);
}

#[test]
fn a_remount_of_no_mount_is_refused() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.mount(json!({ "destination": "/bin", "options": ["remount", "bind", "ro"] }));
    let text = "remount /bin (ro): nothing is mounted there: invalid argument";
    bundle.run().failed_with(text);
}

#[test]
fn a_remount_through_a_link_to_the_root_does_not_reach_the_hosts_filesystem() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    std::os::unix::fs::symlink("/", bundle.rootfs().join("link")).unwrap();
    bundle.mount(json!({ "destination": "/link", "options": ["remount", "ro"] }));
    let text = "remount /link (ro): nothing is mounted there: invalid argument";
    bundle.run().failed_with(text);
}
