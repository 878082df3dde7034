//! Images of an OCI layout, be it a directory or an archive of one.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::{Content, Error, Offer, Source, blob_path, check_document_size, check_size, read_all};
use crate::image::Reference;
use crate::image::documents::{self, Descriptor, Entry, Index, media};

/// The annotation that names an image in a layout's index (image-spec, annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Docker and containerd write the whole name to this one, and the tag alone to the other.
const WHOLE_NAME: &str = "io.containerd.image.name";

/// Where the files of a layout are.
pub(super) trait Files: Send + Sync {
    /// For messages.
    fn path(&self) -> &Path;

    fn open(&self, name: &str) -> Result<Content, Error>;
}

struct Image {
    files: Arc<dyn Files>,
    root: (Descriptor, Vec<u8>),
}

impl Source for Image {
    fn root(&self) -> Result<(Descriptor, Vec<u8>), Error> {
        Ok(self.root.clone())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        document(&*self.files, descriptor)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        blob(&*self.files, descriptor)
    }
}

fn blob(files: &dyn Files, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
    let path = files.path();
    let opened = files.open(&blob_path(&descriptor.digest));
    let content = opened.map_err(|error| error.of_blob(path, descriptor))?;
    check_size(path, descriptor, content.size)?;
    Ok(content.reader)
}

fn document(files: &dyn Files, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
    check_document_size(descriptor)?;
    let path = files.path().join(blob_path(&descriptor.digest));
    read_all(blob(files, descriptor)?, &path)
}

fn read(files: &dyn Files, name: &str) -> Result<Vec<u8>, Error> {
    read_all(files.open(name)?.reader, &files.path().join(name))
}

/// The images of a layout that are called `tag`; without one, all.
pub(super) fn offers(files: Arc<dyn Files>, tag: Option<&str>) -> Result<Vec<Offer>, Error> {
    let path = files.path();
    check_version(path, &read(&*files, "oci-layout")?)?;
    let index = Index::of_layout(&read(&*files, "index.json")?)
        .map_err(|cause| Error::document(path, "index.json", cause))?;
    let meant: Vec<Choice<'_>> = choices(&index)
        .into_iter()
        .filter(|choice| tag.is_none_or(|tag| choice.is_called(tag)))
        .collect();
    if meant.is_empty() {
        return Err(Error::NoTag {
            path: path.into(),
            tag: tag.map(String::from),
            names: choices(&index).iter().filter_map(Choice::name).collect(),
        });
    }
    meant
        .iter()
        .map(|choice| {
            let root = choice.root(&*files)?;
            let files = Arc::clone(&files);
            Ok(Offer {
                label: choice
                    .name()
                    .unwrap_or_else(|| format!("@{}", root.0.digest)),
                names: choice.reference(path).into_iter().collect(),
                source: Box::new(Image { files, root }),
            })
        })
        .collect()
}

/// Entries of one name: one image, or one for each of several platforms.
struct Choice<'a>(Vec<&'a Entry>);

fn choices(index: &Index) -> Vec<Choice<'_>> {
    let mut named: BTreeMap<[Option<&String>; 2], Vec<&Entry>> = BTreeMap::new();
    let mut nameless: Vec<&Entry> = Vec::new();
    for entry in &index.entries {
        match [WHOLE_NAME, REF_NAME].map(|key| entry.annotations.get(key)) {
            [None, None] => nameless.push(entry),
            name => named.entry(name).or_default().push(entry),
        }
    }
    let mut choices: Vec<_> = named.into_values().map(Choice).collect();
    match nameless.iter().all(|entry| entry.platform.is_some()) {
        true if !nameless.is_empty() => choices.push(Choice(nameless)),
        _ => choices.extend(nameless.into_iter().map(|entry| Choice(vec![entry]))),
    }
    choices
}

impl Choice<'_> {
    fn annotation(&self, key: &str) -> Option<&String> {
        self.0.first()?.annotations.get(key)
    }

    fn name(&self) -> Option<String> {
        let name = self.annotation(REF_NAME);
        name.or_else(|| self.annotation(WHOLE_NAME)).cloned()
    }

    fn is_called(&self, tag: &str) -> bool {
        match tag.strip_prefix('@') {
            Some(digest) => {
                let mut digests = self
                    .0
                    .iter()
                    .map(|entry| entry.descriptor.digest.to_string());
                digests.any(|own| own == digest)
            }
            None => [REF_NAME, WHOLE_NAME]
                .iter()
                .any(|key| self.annotation(key).is_some_and(|own| own == tag)),
        }
    }

    /// What the image is called in a store: a name that is one, or the tag beside the layout's own name.
    fn reference(&self, path: &Path) -> Option<Reference> {
        if let Some(whole) = self.annotation(WHOLE_NAME) {
            return Reference::parse(whole).ok();
        }
        let own = self.annotation(REF_NAME).map_or("latest", String::as_str);
        match own.contains(['/', ':', '@']) {
            true => Reference::parse(own).ok(),
            false => local_name(path, own),
        }
    }

    /// The document that the name leads to; several entries become an index of their own.
    fn root(&self, files: &dyn Files) -> Result<(Descriptor, Vec<u8>), Error> {
        let first = &self.0[0].descriptor;
        if self.0.iter().all(|entry| entry.descriptor == *first) {
            return Ok((first.clone(), document(files, first)?));
        }
        let manifests = self.0.iter().map(|entry| {
            let mut json = serde_json::json!(entry.descriptor);
            if let Some(platform) = &entry.platform {
                json["platform"] = platform.to_json();
            }
            json
        });
        let index = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": media::INDEX,
            "manifests": manifests.collect::<Vec<_>>(),
        });
        let bytes = index.to_string().into_bytes();
        Ok((Descriptor::of(media::INDEX, &bytes), bytes))
    }
}

/// `localhost/NAME:tag`, as podman names what came from a file: no registry has it.
pub(super) fn local_name(path: &Path, tag: &str) -> Option<Reference> {
    let base = path.file_name()?.to_str()?.to_lowercase();
    let ends = [".gz", ".zst", ".tgz", ".tar", ".oci"];
    let base = ends.iter().fold(base.as_str(), |base, end| {
        base.strip_suffix(end).unwrap_or(base)
    });
    Reference::parse(&format!("localhost/{base}:{tag}")).ok()
}

/// image-spec, image-layout.md: `imageLayoutVersion` is 1.0.0.
fn check_version(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        image_layout_version: String,
    }
    let what = "the mark of a layout";
    let read: Version = serde_json::from_slice(bytes).map_err(|cause| {
        Error::document(path, "oci-layout", documents::Error::Json { what, cause })
    })?;
    match read.image_layout_version.starts_with("1.") {
        true => Ok(()),
        false => Err(Error::Version {
            path: path.into(),
            found: read.image_layout_version,
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use serde_json::{Value, json};

    use super::*;
    use crate::image::Digest;

    fn entry(content: &str, whole: Option<&str>, tag: Option<&str>, platform: &str) -> Value {
        let mut json = json!(Descriptor::of(media::MANIFEST, content.as_bytes()));
        json["annotations"] = json!({});
        if let Some(whole) = whole {
            json["annotations"][WHOLE_NAME] = whole.into();
        }
        if let Some(tag) = tag {
            json["annotations"][REF_NAME] = tag.into();
        }
        if let Some((os, architecture)) = platform.split_once('/') {
            json["platform"] = json!({"os": os, "architecture": architecture});
        }
        json
    }

    fn names(entries: &[Value]) -> Vec<(usize, Option<String>)> {
        let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
        let index = Index::of_layout(index.as_bytes()).unwrap();
        let choices = choices(&index);
        let path = Path::new("/d/App.tar.gz");
        let name = |choice: &Choice<'_>| choice.reference(path).map(|name| name.to_string());
        choices
            .iter()
            .map(|choice| (choice.0.len(), name(choice)))
            .collect()
    }

    #[test]
    fn an_image_of_a_file_has_the_name_that_the_file_gives() {
        let own = |name: &str| vec![(1, Some(name.to_owned()))];
        for (whole, tag, name) in [
            (None, None, "localhost/app:latest"),
            (None, Some("1.2"), "localhost/app:1.2"),
            (None, Some("debian:12"), "docker.io/library/debian:12"),
            (Some("quay.io/a/b:c"), Some("c"), "quay.io/a/b:c"),
        ] {
            assert_eq!(names(&[entry("a", whole, tag, "")]), own(name));
        }
    }

    #[test]
    fn entries_of_one_name_are_one_image() {
        let (amd, arm) = ("linux/amd64", "linux/arm64");
        let two = [
            entry("a", None, Some("x"), amd),
            entry("b", None, Some("x"), arm),
        ];
        assert_eq!(names(&two).len(), 1);
        let nameless = [entry("a", None, None, amd), entry("b", None, None, arm)];
        assert_eq!(names(&nameless)[0].0, 2);
        let unlike = [entry("a", None, None, ""), entry("b", None, None, arm)];
        assert_eq!(names(&unlike).len(), 2);
        assert_eq!(Digest::of(b"a").hex().len(), 64);
    }
}
