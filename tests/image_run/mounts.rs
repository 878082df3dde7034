//! Mounts in and beside one another.

use crate::harness::needs;
use crate::machine::Machine;
use std::fs;

#[test]
fn a_mount_in_another_is_seen_whatever_the_order_of_the_flags() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    for (name, text) in [("a", "deep\n"), ("b", "shallow\n"), ("etc", "own\n")] {
        fs::create_dir(machine.dir.join(name)).unwrap();
        fs::write(machine.dir.join(name).join("file"), text).unwrap();
    }
    for name in ["hosts", "hostname", "resolv.conf"] {
        fs::write(machine.dir.join("etc").join(name), "of the directory\n").unwrap();
    }
    fs::create_dir(machine.dir.join("b/y")).unwrap();
    fs::write(machine.dir.join("socket"), "listens\n").unwrap();
    let flags = [
        "--tmpfs",
        "/run",
        "-v",
        "./socket:/run/socket",
        "-v",
        "./a:/x/y",
        "-v",
        "./b:/x/",
        "-v",
        "./etc:/etc",
        "--hostname",
        "inside",
    ];
    let script = "cat /run/socket /x/y/file /x/file /etc/file /etc/hostname";
    let told = machine.told(&flags, script);
    assert_eq!(told, "listens\ndeep\nshallow\nown\ninside\n");
    for at in ["/x", "/y/../x/"] {
        let second = format!("type=tmpfs,dst={at}");
        let flags = ["-v", "./b:/x", "--mount", &second];
        machine
            .run(&flags, "true")
            .failed_with("\"/x\" is the target of two");
    }
}

#[test]
fn only_what_is_said_to_be_writable_can_be_written_to() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    fs::create_dir(machine.dir.join("shared")).unwrap();
    let bind = format!(
        "type=bind,src={},dst=/in",
        machine.dir.join("shared").display()
    );
    let script = "touch /in/x 2>/dev/null && echo written || echo not";
    for (word, wanted) in [
        ("readonly=True", "not\n"),
        ("ro", "not\n"),
        ("ro=0", "written\n"),
    ] {
        let bind = format!("{bind},{word}");
        assert_eq!(machine.told(&["--mount", &bind], script), wanted, "{bind}");
    }
    let bind = format!("{bind},readonly=yes");
    machine
        .run(&["--mount", &bind], "true")
        .failed_with("neither true nor false");
}
