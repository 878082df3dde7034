//! One question to one name server, by UDP and, where the reply did not fit, by TCP.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::message::{self, Answer, Kind, Reply};
use super::settings::Settings;
use crate::net::random;

/// A longer chain of aliases, each asked for by itself, is a loop.
const MOST_ALIASES: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("no answer")]
    TimedOut,
    #[error("{0}")]
    Call(io::Error),
    #[error("{0}")]
    Said(&'static str),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Call(error),
        }
    }
}

/// The addresses of `name`, of both kinds, that `server` knows of.
pub(super) fn ask(
    server: SocketAddr,
    name: &str,
    settings: &Settings,
    deadline: Instant,
) -> Result<Answer, Failure> {
    let kinds: &[Kind] = if settings.only_v4 {
        &[Kind::V4]
    } else {
        &[Kind::V4, Kind::V6]
    };
    // Both are on their way before the first is waited for.
    let questions: Result<Vec<Question>, Failure> = kinds
        .iter()
        .map(|kind| Question::send(server, name, *kind, true, settings.tcp))
        .collect();
    let mut addresses = Vec::new();
    let mut is_known = false;
    let mut failure = None;
    for question in questions? {
        match question.finish(deadline) {
            Ok(Answer::Addresses(more)) => addresses.extend(more),
            Ok(Answer::NoAddress) => is_known = true,
            Ok(Answer::Unknown) => {}
            Err(why) => failure = Some(why),
        }
    }
    match failure {
        // Some servers never answer for IPv6; what is known is enough to connect.
        _ if !addresses.is_empty() => Ok(Answer::Addresses(addresses)),
        Some(why) => Err(why),
        None if is_known => Ok(Answer::NoAddress),
        None => Ok(Answer::Unknown),
    }
}

/// A question under way, from a port and with a number of its own: both have to be guessed by who
/// would forge a reply (RFC 5452).
struct Question {
    server: SocketAddr,
    name: String,
    kind: Kind,
    id: u16,
    bytes: Vec<u8>,
    /// `None`: by TCP.
    socket: Option<UdpSocket>,
    extended: bool,
}

impl Question {
    fn send(
        server: SocketAddr,
        name: &str,
        kind: Kind,
        extended: bool,
        tcp: bool,
    ) -> Result<Self, Failure> {
        let [high, low, ..] = random::number().to_be_bytes();
        let id = u16::from_be_bytes([high, low]);
        let bytes =
            message::query(id, name, kind, extended).ok_or(Failure::Said("no such question"))?;
        let socket = if tcp { None } else { Some(connected(server)?) };
        if let Some(socket) = &socket {
            socket.send(&bytes)?;
        }
        let name = name.to_owned();
        Ok(Self {
            server,
            name,
            kind,
            id,
            bytes,
            socket,
            extended,
        })
    }

    /// Waits for the answer, and asks on where it takes more than one reply.
    fn finish(self, deadline: Instant) -> Result<Answer, Failure> {
        let mut question = self;
        for _ in 0..MOST_ALIASES {
            let reply = match question.receive(deadline)? {
                Reply::Truncated => question.by_tcp(deadline)?,
                reply => reply,
            };
            let tcp = question.socket.is_none();
            let Self {
                server,
                kind,
                extended,
                ..
            } = question;
            question = match reply {
                Reply::Answer(answer) => return Ok(answer),
                Reply::Alias(target) => Self::send(server, &target, kind, extended, tcp)?,
                Reply::NoExtensions if extended => {
                    Self::send(server, &question.name, kind, false, tcp)?
                }
                Reply::NoExtensions => {
                    return Err(Failure::Said(
                        "it does not understand the question (FORMERR)",
                    ));
                }
                Reply::Failed(why) => return Err(Failure::Said(why)),
                Reply::Truncated | Reply::Foreign => {
                    return Err(Failure::Said("what it sends by TCP is no reply"));
                }
            };
        }
        Err(Failure::Said("it answers with a loop of aliases"))
    }

    fn receive(&self, deadline: Instant) -> Result<Reply, Failure> {
        let Some(socket) = &self.socket else {
            return self.by_tcp(deadline);
        };
        let mut bytes = [0; message::UDP_SIZE as usize];
        loop {
            socket.set_read_timeout(Some(left(deadline)?))?;
            let length = match socket.recv(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                received => received?,
            };
            match message::read(&bytes[..length], self.id, &self.name, self.kind) {
                // The right one may still come.
                Reply::Foreign => {}
                reply => return Ok(reply),
            }
        }
    }

    /// RFC 1035, 4.2.2: a message is led by its length.
    fn by_tcp(&self, deadline: Instant) -> Result<Reply, Failure> {
        let mut stream = TcpStream::connect_timeout(&self.server, left(deadline)?)?;
        stream.set_write_timeout(Some(left(deadline)?))?;
        let length =
            u16::try_from(self.bytes.len()).map_err(|_| Failure::Said("no such question"))?;
        stream.write_all(&[&length.to_be_bytes()[..], &self.bytes].concat())?;
        let mut length = [0; 2];
        read_exact(&mut stream, &mut length, deadline)?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        read_exact(&mut stream, &mut bytes, deadline)?;
        Ok(message::read(&bytes, self.id, &self.name, self.kind))
    }
}

/// A socket that hears only the server. The kernel draws the port.
fn connected(server: SocketAddr) -> Result<UdpSocket, Failure> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    Ok(socket)
}

fn left(deadline: Instant) -> Result<Duration, Failure> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(Failure::TimedOut)
    } else {
        Ok(left)
    }
}

/// The deadline is for the whole, however few bytes come at a time.
fn read_exact(
    stream: &mut TcpStream,
    mut buffer: &mut [u8],
    deadline: Instant,
) -> Result<(), Failure> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(buffer) {
            Ok(0) => {
                return Err(Failure::Said(
                    "it closed the connection before its answer was whole",
                ));
            }
            Ok(count) => buffer = &mut buffer[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
