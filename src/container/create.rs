//! `create`: everything but the program.

use super::creation::Creation;
use super::draft::Draft;
use super::{Context, CreateOptions, Error};
use crate::plan::Ending;
use crate::spec::Id;

/// Makes the container `id`: its process waits for [`super::start`] with all its limits on.
pub fn create(cx: &Context, id: &Id, options: &CreateOptions) -> Result<(), Error> {
    let draft = Draft::new(cx, id, options, true, Ending::OnItsOwn)?;
    let creation = Creation::complete(cx, id, draft)?;
    creation.commit()?.slot.unlock();
    Ok(())
}
