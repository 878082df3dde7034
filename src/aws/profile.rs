//! The shared files: `~/.aws/credentials` and `~/.aws/config`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, Variables};

/// One profile, out of both files. What the first has wins.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) name: String,
    /// Each with the file it is from.
    values: BTreeMap<String, (PathBuf, String)>,
    /// Neither file has it.
    is_absent: bool,
}

impl Profile {
    /// The one that `AWS_PROFILE` names, or `default`.
    pub(super) fn read(variables: &Variables) -> Result<Self, Error> {
        let chosen = variables
            .get("AWS_PROFILE")
            .or(variables.get("AWS_DEFAULT_PROFILE"));
        let mut profile = Self {
            name: chosen.unwrap_or("default").into(),
            is_absent: true,
            ..Self::default()
        };
        let names = [profile.name.clone(), format!("profile {}", profile.name)];
        let credentials = variables.file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let config = variables.file("AWS_CONFIG_FILE", "config");
        for path in [credentials, config].into_iter().flatten() {
            for (key, value) in section(&path, &names)?.into_iter().flatten() {
                profile.is_absent = false;
                profile.values.entry(key).or_insert((path.clone(), value));
            }
        }
        if profile.is_absent && chosen.is_some() {
            return Err(Error::NoProfile(profile.name));
        }
        Ok(profile)
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|(_, value)| value.as_str())
    }

    pub(super) fn file_of(&self, key: &str) -> Option<&Path> {
        self.values.get(key).map(|(path, _)| path.as_path())
    }
}

/// The pairs of the section of one of these names; `None` where there is none, or no file.
fn section(path: &Path, names: &[String]) -> Result<Option<Vec<(String, String)>>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            return Err(Error::Read {
                path: path.into(),
                cause,
            });
        }
    };
    let mut found = None;
    let mut is_in = false;
    for (number, line) in text.lines().enumerate() {
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let title = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next());
        if let Some(title) = title {
            let words: Vec<&str> = title.split_whitespace().collect();
            is_in = names.contains(&words.join(" ").replace(['"', '\''], ""));
            if is_in {
                found.get_or_insert_with(Vec::new);
            }
            continue;
        }
        // What is set back belongs to the key above it (`s3 =`), which is none of ours.
        if !is_in || is_nested {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| Error::Profile {
            path: path.into(),
            line: number + 1,
        })?;
        let value = value.split(" #").next().unwrap_or_default().trim();
        let pairs = found.get_or_insert_with(Vec::new);
        pairs.push((key.trim().to_ascii_lowercase(), value.into()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(credentials: &str, config: &str) -> (tempfile::TempDir, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["credentials", "config"].map(|name| dir.path().join(name));
        fs::write(&paths[0], credentials).unwrap();
        fs::write(&paths[1], config).unwrap();
        let [a, b] = paths.map(|path| path.to_str().unwrap().to_owned());
        (dir, a, b)
    }

    #[test]
    fn both_files_are_one_profile() {
        let (_dir, credentials, config) = files(
            "[default]\naws_access_key_id = A\n[work]\nAWS_ACCESS_KEY_ID=B # mine\nregion = here\n",
            "[default]\nregion=eu-west-1\n\n; comment\n[ profile  work ]\nregion = there\ns3 =\n  nested = 1\noutput = json\n",
        );
        let files = [
            ("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str()),
            ("AWS_CONFIG_FILE", &config),
        ];
        let default = Profile::read(&Variables::from(files)).unwrap();
        assert_eq!(
            (default.get("aws_access_key_id"), default.get("region")),
            (Some("A"), Some("eu-west-1"))
        );
        let work = Profile::read(&Variables::from([
            files[0],
            files[1],
            ("AWS_PROFILE", "work"),
        ]))
        .unwrap();
        assert_eq!(
            (work.get("aws_access_key_id"), work.get("region")),
            (Some("B"), Some("here"))
        );
        assert_eq!(
            (work.get("nested"), work.get("output")),
            (None, Some("json"))
        );
        let none = Profile::read(&Variables::from([
            files[0],
            files[1],
            ("AWS_PROFILE", "none"),
        ]))
        .unwrap_err();
        assert!(matches!(none, Error::NoProfile(name) if name == "none"));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let (_dir, credentials, _) = files("[default]\naws_access_key_id\n", "");
        let error = Profile::read(&Variables::from([(
            "AWS_SHARED_CREDENTIALS_FILE",
            credentials.as_str(),
        )]));
        assert!(
            error
                .unwrap_err()
                .to_string()
                .ends_with("credentials: line 2: neither [section] nor key = value")
        );
    }

    #[test]
    fn no_home_is_no_profile() {
        assert!(Profile::read(&Variables::from([])).unwrap().is_absent);
    }
}
