//! Bytes from one thread to another in buffers that go round: no more memory than they have.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{self, Receiver, SyncSender};

/// Large enough that a change of threads is rare, small enough to stay in the processor's cache.
const LENGTH: usize = 256 << 10;

/// 2 MiB: a slow file does not stop the other side at once.
const COUNT: usize = 8;

#[derive(Debug)]
pub(super) struct Input {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

/// Ends where the other side is dropped.
#[derive(Debug)]
pub(super) struct Output {
    full: Receiver<Vec<u8>>,
    empty: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

pub(super) fn pipe() -> (Input, Output) {
    let (full_in, full_out) = mpsc::sync_channel(COUNT);
    let (empty_in, empty_out) = mpsc::sync_channel(COUNT);
    for _ in 0..COUNT {
        empty_in.send(Vec::new()).expect("both ends are here");
    }
    let input = Input {
        full: full_in,
        empty: empty_out,
    };
    let output = Output {
        full: full_out,
        empty: empty_in,
        current: Vec::new(),
        at: 0,
    };
    (input, output)
}

impl Input {
    /// An empty buffer of full length; `None` when nobody reads any more.
    pub(super) fn buffer(&self) -> Option<Vec<u8>> {
        let mut buffer = self.empty.recv().ok()?;
        // What it held is overwritten, not cleared: only its first use costs.
        buffer.resize(LENGTH, 0);
        Some(buffer)
    }

    /// Whether somebody reads.
    pub(super) fn send(&self, mut buffer: Vec<u8>, length: usize) -> bool {
        buffer.truncate(length);
        self.full.send(buffer).is_ok()
    }
}

impl Read for Output {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(into.len());
        into[..length].copy_from_slice(&bytes[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Output {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.current.len()
            && let Ok(next) = self.full.recv()
        {
            let done = std::mem::replace(&mut self.current, next);
            self.at = 0;
            // The other side may have ended.
            if done.capacity() > 0 {
                let _ = self.empty.send(done);
            }
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;
    use std::thread;

    #[test]
    fn all_bytes_come_out_in_order_and_an_end_is_seen_on_either_side() {
        let (input, mut output) = pipe();
        let sender = thread::spawn(move || {
            for number in 0..100_u8 {
                let mut buffer = input.buffer().unwrap();
                buffer[..3].fill(number);
                assert!(input.send(buffer, 3));
            }
        });
        let mut all = Vec::new();
        output.read_to_end(&mut all).unwrap();
        sender.join().unwrap();
        assert_eq!(all.len(), 300);
        assert!(
            all.iter()
                .enumerate()
                .all(|(at, b)| at / 3 == usize::from(*b))
        );

        let (input, output) = pipe();
        drop(output);
        let sent = input.buffer().is_some_and(|buffer| input.send(buffer, 1));
        assert!(!sent);
    }
}
