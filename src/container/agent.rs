//! The agent that answers system calls of a container (`SCMP_ACT_NOTIFY`): it is sent the listener of
//! each process's filter with the container process state (config-linux.md, "The Container Process
//! State").

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::Serialize;

use super::Error;
use super::hooks::{HookState, Json};
use crate::spec::seccomp::Agent;
use crate::sys::{channel, errno};

/// How many seconds an agent may take to listen and to read.
const PATIENCE: i64 = 5;

/// The container process state.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Introduction<'a> {
    oci_version: &'a str,
    /// What the descriptors are that come along.
    fds: [&'static str; 1],
    /// The process under the filter, as the runtime counts.
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: Json<'a>,
}

/// Whether somebody may listen there: told before anything is made. A connection would say more, but
/// there is to be one for each state that is sent.
pub(super) fn check(agent: &Agent) -> Result<(), Error> {
    match std::fs::metadata(&agent.path) {
        Ok(file) if file.file_type().is_socket() => Ok(()),
        Ok(_) => Err(fault(agent, Errno::ENOTSOCK)),
        Err(e) => Err(fault(agent, errno(&e))),
    }
}

/// Sends the agent the `listener` of process `pid`.
pub(super) fn introduce(
    agent: &Agent,
    listener: &OwnedFd,
    pid: i32,
    state: &HookState<'_>,
) -> Result<(), Error> {
    let introduction = Introduction {
        oci_version: &state.record.oci_version,
        fds: ["seccompFd"],
        pid,
        metadata: agent.metadata.as_deref(),
        state: state.json(),
    };
    let text = serde_json::to_vec(&introduction).expect("strings and numbers");
    send(agent, listener, &text).map_err(|errno| fault(agent, errno))
}

fn send(agent: &Agent, listener: &OwnedFd, text: &[u8]) -> Result<(), Errno> {
    let (family, kind) = (AddressFamily::Unix, SockType::Stream);
    let socket = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    // It holds for connect as well (unix(7)); we hold the container meanwhile.
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE))?;
    socket::connect(socket.as_raw_fd(), &UnixAddr::new(&agent.path)?).map_err(late)?;
    let sent = channel::send_fd(socket.as_fd(), listener.as_fd(), text).map_err(late)?;
    let mut socket = UnixStream::from(socket);
    socket.write_all(&text[sent..]).map_err(|e| late(errno(&e)))
}

fn late(errno: Errno) -> Errno {
    match errno {
        Errno::EAGAIN => Errno::ETIMEDOUT,
        errno => errno,
    }
}

fn fault(agent: &Agent, errno: Errno) -> Error {
    Error::Agent {
        path: agent.path.clone(),
        errno,
    }
}
