//! `bulkhead list` and `bulkhead state`, on records of containers that are over.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod program;

use std::collections::BTreeMap;
use std::fs;

use bulkhead::spec::Id;
use bulkhead::state::{End, Exit, LaterHooks, Phase, Record, Store};
use program::Program;
use serde_json::Value;

/// Puts the record of a container that has stopped into `root`.
fn put(program: &Program, name: &str, end: End) {
    let moment = "2026-01-02T15:04:05.5Z".parse().unwrap();
    let record = Record {
        version: 1,
        id: Id::new(name).unwrap(),
        phase: Phase::Stopped,
        pid: None,
        start_time: None,
        monitor: None,
        bundle: "/b".into(),
        rootfs: "/b/rootfs".into(),
        created: moment,
        oci_version: "1.0.2".into(),
        annotations: BTreeMap::new(),
        group_paths: Vec::new(),
        unit: None,
        rdt_groups: None,
        hooks: LaterHooks::default(),
        agent: None,
        keeps_keyring: false,
        image_store: None,
        is_transient: false,
        exit: Some(Exit {
            end,
            oom: true,
            at: moment,
        }),
        owner: 0,
        late_steps: Vec::new(),
        late_from: 0,
        streams: Vec::new(),
        ends_with_runtime: false,
    };
    let store = Store::new(program.path("root"));
    store.reserve(&record.id).unwrap().save(&record).unwrap();
}

#[test]
fn an_empty_root_has_a_header_or_null() {
    let program = Program::new();
    fs::create_dir(program.path("root")).unwrap();
    let header = "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n";
    for (line, shown) in [
        ("--root root list", header),
        ("--root root list --format table", header),
        ("--root root list -f json", "null\n"),
        ("--root root list -q", ""),
    ] {
        let outcome = program.line(line);
        assert_eq!((outcome.code, outcome.err.as_str()), (0, ""), "{line}");
        assert_eq!(outcome.out, shown, "{line}");
    }
}

#[test]
fn a_root_that_is_named_must_be_there() {
    let outcome = Program::new().line("--root /nowhere/r list");
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    let text = "msg=\"open /nowhere/r: no such file or directory\"\n";
    assert!(outcome.err.ends_with(text), "{}", outcome.err);
}

#[test]
fn a_format_that_does_not_exist_is_refused() {
    let program = Program::new();
    fs::create_dir(program.path("root")).unwrap();
    let outcome = program.line("--root root list -f yaml");
    assert_eq!(outcome.code, 1);
    assert!(outcome.err.ends_with("msg=\"invalid format option\"\n"));
}

#[test]
fn containers_are_listed_in_three_forms() {
    let program = Program::new();
    put(&program, "b", End::Code(3));
    put(&program, "a", End::Signal(9));
    let table = program.line("--root root list").out;
    assert_eq!(
        table,
        "ID          PID         STATUS      BUNDLE      CREATED                  OWNER\n\
         a           0           stopped     /b          2026-01-02T15:04:05.5Z   root\n\
         b           0           stopped     /b          2026-01-02T15:04:05.5Z   root\n"
    );
    assert_eq!(program.line("--root root list -q").out, "a\nb\n");

    let json = program.line("--root root list --format json").out;
    let start = "[{\"ociVersion\":\"1.0.2\",\"id\":\"a\",\"pid\":0,\"status\":\"stopped\",\
                 \"bundle\":\"/b\",\"rootfs\":\"/b/rootfs\",\"created\":\"2026-01-02T15:04:05.5Z\",\
                 \"owner\":\"root\"";
    assert!(json.starts_with(start), "{json}");
    assert!(json.ends_with("]\n") && json.lines().count() == 1, "{json}");
    let list: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(list[0]["exit"]["code"], 137);
    assert_eq!(list[0]["exit"]["signal"], 9);
    assert_eq!(list[1]["exit"]["code"], 3);
    assert_eq!(list[1]["exit"]["signal"], Value::Null);
}

#[test]
fn a_damaged_record_is_a_warning_beside_the_others() {
    let program = Program::new();
    put(&program, "a", End::Code(0));
    put(&program, "b", End::Code(0));
    let damaged = program.path("root/a/state.json");
    fs::write(&damaged, "{").unwrap();
    let outcome = program.line("--root root list -q");
    assert_eq!((outcome.code, outcome.out.as_str()), (0, "b\n"));
    assert!(
        outcome.err.contains("load container a: "),
        "{}",
        outcome.err
    );
    assert!(
        outcome.err.contains("a/state.json: not the record"),
        "{}",
        outcome.err
    );
    assert_eq!(program.line("--root root state a").code, 1);
}

#[test]
fn a_state_has_the_ocis_keys_first_and_no_newline() {
    let program = Program::new();
    put(&program, "a", End::Code(3));
    let outcome = program.line("--root root state a");
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
    let start = "{\n  \"ociVersion\": \"1.0.2\",\n  \"id\": \"a\",\n  \"pid\": 0,\n  \
                 \"status\": \"stopped\",\n  \"bundle\": \"/b\",\n  \"rootfs\": \"/b/rootfs\",\n  \
                 \"created\": \"2026-01-02T15:04:05.5Z\",\n  \"owner\": \"\"";
    assert!(outcome.out.starts_with(start), "{}", outcome.out);
    assert!(outcome.out.ends_with("\n}"), "{}", outcome.out);
    let state: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(state["exit"]["code"], 3);
    assert_eq!(state["exit"]["oom"], true);
    assert_eq!(state["exit"]["at"], "2026-01-02T15:04:05.5Z");
}
