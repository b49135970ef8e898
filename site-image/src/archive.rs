//! A tree to a tar archive: the same names, contents and times give the same bytes, whoever owns
//! the files.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

use crate::tree::{Entry, Kind, Tree};

/// What an archive is made of, in bytes.
const BLOCK_BYTES: u64 = 512;
/// Longer names stand in a record of their own.
const NAME_MAX_BYTES: u64 = 100;

/// The bytes of the archive that [`write`] makes of a tree.
pub(crate) fn bytes(tree: &Tree) -> u64 {
    let blocks = |bytes: u64| bytes.div_ceil(BLOCK_BYTES);
    let entry_blocks = |entry: &Entry| {
        let name_bytes = entry.name.as_os_str().as_bytes().len() as u64;
        let (name_bytes, contents_bytes) = match entry.kind {
            // Behind a folder's name stands a slash.
            Kind::Folder => (name_bytes + 1, 0),
            Kind::File(bytes) => (name_bytes, bytes),
        };
        let long_name = match name_bytes {
            0..=NAME_MAX_BYTES => 0,
            // With a NUL at its end.
            _ => 1 + blocks(name_bytes + 1),
        };
        long_name + 1 + blocks(contents_bytes)
    };
    // Two empty blocks are the end.
    let all = tree.entries.iter().map(entry_blocks).fold(2, u64::saturating_add);
    all.saturating_mul(BLOCK_BYTES)
}

/// Writes a tree as an archive. `progress` is told of each piece of a file that was read, in bytes.
///
/// # Errors
/// If a file cannot be read, changes while it is read, or the archive cannot be written.
pub fn write<W: Write>(tree: &Tree, output: W, mut progress: impl FnMut(u64)) -> Result<W> {
    let mut archive = tar::Builder::new(output);
    for entry in &tree.entries {
        append(&mut archive, entry, &mut progress)?;
    }
    archive.into_inner().context("cannot end the archive")
}

/// The record of a file that tells whether it has changed, for readers that cannot tell by its time.
pub const TAG: &str = "NABLA.etag";

/// As [`write`]; each file has a record [`TAG`] as well, with what `tag` gives for it.
///
/// # Errors
/// As `write`, and those of `tag`.
pub fn write_tagged<W: Write>(
    tree: &Tree,
    output: W,
    mut tag: impl FnMut(&Entry) -> Result<String>,
    mut progress: impl FnMut(u64),
) -> Result<W> {
    let mut archive = tar::Builder::new(output);
    for entry in &tree.entries {
        if let Kind::File(_) = entry.kind {
            let tag = tag(entry)?;
            archive
                .append_pax_extensions([(TAG, tag.as_bytes())])
                .with_context(|| format!("cannot pack {}", entry.path.display()))?;
        }
        append(&mut archive, entry, &mut progress)?;
    }
    archive.into_inner().context("cannot end the archive")
}

fn append(
    archive: &mut tar::Builder<impl Write>,
    entry: &Entry,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(entry.modified.0).unwrap_or_default());
    let packed = match entry.kind {
        Kind::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            // The slash at the end is what older readers know a folder by.
            archive.append_data(&mut header, entry.name.join(""), io::empty())
        }
        Kind::File(bytes) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(bytes);
            let file = open(&entry.path, bytes)
                .with_context(|| format!("cannot read {}", entry.path.display()))?;
            let contents = Contents { file, left: bytes, progress };
            archive.append_data(&mut header, &entry.name, contents)
        }
    };
    packed.with_context(|| format!("cannot pack {}", entry.path.display()))
}

/// Opens a file that was listed, if it is still the one: nobody may put a link in its place meanwhile, or
/// a pipe, which would be waited for.
fn open(path: &Path, bytes: u64) -> Result<File> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = File::from(openat2(AT_FDCWD, path, how)?);
    let metadata = file.metadata()?;
    ensure!(metadata.is_file(), "it is no file any more");
    match metadata.len().cmp(&bytes) {
        Ordering::Equal => Ok(file),
        Ordering::Less => bail!("the file became shorter since the folder was listed"),
        Ordering::Greater => bail!("the file became longer since the folder was listed"),
    }
}

/// Exactly as many bytes of a file as it had when it was listed.
struct Contents<'a> {
    file: File,
    left: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Read for Contents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let bytes = self.file.read(&mut buffer[..room])?;
        if bytes == 0 && room > 0 {
            return Err(io::Error::other("the file became shorter while it was read"));
        }
        self.left -= bytes as u64;
        (self.progress)(bytes as u64);
        Ok(bytes)
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
    fn the_size_is_known_before() {
        let folder = TempDir::new().unwrap();
        let deep = folder.path().join("d".repeat(60)).join("e".repeat(30));
        fs::create_dir_all(&deep).unwrap();
        for (size, name_bytes) in [0, 1, 511, 512, 513, 100_000].into_iter().zip(7..) {
            // Names of 98 to 103 bytes.
            fs::write(deep.join("f".repeat(name_bytes - 1)), vec![1; size]).unwrap();
            fs::create_dir(deep.join("g".repeat(name_bytes - 1))).unwrap();
            // And about a block long.
            let long = folder.path().join("h".repeat(250)).join("i".repeat(250));
            fs::create_dir_all(&long).unwrap();
            fs::write(long.join("j".repeat(name_bytes)), vec![1; size]).unwrap();
        }
        for folder in [folder.path(), TempDir::new().unwrap().path()] {
            let tree = Tree::read(folder).unwrap();
            let written = write(&tree, Vec::new(), |_| {}).unwrap();
            assert_eq!(written.len() as u64, tree.archive_bytes());
        }
    }

    #[test]
    fn what_took_a_files_place_is_not_packed() {
        let folder = TempDir::new().unwrap();
        let (file, other) = (folder.path().join("d/file"), folder.path().join("d/other"));
        fs::create_dir(folder.path().join("d")).unwrap();
        fs::write(&file, "1234").unwrap();
        fs::write(&other, "1234").unwrap();
        let tree = Tree::read(folder.path()).unwrap();
        let refusal = || format!("{:#}", write(&tree, io::sink(), |_| {}).unwrap_err());
        for (replace, words) in [
            (&(|| symlink(&other, &file)) as &dyn Fn() -> io::Result<()>, "ELOOP"),
            (&|| Ok(mkfifo(&file, Mode::S_IRWXU)?), "no file any more"),
            (&|| fs::create_dir(&file), "no file any more"),
            (&|| fs::write(&file, "12345"), "became longer"),
            (&|| fs::write(&file, "123"), "became shorter"),
            (&|| Ok(()), "ENOENT"),
        ] {
            let _ = fs::remove_file(&file);
            let _ = fs::remove_dir(&file);
            replace().unwrap();
            let text = refusal();
            assert!(text.contains("d/file") && text.contains(words), "{text}");
        }
        let _ = fs::remove_file(&file);
        fs::write(&file, "1234").unwrap();
        write(&tree, io::sink(), |_| {}).unwrap();
        // A link in the way to it.
        fs::rename(folder.path().join("d"), folder.path().join("e")).unwrap();
        symlink("e", folder.path().join("d")).unwrap();
        assert!(refusal().contains("ELOOP"));
    }
}
