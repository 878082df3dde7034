//! Damage is found and named.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::ground::{Ground, image};
use crate::harness::needs;
use crate::images::{Entry, Image, Packed};

#[test]
fn each_damage_is_named_and_mended_by_another_load() {
    needs!(root);
    let ground = Ground::new("damage");
    let name = ground.load("one", image("one"));
    let top = ground.top(&name);
    let store = ground.store();
    let layers = store.image_layers(&store.resolve(&name).unwrap()).unwrap();
    let blob = ground
        .store_path()
        .join("blobs/sha256")
        .join(layers[1].blob.digest.hex());
    type Damage<'a> = (&'a dyn Fn(), &'a str);
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let time = fs::metadata(path).unwrap().modified().unwrap();
        fs::write(path, bytes).unwrap();
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    };
    let damages: &[Damage<'_>] = &[
        (&|| flip(&blob), "its digest is sha256:"),
        (&|| fs::remove_file(&blob).unwrap(), "the blob is not there"),
        (
            &|| flip(&top.join("etc/one")),
            "\"./etc/one\": its content is another",
        ),
        (
            &|| {
                let mode = fs::Permissions::from_mode(0o4755);
                fs::set_permissions(top.join("etc/one"), mode).unwrap();
            },
            "\"./etc/one\": its mode is another",
        ),
        (
            &|| fs::remove_dir_all(top.parent().unwrap()).unwrap(),
            "the layer is not unpacked",
        ),
    ];
    for (damage, said) in damages {
        ground.verifies();
        damage();
        let failed = ground.call(&["verify"]).failed_with("are damaged");
        assert!(failed.stdout.contains(said), "{said}: {}", failed.stdout);
        ground.call(&["rm", &name]).succeeded();
        ground.call(&["load", "-q", "oci:one"]).succeeded();
    }
    let report = ground
        .call(&["verify", "--format", "json"])
        .succeeded()
        .stdout;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (report["blobs"].as_u64(), report["layers"].as_u64()),
        (Some(4), Some(2))
    );
}

#[test]
fn a_damaged_image_does_not_hide_the_others() {
    needs!(root);
    let ground = Ground::new("hidden");
    let [bad, good] = ["bad", "good"].map(|word| ground.load(word, image(word)));
    let digest = ground.store().resolve(&bad).unwrap().manifest.digest;
    let manifest = ground.store_path().join("blobs/sha256").join(digest.hex());
    fs::write(&manifest, "{}").unwrap();
    let list = ground.call(&["ls", "--format", "json"]).succeeded();
    assert!(list.stdout.contains(&good) && !list.stdout.contains(&bad));
    assert!(list.stderr.contains("is damaged"), "{}", list.stderr);
    let id = ground.list()[0]["id"].as_str().unwrap().to_owned();
    ground.call(&["inspect", &id[7..19]]).succeeded();
    ground.call(&["verify"]).failed_with("are damaged");
    // What it needs is not known, so nothing goes but by its own name.
    ground.call(&["prune"]).failed_with("descriptor says");
    ground.call(&["rm", &bad]).succeeded();
    ground.call(&["prune"]).succeeded();
    ground.verifies();
    assert_eq!(ground.names(), [good]);
}

#[test]
fn what_layers_remove_and_share_verifies() {
    needs!(root);
    let ground = Ground::new("whiteouts");
    let below = Packed::gzip([
        Entry::dir("a/"),
        Entry::file("a/gone", "x"),
        Entry::dir("b/").mode(0o750).owner(3, 4),
        Entry::file("b/old", "x"),
    ]);
    let above = Packed::gzip([
        Entry::file("a/.wh.gone", ""),
        Entry::dir("a/new/"),
        Entry::file("a/new/.wh..wh..opq", ""),
        Entry::hardlink("a/link", "b/old"),
    ]);
    ground.load("one", Image::of([below, above]));
    ground.verifies();
}

#[test]
fn a_document_that_was_changed_on_disk_is_believed_by_nobody() {
    needs!(root);
    let ground = Ground::new("document");
    let name = ground.load("one", image("one"));
    let store = ground.store();
    let found = store.resolve(&name).unwrap();
    let id = store.manifest(&found).unwrap().config.digest;
    let path = ground.store_path().join("blobs/sha256").join(id.hex());
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("amd64"), "{text}");
    fs::write(&path, text.replace("amd64", "arm64")).unwrap();
    ground
        .call(&["inspect", &name])
        .failed_with("has changed it");
    ground.call(&["rm", &name]).succeeded();
    ground.call(&["load", "-q", "oci:one"]).succeeded();
    ground.call(&["inspect", &name]).succeeded();
}
