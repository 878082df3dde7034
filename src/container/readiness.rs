//! Readiness (sd_notify(3)): a container tells a socket of ours that it is ready, and we tell the
//! service manager. Nothing else is passed on, since a manager takes orders from its services.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use super::{Error, call};
use crate::spec::Container;
use crate::spec::mounts::{Attributes, Mount};
use crate::spec::units::{AbsPath, InRoot};
use crate::state::Slot;
use crate::sys::{channel, errno, poll};

/// Where the container finds our socket, as under runc.
const DIRECTORY: &str = "/run/notify";
const VARIABLE: &std::ffi::CStr = c"NOTIFY_SOCKET=/run/notify/notify.sock";

/// How many messages of the container are read at once.
const MOST_MESSAGES: usize = 16;

/// How long a manager may take to say that it has heard; systemd's own clients wait as long.
const BARRIER: Duration = Duration::from_secs(30);

/// Shows the container the directory that the socket will be in.
pub(super) fn offer(container: &mut Container, directory: &Path) {
    let target = InRoot::new(DIRECTORY).expect("a constant");
    let Ok(source) = AbsPath::new(directory) else {
        return; // the state directory is one
    };
    container.mounts.push(Mount {
        attributes: Attributes {
            set: libc::MOUNT_ATTR_RDONLY
                | libc::MOUNT_ATTR_NOSUID
                | libc::MOUNT_ATTR_NODEV
                | libc::MOUNT_ATTR_NOEXEC,
            clear: 0,
        },
        ..Mount::bind(target, source)
    });
    if let Some(process) = &mut container.process {
        process.set_variable(VARIABLE.into());
    }
}

/// Between the container and the manager.
#[derive(Debug)]
pub(super) struct Readiness {
    container: UnixDatagram,
    manager: UnixDatagram,
}

impl Readiness {
    /// Listens where [`offer`] has shown it; `None` where it has not. `manager` is the value of
    /// `NOTIFY_SOCKET`.
    pub(super) fn listen(slot: &Slot, manager: &[u8]) -> Result<Option<Self>, Error> {
        let fault = |errno| Error::NotifySocket {
            name: String::from_utf8_lossy(manager).into_owned(),
            errno,
        };
        let there = connect(manager).map_err(|e| fault(errno(&e)))?;
        let Some(container) = slot.bind_notify_socket()? else {
            return Ok(None);
        };
        // A manager that stands still must not make us stand still: what it does not take is lost.
        let ready = container.set_nonblocking(true);
        ready
            .and_then(|()| there.set_nonblocking(true))
            .map_err(|e| fault(errno(&e)))?;
        Ok(Some(Self {
            container,
            manager: there,
        }))
    }

    /// Can be read when the container has said something.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.container.as_fd()
    }

    /// Passes on that the container is ready, if it has said so by now, once. `pid` is what the manager is to
    /// watch from here on, for a runtime that goes.
    pub(super) fn pass_on(&self, pid: Option<i32>) -> Result<bool, Error> {
        let mut message = [0; 4096];
        // A container may talk without end.
        for _ in 0..MOST_MESSAGES {
            let length = match self.container.recv(&mut message) {
                Ok(length) => length,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(call("hear whether the container is ready")(errno(&e))),
            };
            let mut lines = message[..length].split(|byte| *byte == b'\n');
            if let Some(line) = lines.find(|line| line.starts_with(b"READY=")) {
                let told = self.tell(line, pid);
                told.map_err(call("tell NOTIFY_SOCKET that the container is ready"))?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits until the container is ready, or has ended. It runs, whatever the manager hears of it.
    pub(super) fn wait(&self, process: BorrowedFd<'_>, pid: i32) {
        let act = call("wait for the container to be ready");
        let over = loop {
            match poll::wait(&[self.fd(), process], None).map_err(&act) {
                Ok(ready) if ready & 0b01 != 0 => match self.pass_on(Some(pid)) {
                    Ok(false) if ready & 0b10 == 0 => {}
                    told => break told.map(drop),
                },
                Ok(0) => {}
                ended => break ended.map(drop),
            }
        };
        if let Err(e) = over {
            log::warn!("{e}");
        }
    }

    fn tell(&self, ready: &[u8], pid: Option<i32>) -> Result<(), Errno> {
        let send = |text: &[u8]| self.manager.send(text).map_err(|e| errno(&e));
        send(&[ready, b"\n"].concat())?;
        let Some(pid) = pid else {
            return Ok(());
        };
        send(format!("MAINPID={pid}\n").as_bytes())?;
        // We may end before the manager reads this, and then it could not tell whom it is from: it
        // closes the pipe when it has read all (sd_notify_barrier(3)).
        let (heard, theirs) = channel::pipe()?;
        channel::send_fd(self.manager.as_fd(), theirs.as_fd(), b"BARRIER=1")?;
        drop(theirs);
        poll::wait(&[heard.as_fd()], Some(BARRIER)).map(drop)
    }
}

fn connect(name: &[u8]) -> std::io::Result<UnixDatagram> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
    }?;
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
