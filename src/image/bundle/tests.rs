#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use super::*;
use crate::spec;

fn config(process: Value) -> Config {
    let digest = format!("sha256:{}", "0".repeat(64));
    let json = json!({
        "os": "linux", "architecture": "arm64", "author": "somebody",
        "rootfs": { "type": "layers", "diff_ids": [digest] }, "config": process,
    });
    Config::read(json.to_string().as_bytes()).unwrap()
}

fn users() -> Users {
    Users {
        passwd: "root:x:0:0::/root:\nweb:x:33:34::/var/www:\n".into(),
        group: "tape:x:26:web\n".into(),
    }
}

fn made(process: Value, settings: &Settings) -> Value {
    document(&config(process), &users(), settings).unwrap()
}

#[test]
fn the_document_is_one_that_any_runtime_takes() {
    let image = json!({
        "Entrypoint": ["/bin/app"], "Cmd": ["serve"], "Env": ["PATH=/bin", "A=1"], "User": "web",
        "WorkingDir": "srv/../app", "StopSignal": "SIGQUIT", "ExposedPorts": { "80/tcp": {}, "53/udp": {} },
        "Labels": { "a": "b" },
    });
    let document = made(image, &Settings::default());
    let process = &document["process"];
    assert_eq!(process["args"], json!(["/bin/app", "serve"]));
    assert_eq!(process["env"], json!(["PATH=/bin", "HOME=/var/www", "A=1"]));
    assert_eq!(process["cwd"], "/app");
    let user = json!({ "uid": 33, "gid": 34, "additionalGids": [26, 34] });
    assert_eq!(process["user"], user);
    assert_eq!(
        process["capabilities"]["permitted"]
            .as_array()
            .unwrap()
            .len(),
        CAPABILITIES.len()
    );
    let known = json!({
        "a": "b",
        "org.opencontainers.image.architecture": "arm64",
        "org.opencontainers.image.author": "somebody",
        "org.opencontainers.image.exposedPorts": "53/udp,80/tcp",
        "org.opencontainers.image.os": "linux",
        "org.opencontainers.image.stopSignal": "SIGQUIT",
    });
    assert_eq!(document["annotations"], known);

    let bundle = tempfile::tempdir().unwrap();
    std::fs::create_dir(bundle.path().join("rootfs")).unwrap();
    let container = spec::parse(document.to_string().as_bytes(), bundle.path()).unwrap();
    assert!(container.seccomp.is_some());
}

#[test]
fn the_caller_has_the_last_word() {
    let image =
        json!({ "Entrypoint": ["a"], "Cmd": ["b"], "Env": ["X=1", "Y=1"], "WorkingDir": "/i" });
    let words = |list: &[&str]| {
        list.iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    for (entrypoint, args, wanted) in [
        (None, &[][..], &["a", "b"][..]),
        (None, &["c"], &["a", "c"]),
        (Some(&["d"][..]), &[], &["d"]),
        (Some(&["d"]), &["c"], &["d", "c"]),
        (Some(&[]), &["c"], &["c"]),
    ] {
        let settings = Settings {
            entrypoint: entrypoint.map(words),
            args: words(args),
            ..Settings::default()
        };
        assert_eq!(
            made(image.clone(), &settings)["process"]["args"],
            json!(wanted)
        );
    }
    let settings = Settings {
        env: words(&["Y=2", "Z=3", "Z=4"]),
        cwd: Some("/w".into()),
        hostname: Some("box".into()),
        user: Some("7:8".into()),
        ..Settings::default()
    };
    let document = made(image, &settings);
    let env = &document["process"]["env"];
    assert_eq!(
        *env,
        json!([PATH, "HOME=/", "HOSTNAME=box", "X=1", "Y=2", "Z=4"])
    );
    assert_eq!(document["process"]["cwd"], "/w");
    assert_eq!(
        document["process"]["user"],
        json!({ "uid": 7, "gid": 8, "additionalGids": [8] })
    );
    assert_eq!(document["hostname"], "box");
}

#[test]
fn an_image_without_a_program_is_not_run() {
    let error = document(&config(json!({})), &users(), &Settings::default()).unwrap_err();
    assert_eq!(error, Error::NoProgram);
}

#[test]
fn labels_that_a_runtime_would_act_upon_are_left_out() {
    let labels: Map<String, Value> = RESERVED
        .iter()
        .map(|prefix| (format!("{prefix}x"), "/etc".into()))
        .collect();
    let image = json!({ "Cmd": ["x"], "Labels": labels });
    let document = made(image, &Settings::default());
    let kept = document["annotations"].as_object().unwrap();
    assert!(
        kept.keys()
            .all(|key| key.starts_with("org.opencontainers.image.")),
        "{kept:?}"
    );
    assert!(!is_reserved("org.opencontainers.image.title") && is_reserved(""));
}

#[test]
fn a_volume_stays_inside_and_can_be_written_to_under_a_read_only_root() {
    let image = json!({ "Cmd": ["x"], "Volumes": { "/../../etc/x": {}, "data": {}, "/": {}, "/own": {},
            "/dev": {}, "/proc/sys": {}, "/device": {} } });
    let mut settings = Settings {
        mounts: vec![json!({ "destination": "/own", "type": "tmpfs", "source": "tmpfs" })],
        ..Settings::default()
    };
    let targets = |settings: &Settings| -> Vec<String> {
        let mounts = made(image.clone(), settings)["mounts"].clone();
        let after = mounts.as_array().unwrap()[7..].iter();
        after
            .map(|mount| mount["destination"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(targets(&settings), ["/own"]);
    settings.read_only = true;
    assert_eq!(targets(&settings), ["/device", "/data", "/own", "/etc/x"]);
}

#[test]
fn what_is_mounted_in_another_comes_after_it() {
    let mount = |at: &str| json!({ "destination": at, "type": "tmpfs", "source": "tmpfs" });
    let settings = Settings {
        mounts: ["/etc/hosts", "/x/y/z", "/etc", "/x/y", "/", "/x"]
            .map(mount)
            .into(),
        ..Settings::default()
    };
    let mounts = made(json!({ "Cmd": ["x"] }), &settings)["mounts"].clone();
    let after = mounts.as_array().unwrap()[7..].iter();
    let targets: Vec<_> = after
        .map(|mount| mount["destination"].as_str().unwrap())
        .collect();
    assert_eq!(targets, ["/", "/etc", "/x", "/etc/hosts", "/x/y", "/x/y/z"]);
}

#[test]
fn a_name_alone_takes_a_variable_away() {
    let image = json!({ "Cmd": ["x"], "Env": ["A=1", "B=2"] });
    let settings = Settings {
        env: ["A", "C", "B=3", "HOME"].map(str::to_owned).into(),
        ..Settings::default()
    };
    assert_eq!(
        made(image, &settings)["process"]["env"],
        json!([PATH, "B=3"])
    );
}

#[test]
fn a_user_namespace_has_no_terminals_of_a_group_it_lacks() {
    let one = |host| IdMap {
        container: 0,
        host,
        size: 1,
    };
    let maps = IdMaps {
        uids: vec![one(1000)],
        gids: vec![one(1000)],
    };
    let settings = Settings {
        id_maps: Some(maps),
        network: Network::Host,
        ..Settings::default()
    };
    let document = made(json!({ "Cmd": ["x"] }), &settings);
    assert!(!document["mounts"].to_string().contains("gid=5"));
    assert!(!document["mounts"].to_string().contains("sysfs"));
    let kinds = document["linux"]["namespaces"].to_string();
    assert!(
        kinds.contains("user") && !kinds.contains("network"),
        "{kinds}"
    );
    let map = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
    assert_eq!(document["linux"]["uidMappings"], map);
}
