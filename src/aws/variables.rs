//! What the environment says about AWS.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The variables `AWS_…` and `HOME` of a process, as they were when it began.
#[derive(Clone)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    pub fn of_process() -> Self {
        let all = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let is_ours = name.starts_with("AWS_") || name == "HOME";
            is_ours.then(|| Some((name, value.into_string().ok()?)))?
        });
        Self(all.collect())
    }

    /// `None` where it is not set, or set to nothing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        (!value.is_empty()).then_some(value.as_str())
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The file that a variable names, or the one of this name in `~/.aws`.
    pub(super) fn file(&self, variable: &str, name: &str) -> Option<PathBuf> {
        let below_home = || Some(PathBuf::from(self.get("HOME")?).join(".aws").join(name));
        self.get(variable).map(PathBuf::from).or_else(below_home)
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Variables {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        )
    }
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}
