//! Mirrors, which come before the registry that was named.

use std::net::TcpListener;

use bulkhead::image::source::registry::{Access, Login};

use crate::images_at::{access, file, image, missing, open, pull, refused, serve};
use crate::server::{Reply, Server};

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
