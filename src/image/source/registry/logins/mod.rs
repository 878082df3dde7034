//! Who we are at a registry: what the command line says, what `docker login` and its like have left, and
//! for ECR what AWS gives.

mod ecr;
mod files;
mod helper;

use std::path::PathBuf;

use super::{Access, Cause};
use crate::aws::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    Password {
        user: String,
        secret: Secret,
    },
    /// To be changed for a token at the token server (OAuth 2's refresh token).
    Identity(Secret),
    /// The token itself.
    Token(Secret),
}

impl Login {
    /// `user:password`, as `--creds` has it.
    pub fn parse(text: &str) -> Option<Self> {
        let (user, password) = text.split_once(':')?;
        (!user.is_empty()).then(|| Self::password(user, password))
    }

    fn password(user: &str, password: &str) -> Self {
        // A user of this name has no password, but an identity token (docker-credential-helpers).
        match user {
            "<token>" => Self::Identity(Secret::new(password)),
            _ => Self::Password {
                user: user.into(),
                secret: Secret::new(password),
            },
        }
    }
}

/// Whom the login is for: a host, and the repository there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) host: &'a str,
    pub(super) repository: &'a str,
}

impl Wanted<'_> {
    /// What it may be called in a file, the most specific first.
    fn keys(&self) -> Vec<String> {
        let hosts: &[&str] = match self.host {
            // Docker Hub has had several names, and is filed under the oldest.
            "docker.io" => &["docker.io", "index.docker.io", "registry-1.docker.io"],
            host => &[host],
        };
        let mut keys = Vec::new();
        for host in hosts {
            let mut path = self.repository;
            while !path.is_empty() {
                keys.push(format!("{host}/{path}"));
                path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            }
            keys.push((*host).to_owned());
        }
        keys
    }

    /// What a credential helper is asked for.
    fn server(&self) -> &str {
        match self.host {
            "docker.io" => "https://index.docker.io/v1/",
            host => host,
        }
    }
}

/// The first login that is there; for ECR one is made if none is.
pub(super) fn find(access: &Access, wanted: Wanted<'_>) -> Result<Option<Login>, Cause> {
    if let Some(login) = &access.login {
        return Ok(Some(login.clone()));
    }
    for path in &access.login_files {
        if let Some(login) = files::find(path, wanted)? {
            return Ok(Some(login));
        }
    }
    ecr::login(access, wanted.host)
}

/// Where `docker login`, `podman login` and `skopeo login` leave what they are told, by the environment.
pub(super) fn files_of_process() -> Vec<PathBuf> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = variable("HOME");
    let below = |base: Option<PathBuf>, path: &str| base.map(|base| base.join(path));
    let runtime = variable("XDG_RUNTIME_DIR");
    // podman of root has none, and takes this one.
    let of_root = nix::unistd::geteuid()
        .is_root()
        .then(|| PathBuf::from("/run/containers/0/auth.json"));
    [
        variable("REGISTRY_AUTH_FILE"),
        below(runtime, "containers/auth.json").or(of_root),
        below(home.clone(), ".config/containers/auth.json"),
        below(variable("DOCKER_CONFIG"), "config.json").or(below(home, ".docker/config.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}
