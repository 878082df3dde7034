//! A blob on its way: a connection that breaks is taken up where it broke.

use std::io::{self, Read};
use std::sync::Arc;

use super::endpoint::Endpoint;
use super::{Cause, Error};
use crate::image::documents::Descriptor;
use crate::net::Response;

/// As much has to come before a new failure counts as the first: a server that sends a byte at a time and
/// hangs up is not asked for ever.
const PROGRESS: u64 = 64 * 1024;

pub(super) struct Blob {
    endpoint: Arc<Endpoint>,
    /// Whom to ask for the rest where that one fails for good.
    later: Vec<Arc<Endpoint>>,
    image: String,
    descriptor: Descriptor,
    /// Bytes that were handed on.
    at: u64,
    /// `None` after a failure.
    body: Option<Box<dyn Read + Send>>,
    failures: u32,
    /// Where the last failure was.
    failed_at: u64,
}

impl Blob {
    pub(super) fn open(
        endpoint: &Arc<Endpoint>,
        image: &str,
        descriptor: &Descriptor,
    ) -> Result<Self, Cause> {
        let mut blob = Self {
            endpoint: Arc::clone(endpoint),
            later: Vec::new(),
            image: image.into(),
            descriptor: descriptor.clone(),
            at: 0,
            body: None,
            failures: 0,
            failed_at: 0,
        };
        loop {
            match blob.reopen() {
                Ok(()) => return Ok(blob),
                Err(cause) => blob.fail(cause)?,
            }
        }
    }

    /// With others that may have the rest, in their order.
    pub(super) fn or(self, later: Vec<Arc<Endpoint>>) -> Self {
        Self { later, ..self }
    }

    /// Asks for what is missing.
    fn reopen(&mut self) -> Result<(), Cause> {
        let (digest, size) = (&self.descriptor.digest, self.descriptor.size);
        let mut headers = vec![("accept-encoding", "identity".to_owned())];
        if self.at > 0 {
            headers.push(("range", format!("bytes={}-", self.at)));
        }
        let path = format!("blobs/{digest}");
        let response = self
            .endpoint
            .get_once(&path, &headers, &format!("blob {digest}"))?;
        let start = match response.status {
            206 => range_start(&response, size)
                .ok_or_else(|| self.fault("its Content-Range is not what was asked for".into()))?,
            _ => 0,
        };
        if start > self.at {
            return Err(self.fault(format!(
                "asked for byte {}, it sends from {start} on",
                self.at
            )));
        }
        let announced = response
            .header("content-length")
            .and_then(|text| text.parse::<u64>().ok());
        if let Some(announced) = announced.filter(|length| *length != size.saturating_sub(start)) {
            return Err(Cause::Length {
                host: self.endpoint.host.clone(),
                digest: digest.clone(),
                announced,
                start,
                size,
            });
        }
        let mut body: Box<dyn Read + Send> = Box::new(response.into_reader());
        // A server that knows no ranges starts over; what was handed on has been hashed by who reads.
        let known = self.at - start;
        let skipped = io::copy(&mut body.by_ref().take(known), &mut io::sink());
        match skipped {
            Ok(count) if count == known => self.body = Some(body),
            Ok(count) => {
                return Err(self.fault(format!(
                    "it ended after {count} of {known} bytes that had come before"
                )));
            }
            Err(error) => return Err(self.fault(error.to_string())),
        }
        Ok(())
    }

    fn fault(&self, why: String) -> Cause {
        Cause::Blob {
            host: self.endpoint.host.clone(),
            digest: self.descriptor.digest.clone(),
            why,
        }
    }

    /// Waits for the next attempt, or turns to the next endpoint, or gives the failure back.
    fn fail(&mut self, cause: Cause) -> Result<(), Cause> {
        self.body = None;
        let Err(cause) = self.wait(cause) else {
            return Ok(());
        };
        if self.later.is_empty() {
            return Err(cause);
        }
        log::warn!("{}: a mirror does not have all of it: {cause}", self.image);
        self.endpoint = self.later.remove(0);
        (self.failures, self.failed_at) = (0, self.at);
        Ok(())
    }

    fn wait(&mut self, cause: Cause) -> Result<(), Cause> {
        // Once something has come, the rest is worth waiting for, from a mirror too.
        let is_given_up = self.at == 0 && !self.endpoint.is_last;
        if is_given_up || !cause.is_transient() {
            return Err(cause);
        }
        if self.at >= self.failed_at + PROGRESS {
            self.failures = 0;
        }
        self.failed_at = self.at;
        let attempt = self.failures;
        self.failures += 1;
        self.endpoint.pause(attempt, cause)
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let size = self.descriptor.size;
        // More than there should be is for the caller to find: a byte of it is enough.
        let left = size.saturating_add(1).saturating_sub(self.at);
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        loop {
            let failed = match &mut self.body {
                None => self.reopen().err(),
                Some(body) => match body.read(&mut buffer[..most]) {
                    Ok(0) if self.at < size => {
                        Some(self.fault(format!("it ended after {} of {size} bytes", self.at)))
                    }
                    // It is whole, and how the connection ended is nothing to it.
                    Err(_) if self.at == size => return Ok(0),
                    Ok(count) => {
                        self.at += count as u64;
                        return Ok(count);
                    }
                    Err(error) => Some(self.fault(format!("after {} bytes: {error}", self.at))),
                },
            };
            if let Some(cause) = failed {
                self.fail(cause)
                    .map_err(|cause| io::Error::other(Error::new(&self.image, cause)))?;
            }
        }
    }
}

/// Of `bytes START-END/SIZE`.
fn range_start(response: &Response, size: u64) -> Option<u64> {
    let text = response.header("content-range")?;
    let (range, whole) = text.strip_prefix("bytes ")?.split_once('/')?;
    let fits = whole == "*" || whole.parse() == Ok(size);
    let start = range.split_once('-')?.0.parse().ok()?;
    fits.then_some(start)
}
