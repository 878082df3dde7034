//! `image save`: images leave the store, to a layout or an archive.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Arg;
use clap::builder::PossibleValuesParser;

use super::super::arguments::Order;
use super::super::context::path;
use super::super::usage::Count;
use super::super::{Call, Command};
use super::store_flag;
use crate::image::save::{Archive, Directory, Kind, Saved, to_archive, to_directory};
use crate::image::{Name, Reference, Store};

pub(super) const COMMAND: Command = Command {
    name: "image save",
    about: "write images to a layout or an archive",
    arguments: "IMAGE… [oci:DIR[:TAG] | oci-archive:FILE[:TAG] | docker-archive:FILE[:NAME]]",
    count: Count::AtLeast(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Writes an image to the place that the last argument names, or images to an archive: the file\n\
             of --output, or the standard output. An archive has both forms, OCI's and Docker's, unless\n\
             --format says oci. Every blob is verified on its way. A layout keeps what else it has.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![
        store_flag(),
        path("output")
            .short('o')
            .help("write the archive to this file; - is the standard output"),
        Arg::new("format")
            .long("format")
            .value_parser(PossibleValuesParser::new(["docker", "oci"]))
            .help("what --output writes: docker (default; has both forms) or oci"),
    ]
}

/// Where images are to go.
enum Target {
    Layout {
        dir: PathBuf,
        tag: Option<String>,
    },
    Archive {
        file: PathBuf,
        kind: Kind,
        tag: Option<String>,
    },
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let mut words = Vec::new();
    for number in 0..call.arguments.len() {
        words.push(call.text(number)?);
    }
    let target = target(call, &mut words)?;
    let store = call.store()?;
    let _using = store.using()?;
    let mut saved = words
        .iter()
        .map(|text| saved(&store, text))
        .collect::<Result<Vec<_>, _>>()?;
    let (Target::Layout { tag, .. } | Target::Archive { tag, .. }) = &target;
    if let Some(tag) = tag {
        let [only] = &mut saved[..] else {
            bail!(
                "{tag:?} is the name of one image, and {} are to be saved",
                saved.len()
            );
        };
        only.names = vec![tag.clone()];
    }
    match &target {
        Target::Layout { dir, .. } => {
            let mut to = Directory::open(dir)?;
            for saved in &saved {
                to_directory(&store, saved, &mut to)?;
            }
        }
        Target::Archive { file, kind, .. } => write(&store, &saved, *kind, file)?,
    }
    Ok(0)
}

/// The place, taken from the words where the last of several is one.
fn target(call: &Call, words: &mut Vec<&str>) -> Result<Target, anyhow::Error> {
    let format = call.flags.get_one::<String>("format");
    let kind = match format.is_some_and(|format| format == "oci") {
        true => Kind::Oci,
        false => Kind::Docker,
    };
    let last = words.last().filter(|_| words.len() > 1);
    let place = last.map(|word| Name::parse(word)).transpose()?;
    match (call.path("output"), place) {
        (
            Some(_),
            Some(Name::Layout { .. } | Name::OciArchive { .. } | Name::DockerArchive { .. }),
        ) => Err(anyhow!(
            "--output and the last argument are two places to save to"
        )),
        (None, Some(Name::Layout { dir, tag })) => {
            words.pop();
            Ok(Target::Layout { dir, tag })
        }
        (None, Some(Name::OciArchive { file, tag })) => {
            words.pop();
            Ok(Target::Archive {
                file,
                kind: Kind::Oci,
                tag,
            })
        }
        (None, Some(Name::DockerArchive { file, tag })) => {
            words.pop();
            Ok(Target::Archive {
                file,
                kind: Kind::Docker,
                tag,
            })
        }
        (output, _) => {
            let file = output.unwrap_or_else(|| "-".into());
            Ok(Target::Archive {
                file,
                kind,
                tag: None,
            })
        }
    }
}

/// The image under the name that was given; under all of its names where an id was.
fn saved(store: &Store, text: &str) -> Result<Saved, anyhow::Error> {
    let image = store.resolve(text)?;
    let named = Reference::parse(text)
        .ok()
        .filter(|name| name.digest().is_none());
    let names = match named {
        Some(name) if store.find(&name)?.is_some() => vec![name.to_string()],
        _ => store
            .images()?
            .into_iter()
            .filter(|other| other.manifest == image.manifest)
            .filter_map(|other| other.name)
            .collect(),
    };
    Ok(Saved { image, names })
}

/// A file appears when it is whole; what is no plain file is written to as it is.
fn write(store: &Store, saved: &[Saved], kind: Kind, file: &Path) -> Result<(), anyhow::Error> {
    if file == Path::new("-") {
        let out = io::stdout();
        if out.is_terminal() {
            bail!("an archive is not written to a terminal: --output FILE");
        }
        return fill(store, saved, kind, out.lock(), file).map(drop);
    }
    let there = fs::metadata(file);
    if there.is_ok_and(|there| !there.is_file()) {
        let out = File::options().write(true).open(file);
        let out = out.with_context(|| format!("open {}", file.display()))?;
        return fill(store, saved, kind, out, file).map(drop);
    }
    let mut new = file.as_os_str().to_owned();
    new.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(new);
    let out = File::create_new(&new).with_context(|| format!("create {}", new.display()))?;
    let written = fill(store, saved, kind, out, file).and_then(|out| {
        out.sync_all()
            .with_context(|| format!("sync {}", file.display()))?;
        fs::rename(&new, file).with_context(|| format!("rename {}", new.display()))
    });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

fn fill<W: Write>(
    store: &Store,
    saved: &[Saved],
    kind: Kind,
    out: W,
    path: &Path,
) -> Result<W, anyhow::Error> {
    let mut archive = Archive::new(BufWriter::with_capacity(1 << 16, out), path);
    to_archive(store, saved, kind, &mut archive)?;
    let buffer = archive.finish()?;
    buffer
        .into_inner()
        .map_err(|error| anyhow!("{}: {error}", path.display()))
}
