//! `restore`: a container from what a checkpoint has left.

use super::creation::Creation;
use super::criu::ImageOptions;
use super::draft::Draft;
use super::revival::Revival;
use super::{Context, CreateOptions, Error, RunOptions, run};
use crate::plan::Ending;
use crate::spec::Id;

/// What `restore` takes.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    pub create: CreateOptions,
    pub how: RunOptions,
    pub images: ImageOptions,
    /// `apparmor:NAME` or `selinux:CONTEXT`, instead of what the images have.
    pub lsm_profile: Option<String>,
    pub lsm_mount_context: Option<String>,
}

/// Brings back a container as `id` and returns its exit code, 128 + n for signal n; 0 when detached.
/// Of its hooks those run that are told of namespaces: prestart and createRuntime.
pub fn restore(cx: &Context, id: &Id, options: &RestoreOptions) -> Result<u8, Error> {
    let ending = match options.how.detach {
        true => Ending::OnItsOwn,
        false => Ending::WithRuntime,
    };
    let mut draft = Draft::new(cx, id, &options.create, false, ending)?;
    if draft.container.root.overlay.is_some() {
        return Err(Error::Unsupported("to restore a root stacked of layers"));
    }
    draft.revival = Some(Revival::new(cx, &draft, options)?);
    if options.how.detach {
        // It becomes a child of who reaps for the caller, as a created one does.
        let made = Creation::complete(cx, id, draft)?.commit()?;
        made.slot.unlock();
        return Ok(0);
    }
    run::attend(cx, id, draft, &options.how)
}
