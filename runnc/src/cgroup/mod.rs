//! A container's control group, by libcgroups: version 1, version 2, or both at once.

mod inside;
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
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{AccessFlags, access};

use crate::container::{Record, is_rootless};
use inside::Entry;

/// Where control groups are mounted.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";

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
    let hidden = own_mounts().and_then(|()| match unified.is_dir() {
        true => mount(Some(&unified), ROOT, none, MsFlags::MS_BIND, none),
        false => unshare(CloneFlags::CLONE_NEWCGROUP)
            .and_then(|()| mount(none, ROOT, Some("cgroup2"), MsFlags::empty(), none)),
    });
    hidden.context(
        "control groups of version 1 are the host's; an engine's user namespace, such as rootless \
         podman's, or version 2 is needed",
    )
}

/// Gives this process, and what it forks, mounts of its own, of which the host sees nothing.
fn own_mounts() -> Result<(), Errno> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
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
    kind: Kind,
}

/// How the host keeps it.
enum Kind {
    /// With version 1, as a folder in each hierarchy.
    Version1(Vec<PathBuf>),
    /// With version 2, as this folder.
    Version2(PathBuf),
    /// With version 2, as systemd makes it.
    Systemd,
}

impl Cgroup {
    /// The one of a container.
    ///
    /// # Errors
    /// If the host has none.
    pub(crate) fn of(record: &Record) -> Result<Self> {
        let path = record.cgroup_path.clone();
        let kind = match get_cgroup_setup().context("cannot look at control groups")? {
            CgroupSetup::Legacy | CgroupSetup::Hybrid => Kind::Version1(version_1::folders(&path)?),
            // As libcgroups decides it.
            CgroupSetup::Unified if record.systemd && !path.is_absolute() => Kind::Systemd,
            CgroupSetup::Unified => {
                Kind::Version2(Path::new(ROOT).join(path.strip_prefix("/").unwrap_or(&path)))
            }
        };
        let config = CgroupConfig {
            cgroup_path: path,
            systemd_cgroup: record.systemd,
            container_name: record.id.clone(),
        };
        Ok(Self { config, kind })
    }

    /// libcgroups' own, which reads the machine's mounts again and again, so it is made for what needs it.
    fn manager(&self) -> Result<AnyCgroupManager> {
        create_cgroup_manager(self.config.clone()).context("cannot look at control groups")
    }

    /// The processes in it, without this one and those that have no number here; none if it is not there.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn pids(&self) -> Result<Vec<i32>> {
        let all = || {
            let pids = self.manager()?.get_all_pids().context("cannot read the control group")?;
            Ok(pids.iter().map(|pid| pid.as_raw()).collect())
        };
        let mut pids = match &self.kind {
            Kind::Version1(folders) => version_1::pids(folders)?,
            Kind::Version2(folder) if !folder.exists() => Vec::new(),
            Kind::Version2(_) => all()?,
            // systemd removes it with its last process.
            Kind::Systemd => all().unwrap_or_else(|_: anyhow::Error| Vec::new()),
        };
        pids.retain(|&pid| pid > 0 && pid != std::process::id() as i32);
        Ok(pids)
    }

    /// Makes it, sets its limits, and runs `make` in it, in a child that sees no control groups, so that
    /// libcontainer has nothing to do there. `make` is told whether it is so; if that cannot be, it runs as if
    /// this were not there.
    ///
    /// # Errors
    /// If the group cannot be made, and those of `make`.
    pub(crate) fn run_inside(
        &self,
        resources: Option<&LinuxResources>,
        make: impl Fn(bool) -> Result<i32>,
    ) -> Result<i32> {
        let entry = match &self.kind {
            Kind::Version1(folders) if !folders.is_empty() => {
                version_1::make(folders)?;
                Entry::Walk(folders)
            }
            Kind::Version2(folder) => {
                version_2::make(folder)?;
                Entry::Birth(folder)
            }
            Kind::Version1(_) | Kind::Systemd => return make(false),
        };
        resources.map_or(Ok(()), |resources| self.apply(resources))?;
        match inside::run(&entry, || make(true))? {
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
        match &self.kind {
            Kind::Version1(folders) => version_1::remove(folders),
            _ => self.manager()?.remove().context("cannot remove the control group"),
        }
    }
}
