//! `image run -it`.

use crate::harness::{Outcome, needs};
use crate::machine::Machine;
use std::fs::File;
use std::process::Command;

/// script(1) gives the runtime a terminal of its own, and shows what is shown on it.
fn on_a_terminal(machine: &Machine, flags: &str, script: &str, typed: &str) -> Outcome {
    let image_run = machine.command(&["image", "run"]);
    let words = image_run.get_args().map(|word| word.to_str().unwrap());
    let words: Vec<&str> = words.collect();
    let line = format!(
        "stty rows 33 cols 77; exec {} {} {flags} busybox /bin/sh -c '{script}'",
        image_run.get_program().display(),
        words.join(" ")
    );
    let file = machine.dir.join("typed");
    std::fs::write(&file, typed).unwrap();
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("BULKHEAD_STORE", machine.store())
        .current_dir(&machine.dir)
        .stdin(File::open(&file).unwrap());
    machine.finish(command)
}

#[test]
fn a_container_has_the_callers_terminal_when_asked() {
    needs!(root, busybox, overlay);
    let machine = Machine::busybox();
    let script = "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; tty; stty size; echo $TERM; read word; echo got $word; exit 4";
    for flags in ["-it", "-t -i"] {
        let outcome = on_a_terminal(&machine, flags, script, "typed\n");
        assert_eq!(outcome.code, 4, "{flags}: {outcome:?}");
        // What is typed is shown wherever it comes.
        for wanted in [
            "all\r\n",
            "/dev/pts/0\r\n",
            "33 77\r\n",
            "xterm\r\n",
            "got typed\r\n",
        ] {
            assert!(outcome.stdout.contains(wanted), "{flags}: {outcome:?}");
        }
    }
    let plain = "[ -t 0 ] || [ -p /dev/stdin ] || echo none";
    let outcome = on_a_terminal(&machine, "", plain, "");
    assert!(outcome.stdout.contains("none\r\n"), "{outcome:?}");
}
