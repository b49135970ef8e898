//! What lies at a device's name: looked at, and held on to, without being opened.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

/// Something at a path. The descriptor stands for it, whatever becomes of the path.
#[derive(Debug)]
pub(super) struct Found {
    /// Where a person finds it.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) file: File,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A block device of that number.
    Device(u64),
    Other,
}

impl Found {
    /// What lies at a path of the image's, which may be a link; `None` if nothing does.
    ///
    /// # Errors
    /// If there is no telling, or it is a link of the kernel's own (`/proc/PID/exe`), which could lead out
    /// of the container.
    pub(super) fn at(path: &Path) -> Result<Option<Self>> {
        let resolve = ResolveFlag::RESOLVE_NO_MAGICLINKS;
        Self::look(AT_FDCWD, path, OFlag::O_PATH, resolve, path.to_owned())
    }

    /// What lies in a folder under a name, which may be no link; `None` if nothing does.
    ///
    /// # Errors
    /// If there is no telling.
    pub(super) fn inside(&self, name: &str) -> Result<Option<Self>> {
        let path = self.path.join(name);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        Self::look(&self.file, Path::new(name), flags, ResolveFlag::RESOLVE_NO_SYMLINKS, path)
    }

    fn look(
        folder: impl AsFd,
        name: &Path,
        flags: OFlag,
        resolve: ResolveFlag,
        path: PathBuf,
    ) -> Result<Option<Self>> {
        let context = || format!("cannot look at {}", path.display());
        // A path alone (O_PATH) is not opened: no pipe is waited for, no device notices.
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
        let file = match openat2(folder, name, how) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(Errno::ELOOP) => bail!(
                "cannot look at {}: it is a link that leads in a circle or through a link of /proc's",
                path.display()
            ),
            opened => File::from(opened.with_context(context)?),
        };
        let metadata = file.metadata().with_context(context)?;
        let kind = match metadata.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_block_device() => Kind::Device(metadata.rdev()),
            _ => Kind::Other,
        };
        Ok(Some(Self { path, kind, file }))
    }

    /// The path by which it can be opened as long as this value lives. With this process's other descriptors
    /// the guest does not get it.
    pub(super) fn descriptor(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_was_looked_at_is_what_is_opened() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, "first").unwrap();
        let found = Found::at(&path).unwrap().unwrap();
        fs::remove_file(&path).unwrap();
        symlink("/etc/passwd", &path).unwrap();
        assert_eq!(fs::read(found.descriptor()).unwrap(), b"first");
        fs::write(found.descriptor(), "again").unwrap();
        assert_eq!(fs::read(found.descriptor()).unwrap(), b"again");
    }

    #[test]
    fn kinds_are_told_without_opening() {
        let folder = TempDir::new().unwrap();
        let place = |name: &str| folder.path().join(name);
        let kind = |name: &str| Found::at(&place(name)).unwrap().map(|found| found.kind);
        mkfifo(&place("pipe"), Mode::S_IRWXU).unwrap();
        fs::write(place("file"), "").unwrap();
        symlink("file", place("link")).unwrap();
        symlink("nowhere", place("dangling")).unwrap();
        symlink("circle", place("circle")).unwrap();
        symlink("/proc/self/exe", place("magic")).unwrap();
        assert_eq!(kind("pipe"), Some(Kind::Other));
        assert_eq!([kind("file"), kind("link")], [Some(Kind::File); 2]);
        assert_eq!([kind("none"), kind("file/below"), kind("dangling")], [None; 3]);
        for name in ["circle", "magic"] {
            let error = format!("{:#}", Found::at(&place(name)).unwrap_err());
            assert!(error.contains(name) && error.contains("in a circle"), "{error}");
        }
    }

    #[test]
    fn in_a_volume_no_link_is_followed() {
        let folder = TempDir::new().unwrap();
        symlink("/etc/passwd", folder.path().join("data.img")).unwrap();
        let volume = Found::at(folder.path()).unwrap().unwrap();
        let found = volume.inside("data.img").unwrap().unwrap();
        assert_eq!((found.path, found.kind), (folder.path().join("data.img"), Kind::Other));
    }
}
