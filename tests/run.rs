//! `run`: from a bundle to an exit code, with the caller's streams and signals passed through.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use bulkhead::spec::Id;
use bulkhead::state::Store;
use harness::{Bundle, needs};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;
use std::fs::File;
use std::process::Child;

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn the_exit_code_is_the_containers() {
    needs!(root, probe);
    for code in [0, 1, 7, 126, 255] {
        let bundle = Bundle::probe(&["exit", &code.to_string()]);
        assert_eq!(bundle.run().code, code);
    }
}

#[test]
fn an_end_by_a_signal_is_128_and_its_number() {
    needs!(root, probe);
    for number in [1, 6, 9, 15] {
        let mut bundle = Bundle::probe(&["signal-self", &number.to_string(), "+", "sleep", "20"]);
        // The first process of a pid namespace is deaf to signals it has no handler for.
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
        assert_eq!(bundle.run().code, 128 + number);
    }
}

#[test]
fn standard_input_reaches_the_container_and_its_output_comes_back() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["copy"]);
    let input: String = (0..200_000).map(|n| format!("{n}\n")).collect();
    let file = bundle.dir.join("input");
    fs::write(&file, &input).unwrap();
    let mut command = bundle.command(&["run", &bundle.id]);
    command.stdin(File::open(file).unwrap());
    let outcome = bundle.finish(command).succeeded();
    assert!(
        outcome.stdout == input,
        "{} of {} bytes",
        outcome.stdout.len(),
        input.len()
    );
}

#[test]
fn output_and_errors_stay_apart() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["print", "to", "out", "+", "print-error", "to", "err"]);
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.stdout, "to out\n");
    assert_eq!(outcome.stderr, "to err\n");
}

#[test]
fn a_signal_to_run_reaches_the_container() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["wait-signal", "15", "10", "+", "exit", "3"]);
    let mut child = bundle.run_in_background();
    // The probe may not wait yet; unheard signals of a pid 1 without handler are lost.
    while child.try_wait().unwrap().is_none() {
        signal(&child, Signal::SIGTERM);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(bundle.background_output().contains(r#""ok":15"#));
}

#[test]
fn a_killed_run_takes_its_container_along() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    let mut child = bundle.run_in_background();
    child.kill().unwrap();
    child.wait().unwrap();
    bundle.wait_for_status("stopped");
}

#[test]
fn run_leaves_no_record_of_a_container_that_ended() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["exit", "0"]);
    bundle.run().succeeded();
    bundle
        .call(&["state", &bundle.id])
        .failed_with("does not exist");
}

#[test]
fn run_with_detach_returns_while_the_container_runs() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    let pid_file = bundle.dir.join("pid");
    let pid_file = pid_file.to_str().unwrap();
    bundle
        .call(&["run", "--detach", "--pid-file", pid_file, &bundle.id])
        .succeeded();
    let state = bundle.state();
    assert_eq!(state["status"], "running");
    assert_eq!(
        fs::read_to_string(pid_file).unwrap(),
        state["pid"].to_string()
    );
}

#[test]
fn a_program_is_looked_up_in_the_path_of_the_container() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle
        .set("/process/env", json!(["PATH=/nowhere:/"]))
        .args(&["probe", "exit", "5"]);
    assert_eq!(bundle.run().code, 5);
}

#[test]
fn a_program_that_cannot_be_executed_is_named_as_callers_expect() {
    needs!(root, probe);
    let cases = [
        (
            "nothing",
            r#"exec: "nothing": executable file not found in $PATH"#,
        ),
        (
            "/nothing",
            r#"exec: "/nothing": stat /nothing: no such file or directory"#,
        ),
        ("/etc/passwd", r#"exec: "/etc/passwd": permission denied"#),
        ("/etc", r#"exec: "/etc": "#),
    ];
    for (program, text) in cases {
        let mut bundle = Bundle::probe(&[]);
        bundle.args(&[program]);
        let outcome = bundle.run().failed_with(text);
        assert_eq!(outcome.code, 1, "{program}");
    }
}

#[test]
fn a_script_is_executed_by_its_interpreter() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    let script = bundle.rootfs().join("script");
    fs::write(&script, "#!/probe\nprint from the script\nexit 4\n").unwrap();
    let mut mode = fs::metadata(&script).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&script, mode).unwrap();
    let outcome = bundle.args(&["/script"]).run();
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (4, "from the script\n")
    );
}

#[test]
fn a_bundle_without_config_is_named() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    let mut command = bundle.command(&["run", "--bundle", "/", &bundle.id]);
    command.current_dir("/");
    bundle.finish(command).failed_with("config.json not found");
}

#[test]
fn a_debian_root_runs_programs_that_are_linked() {
    needs!(root, overlay, debian);
    let bundle = Bundle::debian("id -un && cat /etc/debian_version");
    let outcome = bundle.run().succeeded();
    assert!(outcome.stdout.starts_with("root\n"), "{}", outcome.stdout);
}

#[test]
fn a_busybox_shell_runs_a_pipeline() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("seq 1 5 | tail -n 1; exit 9");
    let outcome = bundle.run();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (9, "5\n"));
}

#[test]
fn a_run_whose_container_was_deleted_leaves_the_next_of_that_id_alone() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    let mut child = bundle.run_in_background();
    // It is seen to run a moment before `run` lets go of it.
    let slot = Store::new(bundle.state_dir()).open(&Id::new(&bundle.id).unwrap());
    slot.unwrap().unlock();
    signal(&child, Signal::SIGSTOP);
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    bundle.create().succeeded();
    let pid = bundle.state()["pid"].clone();
    signal(&child, Signal::SIGCONT);
    assert_eq!(child.wait().unwrap().code(), Some(137));
    let state = bundle.state();
    assert_eq!((&state["status"], &state["pid"]), (&json!("created"), &pid));
}
