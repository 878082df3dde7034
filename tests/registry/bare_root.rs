//! A root that holds this program and no library, as an initramfs or another distribution does: of the
//! modules that its nsswitch.conf names the C library could load none, or one that is not its own.

use std::net::ToSocketAddrs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use bulkhead::net::Names;

use crate::harness::{needs, scratch, tell};
use crate::images_at::{access, open, refused};
use crate::names::serve_at_port_53;

/// What the program is to do when it finds itself there.
const ACT: &str = "BULKHEAD_TEST_ACT";
const NAME: &str = "bare_root::a_look_up_asks_no_module_of_the_c_library";

fn act(act: &str) -> String {
    match act {
        "ours" => format!("{:?}", Names::default().look_up("target.example").unwrap()),
        // The control: what the C library makes of it. It has the modules `files` and `dns` in itself.
        "the library's" => match ("target.example", 80).to_socket_addrs() {
            Ok(mut found) => format!("{:?}", found.next()),
            Err(_) => "nothing".into(),
        },
        "certificates" => {
            let mut access = access();
            access.setup.names = Names::default();
            refused(&open("target.example", &access))
        }
        other => panic!("{other}"),
    }
}

fn inside(root: &Path, act: &str) -> String {
    let output = Command::new("chroot")
        .arg(root)
        .args(["/program", "--exact", NAME, "--nocapture"])
        .env_clear()
        .env(ACT, act)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let said = text
        .split_once("it says: ")
        .and_then(|(_, rest)| rest.lines().next());
    let said = said.unwrap_or_else(|| panic!("{text}"));
    said.to_owned()
}

#[test]
fn a_look_up_asks_no_module_of_the_c_library() {
    if let Ok(wanted) = env::var(ACT) {
        tell(&format!("it says: {}", act(&wanted)));
        return;
    }
    needs!(root);
    serve_at_port_53(2);
    let root = scratch("bare");
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(
        root.join("etc/resolv.conf"),
        "nameserver 127.0.0.2\noptions timeout:2 attempts:1\n",
    )
    .unwrap();
    fs::write(
        root.join("etc/nsswitch.conf"),
        "hosts: resolve [!UNAVAIL=return]\n",
    )
    .unwrap();
    fs::copy(env::current_exe().unwrap(), root.join("program")).unwrap();
    fs::set_permissions(root.join("program"), fs::Permissions::from_mode(0o755)).unwrap();

    assert_eq!(inside(&root, "ours"), "[192.0.2.2]");
    assert_eq!(inside(&root, "the library's"), "nothing");
    let said = inside(&root, "certificates");
    assert!(
        said.contains(
            "GET https://target.example/v2/team/app/manifests/1: there are no CA certificates"
        ),
        "{said}"
    );
    assert!(
        said.contains("none in $SSL_CERT_FILE, $SSL_CERT_DIR, /etc/ssl/certs"),
        "{said}"
    );
}
