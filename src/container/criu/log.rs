//! Why CRIU did not succeed: what its log says.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use super::Error;

/// The most faults that are told: the cause, and what it was for.
const MOST: usize = 3;

/// The longest part of a log that is read.
const LONGEST: u64 = 8 << 20;

impl Error {
    /// With what is in CRIU's log, or in its first `words`, which it has before that; other errors
    /// stay as they are.
    pub(crate) fn explain(self, act: &'static str, log: &Path, words: Option<File>) -> Self {
        if !matches!(self, Self::Refused { .. } | Self::Silent) {
            return self;
        }
        let log_file = File::open(log).ok();
        let told = [log_file, words].into_iter().flatten();
        let mut told = told.map(|file| read(file).map(|text| faults(&text)).unwrap_or_default());
        let reason = told.find(|faults| !faults.is_empty());
        Self::Failed {
            act,
            reason: reason.unwrap_or_else(|| self.to_string()),
            log: log.into(),
        }
    }
}

fn read(mut file: File) -> std::io::Result<String> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Lines as `(00.012345) pid: Error (criu/vdso.c:381): vdso: Unexpected bounds`: the last of them.
fn faults(log: &str) -> String {
    let fault = |line: &str| {
        let (_, place_and_text) = line.split_once("Error (")?;
        let (_, text) = place_and_text.split_once("): ")?;
        Some(text.trim().trim_end_matches('.').to_owned())
    };
    let mut found: Vec<String> = Vec::new();
    for text in log.lines().filter_map(fault) {
        // What every log of a failure ends with, and how a helper has ended, which others explain.
        let is_dull = text.ends_with("FAILED") || text.starts_with("exited, status=");
        // What is undone fails in the same way.
        if !is_dull && !found.contains(&text) {
            found.push(text);
        }
    }
    found.split_off(found.len().saturating_sub(MOST)).join("; ")
}

#[cfg(test)]
mod tests {
    use super::faults;

    #[test]
    fn the_last_faults_of_a_log_are_told_without_their_places() {
        let log = "(00.000001) Version: 3.17.1\n\
                   (00.000001) Error (criu/a.c:1): long ago\n\
                   (00.000002) Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds\n\
                   (00.000003) pie: 1: Error (criu/vdso.c:613): vdso: no table.\n\
                   (00.000003) pie: 1: Error (criu/vdso.c:613): vdso: no table.\n\
                   (00.000004) Error (criu/kerndat.c:1615): kerndat failed (twice): here.\n\
                   (00.000004) Error (criu/vdso.c:613): vdso: no table.\n\
                   (00.000004) Error (criu/util.c:642): exited, status=1\n\
                   (00.000004) Error (criu/cr-dump.c:1781): Dumping FAILED.\n";
        assert_eq!(
            faults(log),
            "vdso: Unexpected rt vDSO area bounds; vdso: no table; kerndat failed (twice): here"
        );
        assert_eq!(faults("(00.1) all is well\n"), "");
    }
}
