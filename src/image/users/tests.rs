#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

use super::*;

fn users() -> Users {
    Users {
        passwd: "root:x:0:0:root:/root:/bin/sh\n\
                 broken\n\
                 wrapped:x:4294967296:0::/:\n\
                 none:x:4294967295:0::/:\n\
                 web:x:33:34:w:/var/www:/bin/sh\n\
                 1001:x:77:78::/named:\n\
                 relative:x:5:5::home:\n\
                 nobody:x:65534:65534::/:\n"
            .into(),
        group: "root:x:0:\nweb:x:34:web\ntape:x:26:nobody,web\naudio:x:29:web\n29:x:30:web\n"
            .into(),
    }
}

#[test]
fn a_user_is_a_name_or_a_number_with_or_without_a_group() {
    let users = users();
    for (user, uid, gid, groups, home) in [
        ("", 0, 0, &[0][..], "/root"),
        ("root", 0, 0, &[0], "/root"),
        ("web", 33, 34, &[26, 29, 30, 34], "/var/www"),
        ("33", 33, 34, &[26, 29, 30, 34], "/var/www"),
        ("web:tape", 33, 26, &[26], "/var/www"),
        ("web:7", 33, 7, &[7], "/var/www"),
        ("500", 500, 0, &[0], "/"),
        ("500:audio", 500, 29, &[29], "/"),
        // A number is never a name (moby's GetExecUser).
        ("1001", 1001, 0, &[0], "/"),
        ("0:29", 0, 29, &[29], "/root"),
        ("relative", 5, 5, &[5], "/"),
        ("4294967294", u32::MAX - 1, 0, &[0], "/"),
    ] {
        let found = users.find(user).unwrap();
        let wanted = Identity {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.into(),
        };
        assert_eq!(found, wanted, "{user}");
    }
}

#[test]
fn what_is_no_user_is_refused() {
    let users = users();
    for (user, said) in [
        ("mallory", "/etc/passwd has no \"mallory\""),
        ("web:mallory", "/etc/group has no \"mallory\""),
        ("broken", "has no"),
        ("wrapped", "has no"),
        ("none", "has no"),
        ("4294967295", "is no id"),
        ("4294967296", "is no id"),
        ("18446744073709551616", "is no id"),
        ("-1", "is no id"),
        ("+0", "is no id"),
        ("0:4294967295", "is no id"),
        (" 0", "has no"),
        ("0x0", "has no"),
        (":", "missing at the colon"),
        ("web:", "missing at the colon"),
        (":web", "missing at the colon"),
    ] {
        let error = users.find(user).unwrap_err().to_string();
        assert!(error.contains(said), "{user}: {error}");
    }
}

#[test]
fn the_files_are_looked_for_inside() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(dir.path().join("outside"), "evil:x:0:0::/:\n").unwrap();
    let open = || fs::File::open(&root).unwrap();
    assert_eq!(Users::read(open().as_fd()).unwrap(), Users::default());

    let passwd = root.join("etc/passwd");
    symlink("../../outside", &passwd).unwrap();
    assert_eq!(Users::read(open().as_fd()).unwrap(), Users::default());

    fs::write(root.join("inside"), "x:x:1:1::/:\n").unwrap();
    fs::remove_file(&passwd).unwrap();
    symlink("/inside", &passwd).unwrap();
    assert_eq!(
        Users::read(open().as_fd()).unwrap().find("x").unwrap().uid,
        1
    );

    fs::remove_file(&passwd).unwrap();
    symlink("passwd", &passwd).unwrap();
    let error = Users::read(open().as_fd()).unwrap_err();
    assert_eq!(error, Error::NotAFile("/etc/passwd"));

    fs::remove_file(&passwd).unwrap();
    nix::unistd::mkfifo(&passwd, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = Users::read(open().as_fd()).unwrap_err();
    assert_eq!(error, Error::NotAFile("/etc/passwd"));

    fs::remove_file(&passwd).unwrap();
    fs::write(&passwd, vec![b'\n'; (1 << 20) + 1]).unwrap();
    let error = Users::read(open().as_fd()).unwrap_err();
    assert_eq!(
        error,
        Error::Large {
            file: "/etc/passwd"
        }
    );
}
