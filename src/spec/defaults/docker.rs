//! Profiles of system calls in Docker's own form: rules with conditions on the machine and on the
//! container's capabilities. They become `linux.seccomp` of the OCI for one machine and one container.

use caps::Capability;
use serde_json::{Value, json};

/// Ours, in Go's words.
pub const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else {
    "arm64"
};

/// What conditions are about.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// In Go's words.
    pub architecture: &'a str,
    pub kernel: (u32, u32),
    pub capabilities: &'a [Capability],
}

/// Whether a profile says more than the OCI's form does, which would be lost if it were read as one.
pub fn is_docker(profile: &Value) -> bool {
    let has = |call: &Value, key: &str| !call[key].is_null();
    let calls = profile["syscalls"].as_array().into_iter().flatten();
    has(profile, "archMap")
        || calls.into_iter().any(|call| {
            ["name", "includes", "excludes"]
                .iter()
                .any(|key| has(call, key))
        })
}

/// The rules that hold here, as moby picks them (profiles/seccomp).
pub fn convert(mut profile: Value, place: &Place<'_>) -> Result<Value, String> {
    if let Some(map) = profile["archMap"].as_array() {
        if !profile["architectures"].is_null() {
            return Err("archMap and architectures: it is one of them".into());
        }
        let native = scmp(place.architecture);
        let mut own = map.iter().filter(|entry| entry["architecture"] == native);
        profile["architectures"] = own.next().map_or_else(
            || json!([native]),
            |entry| {
                let others = entry["subArchitectures"].as_array().into_iter().flatten();
                std::iter::once(&entry["architecture"])
                    .chain(others)
                    .cloned()
                    .collect()
            },
        );
    }
    let mut kept = Vec::new();
    for call in profile["syscalls"].as_array_mut().into_iter().flatten() {
        let [includes, excludes] = ["includes", "excludes"].map(|key| call[key].take());
        if !all_hold(&includes, place)? || any_holds(&excludes, place)? {
            continue;
        }
        match (call["name"].take(), &call["names"]) {
            (Value::Null, _) => {}
            (name, Value::Null) => call["names"] = json!([name]),
            _ => return Err("name and names of one rule: it is one of them".into()),
        }
        let mut call = call.take();
        if let Some(members) = call.as_object_mut() {
            members.retain(|key, _| {
                !matches!(key.as_str(), "name" | "includes" | "excludes" | "comment")
            });
        }
        kept.push(call);
    }
    profile["syscalls"] = kept.into();
    if let Some(members) = profile.as_object_mut() {
        members.remove("archMap");
    }
    Ok(profile)
}

/// One of the architectures, all capabilities, and the kernel.
fn all_hold(conditions: &Value, place: &Place<'_>) -> Result<bool, String> {
    let conditions = Conditions::read(conditions)?;
    let arches = &conditions.arches;
    Ok((arches.is_empty() || arches.contains(&place.architecture))
        && conditions.caps.iter().all(|cap| place.has(cap))
        && conditions.kernel.is_none_or(|least| place.kernel >= least))
}

fn any_holds(conditions: &Value, place: &Place<'_>) -> Result<bool, String> {
    let conditions = Conditions::read(conditions)?;
    Ok(conditions.arches.contains(&place.architecture)
        || conditions.caps.iter().any(|cap| place.has(cap))
        || conditions.kernel.is_some_and(|least| place.kernel >= least))
}

impl Place<'_> {
    fn has(&self, name: &str) -> bool {
        self.capabilities
            .iter()
            .any(|capability| capability.to_string() == name)
    }
}

#[derive(Default)]
struct Conditions<'a> {
    arches: Vec<&'a str>,
    caps: Vec<&'a str>,
    kernel: Option<(u32, u32)>,
}

impl<'a> Conditions<'a> {
    /// A condition that is not known is an error: a rule must not hold where it should not.
    fn read(value: &'a Value) -> Result<Self, String> {
        let mut found = Self::default();
        let members = match value {
            Value::Null => return Ok(found),
            value => value
                .as_object()
                .ok_or("includes, excludes: not an object")?,
        };
        for (key, value) in members {
            let fault = || format!("includes, excludes: {key}: {value} is none");
            let words =
                || -> Option<Vec<&str>> { value.as_array()?.iter().map(Value::as_str).collect() };
            match key.as_str() {
                _ if value.is_null() => {}
                "arches" => found.arches = words().ok_or_else(fault)?,
                "caps" => found.caps = words().ok_or_else(fault)?,
                "minKernel" => {
                    let version = value.as_str().and_then(|text| text.split_once('.'));
                    let number = |text: &str| text.parse().map_err(|_| fault());
                    let (major, minor) = version.ok_or_else(fault)?;
                    found.kernel = Some((number(major)?, number(minor)?));
                }
                _ => return Err(format!("includes, excludes: {key}: no such condition")),
            }
        }
        Ok(found)
    }
}

fn scmp(architecture: &str) -> &'static str {
    match architecture {
        "arm64" => "SCMP_ARCH_AARCH64",
        _ => "SCMP_ARCH_X86_64",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    fn rule(names: &[&str], includes: Value, excludes: Value) -> Value {
        json!({ "names": names, "action": "SCMP_ACT_ALLOW", "comment": "", "includes": includes,
            "excludes": excludes })
    }

    #[test]
    fn rules_hold_where_their_conditions_do() {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "archMap": [
                { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] },
                { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] },
            ],
            "syscalls": [
                rule(&["always"], json!({}), Value::Null),
                rule(&["chown"], json!({ "caps": ["CAP_CHOWN"] }), json!({})),
                rule(&["both"], json!({ "caps": ["CAP_CHOWN", "CAP_KILL"] }), json!({})),
                rule(&["x86"], json!({ "arches": ["amd64", "x32"] }), json!({})),
                rule(&["arm"], json!({ "arches": ["arm64"] }), json!({})),
                rule(&["new"], json!({ "minKernel": "5.10" }), json!({})),
                rule(&["newer"], json!({ "minKernel": "5.11" }), json!({})),
                rule(&["no-chown"], json!({}), json!({ "caps": ["CAP_KILL", "CAP_CHOWN"] })),
                rule(&["no-kill"], json!({}), json!({ "caps": ["CAP_KILL"] })),
                rule(&["no-x86"], json!({}), json!({ "arches": ["amd64"] })),
                rule(&["old"], json!({}), json!({ "minKernel": "4.8" })),
                { "name": "one", "action": "SCMP_ACT_ALLOW" },
            ],
        });
        assert!(is_docker(&profile));
        let place = Place {
            architecture: "amd64",
            kernel: (5, 10),
            capabilities: &[Capability::CAP_CHOWN],
        };
        let found = convert(profile, &place).unwrap();
        assert!(!is_docker(&found));
        assert_eq!(
            found["architectures"],
            json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        );
        let calls = found["syscalls"].as_array().unwrap();
        let names: Vec<_> = calls
            .iter()
            .map(|call| call["names"][0].as_str().unwrap())
            .collect();
        assert_eq!(names, ["always", "chown", "x86", "new", "no-kill", "one"]);
        assert_eq!(
            calls[0],
            json!({ "names": ["always"], "action": "SCMP_ACT_ALLOW" })
        );
    }

    #[test]
    fn a_condition_that_is_not_understood_is_an_error() {
        let place = Place {
            architecture: "amd64",
            kernel: (5, 10),
            capabilities: &[],
        };
        for condition in [
            json!({ "moon": "full" }),
            json!({ "minKernel": "5" }),
            json!({ "minKernel": 5.1 }),
            json!({ "caps": "CAP_CHOWN" }),
            json!([]),
        ] {
            for rule in [
                rule(&["a"], condition.clone(), Value::Null),
                rule(&["a"], Value::Null, condition.clone()),
            ] {
                let error = convert(json!({ "syscalls": [rule] }), &place);
                assert!(error.is_err(), "{condition}");
            }
        }
    }
}
