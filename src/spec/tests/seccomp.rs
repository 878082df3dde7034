//! `linux.seccomp`: what is taken, and the words for what is not.

use crate::spec::seccomp::{ACTIONS, ARCHS, Arch, FLAGS, OPERATORS, Profile};

#[test]
fn a_fault_is_named_by_its_path() {
    for (json, fault) in [
        (
            r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#,
            "linux.seccomp.listenerPath: missing, and SCMP_ACT_NOTIFY asks whoever listens there",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}"#,
            "linux.seccomp.defaultErrnoRet: 4096 is no errno: the largest is 4095",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "agent.sock"}"#,
            "linux.seccomp.listenerPath: \"agent.sock\" is no absolute path",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 0}"#,
            "linux.seccomp.defaultErrnoRet: only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take a number",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}"#,
            "linux.seccomp.listenerMetadata: it is told to whoever listens at \
             linux.seccomp.listenerPath, which is missing",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_NATIVE"]}"#,
            "linux.seccomp.architectures[1]: an architecture must be named: SCMP_ARCH_NATIVE is none",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}]}"#,
            "linux.seccomp.syscalls[0].names: a rule names at least one system call",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["read", ""], "action": "SCMP_ACT_LOG"}]}"#,
            "linux.seccomp.syscalls[0].names[1]: the name of a system call is empty",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_LOG"},
                {"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]}"#,
            "linux.seccomp.listenerPath: missing, and SCMP_ACT_NOTIFY asks whoever listens there",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536}]}"#,
            "linux.seccomp.syscalls[0].errnoRet: 65536 does not fit into the 16 bits that a tracer is given",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [
                    {"index": 5, "value": 0, "op": "SCMP_CMP_EQ"},
                    {"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
            "linux.seccomp.syscalls[0].args[1].index: a system call has the arguments 0 to 5, not 6",
        ),
    ] {
        assert_eq!(Profile::from_json(json), Err(fault.into()), "{json}");
    }
}

#[test]
fn a_document_that_says_something_unknown_is_refused() {
    for json in [
        r#"{}"#,
        r#"{"syscalls": []}"#,
        r#"{"defaultAction": ""}"#,
        r#"{"defaultAction": "SCMP_ACT_PERMIT"}"#,
        r#"{"defaultAction": "scmp_act_allow"}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"]}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_X"]}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": -1}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_LOG"}]}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [
                {"index": 0, "value": 0, "op": "SCMP_CMP_ODD"}]}]}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 0}]}]}"#,
    ] {
        assert!(Profile::from_json(json).is_err(), "{json}");
    }
}

/// Every name that `features` prints is taken, and no action or operator is left out.
#[test]
fn what_features_lists_is_taken() {
    let profile = |json: String| Profile::from_json(&json);
    for action in ACTIONS {
        profile(format!(
            r#"{{"defaultAction": "{action}", "listenerPath": "/agent"}}"#
        ))
        .unwrap();
    }
    for arch in ARCHS {
        profile(format!(
            r#"{{"defaultAction": "SCMP_ACT_LOG", "architectures": ["{arch}"]}}"#
        ))
        .unwrap();
    }
    for flag in FLAGS {
        profile(format!(
            r#"{{"defaultAction": "SCMP_ACT_LOG", "flags": ["{flag}"]}}"#
        ))
        .unwrap();
    }
    for operator in OPERATORS {
        profile(format!(
            r#"{{"defaultAction": "SCMP_ACT_LOG", "syscalls": [{{"names": ["read"],
                "action": "SCMP_ACT_TRAP",
                "args": [{{"index": 0, "value": 1, "op": "{operator}"}}]}}]}}"#
        ))
        .unwrap();
    }
}

#[test]
fn architectures_of_other_kernels_are_left_out() {
    let profile = Profile::from_json(
        r#"{"defaultAction": "SCMP_ACT_LOG",
            "architectures": ["SCMP_ARCH_S390X", "SCMP_ARCH_ARM", "SCMP_ARCH_ARM"]}"#,
    );
    assert_eq!(profile.unwrap().archs, [Arch::Arm]);
}

#[test]
fn there_is_an_agent_where_something_is_to_be_asked() {
    let agent = |action: &str| {
        let json = format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent.sock",
                "listenerMetadata": "x",
                "syscalls": [{{"names": ["mkdir"], "action": "{action}"}}]}}"#
        );
        Profile::from_json(&json).unwrap().agent
    };
    let there = agent("SCMP_ACT_NOTIFY").unwrap();
    assert_eq!(there.path, std::path::Path::new("/run/agent.sock"));
    assert_eq!(there.metadata.as_deref(), Some("x"));
    assert_eq!(agent("SCMP_ACT_ERRNO"), None, "ignored, as the OCI says");
}
