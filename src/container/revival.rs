//! A container that is brought back: CRIU is launched in its place, and restores its processes.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::creation::Creation;
use super::criu::message::{GroupRoot, Kind, Options, Request};
use super::criu::{self, Images, Notice, Service};
use super::draft::Draft;
use super::restore::RestoreOptions;
use super::{Context, Error, call};
use crate::cgroup::HierarchyFlags;
use crate::launch;
use crate::sys::{channel, errno, exec, signal};

const LOG: &str = "restore.log";

/// What CRIU is to be told, and by which socket.
#[derive(Debug)]
pub(super) struct Revival {
    program: CString,
    service: Service,
    /// CRIU's end, until it has it.
    theirs: Option<OwnedFd>,
    options: Options,
    /// Versions of CRIU, and what for.
    needs: Vec<criu::Need>,
    log: PathBuf,
    /// As its images say.
    pub(super) ends_with_runtime: bool,
    /// Where the master of the terminal goes.
    pub(super) console: Option<OwnedFd>,
    images: Images,
    /// CRIU is told of these by their numbers.
    _namespaces: Vec<OwnedFd>,
    /// Where CRIU manages groups: put back when it has done its part.
    flags: Option<HierarchyFlags>,
}

/// The first process that CRIU has made, a child of ours.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
}

impl Restored {
    /// Ends it and takes its status; one that is gone is fine.
    pub(super) fn kill(&self) {
        launch::end_and_reap(&self.pidfd);
    }
}

impl Revival {
    /// What restoring `draft` takes; nothing is made yet.
    pub(super) fn new(cx: &Context, draft: &Draft, given: &RestoreOptions) -> Result<Self, Error> {
        let program = criu::find()?;
        // CRIU gets what is its, and nothing that our caller forgot.
        exec::close_at_exec_from(3).map_err(call("keep descriptors from criu"))?;
        let images = Images::open(&given.images)?;
        let container = &draft.container;
        criu::check_mounts(container)?;
        let mut options = images.options(&given.images, container, LOG);
        let ends_with_runtime = criu::saved_ending(&images)?;
        if ends_with_runtime && given.how.detach {
            return Err(criu::Error::EndsWithRuntime.into());
        }
        options.evasive_devices = true;
        options.rst_sibling = true;
        options.ext_mnt = criu::restored_mounts(&draft.plan)?;
        options.inherit_fd = criu::restored_streams(&images)?;
        options.lsm_profile.clone_from(&given.lsm_profile);
        options
            .lsm_mount_context
            .clone_from(&given.lsm_mount_context);
        let (namespaces, mut needs) =
            criu::restore_namespaces(&container.namespaces, &mut options)?;
        if options.lsm_profile.is_some() || options.lsm_mount_context.is_some() {
            needs.push((3_16_00, "--lsm-profile and --lsm-mount-context"));
        }
        let (service, theirs) = Service::new()?;
        Ok(Self {
            program,
            service,
            theirs: Some(theirs),
            options,
            needs,
            log: images.log(LOG),
            ends_with_runtime,
            console: None,
            images,
            _namespaces: namespaces,
            flags: given.images.remember_flags(&cx.store)?,
        })
    }

    /// The request, now that CRIU is where the container is to be.
    fn request(&mut self, criu: Pid) -> Result<Request, Error> {
        // From here on CRIU alone has it: its end is heard.
        self.theirs = None;
        criu::check_version(self.service.version()?, &self.needs)?;
        let mut options = std::mem::take(&mut self.options);
        if self.flags.is_some() {
            options.cg_root = group_roots(criu)?;
        }
        self.images.move_into(criu, &mut options)?;
        Ok(Request {
            kind: Kind::Restore.into(),
            options: Some(options),
            ..Request::default()
        })
    }

    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Criu(error) => error.explain("restore", &self.log, None).into(),
            error => error,
        }
    }
}

/// The groups of process `pid`, where those that the images name are to be.
fn group_roots(pid: Pid) -> Result<Vec<GroupRoot>, Error> {
    let act = "look at the groups of criu";
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"));
    let text = text.map_err(|e| call(act)(errno(&e)))?;
    let mut roots = Vec::new();
    for line in text.lines() {
        // `4:cpu,cpuacct:/a`, `1:name=systemd:/a`, `0::/a` (cgroups(7)).
        let mut words = line.splitn(3, ':').skip(1);
        if let (Some(controllers), Some(path)) = (words.next(), words.next()) {
            roots.extend(controllers.split(',').map(|controller| GroupRoot {
                controller: Some(controller.to_owned()),
                path: path.to_owned(),
            }));
        }
    }
    Ok(roots)
}

impl Creation {
    /// Plans CRIU in the place of the container's own process, where one is to be brought back.
    pub(super) fn plan_revival(&mut self) -> Result<(), Error> {
        let place = self.slot.path().canonicalize();
        let draft = &mut self.draft;
        let Some(revival) = &mut draft.revival else {
            return Ok(());
        };
        let Some(theirs) = &revival.theirs else {
            return Ok(());
        };
        launch::make_targets(&draft.plan, &draft.container.root.path)?;
        let place = place.map_err(|e| call("find the state directory")(errno(&e)))?;
        revival.options.root = Some(criu::text(&place)?);
        let at = CString::new(place.as_os_str().as_bytes());
        let at = at.map_err(|_| call("find the state directory")(Errno::EINVAL))?;
        let program = revival.program.clone();
        let manages_groups = revival.flags.is_some();
        let plan = &draft.plan;
        draft.plan = plan.restoring(program, theirs.as_fd(), at, manages_groups);
        Ok(())
    }

    /// Has CRIU, which was launched, bring the container back. When it is announced, none of its
    /// processes has run yet.
    pub(super) fn revive(&mut self, mut revival: Revival) -> Result<(), Error> {
        let launched = self.launched()?;
        launched.wait_for_program(&self.draft.plan)?;
        let request = revival.request(launched.pid)?;
        let console = revival.console.take();
        let served = revival
            .service
            .serve(&request, |notice| self.hear(notice, console.as_ref()));
        served.map_err(|e| revival.explain(e))?;
        // It has done its part; how it ends is of no account.
        let _ = signal::wait(self.launched()?.pidfd.as_fd(), true);
        match self.restored {
            Some(_) => Ok(()),
            None => Err(revival.explain(criu::Error::Silent.into())),
        }
    }

    /// What CRIU does not do by itself.
    fn hear(&mut self, notice: Notice, console: Option<&OwnedFd>) -> Result<(), Error> {
        log::debug!("container {}: criu: {}", self.record.id, notice.word);
        match (notice.word.as_str(), notice.fd, console) {
            ("setup-namespaces", ..) => self.run_runtime_hooks(notice.pid),
            ("orphan-pts-master", Some(master), Some(console)) => {
                let sent = channel::send_fd(console.as_fd(), master.as_fd(), launch::MASTER);
                sent.map(drop).map_err(call("send the terminal"))
            }
            ("post-restore", ..) => {
                let pid = Pid::from_raw(notice.pid);
                // A child of ours that we have not reaped: the number is its own.
                let pidfd = signal::open_process(pid).map_err(call("open the restored process"))?;
                self.restored = Some(Restored { pid, pidfd });
                self.join_rdt_groups()?;
                self.announce()
            }
            _ => Ok(()),
        }
    }
}
