//! Who we are at AWS: the places where AWS's own tools look, in their order, and refreshed in time.

mod container;
mod instance;
mod reply;
mod shared;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Error, Secret, Variables};
use crate::net::{Client, Plain, Proxies, Setup, Times};
use crate::sys::time::Time;

/// Credentials that end sooner are fetched anew, so that none ends on its way.
const EARLY: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret: Secret,
    pub session_token: Option<Secret>,
    /// `None`: they stay good until somebody takes them back.
    pub expires: Option<Time>,
}

impl Credentials {
    fn is_good_for(&self, time: Duration, now: Time) -> bool {
        self.expires.is_none_or(|end| now.until(end) > time)
    }
}

/// Finds credentials when they are first needed, and keeps them while they are good.
pub struct Provider {
    variables: Variables,
    client: Client,
    held: Mutex<Option<Credentials>>,
}

impl Provider {
    pub fn new(variables: Variables) -> Self {
        // The endpoints of containers and instances are on this machine or its host, by plain HTTP, and
        // where there is none nobody answers.
        let client = Client::new(Setup {
            plain: Plain::Anyone,
            proxies: Proxies::default(),
            times: Times {
                connect: Duration::from_secs(2),
                stall: Duration::from_secs(5),
            },
            ..Setup::default()
        });
        let held = Mutex::default();
        Self {
            variables,
            client,
            held,
        }
    }

    /// Good ones. Those that are about to end are still given where no new ones can be had.
    pub fn credentials(&self) -> Result<Credentials, Error> {
        let mut held = self.held();
        let now = Time::now();
        if let Some(credentials) = held.as_ref().filter(|c| c.is_good_for(EARLY, now)) {
            return Ok(credentials.clone());
        }
        match (self.find(), held.as_ref()) {
            (Ok(found), _) => {
                *held = Some(found.clone());
                Ok(found)
            }
            (Err(error), Some(old)) if old.is_good_for(Duration::ZERO, now) => {
                log::warn!("AWS credentials are about to end, and no new ones can be had: {error}");
                Ok(old.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// After AWS has called them expired.
    pub fn forget(&self) {
        *self.held() = None;
    }

    fn held(&self) -> MutexGuard<'_, Option<Credentials>> {
        // It holds whole credentials or none, whoever panicked.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self) -> Result<Credentials, Error> {
        if let Some(found) = self.of_environment()? {
            return Ok(found);
        }
        let profile = super::profile::Profile::read(&self.variables)?;
        if let Some(found) = shared::credentials(&profile)? {
            return Ok(found);
        }
        if let Some(found) = container::credentials(&self.variables, &self.client)? {
            return Ok(found);
        }
        if let Some(found) = instance::credentials(&self.variables, &self.client)? {
            return Ok(found);
        }
        let web_identity = self.variables.get("AWS_WEB_IDENTITY_TOKEN_FILE").is_some();
        let also = if web_identity {
            "; AWS_WEB_IDENTITY_TOKEN_FILE is set, which is not supported"
        } else {
            ""
        };
        Err(Error::NoCredentials {
            profile: profile.name,
            also: also.into(),
        })
    }

    fn of_environment(&self) -> Result<Option<Credentials>, Error> {
        let Some(id) = self.variables.get("AWS_ACCESS_KEY_ID") else {
            return Ok(None);
        };
        let secret =
            self.variables
                .get("AWS_SECRET_ACCESS_KEY")
                .ok_or_else(|| Error::Variable {
                    variable: "AWS_SECRET_ACCESS_KEY".into(),
                    why: "not set, though AWS_ACCESS_KEY_ID is".into(),
                })?;
        Ok(Some(Credentials {
            access_key_id: id.into(),
            secret: Secret::new(secret),
            session_token: self.variables.get("AWS_SESSION_TOKEN").map(Secret::new),
            expires: None,
        }))
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({:?})", self.variables)
    }
}

#[cfg(test)]
mod tests;
