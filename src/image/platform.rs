//! Platforms: which of an index's images this machine runs.

use std::fmt;

/// An operating system and a processor, in the words that Go has for them (image-index.md, `platform`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    os: String,
    architecture: String,
    /// Empty where the architecture alone says it.
    variant: String,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a platform: os/architecture, os/architecture/variant, or one of the first two"
)]
pub struct PlatformError(String);

impl Platform {
    /// In the one spelling that containerd's `platforms.Normalize` gives: `aarch64` is `arm64`, and what
    /// every processor of an architecture has is no variant.
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = (architecture.to_lowercase(), variant.to_lowercase());
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) => ("arm", "v7"),
            ("armel", _) => ("arm", "v6"),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            ("arm", "8") => ("arm", "v8"),
            same => same,
        };
        Self {
            os: os.to_lowercase(),
            architecture: architecture.into(),
            variant: variant.into(),
        }
    }

    /// This machine's.
    pub fn host() -> Self {
        Self::new("linux", host_architecture(), host_variant())
    }

    /// Reads `linux/arm/v7`, `linux/amd64`, or one of the first two words alone.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError(text.into());
        let words: Vec<&str> = text.split('/').collect();
        let is_word = |word: &&str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        if !words.iter().all(is_word) {
            return Err(error());
        }
        match words[..] {
            [os @ ("linux" | "windows" | "darwin" | "freebsd")] => {
                Ok(Self::new(os, host_architecture(), host_variant()))
            }
            [architecture] => Ok(Self::new("linux", architecture, "")),
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => Err(error()),
        }
    }

    pub fn os(&self) -> &str {
        &self.os
    }

    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    pub fn variant(&self) -> Option<&str> {
        (!self.variant.is_empty()).then_some(self.variant.as_str())
    }

    /// As an index has it.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({"os": self.os, "architecture": self.architecture});
        if let Some(variant) = self.variant() {
            json["variant"] = variant.into();
        }
        json
    }

    /// How well a machine of this platform is served by an image for `offered`: 0 is best, `None` not
    /// at all. As containerd's `platforms.Only`: a lower variant serves a higher one, and the 32-bit
    /// architecture the 64-bit one, if there is nothing better.
    pub fn rank(&self, offered: &Self) -> Option<usize> {
        if self.os != offered.os {
            return None;
        }
        let serves = self.serving();
        serves
            .iter()
            .position(|(architecture, variant)| {
                *architecture == offered.architecture && *variant == offered.variant
            })
            .or_else(|| (self == offered).then_some(0))
    }

    /// What this platform runs, best first.
    fn serving(&self) -> Vec<(&'static str, String)> {
        let level = self
            .variant
            .strip_prefix('v')
            .and_then(|n| n.parse::<u8>().ok());
        let below = |architecture, from: u8, to: u8, base: u8| {
            (to..=from).rev().map(move |n| match n {
                n if n == base => (architecture, String::new()),
                n => (architecture, format!("v{n}")),
            })
        };
        match self.architecture.as_str() {
            "amd64" => below("amd64", level.unwrap_or(1).min(4), 1, 1)
                .chain([("386", String::new())])
                .collect(),
            "arm64" => below("arm64", level.unwrap_or(8).min(9), 8, 8)
                .chain(below("arm", 8, 5, 0))
                .collect(),
            "arm" => below("arm", level.unwrap_or(7).min(8), 5, 0).collect(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_str() {
            "" => Ok(()),
            variant => write!(f, "/{variant}"),
        }
    }
}

/// In Go's words.
fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// The highest level of x86-64 whose features (psABI, 'Micro-Architecture Levels') this processor has.
#[cfg(target_arch = "x86_64")]
fn host_variant() -> &'static str {
    let v2 = is_x86_feature_detected!("cmpxchg16b")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("sse4.2")
        && is_x86_feature_detected!("ssse3");
    let v3 = v2
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("movbe");
    let v4 = v3
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (v2, v3, v4) {
        (_, _, true) => "v4",
        (_, true, _) => "v3",
        (true, ..) => "v2",
        _ => "",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn host_variant() -> &'static str {
    ""
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    #[test]
    fn a_platform_has_one_spelling() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("Linux/ARM", "linux/arm/v7"),
            ("armhf", "linux/arm/v7"),
            ("riscv64", "linux/riscv64"),
        ] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for bad in ["", "/", "linux/", "linux/amd64/v1/x", "a b"] {
            assert!(Platform::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_lower_variant_serves() {
        for (machine, offered, best) in [
            (
                "linux/arm/v7",
                "linux/arm/v5 linux/arm/v6 linux/arm64",
                Some("linux/arm/v6"),
            ),
            ("linux/arm/v7", "linux/arm/v8 linux/arm64", None),
            (
                "linux/arm/v6",
                "linux/arm/v7 linux/arm/v6",
                Some("linux/arm/v6"),
            ),
            (
                "linux/amd64/v3",
                "linux/amd64 linux/amd64/v2 linux/amd64/v4",
                Some("linux/amd64/v2"),
            ),
            ("linux/amd64", "linux/amd64/v2 linux/386", Some("linux/386")),
            ("linux/amd64", "linux/386 linux/amd64", Some("linux/amd64")),
            (
                "linux/arm64",
                "linux/arm/v7 linux/arm64/v8",
                Some("linux/arm64/v8"),
            ),
            (
                "linux/arm64",
                "linux/arm/v6 linux/arm/v7",
                Some("linux/arm/v7"),
            ),
            (
                "linux/s390x",
                "linux/amd64 linux/s390x",
                Some("linux/s390x"),
            ),
            ("linux/amd64", "windows/amd64 unknown/unknown", None),
        ] {
            let machine = Platform::parse(machine).unwrap();
            let found = offered
                .split(' ')
                .filter_map(|text| Some((machine.rank(&Platform::parse(text).unwrap())?, text)))
                .min();
            assert_eq!(found.map(|(_, text)| text), best, "{machine}: {offered}");
        }
    }
}
