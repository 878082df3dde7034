//! The schema of the OCI runtime specification, as far as it lists properties (draft 4 of JSON Schema).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    /// `linux.devices[].path`, `linux.netDevices.*.name`.
    pub(crate) path: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    List,
    Object,
    /// A number, a truth, or one of several.
    Other,
}

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents/schema")
}

/// Every property of config.json, in the order of the schema; one that it names twice is there once.
pub(crate) fn properties() -> Vec<Property> {
    properties_of("config-schema.json")
}

pub(crate) fn properties_of(file: &str) -> Vec<Property> {
    let mut found = Vec::new();
    walk(file, &read(file).unwrap(), "", &mut found);
    found
}

/// `None` for the parts about other systems, which are not here.
pub(crate) fn read(file: &str) -> Option<Value> {
    let text = fs::read_to_string(directory().join(file)).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// The node that it refers to, if it does, and the file that this is in.
fn resolve(file: &str, node: &Value) -> Option<(String, Value)> {
    let Some(reference) = node["$ref"].as_str() else {
        return Some((file.into(), node.clone()));
    };
    let (other, pointer) = reference.split_once('#').unwrap_or((reference, ""));
    let file = if other.is_empty() { file } else { other };
    let node = read(file)?.pointer(pointer).unwrap().clone();
    resolve(file, &node)
}

fn walk(file: &str, node: &Value, path: &str, found: &mut Vec<Property>) {
    let Some((file, node)) = resolve(file, node) else {
        return;
    };
    for way in ["allOf", "anyOf", "oneOf"] {
        for part in node[way].as_array().into_iter().flatten() {
            walk(&file, part, path, found);
        }
    }
    for (name, below) in node["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if found.iter().all(|property| property.path != path) {
            let kind = kind(&file, below);
            found.push(Property {
                path: path.clone(),
                kind,
            });
        }
        walk(&file, below, &path, found);
    }
    if node["items"].is_object() {
        walk(&file, &node["items"], &format!("{path}[]"), found);
    }
    for below in node["patternProperties"]
        .as_object()
        .into_iter()
        .flat_map(|map| map.values())
    {
        walk(&file, below, &format!("{path}.*"), found);
    }
    if node["additionalProperties"].is_object() {
        walk(
            &file,
            &node["additionalProperties"],
            &format!("{path}.*"),
            found,
        );
    }
}

fn kind(file: &str, node: &Value) -> Kind {
    let Some((file, node)) = resolve(file, node) else {
        return Kind::Object;
    };
    match node["type"].as_str() {
        Some("string") => Kind::Text,
        Some("array") => Kind::List,
        Some("object") => Kind::Object,
        Some(_) => Kind::Other,
        None => ["allOf", "anyOf", "oneOf"]
            .iter()
            .find_map(|way| node[*way].get(0))
            .map_or(Kind::Other, |first| kind(&file, first)),
    }
}
