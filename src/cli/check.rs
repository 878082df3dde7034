//! `check`: what this host offers and lacks.

use anyhow::bail;
use clap::Arg;

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command, output};
use crate::container::check::{Finding, Weight, containers_run, survey};

pub(super) const COMMAND: Command = Command {
    name: "check",
    about: "tell what this host offers and lacks",
    arguments: "",
    count: Count::Exactly(0),
    order: Order::Anywhere,
    shielded: false,
    detail: "Asks the kernel for all that containers need, and says of each thing what follows from it.\n\
             The exit code is 1 when containers cannot run here.",
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
    let format = call.flags.get_one::<String>("format").map(String::as_str);
    if !matches!(format, None | Some("text" | "json")) {
        bail!("invalid format option");
    }
    let findings = survey();
    let text = match format {
        Some("json") => serde_json::to_string_pretty(&findings)? + "\n",
        _ => text(&findings),
    };
    output::print(&text)?;
    Ok(u8::from(!containers_run(&findings)))
}

/// One line a finding, the subjects in one column.
fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|f| f.subject.len()).max().unwrap_or(0);
    let line = |finding: &Finding| {
        let mark = match finding.weight {
            Weight::Good => "ok",
            Weight::Lacking => "lacks",
            Weight::Fatal => "FATAL",
        };
        let Finding {
            subject,
            found,
            means,
            ..
        } = finding;
        format!("{mark:5}  {subject:width$}  {found}: {means}\n")
    };
    let verdict = if containers_run(findings) {
        "containers run on this host\n"
    } else {
        "containers cannot run on this host: see the lines marked FATAL\n"
    };
    findings.iter().map(line).collect::<String>() + verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_and_the_last_line_sums_up() {
        let finding = |weight, subject: &str| Finding {
            subject: subject.into(),
            weight,
            found: "6.1".into(),
            means: "enough".into(),
        };
        let good = [
            finding(Weight::Good, "kernel"),
            finding(Weight::Lacking, "kvm"),
        ];
        assert_eq!(
            text(&good),
            "ok     kernel  6.1: enough\nlacks  kvm     6.1: enough\ncontainers run on this host\n"
        );
        let fatal = text(&[finding(Weight::Fatal, "proc")]);
        assert!(
            fatal.starts_with("FATAL  proc  6.1: enough\ncontainers cannot"),
            "{fatal}"
        );
    }
}
