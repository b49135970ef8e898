//! The disk in a folder: made once, and under its name only in its full size.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::found::{Found, Kind};

/// The disk `NAME.img` in a folder, which is made with that many bytes if it is not there.
///
/// # Errors
/// If it cannot be made, or is no file.
pub(super) fn disk(folder: &Found, name: &str, bytes: u64) -> Result<Found> {
    let name = format!("{name}.img");
    let cannot = || format!("cannot make the disk {}", folder.path.join(&name).display());
    if folder.inside(&name)?.is_none() {
        make(&folder.file, &name, bytes, link).with_context(cannot)?;
    }
    let disk = folder.inside(&name)?.context("somebody has removed it").with_context(cannot)?;
    ensure!(disk.kind == Kind::File, "{} is no file", disk.path.display());
    Ok(disk)
}

/// Makes it. If another container has done so meanwhile, that one's disk stays.
fn make(
    folder: &File,
    name: &str,
    bytes: u64,
    link: impl Fn(&File, &str, &str) -> nix::Result<()>,
) -> io::Result<()> {
    // Random, as a process's number is 1 in every container.
    let unfinished = format!(".{name}.{:016x}", RandomState::new().build_hasher().finish());
    create(folder, &unfinished, bytes)?;
    // Not by renaming, which would replace another container's.
    let linked = link(folder, &unfinished, name);
    unlinkat(folder, &*unfinished, UnlinkatFlags::NoRemoveDir)?;
    match linked {
        Ok(()) | Err(Errno::EEXIST) => {}
        // A file system without such links. For a moment its size is 0 there.
        Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
            match create(folder, name, bytes) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => created?,
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(sync(folder)?)
}

/// Creates a file of that many bytes, or nothing.
fn create(folder: &File, name: &str, bytes: u64) -> io::Result<()> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(0o666);
    let file = File::from(openat(folder, name, flags, mode)?);
    let made = file.set_len(bytes).and_then(|()| file.sync_all());
    if made.is_err() {
        let _ = unlinkat(folder, name, UnlinkatFlags::NoRemoveDir);
    }
    made
}

fn link(folder: &File, from: &str, to: &str) -> nix::Result<()> {
    linkat(folder, from, folder, to, AtFlags::empty())
}

/// Sees to it that a folder's names are on the disk.
fn sync(folder: &File) -> nix::Result<()> {
    // What a path alone stands for cannot be synchronised.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let synced = openat(folder, ".", flags, Mode::empty()).and_then(nix::unistd::fsync);
    match synced {
        // Folders that may be written to but not read, and file systems that know no such thing.
        Err(Errno::EACCES | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn found(folder: &TempDir) -> Found {
        Found::at(folder.path()).unwrap().unwrap()
    }

    #[test]
    fn a_disk_is_made_once() {
        let folder = TempDir::new().unwrap();
        let made = disk(&found(&folder), "data", 1 << 20).unwrap();
        assert_eq!(made.path, folder.path().join("data.img"));
        assert_eq!(fs::metadata(&made.path).unwrap().len(), 1 << 20);
        fs::write(&made.path, "kept").unwrap();
        let again = disk(&found(&folder), "data", 1 << 21).unwrap();
        assert_eq!(fs::read(again.descriptor()).unwrap(), b"kept");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_volume_may_hold_instead_of_a_disk_is_refused() {
        let folder = TempDir::new().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("data.img")).unwrap();
        let error = disk(&found(&folder), "data", 512).unwrap_err().to_string();
        assert!(error.contains("data.img is no file"), "{error}");
    }

    #[test]
    fn of_two_that_are_made_at_once_the_first_stays() {
        let folder = TempDir::new().unwrap();
        let volume = found(&folder);
        let path = folder.path().join("disk.img");
        for refusal in [None, Some(Errno::EPERM)] {
            let other_was_first = |folder: &File, from: &str, to: &str| {
                fs::write(&path, "the first").unwrap();
                refusal.map_or_else(|| link(folder, from, to), Err)
            };
            make(&volume.file, "disk.img", 512, other_was_first).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"the first");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_file_system_needs_no_hard_links() {
        let folder = TempDir::new().unwrap();
        let volume = found(&folder);
        let path = folder.path().join("disk.img");
        for refusal in [Errno::EPERM, Errno::EOPNOTSUPP] {
            let cannot_link = |_: &File, from: &str, _: &str| {
                // It is as large as it will be before it gets its name.
                assert_eq!(fs::metadata(folder.path().join(from)).unwrap().len(), 4096);
                Err(refusal)
            };
            make(&volume.file, "disk.img", 4096, cannot_link).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), 4096);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            fs::remove_file(&path).unwrap();
        }
        make(&volume.file, "disk.img", 4096, |_, _, _| Err(Errno::EIO)).unwrap_err();
        make(&volume.file, "disk.img", u64::MAX, link).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
