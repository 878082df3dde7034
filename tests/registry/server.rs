//! A server of the test's own: each request is shown to the test, which says what comes back, and how
//! badly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    head: String,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Where a range that was asked for begins.
    pub(crate) fn range_start(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.split('-').next()?.parse().ok()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Instead of the body's own.
    length: Option<usize>,
    /// Only so much of the body is sent, and then…
    sent: Option<(usize, Then)>,
    /// All there is, without HTTP.
    raw: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    HangUp,
    /// Longer than any patience of these tests.
    Stall,
    /// The rest comes, a byte at a time: more often than any patience ends, and for longer.
    Trickle,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            length: None,
            sent: None,
            raw: false,
        }
    }

    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            raw: true,
            ..Self::new(200, bytes)
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn length(mut self, length: usize) -> Self {
        self.length = Some(length);
        self
    }

    pub(crate) fn only(mut self, count: usize, then: Then) -> Self {
        self.sent = Some((count, then));
        self
    }

    fn write(&self, stream: &mut TcpStream) {
        // A client that has had enough is no fault of the server.
        if self.raw {
            self.write_body(stream);
            return;
        }
        let length = self.length.unwrap_or(self.body.len());
        let mut head = format!(
            "HTTP/1.1 {} X\r\ncontent-length: {length}\r\nconnection: close\r\n",
            self.status
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        if stream.write_all(head.as_bytes()).is_ok() {
            self.write_body(stream);
        }
    }

    fn write_body(&self, stream: &mut TcpStream) {
        let count = self
            .sent
            .map_or(self.body.len(), |(count, _)| count.min(self.body.len()));
        let (first, rest) = self.body.split_at(count);
        let _ = stream.write_all(first);
        match self.sent {
            Some((_, Then::Stall)) => thread::sleep(Duration::from_secs(20)),
            Some((_, Then::Trickle)) => {
                for byte in rest {
                    thread::sleep(Duration::from_millis(50));
                    if stream.write_all(&[*byte]).is_err() {
                        break;
                    }
                }
            }
            Some((_, Then::HangUp)) | None => {}
        }
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// `answer` is given the number of the request, from 0, and the request.
    pub(crate) fn start(answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&seen), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let Some(request) = read(&stream) else { return };
                    let number = {
                        let mut kept = kept.lock().unwrap();
                        kept.push(request.clone());
                        kept.len() - 1
                    };
                    answer(number, &request).write(&mut stream);
                });
            }
        });
        Self { address, seen }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests whose path holds this.
    pub(crate) fn seen_of(&self, part: &str) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|request| request.path.contains(part));
        seen
    }
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut words = head.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut seen = Seen {
        method,
        path,
        head: head.clone(),
        body: String::new(),
    };
    let length = seen
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    seen.body = String::from_utf8_lossy(&body).into_owned();
    Some(seen)
}
