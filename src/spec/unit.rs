//! `linux.cgroupsPath` as the systemd driver reads it: `SLICE:PREFIX:NAME`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::{At, Error};
use super::limits::GroupPath;
use super::units::Id;
use crate::sys::process;

/// The unit that systemd keeps a container in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    pub manager: Manager,
    /// `system.slice`, or `-.slice` for the root of all.
    pub slice: String,
    /// `bulkhead-web.scope`
    pub name: String,
}

/// Whose systemd it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// The one that has booted the host.
    System,
    /// The one of the user who runs us.
    User,
}

impl Manager {
    /// Whose systemd the caller is to ask. Root of a user namespace is the user that he is outside.
    /// `rootless` is what the caller was told to be, if he was.
    pub fn of_caller(rootless: Option<bool>) -> Self {
        if rootless.unwrap_or_else(|| process::outer_uid() != 0) {
            Self::User
        } else {
            Self::System
        }
    }
}

/// The longest name of a unit (unit-name.h: UNIT_NAME_MAX, with its NUL).
const LONGEST: usize = 255;

impl Unit {
    /// The unit for the container `id`. A part that is empty is chosen: the slice by the manager, the
    /// name is the id; without a prefix the name stands alone. No path at all: `bulkhead-ID.scope`.
    pub fn new(path: &GroupPath, id: &Id, manager: Manager) -> Result<Self, Error> {
        let slice = match manager {
            Manager::System => "system.slice",
            Manager::User => "user.slice",
        };
        let (given, prefix, name) = match path {
            GroupPath::Default => ("", "bulkhead", ""),
            GroupPath::Relative(path) | GroupPath::Absolute(path) => three(path)?,
        };
        let slice = if given.is_empty() { slice } else { given };
        check_slice(slice)?;
        let is_named_by_id = name.is_empty();
        let name = if is_named_by_id { id.as_str() } else { name };
        // A slice holds no processes of its own on v2, so it cannot hold a container.
        if name.ends_with(".slice") {
            return Err(fault(format_args!(
                "{name:?} is a slice, and a container lives in a scope"
            )));
        }
        let stem = match prefix {
            "" => name.to_string(),
            prefix => format!("{prefix}-{name}"),
        };
        let unit = format!("{stem}.scope");
        check_name(&unit).map_err(|reason| match is_named_by_id {
            true => Error::Value {
                at: format!("container id {:?}", id.as_str()),
                reason: format!("{reason}; linux.cgroupsPath may name it: SLICE:PREFIX:NAME"),
            },
            false => fault(reason),
        })?;
        Ok(Self {
            manager,
            slice: slice.into(),
            name: unit,
        })
    }

    /// Where the unit's group lies below the manager's: `a.slice/a-b.slice/NAME`, since a dash in the
    /// name of a slice says what it lies in (systemd.slice(5)).
    pub fn path(&self) -> PathBuf {
        let stem = self.slice.strip_suffix(".slice").unwrap_or_default();
        let dashes = stem.match_indices('-').map(|(at, _)| at);
        let ends = dashes.chain([stem.len()]).filter(|end| *end > 0);
        let mut path: PathBuf = match stem {
            "-" => PathBuf::new(),
            _ => ends.map(|end| format!("{}.slice", &stem[..end])).collect(),
        };
        path.push(&self.name);
        path
    }
}

fn fault(reason: impl fmt::Display) -> Error {
    At::Top.key("linux").key("cgroupsPath").fault(reason)
}

fn three(path: &str) -> Result<(&str, &str, &str), Error> {
    let parts: Vec<&str> = path.split(':').collect();
    match parts[..] {
        [slice, prefix, name] => Ok((slice, prefix, name)),
        // The text is runc's.
        _ => Err(fault(format_args!(
            "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \
             {path:?} instead"
        ))),
    }
}

/// `-.slice`, or names with one dash between them.
fn check_slice(slice: &str) -> Result<(), Error> {
    check_name(slice).map_err(fault)?;
    let stem = slice.strip_suffix(".slice").unwrap_or_default();
    if stem == "-" || !stem.is_empty() && stem.split('-').all(|part| !part.is_empty()) {
        return Ok(());
    }
    Err(fault(format_args!("{slice:?} is no name of a slice")))
}

/// systemd.unit(5): letters, digits and `:-_.\`. A colon parts `linux.cgroupsPath`, so no name has one
/// here; an `@` would make it an instance of a template.
fn check_name(unit: &str) -> Result<(), String> {
    if unit.len() > LONGEST {
        return Err(format!(
            "the unit {unit:?} has {} bytes, and systemd takes {LONGEST} at most",
            unit.len()
        ));
    }
    let wrong = |c: &char| !c.is_ascii_alphanumeric() && !"-_.\\".contains(*c);
    match unit.chars().find(wrong) {
        Some(other) => Err(format!(
            "the unit {unit:?} has {other:?} in its name, and may have letters, digits and -_.\\"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(path: &str, manager: Manager) -> Result<Unit, Error> {
        let path = match path {
            "" => GroupPath::Default,
            path => match path.strip_prefix('/') {
                Some(_) => GroupPath::Absolute(path.into()),
                None => GroupPath::Relative(path.into()),
            },
        };
        Unit::new(&path, &Id::new("web").unwrap(), manager)
    }

    #[test]
    fn a_path_names_a_slice_and_a_scope() {
        for (path, slice, name) in [
            ("", "system.slice", "bulkhead-web.scope"),
            (
                "machine.slice:libpod:1a",
                "machine.slice",
                "libpod-1a.scope",
            ),
            (":docker:1a", "system.slice", "docker-1a.scope"),
            ("a.slice::x", "a.slice", "x.scope"),
            ("::", "system.slice", "web.scope"),
            ("-.slice:p:", "-.slice", "p-web.scope"),
        ] {
            let unit = unit(path, Manager::System).unwrap();
            assert_eq!((&*unit.slice, &*unit.name), (slice, name), "{path}");
        }
        assert_eq!(unit("", Manager::User).unwrap().slice, "user.slice");
    }

    #[test]
    fn a_slice_lies_in_those_that_its_dashes_name() {
        for (slice, path) in [
            ("-.slice", "x.scope"),
            ("a.slice", "a.slice/x.scope"),
            ("a-b.slice", "a.slice/a-b.slice/x.scope"),
            (
                "kubepods-burstable-pod1_2.slice",
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/x.scope",
            ),
        ] {
            let unit = unit(&format!("{slice}::x"), Manager::System).unwrap();
            assert_eq!(unit.path(), PathBuf::from(path));
        }
    }

    #[test]
    fn what_names_no_unit_is_an_error() {
        let long = format!("::{}", "x".repeat(250));
        for (path, said) in [
            ("/a/b", "got \"/a/b\" instead"),
            ("a/b", "of format \"slice:prefix:name\""),
            ("a.slice:b", "got \"a.slice:b\" instead"),
            ("a.slice:b:c:d", "of format"),
            ("a:b:c", "\"a\" is no name of a slice"),
            (".slice:b:c", "\".slice\" is no name of a slice"),
            ("a--b.slice:b:c", "is no name of a slice"),
            ("-a.slice:b:c", "is no name of a slice"),
            ("a/b.slice:b:c", "has '/' in its name"),
            ("a.slice:b:c@d", "has '@' in its name"),
            ("a.slice:b c:d", "has ' ' in its name"),
            ("a.slice:b:c.slice", "a container lives in a scope"),
            (&long, "has 256 bytes, and systemd takes 255 at most"),
        ] {
            let error = unit(path, Manager::System).unwrap_err().to_string();
            assert!(
                error.starts_with("config.json: linux.cgroupsPath: "),
                "{error}"
            );
            assert!(error.contains(said), "{path}: {error}");
        }
    }

    #[test]
    fn an_id_that_names_no_unit_is_named_itself() {
        let named = |path: GroupPath, id: &str| {
            let unit = Unit::new(&path, &Id::new(id).unwrap(), Manager::System);
            unit.map(|unit| unit.name).map_err(|e| e.to_string())
        };
        let long = "x".repeat(250);
        for (id, said) in [
            ("a+b", "\"bulkhead-a+b.scope\" has '+' in its name"),
            (&long, "has 265 bytes, and systemd takes 255 at most"),
        ] {
            let error = named(GroupPath::Default, id).unwrap_err();
            let begin = format!("container id {id:?}: ");
            assert!(error.starts_with(&begin) && error.contains(said), "{error}");
            assert!(error.contains("linux.cgroupsPath may name it"), "{error}");
        }
        let path = GroupPath::Relative(":p:other".into());
        assert_eq!(named(path, "a+b").unwrap(), "p-other.scope");
    }
}
