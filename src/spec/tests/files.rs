//! Finding and reading the document itself.

use std::ffi::CString;
use std::path::PathBuf;
use std::time::Instant;

use super::*;

/// A directory of this test's own, gone with the value.
struct Bundle(PathBuf);

impl Bundle {
    fn new(name: &str) -> Self {
        let name = format!("bulkhead-spec-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        fs::create_dir(path.join("usr")).unwrap();
        Self(path)
    }

    fn said(&self) -> String {
        let text = load(&self.0, None).unwrap_err().to_string();
        text.replace(self.0.to_str().unwrap(), "BUNDLE")
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        for file in ["config.json", "other.json"] {
            drop(fs::remove_file(self.0.join(file)));
        }
        drop(fs::remove_dir(self.0.join("config.json")));
        drop(fs::remove_dir(self.0.join("usr")));
        drop(fs::remove_dir(&self.0));
    }
}

#[test]
fn a_bundle_without_a_document_is_told_so() {
    let bundle = Bundle::new("missing");
    assert_eq!(
        bundle.said(),
        "JSON specification file config.json not found"
    );
    let fault = load(&bundle.0, Some(Path::new("other.json"))).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "JSON specification file other.json not found"
    );
}

#[test]
fn a_document_is_read_from_its_bundle() {
    let bundle = Bundle::new("good");
    fs::write(bundle.0.join("config.json"), DEFAULT).unwrap();
    let found = load(&bundle.0, None).unwrap();
    assert_eq!(
        found.root.path,
        bundle.0.canonicalize().unwrap().join("usr")
    );

    fs::write(
        bundle.0.join("other.json"),
        DEFAULT.replace("\"runc\"", "\"two\""),
    )
    .unwrap();
    let other = load(&bundle.0, Some(Path::new("other.json"))).unwrap();
    assert_eq!(other.hostname.as_deref(), Some(c"two"));
}

#[test]
fn a_document_that_is_no_file_neither_blocks_nor_passes() {
    let bundle = Bundle::new("kinds");
    let path = bundle.0.join("config.json");
    let not_a_file = "BUNDLE/config.json: not a regular file";

    fs::create_dir(&path).unwrap();
    assert_eq!(bundle.said(), not_a_file);
    fs::remove_dir(&path).unwrap();

    let name = CString::new(path.to_str().unwrap()).unwrap();
    nix::unistd::mkfifo(name.as_c_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(bundle.said(), not_a_file);
    fs::remove_file(&path).unwrap();

    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert_eq!(bundle.said(), not_a_file);
    fs::remove_file(&path).unwrap();

    std::os::unix::fs::symlink("config.json", &path).unwrap();
    assert_eq!(bundle.said(), "read BUNDLE/config.json");
}

#[test]
fn a_document_is_bounded() {
    let bundle = Bundle::new("large");
    let file = fs::File::create(bundle.0.join("config.json")).unwrap();
    file.set_len(LARGEST + 1).unwrap();
    assert_eq!(
        bundle.said(),
        "BUNDLE/config.json: more than 16777216 bytes"
    );
    file.set_len(LARGEST).unwrap();
    let start = Instant::now();
    assert!(bundle.said().starts_with("config.json: line 1 column 1: "));
    assert!(start.elapsed().as_secs() < 10);
}
