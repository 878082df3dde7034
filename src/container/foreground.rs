//! A process in the foreground: waited for, with signals and its terminal passed on.

use std::os::fd::{AsFd, OwnedFd};

use nix::unistd::Pid;

use super::oom::Witness;
use super::readiness::Readiness;
use super::terminal::Terminal;
use super::{Error, call};
use crate::sys::poll::{self, Want};
use crate::sys::signal::{self, Ended};

/// The process, and what is attended to until its end.
#[derive(Debug)]
pub(super) struct Foreground<'a> {
    pub(super) pid: Pid,
    pub(super) process: &'a OwnedFd,
    /// Has every signal that is sent to us.
    pub(super) signals: &'a OwnedFd,
    pub(super) witness: Witness<'a>,
    pub(super) terminal: Option<Terminal>,
    /// The manager goes on watching us, who are there as long as the container is.
    pub(super) readiness: Option<Readiness>,
}

impl Foreground<'_> {
    /// Passes on what comes until the process ends; its status. One that cannot be attended to is ended.
    pub(super) fn attend(&mut self) -> Result<Ended, Error> {
        self.pass_on().inspect_err(|_| {
            let _ = signal::send(self.process.as_fd(), libc::SIGKILL);
            let _ = signal::wait(self.process.as_fd(), true);
        })
    }

    fn pass_on(&mut self) -> Result<Ended, Error> {
        let act = call("wait for the container's process");
        loop {
            let mut sources = vec![
                (self.process.as_fd(), Want::Read),
                (self.signals.as_fd(), Want::Read),
            ];
            sources.extend(self.readiness.as_ref().map(|r| (r.fd(), Want::Read)));
            sources.extend(self.witness.fd().map(|fd| (fd, Want::Read)));
            let terminal = self.terminal.as_ref().map(Terminal::sources);
            let (more, limit) = terminal.unwrap_or_default();
            sources.extend(more);
            let ready = poll::wait_for(&sources, limit).map_err(&act)?;
            self.witness.look();
            if let Some(Err(e)) = self.readiness.as_ref().map(|r| r.pass_on(None)) {
                log::warn!("{e}");
                self.readiness = None;
            }
            if ready & 0b10 != 0 && self.forward()? {
                self.terminal.iter().for_each(Terminal::resize);
            }
            self.terminal.iter_mut().for_each(Terminal::transfer);
            if ready & 0b01 != 0
                && let Some(ended) = signal::wait(self.process.as_fd(), true).map_err(&act)?
            {
                self.terminal.iter_mut().for_each(Terminal::finish);
                return Ok(ended);
            }
        }
    }

    /// All but what is about our own children and terminal, as runc does. Whether the size of the
    /// terminal has changed.
    fn forward(&self) -> Result<bool, Error> {
        let mut resized = false;
        while let Some(number) =
            signal::next(self.signals.as_fd()).map_err(call("read a signal"))?
        {
            resized |= number == libc::SIGWINCH;
            if number == libc::SIGCHLD {
                let reaped = signal::reap_orphans(self.pid);
                reaped.map_err(call("reap orphans of the container"))?;
            }
            if !matches!(number, libc::SIGCHLD | libc::SIGWINCH | libc::SIGURG) {
                // A process that has just ended takes none.
                let _ = signal::send(self.process.as_fd(), number);
            }
        }
        Ok(resized)
    }
}
