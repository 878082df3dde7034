//! What `create` and `run` have in common.

use clap::{Arg, value_parser};

use super::context::{boolean, path};
use super::{Call, supervisor};
use crate::container::CreateOptions;

pub(super) fn flags() -> Vec<Arg> {
    vec![
        path("bundle")
            .short('b')
            .help("the bundle's directory (default: the current one)"),
        path("config")
            .short('f')
            .help("read this file of the bundle instead of config.json"),
        path("console-socket").help("send the terminal's descriptor to this socket"),
        path("pidfd-socket").help("send a pidfd of the container's first process to this socket"),
        path("pid-file").help("write the pid of the container's first process to this file"),
        boolean("no-pivot").help("enter the root without pivot_root, for a root on a ramdisk"),
        boolean("no-new-keyring").help("keep the session keyring of the caller"),
        Arg::new("preserve-fds")
            .long("preserve-fds")
            .value_parser(value_parser!(u32))
            .help("pass this many descriptors beside the standard ones, from 3 on (default: 0)"),
        boolean("no-subreaper").hide(true),
    ]
}

pub(super) fn options(call: &Call) -> Result<CreateOptions, anyhow::Error> {
    Ok(CreateOptions {
        bundle: call.path("bundle").unwrap_or_else(|| ".".into()),
        config: call.path("config"),
        image_store: None,
        pid_file: call.path("pid-file"),
        console_socket: call.path("console-socket"),
        pidfd_socket: call.path("pidfd-socket"),
        preserve_fds: call.flags.get_one("preserve-fds").copied().unwrap_or(0),
        sockets: supervisor::sockets()?,
        notify_socket: supervisor::notify_socket()?,
        no_pivot: call.flags.get_flag("no-pivot"),
        no_new_keyring: call.flags.get_flag("no-new-keyring"),
    })
}
