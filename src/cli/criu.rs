//! What `checkpoint` and `restore` have in common.

use anyhow::bail;
use clap::Arg;

use super::Call;
use super::context::{boolean, path};
use crate::container::{GroupMode, ImageOptions};
use crate::state::in_user_namespace;

/// Where images lie if nobody says so.
const IMAGES: &str = "checkpoint";

pub(super) fn flags() -> Vec<Arg> {
    vec![
        path("image-path").help("the directory of the images (default: ./checkpoint)"),
        path("work-path").help("the directory of criu's log (default: that of the images)"),
        boolean("tcp-established").help("allow open TCP connections"),
        boolean("ext-unix-sk").help("allow unix sockets with an end outside"),
        boolean("shell-job").help("allow the terminal of a shell outside"),
        boolean("file-locks").help("allow locks on files"),
        boolean("link-remap").help("allow open files that have lost their names, by a link"),
        boolean("lazy-pages").help("leave memory behind until it is touched (userfaultfd)"),
        boolean("auto-dedup").help("drop pages of earlier images that later ones replace"),
        text("manage-cgroups-mode").help(
            "soft, full, strict or ignore: which groups below the\n\
                   container's own criu brings back (default: ignore, none)",
        ),
        text("empty-ns")
            .action(clap::ArgAction::Append)
            .help("make this namespace and restore nothing in it: network, which always is so"),
    ]
}

pub(super) fn text(name: &'static str) -> Arg {
    Arg::new(name).long(name)
}

/// The value of a flag; an empty one is as none.
pub(super) fn word<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    let word = call.flags.get_one::<String>(name)?;
    (!word.is_empty()).then_some(word)
}

pub(super) fn options(call: &Call) -> Result<ImageOptions, anyhow::Error> {
    let flag = |name| call.flags.get_flag(name);
    for name in call
        .flags
        .get_many::<String>("empty-ns")
        .into_iter()
        .flatten()
    {
        if name != "network" {
            bail!("namespace {name:?} is not supported");
        }
    }
    if !nix::unistd::geteuid().is_root() || in_user_namespace() {
        log::warn!("criu may not be able to save or restore a container without the host's root");
    }
    Ok(ImageOptions {
        images: call.path("image-path").unwrap_or_else(|| IMAGES.into()),
        work: call.path("work-path"),
        tcp_established: flag("tcp-established"),
        ext_unix_sk: flag("ext-unix-sk"),
        shell_job: flag("shell-job"),
        file_locks: flag("file-locks"),
        link_remap: flag("link-remap"),
        lazy_pages: flag("lazy-pages"),
        auto_dedup: flag("auto-dedup"),
        groups: match word(call, "manage-cgroups-mode") {
            None => GroupMode::Ignore,
            Some("soft") => GroupMode::Soft,
            Some("full") => GroupMode::Full,
            Some("strict") => GroupMode::Strict,
            Some("ignore") => GroupMode::Ignore,
            Some(_) => bail!("Invalid manage-cgroups-mode value"),
        },
    })
}
