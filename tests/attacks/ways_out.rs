//! Programs of the image whose path leads out of it, through whatever directory of the host the runtime
//! still has open when it executes them: execve resolves a program and its interpreter before it closes
//! anything (CVE-2024-21626).

use super::descriptors::with_leaks;
use super::harness::{Bundle, Outcome, copy_tree, fixture, needs};
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

/// What the host's program says when the container runs it.
const OUT: &str = "out of the container";

/// A program of the host, by a path through descriptor `number` of whoever follows it.
fn way_out(bundle: &Bundle, number: u32) -> String {
    let program = bundle.dir.join("hosts");
    if !program.exists() {
        copy_tree(&fixture("probe").join("probe"), &program);
    }
    format!(
        "/proc/self/fd/{number}/../../../../../../../../../..{}",
        program.display()
    )
}

/// The image's own program `/way`, which is a way out in each of these forms.
fn ways(bundle: &Bundle, number: u32) -> Vec<(&'static str, Vec<String>)> {
    let way = way_out(bundle, number);
    let make = |name: &str, text: &str| {
        let path = bundle.rootfs().join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    };
    make("script", &format!("#!{way} print\n"));
    let link = bundle.rootfs().join("link");
    let _ = fs::remove_file(&link);
    symlink(&way, &link).unwrap();
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    vec![
        ("the path itself", words(&[&way, "print", OUT])),
        ("a link", words(&["/link", "print", OUT])),
        ("an interpreter", words(&["/script", OUT])),
    ]
}

#[track_caller]
fn is_refused(what: &str, number: u32, outcome: &Outcome) {
    let said = outcome.stdout_now();
    assert!(
        outcome.code != 0 && !said.contains(OUT),
        "{what} by {number}: {outcome:?} {said}"
    );
}

#[test]
fn a_program_through_a_descriptor_of_the_host_is_not_run() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    for number in 3..26 {
        for (what, words) in ways(&bundle, number) {
            bundle.set("/process/args", json!(words));
            is_refused(what, number, &bundle.run());
            is_refused(
                what,
                number,
                &bundle.finish(with_leaks(&bundle, &["run", &bundle.id])),
            );
            let created = bundle.create();
            if created.code == 0 {
                // An interpreter is looked for by the kernel alone.
                assert_ne!(bundle.start().code, 0, "{what} by {number}");
                assert!(!created.stdout_now().contains(OUT), "{what} by {number}");
                bundle.delete().succeeded();
            }
        }
    }
}

#[test]
fn a_program_that_joins_through_a_descriptor_of_the_host_is_not_run() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    bundle.start().succeeded();
    for number in 3..26 {
        for (what, words) in ways(&bundle, number) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let exec = [&["exec", bundle.id.as_str()], &words[..]].concat();
            is_refused(what, number, &bundle.call(&exec));
            is_refused(what, number, &bundle.finish(with_leaks(&bundle, &exec)));
        }
    }
}

#[test]
fn a_hook_through_a_descriptor_of_the_host_is_not_run() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["exit", "0"]);
    for number in 3..26 {
        for (what, words) in ways(&bundle, number) {
            let [path, rest @ ..] = &words[..] else {
                panic!()
            };
            let mut args = vec![path.clone()];
            args.extend(rest.iter().take_while(|word| *word != OUT).cloned());
            bundle.set(
                "/hooks",
                json!({ "startContainer": [{ "path": path, "args": args }] }),
            );
            assert_ne!(bundle.run().code, 0, "{what} by {number}");
        }
    }
}
