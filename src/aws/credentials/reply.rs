//! Credentials as endpoints and programs hand them over, in JSON.

use serde::Deserialize;

use super::Credentials;
use crate::aws::Secret;
use crate::sys::time::Time;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    access_key_id: String,
    secret_access_key: Secret,
    #[serde(alias = "SessionToken")]
    token: Option<Secret>,
    expiration: Option<String>,
}

/// What is wrong is said without a word of the text, which holds a secret.
pub(super) fn parse(bytes: &[u8]) -> Result<Credentials, String> {
    let reply: Reply = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            "not JSON with AccessKeyId, SecretAccessKey, and Token and Expiration where they are needed".to_owned()
        }
        _ => format!("not JSON (line {}, column {})", error.line(), error.column()),
    })?;
    let expires = match reply.expiration.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => {
            Some(moment(text).ok_or_else(|| format!("Expiration: {text:?} is not a time"))?)
        }
        None => None,
    };
    Ok(Credentials {
        access_key_id: reply.access_key_id,
        secret: reply.secret_access_key,
        session_token: reply.token,
        expires,
    })
}

/// In UTC, which some write as an offset of nothing.
fn moment(text: &str) -> Option<Time> {
    let utc = text.strip_suffix("+00:00").map(|rest| format!("{rest}Z"));
    utc.as_deref().unwrap_or(text).parse().ok()
}
