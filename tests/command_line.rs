//! What the program makes of its words: names, flags, help, versions, errors and the log.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use program::{Program, message, outcome};

const COMMANDS: [&str; 13] = [
    "create", "start", "run", "state", "list", "kill", "stop", "wait", "delete", "spec", "plan",
    "check", "features",
];

/// Checks that each line fails with the code and has the text as its message.
fn each_fails(code: i32, cases: &[(&str, &str)]) {
    let program = Program::new();
    for (line, text) in cases {
        let outcome = program.line(line);
        assert_eq!(outcome.code, code, "{line}: {outcome:?}");
        assert_eq!(message(&outcome.err), format!("{text:?}"), "{line}");
        assert_eq!(outcome.err.lines().count(), 1, "{line}: {}", outcome.err);
    }
}

#[test]
fn help_begins_with_the_name_and_the_purpose() {
    for name in ["bulkhead", "runc"] {
        let program = Program::called(name);
        for line in [
            "",
            "-h",
            "--help",
            "-help",
            "help",
            "h",
            "help -h",
            "help --help",
            "--root /r --help",
        ] {
            let shown = program.line(line);
            assert_eq!((shown.code, shown.err.as_str()), (0, ""), "{line}");
            let lines: Vec<&str> = shown.out.lines().collect();
            assert_eq!(lines[0], "NAME:", "{line}");
            let second = format!("   {name} - Open Container Initiative runtime");
            assert_eq!(lines[1], second, "{line}");
            for command in COMMANDS {
                assert!(shown.out.contains(&format!("\n   {command} ")), "{command}");
            }
        }
    }
}

#[test]
fn every_command_has_help_that_is_asked_for_in_five_ways() {
    for name in ["bulkhead", "runc"] {
        let program = Program::called(name);
        for command in COMMANDS {
            let shown = program.line(&format!("{command} --help"));
            assert_eq!((shown.code, shown.err.as_str()), (0, ""), "{command}");
            let lines: Vec<&str> = shown.out.lines().collect();
            assert_eq!(lines[0], "NAME:", "{command}");
            let start = format!("   {name} {command} - ");
            assert!(lines[1].starts_with(&start), "{command}: {}", lines[1]);
            for line in ["CMD -h", "CMD -help", "help CMD", "CMD x y --help"] {
                // `kill` takes what follows its first argument as it is.
                if command == "kill" && line.starts_with("CMD x") {
                    continue;
                }
                let line = line.replace("CMD", command);
                assert_eq!(program.line(&line), shown, "{line}");
            }
        }
    }
}

#[test]
fn a_command_that_does_not_exist_is_code_3() {
    each_fails(
        3,
        &[
            ("foo", "No help topic for 'foo'"),
            ("foo -h", "No help topic for 'foo'"),
            ("--debug=false foo --bar", "No help topic for 'foo'"),
            ("help foo", "No help topic for 'foo'"),
        ],
    );
}

#[test]
fn a_wrong_flag_is_named_on_both_outputs_with_help() {
    let program = Program::new();
    for (line, text) in [
        ("--bogus state x", "flag provided but not defined: -bogus"),
        ("state --bogus x", "flag provided but not defined: -bogus"),
        ("state x -bogus=1", "flag provided but not defined: -bogus"),
        ("create x --bundle", "flag needs an argument: --bundle"),
        ("create x -b", "flag needs an argument: -b"),
        ("--root", "flag needs an argument: --root"),
        ("help --bogus", "flag provided but not defined: -bogus"),
        (
            "create --preserve-fds x a",
            "invalid value \"x\" for flag -preserve-fds: parse error",
        ),
        (
            "create --preserve-fds=-1 a",
            "invalid value \"-1\" for flag -preserve-fds: parse error",
        ),
        (
            "run --detach=maybe a",
            "invalid boolean value \"maybe\" for -detach: parse error",
        ),
        (
            "--rootless maybe state a",
            "invalid value \"maybe\" for flag -rootless: parse error: it is one of true, false, \
             auto",
        ),
    ] {
        let outcome = program.line(line);
        assert_eq!(outcome.code, 1, "{line}");
        let start = format!("Incorrect Usage: {text}\n\nNAME:\n   bulkhead");
        assert!(outcome.out.starts_with(&start), "{line}: {}", outcome.out);
        assert_eq!(message(&outcome.err), format!("{text:?}"), "{line}");
    }
}

#[test]
fn a_wrong_number_of_arguments_is_told_with_the_bound() {
    let program = Program::new();
    for (line, bound) in [
        ("state", "exactly 1"),
        ("state a b", "exactly 1"),
        ("create", "exactly 1"),
        ("delete -f", "exactly 1"),
        ("start a b c", "exactly 1"),
        ("kill", "a minimum of 1"),
        ("kill a 9 9", "a maximum of 2"),
        ("list a", "exactly 0"),
        ("spec a", "exactly 0"),
        ("plan a b", "a maximum of 1"),
    ] {
        let outcome = program.line(line);
        let command = line.split(' ').next().unwrap();
        assert_eq!(outcome.code, 1, "{line}");
        let start = format!("Incorrect Usage.\n\nNAME:\n   bulkhead {command} - ");
        assert!(outcome.out.starts_with(&start), "{line}: {}", outcome.out);
        let text = format!("bulkhead: \"{command}\" requires {bound} argument(s)");
        assert_eq!(message(&outcome.err), format!("{text:?}"), "{line}");
    }
}

#[test]
fn a_container_needs_a_valid_name() {
    let program = Program::new();
    let format = "only letters, digits and _+.- are allowed";
    for command in ["state", "start", "delete", "kill", "wait", "stop"] {
        for (id, text) in [
            ("", "container id cannot be empty".into()),
            (
                "a/b",
                format!("invalid container ID format: \"a/b\": {format}"),
            ),
            (
                "..",
                format!("invalid container ID format: \"..\": {format}"),
            ),
            ("é", format!("invalid container ID format: \"é\": {format}")),
        ] {
            let outcome = program.run([command, id]);
            assert_eq!(outcome.code, 1, "{command} {id}");
            assert_eq!(message(&outcome.err), format!("{text:?}"), "{command} {id}");
            assert_eq!(outcome.out, "", "{command} {id}");
        }
    }
    for command in ["create", "run"] {
        let outcome = program.run([command, ""]);
        let text = format!("bulkhead {command} failed: container id cannot be empty");
        assert_eq!(message(&outcome.err), format!("{text:?}"));
    }
}

#[test]
fn the_state_root_may_not_be_the_root_of_all() {
    let program = Program::new();
    for root in ["/", "//", "/a/..", ""] {
        let outcome = program.run(["--root", root, "state", "a"]);
        assert_eq!(outcome.code, 1, "{root}");
        assert_eq!(
            message(&outcome.err),
            "\"Option --root argument should not be set to /\"",
            "{root}"
        );
    }
}

#[test]
fn a_container_that_does_not_exist_is_named_so_wherever_the_flags_stand() {
    each_fails(
        1,
        &[
            ("--root r state a", "container does not exist"),
            ("-root=r state a", "container does not exist"),
            ("--root / --root r state a", "container does not exist"),
            ("state a --root r", "container does not exist"),
            ("state --root r -- a", "container does not exist"),
            ("--root r start a", "container does not exist"),
            ("--root r wait a", "container does not exist"),
            ("--root r stop -t 1 a", "container does not exist"),
            ("--root r kill a", "container does not exist"),
            ("--root r kill a -9", "container does not exist"),
            ("--root r kill -a a KILL", "container does not exist"),
            ("--root r kill a sigusr1", "container does not exist"),
            ("--root r delete a", "container does not exist"),
            (
                "--root r --systemd-cgroup state a",
                "container does not exist",
            ),
            (
                "--root r --rootless=true state a",
                "container does not exist",
            ),
            (
                "--root r --cgroup-manager=disabled state a",
                "container does not exist",
            ),
            ("--root r kill a foo", "container does not exist"),
            ("--root r kill a 99999999999", "container does not exist"),
            ("--log-format x state a", "invalid log-format: x"),
            (
                "--log journald:x state a",
                "log target \"journald:x\": only files are supported",
            ),
            (
                "--log none/l state a",
                "open none/l: no such file or directory",
            ),
        ],
    );
}

#[test]
fn the_version_is_ours_or_that_of_the_runc_we_stand_for() {
    for line in ["--version", "-v", "-version", "--debug -v"] {
        let shown = Program::new().line(line);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!((shown.code, shown.err.as_str()), (0, ""), "{line}");
        let lines: Vec<&str> = shown.out.lines().collect();
        assert_eq!(lines[0], format!("bulkhead version {version}"), "{line}");
        assert!(lines[1].starts_with("commit: "), "{line}");
        assert!(lines[2].starts_with("spec: 1."), "{line}");
    }
    for called in ["runc", "/usr/bin/runc"] {
        let shown = Program::called(called).line("--version").out;
        let rest = shown.strip_prefix("runc version ").unwrap();
        let number = rest.split([' ', '\n']).next().unwrap();
        let parts: Vec<u32> = number.split('.').map(|p| p.parse().unwrap()).collect();
        assert_eq!(parts.len(), 3, "{shown}");
    }
}

#[test]
fn a_failing_command_leaves_one_line_in_its_log() {
    let program = Program::new();
    let outcome = program.line("--root r --log l --log-format json --criu x state a");
    assert_eq!(outcome.code, 1);
    assert_eq!(outcome.err, "container does not exist\n");
    let log = fs::read_to_string(program.path("l")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&log).expect("one object, as podman reads");
    assert_eq!(line["level"], "error");
    assert_eq!(line["msg"], "container does not exist");
    let time = line["time"].as_str().unwrap();
    assert_eq!(time.len(), "2006-01-02T15:04:05Z".len(), "{time}");
    assert!(time.parse::<bulkhead::state::Time>().is_ok(), "{time}");
    let start = "{\"level\":\"error\",\"msg\":\"container does not exist\",\"time\":\"";
    assert!(log.starts_with(start), "keys in order: {log}");
    let mode = fs::metadata(program.path("l"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o644);

    let again = program.line("--root r --log file:l state a");
    assert_eq!(again.err, "container does not exist\n");
    let log = fs::read_to_string(program.path("l")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "added to the file");
    assert!(lines[1].starts_with("time=\"2"), "{log}");
    assert!(lines[1].contains(" level=error msg=\"container does not exist\""));
}

#[test]
fn a_usage_fault_goes_to_the_log_too() {
    let program = Program::new();
    let outcome = program.line("--log l state --bogus a");
    assert_eq!(outcome.err, "flag provided but not defined: -bogus\n");
    let log = fs::read_to_string(program.path("l")).unwrap();
    assert_eq!(message(&log), "\"flag provided but not defined: -bogus\"");
}

#[test]
fn a_warning_is_in_the_log_of_a_command_that_succeeds() {
    let program = Program::new();
    let outcome = program.line("--root r --log l --criu x features");
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
    let log = fs::read_to_string(program.path("l")).unwrap();
    assert!(
        log.contains(" level=warning msg=\"--criu is ignored"),
        "{log}"
    );
    let quiet = program.line("--root r --log-level error --criu x features");
    assert_eq!(quiet.err, "");
    let loud = program.line("--root r --criu x features");
    assert!(loud.err.contains(" level=warning "), "{}", loud.err);
}

#[test]
fn debug_tells_more_and_the_place_in_the_source() {
    let program = Program::new();
    let text = program.line("--root r --debug state a").err;
    let end = "msg=\"container does not exist\" func=\"bulkhead::cli::log\" file=\"src/cli/log.rs:";
    assert!(text.contains(end), "{text}");
    assert!(text.contains(" level=debug "), "{text}");
    let json = program
        .line("--root r --debug --log-format json state a")
        .err;
    let lines = json.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    assert_eq!(lines[0]["level"], "debug");
    let told = lines[0]["msg"].as_str().unwrap();
    assert!(told.contains(": state [\"a\"] under "), "{told}");
    let error = lines.last().unwrap();
    assert!(error["file"].as_str().unwrap().starts_with("src/cli/"));
    assert_eq!(error["func"], "bulkhead::cli::log");
}

#[test]
fn a_reader_that_has_gone_away_does_not_end_the_command() {
    let program = Program::new();
    let mut command = program.command();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = command
        .args(["--log", "l", "--criu", "x", "--root", "r", "state", "a"])
        .stdout(Stdio::null())
        .stderr(writer)
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "not a signal");
    assert!(program.path("l").exists());

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = program.command();
    let mut child = command
        .arg("features")
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "told, not killed");
}

#[test]
fn the_state_root_of_a_user_is_below_the_runtime_directory() {
    // Root keeps to /run; in a user namespace it counts as a user.
    let program = Program::new();
    fs::create_dir_all(program.path("bulkhead/x")).unwrap();
    fs::write(program.path("bulkhead/x/state.json"), "").unwrap();
    let mut command = std::process::Command::new("unshare");
    command
        .args(["-Ur", env!("CARGO_BIN_EXE_bulkhead"), "list"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("XDG_RUNTIME_DIR", program.path(""));
    let listed = outcome(&mut command);
    assert!(listed.err.contains("load container x: "), "{listed:?}");
    let listed = outcome(command.env("USER", "root"));
    assert!(!listed.err.contains("load container x: "), "{listed:?}");
}
