//! The `idmap` and `ridmap` of a mount, and its own id mappings.

use super::container::{IdMaps, Namespace};
use super::document;
use super::error::{At, Error};
use super::mounts::{Around, ShownBy, ShownIds};
use super::namespaces::convert_map;

/// crun takes mappings in the option itself, which a bind would pass over as a word of a filesystem's.
pub(super) fn refuse_mappings(word: &str) -> Result<(), &'static str> {
    match word.split_once('=') {
        Some(("idmap" | "ridmap", _)) => {
            Err("mappings belong to uidMappings and gidMappings of the mount")
        }
        _ => Ok(()),
    }
}

/// With which ids the files of `mount` are to be shown. `option` is `idmap`, or with all below. Its own
/// mappings count without that, too, as runc has it; without mappings the option means those of the
/// container (config.md, "Linux mount options"). The texts are runc's.
pub(super) fn convert(
    mount: &document::Mount,
    option: Option<bool>,
    is_bind: bool,
    around: Around<'_>,
    at: At<'_>,
) -> Result<Option<ShownIds>, Error> {
    let read = |list: &document::Objects<document::IdMapping>, key| {
        convert_map(list.as_deref().unwrap_or_default(), at.key(key))
    };
    let own = IdMaps {
        uids: read(&mount.uid_mappings, "uidMappings")?,
        gids: read(&mount.gid_mappings, "gidMappings")?,
    };
    let has_own = !own.uids.is_empty() || !own.gids.is_empty();
    if option.is_none() && !has_own {
        return Ok(None);
    }
    if !is_bind {
        return Err(at.fault("id-mapped mounts are only supported for bind-mounts"));
    }
    let both = "id-mapped mounts must have both uid and gid mappings specified";
    let by = match around.user {
        _ if has_own && (own.uids.is_empty() || own.gids.is_empty()) => return Err(at.fault(both)),
        _ if has_own => ShownBy::Maps(own),
        Namespace::New => ShownBy::Maps(around.id_maps.clone()),
        Namespace::Join(path) => ShownBy::Namespace(path.clone()),
        Namespace::Share => {
            return Err(at.fault(format_args!(
                "{both}, or a user namespace to take them from"
            )));
        }
    };
    Ok(Some(ShownIds {
        by,
        recursive: option == Some(true),
    }))
}
