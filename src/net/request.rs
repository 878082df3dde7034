//! Requests and their replies.

use std::fmt;
use std::io::Read;
use std::time::{Duration, Instant};

use ureq::http::HeaderMap;

use super::client::Times;
use super::{Cause, Error, Url};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// Its values of headers and its body are in no log or error.
#[derive(Clone)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn get(url: Url) -> Self {
        Self::new(Method::Get, url)
    }

    /// The name in lower case.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// Leaves what another host may learn: nothing that says who we are, under whatever name.
    pub(super) fn drop_credentials(&mut self) {
        let is_public = |name| matches!(name, "accept" | "accept-encoding" | "range");
        self.headers.retain(|(name, _)| is_public(*name));
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.name(), self.url)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A reply, whatever its status.
pub struct Response {
    pub status: u16,
    /// What it is the reply to: the last request, where one was sent on.
    pub request: String,
    /// Where it came from in the end.
    pub url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: ureq::Body,
    pub(super) times: Times,
}

impl Response {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let all = self.headers.get_all(name).into_iter();
        all.filter_map(|value| value.to_str().ok())
    }

    /// The whole body, of at most `limit` bytes, which takes four times [`Times::stall`] at most.
    pub fn document(self, limit: u64) -> Result<Vec<u8>, Error> {
        let Self {
            request,
            times,
            body,
            ..
        } = self;
        let longest = times.stall * 4;
        let (start, mut bytes) = (Instant::now(), Vec::new());
        let mut body = body.into_reader().take(limit + 1);
        let mut buffer = [0; 8 * 1024];
        let cause = loop {
            if start.elapsed() > longest {
                break Cause::Slow(longest);
            }
            match body.read(&mut buffer) {
                Ok(0) if bytes.len() as u64 <= limit => return Ok(bytes),
                Ok(0) => break Cause::TooLong(limit),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) => break Cause::from_io(error, &times),
            }
        };
        Err(Error { request, cause })
    }

    /// The body as it comes; its errors are of the kinds that [`Error`] says are transient. Where the
    /// length was announced, one that is cut short ends in an error, and so does one that comes at less
    /// than 64 KiB in each [`Times::stall`] of waiting for it.
    pub fn into_reader(self) -> impl Read + Send + 'static {
        Reader {
            inner: self.body.into_reader(),
            times: self.times,
            waited: Duration::ZERO,
            came: 0,
        }
    }
}

/// Less of a body in the time of a stall is none.
const LEAST: usize = 64 * 1024;

struct Reader<R> {
    inner: R,
    times: Times,
    /// Since when `came` is counted. What the caller does in between is no fault of the server.
    waited: Duration,
    came: usize,
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let stall = self.times.stall;
        if self.came >= LEAST {
            (self.waited, self.came) = (Duration::ZERO, 0);
        } else if self.waited > stall {
            return Err(std::io::Error::other(Cause::Slow(stall).to_string()));
        }
        let start = Instant::now();
        let read = self.inner.read(buffer);
        self.waited += start.elapsed();
        self.came += read.as_ref().map_or(0, |count| *count);
        read.map_err(|error| match Cause::from_io(error, &self.times) {
            Cause::Io(error) => error,
            cause => std::io::Error::other(cause.to_string()),
        })
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.request, self.status)
    }
}
