//! What of the OCI runtime specification is supported: every property that the schema of config.json
//! has, taken from the schema itself, so that none is forgotten.
//!
//! `verdicts.txt` says of each, or of all below it, what becomes of it and which tests show that;
//! `table.md` is the whole, one line a property. `BULKHEAD_BLESS=1` writes it anew.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod documents;
#[path = "../program/mod.rs"]
mod program;
mod schema;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use bulkhead::spec::parse;
use schema::{Kind, Property};
use serde_json::{Value, json};

const VERDICTS: &str = include_str!("verdicts.txt");
const DEFAULT: &str = include_str!("../documents/runc-default.json");

/// What becomes of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It takes effect, and a value of the wrong kind is an error by its path.
    Supported,
    /// As that, but shown on folders and files: no machine of the tests has the hardware.
    Untried,
    /// A document that has it is refused, by its path.
    Refused,
    /// It means nothing on Linux, or nothing to a runtime.
    NotApplicable,
}

impl Verdict {
    fn of(word: &str) -> Self {
        match word {
            "supported" => Self::Supported,
            "untried on hardware" => Self::Untried,
            "refused" => Self::Refused,
            "not applicable" => Self::NotApplicable,
            other => panic!("{other:?} is no verdict"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Untried => "untried on hardware",
            Self::Refused => "refused",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// By path: the verdict, and what shows it.
fn verdicts() -> BTreeMap<&'static str, (Verdict, &'static str)> {
    let lines = VERDICTS
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    let rows = lines.map(|line| {
        let mut cells = line.split('|').map(str::trim);
        let mut cell = || {
            cells
                .next()
                .unwrap_or_else(|| panic!("{line:?}: too few cells"))
        };
        (cell(), (Verdict::of(cell()), cell()))
    });
    rows.collect()
}

/// The verdict on the property, or on what it is a part of.
fn verdict_on(property: &Property) -> Option<(Verdict, &'static str)> {
    let verdicts = verdicts();
    let mut path = property.path.as_str();
    loop {
        if let Some(found) = verdicts.get(path) {
            return Some(*found);
        }
        let end = path.rfind(['.', '['])?;
        path = &path[..end];
    }
}

/// A document with `value` at the path, in which a list has one entry and a map the key `x`.
fn document(path: &str, value: Value) -> String {
    let mut document: Value = serde_json::from_str(DEFAULT).unwrap();
    let mut at = &mut document;
    for part in path.split('.') {
        let (name, lists) = part
            .split_once('[')
            .map_or((part, 0), |(n, rest)| (n, rest.matches(']').count()));
        let name = if name == "*" { "x" } else { name };
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[name];
        for _ in 0..lists {
            *at = json!([null]);
            at = &mut at[0];
        }
    }
    *at = value;
    document.to_string()
}

/// The path as an error names it.
fn named(path: &str) -> String {
    path.replace("[]", "[0]").replace(".*", ".x")
}

fn said_of(property: &Property, value: Value) -> Option<String> {
    let text = document(&property.path, value);
    parse(text.as_bytes(), Path::new("/"))
        .err()
        .map(|e| e.to_string())
}

#[test]
fn every_property_of_the_schema_has_a_verdict_and_no_other_has() {
    let properties = schema::properties();
    assert!(properties.len() > 240, "{}", properties.len());
    let known = |path: &str| properties.iter().any(|property| property.path == path);
    for path in verdicts().keys() {
        assert!(known(path), "{path} is not in the schema");
    }
    let without: Vec<_> = properties
        .iter()
        .filter(|p| verdict_on(p).is_none())
        .collect();
    assert!(without.is_empty(), "no verdict on {without:#?}");
}

/// What is supported is looked at: of the wrong kind it is an error that names it.
#[test]
fn a_wrong_value_of_what_is_supported_is_an_error_by_its_path() {
    let mut overlooked = Vec::new();
    for property in schema::properties() {
        let verdict = verdict_on(&property).unwrap().0;
        if !matches!(verdict, Verdict::Supported | Verdict::Untried) {
            continue;
        }
        let wrong = match property.kind {
            Kind::Text | Kind::List | Kind::Object => json!(5),
            Kind::Other => json!("wrong"),
        };
        match said_of(&property, wrong) {
            Some(said) if said.contains(&named(&property.path)) => {}
            said => overlooked.push((property.path, said)),
        }
    }
    assert!(overlooked.is_empty(), "{overlooked:#?}");
}

#[test]
fn what_is_refused_is_an_error_by_its_path() {
    for property in schema::properties() {
        if verdict_on(&property).unwrap().0 != Verdict::Refused {
            continue;
        }
        let value = match property.kind {
            Kind::Text => json!("x"),
            Kind::List => json!(["x"]),
            Kind::Object => json!({ "x": {} }),
            Kind::Other => json!(1),
        };
        let said = said_of(&property, value).unwrap_or_default();
        let top = property.path.split('.').next().unwrap();
        assert!(said.contains(top), "{}: {said:?}", property.path);
    }
}

/// `program: test`, or `spec: test` and the like for one in the source.
#[test]
fn the_tests_that_are_named_are_there() {
    for (path, (verdict, shown)) in verdicts() {
        if verdict == Verdict::NotApplicable {
            assert!(!shown.is_empty(), "{path}: no reason");
            continue;
        }
        for name in shown.split(", ") {
            let (program, test) = name
                .split_once(": ")
                .unwrap_or_else(|| panic!("{path}: {name:?}"));
            assert!(
                is_there(program, test),
                "{path}: no test {test} in {program}"
            );
        }
    }
}

fn is_there(program: &str, test: &str) -> bool {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = format!("fn {test}()");
    let places = [
        top.join("tests").join(format!("{program}.rs")),
        top.join("tests").join(program),
        top.join("src").join(program),
    ];
    places.iter().any(|place| holds(place, &text))
}

fn holds(place: &Path, text: &str) -> bool {
    if place.is_dir() {
        let mut entries = fs::read_dir(place).unwrap().flatten();
        return entries.any(|entry| holds(&entry.path(), text));
    }
    fs::read_to_string(place).is_ok_and(|code| code.contains(text))
}

#[test]
fn the_table_is_the_verdicts_on_all_properties() {
    let mut table = String::from(
        "# Every property of config.json, of the OCI runtime specification 1.3\n\n\
         Made by `BULKHEAD_BLESS=1 cargo test --test coverage` of the specification's schema and of\n\
         `verdicts.txt`. `[]` is an entry of a list, `*` any key of a map.\n\n\
         | property | | shown by, or why not |\n|---|---|---|\n",
    );
    let mut counts = BTreeMap::new();
    for property in schema::properties() {
        let (verdict, shown) = verdict_on(&property).unwrap();
        *counts.entry(verdict.name()).or_insert(0) += 1;
        writeln!(
            table,
            "| `{}` | {} | {shown} |",
            property.path,
            verdict.name()
        )
        .unwrap();
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    writeln!(table, "\n{}", counts.join(", ")).unwrap();

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/coverage/table.md");
    if std::env::var_os("BULKHEAD_BLESS").is_some() {
        fs::write(&path, &table).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == table,
        "BULKHEAD_BLESS=1 writes the table anew"
    );
}
