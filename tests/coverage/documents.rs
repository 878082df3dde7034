//! What this program writes, held against the schemas of the OCI.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use super::program::Program;
use super::schema;

/// A schema that is ready to judge.
struct Judge {
    schemas: Schemas,
    schema: SchemaIndex,
}

impl Judge {
    fn new(file: &str) -> Self {
        let mut compiler = Compiler::new();
        for entry in fs::read_dir(schema::directory()).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if let Some(text) = schema::read(&name) {
                compiler.add_resource(&url(&name), text).unwrap();
            }
        }
        // The parts on other systems, of which no document of ours has any.
        for system in ["solaris", "windows", "zos", "freebsd"] {
            let part = json!({ system: {} });
            compiler
                .add_resource(&url(&format!("config-{system}.json")), part)
                .unwrap();
        }
        let mut schemas = Schemas::new();
        let schema = compiler.compile(&url(file), &mut schemas).unwrap();
        Self { schemas, schema }
    }

    fn verdict(&self, document: &Value) -> Result<(), String> {
        self.schemas
            .validate(document, self.schema)
            .map_err(|fault| fault.to_string())
    }
}

fn url(file: &str) -> String {
    format!("https://opencontainers.example/{file}")
}

/// The document that a command prints.
fn printed(program: &Program, line: &str) -> Value {
    let outcome = program.line(line);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    serde_json::from_str(&outcome.out).unwrap()
}

#[test]
fn the_examples_of_the_schemas_get_what_they_deserve() {
    let examples = schema::directory().join("examples");
    let mut count = 0;
    for (kind, file) in [
        ("features", "features-schema.json"),
        ("state", "state-schema.json"),
    ] {
        let judge = Judge::new(file);
        for (folder, good) in [("good", true), ("bad", false)] {
            for entry in fs::read_dir(examples.join(kind).join(folder))
                .unwrap()
                .flatten()
            {
                let text = fs::read_to_string(entry.path()).unwrap();
                let document = serde_json::from_str(&text);
                let accepted = document.is_ok_and(|d: Value| judge.verdict(&d).is_ok());
                assert_eq!(accepted, good, "{}", entry.path().display());
                count += 1;
            }
        }
    }
    assert!(count >= 5, "{count} examples");
}

#[test]
fn features_is_a_document_of_the_schema_and_lacks_nothing_of_it() {
    let features = printed(&Program::new(), "features");
    Judge::new("features-schema.json")
        .verdict(&features)
        .unwrap();
    let known = schema::properties_of("features-schema.json");
    let missing: Vec<_> = known.iter().filter(|p| !has(&features, &p.path)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

fn has(document: &Value, path: &str) -> bool {
    let pointer = format!("/{}", path.replace('.', "/"));
    document
        .pointer(&pointer)
        .is_some_and(|value| !value.is_null())
}

/// What is listed is what the schema of config.json knows, and nothing is left out.
#[test]
fn features_lists_what_the_schema_of_documents_knows() {
    let features = printed(&Program::new(), "features");
    let definitions = schema::read("defs-linux.json").unwrap()["definitions"].clone();
    for (list, definition) in [
        ("/linux/namespaces", "NamespaceType"),
        ("/linux/seccomp/actions", "SeccompAction"),
        ("/linux/seccomp/operators", "SeccompOperators"),
        ("/linux/seccomp/knownFlags", "SeccompFlag"),
        ("/linux/seccomp/archs", "SeccompArch"),
        ("/linux/memoryPolicy/modes", "MemoryPolicyMode"),
        ("/linux/memoryPolicy/flags", "MemoryPolicyFlag"),
    ] {
        let words = |value: &Value| -> BTreeSet<String> {
            let list = value
                .as_array()
                .unwrap_or_else(|| panic!("{list}: {value}"));
            list.iter()
                .map(|word| word.as_str().unwrap().into())
                .collect()
        };
        let listed = words(features.pointer(list).unwrap());
        let known = words(&definitions[definition]["enum"]);
        assert_eq!(listed, known, "{list}");
    }
}

#[test]
fn the_documents_of_spec_are_of_the_schema() {
    let judge = Judge::new("config-schema.json");
    assert!(judge.verdict(&json!({ "ociVersion": 1 })).is_err());
    for line in ["spec", "spec --rootless"] {
        let program = Program::new();
        assert_eq!(program.line(line).code, 0);
        let text = fs::read_to_string(program.path("config.json")).unwrap();
        judge
            .verdict(&serde_json::from_str(&text).unwrap())
            .unwrap();
    }
}

/// Of a container that has stopped; what lives needs more than this test has.
#[test]
fn a_state_is_a_document_of_the_schema() {
    let program = Program::new();
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents/state.json");
    let folder = program.path("root").join("one");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(record, folder.join("state.json")).unwrap();
    let state = printed(&program, "--root root state one");
    assert_eq!(state["status"], "stopped");
    Judge::new("state-schema.json").verdict(&state).unwrap();
}
