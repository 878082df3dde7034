//! A class of service where no kernel has one: a folder.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Bundle;

impl Bundle {
    /// Writes a class into the record of a container that is there; the path of its `schemata`.
    pub(crate) fn put_in_class(&self, schemata: &str) -> PathBuf {
        let class = self.dir.join("class");
        fs::create_dir(&class).unwrap();
        fs::write(class.join("schemata"), schemata).unwrap();
        let file = self.state_dir().join(&self.id).join("state.json");
        let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        record["rdt_groups"] = json!({ "class": class, "whose": "several" });
        fs::write(&file, record.to_string()).unwrap();
        class.join("schemata")
    }
}
