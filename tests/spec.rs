//! `bulkhead spec`.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod program;

use std::fs;
use std::os::unix::fs::symlink;

use bulkhead::spec::parse;
use program::{Program, message};
use serde_json::Value;

#[test]
fn the_document_is_in_runcs_form() {
    let program = Program::new();
    let outcome = program.line("spec");
    assert_eq!(
        (outcome.code, outcome.out.as_str(), outcome.err.as_str()),
        (0, "", "")
    );
    let text = fs::read_to_string(program.path("config.json")).unwrap();
    assert!(text.starts_with("{\n\t\"ociVersion\": \"1."), "tabs");
    assert!(text.ends_with("\n\t}\n}"), "no newline at the end");
    let config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["process"]["args"], serde_json::json!(["sh"]));
    assert_eq!(config["process"]["noNewPrivileges"], true);
    assert_eq!(config["root"]["readonly"], true);
    assert_eq!(config["hostname"], "bulkhead");
    assert_eq!(config["mounts"].as_array().unwrap().len(), 7);
}

#[test]
fn called_runc_it_writes_that_name() {
    let program = Program::called("runc");
    program.line("spec");
    let text = fs::read_to_string(program.path("config.json")).unwrap();
    assert!(text.contains("\"hostname\": \"runc\""));
}

#[test]
fn what_is_there_is_not_written_over() {
    let program = Program::new();
    let config = program.path("config.json");
    fs::write(&config, "mine").unwrap();
    let outcome = program.line("spec");
    assert_eq!(outcome.code, 1);
    assert_eq!(
        message(&outcome.err),
        "\"File config.json exists. Remove it first\""
    );
    assert_eq!(fs::read_to_string(&config).unwrap(), "mine");

    fs::remove_file(&config).unwrap();
    symlink(program.path("elsewhere"), &config).unwrap();
    assert_eq!(program.line("spec").code, 1, "a link to nothing");
    assert!(!program.path("elsewhere").exists());
}

#[test]
fn the_bundle_and_the_name_may_be_chosen() {
    let program = Program::new();
    fs::create_dir(program.path("b")).unwrap();
    assert_eq!(program.line("spec -bundle b").code, 0);
    assert!(program.path("b/config.json").exists());
    assert_eq!(program.line("spec -b b --file c.json").code, 0);
    assert!(program.path("b/c.json").exists());
    let outcome = program.line("spec -b none");
    assert_eq!(
        message(&outcome.err),
        "\"open none/config.json: no such file or directory\""
    );
}

#[test]
fn the_rootless_one_maps_who_we_are() {
    let program = Program::new();
    assert_eq!(program.line("spec --rootless").code, 0);
    let text = fs::read_to_string(program.path("config.json")).unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    let linux = &config["linux"];
    let uid = nix::unistd::geteuid().as_raw();
    assert_eq!(linux["uidMappings"][0]["hostID"], uid);
    assert_eq!(linux["uidMappings"][0]["containerID"], 0);
    assert_eq!(linux["resources"], Value::Null);
    let kinds: Vec<&str> = linux["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ns| ns["type"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains(&"user") && !kinds.contains(&"network"),
        "{kinds:?}"
    );
}

#[test]
fn what_it_writes_is_what_we_read() {
    for line in ["spec", "spec --rootless"] {
        let program = Program::new();
        program.line(line);
        let text = fs::read(program.path("config.json")).unwrap();
        let mut config: Value = serde_json::from_slice(&text).unwrap();
        // A terminal is what the document has and we do not yet.
        config["process"]["terminal"] = false.into();
        fs::create_dir(program.path("rootfs")).unwrap();
        let read = parse(config.to_string().as_bytes(), &program.path(""));
        let container = read.unwrap_or_else(|fault| panic!("{line}: {fault}"));
        assert_eq!(container.root.path, program.path("rootfs"), "{line}");
        assert_eq!(container.mounts.len(), 7, "{line}");
    }
}
