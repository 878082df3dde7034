//! `process`.

use super::*;
use crate::spec::container::{Process, User};

fn process(changes: &[(&str, &str)]) -> Process {
    accepted(changes).process.unwrap()
}

#[test]
fn args_and_cwd_have_the_texts_that_callers_match() {
    refuses(&[
        ("process.args", "[]", "process.args: args must not be empty"),
        ("process.args", "", "process.args: args must not be empty"),
        (
            "process.args",
            "null",
            "process.args: args must not be empty",
        ),
        (
            "process.cwd",
            "\"tmp\"",
            "process.cwd: Cwd must be an absolute path",
        ),
        (
            "process.cwd",
            "\"./\"",
            "process.cwd: Cwd must be an absolute path",
        ),
        (
            "process.cwd",
            "",
            "process.cwd: Cwd property must not be empty",
        ),
        (
            "process.cwd",
            "\"\"",
            "process.cwd: Cwd property must not be empty",
        ),
        (
            "process.cwd",
            r#""/a\u0000b""#,
            "process.cwd: \"/a\\0b\" contains a NUL byte",
        ),
        (
            "process.args",
            r#"["sh", "a\u0000b"]"#,
            "process.args[1]: contains a NUL byte",
        ),
    ]);
}

#[test]
fn a_container_can_be_made_without_a_process() {
    assert!(accepted(&[("process", "")]).process.is_none());
    assert!(accepted(&[("process", "null")]).process.is_none());
}

#[test]
fn of_a_variable_that_is_set_twice_the_last_value_stays() {
    let env = r#"["A=1", "B=2", "A=3", "C=", "AB=4", "B=5=6"]"#;
    let found = process(&[("process.env", env)]).env;
    assert_eq!(
        found,
        [c"A=3", c"C=", c"AB=4", c"B=5=6"].map(ToOwned::to_owned)
    );
    assert!(process(&[("process.env", "")]).env.is_empty());
}

#[test]
fn a_variable_has_a_name_and_a_value() {
    refuses(&[
        (
            "process.env",
            r#"["A=1", "SECRET"]"#,
            "process.env[1]: has no =",
        ),
        (
            "process.env",
            r#"["=x"]"#,
            "process.env[0]: has no name before its =",
        ),
        ("process.env", r#"[""]"#, "process.env[0]: has no ="),
        (
            "process.env",
            r#"["A=\u0000"]"#,
            "process.env[0]: contains a NUL byte",
        ),
    ]);
}

#[test]
fn a_user_is_root_where_nothing_else_is_said() {
    let root = User {
        uid: 0,
        gid: 0,
        additional_gids: Vec::new(),
        umask: None,
    };
    assert_eq!(process(&[("process.user", "")]).user, root);
    assert_eq!(process(&[("process.user", "{}")]).user, root);
    let user = r#"{"uid": 4294967294, "gid": 5, "additionalGids": [6, 7], "umask": 511}"#;
    let found = process(&[("process.user", user)]).user;
    assert_eq!((found.uid, found.gid), (u32::MAX - 1, 5));
    assert_eq!(found.additional_gids, [6, 7]);
    assert_eq!(found.umask, Some(0o777));
}

#[test]
fn minus_one_is_no_id() {
    refuses(&[
        (
            "process.user.uid",
            "4294967295",
            "process.user.uid: 4294967295 is no id",
        ),
        (
            "process.user.gid",
            "4294967295",
            "process.user.gid: 4294967295 is no id",
        ),
        (
            "process.user.additionalGids",
            "[1, 4294967295]",
            "process.user.additionalGids[1]: 4294967295 is no id",
        ),
        (
            "process.user.umask",
            "512",
            "process.user.umask: 512 is above 511 (octal 777)",
        ),
    ]);
}

#[test]
fn an_id_of_the_process_is_mapped() {
    let namespaces = (
        "linux.namespaces",
        r#"[{"type": "mount"}, {"type": "uts"}, {"type": "user"}]"#,
    );
    let map = r#"[{"containerID": 0, "hostID": 1000, "size": 10}]"#;
    let maps = [
        namespaces,
        ("linux.uidMappings", map),
        ("linux.gidMappings", map),
    ];
    let with = |user| [&maps[..], &[("process.user", user)]].concat();
    assert_eq!(process(&with(r#"{"uid": 9, "gid": 9}"#)).user.uid, 9);
    for (user, said) in [
        (
            r#"{"uid": 10}"#,
            "process.user.uid: 10 is not mapped in the user namespace",
        ),
        (
            r#"{"gid": 1000}"#,
            "process.user.gid: 1000 is not mapped in the user namespace",
        ),
        (
            r#"{"additionalGids": [0, 77]}"#,
            "process.user.additionalGids[1]: 77 is not mapped in the user namespace",
        ),
    ] {
        assert_eq!(refused(&with(user)), said);
    }
}

#[test]
fn an_unknown_capability_is_left_out() {
    let sets = r#"{"bounding": ["CAP_CHOWN", "CAP_NEW_ONE", "chown", "CAP_CHECKPOINT_RESTORE"],
        "ambient": [], "permitted": null}"#;
    let found = process(&[("process.capabilities", sets)]).capabilities;
    assert_eq!(found.bounding, 1 | 1 << 40);
    assert_eq!((found.ambient, found.permitted, found.effective), (0, 0, 0));
}

#[test]
fn a_process_without_capabilities_has_none() {
    let found = process(&[("process.capabilities", "")]).capabilities;
    assert_eq!(found, crate::spec::container::Capabilities::default());
}

#[test]
fn a_limit_of_the_process_is_named_once_and_soft_below_hard() {
    let rlimits = r#"[{"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615},
        {"type": "RLIMIT_RTTIME", "soft": 7, "hard": 7}]"#;
    let found = process(&[("process.rlimits", rlimits)]).rlimits;
    assert_eq!(found[0].resource, 4);
    assert_eq!(found[0].hard, u64::MAX);
    assert_eq!((found[1].resource, found[1].name), (15, "RTTIME"));
    refuses(&[
        (
            "process.rlimits",
            r#"[{"type": "RLIMIT_AS", "soft": 1, "hard": 1}, {"type": "RLIMIT_AS", "soft": 2, "hard": 2}]"#,
            "process.rlimits[1].type: RLIMIT_AS is listed twice",
        ),
        (
            "process.rlimits",
            r#"[{"type": "RLIMIT_AS", "soft": 2, "hard": 1}]"#,
            "process.rlimits[0].soft: 2 is above the hard limit 1",
        ),
    ]);
}

#[test]
fn the_score_has_the_range_of_the_kernel() {
    for (json, score) in [
        ("-1000", Some(-1000)),
        ("1000", Some(1000)),
        ("0", Some(0)),
        ("null", None),
    ] {
        assert_eq!(
            process(&[("process.oomScoreAdj", json)]).oom_score_adj,
            score
        );
    }
    for score in ["1001", "-1001", "9223372036854775807"] {
        let said = refused(&[("process.oomScoreAdj", score)]);
        assert_eq!(
            said,
            format!("process.oomScoreAdj: {score} is not from -1000 to 1000")
        );
    }
}
