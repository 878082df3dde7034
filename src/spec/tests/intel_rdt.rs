//! `linux.intelRdt`.

use super::*;
use crate::spec::intel_rdt::Class;

fn schemata(json: &str) -> Vec<String> {
    accepted(&[("linux.intelRdt", json)])
        .intel_rdt
        .unwrap()
        .schemata
}

#[test]
fn lines_come_in_the_order_in_which_the_last_word_counts() {
    for (json, lines) in [
        ("{}", &[][..]),
        (r#"{"closID": "", "l3CacheSchema": ""}"#, &[]),
        (r#"{"l3CacheSchema": "L3:0=f"}"#, &["L3:0=f"]),
        (
            r#"{"l3CacheSchema": "L3:0=f\nMB:0=10", "memBwSchema": "MB:0=20"}"#,
            &["L3:0=f", "MB:0=20"],
        ),
        (
            r#"{"l3CacheSchema": "L3:0=f\n\nMB:0=10"}"#,
            &["L3:0=f", "MB:0=10"],
        ),
        (
            r#"{"memBwSchema": "MB:0=20", "schemata": ["L2:0=f", "MB:0=30"]}"#,
            &["MB:0=20", "L2:0=f", "MB:0=30"],
        ),
    ] {
        assert_eq!(schemata(json), lines, "{json}");
    }
}

#[test]
fn a_class_is_named_or_the_containers_own_or_the_default() {
    for (json, class, is_monitored) in [
        ("{}", Class::Own, false),
        (r#"{"closID": "gold"}"#, Class::Named("gold".into()), false),
        // What OCI 1.3 has left out; runc has never obeyed it.
        (
            r#"{"enableCMT": true, "enableMBM": true}"#,
            Class::Own,
            false,
        ),
        (
            r#"{"closID": "/", "enableMonitoring": true}"#,
            Class::Default,
            true,
        ),
    ] {
        let found = accepted(&[("linux.intelRdt", json)]).intel_rdt.unwrap();
        assert_eq!((found.class, found.is_monitored), (class, is_monitored));
    }
}

#[test]
fn a_class_is_a_name_and_a_schema_lines() {
    for name in [
        ".",
        "..",
        "a/b",
        "/a",
        "//",
        "a\\n",
        "a\\u0000",
        "info",
        "mon_groups",
    ] {
        let said = refused(&[("linux.intelRdt", &format!(r#"{{"closID": "{name}"}}"#))]);
        assert!(said.starts_with("linux.intelRdt.closID: "), "{said}");
        assert!(
            said.ends_with(" is no name of a class of service"),
            "{said}"
        );
    }
    refuses(&[
        (
            "linux.intelRdt",
            r#"{"memBwSchema": "L3:0=1"}"#,
            r#"linux.intelRdt.memBwSchema: "L3:0=1" is no line like MB:0=20;1=70"#,
        ),
        (
            "linux.intelRdt",
            r#"{"memBwSchema": "MB:0=1\nMB:1=1"}"#,
            r#"linux.intelRdt.memBwSchema: "MB:0=1\nMB:1=1" is no line like MB:0=20;1=70"#,
        ),
        (
            "linux.intelRdt",
            r#"{"schemata": ["L3:0=1", "L3:0=1\nL3:1=1"]}"#,
            r#"linux.intelRdt.schemata[1]: "L3:0=1\nL3:1=1" is not one line"#,
        ),
        (
            "linux.intelRdt",
            r#"{"schemata": [""]}"#,
            r#"linux.intelRdt.schemata[0]: "" is not one line"#,
        ),
    ]);
}
