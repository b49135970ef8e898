//! A container's control group, by libcgroups: version 1, version 2, or both at once.

mod version_1;
mod version_2;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager, CgroupSetup, ControllerOpt, FreezerState,
    create_cgroup_manager, get_cgroup_setup,
};
use libcgroups::stats::Stats;
use libcontainer::oci_spec::runtime::LinuxResources;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{AccessFlags, access};

use crate::container::{Record, is_rootless};

/// More mounts over each other are not taken away.
const MOUNTS_MAX: usize = 16;
/// Where control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// Shows this process, and what it forks, version 2 of control groups only, where this user may make none of
/// version 1: with version 2, a container that may have none of its own stays in that of its starter.
///
/// # Errors
/// If the host's cannot be covered.
pub(crate) fn hide_what_is_not_ours() -> Result<()> {
    let is_version_1 = matches!(get_cgroup_setup(), Ok(CgroupSetup::Legacy | CgroupSetup::Hybrid));
    let may = || access(&Path::new(ROOT).join("devices"), AccessFlags::W_OK).is_ok();
    if !is_version_1 || !is_rootless() || may() {
        return Ok(());
    }
    let (none, unified) = (None::<&str>, Path::new(ROOT).join("unified"));
    let hidden = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none))
        .and_then(|()| match unified.is_dir() {
            true => mount(Some(&unified), ROOT, none, MsFlags::MS_BIND, none),
            false => unshare(CloneFlags::CLONE_NEWCGROUP)
                .and_then(|()| mount(none, ROOT, Some("cgroup2"), MsFlags::empty(), none)),
        });
    hidden.context(
        "control groups of version 1 are the host's; an engine's user namespace, such as rootless \
         podman's, or version 2 is needed",
    )
}

/// Gives this process, and what it forks, mounts of its own with no control groups among them.
fn cover() -> Result<()> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none))
        .and_then(|()| {
            // There may be several, one over the other; what is not uppermost counts as well.
            let outcome = std::iter::repeat_with(|| umount2(ROOT, MntFlags::MNT_DETACH));
            match outcome.take(MOUNTS_MAX).find_map(Result::err) {
                Some(Errno::EINVAL) => Ok(()),
                Some(errno) => Err(errno),
                None => Err(Errno::EBUSY),
            }
        })
        .and_then(|()| mount(Some("tmpfs"), ROOT, Some("tmpfs"), MsFlags::MS_RDONLY, none))
        .context("cannot cover the control groups")
}

/// Refuses limits that would be ignored.
///
/// # Errors
/// If there are any.
pub(crate) fn check(resources: &LinuxResources) -> Result<()> {
    let files = resources.unified().as_ref().filter(|files| !files.is_empty());
    ensure!(
        files.is_none() || matches!(get_cgroup_setup(), Ok(CgroupSetup::Unified)),
        "linux.resources.unified: this host has control groups of version 1, which know no such files"
    );
    Ok(())
}

/// A control group.
pub(crate) struct Cgroup {
    config: CgroupConfig,
    /// Its folders, one in each hierarchy of version 1; none with version 2.
    folders: Vec<PathBuf>,
}

impl Cgroup {
    /// The one of a container.
    ///
    /// # Errors
    /// If the host has none.
    pub(crate) fn of(record: &Record) -> Result<Self> {
        let config = CgroupConfig {
            cgroup_path: record.cgroup_path.clone(),
            systemd_cgroup: record.systemd,
            container_name: record.id.clone(),
        };
        let folders = match get_cgroup_setup().context("cannot look at control groups")? {
            CgroupSetup::Unified => Vec::new(),
            CgroupSetup::Legacy | CgroupSetup::Hybrid => version_1::folders(&record.cgroup_path)?,
        };
        Ok(Self { config, folders })
    }

    /// libcgroups' own, which reads the machine's mounts again and again, so it is made for what needs it.
    fn manager(&self) -> Result<AnyCgroupManager> {
        create_cgroup_manager(self.config.clone()).context("cannot look at control groups")
    }

    /// The processes in it; none if it is not there.
    pub(crate) fn pids(&self) -> Vec<i32> {
        if !self.folders.is_empty() {
            return version_1::pids(&self.folders);
        }
        let pids = self.manager().ok().and_then(|manager| manager.get_all_pids().ok());
        pids.unwrap_or_default().iter().map(|pid| pid.as_raw()).collect()
    }

    /// Makes it, sets its limits, and runs `make` in it without control groups to see, so that libcontainer has
    /// nothing to do there: it would stop the whole machine's forks for some ten milliseconds by moving a process
    /// in. `make` is told whether it is so; if that cannot be, it runs as if this were not there.
    ///
    /// # Errors
    /// If the group cannot be made, and those of `make`.
    pub(crate) fn run_inside(
        &self,
        resources: Option<&LinuxResources>,
        make: impl Fn(bool) -> Result<i32>,
    ) -> Result<i32> {
        let limit = || resources.map_or(Ok(()), |resources| self.apply(resources));
        if !self.folders.is_empty() {
            let before = version_1::own()?;
            version_1::make(&self.folders)?;
            limit()?;
            let mut inside = version_1::Inside::enter(&self.folders, before)?;
            let made = make(true);
            inside.leave()?;
            return made;
        }
        if self.config.systemd_cgroup {
            // The group is systemd's to make, and it moves the process.
            return make(false);
        }
        let name = self.config.cgroup_path.strip_prefix("/").unwrap_or(&self.config.cgroup_path);
        let folder = Path::new(ROOT).join(name);
        version_2::make(&folder)?;
        limit()?;
        match version_2::run(&folder, || make(true))? {
            Some(pid) => Ok(pid),
            None => make(false),
        }
    }

    /// Stops all processes in it, or lets them go on.
    ///
    /// # Errors
    /// If the host refuses.
    pub(crate) fn freeze(&self, is_frozen: bool) -> Result<()> {
        let state = if is_frozen { FreezerState::Frozen } else { FreezerState::Thawed };
        self.manager()?.freeze(state).context("cannot freeze or thaw the control group")
    }

    /// Changes its limits.
    ///
    /// # Errors
    /// If the host refuses, or has no such limits.
    pub(crate) fn apply(&self, resources: &LinuxResources) -> Result<()> {
        check(resources)?;
        let options = ControllerOpt {
            resources,
            disable_oom_killer: false,
            oom_score_adj: None,
            freezer_state: None,
        };
        self.manager()?.apply(&options).context("cannot change the limits of the control group")
    }

    /// What it has used.
    ///
    /// # Errors
    /// If the host does not tell.
    pub(crate) fn stats(&self) -> Result<Stats> {
        self.manager()?.stats().context("cannot read what the control group has used")
    }

    /// Removes it, which must be empty.
    ///
    /// # Errors
    /// If the host refuses.
    pub(crate) fn remove(&self) -> Result<()> {
        if !self.folders.is_empty() && version_1::remove(&self.folders) {
            return Ok(());
        }
        // It may hold others.
        self.manager()?.remove().context("cannot remove the control group")
    }
}
