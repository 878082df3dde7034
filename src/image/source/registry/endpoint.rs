//! One registry, spoken to by the distribution specification.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::authorization::Authorization;
use super::configuration::Place;
use super::error::Shown;
use super::{Access, Cause, Patience, challenge};
use crate::net::{Client, Request, Response, Url, plain, random};

/// Of a message that a registry sends with an error.
const LONGEST_MESSAGE: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) repository: String,
    pub(super) is_mirror: bool,
    client: Client,
    authorization: Authorization,
    patience: Patience,
    pub(super) is_last: bool,
    /// The schemes that are still to be tried; one, once it is known.
    schemes: Mutex<&'static [&'static str]>,
}

impl Endpoint {
    /// `named` is what the user asked for: at its host the login for it serves, and at no other.
    /// Where others come after it, one attempt has to do: a mirror that is away is not waited for.
    pub(super) fn new(
        access: &Access,
        place: Place,
        named: (&str, &str),
        is_last: bool,
    ) -> Result<Self, Cause> {
        let (client, schemes) = access.client(&place)?;
        let mut access = access.clone();
        let mut repositories = vec![place.repository.clone()];
        if place.is_mirror || place.host != named.0 {
            // What the user typed is for the registry that he named.
            access.login = None;
        } else if place.repository != named.1 {
            repositories.push(named.1.to_owned());
        }
        Ok(Self {
            client,
            authorization: Authorization::new(&access, &place, repositories),
            patience: access.patience,
            is_last,
            schemes: Mutex::new(schemes),
            host: place.host,
            repository: place.repository,
            is_mirror: place.is_mirror,
        })
    }

    /// GETs a document below the repository, and reads it by `read`. What may do better in a while is
    /// tried again, but not the look-up of a name: that has asked each server several times by itself, and
    /// nothing has begun.
    pub(super) fn get<T>(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        what: &str,
        read: impl Fn(Response) -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        let mut attempt = 0;
        loop {
            match self.get_once(path, headers, what).and_then(&read) {
                Err(cause) if self.is_last && cause.is_transient() && !cause.is_of_name() => {
                    self.pause(attempt, cause)?;
                }
                result => return result,
            }
            attempt += 1;
        }
    }

    /// Waits after the failure of an attempt (from 0), or gives it back if that was the last.
    pub(super) fn pause(&self, attempt: u32, cause: Cause) -> Result<(), Cause> {
        let patience = self.patience;
        if attempt + 1 >= patience.attempts {
            return Err(cause);
        }
        let pause = match cause.after() {
            Some(after) if after > patience.asked => return Err(cause),
            Some(after) => after + random::pause(0, patience.first, patience.first),
            None => random::pause(attempt, patience.first, patience.longest),
        };
        log::debug!("{cause}; again in {} ms", pause.as_millis());
        thread::sleep(pause);
        Ok(())
    }

    /// One GET, with the answer to a challenge.
    pub(super) fn get_once(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        what: &str,
    ) -> Result<Response, Cause> {
        let url = self.base()?.at(&format!("/v2/{}/{path}", self.repository));
        let url = url.map_err(|cause| Cause::Host {
            host: self.host.clone(),
            cause,
        })?;
        let mut shown = self.authorization.current();
        for is_last in [false, true] {
            let mut request = Request::get(url.clone());
            for (name, value) in headers {
                request = request.header(name, value.as_str());
            }
            if let Some(held) = &shown {
                request = request.header("authorization", held.value.reveal());
            }
            let response = self.send(&request)?;
            if response.is_success() {
                return Ok(response);
            }
            // A store of blobs that we were sent on to wants nothing of ours.
            let is_own = response.url.is_same_place(&url);
            let challenge = challenge::choose(response.headers("www-authenticate"));
            let was_shown = shown.as_ref().map_or(Shown::Nothing, |held| held.shown);
            match challenge.filter(|_| response.status == 401 && is_own && !is_last) {
                Some(challenge) => {
                    let answer = self.authorization.answer(
                        &challenge,
                        &url,
                        shown.as_ref(),
                        &self.client,
                    )?;
                    if answer.is_none() {
                        return Err(refusal(&self.host, what, response, was_shown));
                    }
                    shown = answer;
                }
                None if is_own => return Err(refusal(&self.host, what, response, was_shown)),
                None => return Err(elsewhere(&self.host, what, &response)),
            }
        }
        unreachable!("the last round returns")
    }

    fn send(&self, request: &Request) -> Result<Response, Cause> {
        let sent = self.client.send(request);
        sent.map_err(|cause| Cause::Network {
            host: self.host.clone(),
            cause,
        })
    }

    /// `https://host/`, or by HTTP where that is allowed and the other does not answer.
    fn base(&self) -> Result<Url, Cause> {
        let host = match self.host.as_str() {
            // Docker Hub's registry is not where its name leads.
            "docker.io" => "registry-1.docker.io",
            host => host,
        };
        let url = |scheme: &str| {
            let url = format!("{scheme}://{host}/").parse();
            url.map_err(|cause| Cause::Host {
                host: self.host.clone(),
                cause,
            })
        };
        let mut schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        while let [first, rest @ ..] = *schemes
            && !rest.is_empty()
        {
            let ping: Url = url(first)?;
            let ping = ping.at("/v2/").expect("a plain path");
            match self.client.send(&Request::get(ping)) {
                Ok(_) => *schemes = &schemes[..1],
                Err(error) => {
                    log::debug!("{error}; trying {}", rest[0]);
                    *schemes = rest;
                }
            }
        }
        url(schemes[0])
    }
}

pub(super) fn shown_by(with_login: bool) -> Shown {
    if with_login {
        Shown::Credentials
    } else {
        Shown::Nothing
    }
}

/// What a status that says no means.
pub(super) fn refusal(host: &str, what: &str, response: Response, shown: Shown) -> Cause {
    let (host, what, status) = (host.to_owned(), what.to_owned(), response.status);
    let after = response
        .header("retry-after")
        .and_then(|text| text.trim().parse().ok());
    let message = message(response);
    match status {
        401 | 403 => Cause::Unauthorized {
            host,
            status,
            shown,
            message,
        },
        404 => Cause::NotFound {
            host,
            what,
            message,
        },
        429 => Cause::TooMany {
            host,
            after: after.map(Duration::from_secs),
            message,
        },
        _ => Cause::Status {
            host,
            status,
            what,
            message,
        },
    }
}

/// A store of blobs whose signed address has ended says 403: the registry gives a new one.
fn elsewhere(host: &str, what: &str, response: &Response) -> Cause {
    let status = if response.status == 403 {
        503
    } else {
        response.status
    };
    Cause::Status {
        host: host.into(),
        status,
        what: what.into(),
        message: format!(
            "it sent us on to {}, which answered {}",
            response.url, response.status
        ),
    }
}

/// `{"errors": [{"code", "message", "detail"}]}` (distribution-spec, 'Error Codes'), or the token server's
/// `{"details"}`; anything else that is text.
fn message(response: Response) -> String {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        errors: Vec<Fault>,
        details: Option<String>,
        error_description: Option<String>,
    }
    #[derive(Deserialize)]
    struct Fault {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let is_text = response
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/plain"));
    let bytes = response.document(LONGEST_MESSAGE).unwrap_or_default();
    let text = match serde_json::from_slice::<Body>(&bytes) {
        Ok(Body {
            errors,
            details,
            error_description,
        }) => {
            let faults = errors.iter().map(|fault| match fault.code.as_str() {
                "" => fault.message.clone(),
                code => format!("{code}: {}", fault.message),
            });
            let also = details.into_iter().chain(error_description);
            faults.chain(also).collect::<Vec<_>>().join("; ")
        }
        Err(_) if is_text => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    };
    plain(&text)
}
