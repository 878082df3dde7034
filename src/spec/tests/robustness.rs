//! No document ends the program: whatever it says, it is accepted or refused.

use serde_json::{Value, json};

use super::*;

/// The example of the specification, in which every field has something in it, without what is
/// still to come.
fn full() -> Value {
    let text = include_str!("../../../tests/documents/good/spec-example.json");
    let mut whole = serde_json::from_str(text).unwrap();
    for (path, json) in [
        ("ociVersion", "\"1.3.0\""),
        ("root.path", "\"usr\""),
        ("process.terminal", "false"),
        ("process.apparmorProfile", ""),
        ("process.selinuxLabel", ""),
        ("linux.mountLabel", ""),
    ] {
        change(&mut whole, path, json);
    }
    whole
}

fn both() -> [Value; 2] {
    [serde_json::from_str(DEFAULT).unwrap(), full()]
}

#[test]
fn the_example_of_the_specification_is_a_container() {
    let found = load_text(&full().to_string()).unwrap();
    assert_eq!(found.devices.len(), 2);
    assert_eq!(found.hooks.create_runtime.len(), 2);
    assert_eq!(found.sysctls.len(), 2);
    let limits = &found.limits;
    assert_eq!(limits.devices.len(), 3);
    assert_eq!(limits.block_io.weights.len(), 2);
    assert_eq!(limits.block_io.throttles.len(), 2);
    assert_eq!(limits.network.priorities.len(), 2);
    assert_eq!(limits.huge_pages.len(), 2);
    assert_eq!(found.seccomp.unwrap().rules.len(), 1);
}

#[test]
fn every_beginning_of_a_document_is_refused() {
    for whole in both() {
        let text = whole.to_string();
        for end in 0..text.len() {
            assert!(load_text(&text[..end]).is_err(), "{end}");
        }
    }
}

#[test]
fn every_byte_can_be_another() {
    let mut bytes = full().to_string().into_bytes();
    for at in 0..bytes.len() {
        let was = bytes[at];
        bytes[at] = [b'"', b'{', b']', b',', b'9', b'-', 0, 0xff][at % 8];
        drop(parse(&bytes, Path::new("/")));
        bytes[at] = was;
    }
}

/// Every place in `value`, as steps from the top.
fn places(value: &Value, here: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    found.push(here.clone());
    let members: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(n, v)| (n.to_string(), v))
            .collect(),
        _ => Vec::new(),
    };
    for (step, member) in members {
        here.push(step);
        places(member, here, found);
        here.pop();
    }
}

fn value_at<'a>(mut value: &'a mut Value, steps: &[String]) -> &'a mut Value {
    for step in steps {
        value = match value {
            Value::Array(list) => &mut list[step.parse::<usize>().unwrap()],
            other => &mut other[step.as_str()],
        };
    }
    value
}

#[test]
fn every_value_can_be_of_another_type() {
    let others = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(4294967295u64),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("a\u{0}b"),
        json!("x".repeat(5000)),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"": {}}),
    ];
    for whole in both() {
        let mut found = Vec::new();
        places(&whole, &mut Vec::new(), &mut found);
        assert!(found.len() > 100);
        for steps in &found {
            for other in &others {
                let mut changed = whole.clone();
                *value_at(&mut changed, steps) = other.clone();
                drop(load_text(&changed.to_string()));
            }
        }
    }
}

/// Objects are not lists: derived code would take the members by position.
#[test]
fn a_list_is_never_taken_for_an_object() {
    let whole = full();
    let mut found = Vec::new();
    places(&whole, &mut Vec::new(), &mut found);
    let mut objects = 0;
    for steps in &found {
        let mut changed = whole.clone();
        let at = value_at(&mut changed, steps);
        let Value::Object(map) = at else { continue };
        *at = Value::Array(map.values().cloned().collect());
        objects += 1;
        let said = load_text(&changed.to_string()).unwrap_err().to_string();
        assert!(said.contains("sequence"), "{steps:?}: {said}");
    }
    assert!(objects > 40);
}
