//! `check`: what this host offers to containers, and what it lacks.

use std::fmt::Write;
use std::io::{IsTerminal, stdout};

use anyhow::bail;
use clap::Arg;
use serde::Serialize;

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command, output};
use crate::container::check::{Finding, Weight, containers_run, survey};

pub(super) const COMMAND: Command = Command {
    name: "check",
    about: "show what this host offers to containers, what it lacks, and what follows",
    arguments: "",
    count: Count::Exactly(0),
    order: Order::Anywhere,
    shielded: false,
    detail: "Makes each kind of namespace once, opens filesystems and runs a guest in KVM, in children that\n\
             end at once; changes nothing. Exits with 1 when containers cannot run here.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![
        Arg::new("format")
            .long("format")
            .short('f')
            .help("text (default) or json"),
    ]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let as_json = match call.flags.get_one::<String>("format").map(String::as_str) {
        None | Some("text") => false,
        Some("json") => true,
        Some(_) => bail!("invalid format option"),
    };
    let findings = survey();
    let containers_run = containers_run(&findings);
    let text = if as_json {
        let report = Report {
            containers_run,
            findings: &findings,
        };
        serde_json::to_string_pretty(&report)? + "\n"
    } else if stdout().is_terminal() {
        text(&findings, &COLOURED)
    } else {
        text(&findings, &PLAIN)
    };
    output::print(&text)?;
    Ok(u8::from(!containers_run))
}

/// Marks for the three weights, as a terminal and as a file get them.
struct Marks {
    good: &'static str,
    lacking: &'static str,
    fatal: &'static str,
    end: &'static str,
}

const PLAIN: Marks = Marks {
    good: "",
    lacking: "",
    fatal: "",
    end: "",
};

/// Green, yellow and red (ECMA-48 SGR).
const COLOURED: Marks = Marks {
    good: "\x1b[32m",
    lacking: "\x1b[33m",
    fatal: "\x1b[31m",
    end: "\x1b[0m",
};

/// The document of `--format json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    containers_run: bool,
    findings: &'a [Finding],
}

/// A headline, then a finding a line.
fn text(findings: &[Finding], marks: &Marks) -> String {
    let lacking = findings.iter().filter(|f| f.weight == Weight::Lacking);
    let mut out = match (containers_run(findings), lacking.count()) {
        (false, _) => "containers cannot run on this host\n\n".into(),
        (true, 0) => "containers run on this host\n\n".into(),
        (true, 1) => "containers run on this host; one thing is missing\n\n".into(),
        (true, n) => format!("containers run on this host; {n} things are missing\n\n"),
    };
    let width = findings.iter().map(|f| f.subject.len()).max().unwrap_or(0);
    for f in findings {
        let (colour, word) = match f.weight {
            Weight::Good => (marks.good, "ok"),
            Weight::Lacking => (marks.lacking, "lacks"),
            Weight::Fatal => (marks.fatal, "FATAL"),
        };
        let end = marks.end;
        let (subject, found, means) = (&f.subject, &f.found, &f.means);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{colour}{word:<5}{end}  {subject:<width$}  {found}; {means}"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(weight: Weight) -> Finding {
        Finding {
            subject: "kvm".into(),
            weight,
            found: "missing".into(),
            means: "micro-VMs are slow".into(),
        }
    }

    #[test]
    fn the_text_begins_with_the_verdict() {
        use Weight::{Fatal, Good, Lacking};
        for (weights, begins) in [
            (vec![Good], "containers run on this host\n"),
            (
                vec![Good, Lacking],
                "containers run on this host; one thing is missing\n",
            ),
            (
                vec![Lacking, Lacking],
                "containers run on this host; 2 things are missing\n",
            ),
            (vec![Lacking, Fatal], "containers cannot run on this host\n"),
        ] {
            let findings: Vec<_> = weights.into_iter().map(finding).collect();
            let text = text(&findings, &PLAIN);
            assert!(text.starts_with(begins), "{text}");
        }
    }

    #[test]
    fn a_finding_is_followed_by_what_it_means() {
        let text = text(&[finding(Weight::Lacking)], &PLAIN);
        assert!(
            text.ends_with("\nlacks  kvm  missing; micro-VMs are slow\n"),
            "{text:?}"
        );
        assert!(!text.contains('\x1b'));
    }
}
