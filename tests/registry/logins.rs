//! Who we are at a registry: passwords and tokens, of a real registry and of the test's own.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bulkhead::image::Reference;
use bulkhead::image::source::Source;
use bulkhead::image::source::registry::{Login, Registry};
use serde_json::{Value, json};

use crate::daemon::{Certificates, Daemon, run};
use crate::harness::needs;
use crate::images_at::{
    REPOSITORY, access, file, image, large_layer, open, pull, read_blob, refused, serve,
    serve_range,
};
use crate::server::{Reply, Seen, Server, Then};

/// `me` with the password `secret`, by bcrypt.
pub(crate) const ME: &str = "me:$2b$04$Qp1Qv/xwgHzNfYlUVPJ4SeXi3JSZz0Hhj88B.J81vdJD8MPaumeai\n";

/// `me:secret` in base64.
pub(crate) const ME_ENCODED: &str = "bWU6c2VjcmV0";

#[test]
fn a_registry_without_users_lets_everybody_in() {
    needs!(docker_registry, skopeo);
    let daemon = Daemon::start(Value::Null, None);
    daemon.push(&image(), &[]);
    pull(&open(&daemon.host(), &access()), &image());
    let host = daemon.host().replace("127.0.0.1", "localhost");
    let other = Reference::parse(&format!("{host}/{REPOSITORY}:2")).unwrap();
    let error = refused(&Registry::open(&other, &access()).unwrap());
    assert!(
        error.contains(
            "it has no manifest 2 in team/app; it says: MANIFEST_UNKNOWN: manifest unknown"
        ),
        "{error}"
    );
}

#[test]
fn a_password_is_what_docker_login_left() {
    needs!(docker_registry, skopeo);
    let daemon = Daemon::with_user(ME);
    daemon.push(&image(), &["--dest-creds", "me:secret"]);
    let text = json!({"auths": {format!("https://{}/v2/", daemon.host()): {"auth": ME_ENCODED}}});
    let (_dir, config) = file("config.json", &text.to_string());
    let mut access = access();
    access.login_files = vec!["/nonexistent".into(), config];
    pull(&open(&daemon.host(), &access), &image());
}

#[test]
fn a_wrong_password_and_none_are_told_apart() {
    needs!(docker_registry);
    let daemon = Daemon::with_user(ME);
    let host = daemon.host();
    let mut access = access();
    let error = refused(&open(&host, &access));
    assert!(
        error.starts_with(&format!(
            "{host}/team/app:1: registry {host}: it wants credentials, and there are none for it"
        )),
        "{error}"
    );
    assert!(
        error.ends_with("it says: UNAUTHORIZED: authentication required"),
        "{error}"
    );
    access.login = Login::parse("me:wrong");
    let error = refused(&open(&host, &access));
    assert!(
        error.contains("it refuses the credentials for it"),
        "{error}"
    );
    assert!(!error.contains("wrong"), "{error}");
}

/// A token server whose word a real registry takes: it signs with the key of a certificate that the
/// registry was told of (distribution's token.md and jwt.md).
struct Issuer {
    certificates: Certificates,
}

impl Issuer {
    fn token(&self, service: &str, scope: Option<&str>) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let der = self.certificates.path("signer.der");
        let chain = BASE64_STANDARD.encode(std::fs::read(der).unwrap());
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let allowed: Vec<Value> = scope
            .iter()
            .map(|scope| {
                let words: Vec<&str> = scope.split(':').collect();
                json!({"type": words[0], "name": words[1], "actions": words[2].split(',').collect::<Vec<_>>()})
            })
            .collect();
        let head = json!({"typ": "JWT", "alg": "RS256", "x5c": [chain]});
        let claims = json!({
            "iss": "the test", "sub": "me", "aud": service, "jti": "1",
            "iat": now - 10, "nbf": now - 10, "exp": now + 300, "access": allowed,
        });
        let text = format!("{}.{}", encode(&head), encode(&claims));
        let (plain, signed) = (
            self.certificates.path("plain"),
            self.certificates.path("signed"),
        );
        std::fs::write(&plain, &text).unwrap();
        let name = |path: &Path| path.to_str().unwrap().to_owned();
        let key = name(&self.certificates.path("signer.key"));
        run(
            "openssl",
            &[
                "dgst",
                "-sha256",
                "-sign",
                &key,
                "-out",
                &name(&signed),
                &name(&plain),
            ],
        );
        format!(
            "{text}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(std::fs::read(signed).unwrap())
        )
    }

    /// Its server gives tokens to who has the password.
    fn start() -> (Server, std::path::PathBuf) {
        let certificates = Certificates::new();
        let path = |name: &str| certificates.path(name).to_str().unwrap().to_owned();
        let (certificate, key) = (path("signer.crt"), path("signer.key"));
        run(
            "openssl",
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=issuer",
                "-days",
                "2",
                "-keyout",
                &key,
                "-out",
                &certificate,
            ],
        );
        run(
            "openssl",
            &[
                "x509",
                "-in",
                &certificate,
                "-outform",
                "DER",
                "-out",
                &path("signer.der"),
            ],
        );
        // One token at a time: they are signed in files.
        let issuer = Mutex::new(Self { certificates });
        let server = Server::start(move |_, request| {
            if request.header("authorization") != Some(&format!("Basic {ME_ENCODED}")) {
                return Reply::new(401, r#"{"details":"incorrect username or password"}"#);
            }
            let service = parameter(request, "service").unwrap();
            let token = issuer
                .lock()
                .unwrap()
                .token(&service, parameter(request, "scope").as_deref());
            Reply::new(200, json!({"token": token, "expires_in": 300}).to_string())
        });
        (server, certificate.into())
    }
}

pub(crate) fn parameter(request: &Seen, name: &str) -> Option<String> {
    let (_, query) = request.path.split_once('?')?;
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
    Some(
        value
            .replace("%3A", ":")
            .replace("%2F", "/")
            .replace("%2C", ",")
            .replace('+', " ")
            .replace("%20", " "),
    )
}

#[test]
fn a_token_that_is_signed_opens_a_real_registry() {
    needs!(docker_registry, skopeo, openssl);
    let (issuer, certificate) = Issuer::start();
    let auth = json!({"token": {
        "realm": issuer.url("/token"), "service": "registry of the test", "issuer": "the test", "rootcertbundle": certificate,
    }});
    let daemon = Daemon::start(auth, None);
    daemon.push(&image(), &["--dest-creds", "me:secret"]);
    let before = issuer.seen().len();
    let mut access = access();
    access.login = Login::parse("me:secret");
    pull(&open(&daemon.host(), &access), &image());
    let seen = issuer.seen();
    assert_eq!(seen.len(), before + 1, "one token serves for all");
    let asked = &seen[before];
    assert_eq!(
        parameter(asked, "service").as_deref(),
        Some("registry of the test")
    );
    assert_eq!(
        parameter(asked, "scope").as_deref(),
        Some("repository:team/app:pull")
    );
    assert_eq!(parameter(asked, "account").as_deref(), Some("me"));

    access.login = Login::parse("me:wrong");
    let error = refused(&open(&daemon.host(), &access));
    assert!(error.ends_with("it refuses the credentials for it, or there is no such image; it says: incorrect username or password"), "{error}");
}

/// A registry of the test's own that takes only the newest token of its own token server, which
/// counts them and says by `life` how long they are good.
fn with_tokens(life: u64) -> Server {
    let built = image();
    let issued = AtomicUsize::new(0);
    let realm = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&realm);
    let server = Server::start(move |_, request| {
        if request.path.starts_with("/token") {
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::new(
                200,
                json!({"access_token": format!("t{number}"), "expires_in": life}).to_string(),
            );
        }
        let newest = format!("Bearer t{}", issued.load(Ordering::SeqCst));
        if request.header("authorization") != Some(&newest) {
            let realm = told.lock().unwrap().clone();
            return Reply::new(401, "").header(
                "www-authenticate",
                format!("Bearer realm=\"{realm}\",service=\"s\""),
            );
        }
        let (descriptor, bytes) = large_layer(&built);
        match request.path.contains(descriptor.digest.hex()) {
            true => serve_range(&bytes, request).only(150_000, Then::HangUp),
            false => serve(&built, request),
        }
    });
    *realm.lock().unwrap() = server.url("/token");
    server
}

#[test]
fn a_token_that_ends_during_a_pull_is_fetched_anew() {
    let server = with_tokens(6);
    let registry = open(&server.host(), &access());
    let (descriptor, bytes) = large_layer(&image());
    registry.root().unwrap();
    assert_eq!(server.seen_of("/token").len(), 1);
    thread::sleep(Duration::from_millis(1100));
    assert!(read_blob(&registry, &descriptor).unwrap() == bytes);
    assert!(server.seen_of("/token").len() > 1);
    // The registry's own challenge named no scope.
    assert_eq!(
        parameter(&server.seen_of("/token")[0], "scope").as_deref(),
        Some("repository:team/app:pull")
    );
}

#[test]
fn threads_share_one_token() {
    let server = with_tokens(300);
    let registry = open(&server.host(), &access());
    let (descriptor, bytes) = large_layer(&image());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(read_blob(&registry, &descriptor).unwrap() == bytes));
        }
    });
    assert_eq!(server.seen_of("/token").len(), 1);
}

#[test]
fn a_token_that_opens_nothing_is_not_asked_for_for_ever() {
    let server = with_tokens(300);
    let realm = server.url("/token");
    let stubborn = Server::start(move |_, _| {
        Reply::new(401, "").header("www-authenticate", format!("Bearer realm=\"{realm}\""))
    });
    let error = refused(&open(&stubborn.host(), &access()));
    assert!(
        error.contains("it wants credentials, and there are none for it"),
        "{error}"
    );
    assert_eq!(
        (stubborn.seen().len(), server.seen_of("/token").len()),
        (2, 1)
    );
}

#[test]
fn an_identity_token_is_changed_for_one_of_the_registry() {
    let tokens = Server::start(|_, request| match request.method.as_str() {
        "POST" => Reply::new(200, r#"{"access_token":"t"}"#),
        _ => Reply::new(405, ""),
    });
    let realm = tokens.url("/oauth2");
    let built = image();
    let server = Server::start(move |_, request| match request.header("authorization") {
        Some("Bearer t") => serve(&built, request),
        _ => Reply::new(401, "").header(
            "www-authenticate",
            format!(
                "Bearer realm=\"{realm}\",service=\"s s\",scope=\"repository:{REPOSITORY}:pull\""
            ),
        ),
    });
    let text = json!({"auths": {server.host(): {"auth": BASE64_STANDARD.encode("<token>:"), "identitytoken": "i/d"}}});
    let (_dir, config) = file("config.json", &text.to_string());
    let mut access = access();
    access.login_files = vec![config];
    pull(&open(&server.host(), &access), &image());
    let asked = &tokens.seen()[0].body;
    assert_eq!(
        asked,
        "grant_type=refresh_token&refresh_token=i%2Fd&service=s%20s&scope=repository%3Ateam%2Fapp%3Apull&client_id=bulkhead"
    );
}

#[test]
fn a_token_server_that_is_not_encrypted_gets_no_password() {
    let server = Server::start(|_, _| {
        Reply::new(401, "").header(
            "www-authenticate",
            "Bearer realm=\"http://192.0.2.1/token\"",
        )
    });
    let mut access = access();
    access.login = Login::parse("me:secret");
    let error = refused(&open(&server.host(), &access));
    assert!(
        error.contains("http://192.0.2.1/token is not encrypted"),
        "{error}"
    );
}
