//! Names of hosts, by a name server of the test's own: the C library's resolver is not asked.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bulkhead::net::Names;
use simple_dns::rdata::{A, AAAA, CNAME, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use crate::images_at::{access, file, open, refused};

#[derive(Clone, Copy, PartialEq)]
enum How {
    Well,
    /// By UDP it sends the head alone, and says that there is more.
    Truncated,
    Silent,
    Refuses,
    /// Two forged replies come before the true one.
    Forged,
    /// It does not know extensions (RFC 6891).
    Old,
}

/// The transports and names that were asked for.
type Asked = Arc<Mutex<Vec<(&'static str, String)>>>;

/// A name server at 127.0.0.N, at the port of the test.
fn serve(last: u8, port: u16, how: How) -> Asked {
    let asked = Asked::default();
    let udp = UdpSocket::bind(SocketAddr::from(([127, 0, 0, last], port))).unwrap();
    let tcp = TcpListener::bind(SocketAddr::from(([127, 0, 0, last], port))).unwrap();
    let kept = Arc::clone(&asked);
    thread::spawn(move || {
        let mut bytes = [0; 2000];
        loop {
            let (length, from) = udp.recv_from(&mut bytes).unwrap();
            for reply in replies(&bytes[..length], how, "udp", &kept) {
                udp.send_to(&reply, from).unwrap();
            }
        }
    });
    let kept = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut bytes).unwrap();
            for reply in replies(&bytes, how, "tcp", &kept) {
                let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
                // In two parts, as networks do.
                stream.write_all(&length).unwrap();
                stream.write_all(&reply).unwrap();
            }
        }
    });
    asked
}

fn replies(question: &[u8], how: How, by: &'static str, asked: &Asked) -> Vec<Vec<u8>> {
    let question = Packet::parse(question).unwrap();
    let name = question.questions[0].qname.to_string();
    asked.lock().unwrap().push((by, name.clone()));
    let is_v6 = question.questions[0].qtype == QTYPE::TYPE(TYPE::AAAA);
    let extended = question.opt().is_some();
    let mut reply = question.clone().into_reply();
    *reply.opt_mut() = None;
    let record = |name: &'static str, data| {
        ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, 1, data)
    };
    let address = |last: u32| {
        RData::A(A {
            address: 0xc000_0200 + last,
        })
    };
    match (name.as_str(), is_v6) {
        ("both.example", false) => reply.answers.push(record("both.example", address(1))),
        ("both.example", true) => reply.answers.push(record(
            "both.example",
            RData::AAAA(AAAA {
                address: 0x2001_0db8 << 96 | 1,
            }),
        )),
        ("alias.example", _) => {
            reply.answers.push(record(
                "alias.example",
                RData::CNAME(CNAME(Name::new("target.example").unwrap())),
            ));
        }
        ("target.example", false) => reply.answers.push(record("target.example", address(2))),
        ("many.example", false) => {
            (1..=200).for_each(|n| reply.answers.push(record("many.example", address(n))))
        }
        ("short.corp.example", false) => {
            reply.answers.push(record("short.corp.example", address(3)))
        }
        ("target.example" | "many.example" | "short.corp.example" | "empty.example", _) => {}
        _ => *reply.rcode_mut() = RCODE::NameError,
    }
    let forged = |change: fn(&mut Packet<'_>)| {
        let mut forged = question.clone().into_reply();
        *forged.opt_mut() = None;
        change(&mut forged);
        forged.answers.push(record("both.example", address(66)));
        forged.build_bytes_vec().unwrap()
    };
    match how {
        How::Silent => return Vec::new(),
        How::Refuses => {
            reply.answers.clear();
            *reply.rcode_mut() = RCODE::Refused;
        }
        How::Truncated if by == "udp" => {
            reply.answers.clear();
            reply.set_flags(PacketFlag::TRUNCATION);
        }
        How::Old if extended => {
            reply.answers.clear();
            reply.questions.clear();
            *reply.rcode_mut() = RCODE::FormatError;
        }
        How::Forged => {
            let other_id = forged(|packet| packet.set_id(packet.id() ^ 1));
            let other_name =
                forged(|packet| packet.questions[0].qname = Name::new("evil.example").unwrap());
            return vec![
                other_id,
                other_name,
                b"garbage".to_vec(),
                reply.build_bytes_vec().unwrap(),
            ];
        }
        _ => {}
    }
    vec![reply.build_bytes_vec().unwrap()]
}

/// Each test has its own addresses, 127.0.0.N and the next, so that ports are free.
fn names(settings: &str, port: u16) -> (tempfile::TempDir, Names) {
    let (dir, hosts) = file("hosts", "192.0.2.77 listed.example Listed # comment\n");
    let path = dir.path().join("resolv.conf");
    std::fs::write(&path, settings).unwrap();
    (dir, Names::from_files(hosts, path, port))
}

fn look_up(names: &Names, host: &str) -> Result<Vec<String>, String> {
    let found = names.look_up(host).map_err(|error| error.to_string())?;
    Ok(found.iter().map(IpAddr::to_string).collect())
}

const PORT: u16 = 5353;

#[test]
fn a_name_has_addresses_of_both_kinds() {
    let asked = serve(11, PORT, How::Well);
    let (_dir, names) = names("nameserver 127.0.0.11\nsearch corp.example\n", PORT);
    let mut found = look_up(&names, "both.example").unwrap();
    found.sort();
    assert_eq!(found, ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(look_up(&names, "alias.example").unwrap(), ["192.0.2.2"]);
    assert_eq!(look_up(&names, "short").unwrap(), ["192.0.2.3"]);
    let count = asked.lock().unwrap().len();
    for (host, expected) in [
        ("listed", "192.0.2.77"),
        ("LISTED.example", "192.0.2.77"),
        ("192.0.2.9", "192.0.2.9"),
    ] {
        assert_eq!(look_up(&names, host).unwrap(), [expected]);
    }
    assert!(
        look_up(&names, "localhost")
            .unwrap()
            .contains(&"127.0.0.1".to_owned())
    );
    assert_eq!(
        asked.lock().unwrap().len(),
        count,
        "none of these is a server's business"
    );
}

#[test]
fn a_reply_that_does_not_fit_is_asked_for_by_tcp() {
    let asked = serve(12, PORT, How::Truncated);
    let (_dir, names) = names("nameserver 127.0.0.12\n", PORT);
    assert_eq!(look_up(&names, "many.example").unwrap().len(), 16);
    assert!(
        asked
            .lock()
            .unwrap()
            .contains(&("tcp", "many.example".into()))
    );
}

#[test]
fn what_does_not_exist_is_told_with_who_says_so() {
    serve(13, PORT, How::Well);
    let (_dir, names) = names("nameserver 127.0.0.13\n", PORT);
    assert_eq!(
        look_up(&names, "none.example").unwrap_err(),
        "look up none.example: no such name, says 127.0.0.13:5353"
    );
    assert_eq!(
        look_up(&names, "empty.example").unwrap_err(),
        "look up empty.example: it has no address, says 127.0.0.13:5353"
    );
    let error = look_up(&names, "a..b").unwrap_err();
    assert!(error.starts_with("look up a..b: it is longer"), "{error}");
}

#[test]
fn a_server_that_fails_gives_way_to_the_next() {
    let (silent, refuses) = (serve(14, PORT, How::Silent), serve(15, PORT, How::Refuses));
    serve(16, PORT, How::Well);
    let settings = "nameserver 127.0.0.14\nnameserver 127.0.0.15\nnameserver 127.0.0.16\noptions timeout:1 attempts:1\n";
    let (_dir, all) = names(settings, PORT);
    let start = Instant::now();
    assert_eq!(look_up(&all, "target.example").unwrap(), ["192.0.2.2"]);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(!silent.lock().unwrap().is_empty() && !refuses.lock().unwrap().is_empty());

    // 127.0.0.17 has no server at all.
    let (_dir, bad) = names(
        "nameserver 127.0.0.14\nnameserver 127.0.0.15\nnameserver 127.0.0.17\noptions timeout:1 attempts:1\n",
        PORT,
    );
    let error = look_up(&bad, "target.example").unwrap_err();
    assert_eq!(
        error,
        "look up target.example: name server 127.0.0.14:5353: no answer; name server 127.0.0.15:5353: it refuses to \
         answer us (REFUSED); name server 127.0.0.17:5353: Connection refused (os error 111)"
    );
}

#[test]
fn a_forged_reply_is_passed_over() {
    serve(18, PORT, How::Forged);
    let (_dir, names) = names("nameserver 127.0.0.18\noptions no-aaaa\n", PORT);
    assert_eq!(look_up(&names, "both.example").unwrap(), ["192.0.2.1"]);
}

#[test]
fn a_server_of_old_is_asked_without_extensions() {
    let asked = serve(19, PORT, How::Old);
    let (_dir, names) = names("nameserver 127.0.0.19\n", PORT);
    assert_eq!(look_up(&names, "target.example").unwrap(), ["192.0.2.2"]);
    assert_eq!(asked.lock().unwrap().len(), 4);
}

#[test]
fn a_registry_that_no_server_knows_is_named_with_them() {
    serve(20, PORT, How::Well);
    let (_dir, names) = names("nameserver 127.0.0.20\n", PORT);
    let mut access = access();
    access.setup.names = names;
    let error = refused(&open("registry.none.example", &access));
    assert_eq!(
        error,
        "registry.none.example/team/app:1: registry registry.none.example: \
         GET https://registry.none.example/v2/team/app/manifests/1: look up registry.none.example: no such name, says \
         127.0.0.20:5353"
    );
}

/// For who has no say in the port.
pub(crate) fn serve_at_port_53(last: u8) {
    serve(last, 53, How::Well);
}
