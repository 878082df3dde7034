//! What else is seen in the container: `--volume`, `--mount` and `--tmpfs`.

use std::path::{Path, absolute};

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

use crate::cli::Call;
use crate::cli::size;
use crate::spec::units::InRoot;

const PROPAGATIONS: [&str; 6] = [
    "private", "rprivate", "slave", "rslave", "shared", "rshared",
];

/// Of config.json.
pub(super) fn mounts(call: &Call) -> Result<Vec<Value>, anyhow::Error> {
    let mut all = Vec::new();
    for word in call.words("volume") {
        all.push(volume(word).with_context(|| format!("--volume {word}"))?);
    }
    for word in call.words("mount") {
        all.push(mount(word).with_context(|| format!("--mount {word}"))?);
    }
    for word in call.words("tmpfs") {
        let (target, options) = word.split_once(':').unwrap_or((word, ""));
        let options = options.split(',').filter(|option| !option.is_empty());
        all.push(
            tmpfs(target, options.map(str::to_owned)).with_context(|| format!("--tmpfs {word}"))?,
        );
    }
    for (number, mount) in all.iter().enumerate() {
        let at = &mount["destination"];
        if all[..number]
            .iter()
            .any(|other| other["destination"] == *at)
        {
            bail!("--volume, --mount, --tmpfs: {at} is the target of two");
        }
        is_there(mount)?;
    }
    Ok(all)
}

/// Docker makes a directory of the host where `--volume` names none; a slip of the pen is not to do so.
fn is_there(mount: &Value) -> Result<(), anyhow::Error> {
    let source = mount["source"].as_str().unwrap_or_default();
    if mount["type"] == "bind" && !Path::new(source).try_exists().unwrap_or(true) {
        bail!("--volume, --mount: {source}: no such file or directory on the host");
    }
    Ok(())
}

fn volume(word: &str) -> Result<Value, anyhow::Error> {
    let mut parts = word.split(':');
    let (source, target, options) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(source), Some(target), options, None) => {
            (source, target, options.unwrap_or_default())
        }
        (Some(_), None, ..) => {
            bail!("a source is missing: what is only the container's goes with it anyway")
        }
        _ => bail!("it is SOURCE:TARGET[:OPTION,…]"),
    };
    let (mut is_readonly, mut propagation) = (false, "rprivate");
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => is_readonly = true,
            "rw" => is_readonly = false,
            // Of Docker on a Mac; nothing comes of them on Linux.
            "cached" | "delegated" | "consistent" => {}
            "z" | "Z" => bail!("{option}: files of the host are not labelled anew"),
            other => match PROPAGATIONS.iter().find(|name| **name == other) {
                Some(name) => propagation = name,
                None => bail!("{other}: no such option"),
            },
        }
    }
    bind(source, target, is_readonly, propagation)
}

fn bind(
    source: &str,
    target: &str,
    is_readonly: bool,
    propagation: &str,
) -> Result<Value, anyhow::Error> {
    // Docker reads a word without a slash as the name of a volume.
    let is_path = source.starts_with('/')
        || source == "."
        || source == ".."
        || source.starts_with("./")
        || source.starts_with("../");
    if !is_path {
        bail!(
            "{source:?}: there are no volumes by name; the source is a path that begins with / or ./"
        );
    }
    let source = absolute(Path::new(source))?;
    let source = source
        .to_str()
        .ok_or_else(|| anyhow!("the source is not UTF-8"))?;
    // With all that is mounted below, as Docker has it since 25.
    let access = if is_readonly { "rro" } else { "rw" };
    Ok(json!({
        "destination": inside(target)?, "type": "bind", "source": source,
        "options": ["rbind", access, propagation],
    }))
}

fn tmpfs(target: &str, options: impl Iterator<Item = String>) -> Result<Value, anyhow::Error> {
    let target = inside(target)?;
    let mut all = vec!["nosuid".to_owned(), "nodev".to_owned(), "noexec".to_owned()];
    for option in options {
        // A later word takes an earlier one back, as `exec` does with `noexec`.
        all.retain(|other| *other != format!("no{option}"));
        all.push(option);
    }
    Ok(json!({ "destination": target, "type": "tmpfs", "source": "tmpfs", "options": all }))
}

/// Two ways to write a path are one target.
fn inside(target: &str) -> Result<String, anyhow::Error> {
    if !target.starts_with('/') {
        bail!("target {target:?}: not an absolute path");
    }
    Ok(InRoot::new(target)?.to_string())
}

/// The words of Go, in which Docker reads them.
fn truth(word: &str) -> Result<bool, anyhow::Error> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => bail!("{word:?} is neither true nor false"),
    }
}

/// `key=value,…` in the words of `docker run --mount`.
fn mount(word: &str) -> Result<Value, anyhow::Error> {
    let (mut kind, mut source, mut target) = ("", None, None);
    let (mut is_readonly, mut propagation, mut options) = (false, "rprivate", Vec::new());
    for field in word.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, "true"));
        match key {
            "type" => kind = value,
            "source" | "src" => source = Some(value),
            "target" | "destination" | "dst" => target = Some(value),
            "readonly" | "ro" => is_readonly = truth(value).with_context(|| key.to_owned())?,
            "consistency" => {}
            "bind-propagation" => {
                let known = PROPAGATIONS.iter().find(|name| **name == value);
                propagation = known.ok_or_else(|| anyhow!("{field}: no such propagation"))?;
            }
            "tmpfs-size" => {
                let bytes = size::parse(value).ok_or_else(|| anyhow!("{field}: not a size"))?;
                options.push(format!("size={bytes}"));
            }
            "tmpfs-mode" => options.push(format!("mode={value}")),
            _ => bail!("{field}: no such field"),
        }
    }
    let target = target.ok_or_else(|| anyhow!("target is missing"))?;
    match (kind, source) {
        ("bind", Some(source)) => bind(source, target, is_readonly, propagation),
        ("bind", None) => bail!("source is missing"),
        ("tmpfs", None) => {
            options.extend(is_readonly.then(|| "ro".to_owned()));
            tmpfs(target, options.into_iter())
        }
        ("tmpfs", Some(_)) => bail!("a tmpfs has no source"),
        ("" | "volume", _) => bail!("there are no volumes by name; type is bind or tmpfs"),
        _ => bail!("type {kind}: it is bind or tmpfs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_a_path_of_the_host() {
        let here = std::env::current_dir().unwrap();
        for (word, source, options) in [
            ("/a:/b", "/a".into(), ["rbind", "rw", "rprivate"]),
            ("/a:/b:ro", "/a".into(), ["rbind", "rro", "rprivate"]),
            ("/a:/b/:cached", "/a".into(), ["rbind", "rw", "rprivate"]),
            (
                "./a:/b:rslave,ro",
                here.join("a"),
                ["rbind", "rro", "rslave"],
            ),
        ] {
            let wanted = json!({ "destination": "/b", "type": "bind", "source": source, "options": options });
            assert_eq!(volume(word).unwrap(), wanted, "{word}");
        }
        for (word, said) in [
            ("data:/b", "no volumes by name"),
            ("/b", "a source is missing"),
            ("/a:b", "not an absolute path"),
            ("/a:/b:Z", "labelled"),
            ("/a:/b:x", "no such option"),
            ("/a:/b:ro:x", "SOURCE:TARGET"),
        ] {
            let error = volume(word).unwrap_err().to_string();
            assert!(error.contains(said), "{word}: {error}");
        }
    }

    #[test]
    fn a_mount_is_read_field_by_field() {
        let bound = mount("type=bind,src=/a,dst=/b,readonly").unwrap();
        assert_eq!(bound, volume("/a:/b:ro").unwrap());
        for word in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(
                mount(&format!("type=bind,src=/a,dst=/b,ro={word}")).unwrap(),
                bound
            );
        }
        for word in ["0", "f", "F", "false", "FALSE", "False"] {
            let open = mount(&format!("type=bind,src=/a,dst=/b,readonly={word}")).unwrap();
            assert_eq!(open, volume("/a:/b").unwrap());
        }
        let memory = mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=0700").unwrap();
        let options = json!(["nosuid", "nodev", "noexec", "size=1048576", "mode=0700"]);
        assert_eq!(memory["options"], options);
        for word in [
            "type=bind,dst=/b",
            "type=volume,src=x,dst=/b",
            "dst=/b",
            "type=tmpfs,src=/a,dst=/b",
            "type=bind,src=/a",
            "type=bind,src=/a,dst=/b,readonly=yes",
            "type=bind,src=/a,dst=/b,readonly=",
        ] {
            assert!(mount(word).is_err(), "{word}");
        }
        let options = tmpfs("/t", ["exec".to_owned()].into_iter()).unwrap()["options"].clone();
        assert_eq!(options, json!(["nosuid", "nodev", "exec"]));
    }
}
