//! Credentials of a profile in the shared files.

use std::process::Command;

use super::{Credentials, reply};
use crate::aws::profile::Profile;
use crate::aws::{Error, Secret, program};

/// What a profile may say instead of keys, and needs calls of other services.
const OTHER_WAYS: [(&str, &str); 5] = [
    (
        "role_arn",
        "assume the role by other means and hand over its keys, as by credential_process",
    ),
    ("source_profile", "name that profile in AWS_PROFILE"),
    (
        "sso_session",
        "use `aws configure export-credentials` as credential_process",
    ),
    (
        "sso_start_url",
        "use `aws configure export-credentials` as credential_process",
    ),
    (
        "web_identity_token_file",
        "assume the role by other means and hand over its keys",
    ),
];

pub(super) fn credentials(profile: &Profile) -> Result<Option<Credentials>, Error> {
    if let Some(id) = profile
        .get("aws_access_key_id")
        .filter(|_| profile.get("role_arn").is_none())
    {
        let half = || Error::Half {
            path: profile
                .file_of("aws_access_key_id")
                .unwrap_or("".as_ref())
                .into(),
            profile: profile.name.clone(),
            key: "aws_secret_access_key",
        };
        return Ok(Some(Credentials {
            access_key_id: id.into(),
            secret: Secret::new(profile.get("aws_secret_access_key").ok_or_else(half)?),
            session_token: profile.get("aws_session_token").map(Secret::new),
            expires: None,
        }));
    }
    if let Some(command) = profile.get("credential_process") {
        return run(&profile.name, command).map(Some);
    }
    let other = OTHER_WAYS
        .iter()
        .find_map(|(key, instead)| Some((profile.file_of(key)?, *key, *instead)));
    match other {
        Some((path, key, instead)) => Err(Error::NotSupported {
            path: path.into(),
            profile: profile.name.clone(),
            key: key.into(),
            instead,
        }),
        None => Ok(None),
    }
}

/// The program's own words for a failure go where ours go.
fn run(profile: &str, command: &str) -> Result<Credentials, Error> {
    let error = |why: String| Error::Process {
        profile: profile.into(),
        why,
    };
    let mut shell = Command::new("/bin/sh");
    let answer = program::ask(shell.args(["-c", command]), b"", program::PATIENCE);
    let answer = answer.map_err(|cause| error(format!("run by /bin/sh: {cause}")))?;
    if !answer.status.success() {
        return Err(error(format!("it failed ({})", answer.status)));
    }
    reply::parse(&answer.output).map_err(|why| error(format!("what it printed is {why}")))
}
