//! What the probe does when told to, each with the kernel's answer.

use crate::{Answer, calls, memory, report};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

/// An unknown command, or one with arguments missing, is EINVAL.
pub fn act(command: &str, args: &[&str]) -> Answer {
    match (command, args) {
        ("report", []) => Ok(report::everything()),
        ("print", words) => print(&mut io::stdout(), words),
        ("print-error", words) => print(&mut io::stderr(), words),
        ("copy", []) => io::copy(&mut io::stdin(), &mut io::stdout()).map(|_| Value::Null),
        ("write", [path, words @ ..]) => write(path, &words.join(" ")),
        ("read", [path]) => fs::read_to_string(path).map(Value::from),
        ("list", [path]) => list(path),
        ("stat", [path]) => stat(path),
        ("mkdir", [path]) => fs::create_dir(path).map(|()| json!(true)),
        ("remove", [path]) => fs::remove_file(path).map(|()| json!(true)),
        ("chown", [path, id]) => {
            std::os::unix::fs::chown(path, Some(parse(id)?), Some(parse(id)?)).map(|()| json!(true))
        }
        ("sysctl", names) => sysctl(names),
        ("mknod", [path, kind, major, minor]) => mknod(path, kind, parse(major)?, parse(minor)?),
        ("open", [path]) => open(path),
        ("open-exe", []) => Ok(open_exe()),
        ("mount", [source, target, kind]) => {
            memory::mount(source, target, kind, 0).map(Value::from)
        }
        ("bind", [source, target]) => {
            memory::mount(source, target, "", libc::MS_BIND).map(Value::from)
        }
        ("remount-writable", [target]) => {
            let flags = libc::MS_BIND | libc::MS_REMOUNT;
            memory::mount("", target, "", flags).map(Value::from)
        }
        ("unshare", [kind]) => calls::call(libc::SYS_unshare, &[namespace(kind)?]).map(Value::from),
        ("ptrace", []) => ptrace(),
        ("syscall", [name, numbers @ ..]) => {
            let number = calls::number(name).ok_or_else(invalid)?;
            calls::call(number, &parse_all(numbers)?).map(Value::from)
        }
        ("syscall32", [number, numbers @ ..]) => {
            calls::call32(parse(number)?, &parse_all(numbers)?).map(Value::from)
        }
        ("notify", lines) => {
            let manager = std::env::var_os("NOTIFY_SOCKET").ok_or_else(invalid)?;
            let socket = UnixDatagram::unbound()?;
            let sent = socket.send_to(lines.join("\n").as_bytes(), manager)?;
            Ok(json!(sent))
        }
        ("exit", [code]) => std::process::exit(parse(code)?),
        ("sleep", [seconds]) => {
            std::thread::sleep(Duration::from_secs_f64(parse(seconds)?));
            Ok(Value::Null)
        }
        ("signal-self", [signal]) => {
            let pid = i64::from(std::process::id());
            calls::call(libc::SYS_kill, &[pid, parse(signal)?]).map(Value::from)
        }
        ("wait-signal", signals) => {
            let signals: Vec<i32> = signals
                .iter()
                .map(|s| parse(s))
                .collect::<io::Result<_>>()?;
            memory::wait_for_signal(&signals).map(Value::from)
        }
        ("alloc-memory", [mebibytes]) => alloc_memory(parse(mebibytes)?),
        ("huge-pages", [count]) => memory::touch_huge_pages(parse(count)?).map(Value::from),
        ("read-device", [path, mebibytes]) => read_device(path, parse(mebibytes)?),
        ("fork-bomb", [count]) => fork_bomb(parse(count)?),
        ("fork-storm", [idle, count]) => fork_storm(parse(idle)?, parse(count)?),
        ("orphan", [seconds]) => orphan(parse(seconds)?),
        ("spin", [seconds]) => spin(Duration::from_secs_f64(parse(seconds)?)),
        _ => Err(invalid()),
    }
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

fn parse<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_| invalid())
}

fn parse_all(words: &[&str]) -> io::Result<Vec<i64>> {
    words.iter().map(|word| parse(word)).collect()
}

fn print(to: &mut dyn Write, words: &[&str]) -> Answer {
    writeln!(to, "{}", words.join(" "))?;
    to.flush()?;
    Ok(Value::Null)
}

/// Writes over what the file holds, as one does with sysctls and cgroup files.
fn write(path: &str, text: &str) -> Answer {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(json!(text.len()))
}

fn list(path: &str) -> Answer {
    let entries = fs::read_dir(path)?.flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(json!(names))
}

fn stat(path: &str) -> Answer {
    fs::symlink_metadata(path)?;
    Ok(json!(report::node(Path::new(path))))
}

fn sysctl(names: &[&str]) -> Answer {
    let value = |name: &&str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let text = fs::read_to_string(path)?;
        Ok(((*name).to_owned(), json!(text.trim_end())))
    };
    names
        .iter()
        .map(value)
        .collect::<io::Result<serde_json::Map<_, _>>>()
        .map(Value::from)
}

fn mknod(path: &str, kind: &str, major: u32, minor: u32) -> Answer {
    let kind = match kind {
        "c" => libc::S_IFCHR,
        "b" => libc::S_IFBLK,
        "p" => libc::S_IFIFO,
        _ => return Err(invalid()),
    };
    memory::mknod(path, kind | 0o600, major, minor).map(Value::from)
}

/// Opens for reading, and reads a byte where there is one: a device may refuse either.
fn open(path: &str) -> Answer {
    let count = fs::File::open(path)?.read(&mut [0])?;
    Ok(json!(count))
}

/// Tries to open for writing every executable a process can be reached through: the runtime's own
/// is among them while it enters the container (CVE-2019-5736).
fn open_exe() -> Value {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let attempt = |pid: u32| {
        let path = format!("/proc/{pid}/exe");
        let target = fs::read_link(&path).ok();
        let opened = OpenOptions::new().write(true).open(&path);
        let errno = opened.as_ref().err().and_then(io::Error::raw_os_error);
        json!({ "pid": pid, "target": target, "writable": opened.is_ok(), "errno": errno })
    };
    pids.map(attempt).collect()
}

fn namespace(kind: &str) -> io::Result<i64> {
    let flag = match kind {
        "mount" => libc::CLONE_NEWNS,
        "pid" => libc::CLONE_NEWPID,
        "network" => libc::CLONE_NEWNET,
        "ipc" => libc::CLONE_NEWIPC,
        "uts" => libc::CLONE_NEWUTS,
        "user" => libc::CLONE_NEWUSER,
        "cgroup" => libc::CLONE_NEWCGROUP,
        "time" => 0x80,
        _ => return Err(invalid()),
    };
    Ok(i64::from(flag))
}

/// Attaches to a child of its own, the least a tracer may do.
fn ptrace() -> Answer {
    let Some(child) = memory::fork()? else {
        std::thread::sleep(Duration::from_secs(10));
        std::process::exit(0);
    };
    let attached = calls::call(
        libc::SYS_ptrace,
        &[libc::PTRACE_ATTACH.into(), child.into()],
    );
    calls::call(libc::SYS_kill, &[child.into(), libc::SIGKILL.into()])?;
    memory::wait(child)?;
    attached.map(Value::from)
}

/// Touches every page, so that the memory is charged, and keeps it to the end. Tells how far it came as it goes: a process
/// that the kernel kills tells nothing afterwards.
fn alloc_memory(mebibytes: usize) -> Answer {
    let mut held = Vec::new();
    for _ in 0..mebibytes {
        let mut block = vec![0u8; 1 << 20];
        block.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        held.push(std::hint::black_box(block));
    }
    Ok(json!(std::mem::ManuallyDrop::new(held).len()))
}

/// Reads from the start of a block device past the cache, and tells the time it took.
fn read_device(path: &str, mebibytes: usize) -> Answer {
    let mut device = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    // What is read past the cache goes to memory in whole blocks of the device.
    let mut space = vec![0; (64 << 10) + 4096];
    let start = space.as_ptr().align_offset(4096);
    let begin = Instant::now();
    for _ in 0..mebibytes * 16 {
        device.read_exact(&mut space[start..start + (64 << 10)])?;
    }
    Ok(json!({ "seconds": begin.elapsed().as_secs_f64() }))
}

/// Starts children that wait, up to `count`, and tells how many there were at once.
fn fork_bomb(count: u32) -> Answer {
    let mut children = Vec::new();
    let mut errno = None;
    for _ in 0..count {
        match memory::fork() {
            Ok(Some(child)) => children.push(child),
            Ok(None) => {
                std::thread::sleep(Duration::from_secs(60));
                std::process::exit(0);
            }
            Err(error) => {
                errno = error.raw_os_error();
                break;
            }
        }
    }
    for child in &children {
        calls::call(libc::SYS_kill, &[i64::from(*child), libc::SIGKILL.into()])?;
        memory::wait(*child)?;
    }
    Ok(json!({ "forks": children.len(), "errno": errno }))
}

/// Among `idle` others, `count` processes that each start the next one and end: whoever lists them
/// first and kills them then is late. Goes on for a minute.
fn fork_storm(idle: u32, count: u32) -> Answer {
    for _ in 0..idle {
        if memory::fork()?.is_none() {
            std::thread::sleep(Duration::from_secs(60));
            std::process::exit(0);
        }
    }
    for _ in 0..count {
        if memory::fork()?.is_some() {
            continue;
        }
        loop {
            // Where there is no place for the next one, there may be at the next try.
            if let Ok(Some(_)) = memory::fork() {
                std::process::exit(0);
            }
        }
    }
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        // The dead would take the places. They are another's where the pid namespace is.
        if calls::call(libc::SYS_wait4, &[-1, 0, 0, 0]).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(Value::Null)
}

/// Leaves a process behind.
fn orphan(seconds: f64) -> Answer {
    let Some(child) = memory::fork()? else {
        std::thread::sleep(Duration::from_secs_f64(seconds));
        std::process::exit(0);
    };
    Ok(json!(child))
}

/// Keeps one processor busy, and tells the time it got and the time that passed.
fn spin(wall: Duration) -> Answer {
    let (start, used) = (Instant::now(), memory::cpu_time());
    while start.elapsed() < wall {
        std::hint::spin_loop();
    }
    Ok(json!({ "cpu": memory::cpu_time() - used, "wall": start.elapsed().as_secs_f64() }))
}
