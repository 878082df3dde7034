//! `linux.netDevices`.

use super::*;

#[test]
fn a_device_keeps_its_name_or_gets_another() {
    let json = r#"{"eth0": {}, "eth1": {"name": ""}, "eth2": {"name": "inside.7-a@b"}}"#;
    let found = accepted(&[("linux.netDevices", json)]).net_devices;
    let names: Vec<_> = found
        .iter()
        .map(|device| {
            (
                device.name.to_str().unwrap(),
                device.inside.to_str().unwrap(),
            )
        })
        .collect();
    let wanted = [("eth0", "eth0"), ("eth1", "eth1"), ("eth2", "inside.7-a@b")];
    assert_eq!(names, wanted);
    assert!(
        accepted(&[("linux.netDevices", "{}")])
            .net_devices
            .is_empty()
    );
}

#[test]
fn a_name_is_one_that_the_kernel_takes() {
    for (name, said) in [
        ("", r#""" is no name of a network device"#),
        (".", r#""." is no name of a network device"#),
        ("..", r#"".." is no name of a network device"#),
        ("a/b", r#""a/b" has a '/', as no network device"#),
        ("a:1", r#""a:1" has a ':', as no network device"#),
        ("a b", r#""a b" has a ' ', as no network device"#),
        ("a\\n", r#""a\n" has a '\n', as no network device"#),
        (
            "a\\u000bb",
            r#""a\u{b}b" has a '\u{b}', as no network device"#,
        ),
        ("a\\u0000", r#""a\0" has a '\0', as no network device"#),
        (
            "sixteen-letters-",
            r#""sixteen-letters-" has more than 15 bytes"#,
        ),
    ] {
        let as_key = refused(&[("linux.netDevices", &format!(r#"{{"{name}": {{}}}}"#))]);
        assert!(as_key.starts_with("linux.netDevices"), "{as_key}");
        assert!(as_key.ends_with(said), "{as_key}");
        if name.is_empty() {
            continue; // keeps the name that it has
        }
        let json = format!(r#"{{"eth0": {{"name": "{name}"}}}}"#);
        let as_name = refused(&[("linux.netDevices", &json)]);
        assert_eq!(as_name, format!("linux.netDevices.eth0.name: {said}"));
    }
}

#[test]
fn two_devices_do_not_get_one_name() {
    refuses(&[
        (
            "linux.netDevices",
            r#"{"eth0": {"name": "eth1"}, "eth1": {}}"#,
            "linux.netDevices.eth1: another device is to be called eth1 too",
        ),
        (
            "linux.netDevices",
            r#"{"a": {"name": "x"}, "b": {"name": "x"}}"#,
            "linux.netDevices.b: another device is to be called x too",
        ),
    ]);
    let swapped = r#"{"eth0": {"name": "eth1"}, "eth1": {"name": "eth0"}}"#;
    assert_eq!(
        accepted(&[("linux.netDevices", swapped)]).net_devices.len(),
        2
    );
}

#[test]
fn devices_go_to_a_network_namespace_of_its_own() {
    let said = "linux.netDevices: unable to move network devices without a private NET namespace";
    for namespaces in [
        r#"[{"type": "mount"}]"#,
        r#"[{"type": "mount"}, {"type": "network", "path": "/proc/self/ns/net"}]"#,
    ] {
        let changes = [
            ("hostname", ""),
            ("linux.namespaces", namespaces),
            ("linux.netDevices", r#"{"eth0": {}}"#),
        ];
        assert_eq!(refused(&changes), said, "{namespaces}");
    }
}
