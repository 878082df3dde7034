//! The house plan: a module imports only modules of a lower layer.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

/// The table of `src/lib.rs`. Modules on one line are neighbours and do not see each other.
const LAYERS: &[&[&str]] = &[
    &["sys", "net"],
    &["spec", "aws"],
    &["plan", "cgroup", "state", "image"],
    &["launch"],
    &[],
    &["container"],
    &[],
    &["cli"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The top-level modules that a line of code names by `crate::x` or in a `use crate::{…}` list.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = text[..at].matches('\n').count() + 1;
        let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
        if text[start..at].contains("//") {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 1;
                let end = list
                    .find(|c| {
                        depth += i32::from(c == '{') - i32::from(c == '}');
                        depth == 0
                    })
                    .unwrap_or(list.len());
                let mut depth = 0;
                list[..end]
                    .split(|c| {
                        depth += i32::from(c == '{') - i32::from(c == '}');
                        c == ',' && depth == 0
                    })
                    .collect()
            }
            None => vec![rest],
        };
        for name in names {
            let name: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            found.push((line, name));
        }
    }
    found
}

#[test]
fn imports_point_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut faults = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        let own = relative.iter().next().unwrap().to_str().unwrap();
        let own = own.trim_end_matches(".rs");
        if matches!(own, "lib" | "bin") {
            continue;
        }
        let from = layer(own).unwrap_or_else(|| panic!("{own} is not in the table"));
        for (line, module) in imports(&fs::read_to_string(&file).unwrap()) {
            let down = layer(&module).is_some_and(|to| to < from);
            if module != own && !down {
                faults.push(format!(
                    "{}:{line}: {own} imports {module}",
                    relative.display()
                ));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "imports that point up or sideways:\n{}",
        faults.join("\n")
    );
}

#[test]
fn an_import_that_points_up_is_seen() {
    let text = "use crate::{spec::Id, cli};\n// crate::cli\nfn f() { crate::launch::x() }";
    let seen = imports(text);
    let names: Vec<&str> = seen.iter().map(|(_, n)| n.as_str()).collect();
    assert_eq!(names, ["spec", "cli", "launch"]);
    assert_eq!(seen[2].0, 3);
}
