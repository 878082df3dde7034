//! Steps in words: what `bulkhead plan` prints and what an error begins with.

use std::ffi::CStr;
use std::fmt::{self, Display};

use super::step::{Gate, Mount, Node, OtherGroups, Overlay, Remount, Source, Step, kinds};
use crate::spec::container::NodeKind;
use crate::spec::mounts::{Attributes, FsOption};
use crate::spec::scheduling::{IoPriority, MemoryPolicy, Scheduler};

fn show(text: &CStr) -> impl Display + '_ {
    String::from_utf8_lossy(text.to_bytes())
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DieWithRuntime => f.write_str("die with the runtime"),
            Self::OutliveRuntime => f.write_str("outlive the runtime"),
            Self::OomScore(score) => write!(f, "set the OOM score adjustment to {}", show(score)),
            Self::Join(join) => {
                write!(
                    f,
                    "join the {} namespace {}",
                    join.kind.name(),
                    show(&join.path)
                )
            }
            Self::Enter(enter) => {
                let kinds: Vec<_> = kinds(enter.namespaces).collect();
                write!(f, "enter the container's namespaces: {}", kinds.join(", "))
            }
            Self::Gate(gate) => f.write_str(match gate {
                Gate::Grouped => "wait for systemd to make the group",
                Gate::Adopted => "wait for the runtime to know the new process",
                Gate::Mapped => "wait for the id maps",
                Gate::Connected => "wait for the network devices",
                Gate::Hooked => "wait for the hooks of the runtime's side",
                Gate::Recorded => "wait for the record",
            }),
            Self::BecomeUndumpable => f.write_str("become undumpable"),
            Self::BecomeRoot => f.write_str("become root of the user namespace"),
            Self::JoinGroups => f.write_str("join the groups of cgroup v1"),
            Self::Unshare(bits) => {
                write!(
                    f,
                    "make namespaces: {}",
                    kinds(*bits).collect::<Vec<_>>().join(", ")
                )
            }
            Self::HandOver(0) => f.write_str("hand over to a new process"),
            Self::HandOver(bits) => {
                let kinds: Vec<_> = kinds(*bits).collect();
                let kinds = kinds.join(", ");
                write!(f, "hand over to a new process with new namespaces: {kinds}")
            }
            Self::Clock(line) => {
                let line = line.to_string_lossy();
                write!(f, "set linux.timeOffsets: {}", line.trim_end())
            }
            Self::NewSession => f.write_str("start a session"),
            Self::NewKeyring(name) => write!(f, "make the session keyring {}", show(name)),
            Self::Propagate(flags) => f.write_str(match flags & !libc::MS_REC {
                libc::MS_SLAVE => "make every mount a slave of the host's",
                libc::MS_SHARED => "share every mount with the host",
                _ => "make every mount private",
            }),
            Self::PrivateParent(path) => write!(f, "make the mount at {} private", show(path)),
            Self::AttachRoot { tree, .. } => {
                write!(
                    f,
                    "attach the root filesystem {} and enter it",
                    show(&tree.path)
                )
            }
            Self::AttachOverlay(overlay) => overlay.fmt(f),
            Self::Mount(mount) => mount.fmt(f),
            Self::Remount(remount) => remount.fmt(f),
            Self::Node(node) => node.fmt(f),
            Self::Link { text, at, .. } => write!(f, "link {at} to {}", show(text)),
            Self::Mask { path, .. } => write!(f, "mask {path}"),
            Self::ReadOnly(path) => write!(f, "make {path} read-only"),
            Self::Seal { target, .. } => write!(f, "make the mount at {target} read-only"),
            Self::Hook(hook) => {
                write!(
                    f,
                    "run the {} hook {}: {}",
                    hook.point,
                    hook.index,
                    show(&hook.path)
                )
            }
            Self::Pivot { .. } => f.write_str("make it the root and drop the host's tree"),
            Self::MoveRoot { .. } => f.write_str("move it over the root and change into it"),
            Self::RootPropagation(flags) => write!(f, "make the root {}", propagation(*flags)),
            Self::ReadOnlyRoot => f.write_str("make the root read-only"),
            Self::SetUpLoopback => f.write_str("set the loopback interface up"),
            Self::Hostname(name) => write!(f, "set the hostname {}", show(name)),
            Self::Domainname(name) => write!(f, "set the domain name {}", show(name)),
            Self::Sysctl { key, value, .. } => write!(f, "set sysctl {key} to {}", show(value)),
            Self::Personality(persona) => write!(f, "set the personality {persona:#x}"),
            Self::Rlimit {
                name, soft, hard, ..
            } => f.write_str(&rlimit(name, *soft, *hard)),
            Self::HoldProc => f.write_str("hold the host's /proc"),
            Self::Profile(name) => {
                write!(
                    f,
                    "have the program run under the AppArmor profile {}",
                    show(name)
                )
            }
            // Podman looks for the file in backquotes.
            Self::Label { what, label } => {
                let text = if label.is_empty() { c"nothing" } else { label };
                let (text, file) = (show(text), show(what.file()));
                write!(f, "write {text} to `/proc/{file}`")
            }
            Self::Affinity(cpus) => write!(f, "run on the processors {cpus}"),
            Self::Scheduler(scheduler) => scheduler.fmt(f),
            Self::IoPriority(priority) => priority.fmt(f),
            Self::MemoryPolicy(policy) => policy.fmt(f),
            Self::MakeWorkingDir(path) => write!(f, "make the directory {path}"),
            Self::Terminal(terminal) => {
                f.write_str("make a terminal")?;
                if terminal.console {
                    f.write_str(", and /dev/console of it")?;
                }
                Ok(())
            }
            Self::Standard(_) => f.write_str("take a file for the standard descriptors"),
            Self::OwnPipes { uid } => write!(f, "give the standard pipes to user {uid}"),
            Self::CloseFrom(first) => write!(f, "close descriptors from {first} on"),
            Self::Bound(keep) => write!(f, "bound the capabilities to {}", Names(*keep)),
            Self::BecomeUser { uid, gid, groups } => {
                write!(f, "become user {uid} and group {gid}")?;
                match groups {
                    OtherGroups::Are(groups) if !groups.is_empty() => {
                        write!(f, " with groups {groups:?}")
                    }
                    _ => Ok(()),
                }
            }
            Self::Capabilities { sets, ambient } => {
                write!(f, "take the capabilities {}", Names(sets.permitted))?;
                if sets.inheritable != 0 {
                    write!(f, ", inheritable {}", Names(sets.inheritable))?;
                }
                if *ambient != 0 {
                    write!(f, ", ambient {}", Names(*ambient))?;
                }
                Ok(())
            }
            Self::Umask(mask) => write!(f, "set the umask {mask:04o}"),
            Self::EnterWorkingDir { path, again: false } => write!(f, "change into {}", show(path)),
            Self::EnterWorkingDir { path, again: true } => {
                write!(f, "change into {}, if root was not let in", show(path))
            }
            Self::FindProgram(program) => write!(f, "find the program {}", show(&program.name)),
            Self::NoNewPrivileges => f.write_str("forbid new privileges"),
            Self::AwaitStart => f.write_str("wait for start"),
            Self::Seccomp(program) => {
                write!(
                    f,
                    "load the seccomp filter ({} instructions){}",
                    program.len(),
                    match program.flags_to_listen() {
                        Some(_) => " and send its listener to the agent",
                        None => "",
                    }
                )
            }
            Self::Execute { args, .. } => {
                f.write_str("execute")?;
                args.strings()
                    .iter()
                    .try_for_each(|word| write!(f, " {}", show(word)))
            }
        }
    }
}

impl Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = &self.attributes;
        write!(f, "set the scheduler {}", self.policy)?;
        match (of.priority, of.runtime) {
            (0, 0) => write!(f, " (nice {})", of.nice),
            (0, runtime) => {
                let (deadline, period) = (of.deadline, of.period);
                write!(f, " ({runtime} ns by {deadline} ns every {period} ns)")
            }
            (priority, _) => write!(f, " (priority {priority})"),
        }
    }
}

impl Display for IoPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, priority) = (self.class, self.priority);
        write!(f, "set the I/O priority {class} {priority}")
    }
}

impl Display for MemoryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set the memory policy {}", self.name)?;
        match self.nodes.is_empty() {
            true => Ok(()),
            false => write!(f, " of the nodes {}", self.nodes),
        }
    }
}

pub(super) fn rlimit(name: &str, soft: u64, hard: u64) -> String {
    format!("limit {name} to {}:{}", Infinite(soft), Infinite(hard))
}

/// A number of rlimits, where the largest means none.
struct Infinite(u64);

impl Display for Infinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == libc::RLIM64_INFINITY {
            f.write_str("unlimited")
        } else {
            self.0.fmt(f)
        }
    }
}

/// Capabilities by name.
pub(super) struct Names(pub(super) u64);

impl Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = caps::all()
            .into_iter()
            .filter(|c| self.0 & c.bitmask() != 0)
            .collect();
        names.sort_by_key(caps::Capability::index);
        match (names.len(), self.0.count_ones() as usize) {
            (_, 0) => f.write_str("none"),
            (known, all) if known == all && known >= caps::all().len() => f.write_str("all"),
            _ => {
                let text: Vec<_> = names
                    .iter()
                    .map(|c| c.to_string().trim_start_matches("CAP_").to_lowercase())
                    .collect();
                f.write_str(&text.join(" "))
            }
        }
    }
}

/// The word of config.json for `MS_*` flags.
fn propagation(flags: u64) -> &'static str {
    match (flags & libc::MS_REC != 0, flags & !libc::MS_REC) {
        (false, libc::MS_SLAVE) => "slave",
        (true, libc::MS_SLAVE) => "rslave",
        (false, libc::MS_SHARED) => "shared",
        (true, libc::MS_SHARED) => "rshared",
        (false, libc::MS_UNBINDABLE) => "unbindable",
        (true, libc::MS_UNBINDABLE) => "runbindable",
        (false, _) => "private",
        (true, _) => "rprivate",
    }
}

impl Display for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = match self.layers.len() {
            1 => "1 layer".to_string(),
            count => format!("{count} layers"),
        };
        let kind = match self.changes {
            Some(_) => "an overlay",
            None => "a read-only overlay",
        };
        write!(
            f,
            "attach {kind} of {layers} as the root filesystem and enter it"
        )
    }
}

impl Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        match &self.source {
            Source::New { kind, options, .. } => {
                write!(f, "mount {} at {}", show(kind), self.target)?;
                words.extend(attributes(self.attributes, ""));
                say_once(options, &mut words);
            }
            Source::Bind(tree) => {
                let whole = if tree.recursive { "bind" } else { "bind only" };
                write!(f, "{whole} {} at {}", show(&tree.path), self.target)?;
                words.extend(tree.ids.clone());
                words.extend(attributes(self.attributes, ""));
            }
        }
        words.extend(attributes(self.recursive, "r"));
        words.extend(self.propagation.iter().map(|p| propagation(*p).to_string()));
        if self.copy_up {
            words.push("tmpcopyup".into());
        }
        if words.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", words.join(", "))
        }
    }
}

impl Display for Remount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "remount {}", self.target)?;
        let mut words = attributes(self.attributes, "");
        words.extend(attributes(self.recursive, "r"));
        say_once(&self.options, &mut words);
        if words.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", words.join(", "))
        }
    }
}

/// `ro` may be both an attribute and a state of the filesystem.
fn say_once(options: &[FsOption], words: &mut Vec<String>) {
    for word in options.iter().map(option) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
}

fn option(option: &FsOption) -> String {
    match option {
        FsOption::Flag(key) => show(key).to_string(),
        FsOption::Value(key, value) => format!("{}={}", show(key), show(value)),
    }
}

/// Mount attributes as words of config.json.
fn attributes(attributes: Attributes, prefix: &str) -> Vec<String> {
    const FLAGS: &[(u64, &str, &str)] = &[
        (libc::MOUNT_ATTR_RDONLY, "ro", "rw"),
        (libc::MOUNT_ATTR_NOSUID, "nosuid", "suid"),
        (libc::MOUNT_ATTR_NODEV, "nodev", "dev"),
        (libc::MOUNT_ATTR_NOEXEC, "noexec", "exec"),
        (libc::MOUNT_ATTR_NODIRATIME, "nodiratime", "diratime"),
        (libc::MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow", "symfollow"),
        (libc::MOUNT_ATTR_NOATIME, "noatime", ""),
        (libc::MOUNT_ATTR_STRICTATIME, "strictatime", ""),
    ];
    let mut words = Vec::new();
    for (bit, on, off) in FLAGS {
        if attributes.set & bit != 0 {
            words.push(format!("{prefix}{on}"));
        } else if attributes.clear & bit != 0 && !off.is_empty() {
            words.push(format!("{prefix}{off}"));
        }
    }
    let atime = libc::MOUNT_ATTR__ATIME;
    if attributes.clear & atime == atime && attributes.set & atime == 0 {
        words.push(format!("{prefix}relatime"));
    }
    words
}

impl Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            NodeKind::Char => "character device",
            NodeKind::Block => "block device",
            NodeKind::Fifo => return write!(f, "make the fifo {}", self.at),
        };
        write!(
            f,
            "make the {kind} {} ({}:{}, {:04o})",
            self.at, self.major, self.minor, self.mode
        )
    }
}
