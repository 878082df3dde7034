//! config.json to begin with.

use serde_json::{Value, json};

use super::CAPABILITIES;

/// The newest runtime-spec that config.json may be of, and the one that ours is of.
pub const VERSION: &str = "1.2.0";

/// runc's default, as of 1.2; masking the TPM is of 1.3. `@version` and `@name` stand for themselves.
pub const CONFIG: &str = include_str!("config.json");

/// What Docker masks beside: how busy the processors are, how hot, and how much power they draw, tells of what
/// others compute (moby GHSA-6fw5-f8r9-fgfm and GHSA-jq35-85cj-fj4p, CVE-2020-8694).
const MASKED: [&str; 2] = ["/proc/interrupts", "/sys/devices/virtual/powercap"];

/// Each processor of this machine has one, if any has.
fn throttles() -> impl Iterator<Item = String> {
    let processors = std::fs::read_dir("/sys/devices/system/cpu");
    let found = processors.into_iter().flatten().flatten();
    found.filter_map(|processor| {
        let path = processor.path().join("thermal_throttle");
        path.is_dir().then(|| path.display().to_string())
    })
}

/// The document of a container that nobody has said more about: [`CONFIG`] without a terminal, with a root
/// that can be written to and a cgroup namespace, no limits beside the caller's own, and the default
/// capabilities. `noNewPrivileges` is off: set-user-id programs of images work, with no more than these
/// capabilities. Which calls it may use, the caller says.
pub fn document() -> Value {
    let text = CONFIG.replace("@version", VERSION).replace("@name", "");
    let mut document: Value = serde_json::from_str(&text).expect("tests read it");
    let process = &mut document["process"];
    process["terminal"] = false.into();
    process["noNewPrivileges"] = false.into();
    process["capabilities"] = sets(CAPABILITIES.iter().map(ToString::to_string).collect());
    remove(process, "rlimits");
    remove(&mut document, "hostname");
    remove(&mut document["root"], "readonly");

    for mount in document["mounts"].as_array_mut().into_iter().flatten() {
        if mount["destination"] == "/proc" {
            mount["options"] = json!(["nosuid", "noexec", "nodev"]);
        }
    }

    let linux = &mut document["linux"];
    push(&mut linux["namespaces"], json!({ "type": "cgroup" }));
    for path in MASKED.map(String::from).into_iter().chain(throttles()) {
        push(&mut linux["maskedPaths"], path.into());
    }
    document
}

/// The three sets that root of a container gets; the others stay empty, so that no program of another
/// user's inherits any.
pub fn sets(names: Vec<String>) -> Value {
    json!({ "bounding": names, "effective": names, "permitted": names })
}

fn remove(object: &mut Value, key: &str) {
    if let Some(object) = object.as_object_mut() {
        object.remove(key);
    }
}

/// Adds to a list; it is made where there is none.
pub fn push(list: &mut Value, item: Value) {
    match list.as_array_mut() {
        Some(list) => list.push(item),
        None => *list = json!([item]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_one_that_we_take() {
        let bundle = tempfile::tempdir().unwrap();
        std::fs::create_dir(bundle.path().join("rootfs")).unwrap();
        let text = document().to_string();
        let container = crate::spec::parse(text.as_bytes(), bundle.path()).unwrap();
        let process = container.process.unwrap();
        assert!(!container.root.readonly && process.terminal.is_none());
        assert_eq!(
            process.capabilities.bounding.count_ones() as usize,
            CAPABILITIES.len()
        );
        assert_eq!(process.capabilities.inheritable, 0);
        assert!(process.rlimits.is_empty() && container.hostname.is_none());
        assert_eq!(container.masked_paths.len(), 13 + throttles().count());
    }
}
