//! Where something is mounted, as proc_pid_mountinfo(5) tells it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Not `/proc/self`, which is the first thread's, and threads can have mounts of their own.
const MOUNTS: &str = "/proc/thread-self/mountinfo";

/// All places below a folder, without symbolic links in its path, at which something is mounted.
///
/// # Errors
/// If there is no telling.
pub(crate) fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let table = fs::read(MOUNTS).with_context(|| {
        format!("cannot tell what is mounted in {}: cannot read {MOUNTS}", folder.display())
    })?;
    let mut places: Vec<PathBuf> = points(&table)
        .filter(|place| place.starts_with(folder) && place.as_path() != folder)
        .collect();
    places.sort();
    // What is mounted inside of another adds nothing.
    places.dedup_by(|place, outer| place.starts_with(outer));
    Ok(places)
}

/// The fifth word of each line.
fn points(table: &[u8]) -> impl Iterator<Item = PathBuf> {
    let lines = table.split(|&byte| byte == b'\n');
    lines.filter_map(|line| line.split(|&byte| byte == b' ').nth(4)).map(unescape)
}

/// A word of the table: blanks, tabs, line ends and backslashes stand there as `\040` and the like.
fn unescape(mut word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    while let Some((&first, rest)) = word.split_first() {
        let (byte, rest) = match rest {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..] if first == b'\\' => {
                (((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'), behind)
            }
            _ => (first, rest),
        };
        bytes.push(byte);
        word = rest;
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_as_the_kernel_writes_them() {
        let table = b"22 1 0:20 / /proc rw,nosuid - proc proc rw\n\
            23 22 8:1 /x\\040y /a\\040b\\134\\011\\012c rw shared:1 - ext4 /dev/sda1 rw\n\
            24 1 8:1 / /\xff\\09\\4 rw - ext4 x rw\nbroken line\n";
        let found: Vec<_> = points(table).map(|place| place.into_os_string().into_vec()).collect();
        assert_eq!(found, [&b"/proc"[..], b"/a b\\\t\nc", b"/\xff\\09\\4"]);
    }

    #[test]
    fn there_is_a_root_and_nothing_below_a_file() {
        assert!(below(Path::new("/")).unwrap().contains(&"/proc".into()));
        assert!(below(Path::new("/etc/passwd")).unwrap().is_empty());
    }
}
