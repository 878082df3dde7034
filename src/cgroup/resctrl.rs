//! Classes of service in the resctrl filesystem, by which Intel's RDT and its like divide caches and the
//! bandwidth of memory (Documentation/filesystems/resctrl.rst of the kernel).
//!
//! Nothing is ever removed but by rmdir(2): the kernel removes what it has put into a group.

mod stats;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::hierarchies::unescape;
use crate::spec::Id;
use crate::spec::intel_rdt::{Class, IntelRdt, RdtGroups, Whose};
pub use stats::Stats;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("linux.intelRdt: no resctrl filesystem is mounted on this host")]
    NotMounted,
    #[error("linux.intelRdt.closID: {} is not there, and no schema says what to make", path.display())]
    NoClass { path: PathBuf },
    #[error("linux.intelRdt: {} is there, and has another schema than {line:?}", path.display())]
    OtherSchema { path: PathBuf, line: String },
    #[error("linux.intelRdt.closID: / is the class of the whole host, and has the host's schemata")]
    Default,
    #[error("linux.intelRdt: {act} {}{said}", path.display())]
    Call {
        act: &'static str,
        path: PathBuf,
        /// The kernel's own words, after a colon.
        said: String,
        source: io::Error,
    },
}

/// Where the filesystem is mounted.
pub fn find() -> Result<PathBuf, Error> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    find_in(&table).ok_or(Error::NotMounted)
}

/// proc(5): the fourth word is what is mounted, the fifth where, and the type is the first after the
/// dash. A folder of it, bound to another place, is not the whole.
fn find_in(table: &str) -> Option<PathBuf> {
    table.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(3);
        let is_it = words.next() == Some("/") && filesystem.split(' ').next() == Some("resctrl");
        words.next().filter(|_| is_it).map(unescape)
    })
}

/// Names the groups of container `id`; makes nothing.
pub fn place(root: &Path, asked: &IntelRdt, id: &Id) -> Result<RdtGroups, Error> {
    let (class, whose) = match &asked.class {
        Class::Own => (root.join(id.as_str()), Whose::Container),
        Class::Named(name) => (root.join(name), Whose::Several),
        Class::Default => (root.to_owned(), Whose::Host),
    };
    let is_there = class.is_dir();
    if is_there {
        check_schemata(&class, &asked.schemata)?;
    } else if whose == Whose::Several && asked.schemata.is_empty() {
        return Err(Error::NoClass { path: class });
    }
    let monitor = class.join("mon_groups").join(id.as_str());
    Ok(RdtGroups {
        whose: match whose {
            Whose::Container if is_there => Whose::Several,
            whose => whose,
        },
        monitor: asked.is_monitored.then_some(monitor),
        class,
    })
}

/// Makes what is not there. A class that somebody else has made meanwhile is entered, if it is as this
/// container wants it.
pub fn make(groups: &mut RdtGroups, schemata: &[String]) -> Result<(), Error> {
    let is_to_be_made = match groups.whose {
        Whose::Container => true,
        Whose::Several => !schemata.is_empty(),
        Whose::Host => false,
    };
    if is_to_be_made && make_class(&groups.class)? {
        set_schemata(groups, schemata).inspect_err(|_| {
            // Nobody has asked for it as it is.
            let _ = fs::remove_dir(&groups.class);
        })?;
    } else {
        if groups.whose == Whose::Container {
            groups.whose = Whose::Several;
        }
        check_schemata(&groups.class, schemata)?;
    }
    let make = |path: &Path| fs::create_dir(path).map_err(call("make", path));
    groups.monitor.as_deref().map_or(Ok(()), make)
}

/// Whether it was not there.
fn make_class(path: &Path) -> Result<bool, Error> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|()| true).map_err(call("make", path)),
    }
}

/// The lines that hold now.
pub fn schemata(groups: &RdtGroups) -> Result<Vec<String>, Error> {
    read_schemata(&groups.class)
}

fn read_schemata(class: &Path) -> Result<Vec<String>, Error> {
    let file = class.join("schemata");
    let text = fs::read_to_string(&file).map_err(call("read", &file))?;
    Ok(text.lines().map(String::from).collect())
}

/// Of a class that others are in too, for them as well.
pub fn set_schemata(groups: &RdtGroups, schemata: &[String]) -> Result<(), Error> {
    if schemata.is_empty() {
        return Ok(());
    }
    if groups.whose == Whose::Host {
        return Err(Error::Default);
    }
    let lines: String = schemata.iter().map(|line| format!("{line}\n")).collect();
    write(&groups.class.join("schemata"), &lines)
}

/// Puts a process in, and with it what it will fork.
pub fn join(groups: &RdtGroups, pid: Pid) -> Result<(), Error> {
    // Who enters a class leaves the monitored groups of another.
    write(&groups.class.join("tasks"), &pid.to_string())?;
    match &groups.monitor {
        Some(monitor) => write(&monitor.join("tasks"), &pid.to_string()),
        None => Ok(()),
    }
}

/// Removes what was made for the container. Removing twice is removing once.
pub fn remove(groups: &RdtGroups) -> Result<(), Error> {
    if let Some(monitor) = &groups.monitor {
        remove_dir(monitor)?;
    }
    // Others may have entered a class by its name; its removal would put them out.
    let tasks = fs::read_to_string(groups.class.join("tasks")).unwrap_or_default();
    if groups.whose == Whose::Container && tasks.trim().is_empty() {
        remove_dir(&groups.class)?;
    }
    Ok(())
}

fn remove_dir(path: &Path) -> Result<(), Error> {
    match fs::remove_dir(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(call("remove", path)),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(call("write to", path))
}

fn call<'a>(act: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |source| {
        // `info` is beside the classes, which are one or three above.
        let status = path.ancestors().map(|dir| dir.join("info/last_cmd_status"));
        let said = status
            .filter_map(|file| fs::read_to_string(file).ok())
            .next();
        let said = said.filter(|said| said.trim() != "ok").unwrap_or_default();
        let path = path.to_owned();
        let said = match said.trim() {
            "" => String::new(),
            said => format!(": {said}"),
        };
        Error::Call {
            act,
            path,
            said,
            source,
        }
    }
}

/// The class is as each of the lines wants it (config-linux.md).
fn check_schemata(class: &Path, lines: &[String]) -> Result<(), Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let found = read_schemata(class)?;
    let holds = |line: &&String| found.iter().any(|found| agrees(line, found));
    match lines.iter().find(|line| !holds(line)) {
        Some(line) => Err(Error::OtherSchema {
            path: class.into(),
            line: line.clone(),
        }),
        None => Ok(()),
    }
}

/// Whether the kernel's line says of each domain what the other says, in `L3:0=7f;1=f`.
fn agrees(asked: &str, found: &str) -> bool {
    let (Some((what, asked)), Some((of, found))) = (asked.split_once(':'), found.split_once(':'))
    else {
        return false;
    };
    let value = |domain: &str| -> Option<(String, String)> {
        let (id, value) = domain.split_once('=')?;
        // The kernel pads with blanks, and masks with zeros.
        let plain = value.trim().trim_start_matches('0');
        Some((id.trim().into(), plain.to_ascii_lowercase()))
    };
    let domains = |text: &str| -> Vec<_> { text.split(';').filter_map(value).collect() };
    let found = domains(found);
    what.trim() == of.trim() && domains(asked).iter().all(|domain| found.contains(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(class: Class, schemata: &[&str], is_monitored: bool) -> IntelRdt {
        IntelRdt {
            class,
            schemata: schemata.iter().map(ToString::to_string).collect(),
            is_monitored,
        }
    }

    fn id() -> Id {
        Id::new("box").unwrap()
    }

    fn gold() -> Class {
        Class::Named("gold".into())
    }

    #[test]
    fn the_mount_point_is_found() {
        let table = "22 1 0:21 / /sys rw - sysfs sysfs rw\n\
                     23 22 0:22 / /sys/fs/resctrl rw,relatime shared:7 - resctrl resctrl rw\n";
        assert_eq!(find_in(table), Some("/sys/fs/resctrl".into()));
        let odd = "22 1 0:21 / /a\\040b rw - resctrl resctrl rw\n";
        assert_eq!(find_in(odd), Some("/a b".into()));
        for other in [
            "22 1 0:21 / /resctrl rw - tmpfs resctrl rw\n",
            "22 1 0:21 /gold /srv/gold rw - resctrl resctrl rw\n",
        ] {
            assert_eq!(find_in(other), None, "{other}");
        }
    }

    #[test]
    fn a_container_has_a_class_of_its_own_where_none_is_named() {
        let root = tempfile::tempdir().unwrap();
        let asked = asked(Class::Own, &["L3:0=f", "MB:0=20"], false);
        let mut groups = place(root.path(), &asked, &id()).unwrap();
        assert!(groups.whose == Whose::Container && !groups.class.exists());
        make(&mut groups, &asked.schemata).unwrap();
        let read = |name| fs::read_to_string(root.path().join("box").join(name)).unwrap();
        assert_eq!(read("schemata"), "L3:0=f\nMB:0=20\n");
        set_schemata(&groups, &["L3:0=3".into()]).unwrap();
        assert_eq!(read("schemata"), "L3:0=3\n");
        join(&groups, Pid::from_raw(4711)).unwrap();
        assert_eq!(read("tasks"), "4711");

        remove(&groups).unwrap();
        assert!(groups.class.exists(), "somebody is in it");
        // The kernel does this.
        fs::remove_file(groups.class.join("tasks")).unwrap();
        fs::remove_file(groups.class.join("schemata")).unwrap();
        remove(&groups).unwrap();
        assert!(!groups.class.exists());
        remove(&groups).unwrap();
    }

    #[test]
    fn a_class_that_is_there_is_entered_and_stays() {
        let root = tempfile::tempdir().unwrap();
        let class = root.path().join("gold");
        fs::create_dir_all(class.join("mon_groups")).unwrap();
        let plain = asked(gold(), &[], true);
        let mut groups = place(root.path(), &plain, &id()).unwrap();
        make(&mut groups, &plain.schemata).unwrap();
        assert!(!class.join("schemata").exists(), "not a word is written");
        join(&groups, Pid::from_raw(7)).unwrap();
        for tasks in ["tasks", "mon_groups/box/tasks"] {
            assert_eq!(fs::read_to_string(class.join(tasks)).unwrap(), "7");
        }
        fs::remove_file(class.join("mon_groups/box/tasks")).unwrap();
        fs::write(class.join("tasks"), "").unwrap();
        remove(&groups).unwrap();
        assert!(class.exists() && !class.join("mon_groups/box").exists());
    }

    #[test]
    fn a_class_has_the_schema_that_is_asked_for_or_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let class = root.path().join("gold");
        fs::create_dir(&class).unwrap();
        fs::write(
            class.join("schemata"),
            "    MB:0= 20;1=100\n    L3:0=007f0;1=0001f\n",
        )
        .unwrap();
        let place = |lines: &[&str]| place(root.path(), &asked(gold(), lines, false), &id());
        for lines in [
            &["L3:0=7f0;1=1f"][..],
            &["L3:1=1F"],
            &["MB:1=100", "L3:0=7f0"],
        ] {
            place(lines).unwrap();
        }
        for line in ["L3:0=7f1", "L3:2=1f", "L2:0=7f0", "MB:0=2", "L3"] {
            let said = place(&[line]).unwrap_err().to_string();
            assert!(
                said.ends_with(&format!("another schema than {line:?}")),
                "{said}"
            );
        }
    }

    #[test]
    fn a_class_that_somebody_makes_meanwhile_is_entered_and_his() {
        for class in [Class::Own, gold()] {
            let root = tempfile::tempdir().unwrap();
            let asked = asked(class, &["L3:0=1"], false);
            let mut groups = place(root.path(), &asked, &id()).unwrap();
            fs::create_dir(&groups.class).unwrap();
            let schemata = groups.class.join("schemata");
            fs::write(&schemata, "L3:0=2\n").unwrap();
            let fault = make(&mut groups.clone(), &asked.schemata).unwrap_err();
            assert!(matches!(fault, Error::OtherSchema { .. }), "{fault}");
            fs::write(&schemata, "L3:0=1\n").unwrap();
            make(&mut groups, &asked.schemata).unwrap();
            fs::remove_file(&schemata).unwrap();
            remove(&groups).unwrap();
            assert!(groups.class.exists(), "{:?}", asked.class);
        }
    }

    #[test]
    fn a_named_class_stays_when_its_maker_goes() {
        let root = tempfile::tempdir().unwrap();
        let asked = asked(gold(), &["L3:0=1"], false);
        let mut groups = place(root.path(), &asked, &id()).unwrap();
        make(&mut groups, &asked.schemata).unwrap();
        let schemata = groups.class.join("schemata");
        assert_eq!(fs::read_to_string(&schemata).unwrap(), "L3:0=1\n");
        fs::remove_file(&schemata).unwrap();
        remove(&groups).unwrap();
        assert!(groups.class.exists());
    }

    #[test]
    fn the_default_class_is_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("mon_groups")).unwrap();
        let schemata = root.path().join("schemata");
        fs::write(&schemata, "L3:0=7ff\n").unwrap();
        let other = asked(Class::Default, &["L3:0=1"], true);
        let fault = place(root.path(), &other, &id()).unwrap_err();
        assert!(matches!(fault, Error::OtherSchema { .. }), "{fault}");

        let asked = asked(Class::Default, &["L3:0=7ff"], true);
        let mut groups = place(root.path(), &asked, &id()).unwrap();
        make(&mut groups, &asked.schemata).unwrap();
        set_schemata(&groups, &["L3:0=1".into()]).unwrap_err();
        assert_eq!(fs::read_to_string(&schemata).unwrap(), "L3:0=7ff\n");
        join(&groups, Pid::from_raw(7)).unwrap();
        for tasks in ["tasks", "mon_groups/box/tasks"] {
            let tasks = root.path().join(tasks);
            assert_eq!(fs::read_to_string(&tasks).unwrap(), "7");
            fs::remove_file(tasks).unwrap();
        }
        fs::remove_file(schemata).unwrap();
        remove(&groups).unwrap();
        assert!(root.path().exists() && !root.path().join("mon_groups/box").exists());
    }

    #[test]
    fn a_class_that_nobody_has_made_needs_a_schema() {
        let root = tempfile::tempdir().unwrap();
        let fault = place(root.path(), &asked(gold(), &[], false), &id()).unwrap_err();
        assert!(matches!(fault, Error::NoClass { .. }), "{fault}");
        place(root.path(), &asked(gold(), &["L3:0=1"], false), &id()).unwrap();
    }

    #[test]
    fn the_kernels_own_words_are_passed_on() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("info")).unwrap();
        let status = root.path().join("info/last_cmd_status");
        fs::write(&status, "Out of CLOSIDs\n").unwrap();
        let mut groups = RdtGroups {
            class: root.path().join("no/where"),
            whose: Whose::Container,
            monitor: None,
        };
        let said = make(&mut groups, &[]).unwrap_err().to_string();
        assert!(said.ends_with("/no/where: Out of CLOSIDs"), "{said}");
        fs::write(&status, "ok\n").unwrap();
        let said = make(&mut groups, &[]).unwrap_err().to_string();
        assert!(said.ends_with("/no/where"), "{said}");
    }
}
