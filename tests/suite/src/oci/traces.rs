//! What containers leave on a machine while they are there: processes, mounts, cgroups, interfaces
//! and files of state. Two looks are compared, before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Sandbox;

/// How long what was removed may take to be gone.
const TIME_OUT: Duration = Duration::from_secs(10);
/// How deep files of state are looked for.
const DEPTH: u32 = 4;
/// Folders below `/run` that change by themselves: the sandbox's own, and locks that are kept.
const OTHERS: [&str; 3] = ["/run/over", "/run/lock", "/run/devices"];

/// What there was in a sandbox at some time, a line for each thing.
#[derive(Clone, Debug)]
pub struct Traces(BTreeSet<String>);

impl Traces {
    /// What there is now.
    ///
    /// # Errors
    /// If the sandbox is gone.
    pub fn of(sandbox: &Sandbox) -> Result<Self> {
        let mut traces = BTreeSet::new();
        for entry in fs::read_dir(sandbox.inside("/proc"))?.flatten() {
            let id = entry.file_name().to_string_lossy().into_owned();
            if id.bytes().all(|byte| byte.is_ascii_digit()) {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                traces.insert(format!("process {id} {}", name.trim_end()));
            }
        }
        let mounts = fs::read_to_string(format!("/proc/{}/mounts", sandbox.first_process()))?;
        traces.extend(mounts.lines().map(|line| format!("mount {line}")));
        // The parent of all stays, as it does with other runtimes.
        let groups = sandbox.cgroups().into_iter().filter(|group| !group.ends_with(sandbox.name()));
        traces.extend(groups.map(|group| format!("cgroup {}", group.display())));
        let interfaces = fs::read_to_string(format!("/proc/{}/net/dev", sandbox.first_process()))?;
        let names = interfaces.lines().skip(2).filter_map(|line| line.split_once(':'));
        traces.extend(names.map(|(name, _)| format!("interface {}", name.trim())));
        files(sandbox, Path::new("/run"), DEPTH, &mut traces);
        Ok(Self(traces))
    }

    /// Waits until there is nothing more than this, apart from what `allowed` says of a line.
    ///
    /// # Errors
    /// If there is in the end.
    pub fn nothing_more(&self, sandbox: &Sandbox, allowed: impl Fn(&str) -> bool) -> Result<()> {
        let deadline = Instant::now() + TIME_OUT;
        loop {
            let now = Self::of(sandbox)?;
            let more: Vec<_> = now.0.difference(&self.0).filter(|line| !allowed(line)).collect();
            if more.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "left behind: {more:#?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn files(sandbox: &Sandbox, folder: &Path, depth: u32, traces: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(sandbox.inside(folder)) else { return };
    for entry in entries.flatten() {
        let path = folder.join(entry.file_name());
        if OTHERS.iter().any(|other| path.starts_with(other)) {
            continue;
        }
        traces.insert(format!("file {}", path.display()));
        if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files(sandbox, &path, depth - 1, traces);
        }
    }
}
