//! `list`: every container of the state root.

use super::state::look;
use super::{Context, Error, State, successor};
use crate::spec::Id;

/// A container's name and what it is doing.
pub type Listed = (Id, Result<State, Error>);

/// All containers by name. One whose record cannot be read does not hide the others.
pub fn list(cx: &Context) -> Result<Vec<Listed>, Error> {
    let mut records = cx.store.list()?;
    records.retain(|(_, record)| {
        !record
            .as_ref()
            .is_ok_and(|record| successor::bury(cx, record))
    });
    let entries = records.into_iter().map(|(id, record)| {
        let state = record
            .map_err(Error::from)
            .and_then(|record| look(cx, record));
        (id, state)
    });
    Ok(entries.collect())
}
