//! What is shown to a registry so that it lets us in.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::access::bare;
use super::challenge::Challenge;
use super::configuration::Place;
use super::error::Shown;
use super::logins::{Login, Wanted};
use super::{Access, Cause, logins};
use crate::aws::Secret;
use crate::net::url::encode;
use crate::net::{Client, Method, Request, Response, Url};

/// A token that does not say how long it is good is good for a minute (distribution's token.md).
const DEFAULT_LIFE: u64 = 60;
/// One that ends sooner is not shown any more.
const EARLY: Duration = Duration::from_secs(5);
const LONGEST_REPLY: u64 = 1024 * 1024;

/// One for an endpoint, shared by all its threads.
#[derive(Debug)]
pub(super) struct Authorization {
    access: Access,
    place: Place,
    /// Whom logins are looked for, in this order: all of the place's host.
    repositories: Vec<String>,
    held: Mutex<Option<Held>>,
}

/// The header as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) value: Secret,
    pub(super) shown: Shown,
    until: Option<Instant>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
}

impl Held {
    fn is_good(&self) -> bool {
        self.until.is_none_or(|end| end > Instant::now() + EARLY)
    }
}

impl Authorization {
    pub(super) fn new(access: &Access, place: &Place, repositories: Vec<String>) -> Self {
        Self {
            access: access.clone(),
            place: place.clone(),
            repositories,
            held: Mutex::default(),
        }
    }

    /// What to show with the next request.
    pub(super) fn current(&self) -> Option<Held> {
        self.held().clone().filter(Held::is_good)
    }

    /// Answers a challenge that came from `url` in spite of what was `shown`. `None`: there is nothing to
    /// show.
    pub(super) fn answer(
        &self,
        challenge: &Challenge,
        url: &Url,
        shown: Option<&Held>,
        client: &Client,
    ) -> Result<Option<Held>, Cause> {
        let mut held = self.held();
        // Another thread may have been first.
        let newer = held.clone().filter(Held::is_good);
        if newer.is_some() && newer.as_ref() != shown {
            return Ok(newer);
        }
        *held = match challenge {
            Challenge::Basic => self.login()?.and_then(basic),
            Challenge::Bearer { realm, service } => {
                let realm = self.realm(realm, url)?;
                let own = self.client_of(&realm)?;
                let client = own.as_ref().unwrap_or(client);
                Some(self.token(realm, service.as_deref(), client)?)
            }
        };
        Ok(held.clone())
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        // It holds a whole header or none, whoever panicked.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn host(&self) -> String {
        self.place.host.clone()
    }

    /// Where the token server is. One that is not encrypted is not believed of a registry that is: who
    /// owns a registry is not to have this machine's own services asked, or passwords sent in the open.
    fn realm(&self, realm: &str, asked: &Url) -> Result<Url, Cause> {
        let error = |why: String| Cause::Token {
            host: self.host(),
            why,
        };
        let url: Url = realm.parse().map_err(|cause| error(format!("{cause}")))?;
        if asked.is_https() && !url.is_https() && !self.is_insecure() {
            return Err(error(format!(
                "{url} is not encrypted, and the registry is"
            )));
        }
        Ok(url)
    }

    /// Who speaks to a token server on another host than the registry's: that the registry is insecure
    /// says nothing of it. `None` where it is the same host.
    fn client_of(&self, realm: &Url) -> Result<Option<Client>, Cause> {
        if bare(&self.place.host).eq_ignore_ascii_case(realm.host()) {
            return Ok(None);
        }
        self.access
            .client_for_tokens(&self.place, &realm.authority())
            .map(Some)
    }

    fn is_insecure(&self) -> bool {
        self.place.insecure || self.access.insecure
    }

    fn login(&self) -> Result<Option<Login>, Cause> {
        let host = &self.place.host;
        for repository in &self.repositories {
            if let Some(login) = logins::find(&self.access, Wanted { host, repository })? {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }

    /// Asks the token server (distribution's token.md, oauth.md).
    fn token(&self, url: Url, service: Option<&str>, client: &Client) -> Result<Held, Cause> {
        let error = |why: String| Cause::Token {
            host: self.host(),
            why,
        };
        let scope = format!("repository:{}:pull", self.place.repository);
        let login = self.login()?;
        let (request, shown) = match &login {
            Some(Login::Token(token)) => {
                let value = Secret::new(format!("Bearer {}", token.reveal()));
                return Ok(Held {
                    value,
                    shown: Shown::Token,
                    until: None,
                });
            }
            Some(Login::Identity(token)) => (refresh(url, token, service, &scope), Shown::Token),
            Some(Login::Password { user, .. }) => {
                let url = question(url, service, &scope).with_query("account", user);
                let value = basic(login.clone().expect("it is a password")).map(|held| held.value);
                let value = value.expect("a password makes a header");
                (
                    Request::get(url).header("authorization", value.reveal()),
                    Shown::Token,
                )
            }
            None => (
                Request::get(question(url, service, &scope)),
                Shown::AnonymousToken,
            ),
        };
        let response = client.send(&request).map_err(|cause| Cause::Network {
            host: self.host(),
            cause,
        })?;
        if !response.is_success() {
            return Err(self.refused(response, login.is_some()));
        }
        let bytes = response
            .document(LONGEST_REPLY)
            .map_err(|cause| Cause::Network {
                host: self.host(),
                cause,
            })?;
        let token: Token = serde_json::from_slice(&bytes)
            .map_err(|_| error("its reply is not JSON with a token".into()))?;
        let life = token
            .expires_in
            .filter(|life| *life > 0)
            .unwrap_or(DEFAULT_LIFE);
        let text = [token.token, token.access_token]
            .into_iter()
            .flatten()
            .find(|t| !t.reveal().is_empty());
        let text =
            text.ok_or_else(|| error("its reply has neither token nor access_token".into()))?;
        Ok(Held {
            value: Secret::new(format!("Bearer {}", text.reveal())),
            shown,
            // Two years hence is for ever, and no clock overflows.
            until: Some(Instant::now() + Duration::from_secs(life.min(1 << 26))),
        })
    }

    fn refused(&self, response: Response, with_login: bool) -> Cause {
        let (host, status) = (self.host(), response.status);
        let place = response.url.to_string();
        match super::endpoint::refusal(
            &host,
            &place,
            response,
            super::endpoint::shown_by(with_login),
        ) {
            // What it lacks is no image.
            Cause::NotFound { message, .. } => {
                let why = format!("{place}: status {status} {message}");
                Cause::Token {
                    host,
                    why: why.trim_end().into(),
                }
            }
            cause => cause,
        }
    }
}

fn question(url: Url, service: Option<&str>, scope: &str) -> Url {
    let url = match service {
        Some(service) => url.with_query("service", service),
        None => url,
    };
    url.with_query("scope", scope)
}

fn refresh(url: Url, token: &Secret, service: Option<&str>, scope: &str) -> Request {
    let pairs = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token.reveal()),
        ("service", service.unwrap_or_default()),
        ("scope", scope),
        ("client_id", "bulkhead"),
    ];
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect();
    Request::new(Method::Post, url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(pairs.join("&"))
}

fn basic(login: Login) -> Option<Held> {
    let Login::Password { user, secret } = login else {
        return None;
    };
    let text = BASE64_STANDARD.encode(format!("{user}:{}", secret.reveal()));
    Some(Held {
        value: Secret::new(format!("Basic {text}")),
        shown: Shown::Credentials,
        until: None,
    })
}
