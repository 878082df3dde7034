#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
use std::fs;

use serde_json::json;

use super::*;
use crate::image::documents::{Descriptor, media};
use crate::image::{Digest, Platform, Reference};
use crate::spec::Id;

/// An image of one layer that is its own name, as a writer makes it.
fn put(store: &Store, name: &str, scratch: &Scratch) -> Image {
    let layer = name.as_bytes();
    let (blob, diff_id) = (Descriptor::of(media::LAYER, layer), Digest::of(layer));
    let config = json!({
        "os": "linux", "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let config = config.to_string();
    let config_blob = Descriptor::of(media::CONFIG, config.as_bytes());
    let manifest = json!({"schemaVersion": 2, "config": config_blob, "layers": [blob]});
    let manifest = manifest.to_string();
    let manifest_blob = Descriptor::of(media::MANIFEST, manifest.as_bytes());
    let mut work = Work::default();
    for (descriptor, bytes) in [
        (&blob, layer),
        (&config_blob, config.as_bytes()),
        (&manifest_blob, manifest.as_bytes()),
    ] {
        scratch.put_blob(&descriptor.digest, bytes).unwrap();
        work.blobs.push(descriptor.digest.clone());
    }
    scratch.make_layer("layer").unwrap();
    work.layers.push(Made {
        name: "layer".into(),
        record: LayerRecord {
            diff_id,
            chain_id: None,
            entries: 0,
            bytes: 7,
        },
    });
    let image = Image {
        name: Some(Reference::parse(name).unwrap().to_string()),
        chosen_from: manifest_blob.digest.clone(),
        manifest: manifest_blob,
        platform: Platform::parse("linux/amd64").unwrap(),
    };
    let using = store.using().unwrap();
    store
        .commit(&using, scratch, &work, std::slice::from_ref(&image))
        .unwrap();
    image
}

fn new() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

fn scratch(store: &Store) -> Scratch {
    store.scratch(&store.using().unwrap()).unwrap()
}

#[test]
fn an_image_has_its_name_its_layers_and_its_blobs() {
    let (_dir, store) = new();
    let image = put(&store, "a", &scratch(&store));
    let reference = Reference::parse("a:latest").unwrap();
    assert_eq!(store.find(&reference).unwrap().unwrap(), image);
    assert!(store.layers(&image).unwrap()[0].is_dir());
    let id = store.manifest(&image).unwrap().config.digest;
    for text in [
        "a",
        &id.hex()[..4],
        &id.to_string(),
        image.manifest.digest.hex(),
    ] {
        assert_eq!(store.resolve(text).unwrap(), image, "{text}");
    }
    assert!(matches!(store.resolve("b"), Err(Error::NoImage(_))));
    let pinned = format!("a@{}", image.manifest.digest);
    assert_eq!(store.resolve(&pinned).unwrap(), image);
    assert_eq!(fs::read_dir(store.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn what_nothing_refers_to_goes_and_the_rest_stays() {
    let (_dir, store) = new();
    let (a, b) = (
        put(&store, "a", &scratch(&store)),
        put(&store, "b", &scratch(&store)),
    );
    store.tag(&a, &Reference::parse("c").unwrap()).unwrap();
    assert_eq!(store.remove(&a).unwrap(), Freed::default());
    let c = store.resolve("c").unwrap();
    let freed = store.remove(&c).unwrap();
    assert_eq!((freed.blobs, freed.layers), (3, 1));
    assert!(freed.bytes > 7);
    assert!(store.layers(&b).unwrap()[0].is_dir());
    assert!(store.open_blob(&a.manifest).is_err());
}

#[test]
fn what_a_container_holds_stays_without_its_image() {
    let (dir, store) = new();
    let image = put(&store, "a", &scratch(&store));
    let layer = store.layers(&image).unwrap().remove(0);
    let id = Id::new("web").unwrap();
    let state = dir.path().join("state");
    let using = store.using().unwrap();
    let container = store.make_container(&using, &id, &image, &state).unwrap();
    let again = store.make_container(&using, &id, &image, &state);
    assert!(matches!(again, Err(Error::ContainerExists(_))));
    drop(using);
    assert_eq!(store.users(&image).unwrap(), ["web"]);

    // Locked, then with a record, and then with neither.
    store.remove(&image).unwrap();
    store.prune(&store.alone().unwrap()).unwrap();
    assert!(layer.is_dir());
    fs::create_dir_all(state.join("web")).unwrap();
    drop(container);
    store.prune(&store.alone().unwrap()).unwrap();
    assert!(layer.is_dir());
    fs::remove_dir(state.join("web")).unwrap();
    let freed = store.prune(&store.alone().unwrap()).unwrap();
    assert_eq!(freed.containers, ["web"]);
    assert!(!layer.exists());
}

#[test]
fn only_what_dead_writers_left_is_removed() {
    let (_dir, store) = new();
    let living = scratch(&store);
    living.put_blob(&Digest::of(b"x"), b"x").unwrap();
    let dead = store.path().join("tmp/1-0");
    fs::create_dir_all(dead.join("layer/tree")).unwrap();
    drop(scratch(&store));
    assert!(!dead.exists());
    assert!(living.path().is_dir());
    put(&store, "a", &living);
    assert!(store.resolve("a").is_ok());
}

#[test]
fn nothing_is_removed_while_somebody_adds() {
    let (_dir, store) = new();
    let image = put(&store, "a", &scratch(&store));
    let using = store.using().unwrap();
    assert!(store.try_alone().unwrap().is_none());
    store.remove(&image).unwrap();
    assert!(store.open_blob(&image.manifest).is_ok());
    drop(using);
    let freed = store.prune(&store.alone().unwrap()).unwrap();
    assert_eq!((freed.blobs, freed.layers), (3, 1));
}

#[test]
fn others_may_not_look_into_a_store() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, store) = new();
    let mode = fs::metadata(store.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

fn container_of(store: &Store, image: &Image, id: &Id) -> Container {
    let using = store.using().unwrap();
    let state = store.path().join("../state");
    store.make_container(&using, id, image, &state).unwrap()
}

#[test]
fn a_container_that_several_remove_at_once_is_removed_once() {
    let (_dir, store) = new();
    let image = put(&store, "a", &scratch(&store));
    let id = Id::new("one").unwrap();
    for _ in 0..5 {
        let made = container_of(&store, &image, &id);
        for number in 0..500 {
            fs::create_dir_all(made.path().join(format!("upper/{number}/a"))).unwrap();
        }
        std::thread::scope(|scope| {
            let all = [(); 4].map(|()| scope.spawn(|| store.remove_container(&id)));
            for one in all {
                one.join().unwrap().unwrap();
            }
        });
        assert!(!made.path().exists());
    }
}

#[test]
fn a_container_is_not_discarded_by_its_name_alone() {
    let (_dir, store) = new();
    let image = put(&store, "a", &scratch(&store));
    let id = Id::new("one").unwrap();
    let made = container_of(&store, &image, &id);
    store.remove_container(&id).unwrap();
    let other = container_of(&store, &image, &id);
    store.discard(&id, &made).unwrap();
    assert_eq!(store.holds().unwrap().len(), 1);
    store.discard(&id, &other).unwrap();
    assert!(store.holds().unwrap().is_empty());
}

#[test]
fn a_hold_that_cannot_be_read_holds_nothing_up() {
    let (_dir, store) = new();
    let image = put(&store, "a", &scratch(&store));
    let names: Vec<_> = ["", "{\"image\":", "{}", "\0\0\0"]
        .into_iter()
        .zip(0..)
        .collect();
    for (text, number) in &names {
        let made = container_of(&store, &image, &Id::new(&format!("c{number}")).unwrap());
        fs::write(made.path().join("hold.json"), text).unwrap();
        fs::write(made.path().join("hold.json.new"), "{").unwrap();
    }
    store.remove(&image).unwrap();
    let freed = store.prune(&store.alone().unwrap()).unwrap();
    assert_eq!(freed.containers.len(), names.len());
    assert!(store.holds().unwrap().is_empty());
}
