//! The default profile of Podman, against a plain reading of its JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

const FILE: &str = include_str!("../../../../tests/profiles/containers-common.json");
const NAMES: &str = include_str!("../calls.txt");

/// The profile of the file for a container on `machine` that has all capabilities or none: what
/// Podman writes into config.json.
fn flatten(machine: &str, archs: &[&str], capable: bool, default_errno: u32) -> Value {
    let file: Value = serde_json::from_str(FILE).unwrap();
    let applies = |rule: &&Value| {
        let list = |side: &str, key: &str| rule[side][key].as_array().cloned();
        let here = list("includes", "arches").is_none_or(|a| a.contains(&json!(machine)));
        here && (capable || list("includes", "caps").is_none())
            && (!capable || list("excludes", "caps").is_none())
    };
    let rules: Vec<Value> = file["syscalls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(applies)
        .map(|rule| {
            let mut rule = rule.clone();
            let fields = rule.as_object_mut().unwrap();
            fields.retain(|key, value| {
                ["names", "action", "args", "errnoRet"].contains(&&**key) && !value.is_null()
            });
            rule
        })
        .collect();
    json!({
        "defaultAction": file["defaultAction"],
        "defaultErrnoRet": default_errno,
        "architectures": archs,
        "syscalls": rules,
    })
}

fn result(rule: &Value, errno_key: &str, action_key: &str) -> u32 {
    match rule[action_key].as_str().unwrap() {
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_ERRNO" => errno(u32::try_from(rule[errno_key].as_u64().unwrap_or(1)).unwrap()),
        other => panic!("{other}"),
    }
}

fn holds(arg: &Value, args: &[u64; 6], bits: u64) -> bool {
    let given = args[usize::try_from(arg["index"].as_u64().unwrap()).unwrap()] & bits;
    let value = arg["value"].as_u64().unwrap() & bits;
    match arg["op"].as_str().unwrap() {
        "SCMP_CMP_EQ" => given == value,
        "SCMP_CMP_NE" => given != value,
        other => panic!("{other}"),
    }
}

/// What the profile says about a call by its names, read rule for rule.
fn read_profile(profile: &Value, names: &[&str], args: &[u64; 6], bits: u64) -> u32 {
    let default = result(profile, "defaultErrnoRet", "defaultAction");
    let about: Vec<&Value> = profile["syscalls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| {
            let named = rule["names"].as_array().unwrap();
            named
                .iter()
                .any(|name| names.contains(&name.as_str().unwrap()))
        })
        .filter(|rule| result(rule, "errnoRet", "action") != default)
        .collect();
    let conditions = |rule: &Value| rule["args"].as_array().cloned().unwrap_or_default();
    if let Some(rule) = about.iter().find(|rule| conditions(rule).is_empty()) {
        return result(rule, "errnoRet", "action");
    }
    let mut met: Vec<u32> = about
        .iter()
        .filter(|rule| conditions(rule).iter().all(|arg| holds(arg, args, bits)))
        .map(|rule| result(rule, "errnoRet", "action"))
        .collect();
    met.dedup();
    assert!(met.len() <= 1, "{names:?} {args:x?} depends on an order");
    met.first().copied().unwrap_or(default)
}

/// Names by number, from the column of the table.
fn names_of(column: usize) -> BTreeMap<u32, Vec<&'static str>> {
    let mut names: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for line in NAMES.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if let Ok(number) = fields[1 + column].parse() {
            names.entry(number).or_default().push(fields[0]);
        }
    }
    names
}

const ARGS: &[[u64; 6]] = &[
    [0; 6],
    [1, 1, 1, 1, 1, 1],
    [8, 0, 0, 0, 0, 0],
    [0x1_0000_0008, 0, 0, 0, 0, 0],
    [0x2_0000, 0, 0, 0, 0, 0],
    [0x2_0008, 0, 0, 0, 0, 0],
    [0xffff_ffff, 0, 0, 0, 0, 0],
    [u64::MAX; 6],
    [16, 3, 9, 0, 0, 0],
    [16, 3, 0, 0, 0, 0],
    [2, 3, 9, 0, 0, 0],
    [0x1_0000_0010, 3, 9, 0, 0, 0],
];

/// An architecture of the filter: its `AUDIT_ARCH_*`, column, bit and width.
type Abi = (u32, usize, u32, u64);

const LOW: u64 = 0xffff_ffff;
const X86_ABIS: &[Abi] = &[
    (X86_64, 0, 0, u64::MAX),
    (X86, 1, 0, LOW),
    (X86_64, 2, X32_BIT, LOW),
];
const ARM_ABIS: &[Abi] = &[(AARCH64, 3, 0, u64::MAX), (ARM, 4, 0, LOW)];

/// Compares every number of every architecture, and returns how many calls that were.
fn compare_all(document: &Value, native: Arch, abis: &[Abi]) -> usize {
    let program = compile_for(&profile(&document.to_string()), native).unwrap();
    verify(program.instructions());
    let mut compared = 0;
    for &(audit, column, bit, bits) in abis {
        let names = names_of(column);
        let known = |name: &&str| document.to_string().contains(&format!("\"{name}\""));
        let largest = names
            .iter()
            .rev()
            .find(|(_, names)| names.iter().any(known));
        let largest = *largest.unwrap().0;
        for number in (0..700).chain(0xf_0000..0xf_0008) {
            for args in ARGS {
                let args = &args.map(|arg| if bit == 0 { arg & bits } else { arg });
                let here = names.get(&number).map_or(&[][..], |names| names);
                let expected = if number > largest {
                    ENOSYS
                } else {
                    read_profile(document, here, args, bits)
                };
                let found = call(&program, audit, number | bit, args);
                assert_eq!(found, expected, "{audit:#x} {number} {here:?} {args:x?}");
                compared += 1;
            }
        }
    }
    compared
}

#[test]
fn the_profile_of_podman_means_what_it_says_on_x86() {
    let archs = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    for capable in [false, true] {
        for default_errno in [38, 1] {
            let document = flatten("amd64", &archs, capable, default_errno);
            let compared = compare_all(&document, Arch::X86_64, X86_ABIS);
            assert!(compared > 25_000, "{compared}");
        }
    }
}

#[test]
fn the_profile_of_podman_means_what_it_says_on_arm() {
    let archs = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];
    for capable in [false, true] {
        let document = flatten("arm64", &archs, capable, 1);
        compare_all(&document, Arch::Aarch64, ARM_ABIS);
    }
}

#[test]
fn the_profile_of_podman_stops_the_calls_it_is_known_for() {
    let document = flatten("amd64", &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], false, 38);
    let program = program(&document.to_string());
    for (audit, number, result) in [
        (X86_64, libc::SYS_read, ALLOW),
        (X86_64, libc::SYS_kexec_load, EPERM),
        (X86_64, libc::SYS_bpf, EPERM),
        (X86_64, libc::SYS_init_module, EPERM),
        (X86, 128, EPERM),
        (X86, 283, EPERM),
    ] {
        let number = u32::try_from(number).unwrap();
        assert_eq!(
            call(&program, audit, number, &[]),
            result,
            "{audit:#x} {number}"
        );
    }
    assert_eq!(call(&program, X86_64, X32_BIT, &[]), KILL_THREAD);
}
