//! Tells from inside a container what it was given, one line of JSON for each command.
//!
//! ```text
//! probe                               a report of everything, see `report`
//! probe COMMAND [ARG]… [+ COMMAND…]   act, see `acts`; each answers {"command", "ok"} or
//!                                     {"command", "errno", "error"}
//! probe SCRIPT                        as the interpreter of a script: its lines are the commands
//! ```

// Rust's own start-up would ignore SIGPIPE, open the missing of descriptors 0 to 2 and set handlers:
// the report is about what the runtime left, so `main` is the C one.
#![no_main]
// For the report, which is one macro.
#![recursion_limit = "256"]

mod acts;
mod calls;
mod memory;
mod report;

use serde_json::{Value, json};
use std::io::{self, Write};

type Answer = io::Result<Value>;

#[unsafe(no_mangle)]
extern "C" fn main() -> libc::c_int {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first() {
        None => say(&report::everything()),
        Some(path) if path.contains('/') => run_script(path),
        Some(_) => args.split(|word| word == "+").for_each(run),
    }
    0
}

fn run_script(path: &str) {
    let script = match std::fs::read_to_string(path) {
        Ok(script) => script,
        Err(error) => return say(&json!({ "command": path, "error": error.to_string() })),
    };
    for line in script.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        run(&words);
    }
}

fn run(words: &[String]) {
    let Some((command, args)) = words.split_first() else {
        return say(&report::everything());
    };
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let words = words.join(" ");
    match acts::act(command, &args) {
        Ok(Value::Null) => {}
        Ok(value) => say(&json!({ "command": words, "ok": value })),
        Err(error) => say(&json!({
            "command": words,
            "errno": error.raw_os_error(),
            "error": error.to_string(),
        })),
    }
}

/// A container may be started without a standard output: then there is nobody to tell.
fn say(value: &Value) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{value}").and_then(|()| out.flush());
}
