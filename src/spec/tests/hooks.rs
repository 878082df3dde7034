//! `hooks`.

use std::time::Duration;

use super::*;

#[test]
fn hooks_keep_their_points_and_their_order() {
    let hooks = r#"{"prestart": [{"path": "/a"}], "createRuntime": [{"path": "/b"}, {"path": "/c"}],
        "createContainer": [{"path": "/d"}], "startContainer": [{"path": "/e"}],
        "poststart": [{"path": "/f", "args": ["f", "1"], "env": ["A=b"], "timeout": 5}],
        "poststop": [{"path": "/g", "args": []}]}"#;
    let found = accepted(&[("hooks", hooks)]).hooks;
    let paths = |list: &[super::container::Hook]| -> Vec<String> {
        list.iter()
            .map(|hook| hook.path.display().to_string())
            .collect()
    };
    assert_eq!(paths(&found.prestart), ["/a"]);
    assert_eq!(paths(&found.create_runtime), ["/b", "/c"]);
    assert_eq!(paths(&found.create_container), ["/d"]);
    assert_eq!(paths(&found.start_container), ["/e"]);
    assert_eq!(found.prestart[0].args, ["/a"]);
    assert_eq!(found.prestart[0].timeout, None);
    let late = &found.poststart[0];
    assert_eq!(late.args, ["f", "1"]);
    assert_eq!(late.env, ["A=b"]);
    assert_eq!(late.timeout, Some(Duration::from_secs(5)));
    assert_eq!(found.poststop[0].args, ["/g"]);
}

#[test]
fn what_is_no_hook_is_named() {
    refuses(&[
        (
            "hooks",
            r#"{"poststop": [{"path": "a"}]}"#,
            "hooks.poststop[0].path: \"a\" is not an absolute path",
        ),
        (
            "hooks",
            r#"{"poststop": [{"path": ""}]}"#,
            "hooks.poststop[0].path: the path is empty",
        ),
        (
            "hooks",
            r#"{"prestart": [{"path": "/a", "timeout": 0}]}"#,
            "hooks.prestart[0].timeout: 0 seconds are not more than 0",
        ),
        (
            "hooks",
            r#"{"prestart": [{"path": "/a", "timeout": -1}]}"#,
            "hooks.prestart[0].timeout: -1 seconds are not more than 0",
        ),
        (
            "hooks",
            r#"{"poststart": [{"path": "/a"}, {"path": "/a", "args": ["a", "\u0000"]}]}"#,
            "hooks.poststart[1].args[1]: contains a NUL byte",
        ),
        (
            "hooks",
            r#"{"createRuntime": [{"path": "/a", "env": ["A"]}]}"#,
            "hooks.createRuntime[0].env[0]: has no =",
        ),
        (
            "hooks",
            r#"{"createContainer": [{"path": "/\u0000"}]}"#,
            "hooks.createContainer[0].path: \"/\\0\" contains a NUL byte",
        ),
    ]);
    let said = refused(&[("hooks", r#"{"startContainer": [{}]}"#)]);
    assert!(
        said.starts_with("hooks.startContainer[0]: line 1 column "),
        "{said}"
    );
    assert!(said.ends_with("missing field `path`"), "{said}");
}
