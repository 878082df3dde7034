//! Groups below the container's, for one process more (`exec --cgroup`).

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

use super::Error;
use super::directory::Directory;

/// In which of the container's groups a process goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Below {
    /// In the container's own, or in the one of its first process.
    #[default]
    Anywhere,
    /// In the one at this path below the container's, in every hierarchy.
    Everywhere(PathBuf),
    /// The same for some v1 controllers, by name.
    Each(BTreeMap<String, PathBuf>),
}

impl Below {
    /// Words as runc takes them: `PATH`, alone, or `CONTROLLER[,CONTROLLER…]:PATH`. A path is taken from
    /// the container's group, with or without a `/` before it.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let words: Vec<&str> = words.into_iter().collect();
        let fault = |word: &str, why| Error::Below {
            word: word.into(),
            why,
        };
        let mut each = BTreeMap::new();
        for word in &words {
            let Some((controllers, path)) = word.split_once(':') else {
                return match words.len() {
                    1 => Ok(Self::Everywhere(clean(word)?)),
                    _ => Err(fault(word, "missing <controller>: prefix")),
                };
            };
            for controller in controllers.split(',') {
                if controller.is_empty() {
                    return Err(fault(word, "empty controller"));
                }
                if each.insert(controller.into(), clean(path)?).is_some() {
                    return Err(fault(word, "a controller is named twice"));
                }
            }
        }
        Ok(match each.is_empty() {
            true => Self::Anywhere,
            false => Self::Each(each),
        })
    }

    /// The path below `group`, whose hierarchy is known by the files that its controllers have there.
    /// Takes the controllers that it has found out of `unknown`.
    pub(super) fn within<'a>(
        &'a self,
        group: &Directory,
        unknown: &mut Vec<&'a str>,
    ) -> Result<&'a Path, Error> {
        match self {
            Self::Anywhere => Ok(Path::new("")),
            Self::Everywhere(path) => Ok(path),
            Self::Each(each) => {
                let mut found = Path::new("");
                for (controller, path) in each {
                    if group.has_files_of(controller)? {
                        unknown.retain(|name| name != controller);
                        found = path;
                    }
                }
                Ok(found)
            }
        }
    }

    /// The controllers that are named.
    pub(super) fn controllers(&self) -> Vec<&str> {
        match self {
            Self::Each(each) => each.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

/// The group at `path` below `group`; no link leads there.
pub(super) fn open(group: &Directory, path: &Path) -> Result<Directory, Error> {
    let missing = || Error::NoGroupBelow {
        path: group.path().join(path),
        errno: Errno::ENOENT,
    };
    let mut at = group.below(".".as_ref())?.ok_or_else(missing)?;
    for name in path {
        at = at.below(name)?.ok_or_else(missing)?;
    }
    Ok(at)
}

/// Relative, without `..`: what leads out of the container's group is refused.
fn clean(path: &str) -> Result<PathBuf, Error> {
    let mut clean = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir if !clean.pop() => {
                return Err(Error::OutsideGroup { path: path.into() });
            }
            Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_as_runc_takes_them() {
        let parse = |words: &[&str]| Below::parse(words.iter().copied()).unwrap();
        let everywhere = |path: &str| Below::Everywhere(path.into());
        let each = |list: &[(&str, &str)]| {
            let list = list
                .iter()
                .map(|(name, path)| ((*name).into(), path.into()));
            Below::Each(list.collect())
        };
        assert_eq!(parse(&[]), Below::Anywhere);
        assert_eq!(parse(&["/"]), everywhere(""));
        assert_eq!(parse(&["/a//b/../c"]), everywhere("a/c"));
        assert_eq!(
            parse(&["cpu,memory:a", "pids:/b"]),
            each(&[("cpu", "a"), ("memory", "a"), ("pids", "b")])
        );
    }

    #[test]
    fn a_path_that_leads_out_and_words_of_no_sense_are_refused() {
        for (words, said) in [
            (&[".."][..], "bad sub cgroup path: .."),
            (&["cpu:a/../../b"], "bad sub cgroup path: a/../../b"),
            (
                &["a", "b"],
                "invalid --cgroup argument: a: missing <controller>: prefix",
            ),
            (
                &["cpu:a", "b"],
                "invalid --cgroup argument: b: missing <controller>: prefix",
            ),
            (
                &["cpu,:a"],
                "invalid --cgroup argument: cpu,:a: empty controller",
            ),
            (
                &["cpu:a", "cpu:b"],
                "invalid --cgroup argument: cpu:b: a controller is named twice",
            ),
        ] {
            let fault = Below::parse(words.iter().copied()).unwrap_err();
            assert_eq!(fault.to_string(), said);
        }
    }
}
