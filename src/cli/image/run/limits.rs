//! How much the container may take: `--memory`, `--cpus` and their kin.

use std::path::Path;

use anyhow::{anyhow, bail};
use serde_json::{Map, Value, json};

use crate::cli::Call;
use crate::cli::size;
use crate::sys::schedule;

/// Microseconds: the kernel's own default.
const PERIOD: u32 = 100_000;

/// Of `linux.resources`.
pub(super) fn resources(call: &Call) -> Result<Map<String, Value>, anyhow::Error> {
    let mut all = Map::new();
    let mut memory = Map::new();
    if let Some(word) = call.word("memory") {
        let bytes = size::parse(word).ok_or_else(|| anyhow!("--memory {word}: not a size"))?;
        memory.insert("limit".into(), bytes.into());
        if counts_swap() {
            // Docker's total where none is said: as much swap as memory.
            memory.insert("swap".into(), bytes.saturating_mul(2).into());
        }
    }
    if let Some(word) = call.word("memory-swap") {
        if memory.is_empty() {
            bail!("--memory-swap: --memory is missing, which it is beside");
        }
        let swap = match word {
            "-1" => json!(-1),
            word => size::parse(word)
                .ok_or_else(|| anyhow!("--memory-swap {word}: not a size"))?
                .into(),
        };
        memory.insert("swap".into(), swap);
    }
    if !memory.is_empty() {
        all.insert("memory".into(), memory.into());
    }
    let mut cpu = Map::new();
    if let Some(word) = call.word("cpus") {
        cpu.insert("quota".into(), quota(word)?.into());
        cpu.insert("period".into(), PERIOD.into());
    }
    if let Some(word) = call.word("cpu-shares") {
        let shares: u64 = word
            .parse()
            .map_err(|_| anyhow!("--cpu-shares {word}: not a number"))?;
        cpu.insert("shares".into(), shares.into());
    }
    if !cpu.is_empty() {
        all.insert("cpu".into(), cpu.into());
    }
    if let Some(word) = call.word("pids-limit") {
        let limit: i64 = word
            .parse()
            .map_err(|_| anyhow!("--pids-limit {word}: not a number"))?;
        all.insert("pids".into(), json!({ "limit": limit }));
    }
    Ok(all)
}

/// Of v1 it may be off (swapaccount=0); with v2 it is there where the kernel can swap.
fn counts_swap() -> bool {
    let v1 = Path::new("/sys/fs/cgroup/memory");
    match v1.exists() {
        true => v1.join("memory.memsw.limit_in_bytes").exists(),
        false => Path::new("/proc/swaps").exists(),
    }
}

/// `1.5` processors: so many microseconds of a period.
fn quota(word: &str) -> Result<i64, anyhow::Error> {
    let fault = || anyhow!("--cpus {word}: not a number of processors");
    let cpus: f64 = word.parse().map_err(|_| fault())?;
    let quota = cpus * f64::from(PERIOD);
    let most = schedule::affinity().map_err(|errno| anyhow!("ask for the processors: {errno}"))?;
    let most: u32 = most.iter().map(|part| part.count_ones()).sum();
    if cpus > f64::from(most) {
        bail!("--cpus {word}: there are {most}");
    }
    // Less than a millisecond the kernel does not take.
    if !(1000.0..1e15).contains(&quota) {
        return Err(fault());
    }
    #[allow(clippy::cast_possible_truncation, reason = "between 1000 and 10^15")]
    Ok(quota.round() as i64)
}

/// `nofile=1024:2048`
pub(super) fn rlimit(word: &str) -> Result<Value, anyhow::Error> {
    let fault = || anyhow!("--ulimit {word}: it is NAME=SOFT[:HARD]");
    let (name, values) = word.split_once('=').ok_or_else(fault)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        text => text.parse::<u64>().map_err(|_| fault()),
    };
    let kind = format!("RLIMIT_{}", name.to_ascii_uppercase());
    Ok(json!({ "type": kind, "soft": number(soft)?, "hard": number(hard)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_microseconds_of_a_period() {
        for (word, wanted) in [
            ("0.5", 50_000),
            ("0.01", 1000),
            ("1", 100_000),
            ("0.3333", 33330),
        ] {
            assert_eq!(quota(word).unwrap(), wanted, "{word}");
        }
        for word in ["0", "-1", "0.001", "nan", "inf", "x", "8193", ""] {
            assert!(quota(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_limit_of_a_process_has_a_soft_and_a_hard_value() {
        let one = json!({ "type": "RLIMIT_NOFILE", "soft": 5, "hard": 5 });
        assert_eq!(rlimit("nofile=5").unwrap(), one);
        let two = json!({ "type": "RLIMIT_CORE", "soft": 0, "hard": u64::MAX });
        assert_eq!(rlimit("core=0:-1").unwrap(), two);
        assert!(rlimit("core").is_err() && rlimit("core=x").is_err());
    }
}
