//! Talking to a systemd manager over D-Bus (org.freedesktop.systemd1(5)).
//!
//! By zbus itself, not by the client that cgroups-rs has around it: that one knows only the system's
//! manager, does not wait for the end of a job, and takes every error of the bus for a unit that is
//! not there. zbus starts threads, so each conversation is held in a child of its own
//! ([`crate::sys::apart`]).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;
use std::time::Duration;
use std::{env, io};

use nix::errno::Errno;
use serde::Serialize;
use zbus::address::Address;
use zbus::address::transport::{Transport, UnixSocket};
use zbus::blocking::{Connection, MessageIterator, connection};
use zbus::message::{Message, Type};
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Value};
use zbus::{Error, MatchRule};

use super::properties::{OOM_POLICY, Properties, Property};
use crate::spec::unit::{Manager, Unit};
use crate::sys::apart::{self, apart};
use crate::sys::{process, reason};

/// How long a job of systemd may take, as long as runc waits.
const PATIENCE: Duration = Duration::from_secs(30);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const SCOPE: &str = "org.freedesktop.systemd1.Scope";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Makes the unit, with processes in it, waits until it is there, sees that it is `group`, and sets
/// what `then` gives. Answers why nothing was made, if so; after an error it may be there or not.
pub(super) fn start(
    unit: &Unit,
    group: &str,
    properties: &Properties,
    then: impl FnOnce() -> Properties,
) -> Result<Option<String>, apart::Error> {
    let answer = apart(PATIENCE, || {
        let (bus, version, job) = match begin(unit, properties) {
            Ok(begun) => begun,
            Err(why) => return Ok(why),
        };
        let end = job.end().and_then(|()| bus.check_group(unit, group));
        let end = end.and_then(|()| bus.set(unit, &then(), version));
        end.map(|()| String::new()).map_err(words)
    })?;
    Ok(Some(answer).filter(|why| !why.is_empty()))
}

/// Has systemd begin to make the unit.
fn begin(unit: &Unit, properties: &Properties) -> Result<(Bus, u32, Job), String> {
    let bus = Bus::connect(unit.manager)?;
    let version = bus.version().map_err(words)?;
    let listed: Vec<_> = properties.for_version(version).collect();
    let unknown = properties.0.iter().filter(|one| one.since > version);
    if unknown.clone().any(|one| one.name == OOM_POLICY) {
        log::warn!(
            "{}: systemd {version} undoes memory.oom.group when it sets the unit's limits anew, as it \
             does at a daemon-reload; it does not from 253 on",
            unit.name
        );
    }
    let auxiliary: [(&str, Vec<(&str, &Value<'_>)>); 0] = [];
    let body = (&*unit.name, "replace", listed, &auxiliary[..]);
    let mut job = bus.job("StartTransientUnit", &body);
    if job.as_ref().is_err_and(|e| is(e, "UnitExists")) {
        // Perhaps one that has failed and is kept to be looked at: it is let go of.
        bus.forget(unit).map_err(words)?;
        job = bus.job("StartTransientUnit", &body);
    }
    match job {
        Err(e) if is(&e, "UnitExists") => Err("it is there already, and another's".into()),
        job => Ok((bus, version, job.map_err(words)?)),
    }
}

/// Sets properties of a unit that is there, for as long as it is.
pub(super) fn set(unit: &Unit, properties: &Properties) -> Result<(), apart::Error> {
    converse(unit.manager, |bus| {
        let version = bus.version()?;
        bus.set(unit, properties, version)
    })
}

/// Ends the unit and all that is in it, and waits for that. One that is gone is fine; one that lies in
/// another slice is somebody else's, and stays.
pub(super) fn stop(unit: &Unit) -> Result<(), apart::Error> {
    converse(unit.manager, |bus| {
        let path: OwnedObjectPath = match bus.call("GetUnit", &(&*unit.name,)) {
            Err(e) if is(&e, "NoSuchUnit") => return Ok(()),
            answer => answer?.body().deserialize()?,
        };
        if bus.property(&path, SCOPE, "Slice")? != unit.slice {
            return Ok(());
        }
        match bus.job("StopUnit", &(&*unit.name, "replace")) {
            Err(e) if is(&e, "NoSuchUnit") => {}
            job => job?.end()?,
        }
        bus.forget(unit)
    })
}

/// The group that the manager's units lie in, from the root of the hierarchies.
pub(super) fn manager_group(manager: Manager) -> Result<PathBuf, apart::Error> {
    let text = apart(PATIENCE, || {
        let bus = Bus::connect(manager)?;
        bus.property(PATH, MANAGER, "ControlGroup").map_err(words)
    })?;
    Ok(text.into())
}

fn converse(
    manager: Manager,
    talk: impl FnOnce(&Bus) -> Result<(), Error>,
) -> Result<(), apart::Error> {
    let whole = || {
        talk(&Bus::connect(manager)?).map_err(words)?;
        Ok(String::new())
    };
    apart(PATIENCE, whole).map(drop)
}

struct Bus {
    connection: Connection,
}

struct Job {
    path: OwnedObjectPath,
    /// The ends of all jobs since it was begun.
    ends: MessageIterator,
}

impl Job {
    /// Waits until it is done.
    fn end(self) -> Result<(), Error> {
        for end in self.ends {
            let body = end?.body();
            let (_, ended, _, result): (u32, OwnedObjectPath, &str, &str) = body.deserialize()?;
            if ended == self.path {
                return match result {
                    "done" => Ok(()),
                    other => Err(Error::Failure(format!("its job ended as {other:?}"))),
                };
            }
        }
        Err(Error::Failure("the connection has ended".into()))
    }
}

impl Bus {
    fn connect(manager: Manager) -> Result<Self, String> {
        let address = address(manager)?;
        let fault = |cause: String| format!("connect to D-Bus at {address}: {cause}");
        let stream = open(&address).map_err(|e| fault(cause(&e)))?;
        // By number: root of a user namespace is a user outside, and that is who the bus sees.
        let connection = connection::Builder::async_io_unix_stream(stream)
            .user_id(process::outer_uid())
            .method_timeout(PATIENCE)
            .build()
            .map_err(|e| fault(words(e)))?;
        Ok(Self { connection })
    }

    fn call<B: Serialize + DynamicType>(&self, method: &str, body: &B) -> Result<Message, Error> {
        self.connection
            .call_method(Some(SYSTEMD), PATH, Some(MANAGER), method, body)
    }

    /// Calls a method that begins a job.
    fn job<B: Serialize + DynamicType>(&self, method: &str, body: &B) -> Result<Job, Error> {
        // Without a subscriber systemd sends no signals.
        match self.call("Subscribe", &()) {
            Err(e) if is(&e, "AlreadySubscribed") => {}
            answer => drop(answer?),
        }
        // Anybody may send signals of this name. They are told apart by the sender's unique name, which
        // the bus vouches for; a name that can be owned is not compared here.
        let sender = self.owner()?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(&*sender)?
            .interface(MANAGER)?
            .member("JobRemoved")?
            .build();
        let ends = MessageIterator::for_match_rule(rule, &self.connection, Some(4096))?;
        let path = self.call(method, body)?.body().deserialize()?;
        Ok(Job { path, ends })
    }

    /// Who systemd is on this bus.
    fn owner(&self) -> Result<String, Error> {
        let bus = "org.freedesktop.DBus";
        let path = "/org/freedesktop/DBus";
        let body = (SYSTEMD,);
        self.connection
            .call_method(Some(bus), path, Some(bus), "GetNameOwner", &body)?
            .body()
            .deserialize()
    }

    /// A property that is a string.
    fn property(&self, path: &str, interface: &str, name: &str) -> Result<String, Error> {
        let body = (interface, name);
        let answer =
            self.connection
                .call_method(Some(SYSTEMD), path, Some(PROPERTIES), "Get", &body)?;
        let value: OwnedValue = answer.body().deserialize()?;
        Ok(String::try_from(value)?)
    }

    /// `252` of `252.39-1~deb12u1`; 0 where it says nothing of the kind.
    fn version(&self) -> Result<u32, Error> {
        let text = self.property(PATH, MANAGER, "Version")?;
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit());
        Ok(digits[..end.unwrap_or(digits.len())].parse().unwrap_or(0))
    }

    /// The host may have its own word on where units lie (`NAME.scope.d`, systemd.unit(5)): limits
    /// written elsewhere than there would limit nothing.
    fn check_group(&self, unit: &Unit, group: &str) -> Result<(), Error> {
        let answer = self.call("GetUnit", &(&*unit.name,))?;
        let path: OwnedObjectPath = answer.body().deserialize()?;
        let found = self.property(&path, SCOPE, "ControlGroup")?;
        if found == group {
            return Ok(());
        }
        let why = format!("its group is {found}, and not {group}");
        Err(Error::Failure(why))
    }

    fn set(&self, unit: &Unit, properties: &Properties, version: u32) -> Result<(), Error> {
        let listed: Vec<_> = properties.for_version(version).collect();
        let body = (&*unit.name, true, listed);
        self.call("SetUnitProperties", &body).map(drop)
    }

    /// Lets go of a unit that has failed.
    fn forget(&self, unit: &Unit) -> Result<(), Error> {
        match self.call("ResetFailedUnit", &(&*unit.name,)) {
            Err(e) if is(&e, "NoSuchUnit") => Ok(()),
            answer => answer.map(drop),
        }
    }
}

impl Properties {
    fn for_version(&self, version: u32) -> impl Iterator<Item = (&str, &Value<'static>)> {
        let known = move |one: &&Property| one.since <= version;
        self.0
            .iter()
            .filter(known)
            .map(|one| (&*one.name, &one.value))
    }
}

/// Whether systemd refused by this name.
fn is(error: &Error, name: &str) -> bool {
    matches!(error, Error::MethodError(found, ..)
        if found.strip_prefix(SYSTEMD).and_then(|rest| rest.strip_prefix('.')) == Some(name))
}

/// systemd's own sentence, without the name of the error.
fn words(error: Error) -> String {
    let text = match error {
        Error::MethodError(_, Some(text), _) => text,
        Error::MethodError(name, None, _) => name.to_string(),
        Error::Failure(text) => text,
        other => other.to_string(),
    };
    text.trim_end_matches('.').into()
}

fn address(manager: Manager) -> Result<String, String> {
    let given = |name| env::var(name).ok().filter(|value| !value.is_empty());
    match manager {
        Manager::System => Ok(given("DBUS_SYSTEM_BUS_ADDRESS")
            .unwrap_or_else(|| "unix:path=/run/dbus/system_bus_socket".into())),
        Manager::User => given("DBUS_SESSION_BUS_ADDRESS")
            .or_else(|| given("XDG_RUNTIME_DIR").map(|dir| format!("unix:path={dir}/bus")))
            .ok_or_else(|| {
                "no D-Bus of the user: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set"
                    .into()
            }),
    }
}

fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => reason(Errno::from_raw(number)),
        None => error.to_string(),
    }
}

/// Only sockets in the file system and abstract ones: for others a static program would have to look
/// up names by the host's NSS libraries.
fn open(address: &str) -> io::Result<UnixStream> {
    let unusable = || io::Error::other("not an address of a unix socket");
    // Several addresses are alternatives; the first is the one to be expected.
    let first = address.split(';').next().unwrap_or_default();
    let parsed: Address = first.parse().map_err(|_| unusable())?;
    match parsed.transport() {
        Transport::Unix(unix) => match unix.path() {
            UnixSocket::File(path) => UnixStream::connect(path),
            UnixSocket::Abstract(name) => {
                UnixStream::connect_addr(&SocketAddr::from_abstract_name(name.as_bytes())?)
            }
            _ => Err(unusable()),
        },
        _ => Err(unusable()),
    }
}
