//! `plan`: what would be done, without doing it.

use std::path::Path;

use super::draft::plan_for;
use super::{Context, Error};
use crate::plan::{Ending, Plan, Wishes};
use crate::spec::{self, Id};
use crate::sys::errno;

/// The plan of the bundle's process as `run` would carry it out.
pub fn plan(cx: &Context, bundle: &Path, config: Option<&Path>) -> Result<Plan, Error> {
    let bundle = bundle.canonicalize().map_err(|e| Error::Bundle {
        path: bundle.into(),
        errno: errno(&e),
    })?;
    let container = spec::load(&bundle, config)?;
    let wishes = Wishes {
        id: Id::new("ID").expect("two letters"),
        await_start: false,
        ending: Ending::WithRuntime,
        no_pivot: false,
        no_new_keyring: false,
        preserve_fds: 0,
    };
    plan_for(cx.groups, &container, &wishes).map(|(_, plan)| plan)
}
