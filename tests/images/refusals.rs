//! What is wrong with an image is said, and nothing of it is kept.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::ground::{Ground, image, layer};
use crate::harness::needs;
use crate::images::{Built, Image, Packed, Packing};

/// Loads a layout that was spoilt; the store has what it had.
#[track_caller]
fn refused(name: &str, image: Image, spoil: impl FnOnce(&mut Built, &Path), said: &str) {
    let ground = Ground::new(name);
    ground.load("whole", self::image("whole"));
    let before = ground.snapshot();
    let dir = ground.path("bad");
    let mut built = image.build();
    // Blobs first, files afterwards: the function changes either.
    built.write_layout(&dir);
    spoil(&mut built, &dir);
    let failed = ground.call(&["load", "-q", "oci:bad"]).failed_with(said);
    assert_eq!(failed.stderr.lines().count(), 1, "{}", failed.stderr);
    assert_eq!(ground.snapshot(), before, "{name}: {said}");
}

fn nothing(_: &mut Built, _: &Path) {}

fn layer_file(built: &Built, dir: &Path, index: usize) -> std::path::PathBuf {
    dir.join("blobs/sha256")
        .join(built.layers[index].digest().hex())
}

#[test]
fn a_blob_that_is_not_what_it_is_called_is_refused() {
    needs!(root);
    let flip = |built: &mut Built, dir: &Path| {
        let file = layer_file(built, dir, 1);
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    };
    refused(
        "flipped",
        image("x"),
        flip,
        "what came has the digest sha256:",
    );
    let cut = |built: &mut Built, dir: &Path| {
        let file = layer_file(built, dir, 1);
        let bytes = fs::read(&file).unwrap();
        fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
    };
    refused("cut", image("x"), cut, "bytes, and its descriptor says");
    let gone = |built: &mut Built, dir: &Path| fs::remove_file(layer_file(built, dir, 1)).unwrap();
    refused("gone", image("x"), gone, "has no blob sha256:");
}

#[test]
fn a_document_that_is_not_what_it_is_called_is_refused() {
    needs!(root);
    let manifest = |built: &mut Built, dir: &Path| {
        let file = dir.join("blobs/sha256").join(built.digest().hex());
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text.replacen("schemaVersion", "schemaversion", 1)).unwrap();
    };
    refused("manifest", image("x"), manifest, "what came has the digest");
    let config = |built: &mut Built, dir: &Path| {
        let file = dir.join("blobs/sha256").join(&built.config.0[..64]);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text.replacen("linux", "linuX", 1)).unwrap();
    };
    refused("config", image("x"), config, "what came has the digest");
}

#[test]
fn a_wrong_diff_id_is_refused() {
    needs!(root);
    let wrong = image("x").change("config", |config| {
        config["rootfs"]["diff_ids"][1] = json!(bulkhead::image::Digest::of(b"other"));
    });
    refused("diff-id", wrong, nothing, "and its diff id is sha256:");
}

#[test]
fn a_stream_that_ends_early_is_refused() {
    needs!(root);
    // The blob is what its descriptor says: it was packed so.
    let mut packed = layer("x", &"x".repeat(10_000));
    packed.blob.truncate(packed.blob.len() - 8);
    refused(
        "no-trailer",
        Image::of([packed]),
        nothing,
        "the gzip stream has no trailer",
    );
    let mut packed = Packed::new(Packing::Zstd, layer("x", "x").tar);
    packed.blob.truncate(packed.blob.len() - 4);
    refused(
        "zstd-cut",
        Image::of([packed]),
        nothing,
        "the zstd stream is cut short",
    );
    let mut packed = Packed::new(Packing::Plain, layer("x", "x").tar);
    packed.blob.truncate(1000);
    packed.tar.truncate(1000);
    refused("tar-cut", Image::of([packed]), nothing, "cut short");
}

#[test]
fn a_size_that_is_a_lie_is_refused() {
    needs!(root);
    for (name, size, said) in [
        (
            "larger",
            json!(1 << 20),
            "bytes, and its descriptor says 1048576",
        ),
        ("smaller", json!(10), "bytes, and its descriptor says 10"),
        (
            "negative",
            json!(-1),
            "layers[0].size: -1 is not a number of bytes",
        ),
        (
            "fraction",
            json!(1.5),
            "layers[0].size: 1.5 is not a number of bytes",
        ),
    ] {
        let lie = image("x").change("manifest", move |m| m["layers"][0]["size"] = size);
        refused(name, lie, nothing, said);
    }
}

#[test]
fn a_document_that_could_be_two_things_is_refused() {
    needs!(root);
    let both = image("x").change("manifest", |m| m["manifests"] = json!([]));
    refused(
        "ambiguous",
        both,
        nothing,
        "the document is ambiguous: it calls itself a manifest",
    );
    let other = image("x").change("manifest", |m| {
        m["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
    });
    refused("other-type", other, nothing, "the document calls itself");
    let both = image("x").change("index", |index| index["layers"] = json!([]));
    refused("ambiguous-index", both, nothing, "ambiguous");
}

#[test]
fn media_types_that_are_unknown_are_refused() {
    needs!(root);
    for (name, pointer, media_type, said) in [
        (
            "layer-type",
            "/layers/0/mediaType",
            "application/zip",
            "no media type of a layer",
        ),
        (
            "config-type",
            "/config/mediaType",
            "application/json",
            "no media type of an image's config",
        ),
        (
            "foreign",
            "/layers/0/mediaType",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "not supported",
        ),
    ] {
        let wrong = image("x").change("manifest", move |manifest| {
            *manifest.pointer_mut(pointer).unwrap() = media_type.into();
        });
        refused(name, wrong, nothing, said);
    }
    let wrong = image("x").change("index", |index| {
        index["manifests"][0]["mediaType"] = "text/plain".into();
    });
    refused(
        "root-type",
        wrong,
        nothing,
        "no media type of a manifest or an index",
    );
}

#[test]
fn diff_ids_that_do_not_match_the_layers_are_refused() {
    needs!(root);
    for count in [0_usize, 1, 3] {
        let wrong = image("x").change("config", move |config| {
            let digest = bulkhead::image::Digest::of(b"x");
            config["rootfs"]["diff_ids"] = json!(vec![digest; count]);
        });
        let said = format!("rootfs.diff_ids: {count}, where the manifest has 2 layers");
        refused("diff-ids", wrong, nothing, &said);
    }
    let none = image("x").change("manifest", |m| m["layers"] = json!([]));
    refused("no-layers", none, nothing, "layers: there is none");
}

#[test]
fn a_document_over_four_mebibytes_is_refused() {
    needs!(root);
    let large = image("x").change("manifest", |manifest| {
        manifest["annotations"] = json!({"x": "x".repeat(5 << 20)});
    });
    refused("large", large, nothing, "4194304 at most are read");
    let large = image("x").change("index", |index| {
        index["annotations"] = json!({"x": "x".repeat(5 << 20)});
    });
    refused(
        "large-index",
        large,
        nothing,
        "a document has 4194304 bytes at most",
    );
}

#[test]
fn a_blob_that_is_no_file_is_refused_and_not_waited_for() {
    needs!(root);
    let replace = |with: fn(&Path)| {
        move |built: &mut Built, dir: &Path| {
            let file = layer_file(built, dir, 1);
            fs::remove_file(&file).unwrap();
            with(&file);
        }
    };
    let fifo = replace(|at| nix::unistd::mkfifo(at, nix::sys::stat::Mode::S_IRWXU).unwrap());
    refused("fifo", image("x"), fifo, "not a plain file of this layout");
    let link = replace(|at| std::os::unix::fs::symlink("/etc/passwd", at).unwrap());
    refused("link", image("x"), link, "not a plain file of this layout");
    let directory = replace(|at| fs::create_dir(at).unwrap());
    refused(
        "directory",
        image("x"),
        directory,
        "not a plain file of this layout",
    );
    let zero = replace(|at| {
        let mode = nix::sys::stat::Mode::S_IRWXU;
        let device = nix::sys::stat::makedev(1, 5);
        nix::sys::stat::mknod(at, nix::sys::stat::SFlag::S_IFCHR, mode, device).unwrap();
    });
    refused(
        "device",
        image("x"),
        zero,
        "not a plain file of this layout",
    );
    let above = |_: &mut Built, dir: &Path| {
        fs::rename(dir.join("blobs"), dir.join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", dir.join("blobs")).unwrap();
    };
    refused(
        "linked",
        image("x"),
        above,
        "not a plain file of this layout",
    );
}

#[test]
fn a_directory_that_is_no_layout_is_refused() {
    needs!(root);
    let without = |name: &'static str| {
        move |_: &mut Built, dir: &Path| fs::remove_file(dir.join(name)).unwrap()
    };
    refused(
        "no-mark",
        image("x"),
        without("oci-layout"),
        "oci-layout: open: no such file",
    );
    refused(
        "no-index",
        image("x"),
        without("index.json"),
        "index.json: open: no such file",
    );
    let version = |_: &mut Built, dir: &Path| {
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    };
    refused(
        "version",
        image("x"),
        version,
        "only layouts of version 1 are read",
    );
    let empty = image("x").change("index", |index| index["manifests"] = json!([]));
    refused("empty", empty, nothing, "it has no image");
}

#[test]
fn a_layer_that_is_too_large_is_refused() {
    needs!(root);
    let ground = Ground::new("max-size");
    let place = ground.layout("large", Image::of([layer("x", &"x".repeat(100_000))]));
    ground.store();
    let before = ground.snapshot();
    ground
        .call(&["load", "--max-size", "64k", &place])
        .failed_with("more than 65536 bytes (--max-size)");
    assert_eq!(ground.snapshot(), before);
    ground
        .call(&["load", "-q", "--max-size", "1m", &place])
        .succeeded();
}
