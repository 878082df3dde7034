//! How registries are reached: the files of this machine, and what a command line adds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Cause;
use super::configuration::Place;
use super::logins::{self, Login};
use crate::aws::Variables;
use crate::net::{Client, Plain, Setup, Verification, url};

#[derive(Debug, Clone)]
pub struct Access {
    /// `--creds`: instead of all that files say, for the host that the image names.
    pub login: Option<Login>,
    /// `--authfile`, or where Docker, podman and skopeo keep logins.
    pub login_files: Vec<PathBuf>,
    /// Where `registries.conf` may be; the first that is there counts.
    pub configurations: Vec<PathBuf>,
    /// Folders with `HOST[:PORT]/*.crt`: certificates that are trusted for that host.
    pub certificates: Vec<PathBuf>,
    /// `--tls-verify=false`: every registry is insecure.
    pub insecure: bool,
    pub aws: Variables,
    pub setup: Setup,
    pub patience: Patience,
}

/// How often and how long something is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without anything having come in between.
    pub attempts: u32,
    pub first: Duration,
    pub longest: Duration,
    /// The longest time that a registry may ask us to wait.
    pub asked: Duration,
}

impl Access {
    /// As the environment of this process has it.
    pub fn of_process() -> Self {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let in_home = |path: &str| variable("HOME").map(|home| home.join(path));
        let configurations = [
            variable("CONTAINERS_REGISTRIES_CONF"),
            in_home(".config/containers/registries.conf"),
            Some("/etc/containers/registries.conf".into()),
        ];
        let certificates = [
            in_home(".config/containers/certs.d"),
            Some("/etc/containers/certs.d".into()),
            Some("/etc/docker/certs.d".into()),
        ];
        Self {
            login: None,
            login_files: logins::files_of_process(),
            configurations: configurations.into_iter().flatten().collect(),
            certificates: certificates.into_iter().flatten().collect(),
            insecure: false,
            aws: Variables::of_process(),
            setup: Setup::default(),
            patience: Patience {
                attempts: 6,
                first: Duration::from_millis(500),
                longest: Duration::from_secs(15),
                asked: Duration::from_secs(120),
            },
        }
    }

    /// What speaks to a host, and by which schemes it may: the first that answers is kept.
    pub(super) fn client(&self, place: &Place) -> Result<(Client, &'static [&'static str]), Cause> {
        let roots = self.roots(&place.host)?;
        let insecure = place.insecure || self.insecure;
        let schemes: &[&str] = match insecure {
            true => &["https", "http"],
            false if roots.is_empty() && url::is_loopback(bare(&place.host)) => &["http"],
            false => &["https"],
        };
        let (verification, plain) = match insecure {
            true => (Verification::None, Plain::Anyone),
            false => (Verification::Full, self.setup.plain),
        };
        let client = Client::new(Setup {
            roots,
            verification,
            plain,
            ..self.setup.clone()
        });
        Ok((client, schemes))
    }

    /// What speaks to the token server of a place, on another host: checked in full, unless everything is
    /// insecure. The certificates for the registry serve there too, as they do with Docker.
    pub(super) fn client_for_tokens(&self, place: &Place, host: &str) -> Result<Client, Cause> {
        let server = Place {
            host: host.into(),
            insecure: false,
            ..place.clone()
        };
        let mut access = self.clone();
        access.setup.roots = self.roots(&place.host)?;
        access.client(&server).map(|(client, _)| client)
    }

    /// docker's and podman's `certs.d/HOST/*.crt`.
    fn roots(&self, host: &str) -> Result<Vec<PathBuf>, Cause> {
        let mut found = self.setup.roots.clone();
        for folder in &self.certificates {
            found.extend(certificates(&folder.join(host))?);
        }
        Ok(found)
    }
}

fn certificates(folder: &Path) -> Result<Vec<PathBuf>, Cause> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => {
            return Err(Cause::Read {
                path: folder.into(),
                cause,
            });
        }
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "crt"));
    paths.sort();
    Ok(paths)
}

/// The host without its port and brackets.
pub(super) fn bare(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}
