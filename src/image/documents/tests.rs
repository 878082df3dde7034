#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
use serde_json::{Value, json};

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn descriptor(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{HEX}"), "size": 10})
}

fn manifest() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media::MANIFEST,
        "config": descriptor(media::CONFIG),
        "layers": [descriptor(media::LAYER_GZIP), descriptor(media::LAYER_ZSTD)],
    })
}

fn config() -> Value {
    let diff_id = format!("sha256:{HEX}");
    json!({
        "os": "linux", "architecture": "amd64",
        "config": {"Env": ["A=b"], "Cmd": null, "ExposedPorts": {"80/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": [diff_id, diff_id]},
    })
}

fn read(media_type: &str, json: &Value) -> Result<Document, Error> {
    Document::read(media_type, json.to_string().as_bytes())
}

#[test]
fn an_image_is_read() {
    let Document::Manifest(manifest) = read(media::MANIFEST, &manifest()).unwrap() else {
        panic!("not a manifest")
    };
    let config = Config::read(config().to_string().as_bytes()).unwrap();
    let layers = manifest.layers(&config).unwrap();
    let found: Vec<_> = layers.iter().map(|layer| layer.compression).collect();
    assert_eq!(found, [Compression::Gzip, Compression::Zstd]);
    assert_eq!(config.platform.to_string(), "linux/amd64");
    assert_eq!(config.process.exposed_ports, ["80/tcp"]);
}

#[test]
fn each_fault_of_a_manifest_has_its_own_words() {
    let size = "layers[1].size: -1 is not a number of bytes";
    type Change = fn(&mut Value);
    let cases: &[(Change, &str)] = &[
        (|m| m["layers"][1]["size"] = json!(-1), size),
        (
            |m| m["layers"][1]["size"] = json!(1.5),
            "layers[1].size: 1.5",
        ),
        (
            |m| m["layers"][0]["size"] = json!(u64::MAX),
            "layers[0].size",
        ),
        (
            |m| m["config"]["digest"] = json!("sha256:12"),
            "config.digest",
        ),
        (
            |m| m["manifests"] = json!([]),
            "ambiguous: it calls itself a manifest",
        ),
        (|m| m["fsLayers"] = json!([]), "ambiguous"),
        (
            |m| m["mediaType"] = json!(media::INDEX),
            "the document calls itself",
        ),
        (|m| m["schemaVersion"] = json!(1), "schemaVersion: 1"),
        (|m| m["layers"] = json!([]), "layers: there is none"),
        (|m| m["layers"] = json!(null), "layers: is not there"),
        (
            |m| m["layers"] = json!(vec![descriptor(media::LAYER); 1001]),
            "1001 are more",
        ),
        (
            |m| m["layers"][1]["mediaType"] = json!("application/x-tar"),
            "layers[1].mediaType: \"application/x-tar\" is no media type of a layer",
        ),
        (
            |m| m["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json"),
            "no media type of an image's config",
        ),
        (
            |m| {
                m["layers"][0]["mediaType"] =
                    json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
            },
            "not supported",
        ),
        (|m| *m = json!([]), "the manifest: "),
    ];
    for (change, said) in cases {
        let mut changed = manifest();
        change(&mut changed);
        let error = read(media::MANIFEST, &changed).unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
    let twice = manifest().to_string().replacen('{', "{\"layers\":[],", 1);
    let error = Document::read(media::MANIFEST, twice.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("duplicate field"), "{error}");
}

#[test]
fn an_index_that_could_be_a_manifest_is_refused() {
    let index = |more: &str| {
        let mut index = json!({"schemaVersion": 2, "manifests": [descriptor(media::MANIFEST)]});
        index[more] = json!([]);
        if more == "config" {
            index[more] = descriptor(media::CONFIG);
        }
        read(media::INDEX, &index)
    };
    assert!(matches!(index("annotations"), Err(Error::Json { .. })));
    for also in ["layers", "config"] {
        let error = index(also).unwrap_err().to_string();
        assert!(error.contains("ambiguous"), "{error}");
    }
    let error = read(media::CONFIG, &manifest()).unwrap_err().to_string();
    assert!(error.contains("no media type of a manifest"), "{error}");
}

#[test]
fn too_few_and_too_many_diff_ids_are_refused() {
    let Document::Manifest(manifest) = read(media::DOCKER_MANIFEST, &{
        let mut manifest = manifest();
        manifest.as_object_mut().unwrap().remove("mediaType");
        manifest
    })
    .unwrap() else {
        panic!("not a manifest")
    };
    for count in [0, 1, 3] {
        let mut config = config();
        config["rootfs"]["diff_ids"] = json!(vec![format!("sha256:{HEX}"); count]);
        let config = Config::read(config.to_string().as_bytes()).unwrap();
        let error = manifest.layers(&config).unwrap_err().to_string();
        let said = format!("rootfs.diff_ids: {count}, where the manifest has 2 layers");
        assert_eq!(error, said);
    }
}

#[test]
fn each_fault_of_a_config_has_its_own_words() {
    type Change = fn(&mut Value);
    let cases: &[(Change, &str)] = &[
        (
            |c| c["config"]["Env"] = json!(["A"]),
            "config.Env: an entry is not NAME=VALUE",
        ),
        (|c| c["config"]["Env"] = json!(["=b"]), "config.Env"),
        (
            |c| c["config"]["Env"] = json!(["A=\0"]),
            "config.Env: a text has a NUL",
        ),
        (
            |c| c["config"]["User"] = json!("a\0"),
            "config.User: a text has a NUL",
        ),
        (
            |c| c["config"]["Cmd"] = json!("sh"),
            "the config: invalid type",
        ),
        (|c| c["rootfs"]["type"] = json!("vm"), "rootfs.type"),
        (
            |c| c["rootfs"]["diff_ids"][1] = json!("x"),
            "rootfs.diff_ids[1]: \"x\" is not a digest",
        ),
        (|c| c["os"] = json!(null), "the config: invalid type"),
    ];
    for (change, said) in cases {
        let mut changed = config();
        change(&mut changed);
        let error = Config::read(changed.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
}

#[test]
fn a_document_over_four_mebibytes_is_not_looked_at() {
    let large = vec![b' '; (4 << 20) + 1];
    let error = Document::read(media::MANIFEST, &large).unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: 4194305, .. }));
    assert!(matches!(Config::read(&large), Err(Error::TooLarge { .. })));
}
