//! From flags to what the container is given.

use std::str::FromStr;

use anyhow::{Context, anyhow, bail};
use caps::Capability;
use serde_json::Value;

use super::{limits, mounts};
use crate::cli::Call;
use crate::container;
use crate::image::bundle::{Network, RESERVED, Seccomp, Settings, is_reserved};
use crate::spec::Id;
use crate::spec::defaults::CAPABILITIES;
use crate::spec::defaults::docker::{self, Place};
use crate::spec::signal;
use crate::sys::linux_version;

pub(super) fn settings(call: &Call, id: &Id) -> Result<Settings, anyhow::Error> {
    let arguments = (1..call.arguments.len()).map(|number| Ok(call.text(number)?.to_owned()));
    let network = match call.word("network") {
        Some("host") => Network::Host,
        _ => Network::None,
    };
    let hostname = match (call.word("hostname"), network) {
        (Some(name), _) => Some(name.to_owned()),
        (None, Network::Host) => None,
        // 64 letters are the most that the kernel takes.
        (None, Network::None) => Some(id.as_str().chars().take(64).collect()),
    };
    if let Some(word) = call.word("stop-signal") {
        signal::parse(word).context("--stop-signal")?;
    }
    let capabilities = capabilities(call)?;
    Ok(Settings {
        entrypoint: call.word("entrypoint").map(|word| match word {
            "" => Vec::new(),
            word => vec![word.to_owned()],
        }),
        args: arguments.collect::<Result<_, anyhow::Error>>()?,
        env: env(call)?,
        user: call.word("user").map(str::to_owned),
        cwd: cwd(call)?,
        hostname,
        terminal: call.has_letter("tty", 't'),
        read_only: call.flags.get_flag("read-only"),
        labels: call.words("label").map(label).collect::<Result<_, _>>()?,
        stop_signal: call.word("stop-signal").map(str::to_owned),
        seccomp: seccomp(call.word("seccomp"), &capabilities)?,
        capabilities,
        network,
        mounts: mounts::mounts(call)?,
        resources: limits::resources(call)?,
        rlimits: call
            .words("ulimit")
            .map(limits::rlimit)
            .collect::<Result<_, _>>()?,
        id_maps: container::id_maps(),
    })
}

fn cwd(call: &Call) -> Result<Option<String>, anyhow::Error> {
    match call.word("workdir") {
        Some(dir) if !dir.starts_with('/') => bail!("--workdir {dir:?}: not an absolute path"),
        dir => Ok(dir.map(str::to_owned)),
    }
}

/// Of files first, so that a flag has the last word.
fn env(call: &Call) -> Result<Vec<String>, anyhow::Error> {
    let mut all = Vec::new();
    for path in call.words("env-file") {
        let text = std::fs::read_to_string(path).with_context(|| format!("--env-file {path}"))?;
        let lines = text.lines().map(str::trim_start);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let name = line.split('=').next().unwrap_or_default();
            if name.contains(char::is_whitespace) {
                bail!("--env-file {path}: {name:?}: a name has no blanks");
            }
            all.push(variable(line).with_context(|| format!("--env-file {path}"))?);
        }
    }
    for word in call.words("env") {
        all.push(variable(word).context("--env")?);
    }
    Ok(all)
}

/// `NAME=VALUE`, or `NAME` for the caller's own; one that the caller has not the container has not either.
fn variable(word: &str) -> Result<String, anyhow::Error> {
    let name = word.split('=').next().unwrap_or_default();
    if name.is_empty() || word.contains('\0') {
        bail!("{word:?} is not NAME=VALUE");
    }
    if word.contains('=') {
        return Ok(word.to_owned());
    }
    match std::env::var_os(name) {
        None => Ok(name.to_owned()),
        Some(value) => match value.to_str() {
            Some(value) => Ok(format!("{name}={value}")),
            None => bail!("the caller's {name} is not UTF-8"),
        },
    }
}

fn label(word: &str) -> Result<(String, String), anyhow::Error> {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    if is_reserved(key) {
        bail!(
            "--label {key:?}: what begins with {} is acted upon",
            RESERVED.join(", ")
        );
    }
    Ok((key.into(), value.into()))
}

/// As for Docker: where all are added a drop has the last word, and else an addition.
fn capabilities(call: &Call) -> Result<Vec<Capability>, anyhow::Error> {
    let named = |flag: &str| {
        let words = call.words(flag).map(|word| capability(flag, word));
        words.collect::<Result<Vec<_>, _>>()
    };
    let (added, dropped) = (named("cap-add")?, named("cap-drop")?);
    let has_all = |list: &[Option<Capability>]| list.contains(&None);
    let mut all: Vec<Capability> = match (has_all(&added), has_all(&dropped)) {
        (true, _) => caps::all().into_iter().collect(),
        (false, true) => Vec::new(),
        (false, false) => CAPABILITIES.to_vec(),
    };
    let is_dropped = |capability: &Capability| dropped.contains(&Some(*capability));
    all.retain(|capability| !is_dropped(capability));
    if !has_all(&added) {
        let named = added.into_iter().flatten();
        all.extend(named);
    }
    all.sort_by_key(Capability::index);
    all.dedup();
    Ok(all)
}

/// `None` is all of them.
fn capability(flag: &str, word: &str) -> Result<Option<Capability>, anyhow::Error> {
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if name == "ALL" {
        return Ok(None);
    }
    let known = Capability::from_str(&format!("CAP_{name}"));
    known
        .map(Some)
        .map_err(|_| anyhow!("--{flag} {word}: no such capability"))
}

fn seccomp(word: Option<&str>, capabilities: &[Capability]) -> Result<Seccomp, anyhow::Error> {
    let path = match word {
        None => return Ok(Seccomp::Default),
        Some("unconfined") => return Ok(Seccomp::Unconfined),
        Some(path) => path,
    };
    let about = || format!("--seccomp {path}");
    let text = std::fs::read(path).with_context(about)?;
    let profile: Value = serde_json::from_slice(&text).with_context(about)?;
    let profile = match docker::is_docker(&profile) {
        false => profile,
        true => {
            let place = Place {
                architecture: docker::ARCHITECTURE,
                kernel: linux_version().unwrap_or_default(),
                capabilities,
            };
            docker::convert(profile, &place).map_err(|why| anyhow!("--seccomp {path}: {why}"))?
        }
    };
    if profile["defaultAction"].is_null() {
        bail!("--seccomp {path}: defaultAction is missing");
    }
    Ok(Seccomp::Profile(profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_name() {
        assert_eq!(variable("A=1=2").unwrap(), "A=1=2");
        assert_eq!(variable("A=").unwrap(), "A=");
        let path = std::env::var("PATH").unwrap();
        assert_eq!(variable("PATH").unwrap(), format!("PATH={path}"));
        assert_eq!(variable("NOT_SET_ANYWHERE").unwrap(), "NOT_SET_ANYWHERE");
        assert!(variable("=1").is_err() && variable("").is_err());
    }

    #[test]
    fn a_capability_is_named_with_or_without_its_prefix() {
        for word in ["net_raw", "CAP_NET_RAW", "Net_Raw"] {
            let found = capability("cap-add", word).unwrap();
            assert_eq!(found, Some(Capability::CAP_NET_RAW), "{word}");
        }
        assert_eq!(capability("cap-add", "all").unwrap(), None);
        assert!(capability("cap-add", "CAP_CAP_KILL").is_err());
    }

    #[test]
    fn a_label_is_none_that_is_acted_upon() {
        assert_eq!(label("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert!(label("bulkhead.x=y").is_err() && label("=y").is_err());
    }
}
