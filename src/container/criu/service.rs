//! The conversation with one CRIU (`criu swrk`): one request, what it tells meanwhile, its answer.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use prost::Message;

use super::Error;
use super::message::{Answer, Features, Kind, Request};
use crate::sys::{channel, poll};

/// Our end of the socket.
#[derive(Debug)]
pub(crate) struct Service {
    socket: OwnedFd,
}

/// What CRIU tells while it works.
#[derive(Debug)]
pub(crate) struct Notice {
    /// What it has come to: `post-restore`.
    pub(crate) word: String,
    /// The first process of the container.
    pub(crate) pid: i32,
    /// The master of a terminal.
    pub(crate) fd: Option<OwnedFd>,
}

/// How long CRIU may take to undo what it has begun.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest message of CRIU's.
const LONGEST: usize = 64 * 1024;

fn talk(errno: Errno) -> Error {
    Error::Talk { errno }
}

impl Service {
    /// With the other end, which stays open over exec: it is CRIU's.
    pub(crate) fn new() -> Result<(Self, OwnedFd), Error> {
        let (socket, theirs) = channel::packets().map_err(talk)?;
        Ok((Self { socket }, theirs))
    }

    /// Its version as CRIU counts it: 3.17.1 is 31701.
    pub(crate) fn version(&self) -> Result<u32, Error> {
        let answer = self.ask(Kind::Version, None)?;
        let version = answer.version.ok_or(Error::Nonsense)?;
        let number = version.major * 10_000 + version.minor * 100 + version.sublevel.unwrap_or(0);
        Ok(number.unsigned_abs())
    }

    /// Which of `features` CRIU has on this kernel.
    pub(crate) fn features(&self, features: Features) -> Result<Features, Error> {
        let answer = self.ask(Kind::FeatureCheck, Some(features))?;
        answer.features.ok_or(Error::Nonsense)
    }

    /// Something that is answered at once.
    fn ask(&self, kind: Kind, features: Option<Features>) -> Result<Answer, Error> {
        let request = Request {
            kind: kind.into(),
            keep_open: Some(true),
            features,
            ..Request::default()
        };
        self.send(&request)?;
        let (answer, _) = self.receive()?;
        match answer.success {
            true => Ok(answer),
            false => Err(Error::refused(&answer)),
        }
    }

    /// Has CRIU do what is asked; `hear` is told what it has come to, and CRIU waits for its return.
    pub(crate) fn serve<E: From<Error>>(
        &self,
        request: &Request,
        mut hear: impl FnMut(Notice) -> Result<(), E>,
    ) -> Result<(), E> {
        self.send(request)?;
        loop {
            let (answer, fd) = self.receive()?;
            if !answer.success {
                return Err(Error::refused(&answer).into());
            }
            if answer.kind() != Kind::Notify {
                return Ok(());
            }
            let notify = answer.notify.ok_or(Error::Nonsense)?;
            let heard = hear(Notice {
                word: notify.script.unwrap_or_default(),
                pid: notify.pid.unwrap_or(0),
                fd,
            });
            let answered = self.answer(heard.is_ok());
            if heard.is_err() {
                self.see_undone();
            }
            heard?;
            answered?;
        }
    }

    fn answer(&self, goes_on: bool) -> Result<(), Error> {
        self.send(&Request {
            kind: Kind::Notify.into(),
            notify_success: Some(goes_on),
            ..Request::default()
        })
    }

    /// Waits for what CRIU says when it has ended the processes that it had made: nobody else knows
    /// them all.
    fn see_undone(&self) {
        while let Ok(1..) = poll::wait(&[self.socket.as_fd()], Some(PATIENCE)) {
            match self.receive() {
                Ok((answer, _)) if answer.kind() == Kind::Notify => drop(self.answer(false)),
                _ => return,
            }
        }
    }

    fn send(&self, request: &Request) -> Result<(), Error> {
        let flags = nix::sys::socket::MsgFlags::MSG_NOSIGNAL;
        let message = request.encode_to_vec();
        match nix::sys::socket::send(self.socket.as_raw_fd(), &message, flags) {
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(Error::Silent),
            sent => sent.map(drop).map_err(talk),
        }
    }

    fn receive(&self) -> Result<(Answer, Option<OwnedFd>), Error> {
        let mut buffer = vec![0; LONGEST];
        let received = channel::receive_packet(self.socket.as_fd(), &mut buffer).map_err(talk)?;
        let Some((length, fd)) = received else {
            return Err(Error::Silent);
        };
        let answer = Answer::decode(&buffer[..length]).map_err(|_| Error::Nonsense)?;
        Ok((answer, fd))
    }
}
