//! Terminals from the outside: where a master goes, and a foreground container's between the user's
//! terminal and the program.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{Error, call};
use crate::spec::container::Process;
use crate::sys::poll::{self, Clock, Source, Want};
use crate::sys::terminal::{self, Modes};
use crate::sys::{channel, errno, path};

/// Who gets the master of the process's terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Console {
    /// There is none.
    None,
    /// Whoever listens there.
    Socket(PathBuf),
    /// We, who stay.
    Here,
}

impl Console {
    /// By runc's rules, in its words.
    pub(super) fn choose(
        process: Option<&Process>,
        detached: bool,
        socket: Option<&Path>,
    ) -> Result<Self, Error> {
        let has_terminal = process.is_some_and(|process| process.terminal.is_some());
        match (has_terminal, detached, socket) {
            (false, _, None) => Ok(Self::None),
            (true, false, None) => Ok(Self::Here),
            (true, true, Some(path)) => Ok(Self::Socket(path.into())),
            (true, true, None) => Err(Error::State(
                "cannot allocate tty if runc will detach without setting console socket",
            )),
            (_, _, Some(_)) => Err(Error::State(
                "cannot use console socket if runc will not detach or allocate tty",
            )),
        }
    }

    /// What is shown here begins with the size of the user's terminal, whatever the document says.
    pub(super) fn fit(&self, process: Option<&mut Process>) {
        let terminal = process.and_then(|process| process.terminal.as_mut());
        let (Self::Here, Some(terminal), Some(host)) = (self, terminal, host_terminal()) else {
            return;
        };
        terminal.size = terminal::size(host.as_fd()).ok().or(terminal.size);
    }

    /// Our end, where we get the master, and the end for the child.
    pub(super) fn open(&self) -> Result<(Option<OwnedFd>, Option<OwnedFd>), Error> {
        match self {
            Self::None => Ok((None, None)),
            Self::Socket(path) => {
                let fault = |e| Error::ConsoleSocket {
                    path: path.clone(),
                    // A path that is too long has no number of the kernel's.
                    errno: match errno(&e) {
                        Errno::EIO => Errno::ENAMETOOLONG,
                        errno => errno,
                    },
                };
                let socket = UnixStream::connect(path).map_err(fault)?;
                Ok((None, Some(socket.into())))
            }
            Self::Here => {
                let (ours, theirs) =
                    channel::pair().map_err(call("make the channel for the terminal"))?;
                Ok((Some(ours), Some(theirs)))
            }
        }
    }
}

/// The master of a container's terminal, and the user's terminal that it is shown on.
#[derive(Debug)]
pub(super) struct Terminal {
    master: File,
    host: Option<Host>,
    /// What was typed and is not taken yet.
    typed: Vec<u8>,
    /// What the program has written and is not shown yet.
    written: Vec<u8>,
    /// Whether more may be typed.
    input: bool,
    /// Whether anybody looks.
    seen: bool,
    /// While nobody in the container has the other end open (pty(7)): it may be opened again.
    rest: Option<Clock>,
}

/// The most that one write may have so that it does not wait where poll(2) says that there is room:
/// what a pipe takes as a whole.
const PART: usize = libc::PIPE_BUF;

/// What may still come of a process that has ended: more than the kernel keeps for a terminal.
const LAST: usize = 1 << 20;

/// The user's terminal, as it was.
#[derive(Debug)]
struct Host {
    terminal: OwnedFd,
    modes: Modes,
}

impl Drop for Host {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = terminal::set_modes(self.terminal.as_fd(), &self.modes);
    }
}

impl Terminal {
    /// Takes the master that comes through `console`, and the user's terminal, if there is one. The
    /// program runs already, and goes on where none came.
    pub(super) fn receive(console: Option<&OwnedFd>) -> Option<Self> {
        let master = channel::receive_fd(console?.as_fd()).ok().flatten()?;
        // Who types faster than the program reads must not keep its output from being shown.
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok()?;
        let terminal = Self {
            master: master.into(),
            host: host_terminal().and_then(|terminal| {
                let modes = terminal::make_raw(terminal.as_fd()).ok()?;
                Some(Host { terminal, modes })
            }),
            typed: Vec::new(),
            written: Vec::new(),
            input: true,
            seen: true,
            rest: None,
        };
        terminal.resize();
        Some(terminal)
    }

    /// Gives the container's terminal the size of the user's.
    pub(super) fn resize(&self) {
        let Some(host) = &self.host else { return };
        // A size that cannot be had or set leaves the old one.
        if let Ok(size) = terminal::size(host.terminal.as_fd()) {
            let _ = terminal::set_size(self.master.as_fd(), size);
        }
    }

    /// What to wait for on its behalf, and how long at most.
    pub(super) fn sources(&self) -> (Vec<Source<'_>>, Option<Duration>) {
        let mut sources = Vec::with_capacity(2);
        let rest = self.rest.and_then(|rest| rest.left()).flatten();
        if !self.written.is_empty() {
            sources.push((path::standard(1), Want::Write));
        } else if rest.is_none() {
            sources.push((self.master.as_fd(), Want::Read));
        }
        if !self.typed.is_empty() && rest.is_none() {
            sources.push((self.master.as_fd(), Want::Write));
        } else if self.typed.is_empty() && self.input {
            sources.push((path::standard(0), Want::Read));
        }
        (sources, rest)
    }

    /// Passes on a part of what there is, as far as it is taken. It never waits.
    pub(super) fn transfer(&mut self) {
        if self.written.is_empty() {
            self.read_written();
        }
        if is_ready(path::standard(1), Want::Write) {
            self.show();
        }
        if self.typed.is_empty() && self.input && is_ready(path::standard(0), Want::Read) {
            self.read_typed();
        }
        self.pass_typed();
    }

    /// Shows what is left of a process that has ended.
    pub(super) fn finish(&mut self) {
        for _ in 0..LAST / PART {
            if self.written.is_empty() && !self.read_written() {
                return;
            }
            self.show();
        }
    }

    /// Whether there was anything.
    fn read_written(&mut self) -> bool {
        let mut part = [0; PART];
        match self.master.read(&mut part) {
            Ok(count) => {
                self.rest = None;
                self.written.extend(&part[..count]);
                count > 0
            }
            Err(e) if e.raw_os_error() == Some(libc::EIO) => {
                self.rest = Some(Clock::start(Some(Duration::from_millis(50))));
                false
            }
            Err(_) => false,
        }
    }

    /// The program is not held up where nobody sees it.
    fn show(&mut self) {
        if !self.seen {
            self.written.clear();
            return;
        }
        match nix::unistd::write(path::standard(1), &self.written) {
            Ok(count) => drop(self.written.drain(..count)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.seen = false,
        }
    }

    fn read_typed(&mut self) {
        let mut part = [0; PART];
        match path::read(path::standard(0), &mut part) {
            Ok(count) if count > 0 => self.typed.extend(&part[..count]),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // Its end, or nothing that can be read.
            _ => self.input = false,
        }
    }

    fn pass_typed(&mut self) {
        if self.typed.is_empty() {
            return;
        }
        // What is not taken now is tried again.
        if let Ok(count) = self.master.write(&self.typed) {
            self.typed.drain(..count);
        }
    }
}

fn is_ready(fd: BorrowedFd<'_>, want: Want) -> bool {
    poll::wait_for(&[(fd, want)], Some(Duration::ZERO)).is_ok_and(|ready| ready != 0)
}

/// As runc looks for it: also where all three are redirected there may be one.
fn host_terminal() -> Option<OwnedFd> {
    let standard = [2, 1, 0].map(path::standard);
    match standard.into_iter().find(|fd| terminal::is_terminal(*fd)) {
        Some(terminal) => terminal.try_clone_to_owned().ok(),
        None => File::open("/dev/tty").ok().map(OwnedFd::from),
    }
}
