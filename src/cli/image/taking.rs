//! Taking images into the store: what `pull`, `load` and `run` have in common.

use std::fs::File;

use anyhow::{Context, anyhow};
use clap::Arg;
use clap::builder::PossibleValuesParser;
use nix::unistd::geteuid;

use super::super::context::{boolean, path};
use super::super::size;
use super::super::{Call, output};
use super::progress::{Show, shown};
use crate::image::layer::{Devices, Form, Limits, Owners, Unpacking};
use crate::image::source::{self, Offer, registry};
use crate::image::store::{Image, Scratch, Using};
use crate::image::take::{DOWNLOADS, Taking, take};
use crate::image::{Platform, Reference, Store};
use crate::state::in_user_namespace;

/// Flags of every command that takes images.
pub(super) fn flags() -> Vec<Arg> {
    let flag = |name| Arg::new(name).long(name);
    vec![
        super::store_flag(),
        flag("platform")
            .help("take the image for os/architecture[/variant] (default: this machine)"),
        boolean("quiet").short('q').help("show no progress"),
        flag("format")
            .short('f')
            .value_parser(PossibleValuesParser::new(["text", "json"]))
            .help("text (default), or json: an object a line of what happens"),
        flag("downloads").help("blobs that are fetched at once (default: 3)"),
        flag("max-size").help("bytes that a layer may have unpacked (default: 64g)"),
    ]
}

/// Flags of commands that speak to registries.
pub(super) fn registry_flags() -> Vec<Arg> {
    vec![
        Arg::new("creds")
            .long("creds")
            .help("log in as user:password"),
        path("authfile").help("file with logins, in Docker's form"),
        Arg::new("tls-verify")
            .long("tls-verify")
            .num_args(0..=1)
            .value_parser(clap::value_parser!(bool))
            .help(
                "false: take a registry's word for who it is, and speak HTTP where it has no TLS",
            ),
    ]
}

impl Call {
    pub(super) fn platform(&self) -> Result<Option<Platform>, anyhow::Error> {
        let word = self.flags.get_one::<String>("platform");
        let platform = word.map(|text| Platform::parse(text)).transpose();
        platform.context("--platform")
    }

    /// How registries are reached, by this machine's files and the flags.
    pub(super) fn access(&self) -> Result<registry::Access, anyhow::Error> {
        let mut access = registry::Access::of_process();
        if let Some(text) = self.flags.get_one::<String>("creds") {
            let login = registry::Login::parse(text);
            access.login = Some(login.ok_or_else(|| anyhow!("--creds: it is not user:password"))?);
        }
        if let Some(file) = self.path("authfile") {
            access.login_files = vec![file];
        }
        access.insecure = self.flags.get_one::<bool>("tls-verify") == Some(&false);
        Ok(access)
    }

    /// How layers become trees that overlay can mount.
    pub(super) fn unpacking(&self, form: Form) -> Result<Unpacking, anyhow::Error> {
        let mut limits = Limits::default();
        let max = self.flags.try_get_one::<String>("max-size").ok().flatten();
        if let Some(text) = max {
            limits.size =
                size::parse(text).ok_or_else(|| anyhow!("--max-size: {text:?} is no size"))?;
        }
        // A user has no other ids to give files to, makes no devices, and may write his own attributes only.
        let is_user = !geteuid().is_root() || in_user_namespace();
        let (owners, devices) = match is_user {
            true => (Owners::One, Devices::Skip),
            false => (Owners::AsWritten, Devices::Make),
        };
        let form = match form {
            Form::Overlay if is_user => Form::UserOverlay,
            form => form,
        };
        Ok(Unpacking {
            form,
            limits,
            owners,
            devices,
        })
    }

    fn show(&self) -> Show {
        let format = self.flags.get_one::<String>("format").map(String::as_str);
        match format {
            Some("json") => Show::Json,
            _ if self.flags.get_flag("quiet") => Show::Nothing,
            _ => Show::ForPeople,
        }
    }

    /// Takes one image, and prints what it is called.
    pub(super) fn take(
        &self,
        store: &Store,
        using: &Using,
        offer: &Offer,
        names: &[Reference],
    ) -> Result<(), anyhow::Error> {
        let image = self.fetch(store, using, offer, names)?;
        self.say_taken(store, &image, names)
    }

    /// Takes one image.
    pub(super) fn fetch(
        &self,
        store: &Store,
        using: &Using,
        offer: &Offer,
        names: &[Reference],
    ) -> Result<Image, anyhow::Error> {
        let downloads = match self.flags.get_one::<String>("downloads") {
            Some(text) => text.parse().context("--downloads")?,
            None => DOWNLOADS,
        };
        let progress = shown(self.show());
        take(
            store,
            using,
            &*offer.source,
            names,
            &Taking {
                platform: self.platform()?,
                downloads,
                unpacking: self.unpacking(Form::Overlay)?,
                progress: &*progress,
            },
        )
        .with_context(|| offer.label.clone())
    }

    fn say_taken(
        &self,
        store: &Store,
        image: &Image,
        names: &[Reference],
    ) -> Result<(), anyhow::Error> {
        let id = store.manifest(image)?.config.digest;
        let names: Vec<String> = names.iter().map(Reference::to_string).collect();
        let text = match self.show() {
            Show::Json => {
                let event = serde_json::json!({
                    "event": "taken", "names": names, "id": id, "digest": image.chosen_from,
                    "platform": image.platform.to_string(),
                });
                format!("{event}\n")
            }
            _ if names.is_empty() => format!("{id}\n"),
            _ => names.iter().map(|name| format!("{name}\n")).collect(),
        };
        Ok(output::print(&text)?)
    }
}

/// A file for what cannot be read where it lies.
pub(super) fn spool(scratch: &Scratch) -> Result<File, source::Error> {
    let file = scratch.unnamed();
    file.map_err(|error| source::Error::Spool(error.to_string()))
}
