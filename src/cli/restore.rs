//! `restore`: brings back a container that was saved.

use clap::Arg;

use super::arguments::Order;
use super::context::{boolean, path};
use super::criu::{self, text, word};
use super::usage::Count;
use super::{Call, Command};
use crate::container::{self, CreateOptions, RestoreOptions, RunOptions};

pub(super) const COMMAND: Command = Command {
    name: "restore",
    about: "bring back a saved container",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Has criu bring back the container's processes from the images that checkpoint has\n\
             written, in a bundle like the one that they were of. Without --detach it goes on as run\n\
             does; one that was of run in the foreground ends with its runtime and cannot be detached, and one\n\
             that was created lives on when a restore in the foreground is killed. criu writes restore.log.\n\
             Images have the power of root: users, capabilities, filters and mounts come from them and not\n\
             from config.json. Restore none that others could write.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    let mut flags = criu::flags();
    flags.extend([
        path("bundle")
            .short('b')
            .help("the bundle's directory (default: the current one)"),
        boolean("detach")
            .short('d')
            .help("leave the container running and return"),
        path("console-socket").help("send the terminal's descriptor to this socket"),
        path("pid-file").help("write the pid of the container's first process to this file"),
        boolean("no-subreaper").help("leave the container's orphans to others"),
        boolean("no-pivot").help("taken and passed over: criu knows one way into a root"),
        text("lsm-profile").help("TYPE:NAME of another security profile"),
        text("lsm-mount-context").help("another security context for mounts"),
    ]);
    flags
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let options = RestoreOptions {
        create: CreateOptions {
            bundle: call.path("bundle").unwrap_or_else(|| ".".into()),
            config: None,
            image_store: None,
            pid_file: call.path("pid-file"),
            console_socket: call.path("console-socket"),
            pidfd_socket: None,
            preserve_fds: 0,
            sockets: None,
            notify_socket: None,
            no_pivot: call.flags.get_flag("no-pivot"),
            no_new_keyring: false,
        },
        how: RunOptions {
            detach: call.flags.get_flag("detach"),
            keep: false,
            remove: false,
            tells_of_network: false,
            no_subreaper: call.flags.get_flag("no-subreaper"),
            is_silent: false,
        },
        images: criu::options(call)?,
        lsm_profile: word(call, "lsm-profile").map(String::from),
        lsm_mount_context: word(call, "lsm-mount-context").map(String::from),
    };
    Ok(container::restore(&call.context(), &call.id()?, &options)?)
}
