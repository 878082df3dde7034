//! From the command line's words to what the library takes.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, value_parser};

use super::Call;
use crate::container::Context;
use crate::spec::Id;
use crate::state::Store;

impl Call {
    /// The container that the first argument names.
    pub(super) fn id(&self) -> Result<Id, anyhow::Error> {
        let word = self.arguments.first().map(|word| word.to_string_lossy());
        Ok(Id::new(&word.unwrap_or_default())?)
    }

    /// The path that flag `name` gives; an empty one is as none.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let word = self.flags.get_one::<OsString>(name)?;
        (!word.is_empty()).then(|| word.into())
    }

    pub(super) fn context(&self) -> Context {
        Context {
            store: Store::new(self.globals.root.clone()),
            groups: self.globals.groups,
            rootless: self.globals.rootless,
        }
    }
}

/// A flag without a value.
pub(super) fn boolean(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

/// A flag with a path. clap's own type for paths refuses an empty one, which runc takes for none.
pub(super) fn path(name: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_parser(value_parser!(OsString))
}

/// For commands without flags.
pub(super) fn none() -> Vec<Arg> {
    Vec::new()
}
