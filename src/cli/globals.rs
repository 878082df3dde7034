//! The program's own flags: what holds for every command.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches};
use log::LevelFilter;

use super::context::{boolean, path};
use super::log::{Format, Setting};
use crate::container::GroupDriver;
use crate::spec::unit::Manager;
use crate::state::default_root;

pub(super) fn declared() -> Vec<Arg> {
    let flag = |name| Arg::new(name).long(name);
    vec![
        boolean("debug").help("log everything, with the place in the source"),
        path("log").help("write the log to this file instead of the standard error"),
        flag("log-format").help("form of log lines: text (default) or json"),
        flag("log-level")
            .value_parser(PossibleValuesParser::new(["error", "warning", "debug"]))
            .help("the least that is logged: error, warning (default) or debug"),
        path("root").help(
            "directory of the containers' records (default: /run/bulkhead, or \
             $XDG_RUNTIME_DIR/bulkhead for a user)",
        ),
        boolean("systemd-cgroup").help(
            "have systemd make groups, on v2 and hybrid hosts; linux.cgroupsPath is \
                 SLICE:PREFIX:NAME",
        ),
        flag("cgroup-manager")
            .value_parser(PossibleValuesParser::new([
                "cgroupfs", "systemd", "disabled",
            ]))
            .help("who makes groups: cgroupfs (default), systemd or disabled (no groups)"),
        flag("rootless")
            .value_parser(PossibleValuesParser::new(["true", "false", "auto"]))
            .help("go on without groups that may not be made: true, false or auto (default)"),
        flag("criu").hide(true),
    ]
}

#[derive(Debug)]
pub(super) struct Globals {
    pub(super) root: PathBuf,
    /// The user named the root: then it must be there for `list`.
    pub(super) root_given: bool,
    pub(super) groups: GroupDriver,
    /// `None`: by who we are.
    pub(super) rootless: Option<bool>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("Option --root argument should not be set to /")]
    Root,
    #[error("invalid log-format: {0}")]
    LogFormat(String),
    #[error("log target {0:?}: only files are supported")]
    LogTarget(PathBuf),
    #[error("find the current directory: {}", super::output::cause(.0))]
    Here(std::io::Error),
}

/// What `--log` and its kin ask for.
pub(super) fn log_setting(matches: &ArgMatches) -> Result<Setting, Error> {
    let debug = matches.get_flag("debug");
    let level = match matches.get_one::<String>("log-level").map(String::as_str) {
        _ if debug => LevelFilter::Trace,
        Some("debug") => LevelFilter::Debug,
        Some("error") => LevelFilter::Error,
        _ => LevelFilter::Warn,
    };
    let format = match matches.get_one::<String>("log-format").map(String::as_str) {
        None | Some("text" | "") => Format::Text,
        Some("json") => Format::Json,
        Some(other) => return Err(Error::LogFormat(other.into())),
    };
    let file = match matches.get_one::<OsString>("log") {
        Some(path) if !path.is_empty() => Some(log_file(Path::new(path))?),
        _ => None,
    };
    Ok(Setting {
        file,
        format,
        level,
        debug,
    })
}

/// crun's callers may name the kind of target before the path.
fn log_file(path: &Path) -> Result<PathBuf, Error> {
    match path.to_str().and_then(|text| text.split_once(':')) {
        Some(("file", path)) => Ok(path.into()),
        Some(("journald" | "syslog", _)) => Err(Error::LogTarget(path.into())),
        _ => Ok(path.into()),
    }
}

pub(super) fn globals(matches: &ArgMatches) -> Result<Globals, Error> {
    let given = matches.get_one::<OsString>("root").map(Path::new);
    let root = match given {
        Some(path) => state_root(path)?,
        None => default_root(),
    };
    if matches.contains_id("criu") {
        log::warn!("--criu is ignored: the criu program is looked up in PATH");
    }
    let rootless = matches.get_one::<String>("rootless");
    let rootless = rootless.and_then(|word| word.parse().ok());
    let systemd = || GroupDriver::Systemd(Manager::of_caller(rootless));
    let groups = match matches
        .get_one::<String>("cgroup-manager")
        .map(String::as_str)
    {
        Some("systemd") => systemd(),
        Some("disabled") => GroupDriver::Disabled,
        _ if matches.get_flag("systemd-cgroup") => systemd(),
        _ => GroupDriver::Auto,
    };
    Ok(Globals {
        root,
        root_given: given.is_some(),
        groups,
        rootless,
    })
}

/// `--root` made absolute, with `..` resolved as a name.
fn state_root(path: &Path) -> Result<PathBuf, Error> {
    if path.as_os_str().is_empty() {
        return Err(Error::Root);
    }
    let mut root = PathBuf::new();
    for part in std::path::absolute(path).map_err(Error::Here)?.components() {
        match part {
            Component::ParentDir => drop(root.pop()),
            part => root.push(part),
        }
    }
    if root == Path::new("/") {
        return Err(Error::Root);
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_root_is_absolute_and_not_the_root_of_all() {
        let here = std::env::current_dir().unwrap();
        for (given, root) in [
            ("/run/x", Some("/run/x".into())),
            ("/run//./x/", Some("/run/x".into())),
            ("/run/x/../y", Some("/run/y".into())),
            ("x", Some(here.join("x"))),
            ("", None),
            ("/", None),
            ("//", None),
            ("/a/..", None),
            ("/../..", None),
        ] {
            assert_eq!(state_root(Path::new(given)).ok(), root, "{given}");
        }
    }

    #[test]
    fn a_log_target_may_be_a_file_only() {
        let file = |text: &str| log_file(Path::new(text)).ok();
        assert_eq!(file("/l"), Some("/l".into()));
        assert_eq!(file("file:/l"), Some("/l".into()));
        assert_eq!(file("a:b"), Some("a:b".into()));
        assert_eq!(file("journald:x"), None);
    }
}
