//! Docker's `config.json` and podman's `auth.json` (containers-auth.json(5)): the same form.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::{Login, Wanted, helper};
use crate::aws::Secret;
use crate::image::source::registry::Cause;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct File {
    auths: Option<BTreeMap<String, Option<Entry>>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize, Default)]
struct Entry {
    /// `user:password` in base64.
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

pub(super) fn find(path: &Path, wanted: Wanted<'_>) -> Result<Option<Login>, Cause> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(cause)
            if matches!(
                cause.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(None);
        }
        Err(cause) => {
            return Err(Cause::Read {
                path: path.into(),
                cause,
            });
        }
    };
    let error = |why: String| Cause::File {
        path: path.into(),
        why,
    };
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    // Its words could quote a password.
    let file: File = serde_json::from_slice(&text).map_err(|cause| {
        error(format!(
            "no such file of credentials (line {}, column {})",
            cause.line(),
            cause.column()
        ))
    })?;
    let keys = wanted.keys();

    // `null` is what is not there, and a helper without a name is none: the file itself counts then.
    let helpers = file.cred_helpers.unwrap_or_default();
    let helper = |key: &str| helpers.get(key).and_then(Option::as_ref);
    let own = keys.iter().find_map(|key| helper(key));
    let of_server = || helper(wanted.server());
    let all = || file.creds_store.as_ref();
    let chosen = own.or_else(of_server).or_else(all);
    if let Some(name) = chosen.filter(|name| !name.is_empty())
        && let Some(login) = helper::ask(name, wanted)?
    {
        return Ok(Some(login));
    }
    let auths = file.auths.unwrap_or_default();
    let entry = keys.iter().find_map(|key| {
        let named = auths.iter().find(|(name, _)| normal(name) == *key)?;
        let entry = named.1.as_ref()?;
        entry.login(&error).transpose()
    });
    entry.transpose()
}

impl Entry {
    fn login(&self, error: &impl Fn(String) -> Cause) -> Result<Option<Login>, Cause> {
        let filled = |secret: &Option<Secret>| secret.clone().filter(|s| !s.reveal().is_empty());
        if let Some(token) = filled(&self.identitytoken) {
            return Ok(Some(Login::Identity(token)));
        }
        if let Some(token) = filled(&self.registrytoken) {
            return Ok(Some(Login::Token(token)));
        }
        if let Some(auth) = filled(&self.auth) {
            let bad = || error("an auth in it is not user:password in base64".into());
            let bytes = LENIENT.decode(auth.reveal().trim()).map_err(|_| bad())?;
            let text = String::from_utf8(bytes).map_err(|_| bad())?;
            // Docker ends them in NUL where they were padded.
            return Login::parse(text.trim_end_matches('\0'))
                .map(Some)
                .ok_or_else(bad);
        }
        let pair = self.username.as_ref().zip(filled(&self.password));
        Ok(pair.map(|(user, password)| Login::password(user, password.reveal())))
    }
}

/// With padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `https://host/v1/` and the like mean the host, as Docker writes them.
fn normal(key: &str) -> &str {
    let Some((_, rest)) = key.split_once("://") else {
        return key.trim_end_matches('/');
    };
    rest.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(text: &str, host: &str, repository: &str) -> Option<Login> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        fs::write(&path, text).unwrap();
        find(&path, Wanted { host, repository }).unwrap()
    }

    fn password(user: &str, secret: &str) -> Option<Login> {
        Some(Login::Password {
            user: user.into(),
            secret: Secret::new(secret),
        })
    }

    /// `a:1`, `b:2:3` and `c:4`.
    const TEXT: &str = r#"{"auths": {
        "https://index.docker.io/v1/": {"auth": "YTox"},
        "registry.example:5000": {"auth": "YjoyOjM="},
        "registry.example:5000/team/app": {"auth": "Yzo0"},
        "http://old.example/v2/": {"username": "d", "password": "5"},
        "empty.example": {},
        "token.example": {"auth": "YTox", "identitytoken": "T"}
    }}"#;

    #[test]
    fn an_entry_is_found_under_each_of_its_names() {
        assert_eq!(
            login(TEXT, "docker.io", "library/debian"),
            password("a", "1")
        );
        assert_eq!(
            login(TEXT, "registry.example:5000", "x"),
            password("b", "2:3")
        );
        assert_eq!(
            login(TEXT, "registry.example:5000", "team/app/web"),
            password("c", "4")
        );
        assert_eq!(
            login(TEXT, "registry.example:5000", "team/application"),
            password("b", "2:3")
        );
        assert_eq!(login(TEXT, "old.example", "x"), password("d", "5"));
        assert_eq!(
            login(TEXT, "token.example", "x"),
            Some(Login::Identity(Secret::new("T")))
        );
        for none in ["registry.example", "empty.example", "other.example"] {
            assert_eq!(login(TEXT, none, "x"), None, "{none}");
        }
    }

    #[test]
    fn what_is_null_or_has_no_name_is_not_there() {
        for text in [
            r#"{"auths": null, "credHelpers": null, "credsStore": null}"#,
            r#"{"auths": {"h": null}, "credHelpers": {"h": null}}"#,
            r#"{"auths": {"h": {"auth": null}}, "credHelpers": {"h": ""}, "credsStore": ""}"#,
        ] {
            assert_eq!(login(text, "h", "x"), None, "{text}");
        }
        // Neither runs a program.
        let text = r#"{"auths": {"h": {"auth": "YTox"}}, "credHelpers": {"h": ""}, "credsStore": "nonexistent"}"#;
        assert_eq!(login(text, "h", "x"), password("a", "1"));
    }

    #[test]
    fn a_fault_of_the_file_tells_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        for text in [
            r#"{"auths": {"h": {"auth": "hidden"}}}"#,
            r#"{"auths": {"h": {"auth": ["hidden"]}}}"#,
            "hidden",
        ] {
            fs::write(&path, text).unwrap();
            let error = find(
                &path,
                Wanted {
                    host: "h",
                    repository: "x",
                },
            )
            .unwrap_err()
            .to_string();
            assert!(
                error.contains("config.json: ") && !error.contains("hidden"),
                "{error}"
            );
        }
        assert!(
            find(
                Path::new("/nonexistent"),
                Wanted {
                    host: "h",
                    repository: "x"
                }
            )
            .unwrap()
            .is_none()
        );
    }
}
