//! Our default profile, against Docker's: it allows nothing that Docker's does not.

use caps::Capability;
use serde_json::{Value, json};

use super::*;
use crate::spec::defaults::{CAPABILITIES, seccomp};

const DOCKER: &str = include_str!("../../../../tests/profiles/docker.json");

/// Docker's profile for a container on x86_64 with these capabilities, as dockerd writes it into
/// config.json.
fn docker(capabilities: &[Capability]) -> Program {
    let file: Value = serde_json::from_str(DOCKER).unwrap();
    let has = |list: &Value| {
        let all = list.as_array().unwrap().iter();
        all.clone()
            .all(|name| capabilities.iter().any(|c| json!(c.to_string()) == *name))
    };
    let applies = |rule: &&Value| {
        let (with, without) = (&rule["includes"], &rule["excludes"]);
        let arches = |side: &Value| {
            side["arches"]
                .as_array()
                .is_some_and(|a| a.contains(&json!("amd64")))
        };
        (with["arches"].is_null() || arches(with))
            && !arches(without)
            && (with["caps"].is_null() || has(&with["caps"]))
            && (without["caps"].is_null() || !has(&without["caps"]))
    };
    let rules: Vec<Value> = file["syscalls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(applies)
        .cloned()
        .collect();
    let rules: Vec<Value> = rules
        .into_iter()
        .map(|mut rule| {
            rule.as_object_mut().unwrap().retain(|key, value| {
                ["names", "action", "args", "errnoRet"].contains(&&**key) && !value.is_null()
            });
            rule
        })
        .collect();
    let profile = json!({
        "defaultAction": file["defaultAction"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    });
    program(&profile.to_string())
}

fn ours(capabilities: &[Capability]) -> Program {
    program(&seccomp(capabilities).to_string())
}

/// First arguments that a rule of either profile may tell apart.
fn arguments() -> Vec<u64> {
    let small = 0..=64;
    let bits = (0..64).map(|bit| 1 << bit);
    let around = [
        0x2_0008,
        0xffff_ffff,
        u64::MAX,
        0x7e02_0000,
        1 << 32 | 38,
        1 << 32 | 40,
        0x11 | 1 << 63,
    ];
    small.chain(bits).chain(around).collect()
}

#[test]
fn nothing_is_allowed_that_docker_does_not_allow() {
    let mut sets = vec![
        CAPABILITIES.to_vec(),
        Vec::new(),
        caps::all().into_iter().collect(),
    ];
    sets.extend(caps::all().into_iter().map(|one| vec![one]));
    for set in sets {
        let (ours, theirs) = (ours(&set), docker(&set));
        let mut allowed = 0;
        for audit in [X86_64, X86] {
            for number in (0..=512).chain(X32_BIT..=X32_BIT + 548) {
                for argument in arguments() {
                    if call(&ours, audit, number, &[argument]) != ALLOW {
                        continue;
                    }
                    allowed += 1;
                    let theirs = call(&theirs, audit, number, &[argument]);
                    assert_eq!(theirs, ALLOW, "{audit:x} {number} {argument:x} {set:?}");
                }
            }
        }
        assert!(allowed > 500 * 64, "it does allow something: {allowed}");
    }
}

#[test]
fn what_programs_live_on_is_allowed() {
    let ours = ours(CAPABILITIES);
    // read, write, mmap, execve, fork, wait4, openat, futex, and clone3 for the fallback of libc.
    for number in [0, 1, 9, 59, 57, 61, 257, 202] {
        assert_eq!(call(&ours, X86_64, number, &[]), ALLOW, "{number}");
    }
    assert_eq!(call(&ours, X86_64, 435, &[]), ENOSYS);
    // A thread, as glibc makes one; a new user namespace.
    assert_eq!(call(&ours, X86_64, 56, &[0x3d_0f00]), ALLOW);
    assert_eq!(call(&ours, X86_64, 56, &[0x1000_0011]), EPERM);
    for (domain, result) in [
        (1, ALLOW),
        (2, ALLOW),
        (10, ALLOW),
        (16, ALLOW),
        (38, EPERM),
        (40, EPERM),
    ] {
        assert_eq!(call(&ours, X86_64, 41, &[domain]), result, "{domain}");
        assert_eq!(
            call(&ours, X86_64, 41, &[domain | 1 << 32]),
            EPERM,
            "{domain}"
        );
    }
    // By int 0x80, too: socket, and socketcall(SYS_SOCKET), whose domain no filter can see.
    assert_eq!(call(&ours, X86, 359, &[2]), ALLOW);
    assert_eq!(call(&ours, X86, 359, &[40]), EPERM);
    assert_eq!(call(&ours, X86, 102, &[1]), EPERM);
    // io_uring_setup, mount, keyctl, bpf.
    for number in [425, 165, 250, 321] {
        assert_eq!(call(&ours, X86_64, number, &[]), EPERM, "{number}");
    }
    assert!(ours.len() < 400, "{} instructions", ours.len());
}
