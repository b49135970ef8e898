//! The file that a kernel unpacks as its first root: a cpio archive of the `newc` format
//! (Documentation/driver-api/early-userspace/buffer-format.rst of Linux), the same bytes for the
//! same contents.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// The files of a virtual machine, by their paths without a slash at the front.
#[derive(Clone, Debug, Default)]
pub(crate) struct Initramfs {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    mode: u32,
    device: (u32, u32),
    contents: Vec<u8>,
}

impl Initramfs {
    /// With the console that the first process has for its standard streams.
    pub(crate) fn new() -> Self {
        let mut made = Self::default();
        let console = Entry { mode: CHARACTER | 0o600, device: (5, 1), contents: Vec::new() };
        made.insert("dev/console", console);
        made
    }

    /// A file with these contents.
    pub(crate) fn add(&mut self, path: &str, mode: u32, contents: impl Into<Vec<u8>>) {
        let entry = Entry { mode: REGULAR | mode, device: (0, 0), contents: contents.into() };
        self.insert(path, entry);
    }

    /// A folder.
    pub(crate) fn folder(&mut self, path: &str) {
        let entry = Entry { mode: DIRECTORY | 0o755, device: (0, 0), contents: Vec::new() };
        self.insert(path, entry);
    }

    /// A file of the host, or a folder with all that is in it. Symbolic links stay links.
    ///
    /// # Errors
    /// If it cannot be read, or is neither.
    pub(crate) fn copy(&mut self, path: &str, source: &Path) -> Result<()> {
        let metadata = source.symlink_metadata().with_context(|| source.display().to_string())?;
        let kind = metadata.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(source).with_context(|| source.display().to_string())?;
            let contents = target.into_os_string().into_encoded_bytes();
            self.insert(path, Entry { mode: LINK | 0o777, device: (0, 0), contents });
        } else if kind.is_dir() {
            self.folder(path);
            for entry in fs::read_dir(source).with_context(|| source.display().to_string())? {
                let entry = entry.with_context(|| source.display().to_string())?;
                let name = entry.file_name().into_string().ok().context("a name is no UTF-8")?;
                self.copy(&format!("{path}/{name}"), &entry.path())?;
            }
        } else if kind.is_file() {
            let contents = fs::read(source).with_context(|| source.display().to_string())?;
            self.add(path, metadata.permissions().mode() & 0o777, contents);
        } else {
            bail!("{} is neither a file nor a folder", source.display());
        }
        Ok(())
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        let path = path.trim_matches('/');
        if let Some((parent, _)) = path.rsplit_once('/')
            && !self.entries.contains_key(parent)
        {
            self.folder(parent);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// The archive.
    ///
    /// # Errors
    /// If a file is larger than the format can tell.
    pub(crate) fn archive(&self) -> Result<Vec<u8>> {
        let mut archive = Vec::new();
        for (number, (path, entry)) in (1u32..).zip(&self.entries) {
            append(&mut archive, number, path, entry)?;
        }
        let end = Entry { mode: 0, device: (0, 0), contents: Vec::new() };
        append(&mut archive, 0, "TRAILER!!!", &end)?;
        archive.resize(archive.len().next_multiple_of(512), 0);
        Ok(archive)
    }
}

fn append(archive: &mut Vec<u8>, number: u32, path: &str, entry: &Entry) -> Result<()> {
    let size =
        u32::try_from(entry.contents.len()).with_context(|| format!("{path} is too large"))?;
    ensure!(!path.contains('\0'), "a path has a NUL byte in it");
    let name_size = u32::try_from(path.len() + 1).context("a path is too long")?;
    let (major, minor) = entry.device;
    let links = if entry.mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
    // Inode, mode, user, group, links, time, size, device of the file system, own device, name, sum.
    let fields = [number, entry.mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    archive.extend_from_slice(path.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(&entry.contents);
    archive.resize(archive.len().next_multiple_of(4), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_before_what_is_in_them() {
        let mut initramfs = Initramfs::new();
        initramfs.add("a/b/c", 0o644, "text");
        let paths: Vec<_> = initramfs.entries.keys().map(String::as_str).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c", "dev", "dev/console"]);
    }

    #[test]
    fn the_archive_is_as_the_format_says() {
        let mut initramfs = Initramfs::default();
        initramfs.add("f", 0o755, "hello");
        let archive = initramfs.archive().unwrap();
        assert_eq!(&archive[..14], b"07070100000001");
        assert_eq!(&archive[14..22], b"000081ED");
        assert_eq!(&archive[54..62], b"00000005");
        assert_eq!(&archive[110..112], b"f\0");
        assert_eq!(&archive[112..117], b"hello");
        assert_eq!(archive.len() % 512, 0);
        assert!(archive.windows(10).any(|window| window == b"TRAILER!!!"));
        assert_eq!(archive, initramfs.archive().unwrap());
    }

    #[test]
    fn folders_of_the_host_are_copied_with_their_links() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("in/file"), "1").unwrap();
        std::os::unix::fs::symlink("in/file", folder.path().join("link")).unwrap();
        let mut initramfs = Initramfs::default();
        initramfs.copy("root", folder.path()).unwrap();
        let paths: Vec<_> = initramfs.entries.keys().map(String::as_str).collect();
        assert_eq!(paths, ["root", "root/in", "root/in/file", "root/link"]);
        assert_eq!(initramfs.entries["root/link"].contents, b"in/file");
    }
}
