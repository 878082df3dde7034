//! What is executed: the search for the program, where it starts, and its home.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

/// A file of the image.
fn file(bundle: &Bundle, path: &str, text: &str, mode: u32) {
    let path = bundle.rootfs().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn says(word: &str) -> String {
    format!("#!/bin/sh\necho {word}\n")
}

#[test]
fn the_first_program_in_the_path_is_executed() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("");
    file(&bundle, "one/tool", &says("one"), 0o755);
    file(&bundle, "two/tool", &says("two"), 0o755);
    bundle.args(&["tool"]);
    for (path, word) in [("/one:/two", "one\n"), ("/two:/one", "two\n")] {
        bundle.set("/process/env", json!([format!("PATH={path}")]));
        assert_eq!(bundle.run().succeeded().stdout, word);
    }
}

#[test]
fn what_cannot_be_executed_is_passed_over_in_the_path() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("");
    fs::create_dir_all(bundle.rootfs().join("folder/tool")).unwrap();
    file(&bundle, "plain/tool", &says("plain"), 0o644);
    file(&bundle, "others/tool", &says("others"), 0o700);
    file(&bundle, "last/tool", &says("last"), 0o755);
    bundle
        .set(
            "/process/env",
            json!(["PATH=/missing:/folder:/plain:/others:/last"]),
        )
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }))
        .args(&["tool"]);
    assert_eq!(bundle.run().succeeded().stdout, "last\n");
}

#[test]
fn the_path_of_the_caller_does_not_count() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("");
    file(&bundle, "callers/tool", &says("found"), 0o755);
    for env in [json!(["PATH=/nowhere"]), json!([])] {
        bundle.set("/process/env", env).args(&["tool"]);
        let mut command = bundle.command(&["run", &bundle.id]);
        command.env("PATH", "/callers:/usr/bin:/bin");
        let text = r#"exec: "tool": executable file not found in $PATH"#;
        bundle.finish(command).failed_with(text);
    }
}

#[test]
fn a_program_by_a_relative_path_is_taken_from_the_working_directory() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("");
    file(&bundle, "folder/tool", &says("relative"), 0o755);
    bundle
        .set("/process/cwd", json!("/folder"))
        .args(&["./tool"]);
    assert_eq!(bundle.run().succeeded().stdout, "relative\n");
}

#[test]
fn a_program_that_the_kernel_cannot_execute_is_named_with_its_reason() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("");
    file(&bundle, "text", "no program\n", 0o755);
    file(&bundle, "script", "#!/not/there\n", 0o755);
    file(&bundle, "empty", "", 0o755);
    for (program, text) in [
        ("/text", "exec /text: exec format error"),
        ("/empty", "exec /empty: exec format error"),
        ("/script", "exec /script: no such file or directory"),
    ] {
        bundle.args(&[program]);
        bundle.run().failed_with(text);
        bundle.create().succeeded();
        bundle.start().failed_with(text);
        bundle.wait_for_status("stopped");
        bundle.delete().succeeded();
    }
}

#[test]
fn a_program_that_is_not_there_fails_the_creation() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("");
    for (program, text) in [
        (
            "tool",
            r#"exec: "tool": executable file not found in $PATH"#,
        ),
        (
            "/tool",
            r#"exec: "/tool": stat /tool: no such file or directory"#,
        ),
        ("/etc/passwd", r#"exec: "/etc/passwd": permission denied"#),
        ("/etc", r#"exec: "/etc": "#),
    ] {
        bundle.args(&[program]);
        bundle.create().failed_with(text);
        bundle
            .call(&["state", &bundle.id])
            .failed_with("container does not exist");
    }
}

#[test]
fn a_program_that_its_user_may_not_execute_is_refused_also_to_a_root_without_capabilities() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("");
    file(&bundle, "tool", &says("no"), 0o700);
    chown(bundle.rootfs().join("tool"), Some(7), Some(7)).unwrap();
    bundle.args(&["/tool"]);
    for user in [0, 1000] {
        bundle.set("/process/user", json!({ "uid": user, "gid": user }));
        bundle
            .run()
            .failed_with(r#"exec: "/tool": permission denied"#);
    }
}

#[test]
fn a_made_working_directory_belongs_to_root_and_can_be_entered() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }))
        .set("/process/cwd", json!("/made/here"));
    assert_eq!(bundle.run().succeeded().answer()["cwd"], "/made/here");
    let made = fs::metadata(bundle.rootfs().join("made/here")).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o7777), (0, 0o755));
}

#[test]
fn a_working_directory_that_only_root_may_enter_is_entered_for_a_user() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    fs::create_dir(bundle.rootfs().join("closed")).unwrap();
    fs::set_permissions(
        bundle.rootfs().join("closed"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();
    bundle
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }))
        .set("/process/cwd", json!("/closed"));
    assert_eq!(bundle.run().succeeded().answer()["cwd"], "/closed");
}

#[test]
fn a_working_directory_that_is_none_is_named() {
    needs!(root, probe);
    for (cwd, text) in [
        ("/etc/passwd", "/etc/passwd: not a directory"),
        ("relative", "Cwd must be an absolute path"),
        ("", "Cwd property must not be empty"),
    ] {
        let mut bundle = Bundle::probe(&[]);
        bundle.set("/process/cwd", json!(cwd));
        bundle.run().failed_with(text);
    }
}

#[test]
fn the_home_is_that_of_the_images_passwd() {
    needs!(root, probe);
    let cases = [
        (0, "root:x:0:0::/root:/bin/sh\n", "/root"),
        (1000, "app:x:1000:1000::/srv/app:/bin/sh\n", "/srv/app"),
        (1000, "other:x:1:1::/other:\n", "/"),
        (1000, "", "/"),
    ];
    for (uid, passwd, home) in cases {
        let mut bundle = Bundle::probe(&[]);
        file(&bundle, "etc/passwd", passwd, 0o644);
        bundle
            .set("/process/env", json!(["A=1"]))
            .set("/process/user", json!({ "uid": uid, "gid": 0 }));
        let report = bundle.run().succeeded().answer();
        assert_eq!(report["env"], json!(["A=1", format!("HOME={home}")]));
    }
}

#[test]
fn a_passwd_that_leads_out_of_the_image_or_is_no_file_tells_no_home() {
    needs!(root, probe);
    for kind in ["outside", "fifo", "missing"] {
        let mut bundle = Bundle::probe(&[]);
        let outside = bundle.dir.join("passwd");
        fs::write(&outside, "app:x:1000:1000::/of/the/host:\n").unwrap();
        let passwd = bundle.rootfs().join("etc/passwd");
        fs::remove_file(&passwd).unwrap();
        match kind {
            "outside" => std::os::unix::fs::symlink(&outside, &passwd).unwrap(),
            "fifo" => nix::unistd::mkfifo(&passwd, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            _ => {}
        }
        bundle
            .set("/process/env", json!([]))
            .set("/process/user", json!({ "uid": 1000, "gid": 0 }));
        let report = bundle.run().succeeded().answer();
        assert_eq!(report["env"], json!(["HOME=/"]), "{kind}");
    }
}
