//! Encrypted, or not, or with a certificate that nobody knows.

use std::fs;

use serde_json::Value;

use crate::daemon::{Certificates, Daemon};
use crate::harness::needs;
use crate::images_at::{access, image, open, pull, refused};

#[test]
fn a_certificate_counts_where_its_authority_is_known() {
    needs!(docker_registry, skopeo, openssl);
    let certificates = Certificates::new();
    let (certificate, key) = (
        certificates.path("server.crt"),
        certificates.path("server.key"),
    );
    let daemon = Daemon::start(Value::Null, Some((&certificate, &key)));
    daemon.push(&image(), &[]);
    let host = daemon.host();

    // By HTTP there is nothing, and this machine is spoken to so where nothing else is said.
    let error = refused(&open(&host, &access()));
    assert!(error.contains("status 400"), "{error}");

    // The authority is known for another host only.
    let folder = tempfile::tempdir().unwrap();
    let mut access = access();
    access.certificates = vec![folder.path().into()];
    let own = folder.path().join(&host);
    fs::create_dir(&own).unwrap();
    fs::copy(certificates.path("server.crt"), own.join("other.crt")).unwrap();
    let error = refused(&open(&host, &access));
    assert!(error.contains("TLS: invalid peer certificate"), "{error}");

    fs::remove_file(own.join("other.crt")).unwrap();
    fs::copy(certificates.path("ca.crt"), own.join("ca.crt")).unwrap();
    pull(&open(&host, &access), &image());

    // The certificate is not for this name.
    let other = host.replace("127.0.0.1", "localhost");
    fs::rename(&own, folder.path().join(&other)).unwrap();
    let error = refused(&open(&other, &access));
    assert!(
        error.contains(
            "TLS: invalid peer certificate: certificate not valid for name \"localhost\""
        ),
        "{error}"
    );
}

#[test]
fn an_insecure_registry_may_be_anybody_and_speak_http() {
    needs!(docker_registry, skopeo, openssl);
    let certificates = Certificates::new();
    let (certificate, key) = (
        certificates.path("server.crt"),
        certificates.path("server.key"),
    );
    let mut access = access();
    access.insecure = true;
    for tls in [Some((certificate.as_path(), key.as_path())), None] {
        let daemon = Daemon::start(Value::Null, tls);
        daemon.push(&image(), &[]);
        pull(&open(&daemon.host(), &access), &image());
    }
}

#[test]
fn a_file_that_is_no_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("localhost:1");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("ca.crt"), "not a certificate").unwrap();
    let mut access = access();
    access.certificates = vec![folder.path().into()];
    let error = refused(&open("localhost:1", &access));
    assert!(error.contains("ca.crt: there is none in it"), "{error}");
}
