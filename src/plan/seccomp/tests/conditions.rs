//! Rules that look at arguments.

use super::*;

fn rule(args: &str, action: &str) -> String {
    format!(r#"{{"names": ["ioctl"], "action": "{action}", "args": [{args}]}}"#)
}

fn arg(index: u8, op: &str, value: u64) -> String {
    format!(r#"{{"index": {index}, "value": {value}, "op": "SCMP_CMP_{op}"}}"#)
}

fn masked(index: u8, mask: u64, value: u64) -> String {
    format!(
        r#"{{"index": {index}, "value": {mask}, "valueTwo": {value}, "op": "SCMP_CMP_MASKED_EQ"}}"#
    )
}

/// A filter of rules for ioctl: 16 on x86_64, 54 on x86.
fn rules(list: &[String]) -> String {
    format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{}]}}"#,
        list.join(", ")
    )
}

fn ioctl(program: &Program, args: &[u64]) -> u32 {
    call(program, X86_64, 16, args)
}

/// Around the words' edges: where one word is equal, smaller or larger.
const VALUES: &[u64] = &[
    0,
    1,
    5,
    6,
    0x7fff_ffff,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x1_0000_0005,
    0x1_ffff_ffff,
    0x2_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_0000_0000,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
];

type Holds = fn(u64, u64) -> bool;

const OPERATORS: &[(&str, Holds)] = &[
    ("NE", |a, b| a != b),
    ("LT", |a, b| a < b),
    ("LE", |a, b| a <= b),
    ("EQ", |a, b| a == b),
    ("GE", |a, b| a >= b),
    ("GT", |a, b| a > b),
];

fn answer(holds: bool) -> u32 {
    if holds { ALLOW } else { EPERM }
}

#[test]
fn comparisons_see_all_64_bits() {
    for (name, holds) in OPERATORS {
        for &value in VALUES {
            let program = program(&rules(&[rule(&arg(5, name, value), "SCMP_ACT_ALLOW")]));
            for &given in VALUES {
                let args = [!given, given ^ 1, 0, u64::MAX, 3, given];
                let expected = answer(holds(given, value));
                assert_eq!(
                    ioctl(&program, &args),
                    expected,
                    "{given:#x} {name} {value:#x}"
                );
            }
        }
    }
}

#[test]
fn comparisons_of_32_bit_calls_see_the_low_word() {
    for (name, holds) in OPERATORS {
        for &value in VALUES {
            let program = program(&rules(&[rule(&arg(1, name, value), "SCMP_ACT_ALLOW")]));
            for &given in VALUES {
                let expected = answer(holds(given & 0xffff_ffff, value & 0xffff_ffff));
                for (audit, number) in [(X86, 54), (X86_64, X32_BIT | 514)] {
                    let result = call(&program, audit, number, &[0, given]);
                    assert_eq!(result, expected, "{given:#x} {name} {value:#x}");
                }
            }
        }
    }
}

#[test]
fn masked_equality_looks_at_the_bits_of_the_mask() {
    let masks = [
        0,
        1,
        0xffff_ffff,
        0x1_0000_0000,
        0x7e02_0000,
        0xff00_ff00_ff00_ff00,
        u64::MAX,
    ];
    for mask in masks {
        for &value in VALUES {
            let program = program(&rules(&[rule(&masked(0, mask, value), "SCMP_ACT_ALLOW")]));
            for &given in VALUES {
                let wide = answer(given & mask == value & mask);
                assert_eq!(
                    ioctl(&program, &[given]),
                    wide,
                    "{given:#x} & {mask:#x} == {value:#x}"
                );
                let low = answer((given ^ value) & mask & 0xffff_ffff == 0);
                assert_eq!(
                    call(&program, X86, 54, &[given]),
                    low,
                    "{given:#x} {mask:#x}"
                );
            }
        }
    }
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let args = [arg(2, "GT", 10), arg(0, "EQ", 1), masked(1, 0xf0, 0x30)].join(", ");
    let program = program(&rules(&[rule(&args, "SCMP_ACT_ALLOW")]));
    for (args, result) in [
        ([1, 0x31, 11], ALLOW),
        ([2, 0x31, 11], EPERM),
        ([1, 0x21, 11], EPERM),
        ([1, 0x31, 10], EPERM),
    ] {
        assert_eq!(ioctl(&program, &args), result, "{args:?}");
    }
}

#[test]
fn any_rule_of_a_call_may_match() {
    let program = program(&rules(&[
        rule(&arg(0, "EQ", 1), "SCMP_ACT_ALLOW"),
        rule(&arg(1, "EQ", 2), "SCMP_ACT_LOG"),
        rule(
            &[arg(2, "EQ", 3), arg(3, "EQ", 4)].join(", "),
            "SCMP_ACT_TRAP",
        ),
    ]));
    for (args, result) in [
        ([1, 0, 0, 0], ALLOW),
        ([0, 2, 0, 0], LOG),
        ([0, 0, 3, 4], TRAP),
        ([0, 0, 3, 0], EPERM),
    ] {
        assert_eq!(ioctl(&program, &args), result, "{args:?}");
    }
}

#[test]
fn an_argument_named_twice_makes_alternatives_of_the_conditions() {
    let args = [arg(0, "EQ", 1), arg(0, "EQ", 2), arg(1, "EQ", 3)].join(", ");
    let program = program(&rules(&[rule(&args, "SCMP_ACT_ALLOW")]));
    for (args, result) in [
        ([1, 0], ALLOW),
        ([2, 0], ALLOW),
        ([9, 3], ALLOW),
        ([9, 9], EPERM),
    ] {
        assert_eq!(ioctl(&program, &args), result, "{args:?}");
    }
}

#[test]
fn a_rule_without_conditions_outweighs_those_with_them() {
    let conditional = rule(&arg(0, "EQ", 1), "SCMP_ACT_TRAP");
    let plain = rule("", "SCMP_ACT_ALLOW");
    let other = rule("", "SCMP_ACT_LOG");
    for (list, result) in [
        ([&conditional, &plain, &other], ALLOW),
        ([&plain, &conditional, &other], ALLOW),
        ([&other, &conditional, &plain], LOG),
    ] {
        let program = program(&rules(&list.map(Clone::clone)));
        assert_eq!(ioctl(&program, &[1]), result);
        assert_eq!(ioctl(&program, &[2]), result);
    }
}

#[test]
fn a_rule_that_asks_for_the_default_is_left_out() {
    let program = program(&rules(&[
        rule("", "SCMP_ACT_ERRNO"),
        rule(&arg(0, "EQ", 1), "SCMP_ACT_ALLOW"),
    ]));
    assert_eq!(ioctl(&program, &[1]), ALLOW);
    assert_eq!(ioctl(&program, &[2]), EPERM);
}

#[test]
fn the_narrower_of_overlapping_rules_is_met_first() {
    for reverse in [false, true] {
        let mut list = vec![
            rule(&arg(0, "GT", 10), "SCMP_ACT_LOG"),
            rule(&arg(0, "GE", 100), "SCMP_ACT_TRAP"),
            rule(&arg(0, "EQ", 500), "SCMP_ACT_ALLOW"),
            rule(&arg(0, "LT", 5), "SCMP_ACT_KILL_PROCESS"),
        ];
        if reverse {
            list.reverse();
        }
        let program = program(&rules(&list));
        for (given, result) in [
            (4, KILL_PROCESS),
            (5, EPERM),
            (10, EPERM),
            (11, LOG),
            (100, TRAP),
            (499, TRAP),
            (500, ALLOW),
        ] {
            assert_eq!(ioctl(&program, &[given]), result, "{given}");
        }
    }
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let list = [
        rule(&arg(0, "EQ", 1), "SCMP_ACT_ALLOW"),
        rule(&arg(0, "EQ", 1), "SCMP_ACT_TRAP"),
    ];
    let error = compile_for(&profile(&rules(&list)), Arch::X86_64).unwrap_err();
    assert_eq!(
        error.to_string(),
        "linux.seccomp.syscalls: two rules for ioctl have the same conditions and different actions"
    );
}

/// `count` rules for each of several calls, one value each.
fn many_rules(count: u64, calls: &[&str]) -> String {
    let list: Vec<String> = calls
        .iter()
        .flat_map(|call| {
            (0..count).map(move |value| {
                let errno = value % 4000 + 2;
                format!(
                    r#"{{"names": ["{call}"], "action": "SCMP_ACT_ERRNO", "errnoRet": {errno},
                        "args": [{}]}}"#,
                    arg(0, "EQ", value << 31)
                )
            })
        })
        .collect();
    format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{}]}}"#,
        list.join(", ")
    )
}

#[test]
fn jumps_reach_over_any_distance() {
    // Four instructions a condition and a return each: far more than 255 between a test and the
    // default, or between the numbers.
    let json = many_rules(110, &["read", "ioctl", "close"]);
    let program = program(&json);
    assert!(program.len() > 1500, "{}", program.len());
    for number in [0, 16, 3] {
        for value in 0..110u64 {
            let result = call(&program, X86_64, number, &[value << 31]);
            assert_eq!(result, errno(u32::try_from(value).unwrap() + 2));
            assert_eq!(call(&program, X86_64, number, &[value << 31 | 1]), EPERM);
        }
        assert_eq!(call(&program, X86_64, number, &[110 << 31]), EPERM);
    }
    assert_eq!(call(&program, X86_64, 1, &[0]), EPERM);
    assert_eq!(call(&program, X86_64, 17, &[0]), ENOSYS);
    assert_eq!(call(&program, X86, 3, &[0]), KILL_THREAD);
}

#[test]
fn a_filter_that_the_kernel_would_not_take_is_refused() {
    let json = many_rules(600, &["read", "ioctl"]);
    let error = compile_for(&profile(&json), Arch::X86_64).unwrap_err();
    assert!(
        matches!(error, Error::Long(length) if length > MAX_INSTRUCTIONS),
        "{error}"
    );
}
