//! What a layer can cost beside its bytes.

use bulkhead::image::layer::Form;

use crate::harness::needs;
use crate::images::{Entry, Packed};
use crate::unpacked::{Ground, policy};

#[track_caller]
fn refusal(ground: &Ground, name: &str, entries: Vec<Entry>, form: Form) -> String {
    let layer = Packed::gzip(entries);
    let error = ground.unpack_into(name, &layer, &policy(form)).unwrap_err();
    error.to_string()
}

#[test]
fn an_entry_has_at_most_256_attributes() {
    needs!(root);
    let ground = Ground::new("attributes");
    let with = |count: u32| {
        let file = Entry::file("x", b"");
        vec![(0..count).fold(file, |file, n| file.xattr(&format!("user.{n}"), b""))]
    };
    let text = refusal(&ground, "many", with(257), Form::Flat);
    assert!(text.contains("256 extended attributes"), "{text}");
}

#[test]
fn a_link_of_very_many_parts_leads_nowhere() {
    needs!(root);
    let ground = Ground::new("parts");
    let entries = |parts: usize| {
        vec![
            Entry::dir("a"),
            Entry::symlink("l", "a/../".repeat(parts)),
            Entry::file("l/x", b""),
        ]
    };
    let text = refusal(&ground, "many", entries(800), Form::Overlay);
    assert!(text.contains("too many links"), "{text}");
    let few = Packed::gzip(entries(100));
    ground
        .unpack_into("few", &few, &policy(Form::Overlay))
        .unwrap();
    assert!(ground.path("few/x").exists());
}

#[test]
fn what_a_layer_removes_has_a_bound() {
    needs!(root);
    let ground = Ground::new("removed");
    let long = "d".repeat(200);
    let path = [long.as_str(); 15].join("/");
    let whiteouts = |count: u32| {
        (0..count)
            .map(|n| Entry::file(format!("{path}/.wh.{n}"), b""))
            .collect()
    };
    let text = refusal(&ground, "many", whiteouts(3000), Form::Flat);
    assert!(text.contains("more than can be held"), "{text}");
}

#[test]
fn a_name_of_any_length_makes_a_message_that_can_be_read() {
    needs!(root);
    let ground = Ground::new("long");
    let entry = Entry::file("n".repeat(500_000), b"");
    let text = refusal(&ground, "tree", vec![entry], Form::Overlay);
    assert!(text.contains("longer than 4095 bytes"), "{text}");
    assert!(text.len() < 10_000, "{} bytes", text.len());
}
