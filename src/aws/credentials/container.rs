//! Credentials from the endpoint that an agent gives a container: ECS's, EKS's, or one of the user's.

use std::fs;
use std::net::IpAddr;

use super::{Credentials, reply};
use crate::aws::{Error, Variables};
use crate::net::{Client, Request, Url};

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// Where ECS's agent listens; beside it EKS's, which may be named without TLS as well.
const ECS: &str = "169.254.170.2";
const AGENTS: [&str; 3] = [ECS, "169.254.170.23", "fd00:ec2::23"];

const LONGEST_REPLY: u64 = 64 * 1024;

pub(super) fn credentials(
    variables: &Variables,
    client: &Client,
) -> Result<Option<Credentials>, Error> {
    let Some(url) = place(variables)? else {
        return Ok(None);
    };
    let mut request = Request::get(url.clone()).header("accept", "application/json");
    if let Some(token) = token(variables)? {
        request = request.header("authorization", token);
    }
    let failed = |cause| Error::Endpoint {
        from: "container",
        cause,
    };
    let response = client.send(&request).map_err(failed)?;
    let said = |why| Error::Source {
        from: url.to_string(),
        why,
    };
    if !response.is_success() {
        return Err(said(format!("status {}", response.status)));
    }
    let bytes = response.document(LONGEST_REPLY).map_err(failed)?;
    reply::parse(&bytes).map(Some).map_err(said)
}

fn place(variables: &Variables) -> Result<Option<Url>, Error> {
    let (variable, text) = match (variables.get(RELATIVE), variables.get(FULL)) {
        (Some(path), _) => (RELATIVE, format!("http://{ECS}{path}")),
        (None, Some(url)) => (FULL, url.to_owned()),
        (None, None) => return Ok(None),
    };
    let error = |why: String| Error::Variable {
        variable: variable.into(),
        why,
    };
    let url: Url = text.parse().map_err(|cause| error(format!("{cause}")))?;
    // Its reply is a key, and its caller may have been made to name a host of somebody else's.
    let agent = |host: &str| {
        let host: Option<IpAddr> = host.parse().ok();
        host.is_some() && AGENTS.iter().any(|agent| agent.parse().ok() == host)
    };
    if !url.is_https() && !url.is_loopback() && !agent(url.host()) {
        return Err(error(format!(
            "{url} is neither https:// nor this machine nor an agent's address"
        )));
    }
    Ok(Some(url))
}

/// The file is read each time: its token is replaced before it ends.
fn token(variables: &Variables) -> Result<Option<String>, Error> {
    let (variable, token) = match (variables.get(TOKEN_FILE), variables.get(TOKEN)) {
        (Some(path), _) => {
            let read = fs::read_to_string(path);
            let read = read.map_err(|cause| Error::Read {
                path: path.into(),
                cause,
            })?;
            (TOKEN_FILE, read.trim_end().to_owned())
        }
        (None, Some(token)) => (TOKEN, token.to_owned()),
        (None, None) => return Ok(None),
    };
    if token.contains(['\r', '\n']) {
        let why = "the token has more than one line".into();
        return Err(Error::Variable {
            variable: variable.into(),
            why,
        });
    }
    Ok(Some(token))
}
