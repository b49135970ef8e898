//! A tree to a tar archive: the same names, contents and times give the same bytes, whoever owns
//! the files.

use std::fs::File;
use std::io::{self, Read, Write};

use anyhow::{Context, Result};

use crate::tree::{Entry, Kind, Tree};

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
            let file = File::open(&entry.path)
                .with_context(|| format!("cannot read {}", entry.path.display()))?;
            let contents = Contents { file, left: bytes, progress };
            archive.append_data(&mut header, &entry.name, contents)
        }
    };
    packed.with_context(|| format!("cannot pack {}", entry.path.display()))
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
