//! Images as tests want them: layers of any entries, in any packing, in a layout or an archive, whole
//! or spoilt. A program of tests takes it in by `#[path = "../harness/images/mod.rs"] mod images;`.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "built into several programs, each of which uses a part of it"
)]

mod tarball;

pub(crate) use tarball::{Entry, Holes, Naming, Tarball, pax_record};

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use bulkhead::image::Digest;
use serde_json::{Value, json};

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    /// In three members one after the other, as pigz and bgzip may do.
    GzipMembers,
    Zstd,
    /// In three frames.
    ZstdFrames,
    /// As `zstd:chunked` does: frames, and between and behind them frames that are to be skipped.
    ZstdChunked,
}

impl Packing {
    pub(crate) const ALL: [Self; 6] = [
        Self::Plain,
        Self::Gzip,
        Self::GzipMembers,
        Self::Zstd,
        Self::ZstdFrames,
        Self::ZstdChunked,
    ];

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip | Self::GzipMembers => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd | Self::ZstdFrames | Self::ZstdChunked => {
                "application/vnd.oci.image.layer.v1.tar+zstd"
            }
        }
    }

    pub(crate) fn pack(self, bytes: &[u8]) -> Vec<u8> {
        let thirds = || bytes.chunks((bytes.len() / 3).max(1));
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Gzip => gzip(bytes),
            Self::GzipMembers => thirds().flat_map(gzip).collect(),
            Self::Zstd => zstd(bytes),
            Self::ZstdFrames => thirds().flat_map(zstd).collect(),
            Self::ZstdChunked => {
                let frames = thirds().flat_map(|t| [zstd(t), skippable(b"a table")].concat());
                frames.chain(skippable(&[7; 64])).collect()
            }
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A skippable frame (RFC 8878, 3.1.2).
pub(crate) fn skippable(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [&[0x50, 0x2a, 0x4d, 0x18], &length[..], bytes].concat()
}

/// A layer: the archive, and the blob that it is packed in.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) tar: Vec<u8>,
    pub(crate) blob: Vec<u8>,
    pub(crate) packing: Packing,
}

impl Packed {
    pub(crate) fn new(packing: Packing, tar: Vec<u8>) -> Self {
        let blob = packing.pack(&tar);
        Self { tar, blob, packing }
    }

    pub(crate) fn gzip(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self::new(Packing::Gzip, Tarball::of(entries).end())
    }

    pub(crate) fn diff_id(&self) -> Digest {
        Digest::of(&self.tar)
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.blob)
    }
}

type Hook = Box<dyn FnOnce(&mut Value)>;

/// An image to be written. Each hook changes a document before it is hashed, so that what names it
/// still finds it; `blobs` of [`Built`] can be changed afterwards, so that it does not.
#[derive(Default)]
pub(crate) struct Image {
    layers: Vec<Packed>,
    /// The `config` of the image's config: Cmd, Env, User and the like.
    config: Option<Value>,
    tag: Option<String>,
    hooks: BTreeMap<&'static str, Hook>,
}

impl Image {
    pub(crate) fn of(layers: impl IntoIterator<Item = Packed>) -> Self {
        Self {
            layers: layers.into_iter().collect(),
            tag: Some("latest".into()),
            ..Self::default()
        }
    }

    pub(crate) fn config(mut self, config: Value) -> Self {
        self.config = Some(config);
        self
    }

    /// The name under which the index has it; `None` for none.
    pub(crate) fn tag(mut self, tag: Option<&str>) -> Self {
        self.tag = tag.map(Into::into);
        self
    }

    /// Changes `config`, `manifest`, `index` or `docker` (manifest.json) before it is written.
    pub(crate) fn change(
        mut self,
        document: &'static str,
        hook: impl FnOnce(&mut Value) + 'static,
    ) -> Self {
        self.hooks.insert(document, Box::new(hook));
        self
    }

    fn hooked(&mut self, name: &str, mut document: Value) -> Vec<u8> {
        if let Some(hook) = self.hooks.remove(name) {
            hook(&mut document);
        }
        serde_json::to_vec(&document).unwrap()
    }

    pub(crate) fn build(mut self) -> Built {
        let mut blobs = BTreeMap::new();
        let diff_ids: Vec<_> = self.layers.iter().map(Packed::diff_id).collect();
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "config": self.config.take().unwrap_or(json!({})),
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [],
        });
        let config = self.hooked("config", config);
        let mut put = |media_type: &str, bytes: Vec<u8>| {
            let digest = Digest::of(&bytes);
            let size = bytes.len();
            blobs.insert(digest.hex().to_owned(), bytes);
            json!({"mediaType": media_type, "digest": digest, "size": size})
        };
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| put(layer.packing.media_type(), layer.blob.clone()))
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": put("application/vnd.oci.image.config.v1+json", config.clone()),
            "layers": layers,
        });
        let manifest = self.hooked("manifest", manifest);
        let mut of_manifest = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": Digest::of(&manifest), "size": manifest.len(),
        });
        if let Some(tag) = &self.tag {
            of_manifest["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        }
        blobs.insert(Digest::of(&manifest).hex().to_owned(), manifest.clone());
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [of_manifest],
        });
        let index = self.hooked("index", index);
        let named = |layer: &Packed| format!("{}/layer.tar", layer.diff_id().hex());
        let config_name = format!("{}.json", Digest::of(&config).hex());
        let repository = format!("test:{}", self.tag.as_deref().unwrap_or("latest"));
        let docker = json!([{
            "Config": config_name, "RepoTags": [repository],
            "Layers": self.layers.iter().map(named).collect::<Vec<_>>(),
        }]);
        let docker = self.hooked("docker", docker);
        Built {
            blobs,
            index,
            manifest,
            config: (config_name, config),
            docker,
            layers: self.layers,
        }
    }
}

/// What the documents call this machine.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The documents and blobs of an image.
#[derive(Debug)]
pub(crate) struct Built {
    /// By the digest's hexadecimal part; take one away or change one to damage the image.
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    pub(crate) index: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
    /// Name in a Docker archive, and text.
    pub(crate) config: (String, Vec<u8>),
    docker: Vec<u8>,
    pub(crate) layers: Vec<Packed>,
}

impl Built {
    /// Digest of the manifest.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// The blob of a layer, to damage it.
    pub(crate) fn layer_blob(&mut self, index: usize) -> &mut Vec<u8> {
        let digest = self.layers[index].digest();
        self.blobs.get_mut(digest.hex()).unwrap()
    }

    /// Writes an OCI layout into `dir`, which it makes.
    pub(crate) fn write_layout(&self, dir: &Path) {
        for (name, bytes) in self.layout_files() {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// Writes the layout as one archive.
    pub(crate) fn write_oci_archive(&self, file: &Path) {
        fs::write(file, archive(self.layout_files())).unwrap();
    }

    /// Writes what `docker save` wrote up to Docker 24; newer ones write both forms in one.
    pub(crate) fn write_docker_archive(&self, file: &Path) {
        fs::write(file, archive(self.docker_files())).unwrap();
    }

    /// Both forms in one archive, as `docker save` writes since Docker 25.
    pub(crate) fn write_both_archive(&self, file: &Path) {
        let mut files = self.layout_files();
        files.extend(self.docker_files());
        fs::write(file, archive(files)).unwrap();
    }

    fn layout_files(&self) -> Vec<(String, Vec<u8>)> {
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        let mut files = vec![
            ("oci-layout".to_owned(), layout),
            ("index.json".to_owned(), self.index.clone()),
        ];
        let blobs = self.blobs.iter();
        files.extend(blobs.map(|(hex, bytes)| (format!("blobs/sha256/{hex}"), bytes.clone())));
        files
    }

    fn docker_files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![self.config.clone()];
        for layer in &self.layers {
            let name = format!("{}/layer.tar", layer.diff_id().hex());
            files.push((name, layer.tar.clone()));
        }
        files.push(("manifest.json".to_owned(), self.docker.clone()));
        files
    }
}

fn archive(files: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    Tarball::of(
        files
            .into_iter()
            .map(|(name, bytes)| Entry::file(name, bytes)),
    )
    .end()
}
