//! Actions, architectures and what is done about calls that a profile does not name.

use super::*;

#[test]
fn every_action_has_the_kernels_number() {
    for (action, result) in [
        (r#""SCMP_ACT_KILL""#, KILL_THREAD),
        (r#""SCMP_ACT_KILL_THREAD""#, KILL_THREAD),
        (r#""SCMP_ACT_KILL_PROCESS""#, KILL_PROCESS),
        (r#""SCMP_ACT_TRAP""#, TRAP),
        (r#""SCMP_ACT_ERRNO""#, EPERM),
        (r#""SCMP_ACT_ERRNO", "errnoRet": 0"#, errno(0)),
        (r#""SCMP_ACT_ERRNO", "errnoRet": 4095"#, errno(4095)),
        (r#""SCMP_ACT_TRACE""#, 0x7ff0_0001),
        (r#""SCMP_ACT_TRACE", "errnoRet": 65535"#, 0x7ff0_ffff),
        (r#""SCMP_ACT_LOG""#, LOG),
        (r#""SCMP_ACT_ALLOW""#, ALLOW),
    ] {
        let json = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 99, "syscalls": [
                {{"names": ["getpid"], "action": {action}}}, {{"names": ["close"], "action": "SCMP_ACT_ALLOW"}}]}}"#
        );
        let program = program(&json);
        assert_eq!(call(&program, X86_64, 39, &[]), result, "{action}");
        assert_eq!(call(&program, X86_64, 3, &[]), ALLOW, "{action}");
        assert_eq!(call(&program, X86_64, 2, &[]), errno(99), "{action}");
    }
}

#[test]
fn a_32_bit_call_does_not_slip_past_a_64_bit_filter() {
    // 20 is writev on x86_64 and getpid on x86.
    let program = program(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
            {"names": ["writev"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    assert_eq!(call(&program, X86_64, 20, &[]), ALLOW);
    assert_eq!(call(&program, X86, 20, &[]), KILL_THREAD);
    assert_eq!(call(&program, AARCH64, 20, &[]), KILL_THREAD);
    assert_eq!(call(&program, 0, 20, &[]), KILL_THREAD);
}

#[test]
fn an_x32_call_does_not_slip_past_a_64_bit_filter() {
    for default in ["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"] {
        let program = program(&format!(
            r#"{{"defaultAction": "{default}", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
                "syscalls": [{{"names": ["read"], "action": "SCMP_ACT_LOG"}}]}}"#
        ));
        assert_eq!(call(&program, X86_64, 0, &[]), LOG);
        for number in [
            X32_BIT,
            X32_BIT | 1,
            X32_BIT | 520,
            0x7fff_ffff,
            0xffff_fffe,
        ] {
            assert_eq!(
                call(&program, X86_64, number, &[]),
                KILL_THREAD,
                "{number:#x}"
            );
        }
    }
}

#[test]
fn a_call_that_a_tracer_skipped_gets_the_default() {
    let json = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ERRNO"}]}"#;
    assert_eq!(call(&program(json), X86_64, u32::MAX, &[]), ALLOW);
}

#[test]
fn every_listed_architecture_has_its_own_numbers() {
    let json = r#"{"defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_MIPS64"],
        "syscalls": [{"names": ["ptrace", "socketcall"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let program = program(json);
    for (audit, number, result) in [
        (X86_64, 101, ALLOW),
        (X86_64, 26, EPERM),
        (X86_64, X32_BIT | 521, ALLOW),
        (X86_64, X32_BIT | 101, EPERM),
        (X86, 26, ALLOW),
        (X86, 101, EPERM),
        (X86, 102, ALLOW),
        (X86_64, 102, ENOSYS),
        (X86_64, X32_BIT | 522, ENOSYS),
        (ARM, 26, KILL_THREAD),
    ] {
        assert_eq!(
            call(&program, audit, number, &[]),
            result,
            "{audit:#x} {number:#x}"
        );
    }
}

#[test]
fn the_native_architecture_belongs_to_every_filter() {
    for archs in [
        "",
        r#""architectures": [],"#,
        r#""architectures": ["SCMP_ARCH_X86"],"#,
        r#""architectures": ["SCMP_ARCH_S390X", "SCMP_ARCH_X86"],"#,
    ] {
        let json = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", {archs} "syscalls": [
                {{"names": ["ptrace"], "action": "SCMP_ACT_ALLOW"}}]}}"#
        );
        let program = program(&json);
        assert_eq!(call(&program, X86_64, 101, &[]), ALLOW, "{archs}");
        let other = if archs.contains("X86\"") {
            ALLOW
        } else {
            KILL_THREAD
        };
        assert_eq!(call(&program, X86, 26, &[]), other, "{archs}");
    }
}

#[test]
fn an_arm_kernel_gets_arm_numbers() {
    let json = r#"{"defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["openat", "set_tls"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let program = compile_for(&profile(json), Arch::Aarch64).unwrap();
    verify(program.instructions());
    for (audit, number, result) in [
        (AARCH64, 56, ALLOW),
        (AARCH64, 57, ENOSYS),
        (ARM, 322, ALLOW),
        (ARM, 0xf_0005, ALLOW),
        (ARM, 56, EPERM),
        (X86_64, 257, KILL_THREAD),
    ] {
        assert_eq!(
            call(&program, audit, number, &[]),
            result,
            "{audit:#x} {number:#x}"
        );
    }
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    for (default, old, new) in [
        (r#""SCMP_ACT_ERRNO""#, EPERM, ENOSYS),
        (r#""SCMP_ACT_KILL_PROCESS""#, KILL_PROCESS, ENOSYS),
        (r#""SCMP_ACT_TRAP""#, TRAP, ENOSYS),
        (r#""SCMP_ACT_LOG""#, LOG, LOG),
        (r#""SCMP_ACT_TRACE""#, 0x7ff0_0001, 0x7ff0_0001),
        (r#""SCMP_ACT_ERRNO", "defaultErrnoRet": 38"#, ENOSYS, ENOSYS),
    ] {
        // openat2 is 437; its rule asks for the default, and makes it known all the same.
        let json = format!(
            r#"{{"defaultAction": {default}, "syscalls": [
                {{"names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW"}},
                {{"names": ["openat2"], "action": {}}}]}}"#,
            default
                .replace("default", "")
                .replace("ErrnoRet", "errnoRet"),
        );
        let program = program(&json);
        for (number, result) in [(0, ALLOW), (435, old), (437, old), (438, new), (439, new)] {
            assert_eq!(
                call(&program, X86_64, number, &[]),
                result,
                "{default} {number}"
            );
        }
    }
}

#[test]
fn a_profile_without_known_calls_has_its_default_for_all() {
    for rules in [
        "[]",
        r#"[{"names": ["no_such_call"], "action": "SCMP_ACT_ALLOW"}]"#,
    ] {
        let json = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "syscalls": {rules}}}"#
        );
        let program = program(&json);
        for number in [0, 1, 400, 5000] {
            assert_eq!(call(&program, X86_64, number, &[]), EPERM);
            assert_eq!(call(&program, X86, number, &[]), EPERM);
        }
        assert_eq!(call(&program, X86_64, X32_BIT, &[]), KILL_THREAD);
    }
}

#[test]
fn socket_rules_hold_when_made_through_socketcall() {
    let archs = r#""architectures": ["SCMP_ARCH_X86"]"#;
    // socket is call 1 of socketcall (102) and 359 by itself, semget is call 2 of ipc (117).
    let deny = program(&format!(
        r#"{{"defaultAction": "SCMP_ACT_ALLOW", {archs}, "syscalls": [
            {{"names": ["socket", "semget"], "action": "SCMP_ACT_ERRNO"}},
            {{"names": ["connect"], "action": "SCMP_ACT_KILL_PROCESS",
              "args": [{{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}}]}}]}}"#
    ));
    for (number, args, result) in [
        (359, [0, 0], EPERM),
        (102, [1, 0], EPERM),
        (102, [2, 0], ALLOW),
        (117, [2, 0], EPERM),
        (117, [0x1_0002, 0], EPERM),
        (117, [3, 0], ALLOW),
        // What connect is called with lies in memory: the strictest answer.
        (102, [3, 0], KILL_PROCESS),
        (362, [7, 0], KILL_PROCESS),
        (362, [8, 0], ALLOW),
    ] {
        assert_eq!(call(&deny, X86, number, &args), result, "{number} {args:?}");
    }
    let allow = program(&format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", {archs}, "syscalls": [
            {{"names": ["send", "bind"], "action": "SCMP_ACT_ALLOW"}},
            {{"names": ["socket"], "action": "SCMP_ACT_ALLOW",
              "args": [{{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}}]}}]}}"#
    ));
    for (number, args, result) in [
        (102, [9, 0], ALLOW),
        (102, [2, 0], ALLOW),
        (102, [1, 0], EPERM),
        (359, [1, 0], ALLOW),
        (359, [40, 0], EPERM),
    ] {
        assert_eq!(
            call(&allow, X86, number, &args),
            result,
            "{number} {args:?}"
        );
    }
}

#[test]
fn flags_are_the_kernels_bits() {
    for (flags, bits) in [
        ("", 4),
        (r#""flags": [],"#, 0),
        (r#""flags": ["SECCOMP_FILTER_FLAG_TSYNC"],"#, 0),
        (r#""flags": ["SECCOMP_FILTER_FLAG_LOG"],"#, 2),
        (
            r#""flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"],"#,
            6,
        ),
    ] {
        let json = format!(r#"{{{flags} "defaultAction": "SCMP_ACT_ALLOW"}}"#);
        assert_eq!(program(&json).flags(), bits, "{flags}");
    }
}
