//! A registry that is reached by a proxy.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::{fs, io, thread};

use bulkhead::net::Proxies;
use serde_json::Value;

use crate::daemon::{Certificates, Daemon};
use crate::harness::needs;
use crate::images_at::{access, image, open, pull, refused};

/// A proxy that leads every host to this port, and keeps what it was asked.
fn proxy(to: u16) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let client = stream.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            kept.lock().unwrap().push(head);
            join(client, TcpStream::connect(("127.0.0.1", to)).unwrap());
        }
    });
    (address, asked)
}

fn join(mut client: TcpStream, server: TcpStream) {
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    for (mut from, mut to) in [
        (client.try_clone().unwrap(), server.try_clone().unwrap()),
        (server, client),
    ] {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}

#[test]
fn a_proxy_leads_to_a_registry_that_has_no_name_here() {
    needs!(docker_registry, skopeo, openssl);
    let certificates = Certificates::new();
    let (certificate, key) = (
        certificates.path("server.crt"),
        certificates.path("server.key"),
    );
    let daemon = Daemon::start(Value::Null, Some((&certificate, &key)));
    daemon.push(&image(), &[]);
    let (address, asked) = proxy(daemon.port);
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("registry.example");
    fs::create_dir(&own).unwrap();
    fs::copy(certificates.path("ca.crt"), own.join("ca.crt")).unwrap();

    let mut access = access();
    access.certificates = vec![folder.path().into()];
    let variables = |exceptions: &'static str| {
        let proxy = format!("http://me:secret@{address}");
        Proxies::from_variables(move |name| match name {
            "HTTPS_PROXY" => Some(proxy.clone()),
            "NO_PROXY" => Some(exceptions.into()),
            _ => None,
        })
    };
    access.setup.proxies = variables("");
    pull(&open("registry.example", &access), &image());
    let heads = asked.lock().unwrap().clone();
    assert!(
        heads[0].starts_with("CONNECT registry.example:443 HTTP/1.1\r\n"),
        "{}",
        heads[0]
    );
    assert!(
        heads[0].contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"),
        "{}",
        heads[0]
    );

    access.setup.proxies = variables("example");
    let error = refused(&open("registry.example", &access));
    assert!(error.contains("look up registry.example: "), "{error}");
    assert_eq!(asked.lock().unwrap().len(), heads.len());
}
