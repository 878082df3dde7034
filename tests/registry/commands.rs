//! `bulkhead image pull` at registries.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use bulkhead::image::documents::Descriptor;
use serde_json::Value;

use crate::daemon::{Certificates, Daemon};
use crate::harness::needs;
use crate::images::Built;
use crate::images_at::{REPOSITORY, image, large_layer, serve, serve_range};
use crate::logins::{ME, ME_ENCODED};
use crate::program::{Outcome, Program, message, outcome};
use crate::server::{Reply, Server, Then};

fn pull(
    program: &Program,
    host: &str,
    options: &[&str],
    change: impl FnOnce(&mut Command),
) -> Outcome {
    let mut command = program.command();
    command
        .env("HOME", program.path("home"))
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
        .args(["image", "pull", "--store"])
        .arg(program.path("store"))
        .args(options);
    command.arg(format!("{host}/{REPOSITORY}:1"));
    change(&mut command);
    outcome(&mut command)
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The store has each blob of the image, as another program reads it.
#[track_caller]
fn holds(program: &Program, built: &Built) {
    for (hex, bytes) in &built.blobs {
        let blob = fs::read(program.path("store").join("blobs/sha256").join(hex)).unwrap();
        assert!(blob == *bytes, "{hex}");
    }
}

#[test]
fn a_pull_takes_the_login_that_docker_left() {
    needs!(root, docker_registry, skopeo);
    let daemon = Daemon::with_user(ME);
    let host = daemon.host();
    daemon.push(&image(), &["--dest-creds", "me:secret"]);
    let program = Program::new();
    let refused = pull(&program, &host, &["--quiet"], |_| {});
    assert_eq!(refused.code, 1);
    assert!(
        refused
            .err
            .contains("it wants credentials, and there are none for it"),
        "{}",
        refused.err
    );

    let auths = format!(r#"{{"auths": {{"{host}": {{"auth": "{ME_ENCODED}"}}}}}}"#);
    write(&program.path("home/.docker/config.json"), &auths);
    let pulled = pull(&program, &host, &["--quiet"], |_| {});
    assert_eq!((pulled.code, pulled.err.as_str()), (0, ""));
    assert_eq!(pulled.out, format!("{host}/{REPOSITORY}:1\n"));
    holds(&program, &image());
    // All of it is there: no layer is fetched again.
    let again = pull(&program, &host, &["--format", "json"], |_| {});
    assert!(!again.out.contains("\"fetching\""), "{}", again.out);
}

#[test]
fn a_credential_helper_is_asked_by_its_name() {
    needs!(root, docker_registry, skopeo);
    let daemon = Daemon::with_user(ME);
    let host = daemon.host();
    daemon.push(&image(), &["--dest-creds", "me:secret"]);
    let program = Program::new();
    write(
        &program.path("home/.docker/config.json"),
        &format!(r#"{{"credHelpers": {{"{host}": "of-the-test"}}}}"#),
    );
    let helper = program.path("bin/docker-credential-of-the-test");
    let path = format!("{}:/usr/bin:/bin", program.path("bin").display());
    let missing = pull(&program, &host, &["-q"], |command| {
        command.env("PATH", &path);
    });
    assert!(
        missing
            .err
            .contains("credential helper docker-credential-of-the-test: No such file"),
        "{}",
        missing.err
    );

    write(
        &helper,
        &format!(
            "#!/bin/sh\n[ \"$1 $(cat)\" = 'get {host}' ] && echo '{{\"Username\": \"me\", \"Secret\": \"secret\"}}'\n"
        ),
    );
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let pulled = pull(&program, &host, &["-q"], |command| {
        command.env("PATH", &path);
    });
    assert_eq!((pulled.code, pulled.err.as_str()), (0, ""));
    holds(&program, &image());

    write(&helper, "#!/bin/sh\necho 'the keyring is locked'; exit 1\n");
    let failed = pull(&program, &host, &["-q"], |command| {
        command.env("PATH", &path);
    });
    assert!(
        failed.err.contains("exit status: 1: the keyring is locked"),
        "{}",
        failed.err
    );
}

#[test]
fn a_registry_may_be_insecure_by_a_flag_or_a_file() {
    needs!(root, docker_registry, skopeo, openssl);
    let certificates = Certificates::new();
    let (certificate, key) = (
        certificates.path("server.crt"),
        certificates.path("server.key"),
    );
    let daemon = Daemon::start(Value::Null, Some((&certificate, &key)));
    daemon.push(&image(), &[]);
    let host = daemon.host();

    let program = Program::new();
    assert_eq!(pull(&program, &host, &["-q"], |_| {}).code, 1);
    assert_eq!(
        pull(&program, &host, &["-q", "--tls-verify=false"], |_| {}).code,
        0
    );
    let program = Program::new();
    write(
        &program.path("home/.config/containers/registries.conf"),
        &format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n"),
    );
    assert_eq!(pull(&program, &host, &["-q"], |_| {}).code, 0);
    let program = Program::new();
    let own = program.path("home/.config/containers/certs.d").join(&host);
    fs::create_dir_all(&own).unwrap();
    fs::copy(certificates.path("ca.crt"), own.join("ca.crt")).unwrap();
    assert_eq!(pull(&program, &host, &["-q"], |_| {}).code, 0);
    holds(&program, &image());
}

#[test]
fn a_pull_goes_on_where_a_blob_broke_off() {
    needs!(root);
    let built = image();
    let (Descriptor { digest, .. }, bytes) = large_layer(&built);
    let (served, layer) = (image(), digest.clone());
    let server = Server::start(move |_, request| match request.path.contains(layer.hex()) {
        false => serve(&served, request),
        true if request.range_start().is_none() => {
            Reply::new(200, &bytes[..]).only(150_000, Then::HangUp)
        }
        true => serve_range(&bytes, request),
    });
    let program = Program::new();
    let pulled = pull(&program, &server.host(), &["-q"], |_| {});
    assert_eq!((pulled.code, pulled.err.as_str()), (0, ""));
    holds(&program, &built);
    let ranges: Vec<_> = server
        .seen_of(digest.hex())
        .iter()
        .map(|seen| seen.range_start())
        .collect();
    assert_eq!(ranges, [None, Some(150_000)]);
}

#[test]
fn nothing_of_a_login_is_in_a_log() {
    needs!(root);
    let store = {
        let built = image();
        Server::start(move |_, request| serve(&built, request))
    };
    let (built, elsewhere) = (image(), store.url(""));
    let server = Server::start(move |_, request| match request.header("authorization") {
        None => Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\""),
        Some(_) if request.path.contains("/blobs/") => Reply::new(307, "").header(
            "location",
            format!("{elsewhere}{}?X-Amz-Signature=hidden", request.path),
        ),
        Some(_) => serve(&built, request),
    });
    let program = Program::new();
    let pulled = pull(
        &program,
        &server.host(),
        &["--creds", "me:topsecret"],
        |command| {
            command.env("RUST_LOG", "trace");
        },
    );
    assert_eq!(pulled.code, 0, "{}", pulled.err);
    let mut command = program.command();
    command.args([
        "--debug",
        "--log",
        "log",
        "image",
        "pull",
        "--creds",
        "me:topsecret",
        "--store",
    ]);
    command
        .arg(program.path("other"))
        .arg(format!("{}/{REPOSITORY}:1", server.host()));
    assert_eq!(outcome(&mut command).code, 0);
    let log = fs::read_to_string(program.path("log")).unwrap();
    let told = format!("{}{}{log}", pulled.out, pulled.err);
    for secret in ["topsecret", "bWU6dG9wc2VjcmV0", "hidden"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[test]
fn a_registry_that_nobody_knows_fails_in_one_line() {
    needs!(root);
    let program = Program::new();
    // The jail has no network but its own.
    let failed = pull(&program, "registry.invalid", &["-q"], |_| {});
    assert_eq!((failed.code, failed.out.as_str()), (1, ""));
    assert_eq!(failed.err.lines().count(), 1, "{}", failed.err);
    let said = message(&failed.err);
    assert!(
        said.contains("registry.invalid/team/app:1") && said.contains("look up registry.invalid"),
        "{said}"
    );
}
