//! Where images come from: every form gives the same image.

use std::fs::File;
use std::process::Command;

use serde_json::json;

use crate::ground::{Ground, image};
use crate::harness::needs;
use crate::images::{Entry, Image, Packed, Packing, Tarball};

/// Digests of the trees' files below the store, which all forms must come to.
fn is_whole(ground: &Ground, name: &str) {
    let top = ground.top(name);
    assert_eq!(std::fs::read_to_string(top.join("etc/web")).unwrap(), "web");
    ground.verifies();
    ground.call(&["rm", "-f", name]).succeeded();
    ground.call(&["prune"]).succeeded();
}

#[test]
fn every_form_of_an_archive_is_read() {
    needs!(root);
    let ground = Ground::new("forms");
    let built = image("web").build();
    built.write_oci_archive(&ground.path("oci.tar"));
    built.write_docker_archive(&ground.path("docker.tar"));
    built.write_both_archive(&ground.path("both.tar"));
    for (args, name) in [
        (
            &["load", "-q", "oci-archive:oci.tar"][..],
            "localhost/oci:latest",
        ),
        (&["load", "-q", "-i", "oci.tar"], "localhost/oci:latest"),
        (
            &["pull", "-q", "oci-archive:oci.tar:latest"],
            "localhost/oci:latest",
        ),
        (
            &["load", "-q", "docker-archive:docker.tar"],
            "docker.io/library/test:latest",
        ),
        (
            &["load", "-q", "--input", "docker.tar"],
            "docker.io/library/test:latest",
        ),
        (
            &["pull", "-q", "docker-archive:docker.tar:test"],
            "docker.io/library/test:latest",
        ),
        (
            &["load", "-q", "docker-archive:both.tar"],
            "docker.io/library/test:latest",
        ),
        (&["load", "-q", "-i", "both.tar"], "localhost/both:latest"),
    ] {
        assert_eq!(
            ground.call(args).succeeded().stdout.trim(),
            name,
            "{args:?}"
        );
        is_whole(&ground, name);
    }
    let said = "no image is called \"other\" there; there is test:latest";
    ground
        .call(&["pull", "docker-archive:docker.tar:other"])
        .failed_with(said);
    ground
        .call(&["load", "oci-archive:none.tar"])
        .failed_with("none.tar: open: no such file");
    ground
        .call(&["load", "docker.io/x"])
        .failed_with("pull takes it");
}

#[test]
fn a_compressed_archive_and_a_stream_are_read() {
    needs!(root);
    let ground = Ground::new("streams");
    image("web")
        .build()
        .write_docker_archive(&ground.path("a.tar"));
    for packer in ["gzip", "zstd"] {
        let packed = ground.path(&format!("a.tar.{packer}"));
        let status = Command::new(packer)
            .arg("-c")
            .arg(ground.path("a.tar"))
            .stdout(File::create(&packed).unwrap())
            .status();
        assert!(status.unwrap().success());
        let path = packed.to_str().unwrap();
        ground.call(&["load", "-q", "-i", path]).succeeded();
        is_whole(&ground, "test");
    }
    for file in ["a.tar", "a.tar.gzip"] {
        let mut command = ground.command(&["load", "-q"]);
        command.stdin(File::open(ground.path(file)).unwrap());
        ground.finish(command).succeeded();
        is_whole(&ground, "test");
        let mut cat = Command::new("cat")
            .arg(ground.path(file))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut command = ground.command(&["load", "-q", "-i", "-"]);
        command.stdin(cat.stdout.take().unwrap());
        ground.finish(command).succeeded();
        cat.wait().unwrap();
        is_whole(&ground, "test");
    }
}

/// Docker before version 1.10 wrote a layer once, and links to it.
#[test]
fn links_of_old_archives_lead_to_their_layers() {
    needs!(root);
    let ground = Ground::new("linked");
    let layer = Packed::new(
        Packing::Plain,
        Tarball::of([Entry::dir("etc/"), Entry::file("etc/web", "web")]).end(),
    );
    let built = Image::of([layer]).build();
    let manifest =
        json!([{"Config": "c.json", "RepoTags": ["test:latest"], "Layers": ["b/layer.tar"]}]);
    let archive = Tarball::of([
        Entry::file("c.json", &built.config.1),
        Entry::dir("a/"),
        Entry::file("a/layer.tar", &built.layers[0].blob),
        Entry::symlink("b/layer.tar", "../a/layer.tar"),
        Entry::file("manifest.json", manifest.to_string()),
    ]);
    std::fs::write(ground.path("a.tar"), archive.end()).unwrap();
    ground.call(&["load", "-q", "-i", "a.tar"]).succeeded();
    is_whole(&ground, "test");
}

#[test]
fn packed_layers_of_dockers_archives_are_unpacked() {
    needs!(root);
    let ground = Ground::new("packed");
    for packing in Packing::ALL {
        let tar = Tarball::of([Entry::dir("etc/"), Entry::file("etc/web", "web")]).end();
        Image::of([Packed::new(packing, tar)])
            .build()
            .write_docker_archive(&ground.path("a.tar"));
        ground.call(&["load", "-q", "-i", "a.tar"]).succeeded();
        is_whole(&ground, "test");
    }
}

#[test]
fn an_archive_that_is_none_is_refused() {
    needs!(root);
    let ground = Ground::new("bad-archive");
    image("web")
        .build()
        .write_docker_archive(&ground.path("whole.tar"));
    let whole = std::fs::read(ground.path("whole.tar")).unwrap();
    let twice = Tarball::of([
        Entry::file("manifest.json", "[]"),
        Entry::file("./manifest.json", "[]"),
    ]);
    let loop_of = Tarball::of([
        Entry::symlink("manifest.json", "a"),
        Entry::symlink("a", "manifest.json"),
    ]);
    let cases: [(&[u8], &str); 6] = [
        (b"no archive at all", "cut short"),
        (&whole[..whole.len() / 2], "cut short"),
        (&[], "manifest.json: open: no such file"),
        (&twice.end(), "\"manifest.json\" is there twice"),
        (&loop_of.end(), "no such file"),
        (&[0x1f, 0x8b, 8, 0, 0, 0], "unpack: "),
    ];
    ground.store();
    let before = ground.snapshot();
    for (number, (bytes, said)) in cases.iter().enumerate() {
        let name = format!("{number}.tar");
        std::fs::write(ground.path(&name), bytes).unwrap();
        ground.call(&["load", "-i", &name]).failed_with(said);
        assert_eq!(ground.snapshot(), before, "{said}");
    }
}

#[test]
fn the_image_for_the_platform_is_chosen() {
    needs!(root);
    let ground = Ground::new("platforms");
    let of = |architecture: &'static str, variant: &'static str| {
        image(architecture).change("config", move |config| {
            config["architecture"] = architecture.into();
            config["variant"] = variant.into();
        })
    };
    let (arm, other) = (of("arm", "v6").build(), of("s390x", "").build());
    let dir = ground.path("multi");
    arm.write_layout(&dir);
    other.write_layout(&dir);
    let entry = |built: &crate::images::Built, platform: serde_json::Value| {
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": built.digest(),
               "size": built.manifest.len(), "platform": platform})
    };
    let index = json!({"schemaVersion": 2, "manifests": [
        entry(&other, json!({"os": "linux", "architecture": "s390x"})),
        entry(&arm, json!({"os": "linux", "architecture": "arm", "variant": "v6"})),
    ]});
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();

    let said = "there is no image for linux/";
    ground.call(&["pull", "-q", "oci:multi"]).failed_with(said);
    for (platform, taken) in [("linux/arm/v7", "linux/arm/v6"), ("s390x", "linux/s390x")] {
        ground
            .call(&["pull", "-q", "--platform", platform, "oci:multi"])
            .succeeded();
        assert_eq!(ground.list()[0]["platform"], taken);
        assert_eq!(ground.names(), ["localhost/multi:latest"]);
    }
    ground
        .call(&["pull", "--platform", "linux/arm/v5", "oci:multi"])
        .failed_with(said);
    ground
        .call(&["pull", "--platform", "a b", "oci:multi"])
        .failed_with("is not a platform");

    let place = ground.layout("one", of("s390x", ""));
    let said = "the image is for linux/s390x, and not for linux/";
    ground.call(&["pull", &place]).failed_with(said);
    ground
        .call(&["pull", "-q", "--platform", "linux/s390x", &place])
        .succeeded();
}

#[test]
fn all_images_of_a_layout_are_loaded_and_one_is_pulled_by_name() {
    needs!(root);
    let ground = Ground::new("several");
    let dir = ground.path("two");
    let builts = ["a", "b"].map(|word| image(word).tag(Some(word)).build());
    let mut entries = Vec::new();
    for built in &builts {
        built.write_layout(&dir);
        let index: serde_json::Value = serde_json::from_slice(&built.index).unwrap();
        entries.push(index["manifests"][0].clone());
    }
    let index = json!({"schemaVersion": 2, "manifests": entries});
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
    ground
        .call(&["pull", "oci:two"])
        .failed_with("several images: name one of a, b");
    ground
        .call(&["pull", "oci:two:c"])
        .failed_with("no image is called \"c\" there; there is a, b");
    ground.call(&["pull", "-q", "oci:two:b"]).succeeded();
    assert_eq!(ground.names(), ["localhost/two:b"]);
    ground.call(&["load", "-q", "oci:two"]).succeeded();
    assert_eq!(ground.names(), ["localhost/two:a", "localhost/two:b"]);
}
