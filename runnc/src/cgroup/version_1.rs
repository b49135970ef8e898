//! Hierarchies of version 1: a control group is a folder in each.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::ROOT;
use anyhow::{Context, Result, ensure};

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

/// The processes in these folders and in those below them.
pub(super) fn pids(folders: &[PathBuf]) -> Result<Vec<i32>> {
    let mut pids = Vec::new();
    let mut left = folders.to_vec();
    while let Some(folder) = left.pop() {
        let cannot = || format!("cannot read {}", folder.display());
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.with_context(cannot)?,
        };
        let list = fs::read_to_string(folder.join("cgroup.procs")).with_context(cannot)?;
        pids.extend(list.lines().filter_map(|pid| pid.parse::<i32>().ok()));
        for entry in entries {
            let entry = entry.with_context(cannot)?;
            if entry.file_type().with_context(cannot)?.is_dir() {
                left.push(entry.path());
            }
        }
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
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

/// Removes the folders, all that can be.
pub(super) fn remove(folders: &[PathBuf]) -> Result<()> {
    let mut outcome = Ok(());
    for folder in folders {
        let removed = remove_one(folder);
        outcome =
            outcome.and(removed.with_context(|| format!("cannot remove {}", folder.display())));
    }
    outcome
}

fn remove_one(folder: &Path) -> io::Result<()> {
    // What has just died is in it for another moment.
    let mut pause = Duration::from_micros(100);
    loop {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if pause > Duration::from_millis(200) => return Err(error),
            Err(_) => thread::sleep(pause),
            Ok(()) => return Ok(()),
        }
        pause *= 2;
    }
}

/// Brings this process, which has one thread, into the folders.
pub(super) fn come_into(folders: &[PathBuf]) -> Result<()> {
    folders.iter().try_for_each(|folder| {
        let tasks = folder.join("tasks");
        fs::write(&tasks, "0").with_context(|| format!("cannot come into {}", folder.display()))
    })
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
