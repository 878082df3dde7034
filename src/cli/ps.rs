//! `ps`: the processes of a container, as the host sees them.

use std::ffi::OsString;
use std::process;

use anyhow::{Context, bail};
use clap::Arg;

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command, output};
use crate::container;

pub(super) const COMMAND: Command = Command {
    name: "ps",
    about: "list the processes of a container",
    arguments: "<container-id> [ps options]",
    count: Count::AtLeast(1),
    // `ps ID -o pid,comm`
    order: Order::First,
    shielded: false,
    detail: "Runs the host's ps with these options (default: -ef) and shows the lines that are the container's.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![
        Arg::new("format")
            .long("format")
            .short('f')
            .help("table (default) or json: the process ids alone"),
    ]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let pids = container::ps(&call.context(), &call.id()?)?;
    let pids: Vec<i32> = pids.into_iter().map(nix::unistd::Pid::as_raw).collect();
    let format = call.flags.get_one::<String>("format").map(String::as_str);
    let text = match format {
        None | Some("table") => rows_of(&pids, &all_processes(&call.arguments[1..])?)?,
        // As Go writes an empty slice that was never made.
        Some("json") if pids.is_empty() => "null\n".into(),
        Some("json") => serde_json::to_string(&pids)? + "\n",
        Some(_) => bail!("invalid format option"),
    };
    output::print(&text)?;
    Ok(0)
}

/// What the host's ps says with these options.
fn all_processes(options: &[OsString]) -> Result<String, anyhow::Error> {
    let mut ps = process::Command::new("ps");
    match options {
        [] => ps.arg("-ef"),
        some => ps.args(some),
    };
    let told = ps.output().context("run ps")?;
    if !told.status.success() {
        let words = String::from_utf8_lossy(&told.stderr);
        bail!("ps: {}: {}", told.status, words.trim());
    }
    Ok(String::from_utf8_lossy(&told.stdout).into_owned())
}

/// The header, and the lines whose column `PID` is one of `pids`.
fn rows_of(pids: &[i32], table: &str) -> Result<String, anyhow::Error> {
    let header = table.lines().next().unwrap_or_default();
    let Some(column) = header.split_whitespace().position(|title| title == "PID") else {
        bail!("couldn't find PID field in ps output");
    };
    let mut rows = format!("{header}\n");
    for line in table.lines().skip(1).filter(|line| !line.is_empty()) {
        let word = line.split_whitespace().nth(column).unwrap_or_default();
        let pid = word.parse::<i32>();
        let pid = pid.with_context(|| format!("unable to parse pid: {word:?} in {line:?}"))?;
        if pids.contains(&pid) {
            rows += line;
            rows.push('\n');
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_by_the_column_that_the_header_names() {
        let table =
            "UID     PID  PPID CMD\nroot      7     1 a\n\nroot     70     7 b 7\nx 8 7 c\n";
        let found = rows_of(&[7, 8], table).unwrap();
        assert_eq!(
            found,
            "UID     PID  PPID CMD\nroot      7     1 a\nx 8 7 c\n"
        );
        assert_eq!(rows_of(&[], "PID\n1\n").unwrap(), "PID\n");
    }

    #[test]
    fn a_table_without_process_ids_is_refused() {
        let fault = |table| rows_of(&[1], table).unwrap_err().to_string();
        let no_column = "couldn't find PID field in ps output";
        assert_eq!(fault("USER CMD\nroot sh\n"), no_column);
        assert_eq!(fault(""), no_column);
        assert!(fault("CMD PID\nsh -\n").starts_with("unable to parse pid"));
        assert!(fault("CMD PID\nsh\n").starts_with("unable to parse pid"));
    }
}
