//! Hierarchies of version 1, one folder for each: how to come into a control group without waiting for the
//! whole machine.
//!
//! A process that is moved by its number, or with its threads, makes the kernel hold up all forks and exits
//! until every processor has noticed, some ten milliseconds. One that moves itself alone, by writing 0 to
//! `tasks`, does not (`cgroup_procs_write_start` in the kernel's kernel/cgroup/cgroup.c).

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};

use super::{ROOT, cover};

/// Files of a cpuset that must not be empty before a process comes in.
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// The folders of a control group with this path, one in each hierarchy.
pub(super) fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    let inner: PathBuf =
        path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    ensure!(!inner.as_os_str().is_empty(), "the control group has no name");
    Ok(hierarchies()?.into_iter().map(|root| root.join(&inner)).collect())
}

/// The mount points. Two names of one hierarchy are links to a third; that of systemd has no limits.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(ROOT).with_context(|| format!("cannot read {ROOT}"))?;
    let mut roots: Vec<PathBuf> = entries
        .filter_map(|entry| {
            let entry = entry.ok().filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir()))?;
            (entry.file_name() != "systemd").then(|| entry.path())
        })
        .filter(|root| root.join("tasks").exists())
        .collect();
    roots.sort_unstable();
    Ok(roots)
}

/// The processes in these folders, other than this one.
pub(super) fn pids(folders: &[PathBuf]) -> Vec<i32> {
    let lists = folders.iter().filter_map(|it| fs::read_to_string(it.join("cgroup.procs")).ok());
    let mut pids: Vec<i32> = lists
        .flat_map(|list| list.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids.retain(|&pid| pid != std::process::id() as i32);
    pids
}

/// Makes the folders, with the processors and memory nodes of those above.
pub(super) fn make(folders: &[PathBuf]) -> Result<()> {
    for folder in folders {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        if folder.join(CPUSET[0]).exists() {
            let above: Vec<&Path> =
                folder.ancestors().take_while(|it| *it != Path::new(ROOT)).collect();
            for pair in above.windows(2).rev() {
                inherit(pair[0], pair[1])?;
            }
        }
    }
    Ok(())
}

fn inherit(folder: &Path, parent: &Path) -> Result<()> {
    for name in CPUSET {
        let path = folder.join(name);
        let cannot = || format!("cannot set {}", path.display());
        if fs::read_to_string(&path).with_context(cannot)?.trim().is_empty() {
            let value = fs::read_to_string(parent.join(name)).with_context(cannot)?;
            fs::write(&path, value).with_context(cannot)?;
        }
    }
    Ok(())
}

/// Removes the folders; `false` if one is left.
pub(super) fn remove(folders: &[PathBuf]) -> bool {
    folders.iter().all(|folder| {
        // What has just died is in it for another moment.
        let mut pause = Duration::from_micros(100);
        loop {
            match fs::remove_dir(folder) {
                Ok(()) => return true,
                Err(error) if error.kind() == ErrorKind::NotFound => return true,
                Err(_) if pause > Duration::from_millis(50) => return false,
                Err(_) => thread::sleep(pause),
            }
            pause *= 2;
        }
    })
}

/// Where this process is, in each hierarchy.
pub(super) fn own() -> Result<Vec<PathBuf>> {
    let text = fs::read_to_string("/proc/self/cgroup").context("cannot read /proc/self/cgroup")?;
    let places = text.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let folder = Path::new(ROOT).join(controllers).join(path.trim_start_matches('/'));
        folder.join("tasks").exists().then_some(folder)
    });
    Ok(places.collect())
}

fn come_into(folders: &[PathBuf]) -> Result<()> {
    folders.iter().try_for_each(|folder| {
        let tasks = folder.join("tasks");
        fs::write(&tasks, "0").with_context(|| format!("cannot come into {}", folder.display()))
    })
}

/// This process is in a control group and sees none, until this is dropped. What it forks meanwhile stays so.
#[derive(Debug)]
pub(super) struct Inside {
    before: Vec<PathBuf>,
    mounts: Option<File>,
}

impl Inside {
    pub(super) fn enter(folders: &[PathBuf], before: Vec<PathBuf>) -> Result<Self> {
        let mut inside = Self { before, mounts: None };
        come_into(folders)?;
        let mounts = File::open("/proc/self/ns/mnt").context("cannot open /proc/self/ns/mnt")?;
        inside.mounts = Some(mounts);
        cover()?;
        Ok(inside)
    }

    /// Goes back to where it was.
    ///
    /// # Errors
    /// If it cannot; it is tried once more as this is dropped.
    pub(super) fn leave(&mut self) -> Result<()> {
        if let Some(mounts) = &self.mounts {
            setns(mounts.as_fd(), CloneFlags::CLONE_NEWNS)
                .context("cannot go back to the mounts")?;
            self.mounts = None;
        }
        come_into(&self.before)?;
        self.before.clear();
        Ok(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // Whoever needed it has been told.
        let _ = self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_a_folder_in_each_hierarchy() {
        // Without version 1 there is none, and nothing to check.
        for folder in folders(Path::new("/a/b")).unwrap_or_default() {
            assert!(folder.ends_with("a/b") && folder.starts_with(ROOT), "{}", folder.display());
        }
        folders(Path::new("/")).unwrap_err();
    }
}
