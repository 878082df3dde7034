//! Terminals from the outside: where a master goes, and a foreground container's between the user's
//! terminal and the program.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::state::errno;
use super::{Error, call};
use crate::spec::container::Process;
use crate::sys::poll::{Source, Want};
use crate::sys::terminal::{self, Modes};
use crate::sys::{channel, path};

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
    /// Whether more may be typed, and more be shown.
    open: (bool, bool),
    /// Whether anybody looks.
    seen: bool,
}

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
    /// Takes the master that comes through `console`, and the user's terminal, if there is one.
    pub(super) fn receive(console: Option<&OwnedFd>) -> Result<Option<Self>, Error> {
        let Some(console) = console else {
            return Ok(None);
        };
        let master = channel::receive_fd(console.as_fd());
        let Some(master) = master.map_err(call("receive the terminal"))? else {
            return Ok(None);
        };
        // Who types faster than the program reads must not keep its output from being shown.
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(call("make the terminal non-blocking"))?;
        let terminal = Self {
            master: master.into(),
            host: host_terminal().and_then(|terminal| {
                let modes = terminal::make_raw(terminal.as_fd()).ok()?;
                Some(Host { terminal, modes })
            }),
            typed: Vec::new(),
            open: (true, true),
            seen: true,
        };
        terminal.resize();
        Ok(Some(terminal))
    }

    /// Gives the container's terminal the size of the user's.
    pub(super) fn resize(&self) {
        let Some(host) = &self.host else { return };
        // A size that cannot be had or set leaves the old one.
        if let Ok(size) = terminal::size(host.terminal.as_fd()) {
            let _ = terminal::set_size(self.master.as_fd(), size);
        }
    }

    /// What to wait for on its behalf.
    pub(super) fn sources(&self) -> Vec<Source<'_>> {
        let (input, output) = self.open;
        let mut sources = Vec::with_capacity(3);
        if output {
            sources.push((self.master.as_fd(), Want::Read));
        }
        if !self.typed.is_empty() {
            sources.push((self.master.as_fd(), Want::Write));
        } else if input {
            sources.push((path::standard(0), Want::Read));
        }
        sources
    }

    /// Passes on what there is, as far as it is taken.
    pub(super) fn transfer(&mut self) -> Result<(), Error> {
        self.show();
        if self.typed.is_empty() && self.open.0 && is_ready(path::standard(0)) {
            self.read_typed()?;
        }
        self.pass_typed()
    }

    /// What the program has written until now. It is not held up where nobody sees it.
    pub(super) fn show(&mut self) {
        let mut part = [0; 16384];
        while self.open.1 {
            match self.master.read(&mut part) {
                Ok(0) => self.open.1 = false,
                Ok(count) => self.seen = self.seen && write_out(&part[..count]).is_ok(),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // Nobody has the other end open any more (pty(7)).
                Err(_) => self.open.1 = false,
            }
        }
    }

    fn read_typed(&mut self) -> Result<(), Error> {
        let mut part = [0; 4096];
        match path::read(path::standard(0), &mut part) {
            Ok(0) | Err(Errno::EIO) => self.open.0 = false,
            Ok(count) => self.typed.extend(&part[..count]),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(call("read the standard input")(errno)),
        }
        Ok(())
    }

    fn pass_typed(&mut self) -> Result<(), Error> {
        while !self.typed.is_empty() {
            match self.master.write(&self.typed) {
                Ok(count) => drop(self.typed.drain(..count)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    // Nobody will read it.
                    self.typed.clear();
                    self.open.0 = false;
                }
            }
        }
        Ok(())
    }
}

fn is_ready(fd: BorrowedFd<'_>) -> bool {
    crate::sys::poll::wait(&[fd], Some(std::time::Duration::ZERO)).is_ok_and(|ready| ready != 0)
}

fn write_out(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

/// As runc looks for it: also where all three are redirected there may be one.
fn host_terminal() -> Option<OwnedFd> {
    let standard = [2, 1, 0].map(path::standard);
    match standard.into_iter().find(|fd| terminal::is_terminal(*fd)) {
        Some(terminal) => terminal.try_clone_to_owned().ok(),
        None => File::open("/dev/tty").ok().map(OwnedFd::from),
    }
}
