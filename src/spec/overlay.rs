//! A root filesystem of layers, as `overlay.json` beside config.json says it.
//!
//! Its layers are directories of the host. config.json is the OCI's and has no word for that, and an
//! annotation may come from an image's label or an engine's user: what names a place of the host is
//! a file of its own, which only who writes the bundle can write. It says nothing that a mount of type
//! `overlay` in config.json could not.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::units::AbsPath;

/// In a bundle.
pub const FILE: &str = "overlay.json";

/// `OVL_MAX_STACK` of the kernel's fs/overlayfs/params.h.
pub const MOST_LAYERS: usize = 500;

/// 500 paths of 4096 bytes fit.
const LARGEST: u64 = 4 << 20;

/// The document. Relative paths begin at the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Bottom first, as in an image's manifest.
    pub layers: Vec<PathBuf>,
    /// What the container changes; without it the root is read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper: Option<PathBuf>,
    /// The kernel's own place on the filesystem of `upper`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<PathBuf>,
    /// Whiteouts and the like are kept in `user.overlay.*`, as a user may write them (Linux 5.11).
    #[serde(default)]
    pub userxattr: bool,
}

/// What the root filesystem is stacked of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Bottom first; never empty.
    pub layers: Vec<AbsPath>,
    pub changes: Option<Changes>,
    pub userxattr: bool,
}

/// Where what the container writes goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    pub upper: AbsPath,
    pub work: AbsPath,
}

/// The overlay of `bundle`, if it has one.
pub fn load(bundle: &Path) -> Result<Option<Overlay>, Error> {
    let path = bundle.join(FILE);
    let fault = |source: io::Error| Error::Read {
        path: path.clone(),
        source,
    };
    // A fifo in its place must not hold us up.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW)
        .open(&path);
    let file = match file {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(fault)?,
    };
    if !file.metadata().map_err(fault)?.is_file() {
        return Err(Error::NotAFile(path));
    }
    let mut json = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut json)
        .map_err(fault)?;
    if json.len() as u64 > LARGEST {
        return Err(Error::Large {
            path,
            limit: LARGEST,
        });
    }
    convert(&json, bundle).map(Some).map_err(|reason| {
        let at = path.display().to_string();
        Error::Value { at, reason }
    })
}

fn convert(json: &[u8], bundle: &Path) -> Result<Overlay, String> {
    let document: Document = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let count = document.layers.len();
    if count == 0 || count > MOST_LAYERS {
        return Err(format!(
            "layers: {count} of them, and the kernel stacks 1 to {MOST_LAYERS}"
        ));
    }
    let place = |field: &str, path: &Path| {
        AbsPath::new(bundle.join(path)).map_err(|reason| format!("{field}: {reason}"))
    };
    let layers = document.layers.iter().map(|path| place("layers", path));
    Ok(Overlay {
        layers: layers.collect::<Result<_, _>>()?,
        changes: match (&document.upper, &document.work) {
            (Some(upper), Some(work)) => Some(Changes {
                upper: place("upper", upper)?,
                work: place("work", work)?,
            }),
            (None, None) => None,
            _ => return Err("upper and work: one without the other".into()),
        },
        userxattr: document.userxattr,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Overlay, String> {
        convert(json.as_bytes(), Path::new("/b"))
    }

    #[test]
    fn paths_begin_at_the_bundle() {
        let overlay = read(r#"{"layers":["/l/1","l2"],"upper":"upper","work":"work"}"#).unwrap();
        let layers: Vec<_> = overlay.layers.iter().map(ToString::to_string).collect();
        assert_eq!(layers, ["/l/1", "/b/l2"]);
        let changes = overlay.changes.unwrap();
        assert_eq!(changes.upper.to_string(), "/b/upper");
        assert_eq!(changes.work.to_string(), "/b/work");
        assert!(!overlay.userxattr);
    }

    #[test]
    fn what_no_kernel_mounts_is_refused() {
        let many = format!(r#"{{"layers":[{}]}}"#, vec![r#""/l""#; 501].join(","));
        for (json, said) in [
            ("[]", "invalid"),
            (r#"{"layers":[]}"#, "layers: 0 of them"),
            (&many, "layers: 501 of them"),
            (r#"{"layers":[""],"lowerdir":"/"}"#, "unknown field"),
            (r#"{"layers":["/l\u0000"]}"#, "NUL"),
            (r#"{"layers":["/l"],"upper":"/u"}"#, "one without the other"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(said), "{json}: {error}");
        }
    }

    #[test]
    fn a_bundle_without_the_file_has_no_overlay_and_a_fifo_is_none() {
        let bundle = tempfile::tempdir().unwrap();
        assert_eq!(load(bundle.path()).unwrap(), None);
        let path = bundle.path().join(FILE);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(load(bundle.path()), Err(Error::NotAFile(_))));
    }
}
