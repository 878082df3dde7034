//! CVE-2021-30465, CVE-2024-45310: a name that is a folder when it is looked at and a link when it is
//! used.

use super::harness::{Bundle, needs, repetitions};
use super::{Canary, bind, tmpfs};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn a_folder_that_is_swapped_for_a_link_again_and_again_makes_nothing_outside() {
    needs!(root, probe);
    let ways = {
        let bundle = Bundle::probe(&[]);
        Canary::new(&bundle).ways()
    };
    let each = repetitions(100, 1000) / ways.len() + 1;
    let mut made = 0;
    for way in 0..ways.len() {
        let mut bundle = Bundle::probe(&["list", "/"]);
        let canary = Canary::new(&bundle);
        let volume = bundle.rootfs().join("volume");
        let (folder, link) = (volume.join("a"), volume.join("b"));
        fs::create_dir_all(folder.join("sub")).unwrap();
        // From inside the volume one step up more leads to the canary.
        let text = canary.ways()[way].replacen("../canary", "../../canary", 1);
        symlink(text, &link).unwrap();
        let file = canary.path("file");
        bundle
            .mount(tmpfs("/volume/a/made/dir", &[]))
            .mount(bind(&file, "/volume/a/made-file"))
            .mount(tmpfs("/volume/a/sub", &["tmpcopyup"]))
            .mount(bind(&file, "/volume/a/sub/file"))
            .set(
                "/linux/devices/-",
                json!({ "path": "/volume/a/node", "type": "p" }),
            )
            .set("/linux/maskedPaths/-", json!("/volume/a/sub"))
            .set("/linux/readonlyPaths/-", json!("/volume/a"))
            .set("/process/cwd", json!("/volume/a/work"));

        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let flags = RenameFlags::RENAME_EXCHANGE;
                    renameat2(AT_FDCWD, &folder, AT_FDCWD, &link, flags).unwrap();
                }
            });
            for _ in 0..each {
                made += u32::from(bundle.run().code == 0);
            }
            stop.store(true, Ordering::Relaxed);
        });
        canary.is_untouched("a race");
    }
    assert!(
        made > 0,
        "no container came to be: the race was never in its way"
    );
}
