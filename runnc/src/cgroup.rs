//! A container's control group, by libcgroups: version 1, version 2, or both at once.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager, ControllerOpt, FreezerState,
    create_cgroup_manager,
};
use libcgroups::stats::Stats;
use libcontainer::oci_spec::runtime::LinuxResources;

use crate::container::Record;
use crate::process;

/// How long killed processes may take to be gone. One that waits for a disk takes long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A control group.
pub(crate) struct Cgroup {
    manager: AnyCgroupManager,
}

impl Cgroup {
    /// The one of a container.
    ///
    /// # Errors
    /// If the host has none.
    pub(crate) fn of(record: &Record) -> Result<Self> {
        Self::at(record.cgroup_path.clone(), record.systemd, &record.id)
    }

    /// The one with this path.
    ///
    /// # Errors
    /// If the host has none.
    pub(crate) fn at(cgroup_path: PathBuf, systemd_cgroup: bool, id: &str) -> Result<Self> {
        let config = CgroupConfig { cgroup_path, systemd_cgroup, container_name: id.to_owned() };
        let manager = create_cgroup_manager(config).context("cannot look at control groups")?;
        Ok(Self { manager })
    }

    /// The processes in it; none if it is not there.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.manager.get_all_pids().unwrap_or_default().iter().map(|pid| pid.as_raw()).collect()
    }

    /// Stops all processes in it, or lets them go on.
    ///
    /// # Errors
    /// If the host refuses.
    pub(crate) fn freeze(&self, is_frozen: bool) -> Result<()> {
        let state = if is_frozen { FreezerState::Frozen } else { FreezerState::Thawed };
        self.manager.freeze(state).context("cannot freeze or thaw the control group")
    }

    /// Changes its limits.
    ///
    /// # Errors
    /// If the host refuses.
    pub(crate) fn apply(&self, resources: &LinuxResources) -> Result<()> {
        let options = ControllerOpt {
            resources,
            disable_oom_killer: false,
            oom_score_adj: None,
            freezer_state: None,
        };
        self.manager.apply(&options).context("cannot change the limits of the control group")
    }

    /// What it has used.
    ///
    /// # Errors
    /// If the host does not tell.
    pub(crate) fn stats(&self) -> Result<Stats> {
        self.manager.stats().context("cannot read what the control group has used")
    }

    /// Kills all processes in it and waits until they are gone.
    ///
    /// # Errors
    /// If they do not go.
    pub(crate) fn kill(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(200);
        loop {
            let pids = self.pids();
            if pids.is_empty() {
                return Ok(());
            }
            pids.iter().for_each(|&pid| process::kill(pid));
            // One that is frozen dies when it thaws.
            let _ = self.freeze(false);
            ensure!(Instant::now() < deadline, "processes {pids:?} do not end");
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Removes it, which must be empty.
    ///
    /// # Errors
    /// If the host refuses.
    pub(crate) fn remove(&self) -> Result<()> {
        self.manager.remove().context("cannot remove the control group")
    }
}
