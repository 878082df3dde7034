//! `checkpoint`: a container's processes, saved to images.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::criu::message::{Features, Kind, Options, PageServer, Request};
use super::criu::{self, ImageOptions, Images, Notice, Service};
use super::state::status;
use super::{Context, Error, Status, call, delete, kill, successor};
use crate::launch::{self, Equipment, Launched};
use crate::plan::Plan;
use crate::spec::{self, Container, Id};
use crate::state::Record;
use crate::sys::{errno, exec, signal};

const LOG: &str = "dump.log";

/// What `checkpoint` takes.
#[derive(Clone, Debug)]
pub struct CheckpointOptions {
    pub images: ImageOptions,
    /// Images of an earlier pre-dump, relative to these.
    pub parent: Option<PathBuf>,
    /// Save what changes little, ahead, and leave the container running.
    pub pre_dump: bool,
    pub leave_running: bool,
    pub tcp_skip_in_flight: bool,
    /// Where pages are sent instead of to the images.
    pub page_server: Option<(String, u16)>,
    /// A descriptor of the caller's that is told when lazy pages can be asked for.
    pub status_fd: Option<i32>,
}

/// Saves container `id`, and removes it unless it is to go on. A container that could not be saved
/// goes on.
pub fn checkpoint(cx: &Context, id: &Id, options: &CheckpointOptions) -> Result<(), Error> {
    let slot = cx.store.open(id)?;
    let record = slot.record()?;
    let status = status(&record, slot.lock_fd())?;
    if !matches!(status, Status::Running | Status::Paused) {
        return Err(Error::NotSavable(status));
    }
    let container = spec::parse(&cx.store.config(id)?, &record.bundle)?;
    if container.root.overlay.is_some() {
        return Err(Error::Unsupported(
            "a checkpoint of a root stacked of layers",
        ));
    }
    criu::check_mounts(&container)?;
    let images = Images::make(&options.images)?;
    if let Some(parent) = &options.parent {
        images.check_parent(parent)?;
    }
    let status_fd = options.status_fd.filter(|_| options.images.lazy_pages);
    let mut ready = status_fd.map(open_status).transpose()?;

    let flags = options.images.remember_flags(&cx.store)?;
    let criu = Saver::start()?;
    let request = request(&record, &container, &images, options, &criu);
    let mut serve = |request| {
        criu.service.serve(&request, |notice: Notice| {
            log::debug!("container {id}: criu: {}", notice.word);
            if matches!(notice.word.as_str(), "pre-dump" | "network-lock") {
                check_alive(&record)?;
            }
            if notice.word == "status-ready"
                && let Some(mut ready) = ready.take()
                && let Err(e) = ready.write_all(b"\0")
            {
                log::warn!("container {id}: --status-fd: {e}");
            }
            Ok(())
        })
    };
    let served = request.and_then(|request| {
        check_alive(&record)?;
        serve(request)
    });
    let words = criu.end();
    drop(flags);
    if served.is_err() && status == Status::Running {
        thaw(&record);
    }
    served.map_err(|e| match e {
        Error::Criu(e) => e.explain("save", &images.log(LOG), Some(words)).into(),
        e => e,
    })?;

    if options.leave_running || options.pre_dump {
        slot.unlock();
        successor::appoint(cx, &record);
        return Ok(());
    }
    delete::end(&record)?;
    delete::destroy(slot, &record, kill::group(&record)?.as_deref())
}

/// CRIU knows the process by its number alone, which may have become another's.
fn check_alive(record: &Record) -> Result<(), Error> {
    let alive = kill::process(record)?;
    alive.map(drop).ok_or(Error::NotSavable(Status::Stopped))
}

/// A CRIU that was killed has left everything frozen.
fn thaw(record: &Record) {
    let group = kill::group(record);
    let thawed = group.and_then(|group| Ok(group.map_or(Ok(()), |group| group.thaw())?));
    if let Err(e) = thawed {
        log::debug!("container {}: {e}", record.id);
    }
}

/// CRIU, running.
struct Saver {
    launched: Launched,
    service: Service,
    /// What it has written before it had its log.
    words: File,
}

impl Saver {
    fn start() -> Result<Self, Error> {
        let program = criu::find()?;
        // CRIU gets what is its, and nothing that our caller forgot.
        exec::close_at_exec_from(3).map_err(call("keep descriptors from criu"))?;
        let (service, theirs) = Service::new()?;
        let act = call("make a file for what criu writes");
        let words = exec::memory_file(c"criu").map_err(&act)?;
        let copy = words.try_clone().map_err(|e| act(errno(&e)))?;
        let plan = Plan::saving(program, theirs.as_fd(), copy);
        let launched = launch::launch(&plan, &Equipment::default()).map_err(Error::Join)?;
        drop(theirs);
        launched.wait_for_program(&plan).map_err(Error::Join)?;
        Ok(Self {
            launched,
            service,
            words: words.into(),
        })
    }

    /// Lets go of it: without somebody to ask, CRIU ends. After a pre-dump it would wait for the next.
    fn end(self) -> File {
        drop(self.service);
        let _ = signal::wait(self.launched.pidfd.as_fd(), true);
        self.words
    }
}

fn request(
    record: &Record,
    container: &Container,
    images: &Images,
    options: &CheckpointOptions,
    criu: &Saver,
) -> Result<Request, Error> {
    let pid = record.pid.unwrap_or(0);
    let mut asked = Options {
        pid: Some(pid),
        root: Some(criu::text(&record.rootfs)?),
        leave_running: options.leave_running,
        tcp_skip_in_flight: options.tcp_skip_in_flight,
        page_server: options
            .page_server
            .clone()
            .map(|(address, port)| PageServer {
                address: Some(address),
                port: Some(port.into()),
            }),
        freeze_cgroup: freezer(record)?,
        ..images.options(&options.images, container, LOG)
    };
    if let Some(parent) = &options.parent {
        asked.parent_img = Some(criu::text(parent)?);
        asked.track_mem = true;
    }
    let mut needs = criu::save_namespaces(&container.namespaces, pid, &mut asked)?;
    if asked
        .freeze_cgroup
        .as_ref()
        .is_some_and(|path| !path.contains("freezer"))
    {
        needs.push((3_14_00, "cgroup v2"));
    }
    criu::check_version(criu.service.version()?, &needs)?;
    check_features(criu, options)?;
    if !options.pre_dump {
        asked.ext_mnt = criu::saved_mounts(container, pid)?;
        let streams = criu::save_streams(&record.streams, images)?;
        asked.external.extend(streams);
        criu::save_ending(record.ends_with_runtime, images)?;
    }
    Ok(Request {
        kind: if options.pre_dump {
            Kind::PreDump
        } else {
            Kind::Dump
        }
        .into(),
        options: Some(asked),
        ..Request::default()
    })
}

/// Whether CRIU and the kernel can do what is asked beyond the plain.
fn check_features(criu: &Saver, options: &CheckpointOptions) -> Result<(), Error> {
    let (tracks, lazy) = (options.pre_dump, options.images.lazy_pages);
    if !tracks && !lazy {
        return Ok(());
    }
    let has = criu.service.features(Features {
        mem_track: tracks.then_some(true),
        lazy_pages: lazy.then_some(true),
    })?;
    for (wanted, there, name) in [
        (tracks, has.mem_track, "memory tracking"),
        (lazy, has.lazy_pages, "lazy pages"),
    ] {
        if wanted && there == Some(false) {
            return Err(criu::Error::Feature(name).into());
        }
    }
    Ok(())
}

/// The group that CRIU stops the processes by: that of the v1 freezer, or the one of a host that has v2
/// alone. Without one CRIU stops each by itself.
fn freezer(record: &Record) -> Result<Option<String>, Error> {
    let paths = &record.group_paths;
    let v1 = paths
        .iter()
        .find(|path| path.join("freezer.state").exists());
    let only = paths
        .first()
        .filter(|path| paths.len() == 1 && path.join("cgroup.freeze").exists());
    Ok(v1.or(only).map(|path| criu::text(path)).transpose()?)
}

/// The caller's descriptor for us to write to and to close: there is no other of it then.
fn open_status(number: i32) -> Result<File, Error> {
    let fault = || criu::Error::StatusFd(number);
    let open = || {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = i32::from_str_radix(flags.trim(), 8).ok()?;
        let path = format!("/proc/self/fd/{number}");
        let own = File::options().write(true).open(path).ok()?;
        let is_writable = flags & libc::O_ACCMODE != libc::O_RDONLY;
        (is_writable && nix::unistd::close(number).is_ok()).then_some(own)
    };
    Ok(open().ok_or_else(fault)?)
}
