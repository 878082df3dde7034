//! Registries that fail, in each way that networks and servers have.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bulkhead::image::source::Source;

use crate::images_at::{
    access, image, large_layer, missing, open, pull, read_blob, refused, serve, serve_range,
};
use crate::server::{Reply, Seen, Server, Then};

/// A registry whose first layer is answered by `answer`, which is given the number of the request for it.
pub(crate) fn with_layer(
    answer: impl Fn(usize, &[u8], &Seen) -> Reply + Send + Sync + 'static,
) -> Server {
    let built = image();
    let (descriptor, bytes) = large_layer(&built);
    let count = AtomicUsize::new(0);
    Server::start(move |_, request| {
        if request.path.contains(descriptor.digest.hex()) {
            answer(count.fetch_add(1, Ordering::SeqCst), &bytes, request)
        } else {
            serve(&built, request)
        }
    })
}

pub(crate) fn ranges(server: &Server) -> Vec<Option<usize>> {
    let (descriptor, _) = large_layer(&image());
    server
        .seen_of(descriptor.digest.hex())
        .iter()
        .map(Seen::range_start)
        .collect()
}

#[test]
fn a_blob_that_breaks_off_is_taken_up_where_it_broke() {
    let server = with_layer(|number, bytes, request| {
        let reply = serve_range(bytes, request);
        if number < 2 {
            reply.only(100_000, Then::HangUp)
        } else {
            reply
        }
    });
    pull(&open(&server.host(), &access()), &image());
    assert_eq!(ranges(&server), [None, Some(100_000), Some(200_000)]);
}

#[test]
fn a_blob_that_stalls_is_taken_up_where_it_stood() {
    let server = with_layer(|number, bytes, request| {
        let reply = serve_range(bytes, request);
        if number == 0 {
            reply.only(100_000, Then::Stall)
        } else {
            reply
        }
    });
    let mut access = access();
    access.setup.times.stall = Duration::from_millis(500);
    let start = Instant::now();
    pull(&open(&server.host(), &access), &image());
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_eq!(ranges(&server), [None, Some(100_000)]);
}

#[test]
fn a_server_without_ranges_starts_over_and_nothing_comes_twice() {
    let server = with_layer(|number, bytes, _| {
        let reply = Reply::new(200, bytes);
        if number == 0 {
            reply.only(100_000, Then::HangUp)
        } else {
            reply
        }
    });
    pull(&open(&server.host(), &access()), &image());
    assert_eq!(ranges(&server), [None, Some(100_000)]);
}

#[test]
fn a_server_that_sends_another_range_is_not_believed() {
    let server = with_layer(|number, bytes, _| match number {
        0 => Reply::new(200, bytes).only(100_000, Then::HangUp),
        _ => Reply::new(206, &bytes[150_000..]).header(
            "content-range",
            format!("bytes 150000-{}/{}", bytes.len() - 1, bytes.len()),
        ),
    });
    let built = image();
    let (descriptor, _) = large_layer(&built);
    let error = read_blob(&open(&server.host(), &access()), &descriptor).unwrap_err();
    assert!(
        error.contains("asked for byte 100000, it sends from 150000 on"),
        "{error}"
    );
}

#[test]
fn a_blob_that_never_comes_whole_fails_after_some_attempts() {
    let server = with_layer(|_, bytes, request| serve_range(bytes, request).only(10, Then::HangUp));
    let built = image();
    let (descriptor, _) = large_layer(&built);
    let error = read_blob(&open(&server.host(), &access()), &descriptor).unwrap_err();
    let host = server.host();
    let expected = format!(
        "{host}/team/app:1: registry {host}: {}: after ",
        descriptor.digest
    );
    assert!(error.starts_with(&expected), "{error}");
    assert!(ranges(&server).len() <= 6, "{:?}", ranges(&server));
}

#[test]
fn a_length_that_is_not_the_blobs_is_told() {
    for off in [-1_isize, 1] {
        let server = with_layer(move |_, bytes, _| {
            Reply::new(200, bytes).length(bytes.len().strict_add_signed(off))
        });
        let built = image();
        let (descriptor, bytes) = large_layer(&built);
        let error = read_blob(&open(&server.host(), &access()), &descriptor).unwrap_err();
        let announced = bytes.len().strict_add_signed(off);
        let expected = format!(
            "it announces {announced} bytes from 0 on, and the blob has {}",
            bytes.len()
        );
        assert!(error.contains(&expected), "{error}");
        assert_eq!(ranges(&server).len(), 1, "it is the same the next time");
    }
}

#[test]
fn a_registry_that_is_busy_or_breaks_off_is_asked_again() {
    let built = image();
    let server = Server::start(move |number, request| match number {
        0 => Reply::new(503, "busy"),
        1 => Reply::raw("this is not HTTP\r\n\r\n"),
        2 => Reply::new(502, "<html>a proxy</html>"),
        // The manifest breaks off, and so does what comes after it.
        3 | 5 => serve(&built, request).only(20, Then::HangUp),
        _ => serve(&built, request),
    });
    let mut access = access();
    access.patience.attempts = 6;
    pull(&open(&server.host(), &access), &image());
    assert_eq!(server.seen().len(), 4 + 5);
}

#[test]
fn a_registry_that_stays_broken_is_told_in_words() {
    let body = r#"{"errors":[{"code":"UNAVAILABLE","message":"down \u001b[31mfor repair"}]}"#;
    let server = Server::start(move |_, _| Reply::new(503, body));
    let error = refused(&open(&server.host(), &access()));
    let host = server.host();
    let expected = format!(
        "{host}/team/app:1: registry {host}: status 503 for manifest 1 in team/app; it says: UNAVAILABLE: down [31mfor repair"
    );
    assert_eq!(error, expected);
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn who_asks_too_often_waits_as_long_as_he_is_told() {
    let built = image();
    let server = Server::start(move |number, request| match number {
        0 => Reply::new(429, "").header("retry-after", "1"),
        _ => serve(&built, request),
    });
    let start = Instant::now();
    open(&server.host(), &access()).root().unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));

    let server = Server::start(|_, _| {
        Reply::new(
            429,
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slowly"}]}"#,
        )
        .header("retry-after", "3600")
    });
    let error = refused(&open(&server.host(), &access()));
    assert!(
        error.ends_with("too many requests, again in 3600 s; it says: TOOMANYREQUESTS: slowly"),
        "{error}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn what_is_not_there_is_not_asked_for_twice() {
    let server = Server::start(|_, _| missing());
    let error = refused(&open(&server.host(), &access()));
    assert!(
        error.ends_with(
            "it has no manifest 1 in team/app; it says: MANIFEST_UNKNOWN: manifest unknown"
        ),
        "{error}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_document_that_is_not_what_was_asked_for_is_refused() {
    let built = image();
    let server = Server::start(move |_, request| {
        let mut other = built.manifest.clone();
        other.push(b' ');
        serve(&built, request).with_body(other)
    });
    let error = refused(&open(&server.host(), &access()));
    assert!(
        error.contains(&format!("asked for {}, it sent sha256:", image().digest())),
        "{error}"
    );
}

#[test]
fn a_document_without_an_end_is_not_read_to_it() {
    let server = Server::start(|_, _| Reply::new(200, vec![b' '; 5 << 20]));
    let error = refused(&open(&server.host(), &access()));
    assert!(
        error.ends_with("a document has 4194304 bytes at most, and this one more"),
        "{error}"
    );
}

#[test]
fn another_host_learns_no_credentials() {
    let built = image();
    let store = {
        let built = image();
        Server::start(move |_, request| serve(&built, request))
    };
    let elsewhere = store.url("");
    let server = Server::start(move |_, request| {
        if request.header("authorization").is_none() {
            return Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\"");
        }
        match request.path.contains("/blobs/") {
            true => Reply::new(307, "").header(
                "location",
                format!("{elsewhere}{}?signature=hidden", request.path),
            ),
            false => serve(&built, request),
        }
    });
    let mut access = access();
    access.login = bulkhead::image::source::registry::Login::parse("me:secret");
    pull(&open(&server.host(), &access), &image());
    let seen = store.seen();
    assert_eq!(seen.len(), 3);
    for request in &seen {
        assert_eq!(request.header("authorization"), None, "{request:?}");
    }
    assert_eq!(
        server.seen_of("/blobs/")[0].header("authorization"),
        Some("Basic bWU6c2VjcmV0")
    );
}

#[test]
fn a_signed_address_that_has_ended_is_asked_for_anew() {
    let built = image();
    let count = AtomicUsize::new(0);
    let store = {
        let built = image();
        Server::start(
            move |_, request| match count.fetch_add(1, Ordering::SeqCst) {
                0 => Reply::new(403, "<Error><Code>AccessDenied</Code></Error>"),
                _ => serve(&built, request),
            },
        )
    };
    let elsewhere = store.url("");
    let server = Server::start(move |_, request| match request.path.contains("/blobs/") {
        true => Reply::new(302, "").header("location", format!("{elsewhere}{}", request.path)),
        false => serve(&built, request),
    });
    pull(&open(&server.host(), &access()), &image());
    assert_eq!(server.seen_of("/blobs/").len(), 4);
}

#[test]
fn who_is_sent_round_in_circles_stops() {
    let server =
        Server::start(|_, request| Reply::new(302, "").header("location", request.path.clone()));
    let error = refused(&open(&server.host(), &access()));
    assert!(error.contains("too many times"), "{error}");
    let server = Server::start(|_, _| {
        Reply::new(302, "").header("location", "http://192.0.2.1/?signature=hidden")
    });
    let error = refused(&open(&server.host(), &access()));
    assert!(
        error.contains("http://192.0.2.1/ is not encrypted") && !error.contains("hidden"),
        "{error}"
    );
}
