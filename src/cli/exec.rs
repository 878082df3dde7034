//! `exec`: run another program in a container.
//!
//! Flags change the `process` of the bundle's config.json, and what comes out is judged by the same
//! rules as a `process` from a file.

use std::ffi::OsString;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, value_parser};
use serde_json::{Value, json};

use super::arguments::Order;
use super::context::{boolean, path};
use super::usage::Count;
use super::{Call, Command, input};
use crate::cgroup::Below;
use crate::container::{self, ExecOptions};
use crate::spec;

pub(super) const NAME: &str = "exec";

pub(super) const COMMAND: Command = Command {
    name: NAME,
    about: "run another program in a container",
    arguments: "<container-id> <command> [argument...]",
    count: Count::AtLeast(1),
    // `exec ID sh -c x`
    order: Order::First,
    shielded: true,
    detail: "Runs the command as the process of config.json would run, but for what flags change. The\n\
             exit code is the command's own, 128 and the number of the signal that killed it, or 255\n\
             where it could not be run. With --process the other flags about the process are ignored.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    let text = |name: &'static str| Arg::new(name).long(name);
    let list = |name: &'static str| text(name).action(ArgAction::Append);
    vec![
        path("process")
            .short('p')
            .help("file with an object as process in config.json; - is the standard input"),
        text("cwd").help("directory to run it in"),
        list("env").short('e').help("set a variable: NAME=value"),
        text("user").short('u').help("run as UID[:GID]"),
        list("additional-gids")
            .short('g')
            .help("another group of the user"),
        list("cap").short('c').help("add a capability"),
        // Left out, it is what the document says.
        text("no-new-privs")
            .num_args(0..=1)
            .require_equals(true)
            .value_parser(value_parser!(bool))
            .help("forbid it to gain privileges, or do not (=false)"),
        list("cgroup").help("run in this group below the container's: [CONTROLLER,...:]PATH"),
        text("apparmor").help("AppArmor profile to run it under"),
        text("process-label").help("SELinux label to run it as"),
        boolean("tty").short('t').help("give it a terminal"),
        boolean("detach").short('d').help("return when it runs"),
        path("console-socket").help("send the terminal's descriptor to this socket"),
        path("pid-file").help("write its pid to this file"),
        path("pidfd-socket").help("send a pidfd of it to this socket"),
        Arg::new("preserve-fds")
            .long("preserve-fds")
            .value_parser(value_parser!(u32))
            .help("pass this many descriptors beside the standard ones, from 3 on (default: 0)"),
        boolean("ignore-paused").help("let it wait in a container that is paused"),
    ]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    exec(call).context("exec failed")
}

fn exec(call: &Call) -> Result<u8, anyhow::Error> {
    let (context, id) = (call.context(), call.id()?);
    // Callers look for the container's absence: it is told before what is wrong with the rest.
    let record = context.store.load(&id)?;
    let process = match call.flags.get_one::<OsString>("process") {
        Some(file) if !file.is_empty() => input::read(file)?,
        _ => {
            // One that was made with --config may have no other document than the kept one.
            let config = match spec::read(&record.bundle, None) {
                Err(spec::Error::Missing(_)) => context.store.config(&id)?,
                read => read?,
            };
            let config: Value = serde_json::from_slice(&config).context("config.json")?;
            serde_json::to_vec(&changed(config["process"].clone(), call)?)?
        }
    };
    let below = call.flags.get_many::<String>("cgroup").unwrap_or_default();
    let options = ExecOptions {
        process,
        below: Below::parse(below.map(String::as_str))
            .context("unable to start container process")?,
        pid_file: call.path("pid-file"),
        pidfd_socket: call.path("pidfd-socket"),
        console_socket: call.path("console-socket"),
        preserve_fds: call.flags.get_one("preserve-fds").copied().unwrap_or(0),
        detach: call.flags.get_flag("detach"),
        ignore_paused: call.flags.get_flag("ignore-paused"),
    };
    Ok(container::exec(&context, &id, &options)?)
}

/// The `process` of the document with what the flags say.
fn changed(mut process: Value, call: &Call) -> Result<Value, anyhow::Error> {
    let args = &call.arguments[1..];
    if args.is_empty() {
        bail!("exec args cannot be empty");
    }
    if process.is_null() {
        process = json!({ "cwd": "/" });
    }
    // What is no object is told by whoever reads the whole; here it would have no members to change.
    for part in ["/user", "/capabilities", ""] {
        let odd = process
            .pointer(part)
            .is_some_and(|part| !part.is_object() && !part.is_null());
        if odd {
            bail!(
                "config.json: process{}: not an object",
                part.replace('/', ".")
            );
        }
    }
    process["args"] = json!(words(args)?);
    // Not inherited: a terminal is there where it is asked for.
    process["terminal"] = json!(call.flags.get_flag("tty"));
    append(&mut process["env"], call, "env", |word| Ok(json!(word)))?;
    if let Some(cwd) = call.flags.get_one::<String>("cwd") {
        process["cwd"] = json!(cwd);
    }
    if let Some(user) = call.flags.get_one::<String>("user") {
        let (uid, gid) = parse_user(user)?;
        process["user"]["uid"] = json!(uid);
        process["user"]["gid"] = json!(gid);
    }
    append(
        &mut process["user"]["additionalGids"],
        call,
        "additional-gids",
        |word| {
            let gid: u32 = word.parse().with_context(|| format!("bad gid: {word:?}"))?;
            Ok(json!(gid))
        },
    )?;
    for set in cap_sets(&process) {
        append(&mut process["capabilities"][set], call, "cap", |word| {
            Ok(json!(word))
        })?;
    }
    for (flag, key) in [
        ("apparmor", "apparmorProfile"),
        ("process-label", "selinuxLabel"),
    ] {
        if let Some(label) = call.flags.get_one::<String>(flag) {
            process[key] = json!(label);
        }
    }
    if let Some(forbidden) = call.flags.get_one::<bool>("no-new-privs") {
        process["noNewPrivileges"] = json!(forbidden);
    }
    Ok(process)
}

fn words(args: &[OsString]) -> Result<Vec<&str>, anyhow::Error> {
    let text = |arg: &'_ OsString| arg.to_str().map(str::to_owned);
    if let Some(odd) = args.iter().find(|arg| text(arg).is_none()) {
        bail!("{}: an argument that is not UTF-8", odd.display());
    }
    Ok(args.iter().filter_map(|arg| arg.to_str()).collect())
}

/// Puts the values of a repeated flag behind what a list has.
fn append(
    list: &mut Value,
    call: &Call,
    flag: &str,
    value: impl Fn(&str) -> Result<Value, anyhow::Error>,
) -> Result<(), anyhow::Error> {
    let Some(given) = call.flags.get_many::<String>(flag) else {
        return Ok(());
    };
    let mut all = list.as_array().cloned().unwrap_or_default();
    for word in given {
        all.push(value(word)?);
    }
    *list = Value::Array(all);
    Ok(())
}

/// As runc: ambient only where the program is to hand capabilities on anyway.
fn cap_sets(process: &Value) -> Vec<&'static str> {
    let inherits = process["capabilities"]["inheritable"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    let mut sets = vec!["bounding", "effective", "permitted"];
    sets.extend(inherits.then_some("ambient"));
    sets
}

/// Numbers alone; without a group it is 0, as in runc.
fn parse_user(user: &str) -> Result<(u32, u32), anyhow::Error> {
    let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
    let id = |what: &str, word: &str| {
        let id: Result<u32, _> = word.parse();
        id.with_context(|| format!("bad {what}: {word:?}"))
    };
    Ok((id("uid", uid)?, id("gid", gid)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_numbers_alone() {
        assert_eq!(parse_user("7").unwrap(), (7, 0));
        assert_eq!(parse_user("7:8").unwrap(), (7, 8));
        for (user, said) in [
            ("root", "bad uid: \"root\""),
            ("", "bad uid: \"\""),
            ("1:x", "bad gid: \"x\""),
            ("1:", "bad gid: \"\""),
            ("-1", "bad uid: \"-1\""),
            // CVE-2026-30892: a number that wraps is another user.
            ("4294967296", "bad uid: \"4294967296\""),
        ] {
            assert_eq!(parse_user(user).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn a_capability_is_ambient_where_others_are_inherited() {
        let process = json!({ "capabilities": { "inheritable": ["CAP_KILL"] } });
        assert!(cap_sets(&process).contains(&"ambient"));
        for process in [json!({}), json!({ "capabilities": { "inheritable": [] } })] {
            assert!(!cap_sets(&process).contains(&"ambient"));
        }
    }
}
