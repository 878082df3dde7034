//! What no other host is to learn, whatever a registry or a file says.

use bulkhead::image::source::registry::{Access, Login};
use serde_json::{Value, json};

use crate::daemon::{Certificates, Daemon};
use crate::harness::needs;
use crate::images_at::{REPOSITORY, access, file, image, open, pull, refused, serve};
use crate::logins::{ME_ENCODED, parameter};
use crate::server::{Reply, Server};

fn closed() -> Server {
    Server::start(|_, _| Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\""))
}

fn logins(host: &str) -> String {
    json!({"auths": {host: {"auth": ME_ENCODED}}}).to_string()
}

#[test]
fn where_a_registry_has_moved_to_learns_no_login_for_its_name() {
    let moved = closed();
    let text = format!(
        "[[registry]]\nprefix = \"named.example\"\nlocation = \"{}\"\n",
        moved.host()
    );
    let (_conf, configuration) = file("registries.conf", &text);
    let (_dir, config) = file("config.json", &logins("named.example"));
    let with_file = Access {
        configurations: vec![configuration],
        login_files: vec![config],
        ..access()
    };
    let typed = Access {
        login: Login::parse("me:secret"),
        ..with_file.clone()
    };
    for access in [&with_file, &typed] {
        let error = refused(&open("named.example", access));
        assert!(error.contains("there are none for it"), "{error}");
    }
    let seen = moved.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|r| r.header("authorization").is_none()));

    // A login of its own it is shown.
    let (_own, config) = file("config.json", &logins(&moved.host()));
    let access = Access {
        login_files: vec![config],
        ..with_file
    };
    refused(&open("named.example", &access));
    let shown = moved
        .seen()
        .last()
        .unwrap()
        .header("authorization")
        .map(String::from);
    assert_eq!(shown, Some(format!("Basic {ME_ENCODED}")));
}

#[test]
fn a_token_server_in_the_open_is_not_asked_for_a_registry_that_is_not() {
    needs!(docker_registry, openssl);
    let tokens = Server::start(|_, _| Reply::new(200, r#"{"token":"t"}"#));
    let certificates = Certificates::new();
    let path = |name: &str| certificates.path(name);
    let auth = json!({"token": {
        "realm": tokens.url("/token"), "service": "s", "issuer": "i", "rootcertbundle": path("ca.crt"),
    }});
    let daemon = Daemon::start(auth, Some((&path("server.crt"), &path("server.key"))));
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join(daemon.host());
    std::fs::create_dir(&own).unwrap();
    std::fs::copy(path("ca.crt"), own.join("ca.crt")).unwrap();
    let mut access = access();
    access.certificates = vec![folder.path().into()];
    access.login = Login::parse("me:secret");
    let error = refused(&open(&daemon.host(), &access));
    let expected = format!(
        "token server: {} is not encrypted, and the registry is",
        tokens.url("/token")
    );
    assert!(error.ends_with(&expected), "{error}");
    assert!(tokens.seen().is_empty());

    // Who calls the registry insecure has asked for it.
    access.insecure = true;
    refused(&open(&daemon.host(), &access));
    assert_eq!(tokens.seen().len(), 1);
}

#[test]
fn an_insecure_registry_makes_no_other_host_insecure() {
    needs!(docker_registry, openssl);
    let certificates = Certificates::new();
    let path = |name: &str| certificates.path(name);
    let tokens = Daemon::start(
        Value::Null,
        Some((&path("server.crt"), &path("server.key"))),
    );
    let registry_with = |realm: String| {
        Server::start(move |_, _| {
            Reply::new(401, "").header("www-authenticate", format!("Bearer realm=\"{realm}\""))
        })
    };
    let refused_by = |realm: String, setting: &str| {
        let registry = registry_with(realm);
        let text = format!(
            "[[registry]]\nlocation = \"{}\"\n{setting}\n",
            registry.host()
        );
        let (_conf, configuration) = file("registries.conf", &text);
        let mut access = access();
        access.configurations = vec![configuration];
        access.login = Login::parse("me:secret");
        refused(&open(&registry.host(), &access))
    };
    let elsewhere = format!("https://localhost:{}/token", tokens.port);
    let error = refused_by(elsewhere, "insecure = true");
    assert!(error.contains("TLS: invalid peer certificate"), "{error}");
    let error = refused_by("http://192.0.2.1/token".into(), "insecure = true");
    assert!(
        error.contains("http://192.0.2.1/token is not encrypted"),
        "{error}"
    );
    // On the same host it is what was called insecure.
    let own = format!("https://{}/token", tokens.host());
    let error = refused_by(own.clone(), "insecure = true");
    assert!(error.contains("token server: https://127.0.0.1"), "{error}");
    let error = refused_by(own, "insecure = false");
    assert!(error.contains("TLS: invalid peer certificate"), "{error}");
}

#[test]
fn a_token_is_asked_for_the_image_and_nothing_else() {
    let tokens = Server::start(|_, _| Reply::new(200, r#"{"token":"t"}"#));
    let realm = tokens.url("/token");
    let built = image();
    let server = Server::start(move |_, request| match request.header("authorization") {
        Some("Bearer t") => serve(&built, request),
        _ => Reply::new(401, "").header(
            "www-authenticate",
            format!(
                "Bearer realm=\"{realm}\",service=\"s\",scope=\"repository:other/secret:pull,push\""
            ),
        ),
    });
    pull(&open(&server.host(), &access()), &image());
    let seen = tokens.seen();
    assert_eq!(seen.len(), 1);
    let scope = parameter(&seen[0], "scope");
    assert_eq!(scope, Some(format!("repository:{REPOSITORY}:pull")));
    assert!(!seen[0].path.contains("secret"), "{}", seen[0].path);
}
