//! Credentials from the metadata service of an EC2 instance, version 2: a token first, then the role.

use super::{Credentials, reply};
use crate::aws::{Error, Variables};
use crate::net::{Client, Method, Request, Url};

const DEFAULT: &str = "http://169.254.169.254";
const ROLES: &str = "latest/meta-data/iam/security-credentials/";
const LONGEST_REPLY: u64 = 64 * 1024;

/// `None` where nobody answers, or the instance has no role: this is no instance then, or not one that
/// has anything for us.
pub(super) fn credentials(
    variables: &Variables,
    client: &Client,
) -> Result<Option<Credentials>, Error> {
    if variables.is_true("AWS_EC2_METADATA_DISABLED") {
        return Ok(None);
    }
    let base = variables
        .get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
        .unwrap_or(DEFAULT);
    let base = format!("{}/", base.trim_end_matches('/'));
    let base: Url = base.parse().map_err(|cause| Error::Variable {
        variable: "AWS_EC2_METADATA_SERVICE_ENDPOINT".into(),
        why: format!("{cause}"),
    })?;
    let at = |path: &str| {
        base.join(path).map_err(|cause| Error::Source {
            from: base.to_string(),
            why: format!("{cause}"),
        })
    };
    let ask = Request::new(Method::Put, at("latest/api/token")?)
        .header("x-aws-ec2-metadata-token-ttl-seconds", "21600");
    let token = match client.send(&ask) {
        Ok(response) if response.is_success() => read(response)?,
        Ok(_) => return Ok(None),
        Err(error) => {
            log::debug!("no metadata service of an instance: {error}");
            return Ok(None);
        }
    };
    let get = |url: Url| {
        let request = Request::get(url).header("x-aws-ec2-metadata-token", token.clone());
        client.send(&request).map_err(|cause| Error::Endpoint {
            from: "instance",
            cause,
        })
    };
    let roles = get(at(ROLES)?)?;
    if !roles.is_success() {
        return Ok(None);
    }
    let roles = read(roles)?;
    let Some(role) = roles
        .lines()
        .next()
        .map(str::trim)
        .filter(|role| !role.is_empty())
    else {
        return Ok(None);
    };
    let place = at(&format!("{ROLES}{}", crate::net::url::encode(role)))?;
    let response = get(place.clone())?;
    let said = |why| Error::Source {
        from: place.to_string(),
        why,
    };
    if !response.is_success() {
        return Err(said(format!("status {}", response.status)));
    }
    reply::parse(read(response)?.as_bytes())
        .map(Some)
        .map_err(said)
}

fn read(response: crate::net::Response) -> Result<String, Error> {
    let bytes = response.document(LONGEST_REPLY);
    let bytes = bytes.map_err(|cause| Error::Endpoint {
        from: "instance",
        cause,
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
