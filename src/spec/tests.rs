//! Whole documents: good ones with what becomes of them, bad ones with the words that name the fault.

use std::path::Path;

use super::container::Namespace;
use super::*;

/// What `runc spec` of version 1.1.5 writes, without its terminal.
const DEFAULT: &str = include_str!("../../tests/documents/runc-default.json");

fn container(json: &str) -> Container {
    parse(json.as_bytes(), Path::new("/")).unwrap()
}

#[test]
fn the_default_document_of_runc_is_a_container() {
    let found = container(DEFAULT);
    let process = found.process.unwrap();
    assert_eq!(process.args, [c"sh".to_owned()]);
    assert_eq!(process.capabilities.bounding, 1 << 29 | 1 << 5 | 1 << 10);
    assert_eq!(found.mounts.len(), 7);
    assert_eq!(found.namespaces.mount, Namespace::New);
    assert_eq!(found.namespaces.user, Namespace::Share);
}
