//! The cgroups of containers: at the root of each hierarchy, with the container's name.

use std::fs;
use std::path::{Path, PathBuf};

const MOUNT_POINT: &str = "/sys/fs/cgroup";
/// The file in a cgroup that tells its memory, of version 1 and of version 2.
const MEMORY: [(&str, &str); 2] = [("memory", "memory.usage_in_bytes"), ("", "memory.current")];

/// What the kernel counts for a cgroup: its processes' pages, their files' that it has read first,
/// and what it holds itself for them. `None` if it does not count.
pub(super) fn memory_bytes(name: &str) -> Option<u64> {
    let read = |(hierarchy, file)| {
        let file = Path::new(MOUNT_POINT).join(hierarchy).join(name).join(file);
        fs::read_to_string(file).ok()?.trim().parse().ok()
    };
    MEMORY.into_iter().find_map(read)
}

/// Removes the cgroups that have a name with this beginning and no process, which a runtime that
/// failed has left.
pub(super) fn remove(prefix: &str) {
    let folders = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let top = folders(Path::new(MOUNT_POINT));
    let below: Vec<PathBuf> = top.iter().flat_map(|hierarchy| folders(hierarchy)).collect();
    for cgroup in top.into_iter().chain(below) {
        let name = cgroup.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(prefix) {
            // What is left in them are files of the kernel's.
            let _ = fs::remove_dir(&cgroup);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_counts_nothing_and_is_not_missed() {
        let name = "nabla-bench-of-nobody";
        assert_eq!(memory_bytes(name), None);
        remove(name);
    }
}
