//! Servers that keep a connection busy without getting anywhere, and bodies that end oddly.

use std::time::{Duration, Instant};

use bulkhead::image::source::registry::Access;

use crate::faults::{ranges, with_layer};
use crate::images_at::{access, image, large_layer, open, pull, read_blob, refused, serve_range};
use crate::server::{Reply, Server, Then};

fn hurried() -> Access {
    let mut access = access();
    access.setup.times.stall = Duration::from_millis(500);
    access.patience.attempts = 2;
    access
}

/// Long before a trickle ends, and long after the patience has.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_head_that_trickles_is_not_waited_for() {
    let long = format!("HTTP/1.1 200 X\r\nx-long: {}\r\n\r\n", "x".repeat(5000));
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(200);
    for head in [long, endless] {
        let server = Server::start(move |_, _| Reply::raw(head.as_bytes()).only(10, Then::Trickle));
        let start = Instant::now();
        let error = refused(&open(&server.host(), &hurried()));
        assert!(
            error.contains("GET http://") && error.contains("/manifests/1: "),
            "{error}"
        );
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    }
}

#[test]
fn a_document_that_trickles_is_not_waited_for() {
    let server = Server::start(|_, _| Reply::new(200, [b' '; 5000]).only(10, Then::Trickle));
    let start = Instant::now();
    let error = refused(&open(&server.host(), &hurried()));
    assert!(error.ends_with("read: too little in 2 s"), "{error}");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn a_blob_that_trickles_is_taken_up_where_it_was() {
    let server = with_layer(|number, bytes, request| match number {
        0 => serve_range(bytes, request).only(100_000, Then::Trickle),
        _ => serve_range(bytes, request),
    });
    let start = Instant::now();
    pull(&open(&server.host(), &hurried()), &image());
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    let ranges = ranges(&server);
    assert!(ranges.len() == 2 && ranges[1] > Some(100_000), "{ranges:?}");
}

#[test]
fn a_blob_that_only_trickles_fails() {
    let server =
        with_layer(|_, bytes, request| serve_range(bytes, request).only(10, Then::Trickle));
    let (descriptor, _) = large_layer(&image());
    let start = Instant::now();
    let error = read_blob(&open(&server.host(), &hurried()), &descriptor).unwrap_err();
    assert!(error.contains("read: too little in"), "{error}");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

/// In one chunk, after which another should come.
fn chunk(bytes: &[u8]) -> Reply {
    let head = "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let size = format!("{:x}\r\n", bytes.len());
    Reply::raw([head.as_bytes(), size.as_bytes(), bytes, b"\r\n"].concat())
}

#[test]
fn a_blob_that_has_come_whole_may_end_badly() {
    let server = with_layer(|_, bytes, _| chunk(bytes));
    let (descriptor, bytes) = large_layer(&image());
    let read = read_blob(&open(&server.host(), &access()), &descriptor).unwrap();
    assert!(read == bytes);
    assert_eq!(ranges(&server), [None]);
}

#[test]
fn of_a_blob_without_an_end_a_byte_too_much_is_read() {
    let server = with_layer(|_, bytes, _| chunk(&[bytes, &[0; 1 << 20]].concat()));
    let (descriptor, bytes) = large_layer(&image());
    let read = read_blob(&open(&server.host(), &access()), &descriptor).unwrap();
    assert_eq!(read.len(), bytes.len() + 1);
}
