//! Mirrors, which come before the registry that was named.

use std::net::TcpListener;

use bulkhead::image::source::registry::{Access, Login};

use crate::faults::{ranges, with_layer};
use crate::images_at::{
    access, file, image, manifest, missing, open, pull, refused, serve, serve_range,
};
use crate::server::{Reply, Server, Then};

fn with_mirrors(registry: &str, mirrors: &[&str], access: Access) -> (tempfile::TempDir, Access) {
    let mut text = format!("[[registry]]\nlocation = \"{registry}\"\n");
    for mirror in mirrors {
        text.push_str(&format!("[[registry.mirror]]\nlocation = \"{mirror}\"\n"));
    }
    let (dir, path) = file("registries.conf", &text);
    (
        dir,
        Access {
            configurations: vec!["/nonexistent".into(), path],
            ..access
        },
    )
}

fn whole() -> Server {
    let built = image();
    Server::start(move |_, request| serve(&built, request))
}

#[test]
fn a_mirror_that_has_the_image_is_all_that_is_asked() {
    let (mirror, registry) = (whole(), Server::start(|_, _| missing()));
    let (_dir, access) = with_mirrors(&registry.host(), &[&mirror.host()], access());
    pull(&open(&registry.host(), &access), &image());
    assert_eq!(mirror.seen().len(), 4);
    assert!(registry.seen().is_empty());
}

#[test]
fn where_a_mirror_fails_the_next_is_asked() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let (empty, registry) = (Server::start(|_, _| missing()), whole());
    let (_dir, access) = with_mirrors(&registry.host(), &[&nobody, &empty.host()], access());
    pull(&open(&registry.host(), &access), &image());
    // It was asked once: what follows goes where the image was found.
    assert_eq!(empty.seen().len(), 1);
    assert_eq!(registry.seen().len(), 4);
}

#[test]
fn a_mirror_learns_nothing_that_is_the_registrys() {
    let closed = || {
        Server::start(|_, _| Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\""))
    };
    let (mirror, registry) = (closed(), closed());
    let auths = format!(
        r#"{{"auths": {{"{}": {{"auth": "bWU6c2VjcmV0"}}}}}}"#,
        registry.host()
    );
    let (_logins, config) = file("config.json", &auths);
    let login_files = vec![config];
    let (_dir, access) = with_mirrors(
        &registry.host(),
        &[&mirror.host()],
        Access {
            login_files,
            ..access()
        },
    );
    let error = refused(&open(&registry.host(), &access));
    assert!(
        error.contains(&format!(
            "registry {}: it refuses the credentials",
            registry.host()
        )),
        "{error}"
    );
    assert!(
        mirror
            .seen()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    assert_eq!(
        registry.seen()[1].header("authorization"),
        Some("Basic bWU6c2VjcmV0")
    );

    // Nor what was typed for it.
    let access = Access {
        login: Login::parse("me:secret"),
        ..access
    };
    refused(&open(&registry.host(), &access));
    assert!(
        mirror
            .seen()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

#[test]
fn a_mirror_that_is_down_is_asked_once() {
    let (down, registry) = (Server::start(|_, _| Reply::new(503, "")), whole());
    let (_dir, access) = with_mirrors(&registry.host(), &[&down.host()], access());
    pull(&open(&registry.host(), &access), &image());
    assert_eq!(down.seen().len(), 1);
}

#[test]
fn what_a_mirror_says_instead_of_a_document_ends_nothing() {
    let page = || Reply::new(200, "<html>log in</html>").header("content-type", "text/html");
    let config = manifest(&image()).config.digest;
    for part in ["/manifests/1".to_owned(), config.to_string()] {
        let built = image();
        let mirror = Server::start(move |_, request| match request.path.contains(&part) {
            true => page(),
            false => serve(&built, request),
        });
        let registry = whole();
        let (_dir, access) = with_mirrors(&registry.host(), &[&mirror.host()], access());
        pull(&open(&registry.host(), &access), &image());
    }
    let alone = Server::start(move |_, _| page());
    let error = refused(&open(&alone.host(), &access()));
    let expected = "it sent no manifest, but something of type \"text/html\"";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn what_a_mirror_begins_the_next_ends() {
    // It has the first part, breaks off, and is gone.
    let mirror = with_layer(|number, bytes, request| match number {
        0 => serve_range(bytes, request).only(100_000, Then::HangUp),
        _ => Reply::new(404, ""),
    });
    let registry = with_layer(|_, bytes, request| serve_range(bytes, request));
    let (_dir, access) = with_mirrors(&registry.host(), &[&mirror.host()], access());
    pull(&open(&registry.host(), &access), &image());
    assert_eq!(ranges(&mirror), [None, Some(100_000)]);
    assert_eq!(ranges(&registry), [Some(100_000)]);
}
