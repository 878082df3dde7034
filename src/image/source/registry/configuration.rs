//! `registries.conf` (containers-registries.conf(5), version 2), which skopeo, podman and CRI-O read too:
//! mirrors, other locations, and registries that are insecure or blocked.
//!
//! Read are `[[registry]]` with `prefix`, `location`, `insecure`, `blocked` and `mirror-by-digest-only`, and its
//! `[[registry.mirror]]` with `location`, `insecure` and `pull-from-mirror`. A name without a registry
//! always means docker.io.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;

use super::Cause;
use crate::image::Reference;

#[derive(Debug, Default)]
pub(super) struct Configuration(Vec<Table>);

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    registry: Vec<Table>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<String>,
}

/// A repository at a host: where to look for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// A host, and a port where one was given.
    pub(super) host: String,
    pub(super) repository: String,
    pub(super) insecure: bool,
    /// It is not what the user named, or its location: our credentials for that are not for it.
    pub(super) is_mirror: bool,
}

impl Configuration {
    /// The first file that is there, and the `*.conf` of the folders of their names with `.d`, whether the
    /// files are there or not: the system's first and the user's after it, so that his count.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, Cause> {
        let mut tables = Vec::new();
        if let Some((path, text)) = first(files)? {
            tables.extend(parse(path, &text)?);
        }
        for file in files.iter().rev() {
            for path in drop_ins(file)? {
                if let Some((path, text)) = first(std::slice::from_ref(&path))? {
                    tables.extend(parse(path, &text)?);
                }
            }
        }
        Ok(Self(tables))
    }

    /// Where to look for an image, in order: mirrors first.
    pub(super) fn places(&self, reference: &Reference) -> Result<Vec<Place>, Cause> {
        let whole = reference.repository();
        let best = self
            .0
            .iter()
            .filter_map(|table| Some((table.matched(&whole)?, table)));
        // Of the same length the last one counts: a later file is there to change an earlier.
        let Some((length, table)) = best.max_by_key(|(length, _)| *length) else {
            return Ok(vec![place(&whole, false, false)]);
        };
        if table.blocked {
            return Err(Cause::Blocked);
        }
        let rest = &whole[length..];
        let mut places = Vec::new();
        for mirror in &table.mirror {
            let digest_only = table.mirror_by_digest_only;
            let wanted = match mirror.pull_from_mirror.as_deref() {
                Some("digest-only") => reference.digest().is_some(),
                Some("tag-only") => reference.digest().is_none(),
                _ => !digest_only || reference.digest().is_some(),
            };
            if wanted {
                places.push(place(
                    &format!("{}{rest}", mirror.location),
                    mirror.insecure,
                    true,
                ));
            }
        }
        let own = match &table.location {
            Some(location) => format!("{location}{rest}"),
            None => whole.clone(),
        };
        places.push(place(&own, table.insecure, false));
        Ok(places)
    }
}

impl Table {
    /// How much of the name the prefix is.
    fn matched(&self, whole: &str) -> Option<usize> {
        let prefix = self.prefix.as_deref().or(self.location.as_deref())?;
        if let Some(pattern) = prefix.strip_prefix('*') {
            // Of a host it means every port, unless it names one; it may go on with a path.
            let (domain, path) = pattern.split_once('/').unwrap_or((pattern, ""));
            let (host, rest) = whole.split_once('/')?;
            let bare = host.split(':').next()?;
            let fits = host.ends_with(domain) || bare.ends_with(domain);
            let below = match path {
                "" => 0,
                path => starts(rest, path)? + 1,
            };
            return fits.then_some(host.len() + below);
        }
        starts(whole, prefix)
    }
}

/// Whether the name begins with these parts, and then how long they are.
fn starts(whole: &str, prefix: &str) -> Option<usize> {
    let rest = whole.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
}

/// One that cannot be read is no folder without any: it may block what would be asked.
fn drop_ins(file: &Path) -> Result<Vec<PathBuf>, Cause> {
    let mut folder = file.as_os_str().to_owned();
    folder.push(".d");
    let failed = |cause| Cause::Read {
        path: folder.clone().into(),
        cause,
    };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(failed(cause)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|e| e == "conf"));
    paths.sort();
    Ok(paths)
}

fn place(whole: &str, insecure: bool, is_mirror: bool) -> Place {
    let (host, repository) = whole.split_once('/').unwrap_or((whole, ""));
    Place {
        host: host.into(),
        repository: repository.into(),
        insecure,
        is_mirror,
    }
}

fn first(files: &[PathBuf]) -> Result<Option<(&PathBuf, String)>, Cause> {
    for path in files {
        match fs::read_to_string(path) {
            Ok(text) => return Ok(Some((path, text))),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => {
                return Err(Cause::Read {
                    path: path.clone(),
                    cause,
                });
            }
        }
    }
    Ok(None)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Table>, Cause> {
    let error = |why: String| Cause::File {
        path: path.into(),
        why,
    };
    let file: File = toml::from_str(text)
        .map_err(|cause| error(cause.to_string().trim_end().replace('\n', " ")))?;
    for table in &file.registry {
        if table.prefix.is_none() && table.location.is_none() {
            return Err(error(
                "a [[registry]] has neither prefix nor location".into(),
            ));
        }
        if table.prefix.as_ref().is_some_and(|p| p.starts_with('*')) && table.location.is_some() {
            return Err(error("a prefix with * cannot have a location".into()));
        }
    }
    Ok(file.registry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str, image: &str) -> Vec<String> {
        let configuration = Configuration(parse(Path::new("x"), text).unwrap());
        let places = configuration
            .places(&Reference::parse(image).unwrap())
            .unwrap();
        let shown = places.iter().map(|p| {
            let mark = if p.insecure { "!" } else { "" };
            format!("{}/{}{mark}", p.host, p.repository)
        });
        shown.collect()
    }

    const TEXT: &str = r#"
        unqualified-search-registries = ["q.example"]
        [[registry]]
        prefix = "docker.io/library"
        location = "registry.example/hub"
        [[registry.mirror]]
        location = "mirror.example:5000/library"
        insecure = true
        [[registry.mirror]]
        location = "by-digest.example/library"
        pull-from-mirror = "digest-only"
        [[registry]]
        location = "docker.io"
        [[registry]]
        prefix = "*.corp.example"
        insecure = true
        [[registry]]
        location = "bad.example"
        blocked = true
        [[registry]]
        prefix = "*.bad.example"
        blocked = true
        [[registry]]
        prefix = "*.half.example/bad"
        blocked = true
    "#;

    #[test]
    fn mirrors_come_before_the_location() {
        let sha = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(
            hosts(TEXT, "debian:12"),
            [
                "mirror.example:5000/library/debian!",
                "registry.example/hub/debian"
            ]
        );
        assert_eq!(hosts(TEXT, &format!("debian@{sha}")).len(), 3);
        assert_eq!(hosts(TEXT, "grafana/loki"), ["docker.io/grafana/loki"]);
        assert_eq!(
            hosts(TEXT, "docker.io/library2/x"),
            ["docker.io/library2/x"]
        );
        assert_eq!(hosts(TEXT, "a.corp.example/x"), ["a.corp.example/x!"]);
        assert_eq!(hosts(TEXT, "corp.example/x"), ["corp.example/x"]);
    }

    #[test]
    fn a_blocked_registry_is_refused() {
        let configuration = Configuration(parse(Path::new("x"), TEXT).unwrap());
        let is_blocked = |image: &str| {
            let places = configuration.places(&Reference::parse(image).unwrap());
            matches!(places, Err(Cause::Blocked))
        };
        for image in [
            "bad.example/x",
            "x.bad.example/y",
            "x.bad.example:5000/y",
            "x.half.example:1/bad/y",
        ] {
            assert!(is_blocked(image), "{image}");
        }
        for image in [
            "x.half.example/good",
            "x.half.example/badly",
            "notbad.example/x",
        ] {
            assert!(!is_blocked(image), "{image}");
        }
    }

    #[test]
    fn drop_ins_count_without_the_file_that_they_belong_to() {
        let dir = tempfile::tempdir().unwrap();
        let [users, systems] = ["users.conf", "systems.conf"].map(|name| dir.path().join(name));
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "systems.conf.d/a.conf",
            "[[registry]]\nlocation = \"bad.example\"\nblocked = true\n",
        );
        let files = [users, systems];
        let reference = Reference::parse("bad.example/x").unwrap();
        let places = |files| Configuration::read(files).unwrap().places(&reference);
        assert!(matches!(places(&files), Err(Cause::Blocked)));
        write("users.conf", "");
        assert!(matches!(places(&files), Err(Cause::Blocked)));
        write(
            "users.conf.d/a.conf",
            "[[registry]]\nlocation = \"bad.example\"\n",
        );
        assert!(places(&files).is_ok());
        fs::remove_dir_all(dir.path().join("users.conf.d")).unwrap();
        write("users.conf.d", "no folder");
        assert!(matches!(
            Configuration::read(&files),
            Err(Cause::Read { .. })
        ));
    }

    #[test]
    fn a_fault_of_the_file_names_it() {
        for text in [
            "[[registry]]\n",
            "[[registry]\n",
            "[[registry]]\nlocation = 3\n",
        ] {
            let error = parse(Path::new("/etc/x.conf"), text)
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("/etc/x.conf: "), "{error}");
        }
    }
}
