//! Other programs read what we write, and we what they write.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::ground::{Ground, image};
use crate::harness::needs;

#[track_caller]
fn ran(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn skopeo(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("skopeo");
    // What it writes beside is in the test's own folder.
    command.arg("--insecure-policy").arg("--tmpdir").arg(dir);
    ran(command.args(args).current_dir(dir).env("HOME", dir))
}

#[test]
fn skopeo_reads_the_store() {
    needs!(root, skopeo);
    let ground = Ground::new("skopeo-store");
    let name = ground.load("one", image("one").tag(Some("1")));
    ground.call(&["tag", &name, "quay.io/a/b:c"]).succeeded();
    let digest = ground.list()[0]["digest"].clone();
    for name in [&name, "quay.io/a/b:c"] {
        let shown = skopeo(&ground.dir, &["inspect", &format!("oci:store:{name}")]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["Digest"], digest);
        assert_eq!(shown["Layers"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn what_is_saved_is_read_by_skopeo_and_by_us() {
    needs!(root, skopeo);
    let ground = Ground::new("saved");
    let name = ground.load("one", image("web").tag(Some("1")));
    // skopeo writes a config anew where it makes one form of another.
    let layers = |name: &str| {
        let shown = ground.call(&["inspect", name]).succeeded().stdout;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown[0]["RootFS"].clone()
    };
    let wanted = layers(&name);
    let saves: [&[&str]; 6] = [
        &["save", &name, "oci:out:x"],
        &["save", &name, "oci-archive:out.oci:x"],
        &["save", &name, "docker-archive:out.docker:a/b:c"],
        &["save", "-o", "out.tar", &name],
        &["save", "--format", "oci", "-o", "plain.tar", &name],
        &["save", &name, "oci:out:second"],
    ];
    for save in saves {
        ground.call(save).succeeded();
    }
    let taken = [
        "oci:out:x",
        "oci:out:second",
        "oci-archive:out.oci:x",
        "docker-archive:out.docker:a/b:c",
        "docker-archive:out.tar:localhost/one:1",
        "oci-archive:plain.tar:localhost/one:1",
    ];
    ground.call(&["rm", &name]).succeeded();
    for (number, place) in taken.iter().enumerate() {
        skopeo(
            &ground.dir,
            &["copy", "-q", place, &format!("oci:copy{number}:x")],
        );
        for place in [place, &*format!("oci:copy{number}:x")] {
            ground.call(&["pull", "-q", place]).succeeded();
            let name = ground.names().remove(0);
            assert_eq!(layers(&name), wanted, "{place}");
            assert!(ground.top(&name).join("etc/web").exists());
            ground.call(&["rm", &name]).succeeded();
        }
    }
    for form in ["docker-archive:back.tar:q.io/x:1", "oci-archive:back.oci:x"] {
        skopeo(&ground.dir, &["copy", "-q", "oci:out:x", form]);
        ground.call(&["pull", "-q", form]).succeeded();
        let name = ground.names().remove(0);
        assert_eq!(layers(&name), wanted, "{form}");
        ground.call(&["rm", &name]).succeeded();
    }
    let unpack = ["unpack", "--image", "out:x", "bundle"];
    ran(Command::new("umoci").args(unpack).current_dir(&ground.dir));
    let file = ground.path("bundle/rootfs/etc/web");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "web");
}

#[test]
fn a_save_that_cannot_be_whole_leaves_nothing() {
    needs!(root);
    let ground = Ground::new("unsaved");
    let name = ground.load("one", image("one"));
    let store = ground.store();
    let layers = store.image_layers(&store.resolve(&name).unwrap()).unwrap();
    let blob = ground
        .store_path()
        .join("blobs/sha256")
        .join(layers[1].blob.digest.hex());
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    for place in ["oci-archive:out", "docker-archive:out"] {
        ground
            .call(&["save", &name, place])
            .failed_with("of the store is damaged");
        assert!(!ground.path("out").exists());
    }
    ground
        .call(&["save", &name, "oci:out"])
        .failed_with("of the store is damaged");
    assert!(!ground.path("out/index.json").exists());
    std::fs::create_dir(ground.path("full")).unwrap();
    std::fs::write(ground.path("full/file"), "").unwrap();
    ground
        .call(&["save", &name, "oci:full"])
        .failed_with("neither empty nor an OCI layout");
}

#[test]
fn images_of_a_stream_are_what_they_were() {
    needs!(root);
    let ground = Ground::new("piped");
    let [one, two] = ["one", "two"].map(|word| ground.load(word, image(word)));
    let before = ground.list();
    let saved = ground.path("stream");
    let mut command = ground.command(&["save", &one, &two]);
    let file = std::fs::File::create(&saved).unwrap();
    assert!(command.stdout(file).status().unwrap().success());
    ground.call(&["rm", &one, &two]).succeeded();
    ground.call(&["load", "-q", "-i", "stream"]).succeeded();
    assert_eq!(ground.list(), before);
}
