//! What runs: processes, their names and their descendants, from /proc.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

/// A process that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) id: i32,
    /// Who started it.
    pub(crate) parent: i32,
    /// Its name, as it says itself.
    pub(crate) name: String,
}

/// A process and all that it started, itself first.
///
/// # Errors
/// If there is no /proc.
pub(crate) fn family(root: i32) -> Result<Vec<Process>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("/proc")? {
        let name = entry.context("/proc")?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // It may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        if let Some(process) = parse(&stat) {
            all.insert(process.id, process);
        }
    }
    let mut found: Vec<Process> = all.get(&root).cloned().into_iter().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|process| process.id) {
        found.extend(all.values().filter(|process| process.parent == parent).cloned());
        next += 1;
    }
    Ok(found)
}

/// The threads of a process.
///
/// # Errors
/// If it has ended.
pub(crate) fn threads(id: i32) -> Result<Vec<i32>> {
    let folder = format!("/proc/{id}/task");
    let mut threads = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.clone())? {
        let name = entry.with_context(|| folder.clone())?.file_name();
        threads.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    threads.sort_unstable();
    Ok(threads)
}

/// Whether another process traces a task, as gVisor's sentry does with its programs.
pub(crate) fn is_traced(task: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{task}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// Of /proc/PID/stat: number, name in brackets (which may hold anything), state, parent. One that has
/// ended and was not waited for is no process any more.
fn parse(stat: &str) -> Option<Process> {
    let (id, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let (state, parent) = (words.next()?, words.next()?);
    let is_there = !matches!(state, "Z" | "X");
    is_there.then_some(())?;
    Some(Process { id: id.parse().ok()?, parent: parent.parse().ok()?, name: name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let process = parse("12 (a) b (c) S 3 12 12 0").unwrap();
        assert_eq!(process, Process { id: 12, parent: 3, name: "a) b (c".into() });
        assert_eq!(parse("12 (gone) Z 3 12"), None);
        assert_eq!(parse("nonsense"), None);
    }
}
